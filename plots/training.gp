# Figure training: the loss and, where some epoch has it, the validation accuracy against the epoch.
# Data file: block 0 title and note, c: name of a network with its accuracy, then epoch, loss, accuracy (percent), 1 for the last epoch.
left = 62
right = 14
width = given > 0 ? given : 780
across = width > 560 && measured ? 2 : 1
each = (width - left - right + 0.0) / across
plot_width = across == 2 ? each - 60 : each
plot_height = plot_width < 320 ? 0.62 * plot_width + 40 : 0.5 * plot_width + 60
above = 12
foot = 54
entries = curves
do for [c = 1:curves] { stats file index c every ::0::0 using (entry[c] = plain(strcol(1)), 0) nooutput }
@legend
body = (measured ? 2 / across : 1) * (above + plot_height + foot) + key_height
@header
set xrange [0:most * 1.04 + 0.2]
set border 3 lc rgb "#444444"
set tics nomirror
if (most < 10) { set xtics 1 }
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
    set multiplot
    @header
    set xlabel say("Epoch") offset 0, 0.3
    do for [p = 1:1 + measured] {
        if (p == 1) { @show_legend
        } else { @bare
        }
        x = across == 2 ? p - 1 : 0
        top = head + above + (across == 2 ? 0 : p - 1) * (above + plot_height + foot)
        set lmargin at screen (left + x * (plot_width + 60.0)) / width
        set rmargin at screen (left + x * (plot_width + 60.0) + plot_width) / width
        set tmargin at screen 1 - (top + 0.0) / height
        set bmargin at screen 1 - (top + plot_height + 0.0) / height
        if (p == 1) {
            set ylabel say("Training loss")
            set yrange [0:high * 1.05]
            set ytics auto
        } else {
            set ylabel say("Validation accuracy (%)")
            set yrange [0:100]
            set ytics 20
        }
        plot for [c = 1:curves] file index c using 1:(column(p + 1)) with lines lw stroke(c, curves) dt dash(c) lc rgb hue(c), \
             for [c = 1:curves] file index c using 1:($4 == 1 ? column(p + 1) : NaN) with points pt mark(c) ps ps(0.8) lc rgb hue(c)
    }
    unset multiplot
    unset output
}
