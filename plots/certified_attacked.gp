# Figure certified-attacked: a line for each cell, from certified (filled) over under attack (square) to clean (open).
# Data file: block 0 title and note, 1 labels, 2 certified, 3 under attack, 4 clean, 5 the lines, 6 broken certificates.
left = 22 + long(label_width)
width = given > 0 ? given : left + 480 < 640 ? 640 : left + 480
above = left > 0.42 * width # long names stand above their points
left = above ? 16 : left

array label[rows]
do for [r = 1:rows] { stats file index 1 every ::r - 1::r - 1 using (label[r] = plain(strcol(2)), 0) nooutput }
texts = 0
do for [r = 1:rows] { texts = above && lines(wrap(label[r], room(width - 40, 12))) > texts ? lines(wrap(label[r], room(width - 40, 12))) : texts }
pitch = 24 + 17 * texts
lower = 8.5 * texts / pitch
entries = 3
entry[1] = say("certified")
entry[2] = say("under attack")
entry[3] = say("clean")
@legend
body = (rows < 3 ? 3 : rows) * pitch + 62 + key_height
@header
set tmargin at screen 1 - head / height
set bmargin at screen (key_height + 54) / height
set lmargin at screen left / width
set rmargin at screen 1 - 22.0 / width
set xrange [-2:102]
set xtics width > 500 ? 10 : 20
set yrange [rows + 0.5:0.5]
set grid xtics lt 1 lc rgb "#dddddd" lw 0.6
set border 3 lc rgb "#444444"
set tics nomirror
unset ytics
array shape[3] = [7, 5, 6]
array tint[3] = [0x0072b2, 0xd55e00, 0x444444]
key_pt(k) = shape[k]
key_rgb(k) = tint[k]
key_lw(k) = 0
key_dt(k) = 1
key_ps(k) = 1
unset key

do for [picture in pictures] {
    eval terminal(picture)
    set output output(picture)
    @header
    set xlabel say("Accuracy (%)")
    do for [r = 1:rows] { do for [i = 1:(above ? lines(wrap(label[r], room(width - 40, 12))) : 1)] {
        if (above) {
            set label 200 + 8 * r + i put(line(wrap(label[r], room(width - 40, 12)), i)) at graph 0, first r - 0.5 + (17.0 * i - 7) / pitch \
                left offset character 0.6, 0 font font(12) noenhanced
        } else { set label 200 + 8 * r put(label[r]) at graph 0, first r right offset character -0.8, 0 font font(12) noenhanced }
    } }
    @show_legend
    plot file index 5 using 2:($1 + lower):($3 - $2):(0) with vectors nohead lw 1 dt 3 lc rgb "#888888", \
         for [k = 1:3] file index k + 1 using 3:($1 + lower):($4 - $3):(0) with vectors nohead lw 1.2 lc rgb tint[k], \
         for [k = 1:3] file index k + 1 using 2:($1 + lower) with points pt shape[k] ps ps(k == 2 ? 0.8 : 1.1) lw 1.2 lc rgb tint[k], \
         file index 6 using 2:($1 + lower) with points pt 2 ps ps(2) lw 2.5 lc rgb "#000000"
    unset output
}
