# Figure receptive-field-map: a panel for each network: share of the largest gradient by pixel, dark for much; frame: the receptive field.
# Data file: block 0 title and note, 1 number, name and two lines for every panel, 2p: x, y, share; 2p + 1: the frame.
# box: first and last column and row that a panel shows. Colours: ColorBrewer Blues.
left = 56
bar = 74
width = given > 0 ? given : left + bar + 270 * (panels < 2 ? 2 : panels < 3 ? panels : 3)
across = floor((width - left - bar) / 190)
across = across < 1 ? 1 : across > 3 ? 3 : across
across = across > panels ? panels : across
downwards = (panels + across - 1) / across
each = (width - left - bar + 0.0) / across
plot_height = each - 46 > 240 ? 240 : each - 46 # and width

array label[panels]
array small[panels]
array smaller[panels]
above = 0
do for [p = 1:panels] {
    stats file index 1 every ::p - 1::p - 1 using (label[p] = plain(strcol(2)), small[p] = strcol(3), smaller[p] = strcol(4), 0) nooutput
    label[p] = wrap(label[p], room(each - 8, 12))
    small[p] = wrap(small[p], room(each - 8, paper ? 12 : 10)) . "\n" . wrap(smaller[p], room(each - 8, paper ? 12 : 10))
    above = lines(label[p]) + lines(small[p]) > above ? lines(label[p]) + lines(small[p]) : above
}
above = 17.0 * above + 14
foot = 52
body = downwards * (above + plot_height + foot)
@header
set palette defined (0 "#f7fbff", 0.25 "#c6dbef", 0.5 "#6baed6", 0.75 "#2171b5", 1 "#08306b")
set cbrange [0:1]
set cbtics 0.25
set border 15 back lc rgb "#bbbbbb" # behind the frame of a field that ends with the image
small_font = font(10)
set tics out nomirror scale 0.5 font small_font textcolor rgb pale
unset key

do for [picture in pictures] {
    eval terminal(picture)
    set output output(picture)
    set multiplot
    @header
    do for [p = 1:panels] {
        if (p > 1) { @bare
        }
        x = (p - 1) % across
        y = (p - 1) / across
        middle = left + (x + 0.5) * each
        top = head + y * (above + plot_height + foot)
        do for [i = 1:7] {
            shown = i <= lines(label[p]) ? line(label[p], i) : ""
            set label 200 + i put(shown) at screen middle / width, screen 1 - (top + 17.0 * i - 3) / height center font font(12) noenhanced
            shown = i <= lines(small[p]) ? line(small[p], i) : ""
            set label 220 + i put(shown) at screen middle / width, screen 1 - (top + 17.0 * (lines(label[p]) + i) - 3) / height center \
                font font(10) textcolor rgb pale noenhanced
        }
        columns = box[4 * p - 2] - box[4 * p - 3]
        rows = box[4 * p] - box[4 * p - 1]
        pixel = (plot_height + 0.0) / (columns > rows ? columns : rows)
        set lmargin at screen (middle - columns * pixel / 2) / width
        set rmargin at screen (middle + columns * pixel / 2) / width
        set tmargin at screen 1 - (top + above + (plot_height - rows * pixel) / 2) / height
        set bmargin at screen 1 - (top + above + (plot_height + rows * pixel) / 2) / height
        set xrange [box[4 * p - 3] - 0.5:box[4 * p - 2] - 0.5]
        set yrange [box[4 * p] - 0.5:box[4 * p - 1] - 0.5]
        if (p == 1) {
            set colorbox user origin screen 1 - 64.0 / width, screen 1 - (head + above + plot_height) / height \
                size screen 12.0 / width, screen plot_height / (height + 0.0)
        } else {
            unset colorbox
        }
        set xlabel say("Column (px)") offset 0, 0.4 font font(10) textcolor rgb pale
        if (x == 0) { set ylabel say("Row (px)") font font(10) textcolor rgb pale } else { unset ylabel }
        if (rows * columns <= 10000) { # squares, which no viewer smooths
            plot file index 2 * p using 1:2:3 with image pixels, \
                 file index 2 * p + 1 using 1:2 with lines lw 1.6 dt 2 lc rgb "#d55e00"
        } else {
            plot file index 2 * p using 1:2:3 with image, \
                 file index 2 * p + 1 using 1:2 with lines lw 1.6 dt 2 lc rgb "#d55e00"
        }
    }
    unset multiplot
    unset output
}
