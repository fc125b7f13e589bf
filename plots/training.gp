# Figure training: left the loss, right the validation accuracy, against the epoch.
# Data file: block 0 title and note, c: name of a network with its accuracy, then epoch, loss, accuracy (percent), 1 for the last epoch.
left = 72
width = left + 2 * 380
key_width = 110 + 8 * label_width
width = width < title_width ? title_width : width
width = width < key_width ? key_width : width
top = 92
plot_height = 290
foot = 60
key_line = 19
height = top + plot_height + foot + curves * key_line + 8
each = (width - left - 24.0) / 2
hue(c) = colour[(c - 1) % 6 + 1]
mark(c) = filled[(c - 1) % 6 + 1]
dashes(c) = c > 6 ? 2 : 1
set xrange [0:most * 1.04 + 0.2]
set border 3 lc rgb "#444444"
set tics nomirror
if (most < 10) { set xtics 1 }
set grid lt 1 lc rgb "#e4e4e4" lw 0.6

do for [picture in pictures] {
    eval terminal(picture)
    set output output(picture)
    set multiplot
    set label 1 title at screen 0.5, screen 1 - 22.0 / height center font ",14" noenhanced
    set label 2 note at screen 0.5, screen 1 - 46.0 / height center textcolor rgb pale noenhanced
    set tmargin at screen 1 - (top + 0.0) / height
    set bmargin at screen 1 - (top + plot_height + 0.0) / height
    set xlabel "epoch" offset 0, 0.3
    do for [p = 1:2] {
        set lmargin at screen (left + (p - 1) * each) / width
        set rmargin at screen (left + p * each - 44.0) / width
        set label 3 p == 1 ? "training loss" : "validation accuracy (%)" at graph 0.5, graph 1.06 center
        if (p == 1) {
            set yrange [0:high * 1.05]
            set ytics auto
            set key at screen 0.5, screen 5.0 / height center bottom vertical maxcols 1 Left reverse samplen 4 noenhanced
        } else {
            set yrange [0:100]
            set ytics 20
            unset key
            unset label 1
            unset label 2
        }
        plot for [c = 1:curves] file index c using 1:(column(p + 1)) with lines lw 1.6 dt dashes(c) lc rgb hue(c) notitle, \
             for [c = 1:curves] file index c using 1:($4 == 1 ? column(p + 1) : NaN) with points pt mark(c) ps 0.8 lc rgb hue(c) notitle, \
             for [c = 1:curves] file index c using (NaN):(NaN) with linespoints pt mark(c) ps 0.8 lw 1.6 dt dashes(c) lc rgb hue(c) \
                 title columnheader(1)
    }
    unset multiplot
    unset output
}
