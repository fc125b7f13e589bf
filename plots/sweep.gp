# Accuracy against a number: a panel for each kind of accuracy, a line for each row: its colour, its shape and its dashes.
# Data file: block 0 title, note and x axis; 1 + (p - 1) * rows + (r - 1): panel p, row r: x, value, lo, hi (percent), n.
axis = ""
stats file index 0 every ::0::0 using (axis = strcol(3), 0) nooutput
array heading[4] = [say("clean"), say("certified"), say("certified as published (no proof)"), say("under attack")]

left = 62
right = 14
width = given > 0 ? given : left + right + (panels < 2 ? 2 : panels) * 290
across = floor((width - left - right) / 150)
across = across < 1 ? 1 : across > panels ? panels : across
across = across == 3 && panels == 4 ? 2 : across
downwards = (panels + across - 1) / across
each = (width - left - right + 0.0) / across
plot_width = each - 20
plot_height = plot_width < 260 ? 0.8 * plot_width + 40 : 270
array heading_lines[4]
tallest = 1
do for [p = 1:panels] {
    heading_lines[p] = wrap(heading[kind[p]], room(plot_width + 12, 12))
    tallest = lines(heading_lines[p]) > tallest ? lines(heading_lines[p]) : tallest
}
above = 8 + 17 * tallest

entries = 0
do for [r = 1:rows] {
    called = ""
    stats file index r every ::0::0 using (called = plain(strcol(1)), 0) nooutput
    if (rows > 1 || called ne "") { entries = entries + 1; entry[entries] = called }
}
@legend
axis_lines = wrap(axis, room(width - 24, 12))
foot = 36 + 17 * lines(axis_lines) + key_height
body = downwards * (above + plot_height) + (downwards - 1) * 26 + foot
@header

span = hi - lo
# x, moved by a share of the axis
moved(x, share) = logarithmic ? x * (1.0 * hi / lo) ** share : x + share * span
nudge = 0.08 / rows > 0.014 ? 0.014 : 0.08 / rows
beside_others(x, r) = moved(x, (r - (rows + 1) / 2.0) * nudge)
set xrange [moved(lo, -0.07):moved(hi, 0.07)]
if (logarithmic) { set logscale x }
set yrange [-0.03 * high:1.03 * high]
set ytics high > 50 ? 20 : high > 20 ? 10 : 5
# The numbers that there is room for, the last one among them.
at(k) = logarithmic ? log(tic[k] / lo) / log(1.0 * hi / lo) : 1.0 * (tic[k] - lo) / span
apart(i, k) = (at(k) - at(i)) * plot_width / 1.14 - long(strlen(tic_name[i]) + strlen(tic_name[k])) / 2 >= 4
set xtics (tic_name[1] tic[1])
last = 1
do for [i = 2:tics] {
    if (apart(last, i) && (i == tics || apart(i, tics))) {
        set xtics add (tic_name[i] tic[i])
        last = i
    }
}
if (last < tics) { set xtics add (tic_name[tics] tic[tics]) }
set border 3 lc rgb "#444444"
set tics nomirror
set grid lt 1 lc rgb "#e4e4e4" lw 0.6
key_pt(k) = mark(k)
key_rgb(k) = hue(k)
key_lw(k) = stroke(k, rows)
key_dt(k) = dash(k)
key_ps(k) = 0.8
unset key

do for [picture in pictures] {
    eval terminal(picture)
    set output output(picture)
    set multiplot
    @header
    do for [i = 1:lines(axis_lines)] {
        set label 90 + i put(line(axis_lines, i)) at screen (left + (width - left - right - 20.0) / 2) / width, \
            screen (foot - 20.0 - 17 * i) / height center noenhanced
    }
    do for [p = 1:panels] {
        if (p == 1) { @show_legend
        } else { @bare
        }
        x = (p - 1) % across
        y = (p - 1) / across
        top = head + above + y * (above + plot_height + 26)
        set lmargin at screen (left + x * each) / width
        set rmargin at screen (left + x * each + plot_width) / width
        set tmargin at screen 1 - (top + 0.0) / height
        set bmargin at screen 1 - (top + plot_height + 0.0) / height
        do for [i = 1:tallest] {
            set label 3 + i i <= lines(heading_lines[p]) ? put(line(heading_lines[p], i)) : "" \
                at screen (left + x * each + plot_width / 2) / width, screen 1 - (top - above + 17.0 * i - 5) / height center font font(12) noenhanced
        }
        if (x == 0) { set ylabel say("Accuracy (%)"); set format y "%g" } else { unset ylabel; set format y "" }
        plot for [r = 1:rows] file index 1 + (p - 1) * rows + r - 1 using (beside_others($1, r)):2 with lines lw stroke(r, rows) \
                 dt dash(r) lc rgb hue(r), \
             for [r = 1:rows] file index 1 + (p - 1) * rows + r - 1 using (beside_others($1, r)):3:(0):($4 - $3) with vectors nohead lw 1.2 lc rgb hue(r), \
             for [r = 1:rows] file index 1 + (p - 1) * rows + r - 1 using (beside_others($1, r)):2 with points pt mark(r) ps ps(0.8) lc rgb hue(r)
    }
    unset multiplot
    unset output
}
