# Figure accuracy: one line per defense, one shape and colour per patch size; open: clean, filled: certified.
# Where both are equal, one lies in the other.
# Read from the data file: block 0 title and note, block 1 rows, then for each column clean, certified (its legend first), published.
# Points: position, value, lo, hi (percent), n.
left = 22 + long(label_width)
width = given ? given : left + 480 < 640 ? 640 : left + 480
above = left > 0.42 * width # long names stand above their points
left = above ? 16 : left

array label[rows]
do for [r = 1:rows] { stats file index 1 every ::r - 1::r - 1 using (label[r] = strcol(2), 0) nooutput }
texts = 0
do for [r = 1:rows] { texts = above && lines(wrap(label[r], room(width - 40, 12))) > texts ? lines(wrap(label[r], room(width - 40, 12))) : texts }
pitch = 14 + 11 * columns + 17 * texts
share = 17.0 * texts / pitch # of a row, that its name takes
step = (0.8 - 0.8 * share) / columns
shift(c) = share / 2 + (c - (columns + 1) / 2.0) * step
# The kinds of points in black, then the columns, unless there is only one.
entries = published ? 3 : 2
entry[1] = renamed("clean", 1)
entry[2] = renamed("certified", 1)
entry[3] = renamed("certified as published (no proof)", 1)
kinds = entries
do for [c = 1:columns] {
    called = ""
    stats file index 3 * c every ::0::0 using (called = strcol(1), 0) nooutput
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
set bars 0.4
do for [r = 1:rows - 1] { set arrow from graph 0, first r + 0.5 to graph 1, first r + 0.5 nohead lt 1 lc rgb "#dddddd" lw 0.6 back }
shape(k) = k == 1 ? 6 : k == 2 ? 7 : k == 3 && published ? 2 : filled[k - kinds]
tint(k) = k <= kinds ? 0x444444 : hues(k - kinds)

do for [picture in pictures] {
    eval terminal(picture)
    set output output(picture)
    @header
    set xlabel say("Accuracy (%)")
    if (above) {
        unset ytics
        do for [r = 1:rows] { do for [i = 1:lines(wrap(label[r], room(width - 40, 12)))] {
            set label 200 + 8 * r + i text(line(wrap(label[r], room(width - 40, 12)), i)) at graph 0, first r - 0.5 + (17.0 * i - 7) / pitch \
                left offset character 0.6, 0 font font(12) noenhanced
        } }
    } else {
        set ytics scale 0 noenhanced
        set ytics ("" 0)
        do for [r = 1:rows] { set ytics add (text(label[r]) r) }
    }
    @show_legend
    plot for [c = 1:columns] file index 3 * c using 2:($1 + shift(c)):3:4 with xerrorbars \
             pt filled[c] ps ps(0.6) lw 1.2 lc rgb hues(c) notitle, \
         for [c = 1:columns] file index 3 * c - 1 using 2:($1 + shift(c)):3:4 with xerrorbars \
             pt open[c] ps ps(1) lw 1.2 lc rgb hues(c) notitle, \
         for [c = 1:columns] file index 3 * c + 1 using 2:($1 + shift(c)):3:4 with xerrorbars \
             pt 2 ps ps(0.9) lw 1.2 lc rgb hues(c) notitle, \
         for [k = 1:key_lines] keyentry with points pt shape(of(k)) ps ps(0.9) lw 1.2 \
             lc rgb ink(k, tint(of(k))) title text(key_text[k])
    unset output
}
