"""PatchCleanser's loop as it is published, written plainly in PyTorch: every pair of masks of every image, in batches. For each
image one line: the seconds of processor time, the prediction, whether all pairs give it.

    published_loop.py WEIGHTS IMAGES.npy PATCH MASKS BATCH THREADS

WEIGHTS is a safetensors file of resnet18 or mobilenet-v2; images are uint8 [n][3][height][width]."""
import json
import struct
import sys
import time

import numpy as np
import torch
from torch import nn

weights, images, patch, masks, batch, threads = sys.argv[1:]
patch, masks, batch = int(patch), int(masks), int(batch)
torch.set_num_threads(int(threads))


def read(path):
    with open(path, "rb") as f:
        head = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
        body = f.read()
    types = {"F16": np.float16, "F32": np.float32}
    meta = head.pop("__metadata__")
    of = lambda d: np.frombuffer(body[d["data_offsets"][0] : d["data_offsets"][1]], types[d["dtype"]]).reshape(d["shape"])
    return meta, {name: torch.from_numpy(of(d).astype(np.float32)) for name, d in head.items()}


class Conv(nn.Conv2d):
    """A convolution with TensorFlow's padding."""

    def forward(self, x):
        pads = []
        for n, k, s in reversed(list(zip(x.shape[2:], self.kernel_size, self.stride))):
            zeros = max((-(-n // s) - 1) * s + k - n, 0)
            pads += [zeros // 2, zeros - zeros // 2]
        return super().forward(nn.functional.pad(x, pads) if any(pads) else x)


def conv_bn(conv, inside, out, kernel, stride, groups=1):
    padding = 0 if conv is Conv else kernel // 2
    return [conv(inside, out, kernel, stride, padding, groups=groups, bias=False), nn.BatchNorm2d(out)]


class Bottleneck(nn.Module):
    def __init__(self, conv, inside, out, stride, expand):
        super().__init__()
        wide, layers = inside * expand, []
        if expand > 1:
            layers = [nn.Sequential(*conv_bn(conv, inside, wide, 1, 1), nn.ReLU6(True))]
        layers += [nn.Sequential(*conv_bn(conv, wide, wide, 3, stride, wide), nn.ReLU6(True))]
        self.conv = nn.Sequential(*layers, *conv_bn(conv, wide, out, 1, 1))
        self.shortcut = stride == 1 and inside == out

    def forward(self, x):
        return x + self.conv(x) if self.shortcut else self.conv(x)


class MobileNetV2(nn.Module):
    def __init__(self, classes, conv):
        super().__init__()
        stages = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]
        layers, inside = [nn.Sequential(*conv_bn(conv, 3, 32, 3, 2), nn.ReLU6(True))], 32
        for expand, out, n, stride in stages:
            for i in range(n):
                layers.append(Bottleneck(conv, inside, out, stride if i == 0 else 1, expand))
                inside = out
        layers.append(nn.Sequential(*conv_bn(conv, 320, 1280, 1, 1), nn.ReLU6(True)))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, classes))

    def forward(self, x):
        return self.classifier(self.features(x).mean([2, 3]))


class Block(nn.Module):
    def __init__(self, inside, out, stride):
        super().__init__()
        self.conv1, self.bn1 = conv_bn(nn.Conv2d, inside, out, 3, stride)
        self.conv2, self.bn2 = conv_bn(nn.Conv2d, out, out, 3, 1)
        change = stride > 1 or inside != out
        self.downsample = nn.Sequential(*conv_bn(nn.Conv2d, inside, out, 1, stride)) if change else nn.Identity()

    def forward(self, x):
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(y + self.downsample(x))


class ResNet18(nn.Module):
    def __init__(self, width, classes):
        super().__init__()
        self.conv1, self.bn1 = conv_bn(nn.Conv2d, 3, width, 3, 1)
        for i in range(4):
            out = width << i
            first = Block(width << max(i - 1, 0), out, 1 if i == 0 else 2)
            setattr(self, f"layer{i + 1}", nn.Sequential(first, Block(out, out, 1)))
        self.fc = nn.Linear(8 * width, classes)

    def forward(self, x):
        x = torch.relu(self.bn1(self.conv1(x)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean([2, 3]))


def network():
    meta, state = read(weights)
    options = dict(pair.split("=") for pair in meta["options"].split(";") if pair)
    if meta["model"] == "resnet18":
        net = ResNet18(int(options["width"]), int(meta["classes"]))
    else:
        net = MobileNetV2(int(meta["classes"]), Conv if options.get("padding") == "same" else nn.Conv2d)
    missing = net.load_state_dict(state, strict=False)
    assert all(name.endswith("num_batches_tracked") for name in missing.missing_keys) and not missing.unexpected_keys, missing
    rgb = lambda text: torch.tensor([float(v) for v in text.split(",")]).reshape(-1, 1, 1)
    return net.eval(), rgb(options.get("mean", "0.5")), rgb(options.get("std", "0.25"))


def mask_axis(size):
    step = -(-(size - patch + 1) // masks)
    length = patch + step - 1
    return [(min(i * step, size - length), length) for i in range(-(-(size - patch + 1) // step))]


def cover(image, mask):
    (top, height), (left, width) = mask
    image[:, top : top + height, left : left + width] = 128 / 255


net, mean, std = network()
for image in np.load(images):
    start = time.process_time()
    pixels = torch.from_numpy(image).float() / 255
    places = [(y, x) for y in mask_axis(image.shape[1]) for x in mask_axis(image.shape[2])]
    pairs = [(a, b) for a in range(len(places)) for b in range(a, len(places))]
    classes = {}
    with torch.no_grad():
        for first in range(0, len(pairs), batch):
            some = pairs[first : first + batch]
            masked = pixels.repeat(len(some), 1, 1, 1)
            for one, (a, b) in zip(masked, some):
                cover(one, places[a])
                cover(one, places[b])
            for (a, b), c in zip(some, net((masked - mean) / std).argmax(1).tolist()):
                classes[a, b] = classes[b, a] = c
    alone = [classes[a, a] for a in range(len(places))]
    prediction = min(set(alone), key=lambda c: (-alone.count(c), c))
    majority = prediction
    for a, own in enumerate(alone):
        if own != majority and all(classes[a, b] == own for b in range(len(places))):
            prediction = own
            break
    certified = all(c == prediction for c in classes.values())
    print(f"{time.process_time() - start:.3f} {prediction} {int(certified)}", flush=True)
