#!/bin/sh
# grid.sh PROGRAM FOLDER MATRIX: what hangs on the grid of the evidence, and on what a tie counts as. The local logits of the network of the
# matrix on its images are rounded to coarser and coarser grids, and certified by the rules in its comment:
#   grids: K K ...        grids of 2^-K; the evidence itself is on 2^-20
#   window: HxW [--wrap]  positions that a patch can touch
#   rule: OPTIONS         of `patchgauge certify`, one line for each rule
# Prints a table in Markdown. What FOLDER holds already is not run again.
set -eu
[ $# -eq 3 ] || { sed -n '2,7s/^# //p' "$0" >&2; exit 2; }
program=$1 folder=$2 matrix=$3
mkdir -p "$folder"
directive() { sed -n "/^#/!q; s/^# $1: *//p" "$matrix"; }
value() { sed -n "s/^$1 *= *\"\(.*\)\"\$/\1/p" "$matrix"; }

[ -f "$folder/local/meta.json" ] ||
    "$program" --quiet features --weights "$(value weights)" --dataset "$(value dataset)" -o "$folder/local" >&2

echo "| rule | grid | n | clean, % | certified, % | other predictions | certified at a tie | refused for a tie alone |"
echo "|:-----|:-----|--:|---------:|-------------:|------------------:|-------------------:|------------------------:|"
directive rule | while read -r rule; do
    name=$(echo "$rule" | sed 's/^--defense //; s/ --set / /g')
    for k in $(directive grids); do
        of=$folder/$(echo "$name" | tr -c 'a-z0-9.\n' -)-$k.csv
        if [ ! -s "$of" ]; then
            # shellcheck disable=SC2046,SC2086 # the options are several words
            "$program" --quiet certify "$folder/local/features.npy" "$folder/local/labels.npy" $rule --grid "$k" \
                --window $(directive window) >"$of.part"
            mv "$of.part" "$of"
        fi
        finest=${finest:-$of}
        awk -F, -v name="$name" -v k="$k" -v finest="$finest" '
            BEGIN { while ((getline line < finest) > 0) { split(line, f, ","); at_finest[f[1]] = f[3] } }
            FNR == 1 { next }
            { n++; right += $2 == $3; certified += $4; other += $3 != at_finest[$1]
              tie = $5 == "0.000000000"; at += tie && $4; refused += tie && !$4 }
            END { printf "| %s | 2^-%d | %d | %.1f | %.1f | %d | %d | %d |\n", name, k, n, int(1000 * right / n + 0.500001) / 10, int(1000 * certified / n + 0.500001) / 10, other, at, refused }
        ' "$of"
    done
    unset finest
done
