# Figure time: milliseconds an image on a logarithmic axis, three points for each network and device, each with its number and name.
# Data file: block 0 title and note, 1 position, label, note; 2 position, read, forward, certify (ms), images.
array shade[3] = [0x56b4e9, 0x0072b2, 0xd55e00]
array shape[3] = [9, 7, 5]
array part[3] = [say("reading"), say("network"), say("certificates")]
width = given > 0 ? given : 760
array label[bars]
array small[bars]
tallest = 0
do for [b = 1:bars] {
    stats file index 1 every ::b - 1::b - 1 using (label[b] = plain(strcol(2)), small[b] = strcol(3), 0) nooutput
    label[b] = wrap(label[b], room(width - 40, 12))
    small[b] = wrap(small[b], room(width - 40, 12))
    tallest = lines(label[b]) + lines(small[b]) > tallest ? lines(label[b]) + lines(small[b]) : tallest
}
pitch = 17.0 * tallest + 3 * 19 + 12
body = bars * pitch + 62
@header
set lmargin at screen 26.0 / width
set rmargin at screen 1 - 20.0 / width
set tmargin at screen 1 - (head + 0.0) / height
set bmargin at screen 54.0 / height
set logscale x
set xrange [lo:hi * (hi / lo) ** (width < 500 ? 0.42 : 0.2)] # and the last number's text
set xtics 10
set yrange [bars + 0.5:0.5]
unset ytics
set border 1 lc rgb "#444444"
set xtics nomirror
set grid xtics lt 1 lc rgb "#dddddd" lw 0.6
unset key
y(b, k) = b - 0.5 + (17.0 * tallest + 19 * k - 4) / pitch
do for [b = 1:bars - 1] { set arrow from graph 0, first b + 0.5 to graph 1, first b + 0.5 nohead lt 1 lc rgb "#dddddd" lw 0.6 back }

do for [picture in pictures] {
    eval terminal(picture)
    set output output(picture)
    @header
    set xlabel say("Time per image (ms)")
    do for [b = 1:bars] {
        do for [i = 1:lines(label[b])] {
            set label 200 + 20 * b + i put(line(label[b], i)) at graph 0, first b - 0.5 + (17.0 * i - 5) / pitch left noenhanced
        }
        do for [i = 1:lines(small[b])] {
            set label 210 + 20 * b + i put(line(small[b], i)) at graph 0, first b - 0.5 + (17.0 * (lines(label[b]) + i) - 5) / pitch left \
                font font(10) textcolor rgb pale noenhanced
        }
    }
    plot for [k = 1:3] file index 2 using (column(k + 1) > 0 ? column(k + 1) : NaN):(y($1, k)) with points pt shape[k] ps ps(1.1) lc rgb shade[k], \
         for [k = 1:3] file index 2 using (column(k + 1) > 0 ? column(k + 1) : lo):(y($1, k)):(sprintf("%.3g  %s", column(k + 1), put(part[k]))) \
             with labels left offset character 1, 0 font font(10) textcolor rgb "#333333" noenhanced
    unset output
}
