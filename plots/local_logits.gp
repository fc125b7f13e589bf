# Figure local-logits: share of local vectors (percent, logarithmic) by their largest logit, clean and attacked.
# Data file: block 0 title and subtitle, 1 clean, 2 attacked: left edge of a bin, percent, count.
width = given > 0 ? given : 720
entries = 2
entry[1] = say("clean")
entry[2] = say("under attack")
@legend
body = (width < 500 ? 0.6 * width : 320) + 54 + key_height
@header
set tmargin at screen 1 - (head + 0.0) / height
set bmargin at screen (key_height + 54) / height
set lmargin at screen 74.0 / width
set rmargin at screen 1 - 20.0 / width
set xrange [lo - 1.5 * bin:hi + 1.5 * bin]
floor_ = least / 2
set yrange [floor_:100]
set logscale y
set border 3 lc rgb "#444444"
set tics nomirror
set grid ytics lt 1 lc rgb "#dddddd" lw 0.6
y(v) = v > floor_ ? v : floor_
array tint[2] = [0x0072b2, 0xa63c00]
array dashed[2] = [1, 2]
key_pt(k) = 0
key_rgb(k) = tint[k]
key_lw(k) = 2
key_dt(k) = dashed[k]
key_ps(k) = 1
unset key

do for [picture in pictures] {
    eval terminal(picture)
    set output output(picture)
    @header
    set xlabel say("Largest logit of a local vector")
    set ylabel say("Local vectors (%)")
    @show_legend
    plot file index 1 using 1:(y($2)) with steps lw 2.4 lc rgb tint[1] dt dashed[1], \
         file index 2 using 1:(y($2)) with steps lw 2 lc rgb tint[2] dt dashed[2]
    unset output
}
