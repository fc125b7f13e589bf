#!/bin/sh
# local_logits.sh PROGRAM FOLDER: how many local predictions one place of a patch can corrupt (PatchGuard, Table II), and how large its
# largest local logits become (Figure 6). Attacks the shipped networks on the first test images, keeps what `patchgauge attack` writes in
# FOLDER/NETWORK-{local,original,lavan}, and prints the table in Markdown. What FOLDER holds already is not run again.
# PATCHGAUGE_IMAGES: how many images, default 300.
set -eu
[ $# -eq 2 ] || { sed -n '2,5s/^# //p' "$0" >&2; exit 2; }
program=$1 folder=$2 images=${PATCHGAUGE_IMAGES:-300}
mkdir -p "$folder"

attack() { # network, name, options
    net=$1 out=$folder/$1-$2
    shift 2
    [ -f "$out/meta.json" ] || "$program" attack --weights "models/zoo/$net.safetensors" --dataset cifar10:test --images "0:$images" \
        --patch 3% "$@" -o "$out" >&2
}

# Of column NAME of results.csv: "mean, half width of the 95% interval of the mean".
mean_of() { # file, name
    awk -F, -v name="$2" '
        NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) c = i; next }
        { n++; s += $c; q += $c * $c }
        END { m = s / n; printf "%.1f ± %.1f", 100 * m, 196 * sqrt((q / n - m * m) / n) }' "$1"
}
wrong_after() { awk -F, 'NR > 1 { n++; s += $2 != $4 } END { printf "%.1f", 100 * s / n }' "$1"; }

set -- resnet18-cifar10 bagnet7-cifar10
for net; do
    attack "$net" original --attack local-logits --set start=image --set steps=0 --sheet 0
    attack "$net" local --attack local-logits --set steps=50 --set step=0.25 --set schedule=linear --set momentum=0.9 --sheet 0
    attack "$net" lavan --attack lavan --set steps=100 --set step=0.25 --set schedule=linear --set momentum=0.9
done

echo "| network | n | incorrect local predictions, attacked, % | original, % | incorrect global predictions under LaVAN, % |"
echo "|:--------|--:|-----------------------------------------:|------------:|--------------------------------------------:|"
for net; do
    echo "| $net | $(($(wc -l <"$folder/$net-local/results.csv") - 1)) | $(mean_of "$folder/$net-local/results.csv" loss) |" \
        "$(mean_of "$folder/$net-original/results.csv" loss) | $(wrong_after "$folder/$net-lavan/results.csv") |"
done
