#!/bin/sh
# unseen.sh IMAGENETTE OUT [HELD_OUT]: ImageNette split for a network that was trained on ImageNet, as a folder for `patchgauge data import`.
#
# ImageNette's own val holds mostly training images of ImageNet, which such a network has seen. Only the files named ILSVRC2012_val_*,
# in either split, are ImageNet's validation images. OUT gets, as hard links or copies:
#   test    these 500 images
#   val     HELD_OUT (900) of the other training images, for choices: those with the smallest SHA-256
#   train   the rest, 8,203
# IMAGENETTE is a folder with train/CLASS/FILE and val/CLASS/FILE under their official names, as in imagenette2.tgz. Then:
#   patchgauge data import imagenette-unseen OUT --resize 224
set -eu
[ $# = 2 ] || [ $# = 3 ] || { sed -n '2s/^# //p' "$0" >&2; exit 2; }
source=$1 out=$2 held_out=${3:-900}
if [ ! -d "$source/train" ] || [ ! -d "$source/val" ]; then
    echo "unseen.sh: $source: a folder with train and val is needed" >&2
    exit 2
fi
if [ -e "$out" ]; then
    echo "unseen.sh: $out exists; name a new folder" >&2
    exit 2
fi
part=$out.part
rm -rf "$part"
mkdir -p "$part"
put() { # split: the files that are named on standard input, SPLIT/CLASS/FILE
    while read -r file; do
        class=${file#*/}
        class=${class%/*}
        mkdir -p "$part/$1/$class"
        ln "$source/$file" "$part/$1/$class/" 2>/dev/null || cp "$source/$file" "$part/$1/$class/"
    done
}
(cd "$source" && find train val -name 'ILSVRC2012_val_*' -type f) | sort | put test
(cd "$source" && find train -type f ! -name 'ILSVRC2012_val_*' ! -name '.*' -exec sha256sum {} +) | sort >"$part/hashes"
head -n "$held_out" "$part/hashes" | cut -c 67- | put val
tail -n +$((held_out + 1)) "$part/hashes" | cut -c 67- | put train
rm "$part/hashes"
mv "$part" "$out"
for split in train val test; do echo "$split: $(find "$out/$split" -type f | wc -l) images"; done
