# Figure failure-cases: a stacked bar for each threshold; colours that stand beside each other differ in lightness as well.
# Data file: block 0 title and note, 1 label of every panel, 1 + p: position, threshold, five shares (percent), n.
array part[5] = ["certified as published (no proof)", "case III", "case II", "case I or IV", "wrong without a patch"]
array shade[5] = [0x0072b2, 0x9ad1f5, 0xe69f00, 0xf7ec7a, 0x222222]

across = panels < 3 ? panels : 3
downwards = (panels + across - 1) / across
panel_width = 90 + 26 * (bars < 6 ? 6 : bars)
panel_width = panel_width < 44 + 6.8 * label_width ? 44 + 6.8 * label_width : panel_width
left = 72
width = left + across * panel_width + 10
width = width < title_width ? title_width : width
width = width < 900 ? 900 : width
each = (width - left - 10.0) / across
top = 74
plot_height = 230
line_height = plot_height + 82
key_height = 104
height = top + downwards * line_height + key_height
set style fill solid 1 border rgb "#ffffff"
set boxwidth 0.82
upto(k) = sum [j = 3:k + 2] column(j)

array label[panels]
do for [p = 1:panels] { stats file index 1 every ::p - 1::p - 1 using (label[p] = strcol(2), 0) nooutput }

do for [picture in pictures] {
    eval terminal(picture)
    set output output(picture)
    set multiplot
    half = (bars < 4 ? 4 : bars + 0.2) / 2.0 # few bars stay slim
    set xrange [(bars + 1) / 2.0 - half:(bars + 1) / 2.0 + half]
    set yrange [0:100]
    set ytics 20 scale 0.5
    set xtics scale 0 noenhanced
    set border 3 lc rgb "#444444"
    set tics nomirror
    set grid ytics lt 1 lc rgb "#e4e4e4" lw 0.6
    set label 1 title at screen 0.5, screen 1 - 22.0 / height center font ",14" noenhanced
    set label 2 note at screen 0.5, screen 1 - 46.0 / height center textcolor rgb pale noenhanced
    do for [p = 1:panels] {
        x = (p - 1) % across
        y = (p - 1) / across
        set lmargin at screen (left + x * each) / width
        set rmargin at screen (left + (x + 1) * each - 24.0) / width
        set tmargin at screen 1 - (top + y * line_height + 26.0) / height
        set bmargin at screen 1 - (top + y * line_height + 26.0 + plot_height) / height
        set label 3 label[p] at graph 0.5, graph 1.06 center font ",10" noenhanced
        set xlabel "threshold T" offset 0, 0.4
        if (x == 0) {
            set ylabel "images (%)" offset 0.5, 0
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
        # the whole first, then what lies in front of it
        plot for [k = 5:1:-1] file index 1 + p using 1:(upto(k)):xtic(2) with boxes lc rgb shade[k]
    }
    @key_panel
    # from top to bottom, as the parts lie in a bar
    set key center center vertical maxcols 1 Left reverse samplen 1 noenhanced
    plot for [k = 5:1:-1] NaN with boxes lc rgb shade[k] title part[k]
    unset multiplot
    unset output
}
