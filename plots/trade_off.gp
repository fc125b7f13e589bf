# Figure trade-off: a panel for each column, a shape and colour for each row; filled: certified, open: as published, no proof.
# Data file: block 0 title and note, 1 label of every panel, 1 + p: the front of panel p, 2 + panels + (p - 1) * rows + (r - 1): a point:
# clean, lo, hi, certified, lo, hi (percent), 1 where it is a proof, its place among points that are equal.
left = 62
right = 14
width = given > 0 ? given : left + right + (panels < 3 || panels == 4 ? 2 : 3) * 290
across = floor((width - left - right) / 150)
across = across < 1 ? 1 : across > 3 ? 3 : across
across = panels == 4 && across == 3 ? 2 : across
across = across > panels ? panels : across
downwards = (panels + across - 1) / across
each = (width - left - right + 0.0) / across
each = each > 460 ? 460 : each
plot_width = each - 32
plot_height = plot_width < 260 ? 0.8 * plot_width + 40 : 260

# the second and the third six: other colours, smaller points, crosses first
array crosses[3] = [2, 1, 3]
shade(r) = colour[(r - 1 + 2 * ((r - 1) / 6)) % 6 + 1]
shape(r, proof) = proof && r > 6 && r < 10 ? crosses[r - 6] : proof ? filled[(r - 1) % 6 + 1] : open[(r - 1) % 6 + 1]
size(r) = r > 12 ? 0.6 : r > 9 ? 0.85 : 1.15
# equal points stand beside the first one, towards the middle
beside_equals(x, place) = x + place * 0.03 * (hi - lo) * (2 * x > lo + hi ? -1 : 1)
point(p, r) = 2 + panels + (p - 1) * rows + r - 1

array label[panels]
titled_panels = 0
do for [p = 1:panels] {
    stats file index 1 every ::p - 1::p - 1 using (label[p] = plain(strcol(2)), 0) nooutput
    titled_panels = titled_panels || label[p] ne ""
}
above = titled_panels ? 26 : 8
entries = 0
proofs = sum [r = 1:rows] proof[r]
do for [r = 1:rows] {
    called = ""
    stats file index point(1, r) every ::0::0 using (called = plain(strcol(1)), 0) nooutput
    if (rows > 1 || called ne "") { entries = entries + 1; entry[entries] = called }
}
named = entries
front = proofs > 0 ? entries + 1 : 0
if (front) { entries = entries + 1; entry[entries] = say("Pareto front") }
if (proofs < rows) { entries = entries + 1; entry[entries] = say("open: as published (no proof)") }
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
key_pt(k) = k <= named ? shape(k, proof[k]) : k == front ? 0 : 6
key_rgb(k) = k <= named ? shade(k) : 0x333333
key_lw(k) = k == front ? 1.6 : 0
key_dt(k) = 2
key_ps(k) = k <= named ? size(k) : 1
unset key

do for [picture in pictures] {
    eval terminal(picture)
    set output output(picture)
    set multiplot
    @header
    set label 99 say("Clean accuracy (%)") at screen (left + (across * each - 32) / 2.0) / width, screen (key_height + 16) / height center noenhanced
    do for [p = 1:panels] {
        if (p == 1) { @show_legend
        } else { @bare
        }
        x = (p - 1) % across
        y = (p - 1) / across
        top = head + above + y * (above + plot_height + foot)
        set lmargin at screen (left + x * each) / width
        set rmargin at screen (left + x * each + plot_width) / width
        set tmargin at screen 1 - (top + 0.0) / height
        set bmargin at screen 1 - (top + plot_height + 0.0) / height
        set label 3 put(label[p]) at graph 0.5, screen 1 - (top - 11.0) / height center font font(12) noenhanced
        if (x == 0) { set ylabel say("Certified accuracy (%)"); set format y "%g" } else { unset ylabel; set format y "" }
        plot for [r = 1:rows] file index point(p, r) using 2:4:($3 - $2):(0) with vectors nohead lw 0.9 lc rgb "#aaaaaa", \
             for [r = 1:rows] file index point(p, r) using 1:5:(0):($6 - $5) with vectors nohead lw 0.9 lc rgb "#aaaaaa", \
             file index 1 + p using 1:2 with lines lw 1.6 dt 2 lc rgb "#333333", \
             for [r = 1:rows] file index point(p, r) using (beside_equals($1, $8)):($7 == 1 ? $4 : NaN) with points pt shape(r, 1) ps ps(size(r)) lw 1.4 lc rgb shade(r), \
             for [r = 1:rows] file index point(p, r) using (beside_equals($1, $8)):($7 == 0 ? $4 : NaN) with points pt shape(r, 0) ps ps(size(r)) lw 1.4 lc rgb shade(r)
    }
    unset multiplot
    unset output
}
