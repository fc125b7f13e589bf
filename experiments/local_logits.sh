#!/bin/sh
# local_logits.sh PROGRAM FOLDER MATRIX: how many local predictions one place of a patch can corrupt (PatchGuard, Table II), and how large
# its largest local logits become (Figures 3, 5 and 6). Attacks the networks of the matrix on its images with its patch, keeps what
# `patchgauge attack` writes in FOLDER/NETWORK-{local,original,lavan}, and prints the table in Markdown. What FOLDER holds already is not
# run again.
set -eu
[ $# -eq 3 ] || { sed -n '2,6s/^# //p' "$0" >&2; exit 2; }
program=$1 folder=$2 matrix=$3
mkdir -p "$folder"
value() { sed -n "s/^$1 *= *\"\{0,1\}\([^\"]*[^\" ]\)\"\{0,1\} *\$/\1/p" "$matrix"; }
dataset=$(value dataset) images=$(value images) patch=$(value patch)
networks=$(awk '/^weights/ { on = 1 } on { print } on && !/,$/ { exit }' "$matrix" | grep -o '"[^"]*"' | tr -d '"')

attack() { # weights, name, options
    weights=$1 out=$folder/$(basename "$1" .safetensors)-$2
    shift 2
    [ -f "$out/meta.json" ] || "$program" attack --weights "$weights" --dataset "$dataset" ${images:+--images "$images"} \
        --patch "$patch" "$@" -o "$out" >&2
}

# Of column NAME of results.csv: "mean, half width of the 95% interval of the mean".
mean_of() { # file, name
    awk -F, -v name="$2" '
        NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) c = i; next }
        { n++; s += $c; q += $c * $c }
        END { m = s / n; printf "%.1f ± %.1f", 100 * m, 196 * sqrt((q / n - m * m) / n) }' "$1"
}
wrong_after() { awk -F, 'NR > 1 { n++; s += $2 != $4 } END { printf "%.1f", int(1000 * s / n + 0.500001) / 10 }' "$1"; }

for weights in $networks; do
    attack "$weights" original --attack local-logits --set start=image --set steps=0 --sheet 0
    attack "$weights" local --attack local-logits --set steps=50 --set step=0.25 --set schedule=linear --set momentum=0.9 --sheet 0
    attack "$weights" lavan --attack lavan --set steps=100 --set step=0.25 --set schedule=linear --set momentum=0.9
done

echo "| network | n | incorrect local predictions, attacked, % | original, % | incorrect global predictions under LaVAN, % |"
echo "|:--------|--:|-----------------------------------------:|------------:|--------------------------------------------:|"
for weights in $networks; do
    net=$(basename "$weights" .safetensors)
    echo "| $net | $(($(wc -l <"$folder/$net-local/results.csv") - 1)) | $(mean_of "$folder/$net-local/results.csv" loss) |" \
        "$(mean_of "$folder/$net-original/results.csv" loss) | $(wrong_after "$folder/$net-lavan/results.csv") |"
done
