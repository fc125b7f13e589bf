# Figure accuracy: one line per defense, one shape and colour per patch size; open: clean, filled: certified.
# Read from the data file: block 0 title and n, block 1 rows, then for each column clean, certified (its legend first), published.
# Points: position, value, lo, hi (percent), n.
# Colours: Okabe and Ito; shapes tell the same apart in grey. Font: DejaVu Sans. Text in the data is never enhanced.
file = "accuracy.tsv"
set datafile separator "\t"
set datafile commentschars ""
set encoding utf8
title = ""
count = ""
stats file index 0 every ::0::0 using (title = strcol(1), count = strcol(2), 0) nooutput

array colour[6] = [0x0072b2, 0xd55e00, 0x009e73, 0xcc79a7, 0x56b4e9, 0x000000]
array open[6] = [6, 4, 8, 12, 10, 14]
array filled[6] = [7, 5, 9, 13, 11, 15]
step = 0.64 / columns
shift(c) = (c - (columns + 1) / 2.0) * step

width = 560 + 8 * label_width
title_width = 40 + 11 * strlen(title) # room for capitals
width = width < title_width ? title_width : width
set tmargin 5.6
set label 1 title at screen 0.5, graph 1 center offset 0, 3.9 font ",14" noenhanced
set label 2 count . "; bars: 95% Wilson intervals" at screen 0.5, graph 1 center offset 0, 2.5 textcolor rgb "#555555" noenhanced
set label 3 "open: clean;  filled: certified" . (published ? ";  cross: published certificate, no proof" : "") \
    at screen 0.5, graph 1 center offset 0, 1.2 textcolor rgb "#555555" noenhanced
set xlabel "images, %"
set xrange [0:100]
set xtics 10
set yrange [rows + 0.6:0.4]
set ytics scale 0 noenhanced
set grid xtics lt 1 lc rgb "#dddddd" lw 0.6
set border 3 lc rgb "#444444"
set tics nomirror
set bmargin 5.4
set rmargin 4
set key at screen 0.5, screen 8.0 / height center bottom horizontal maxcols columns noenhanced Left reverse samplen 1.2
set bars 0.4
do for [r = 1:rows - 1] { set arrow from graph 0, first r + 0.5 to graph 1, first r + 0.5 nohead lt 1 lc rgb "#eeeeee" lw 0.6 back }

do for [picture in "svg png"] {
    if (picture eq "svg") {
        set terminal svg size width, height font "DejaVu Sans,12" background "#ffffff"
    } else {
        set terminal pngcairo size 2 * width, 2 * height font "DejaVu Sans,12" fontscale 2 linewidth 2 pointscale 2
    }
    set output "accuracy." . picture
    plot file index 1 using (-1000):1:ytic(2) with points pt 0 notitle, \
         for [c = 1:columns] file index 3 * c using 2:($1 + shift(c)):3:4 with xerrorbars \
             pt filled[c] ps 0.9 lw 1.2 lc rgb colour[c] title columnheader(1), \
         for [c = 1:columns] file index 3 * c - 1 using 2:($1 + shift(c)):3:4 with xerrorbars \
             pt open[c] ps 0.9 lw 1.2 lc rgb colour[c] notitle, \
         for [c = 1:columns] file index 3 * c + 1 using 2:($1 + shift(c)):3:4 with xerrorbars \
             pt 2 ps 0.9 lw 1.2 lc rgb colour[c] notitle
    unset output
}
