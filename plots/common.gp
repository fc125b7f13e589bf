# ---- plots/common.gp: what all figures share. Before it stand `name`, the style and the numbers of the figure.
# Block 0 of the data file: title, note and perhaps an axis; then the words that the user renames, old and new, one a line.
# Colours: Okabe and Ito, with a shape and a dash each, so that grey tells them apart as well. Text in the data is never enhanced and
# never code; `text` escapes it for LaTeX.
# Lengths are in units of 1/12 of the text's height: pixels of a screen, where it is 12 pixels high; times `scale` on paper. `given`: the
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
array dashes[5] = [1, 2, 4, 3, 5]
pale = paper ? "#333333" : "#555555"
# The series of a figure: the first six differ in colour, shape and dash, the next six in dash and colour.
hue(r) = colour[(r - 1) % 6 + 1]
mark(r) = filled[(r - 1) % 6 + 1]
dash(r) = dashes[(r - 1 + (r - 1) / 6) % 5 + 1]
ps(size) = size * scale
# On paper all text is of one size and more.
font(size) = sprintf(",%d", paper && size < 12 ? 12 : size)

# ---- Text
latex = 0
special(c) = strstrt("#$%&_{}", c) > 0 ? "\\" . c : c eq "\\" ? "\\textbackslash{}" : c eq "~" ? "\\textasciitilde{}" : c eq "^" ? "\\textasciicircum{}" \
    : c eq "<" ? "\\textless{}" : c eq ">" ? "\\textgreater{}" : c eq "|" ? "\\textbar{}" : c
escaped(s) = strlen(s) > 1 ? escaped(s[1:strlen(s) / 2]) . escaped(s[strlen(s) / 2 + 1:*]) : s eq "" ? "" : special(s)
text(s) = latex ? escaped(s) : s
# A word of a script, as the user wants it: --label OLD=NEW.
renamed(s, i) = i > renames ? s : old[i] eq s ? new[i] : renamed(s, i + 1)
say(s) = text(renamed(s, 1))
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
finest(height) = height * scale * dots > 32000 ? 32000 / (height * scale) : dots
terminal(picture) = (latex = picture eq "tex") \
    ? sprintf("set terminal cairolatex pdf size %.4f in, %.4f in font '%s,12' fontscale %g linewidth %g header '\\fontsize{%.4g}{%.4g}\\selectfont'", \
              width * scale / 96, height * scale / 96, font_name, 0.75 * scale, scale, 9 * scale, 10.8 * scale) \
    : picture eq "svg" \
    ? sprintf("set terminal svg standalone size %.2f, %.2f font '%s,12' fontscale %g linewidth %g background '#ffffff'", \
              width * scale, height * scale, font_name, scale, scale) \
    : picture eq "png" \
    ? sprintf("set terminal pngcairo size %d, %d font '%s,12' fontscale %g linewidth %g pointscale %g", finest(height) * width * scale, \
              finest(height) * height * scale, font_name, finest(height) * scale, finest(height) * scale, finest(height)) \
    : sprintf("set terminal pdfcairo size %.4f in, %.4f in font '%s,12' fontscale %g linewidth %g", width * scale / 96, height * scale / 96, \
              font_name, 0.75 * scale, scale)
output(picture) = beside . name . (picture eq "tex" ? "-tex.tex" : "." . picture)

# ---- Title and note, above `body` units of a picture of `width`: sets `head` and `height` and draws both. In a multiplot the first panel
# draws them: @hide_header.
header = 'title_lines = titled && title ne "" ? wrap(title, room(width - 24, 14)) : ""; note_lines = titled && note ne "" ? wrap(note, room(width - 24, 12)) : ""; titles = title_lines eq "" ? 0 : lines(title_lines); notes = note_lines eq "" ? 0 : lines(note_lines); head = 8.0 + 22 * titles + 18 * notes + (titles + notes > 0 ? 6 : 0); height = head + body; do for [i = 1:titles] { set label 100 + i text(line(title_lines, i)) at screen 0.5, screen 1 - (22.0 * i - 2) / height center font font(14) noenhanced }; do for [i = 1:notes] { set label 150 + i text(line(note_lines, i)) at screen 0.5, screen 1 - (22.0 * titles + 18 * i) / height center font font(12) textcolor rgb pale noenhanced }'
hide_header = 'do for [i = 1:titles] { unset label 100 + i }; do for [i = 1:notes] { unset label 150 + i }'

# ---- A legend below all: `entries` texts in the array `entry`, in as many columns as `width` has room for; long ones go on in further lines.
# @legend fills key_text and key_of (the entry, 0 where a line goes on) of key_lines lines and sets key_height; @show_legend before
# plot for [k = 1:key_lines] keyentry ... title text(key_text[k]). A line that goes on is drawn in white. In a multiplot the first panel draws it.
array entry[128]
array key_text[512]
array key_of[512]
legend = 'longest = 0; do for [i = 1:entries] { longest = strlen(entry[i]) > longest ? strlen(entry[i]) : longest }; key_columns = floor((width - 16) / (60 + long(longest))); key_columns = key_columns < 1 ? 1 : key_columns > entries ? entries : key_columns; key_lines = 0; do for [i = 1:entries] { wrapped = wrap(entry[i], room(width - 76, 12)); do for [k = 1:lines(wrapped)] { key_lines = key_lines + 1; key_text[key_lines] = line(wrapped, k); key_of[key_lines] = k == 1 ? i : 0 } }; key_rows = entries > 0 ? ceil(1.0 * key_lines / key_columns) : 0; key_height = key_rows > 0 ? 19.0 * key_rows + 8 : 4.0'
show_legend = 'set key at screen 0.5, screen 4.0 / height center bottom vertical maxrows key_rows Left reverse samplen 3 spacing 1.25 noenhanced'
of(k) = key_of[k] > 0 ? key_of[k] : 1
ink(k, rgb) = key_of[k] > 0 ? rgb : 0xffffff
# ---- the figure
