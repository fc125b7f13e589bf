# ---- plots/common.gp: what all figures share. Before it stand `name`, the style and the numbers of the figure.
# Block 0 of the data file: title, note and perhaps an axis; then the words that the user renames, old and new, one a line.
# Colours: Okabe and Ito, with a shape and a dash each, so that grey tells them apart as well. Text in the data is never enhanced and
# never code; `put` escapes it for LaTeX.
# Lengths are in units of 1/12 of the text's height: pixels of a screen, where it is 12 pixels high; times `zoom` on paper. `given`: the
# width that the user asks for, 0: as the contents like.
if (!exists("beside")) beside = "" # the folder that data and pictures are in, while the program draws
file = beside . name . ".tsv"
set datafile separator "\t"
set datafile commentschars ""
set encoding utf8
title = ""
note = ""
stats file index 0 every ::0::0 using (title = strcol(1), note = strcol(2), 0) nooutput
array old[renames + 1]
array new[renames + 1]
do for [i = 1:renames] { stats file index 0 every ::i::i using (old[i] = strcol(1), new[i] = strcol(2), 0) nooutput }
set format "%g" # gnuplot's own begins with a blank and stands beside its tic
array colour[6] = [0x0072b2, 0xd55e00, 0x009e73, 0xcc79a7, 0x56b4e9, 0x000000]
array open[6] = [6, 4, 8, 12, 10, 14]
array filled[6] = [7, 5, 9, 13, 11, 15]
set dashtype 2 (9, 4)
set dashtype 3 (2, 3)
set dashtype 4 (10, 3, 2, 3)
set dashtype 5 (5, 2)
set dashtype 6 (10, 3, 2, 3, 2, 3)
set dashtype 7 (16, 4)
set dashtype 8 (4, 5)
set dashtype 9 (16, 3, 4, 3)
set dashtype 10 (2, 6)
set dashtype 11 (6, 3, 6, 8)
set dashtype 12 (12, 8)
pale = paper ? "#333333" : "#555555"
# The series of a figure, twelve at most: colours and shapes recur, dashes do not. Only the first is solid, and wider: of lines that
# coincide it shows in the gaps of the others.
hue(r) = colour[(r - 1) % 6 + 1]
mark(r) = filled[(r - 1) % 6 + 1]
dash(r) = r
stroke(r, series) = r == 1 && series > 1 ? 2.6 : 1.6
ps(size) = size * zoom * (vector ? 0.75 : 1) # the points of an SVG are larger
# On paper all text is of one size and more.
font(size) = sprintf(",%.4g", (paper && size < 12 ? 12 : size) * zoom)

# ---- Text
latex = 0
plain(s) = s eq '""' ? "" : s # an empty text of the data
special(c) = strstrt("#$%&_{}", c) > 0 ? "\\" . c : c eq "\\" ? "\\textbackslash{}" : c eq "~" ? "\\textasciitilde{}" : c eq "^" ? "\\textasciicircum{}" \
    : c eq "<" ? "\\textless{}" : c eq ">" ? "\\textgreater{}" : c eq "|" ? "\\textbar{}" : c
escaped(s) = strlen(s) > 1 ? escaped(s[1:strlen(s) / 2]) . escaped(s[strlen(s) / 2 + 1:*]) : s eq "" ? "" : special(s)
put(s) = latex ? escaped(s) : s
# A word of a script, as the user wants it: --label OLD=NEW.
renamed(s, i) = i > renames ? s : old[i] eq s ? new[i] : renamed(s, i + 1)
say(s) = put(renamed(s, 1))
# In lines of n characters at most.
blank(s, k) = k < 1 ? 0 : s[k:k] eq " " ? k : blank(s, k - 1)
wrap(s, n) = strlen(s) <= n ? s : (cut_at = blank(s, n + 1)) > 1 ? s[1:cut_at - 1] . "\n" . wrap(s[cut_at + 1:*], n) : s[1:n] . "\n" . wrap(s[n + 1:*], n)
lines(s) = strstrt(s, "\n") > 0 ? 1 + lines(s[strstrt(s, "\n") + 1:*]) : 1
line(s, i) = i > 1 ? line(s[strstrt(s, "\n") + 1:*], i - 1) : strstrt(s, "\n") > 0 ? s[1:strstrt(s, "\n") - 1] : s
# Units that n characters take, at most; characters that so many units have room for.
long(n) = 7.6 * n
room(units, size) = floor(units / (0.633 * size)) > 8 ? floor(units / (0.633 * size)) : 8

