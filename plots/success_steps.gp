# Figure success-steps: percent of the images still correct against the steps of an image's attack; dotted: certified.
# Behind the last step, at "end": what is left, with its interval (filled), over what is certified (open).
# Data file: block 0 title and note; curve c: block 2c - 1 (its label first) and block 2c (certified).

hue(c) = colour[(c - 1) % 6 + 1]
line(c) = c > 6 ? 2 : 1
mark(c) = (c - 1) % 6 + 1
key_width = 100 + 9 * label_width
width = 560 + key_width
width = width < title_width ? title_width : width
width = width < 640 ? 640 : width
height = 440
set tmargin 5
set label 1 title at screen 0.5, graph 1 center offset 0, 3.1 font ",14" noenhanced
set label 2 note at screen 0.5, graph 1 center offset 0, 1.6 textcolor rgb pale noenhanced
set xlabel "steps"
set ylabel "images still correct (%)"
last = most < 10 ? 10 : most
logarithmic = last > 50
if (logarithmic) { set logscale x }
# behind the last step by a share of the axis
behind(share) = logarithmic ? last ** (1 + share) : last + share * (last - 1)
end(c) = behind(0.06 + 0.24 * (c - 0.5) / curves)
set xrange [1:behind(0.34)]
if (logarithmic) { set xtics 1, 10, last } else { set xtics 0, (last > 25 ? 10 : last > 10 ? 5 : 2), last }
set xtics add ("end" behind(0.18))
set arrow from first last, graph 0 to first last, graph 1 nohead lw 0.8 lc rgb "#bbbbbb"
set yrange [0:100]
set border 3 lc rgb "#444444"
set tics nomirror
set grid lt 1 lc rgb "#e4e4e4" lw 0.6
set rmargin at screen 1 - (key_width + 0.0) / width
set key at graph 1.03, graph 1 left top Left reverse samplen 3 noenhanced
set bars 0.4

do for [picture in pictures] {
    eval terminal(picture)
    set output output(picture)
    plot for [c = 1:curves] file index 2 * c - 1 using 1:2 with steps lw 1.8 dt line(c) lc rgb hue(c) notitle, \
         for [c = 1:curves] file index 2 * c using (1):1:(end(c) - 1):(0) with vectors nohead dt 3 lw 1.6 lc rgb hue(c) notitle, \
         for [c = 1:curves] file index 2 * c using (end(c)):1 with points pt open[mark(c)] ps 0.8 lw 1.4 lc rgb hue(c) notitle, \
         for [c = 1:curves] file index 2 * c - 1 using (end(c)):($3 >= 0 ? $2 : NaN):3:4 with yerrorbars pt filled[mark(c)] ps 0.8 \
             lw 1.2 lc rgb hue(c) notitle, \
         for [c = 1:curves] file index 2 * c - 1 using (NaN):(NaN) with linespoints pt filled[mark(c)] ps 0.8 lw 1.8 dt line(c) \
             lc rgb hue(c) title columnheader(1)
    unset output
}
