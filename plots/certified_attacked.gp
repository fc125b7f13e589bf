# Figure certified-attacked: a line for each cell, from certified (filled) over correct under attack (square) to clean (open).
# Data file: block 0 title and note, 1 labels, 2 certified, 3 under attack, 4 clean, 5 the lines, 6 broken certificates.
left = 24 + 9 * label_width
width = left + 480
width = width < title_width ? title_width : width
width = width < 760 ? 760 : width
set lmargin at screen (left + 0.0) / width
height = 200 + 24 * (rows < 4 ? 4 : rows)
set tmargin at screen 1 - 74.0 / height
set bmargin at screen 126.0 / height
set label 1 title at screen 0.5, screen 1 - 22.0 / height center font ",14" noenhanced
set label 2 note at screen 0.5, screen 1 - 46.0 / height center textcolor rgb pale noenhanced
set xlabel "images (%)"
set xrange [0:100]
set xtics 10
set yrange [rows + 0.6:0.4]
set ytics scale 0 noenhanced
set grid xtics lt 1 lc rgb "#dddddd" lw 0.6
set border 3 lc rgb "#444444"
set tics nomirror
set rmargin at screen 1 - 34.0 / width
set key at screen 0.5, screen 5.0 / height center bottom vertical maxcols 1 Left reverse samplen 1.2 noenhanced
set bars 0.4

do for [picture in pictures] {
    eval terminal(picture)
    set output output(picture)
    plot file index 1 using (-1000):1:ytic(2) with points pt 0 notitle, \
         file index 5 using 2:1:($3 - $2):(0) with vectors nohead lw 1 dt 3 lc rgb "#888888" notitle, \
         file index 2 using 2:1:3:4 with xerrorbars pt filled[1] ps 1 lw 1.2 lc rgb colour[1] title "certified", \
         file index 3 using 2:1:3:4 with xerrorbars pt filled[2] ps 0.7 lw 1.2 lc rgb colour[2] title "correct under attack", \
         file index 4 using 2:1:3:4 with xerrorbars pt open[1] ps 1.2 lw 1.2 lc rgb "#444444" title "clean", \
         file index 6 using 2:1 with points pt 2 ps 2 lw 2.5 lc rgb "#000000" notitle
    unset output
}
