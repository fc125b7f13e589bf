# Accuracy against a number: a panel for each kind of accuracy, a line for each row: its colour, its shape and, from the seventh on,
# its dashes. Data file: block 0 title, note and x axis; 1 + (p - 1) * rows + (r - 1): panel p, row r: x, value, lo, hi (percent), n.
axis = ""
stats file index 0 every ::0::0 using (axis = strcol(3), 0) nooutput
array heading[4] = ["clean", "certified", "certified as published, no proof", "correct under attack"]

panel_width = 300
left = 72
right = 24
key_line = 19
width = left + panels * panel_width + right
key_width = 110 + 8 * label_width
width = width < title_width ? title_width : width
width = width < key_width ? key_width : width
top = 92
plot_height = 300
foot = 58
height = top + plot_height + foot + rows * key_line + 8
each = (width - left - right + 0.0) / panels

hue(r) = colour[(r - 1) % 6 + 1]
mark(r) = filled[(r - 1) % 6 + 1]
dashes(r) = r > 6 ? 2 : 1
span = hi - lo
# x, moved by a share of the axis
moved(x, share) = logarithmic ? x * (1.0 * hi / lo) ** share : x + share * span
beside_others(x, r) = moved(x, (r - (rows + 1) / 2.0) * 0.007)
set xrange [moved(lo, -0.06):moved(hi, 0.06)]
if (logarithmic) { set logscale x }
set format x "%.4g"
set yrange [0:high]
set ytics high > 40 ? 20 : 5
if (tics > 0) { set xtics (tic[1]); do for [i = 2:tics] { set xtics add (tic[i]) } }
set border 3 lc rgb "#444444"
set tics nomirror
set grid lt 1 lc rgb "#e4e4e4" lw 0.6
set bars 0.4

do for [picture in pictures] {
    eval terminal(picture)
    set output output(picture)
    set multiplot
    set label 1 title at screen 0.5, screen 1 - 22.0 / height center font ",14" noenhanced
    set label 2 note at screen 0.5, screen 1 - 46.0 / height center textcolor rgb pale noenhanced
    set label 3 axis at screen 0.5, screen (rows * key_line + 22.0) / height center noenhanced
    set tmargin at screen 1 - (top + 0.0) / height
    set bmargin at screen 1 - (top + plot_height + 0.0) / height
    do for [p = 1:panels] {
        set lmargin at screen (left + (p - 1) * each) / width
        set rmargin at screen (left + p * each - 26.0) / width
        set label 4 heading[kind[p]] at graph 0.5, graph 1.06 center font ",12"
        if (p == 1) {
            set ylabel "images (%)"
            set format y "%g"
            set key at screen 0.5, screen 4.0 / height center bottom vertical maxcols 1 Left reverse samplen 4 noenhanced
        } else {
            unset label 1
            unset label 2
            unset label 3
            unset ylabel
            set format y ""
            unset key
        }
        plot for [r = 1:rows] file index 1 + (p - 1) * rows + r - 1 using (beside_others($1, r)):2 with lines lw 1.6 dt dashes(r) \
                 lc rgb hue(r) notitle, \
             for [r = 1:rows] file index 1 + (p - 1) * rows + r - 1 using (beside_others($1, r)):2:3:4 with yerrorbars pt mark(r) ps 0.8 \
                 lw 1.2 lc rgb hue(r) notitle, \
             for [r = 1:rows] file index 1 + (p - 1) * rows + r - 1 using (NaN):(NaN) with linespoints pt mark(r) ps 0.8 lw 1.6 \
                 dt dashes(r) lc rgb hue(r) title columnheader(1)
    }
    unset multiplot
    unset output
}
