"""Forward passes of plain PyTorch, on the networks of tests/models/import_reference.py: images a second, the median of five passes.

    plain_forward.py MODEL SIDE BATCH THREADS
"""
import os
import sys
import time

import torch

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "models"))
import import_reference as reference

model, side, batch, threads = sys.argv[1], *map(int, sys.argv[2:])
torch.set_num_threads(threads)
tiny = lambda: reference.ViT((side, side), 192, 12, 3)
net = {
    "resnet18": lambda: reference.ResNet18(64),
    "resnet-cifar": lambda: reference.ResNetCifar(16, 56, ("pad", "linear")),
    "resnet": lambda: reference.ResNet(64, (3, 4, 23, 3)),
    "mobilenet-v2": lambda: reference.MobileNetV2(1, "torch"),
    "vit": tiny,
    "smoothed-vit": tiny,
}[model]()
net.eval()
pixels = torch.zeros(batch, 3, side, side, dtype=torch.uint8)
seconds = []
with torch.no_grad():
    for _ in range(6):
        start = time.monotonic()
        if model == "smoothed-vit":
            reference.token_cells(net, pixels, reference.IMAGENET, "column", 19, 28)
        else:
            net.local(reference.normalised(pixels, reference.IMAGENET))
        seconds.append(time.monotonic() - start)
print(batch / sorted(seconds[1:])[2])
