#!/bin/sh
# public.sh PROGRAM FOLDER: imports the public networks that experiments/pretrained runs on, those that FOLDER has, into models/public,
# where git ignores them, and puts the patches of ImageNet-Patch beside them.
#   mobilenet_v2-imagenet.pth                        MobileNetV2 of ImageNet, from TensorFlow: SAME padding, pixels x / 127.5 - 1
#   resnet20-12fca82f.th, resnet56-4bfd9763.th       ResNets of CIFAR-10 (akamaster/pytorch_resnet_cifar10)
#   imagenet_patch.gz                                ten universal patches (pralab/ImageNet-Patch)
# imagenet_labels_1001.txt beside the MobileNetV2 names its classes.
set -eu
[ $# = 2 ] || { sed -n '2,3s/^# //p' "$0" >&2; exit 2; }
program=$1 from=$2 out=models/public
[ -d "$from" ] || { echo "public.sh: $from: no such folder" >&2; exit 2; }
mkdir -p "$out"
import() { # file, name, options
    file=$from/$1 name=$2
    shift 2
    [ -f "$file" ] || { echo "public.sh: left out: $file is not there" >&2; return 0; }
    "$program" model import "$file" -o "$out/$name.safetensors" "$@" | tail -n 1
}
names=$from/imagenet_labels_1001.txt
set -- --input 224x224 --set padding=same --set mean=0.5 --set std=0.5
[ ! -f "$names" ] || set -- "$@" --classes "$names"
import mobilenet_v2-imagenet.pth mobilenet-v2-imagenet "$@"
for depth in 20-12fca82f 56-4bfd9763; do
    import "resnet$depth.th" "resnet${depth%-*}-cifar10" --input 32x32 --set mean=0.485,0.456,0.406 --set std=0.229,0.224,0.225
done
if [ -f "$from/imagenet_patch.gz" ]; then
    cp "$from/imagenet_patch.gz" "$out/imagenet_patch.gz"
    echo "copied $out/imagenet_patch.gz"
else
    echo "public.sh: left out: $from/imagenet_patch.gz is not there" >&2
fi
