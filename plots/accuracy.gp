# Figure accuracy: one line per defense, one shape and colour per patch size; open: clean, filled: certified.
# Where both are equal, one lies in the other.
# Read from the data file: block 0 title and note, block 1 rows, then for each column clean, certified (its legend first), published.
# Points: position, value, lo, hi (percent), n.
left = 22 + long(label_width)
width = given > 0 ? given : left + 480 < 640 ? 640 : left + 480
above = left > 0.42 * width # long names stand above their points
left = above ? 16 : left

array label[rows]
do for [r = 1:rows] { stats file index 1 every ::r - 1::r - 1 using (label[r] = plain(strcol(2)), 0) nooutput }
texts = 0
do for [r = 1:rows] { texts = above && lines(wrap(label[r], room(width - 40, 12))) > texts ? lines(wrap(label[r], room(width - 40, 12))) : texts }
pitch = 14 + 11 * columns + 17 * texts
share = 17.0 * texts / pitch # of a row, that its name takes
step = (0.8 - 0.8 * share) / columns
shift(c) = share / 2 + (c - (columns + 1) / 2.0) * step
# The kinds of points in black, then the columns, unless there is only one.
entries = published ? 3 : 2
entry[1] = say("clean")
entry[2] = say("certified")
entry[3] = say("certified as published (no proof)")
kinds = entries
do for [c = 1:columns] {
    called = ""
    stats file index 3 * c every ::0::0 using (called = plain(strcol(1)), 0) nooutput
    if (called ne "") { entries = entries + 1; entry[entries] = called }
}
many = entries > kinds
hues(c) = many || columns > 1 ? colour[c] : 0x0072b2
@legend
body = rows * pitch + 62 + key_height
@header
set tmargin at screen 1 - head / height
set bmargin at screen (key_height + 54) / height
set lmargin at screen left / width
set rmargin at screen 1 - 22.0 / width
set xrange [-0.02 * high:1.02 * high]
set xtics high > 50 ? (width > 500 ? 10 : 20) : high > 20 ? 10 : 5
set yrange [rows + 0.5:0.5]
set grid xtics lt 1 lc rgb "#dddddd" lw 0.6
set border 3 lc rgb "#444444"
set tics nomirror
unset ytics
do for [r = 1:rows - 1] { set arrow from graph 0, first r + 0.5 to graph 1, first r + 0.5 nohead lt 1 lc rgb "#dddddd" lw 0.6 back }
key_pt(k) = k == 1 ? 6 : k == 2 ? 7 : k == 3 && published ? 2 : filled[k - kinds]
key_rgb(k) = k <= kinds ? 0x444444 : hues(k - kinds)
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
    plot for [c = 1:columns] for [k = -1:1] file index 3 * c + k using 3:($1 + shift(c)):($4 - $3):(0) with vectors nohead lw 1.2 lc rgb hues(c), \
         for [c = 1:columns] file index 3 * c using 2:($1 + shift(c)) with points pt filled[c] ps ps(0.6) lc rgb hues(c), \
         for [c = 1:columns] file index 3 * c - 1 using 2:($1 + shift(c)) with points pt open[c] ps ps(1) lw 1.2 lc rgb hues(c), \
         for [c = 1:columns] file index 3 * c + 1 using 2:($1 + shift(c)) with points pt 2 ps ps(0.9) lw 1.2 lc rgb hues(c)
    unset output
}
