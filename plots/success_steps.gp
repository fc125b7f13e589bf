# Figure success-steps: percent of the images still correct against the steps of an image's attack; dotted: certified.
# Behind the last step, at "end": accuracy under attack with its interval (filled), over certified accuracy (open).
# Data file: block 0 title and note; curve c: block 2c - 1 (its label first) and block 2c (certified).
width = given > 0 ? given : 760
entries = 0
do for [c = 1:curves] {
    called = ""
    stats file index 2 * c - 1 every ::0::0 using (called = plain(strcol(1)), 0) nooutput
    if (curves > 1 || called ne "") { entries = entries + 1; entry[entries] = called }
}
@legend
body = (width < 500 ? 0.6 * width : 320) + 54 + key_height
@header
set tmargin at screen 1 - (head + 6.0) / height
set bmargin at screen (key_height + 54) / height
set lmargin at screen 62.0 / width
set rmargin at screen 1 - 16.0 / width
last = most < 10 ? 10 : most
logarithmic = last > 50
if (logarithmic) { set logscale x }
# behind the last step by a share of the axis
behind(share) = logarithmic ? last ** (1 + share) : last + share * (last - 1)
end(c) = behind(0.06 + 0.24 * (c - 0.5) / curves)
set xrange [1:behind(0.34)]
if (logarithmic) { set xtics 1, 10, last } else { set xtics 0, (last > 25 ? 10 : last > 10 ? 5 : 2), last }
set xtics add ("end" behind(0.18))
set arrow from first last, graph 0 to first last, graph 1 nohead lw 0.8 lc rgb "#bbbbbb"
set yrange [-3:103]
set ytics 20
set border 3 lc rgb "#444444"
set tics nomirror
set grid lt 1 lc rgb "#e4e4e4" lw 0.6
key_pt(k) = mark(k)
key_rgb(k) = hue(k)
key_lw(k) = stroke(k, curves)
key_dt(k) = dash(k)
key_ps(k) = 0.8
unset key

do for [picture in pictures] {
    eval terminal(picture)
    set output output(picture)
    @header
    set xlabel say("Attack steps")
    set ylabel say("Accuracy under attack (%)")
    @show_legend
    plot for [c = 1:curves] file index 2 * c using (1):1:(end(c) - 1):(0) with vectors nohead dt 3 lw 1.3 lc rgb hue(c), \
         for [c = 1:curves] file index 2 * c using (end(c)):1 with points pt open[(c - 1) % 6 + 1] ps ps(0.8) lw 1.4 lc rgb hue(c), \
         for [c = 1:curves] file index 2 * c - 1 using 1:2 with steps lw stroke(c, curves) dt dash(c) lc rgb hue(c), \
         for [c = 1:curves] file index 2 * c - 1 using (end(c)):3:(0):($4 - $3) with vectors nohead lw 1.2 lc rgb hue(c), \
         for [c = 1:curves] file index 2 * c - 1 using (end(c)):($3 >= 0 ? $2 : NaN) with points pt mark(c) ps ps(0.8) lc rgb hue(c)
    unset output
}
