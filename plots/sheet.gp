# The contact sheet. Units are those of an image's longer side, y downwards; images go line by line, `blocks` side by side.
# Data file: block 0 title and subtitle, 1 headings, 2 to 4 texts (plain, broken images, second lines), 5 and 6 outlines.
# sheet-pixels.npy and sheet-evidence.npy: two pictures an image behind a header of *_head bytes.
# Colours: ColorBrewer RdBu.

block = 4 * pitch + gap
X(i) = (i % blocks) * block
Y(i) = (i / blocks) * (tile_height + labels)
pixels_size = 3 * pixels_width * pixels_height
map_size = 4 * map_width * map_height

unit = 118.0
left = 0.12
top = 1.1
total_x = blocks * block - gap - (pitch - tile_width)
total_y = lines * (tile_height + labels)
width = unit * (total_x + 2 * left)
legend = "evidence on the attacked image: red for the class, blue against it;  orange: patch"
if (masked) legend = legend . ";  black: masked window"
legend_width = 40 + 7 * strlen(legend)
title_width = 40 + 11 * strlen(title)
note_width = 40 + 8 * strlen(note)
width = width < title_width ? title_width : width
width = width < note_width ? note_width : width
width = width < legend_width ? legend_width : width
side = (width / unit - total_x) / 2
height = unit * (total_y + top)
set xrange [-side:total_x + side]
set yrange [total_y:-top]
set lmargin at screen 0
set rmargin at screen 1
set tmargin at screen 1
set bmargin at screen 0
unset key
unset tics
unset border
set palette defined (-1 "#2166ac", -0.5 "#92c5de", 0 "#f7f7f7", 0.5 "#f4a582", 1 "#b2182b")
set cbrange [-1:1]
bar = 2.0 # long, in units
set colorbox horizontal user origin screen 0.5 - unit * bar / 2 / width, screen 1 - unit * (top - 0.39) / height \
    size screen unit * bar / width, screen unit * 0.06 / height noborder
set cbtics (sprintf("%.3g", -scale) -1, sprintf("%.3g", -scale / 2) -0.5, "0" 0, sprintf("%.3g", scale / 2) 0.5, \
    sprintf("%.3g", scale) 1) scale 0 offset 0, 0.4 font ",9" textcolor rgb pale
set label 1 title at first total_x / 2, first -0.93 center font ",14" noenhanced
set label 2 note at first total_x / 2, first -0.70 center textcolor rgb pale noenhanced
set label 3 legend at first total_x / 2, first -0.52 center font ",10" textcolor rgb pale noenhanced
do for [i = 0:images - 1] { do for [k = 0:3] {
    set object 10 + 4 * i + k rectangle from first X(i) + k * pitch, first Y(i) to first X(i) + k * pitch + tile_width, \
        first Y(i) + tile_height behind fillstyle solid noborder fillcolor rgb "#e4e4e4"
} }

do for [picture in pictures] {
    eval terminal(picture)
    set output output(picture)
    plot for [i = 0:images - 1] for [k = 0:1] "sheet-pixels.npy" binary array=(pixels_width, pixels_height) \
             skip=(pixels_head + (2 * i + k) * pixels_size) format="%uchar%uchar%uchar" \
             origin=(X(i) + k * pitch + pixel / 2, Y(i) + pixel / 2) dx=pixel dy=pixel using 1:2:3 with rgbimage, \
         for [i = 0:images - 1] for [k = 0:1] "sheet-evidence.npy" binary array=(map_width, map_height) \
             skip=(map_head + (2 * i + k) * map_size) format="%float" \
             origin=(X(i) + (2 + k) * pitch + map_x, Y(i) + map_y) dx=map_dx dy=map_dy using 1 with image, \
         file index 5 using 1:2 with lines lw 3 lc rgb "#ffffff", \
         file index 5 using 1:2 with lines lw 1.4 lc rgb "#d55e00", \
         file index 6 using 1:2 with lines lw 1.6 lc rgb "#000000", \
         file index 1 using 1:2:3 with labels font ",10" textcolor rgb pale noenhanced, \
         file index 2 using 1:2:3 with labels font ",10" noenhanced, \
         file index 3 using 1:2:3 with labels font ",10" textcolor rgb "#b2182b" noenhanced, \
         file index 4 using 1:2:3 with labels font ",9" textcolor rgb "#777777" noenhanced
    unset output
}
