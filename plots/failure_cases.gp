# Figure failure-cases: a stacked bar for each threshold; colours that stand beside each other differ in lightness as well.
# Data file: block 0 title and note, 1 label of every panel, 1 + p: position, threshold, five shares (percent), n.
array part[5] = [say("certified as published (no proof)"), say("case III"), say("case II"), say("case I or IV"), say("wrong without a patch")]
array shade[5] = [0x0072b2, 0x9ad1f5, 0xe69f00, 0xf7ec7a, 0x222222]

left = 62
right = 12
least = 60 + 26 * (bars < 6 ? 6 : bars)
width = given > 0 ? given : left + right + (panels < 3 ? (panels < 2 ? 2 : panels) : 3) * (least < 290 ? 290 : least)
across = floor((width - left - right) / (least < 160 ? 160 : least))
across = across < 1 ? 1 : across > 3 ? 3 : across
across = across > panels ? panels : across
downwards = (panels + across - 1) / across
each = (width - left - right + 0.0) / across
plot_width = each - 20
plot_height = plot_width < 260 ? 0.7 * plot_width + 50 : 220

array label[panels]
tallest = 1
do for [p = 1:panels] {
    stats file index 1 every ::p - 1::p - 1 using (label[p] = plain(strcol(2)), 0) nooutput
    label[p] = wrap(label[p], room(plot_width + 16, 12))
    tallest = lines(label[p]) > tallest ? lines(label[p]) : tallest
}
above = 8 + 17 * tallest
entries = 5
do for [k = 1:5] { entry[k] = part[6 - k] }
@legend
foot = 50
body = downwards * (above + plot_height + foot) + key_height
@header
set style fill solid 1 border rgb (paper ? "#000000" : "#ffffff")
set boxwidth 0.82
upto(k) = sum [j = 3:k + 2] column(j)
half = (bars < 4 ? 4 : bars + 0.2) / 2.0 # few bars stay slim
set xrange [(bars + 1) / 2.0 - half:(bars + 1) / 2.0 + half]
set yrange [0:100]
set ytics 20 scale 0.5
set xtics scale 0 noenhanced
if (plot_width < 34 * bars) { set xtics rotate by 60 right }
set border 3 lc rgb "#444444"
set tics nomirror
set grid ytics lt 1 lc rgb "#e4e4e4" lw 0.6
swatches = 1 # from top to bottom, as the parts lie in a bar
key_rgb(k) = shade[6 - k]
unset key

do for [picture in pictures] {
    eval terminal(picture)
    set output output(picture)
    set multiplot
    @header
    set label 99 say("Threshold T") at screen (left + (width - left - right - 20.0) / 2) / width, screen (key_height + 12) / height center noenhanced
    do for [p = 1:panels] {
        if (p == 1) { @show_legend
        } else { @bare
        }
        x = (p - 1) % across
        y = (p - 1) / across
        top = head + above + y * (above + plot_height + foot)
        set lmargin at screen (left + x * each) / width
        set rmargin at screen (left + x * each + plot_width) / width
        set tmargin at screen 1 - (top + 0.0) / height
        set bmargin at screen 1 - (top + plot_height + 0.0) / height
        do for [i = 1:tallest] {
            set label 3 + i i <= lines(label[p]) ? put(line(label[p], i)) : "" at graph 0.5, screen 1 - (top - above + 17.0 * i - 5) / height \
                center font font(12) noenhanced
        }
        if (x == 0) { set ylabel say("Images (%)"); set format y "%g" } else { unset ylabel; set format y "" }
        # the whole first, then what lies in front of it
        plot for [k = 5:1:-1] file index 1 + p using 1:(upto(k)):xtic(2) with boxes lc rgb shade[k]
    }
    unset multiplot
    unset output
}
