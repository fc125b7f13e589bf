# Figure trade-off: a panel for each column, a shape and colour for each row; filled: certified, open: as published, no proof.
# Data file: block 0 title and note, 1 label of every panel, 1 + p: the front of panel p, 2 + panels + (p - 1) * rows + (r - 1): a point:
# clean, lo, hi, certified, lo, hi (percent), 1 where it is a proof, its place among points that are equal.
across = panels < 3 ? panels : 3
downwards = (panels + across - 1) / across
left = 72
panel_width = 320
width = left + across * panel_width + 16
width = width < title_width ? title_width : width
width = width < 60 + 8 * label_width ? 60 + 8 * label_width : width
width = width < 720 ? 720 : width
each = (width - left - 16.0) / across
top = 70
plot_height = 280
line_height = plot_height + 96
key_height = 19 * (rows + 1) + 8 # and the front
height = top + downwards * line_height + key_height

hue(r) = colour[(r - 1 + 2 * ((r - 1) / 6)) % 6 + 1]
# the second and the third six: other colours, smaller points
mark(r, proof) = proof ? filled[(r - 1) % 6 + 1] : open[(r - 1) % 6 + 1]
size(r) = r > 12 ? 0.6 : r > 6 ? 0.85 : 1.15
# equal points stand beside the first one, towards the middle
beside_equals(x, place) = x + place * 0.03 * (hi - lo) * (2 * x > lo + hi ? -1 : 1)
point(p, r) = 2 + panels + (p - 1) * rows + r - 1
set bars 0.3

fronts = sum [r = 1:rows] proof[r]
array label[panels]
do for [p = 1:panels] { stats file index 1 every ::p - 1::p - 1 using (label[p] = strcol(2), 0) nooutput }

do for [picture in pictures] {
    eval terminal(picture)
    set output output(picture)
    set multiplot
    set xrange [lo:hi]
    set yrange [0:high]
    set border 3 lc rgb "#444444"
    set xtics auto
    if (hi - lo > 50) { set xtics 20 }
    set ytics auto
    set tics nomirror
    set grid lt 1 lc rgb "#e4e4e4" lw 0.6
    set label 1 title at screen 0.5, screen 1 - 22.0 / height center font ",14" noenhanced
    set label 2 note at screen 0.5, screen 1 - 46.0 / height center textcolor rgb pale noenhanced
    do for [p = 1:panels] {
        x = (p - 1) % across
        y = (p - 1) / across
        set lmargin at screen (left + x * each) / width
        set rmargin at screen (left + (x + 1) * each - 44.0) / width
        set tmargin at screen 1 - (top + y * line_height + 26.0) / height
        set bmargin at screen 1 - (top + y * line_height + 26.0 + plot_height) / height
        set label 3 label[p] at graph 0.5, graph 1.05 center noenhanced
        set xlabel "clean accuracy (%)" offset 0, 0.3
        if (x == 0) {
            set ylabel "certified accuracy (%)"
            set format y "%g"
        } else {
            unset ylabel
            set format y ""
        }
        if (p > 1) {
            unset label 1
            unset label 2
        }
        unset key
        plot for [r = 1:rows] file index point(p, r) using 1:4:2:3:5:6 with xyerrorbars pt 0 lw 0.9 lc rgb "#bbbbbb" notitle, \
             file index 1 + p using 1:2 with lines lw 1.6 dt 2 lc rgb "#333333" notitle, \
             for [r = 1:rows] file index point(p, r) using (beside_equals($1, $8)):($7 == 1 ? $4 : NaN) with points pt mark(r, 1) ps size(r) lc rgb hue(r) notitle, \
             for [r = 1:rows] file index point(p, r) using (beside_equals($1, $8)):($7 == 0 ? $4 : NaN) with points pt mark(r, 0) ps size(r) lw 1.4 lc rgb hue(r) notitle
    }
    @key_panel
    set key center center vertical maxcols 1 Left reverse samplen 2.4 noenhanced
    plot for [f = 1:(fronts > 0)] NaN with lines lw 1.6 dt 2 lc rgb "#333333" title "Pareto front", \
         for [r = 1:rows] file index point(1, r) using (NaN):(NaN) with points pt mark(r, proof[r]) ps size(r) lc rgb hue(r) \
             title columnheader(1)
    unset multiplot
    unset output
}
