# Draws accuracy.svg, accuracy.png and accuracy.pdf from accuracy.tsv: gnuplot -d accuracy.gp
name = "accuracy"
rows = 2
columns = 1
published = 0
label_width = 4
legend_width = 7
title_width = 271
height = 250
# ---- plots/common.gp: what all figures share. Before it stand `name` and the numbers of the figure.
# Block 0 of the data file: title and note. Colours: Okabe and Ito, with a shape each, so that grey tells them apart as well.
# Font: DejaVu Sans. Text in the data is never enhanced and never code.
if (!exists("beside")) beside = "" # the folder that data and pictures are in, while the program draws
file = beside . name . ".tsv"
set datafile separator "\t"
set datafile commentschars ""
set encoding utf8
title = ""
note = ""
stats file index 0 every ::0::0 using (title = strcol(1), note = strcol(2), 0) nooutput
set format "%g" # gnuplot's own begins with a blank and stands beside its tic
# The pixels that title and note take, whichever is wider.
note_width = 40 + 8 * strlen(note)
if (exists("title_width")) title_width = title_width < note_width ? note_width : title_width
array colour[6] = [0x0072b2, 0xd55e00, 0x009e73, 0xcc79a7, 0x56b4e9, 0x000000]
array open[6] = [6, 4, 8, 12, 10, 14]
array filled[6] = [7, 5, 9, 13, 11, 15]
pale = "#555555"
font_size = 12
# The pictures of a figure of width x height pixels, and what makes each: for picture in pictures, eval terminal(picture).
pictures = "svg png pdf"
terminal(picture) = picture eq "svg" \
    ? sprintf("set terminal svg standalone size %d, %d font 'DejaVu Sans,%d' background '#ffffff'", width, height, font_size) \
    : picture eq "png" \
    ? sprintf("set terminal pngcairo size %d, %d font 'DejaVu Sans,%d' fontscale 2 linewidth 2 pointscale 2", 2 * width, 2 * height, font_size) \
    : sprintf("set terminal pdfcairo size %.4f in, %.4f in font 'DejaVu Sans,%d' fontscale 0.75", width / 96.0, height / 96.0, font_size)
output(picture) = beside . name . "." . picture
# In a multiplot: what comes next is a key across the whole width, in the lowest key_height pixels.
key_panel = "set lmargin at screen 0.01; set rmargin at screen 0.99; set bmargin at screen 0; set tmargin at screen (key_height + 0.0) / height; unset border; unset tics; unset grid; unset xlabel; unset ylabel; unset label; set xrange [0:1]; set yrange [0:1]"
# ---- the figure
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
