# Figure time: milliseconds an image on a logarithmic axis, three bars for each network and device, each with its number and name.
# Data file: block 0 title and note, 1 position, label, note; 2 position, read, forward, certify (ms), images.
array shade[3] = [0x9ad1f5, 0x0072b2, 0xe69f00]
array part[3] = ["reading", "network", "certificates"]
left = 30 + 7 * label_width
width = left + 540
width = width < title_width ? title_width : width
width = width < 760 ? 760 : width
height = 132 + 66 * (bars < 2 ? 2 : bars)
set lmargin at screen (left + 0.0) / width
set rmargin at screen 1 - 130.0 / width
set tmargin at screen 1 - 70.0 / height
set bmargin at screen 62.0 / height
set label 1 title at screen 0.5, screen 1 - 22.0 / height center font ",14" noenhanced
set label 2 note at screen 0.5, screen 1 - 46.0 / height center textcolor rgb pale noenhanced
set xlabel "time (ms per image)"
set logscale x
set format x "%g"
set xrange [lo:hi]
set yrange [bars + 0.6:0.4]
unset ytics
set border 1 lc rgb "#444444"
set xtics nomirror
set grid xtics lt 1 lc rgb "#dddddd" lw 0.6
unset key
set style fill solid 1 noborder
y(k) = (k - 2) * 0.24

do for [picture in pictures] {
    eval terminal(picture)
    set output output(picture)
    plot for [k = 1:3] file index 2 using (column(k + 1) > 0 ? column(k + 1) : NaN):($1 + y(k)):(lo):(column(k + 1)):($1 + y(k) - 0.1):($1 + y(k) + 0.1) \
             with boxxyerror lc rgb shade[k], \
         for [k = 1:3] file index 2 using (column(k + 1) > 0 ? column(k + 1) : NaN):($1 + y(k)):(sprintf("%.3g  %s", column(k + 1), part[k])) with labels \
             left offset 0.5, 0 font ",9" textcolor rgb "#333333", \
         file index 1 using (lo):1:2 with labels right offset -1, 0.55 noenhanced, \
         file index 1 using (lo):1:3 with labels right offset -1, -0.65 font ",9" textcolor rgb pale noenhanced
    unset output
}
