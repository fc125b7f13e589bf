# Figure accuracy: one line per defense, one shape and colour per patch size; open: clean, filled: certified.
# Where both are equal, one lies in the other.
# Read from the data file: block 0 title and n, block 1 rows, then for each column clean, certified (its legend first), published.
# Points: position, value, lo, hi (percent), n.

step = 0.64 / columns
shift(c) = (c - (columns + 1) / 2.0) * step

width = 560 + 8 * label_width
width = width < title_width ? title_width : width
key_lines = 40 + columns * (60 + 8 * legend_width) <= width ? 1 : columns
height = height + 19 * (key_lines - 1)
set tmargin at screen 1 - 88.0 / height
set bmargin at screen (74.0 + 19 * key_lines) / height
set label 1 title at screen 0.5, screen 1 - 22.0 / height center font ",14" noenhanced
set label 2 note . "; bars: 95% Wilson intervals" at screen 0.5, screen 1 - 46.0 / height center textcolor rgb pale noenhanced
set label 3 "open: clean;  filled: certified" . (published ? ";  cross: published certificate, no proof" : "") \
    at screen 0.5, screen 1 - 68.0 / height center textcolor rgb pale noenhanced
set xlabel "images (%)"
set xrange [0:100]
set xtics 10
set yrange [rows + 0.6:0.4]
set ytics scale 0 noenhanced
set grid xtics lt 1 lc rgb "#dddddd" lw 0.6
set border 3 lc rgb "#444444"
set tics nomirror
set rmargin 4
set key at screen 0.5, screen 8.0 / height center bottom vertical maxrows key_lines noenhanced Left reverse samplen 1.2
set bars 0.4
do for [r = 1:rows - 1] { set arrow from graph 0, first r + 0.5 to graph 1, first r + 0.5 nohead lt 1 lc rgb "#eeeeee" lw 0.6 back }

do for [picture in pictures] {
    eval terminal(picture)
    set output output(picture)
    plot file index 1 using (-1000):1:ytic(2) with points pt 0 notitle, \
         for [c = 1:columns] file index 3 * c using 2:($1 + shift(c)):3:4 with xerrorbars \
             pt filled[c] ps 0.6 lw 1.2 lc rgb colour[c] title columnheader(1), \
         for [c = 1:columns] file index 3 * c - 1 using 2:($1 + shift(c)):3:4 with xerrorbars \
             pt open[c] ps 1 lw 1.2 lc rgb colour[c] notitle, \
         for [c = 1:columns] file index 3 * c + 1 using 2:($1 + shift(c)):3:4 with xerrorbars \
             pt 2 ps 0.9 lw 1.2 lc rgb colour[c] notitle
    unset output
}