# ---- Pictures
# What makes each picture of width x height units: for picture in pictures, eval terminal(picture).
pictures = tex ? "svg png pdf tex" : "svg png pdf"
dots = paper ? 4 : 2 # of the PNG for each pixel of the SVG, as long as gnuplot has memory for them
# What each terminal makes of a font of 12, a line of 1 and a point of 1 differs: the factors below make pixels of all of them.
inches(length) = floor(length * zoom * 0.75 + 0.5) / 72.0 + 1e-5 # whole points, as gnuplot makes them
finest(height) = height * zoom * dots > 32000 ? 32000 / (height * zoom) : dots
vector = 0
terminal(picture) = (vector = picture eq "svg", latex = picture eq "tex") \
    ? sprintf("set terminal cairolatex pdf size %.6f in, %.6f in font '%s%s' fontscale 0.5625 linewidth %g pointscale 0.75 header '\\fontsize{%.4g}{%.4g}\\selectfont'", \
              inches(width), inches(height), font_name, font(12), 1.5 * zoom, 9 * zoom, 10.8 * zoom) \
    : vector \
    ? sprintf("set terminal svg standalone size %.2f, %.2f font '%s%s' linewidth %g background '#ffffff'", \
              width * zoom, height * zoom, font_name, font(12), zoom) \
    : picture eq "png" \
    ? sprintf("set terminal pngcairo size %d, %d font '%s%s' fontscale %g linewidth %g pointscale %g", finest(height) * width * zoom, \
              finest(height) * height * zoom, font_name, font(12), 0.75 * finest(height), finest(height) * zoom, finest(height)) \
    : sprintf("set terminal pdfcairo size %.6f in, %.6f in font '%s%s' fontscale 0.5625 linewidth %g pointscale 0.75", inches(width), \
              inches(height), font_name, font(12), 1.5 * zoom)
output(picture) = beside . name . (picture eq "tex" ? "-tex.tex" : "." . picture)

# ---- Title and note, above `body` units of a picture of `width`: sets `head` and `height` and draws both. In a multiplot the first panel
# draws them and the legend: the others begin with @bare.
header = 'title_lines = titled && title ne "" ? wrap(title, room(width - 24, 14)) : ""; note_lines = titled && note ne "" ? wrap(note, room(width - 24, 12)) : ""; titles = title_lines eq "" ? 0 : lines(title_lines); notes = note_lines eq "" ? 0 : lines(note_lines); head = 8.0 + 22 * titles + 18 * notes + (titles + notes > 0 ? 6 : 0); height = head + body; do for [i = 1:titles] { set label 100 + i put(line(title_lines, i)) at screen 0.5, screen 1 - (22.0 * i - 2) / height center font font(14) noenhanced }; do for [i = 1:notes] { set label 150 + i put(line(note_lines, i)) at screen 0.5, screen 1 - (22.0 * titles + 18 * i) / height center font font(12) textcolor rgb pale noenhanced }'
bare = 'unset label; unset arrow; unset object'

# ---- A legend below all: `entries` texts in the array `entry`, in as many columns as `width` has room for; long ones go on in further lines.
# @legend sets key_height; @show_legend draws it, and for entry i what these give: a point (type 0: none), a line (width 0: none), their
# colour; with `swatches` boxes. gnuplot's own key is limited by the height of a panel and places texts by their estimated width.
array entry[128]
array key_text[512]
array key_of[512]
swatches = 0
legend = 'longest = 0; do for [i = 1:entries] { longest = strlen(entry[i]) > longest ? strlen(entry[i]) : longest }; key_pitch = 60 + long(longest); key_columns = floor((width - 12) / key_pitch); key_columns = key_columns < 1 ? 1 : key_columns > entries ? entries : key_columns; key_lines = 0; do for [i = 1:entries] { wrapped = wrap(entry[i], room(width - 70, 12)); do for [k = 1:lines(wrapped)] { key_lines = key_lines + 1; key_text[key_lines] = line(wrapped, k); key_of[key_lines] = k == 1 ? i : 0 } }; key_rows = entries > 0 ? (key_lines + key_columns - 1) / key_columns : 0; key_columns = key_rows > 0 ? (key_lines + key_rows - 1) / key_rows : 0; key_height = key_rows > 0 ? 18.0 * key_rows + 8 : 4.0; key_left = key_columns * key_pitch > width - 12 ? 6.0 : (width - key_columns * key_pitch) / 2.0 + 6'
show_legend = 'do for [k = 1:key_lines] { key_x = key_left + ((k - 1) / key_rows) * key_pitch; key_y = key_height - 9 - 18.0 * ((k - 1) % key_rows); set label 300 + k put(key_text[k]) at screen (key_x + 44) / width, screen key_y / height left font font(12) noenhanced; i = key_of[k]; if (i > 0 && swatches) { set object 300 + k rectangle from screen (key_x + 8) / width, screen (key_y - 5) / height to screen (key_x + 36) / width, screen (key_y + 5) / height fillstyle solid border rgb "#000000" fillcolor rgb key_rgb(i) }; if (i > 0 && !swatches && key_lw(i) > 0) { set arrow 300 + k from screen key_x / width, screen key_y / height to screen (key_x + 38) / width, screen key_y / height nohead lw key_lw(i) dt key_dt(i) lc rgb key_rgb(i) }; if (i > 0 && !swatches && key_pt(i) > 0) { set label 900 + k "" at screen (key_x + 19) / width, screen key_y / height point pt key_pt(i) ps ps(key_ps(i)) lw 1.2 lc rgb key_rgb(i) } }'
# ---- the figure
