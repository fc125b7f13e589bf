# Figure trade-off: a panel for each column, a shape and colour for each row; filled: certified, open: as published, no proof.
# Data file: block 0 title and note, 1 label of every panel, 1 + p: the front of panel p, 2 + panels + (p - 1) * rows + (r - 1): a point:
# clean, lo, hi, certified, lo, hi (percent), 1 where it is a proof, its place among points that are equal.
left = 62
right = 14
width = given ? given : left + right + (panels < 3 ? (panels < 2 ? 2 : panels) : 3) * 290
across = floor((width - left - right) / 150)
across = across < 1 ? 1 : across > 3 ? 3 : across
across = across > panels ? panels : across
downwards = (panels + across - 1) / across
each = (width - left - right + 0.0) / across
each = each > 460 ? 460 : each
plot_width = each - 22
plot_height = plot_width < 260 ? 0.8 * plot_width + 40 : 260

# the second and the third six: other colours, smaller points
shade(r) = colour[(r - 1 + 2 * ((r - 1) / 6)) % 6 + 1]
shape(r, proof) = proof ? filled[(r - 1) % 6 + 1] : open[(r - 1) % 6 + 1]
size(r) = ps(r > 12 ? 0.6 : r > 6 ? 0.85 : 1.15)
# equal points stand beside the first one, towards the middle
beside_equals(x, place) = x + place * 0.03 * (hi - lo) * (2 * x > lo + hi ? -1 : 1)
point(p, r) = 2 + panels + (p - 1) * rows + r - 1

array label[panels]
titled_panels = 0
do for [p = 1:panels] {
    stats file index 1 every ::p - 1::p - 1 using (label[p] = strcol(2), 0) nooutput
    titled_panels = titled_panels || label[p] ne ""
}
above = titled_panels ? 26 : 8
entries = 0
proofs = sum [r = 1:rows] proof[r]
do for [r = 1:rows] {
    called = ""
    stats file index point(1, r) every ::0::0 using (called = strcol(1), 0) nooutput
    if (rows > 1 || called ne "") { entries = entries + 1; entry[entries] = called }
}
named = entries
front = proofs > 0 ? entries + 1 : 0
if (front) { entries = entries + 1; entry[entries] = renamed("Pareto front", 1) }
if (proofs < rows) { entries = entries + 1; entry[entries] = renamed("open: as published (no proof)", 1) }
@legend
foot = 50
body = downwards * (above + plot_height + foot) + key_height
@header
set xrange [lo:hi]
set yrange [-0.03 * high:1.03 * high]
set xtics hi - lo > 50 ? 20 : hi - lo > 20 || plot_width < 200 ? 10 : 5
set ytics high > 50 ? 20 : high > 20 ? 10 : 5
set border 3 lc rgb "#444444"
set tics nomirror
set grid lt 1 lc rgb "#e4e4e4" lw 0.6
set bars 0.3

do for [picture in pictures] {
    eval terminal(picture)
    set output output(picture)
    set multiplot
    @header
    set label 99 say("Clean accuracy (%)") at screen (left + (across * each - 22) / 2.0) / width, screen (key_height + 16) / height center noenhanced
    do for [p = 1:panels] {
        x = (p - 1) % across
        y = (p - 1) / across
        top = head + above + y * (above + plot_height + foot)
        set lmargin at screen (left + x * each) / width
        set rmargin at screen (left + x * each + plot_width) / width
        set tmargin at screen 1 - (top + 0.0) / height
        set bmargin at screen 1 - (top + plot_height + 0.0) / height
        set label 3 text(label[p]) at graph 0.5, screen 1 - (top - 11.0) / height center font font(12) noenhanced
        if (x == 0) { set ylabel say("Certified accuracy (%)") offset 0.8, 0; set format y "%g" } else { unset ylabel; set format y "" }
        if (p == 1) { @show_legend
        } else { unset key }
        if (p == 2) {
            @hide_header
            unset label 99
        }
        plot for [r = 1:rows] file index point(p, r) using 1:4:2:3:5:6 with xyerrorbars pt 0 lw 0.9 lc rgb "#aaaaaa" notitle, \
             file index 1 + p using 1:2 with lines lw 1.6 dt 2 lc rgb "#333333" notitle, \
             for [r = 1:rows] file index point(p, r) using (beside_equals($1, $8)):($7 == 1 ? $4 : NaN) with points pt shape(r, 1) ps size(r) lc rgb shade(r) notitle, \
             for [r = 1:rows] file index point(p, r) using (beside_equals($1, $8)):($7 == 0 ? $4 : NaN) with points pt shape(r, 0) ps size(r) lw 1.4 lc rgb shade(r) notitle, \
             for [k = 1:key_lines] keyentry with linespoints pt (of(k) <= named ? shape(of(k), proof[of(k)]) : of(k) == front ? -1 : 6) \
                 ps (of(k) <= named ? size(of(k)) : ps(1)) lw (of(k) == front ? 1.6 : 0) dt 2 \
                 lc rgb ink(k, of(k) <= named ? shade(of(k)) : 0x333333) title text(key_text[k])
    }
    unset multiplot
    unset output
}
