# Figure local-logits: share of local vectors (percent, logarithmic) by their largest logit, clean and attacked.
# Data file: block 0 title and subtitle, 1 clean, 2 attacked: left edge of a bin, percent, count.

width = text_width + 60 > 720 ? text_width + 60 : 720
height = 440
set tmargin 5
set label 1 title at screen 0.5, graph 1 center offset 0, 3.1 font ",14" noenhanced
set label 2 note at screen 0.5, graph 1 center offset 0, 1.6 textcolor rgb pale noenhanced
set xlabel "largest logit of a local vector"
set ylabel "local vectors (%)"
set xrange [lo - 1.5 * bin:hi + 1.5 * bin]
floor = least / 2
set yrange [floor:100]
set logscale y
set format y "%g"
set border 3 lc rgb "#444444"
set tics nomirror
set grid ytics lt 1 lc rgb "#dddddd" lw 0.6
set key top right Left reverse samplen 2 noenhanced
set style fill solid 1 noborder # an area and a line, which grey tells apart
y(v) = v > floor ? v : floor

do for [picture in pictures] {
    eval terminal(picture)
    set output output(picture)
    plot file index 1 using 1:(y($2)) with fillsteps lc rgb "#9ad1f5" title "clean", \
         file index 2 using 1:(y($2)) with steps lw 2 lc rgb "#a63c00" title "attacked"
    unset output
}
