# Figure success-steps: percent of the images still right against the steps of an image's attack; dotted: certified.
# Data file: block 0 title and note; curve c: block 2c - 1 (its label first) and block 2c (certified).

hue(c) = colour[(c - 1) % 6 + 1]
line(c) = c > 6 ? 2 : 1
key_width = 80 + 9 * label_width
width = 560 + key_width
width = width < title_width ? title_width : width
width = width < 640 ? 640 : width
height = 440
set tmargin 5
set label 1 title at screen 0.5, graph 1 center offset 0, 3.1 font ",14" noenhanced
set label 2 note at screen 0.5, graph 1 center offset 0, 1.6 textcolor rgb pale noenhanced
set xlabel "steps"
set ylabel "images still right, %"
last = most < 10 ? 10 : most
set xrange [1:last * 1.5]
set yrange [0:100]
if (last > 50) { set logscale x }
set border 3 lc rgb "#444444"
set tics nomirror
set grid lt 1 lc rgb "#e4e4e4" lw 0.6
set rmargin at screen 1 - (key_width + 0.0) / width
set key at graph 1.03, graph 1 left top Left reverse samplen 1.6 noenhanced
set bars 0.4

do for [picture in pictures] {
    eval terminal(picture)
    set output output(picture)
    plot for [c = 1:curves] file index 2 * c - 1 using 1:2 with steps lw 1.8 dt line(c) lc rgb hue(c) title columnheader(1), \
         for [c = 1:curves] file index 2 * c - 1 using ($1 * (1 + 0.035 * c)):($3 >= 0 ? $2 : NaN):3:4 with yerrorbars pt filled[(c - 1) % 6 + 1] ps 0.7 lw 1.2 \
             lc rgb hue(c) notitle, \
         for [c = 1:curves] file index 2 * c using (1):1:(last * 1.5 - 1):(0) with vectors nohead dt 3 lw 1.6 lc rgb hue(c) notitle
    unset output
}
