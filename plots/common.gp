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
