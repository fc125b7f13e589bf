# Figure receptive-field-map: a panel for each network: share of the largest gradient by pixel, dark for much; frame: the receptive field.
# Data file: block 0 title and note, 1 number, name and two lines for every panel, 2p: x, y, share; 2p + 1: the frame.
# box: first and last column and row that a panel shows. Colours: ColorBrewer Blues.
across = panels < 3 ? panels : 3
downwards = (panels + across - 1) / across
left = 58
panel_width = 290
bar = 84
width = left + across * panel_width + bar
width = width < title_width ? title_width : width
width = width < 900 ? 900 : width
each = (width - left - bar + 0.0) / across
top = 62
plot_height = 240
line_height = plot_height + 128
height = top + downwards * line_height
set palette defined (0 "#f7fbff", 0.25 "#c6dbef", 0.5 "#6baed6", 0.75 "#2171b5", 1 "#08306b")
set cbrange [0:1]
set cbtics 0.25
set border 15 back lc rgb "#bbbbbb" # behind the frame of a field that ends with the image
set tics out nomirror scale 0.5 font ",10" textcolor rgb pale
set format "%g"
unset key

array label[panels]
array small[panels]
array smaller[panels]
do for [p = 1:panels] {
    stats file index 1 every ::p - 1::p - 1 using (label[p] = strcol(2), small[p] = strcol(3), smaller[p] = strcol(4), 0) nooutput
}

do for [picture in pictures] {
    eval terminal(picture)
    set output output(picture)
    set multiplot
    set label 1 title at screen 0.5, screen 1 - 22.0 / height center font ",14" noenhanced
    set label 2 note at screen 0.5, screen 1 - 46.0 / height center textcolor rgb pale noenhanced
    do for [p = 1:panels] {
        x = (p - 1) % across
        y = (p - 1) / across
        middle = left + (x + 0.5) * each
        line = top + y * line_height
        set label 3 label[p] at screen middle / width, screen 1 - (line + 22.0) / height center noenhanced
        set label 4 small[p] at screen middle / width, screen 1 - (line + 42.0) / height center font ",10" textcolor rgb pale noenhanced
        set label 5 smaller[p] at screen middle / width, screen 1 - (line + 58.0) / height center font ",10" textcolor rgb pale noenhanced
        columns = box[4 * p - 2] - box[4 * p - 3]
        rows = box[4 * p] - box[4 * p - 1]
        pixel = (plot_height + 0.0) / (columns > rows ? columns : rows)
        set lmargin at screen (middle - columns * pixel / 2) / width
        set rmargin at screen (middle + columns * pixel / 2) / width
        set tmargin at screen 1 - (line + 74.0 + (plot_height - rows * pixel) / 2) / height
        set bmargin at screen 1 - (line + 74.0 + (plot_height + rows * pixel) / 2) / height
        set xrange [box[4 * p - 3] - 0.5:box[4 * p - 2] - 0.5]
        set yrange [box[4 * p] - 0.5:box[4 * p - 1] - 0.5]
        if (p == 1) {
            set colorbox user origin screen 1 - 66.0 / width, screen 1 - (top + 74.0 + plot_height) / height \
                size screen 12.0 / width, screen plot_height / (height + 0.0)
        } else {
            unset colorbox
            unset label 1
            unset label 2
        }
        set xlabel "column, px" offset 0, 0.4 font ",10" textcolor rgb pale
        if (x == 0) { set ylabel "row, px" font ",10" textcolor rgb pale } else { unset ylabel }
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
