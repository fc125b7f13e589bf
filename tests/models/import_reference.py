"""The reference of tests/models/test_import.c: small networks in PyTorch, written by torch.save in the public layouts, with their local logits.

    import_reference.py DIR          one line for each case on standard output: NAME IMAGES HEIGHT WIDTH ROWS COLUMNS CLASSES MODEL
    ARGUMENTS of `model import`, MODEL "-" where shapes tell; DIR/NAME has the weights, DIR/NAME.pixels uint8 [n][3][h][w], DIR/NAME.logits float32 [n][H][W][N].
    import_reference.py DIR FOLDER   the same for the published weights in FOLDER, to which DIR/NAME is a link.

The networks are written after the papers and the published layouts (names of parameters); none of their code is copied.
"""
import collections
import json
import math
import os
import struct
import sys

import torch
from torch import nn

CLASSES = 10
CIFAR = ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class Basic(nn.Module):
    def __init__(self, inside, out, stride, shortcut):
        super().__init__()
        self.conv1 = nn.Conv2d(inside, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        side = None
        if stride != 1 or inside != out:
            side = nn.Sequential(nn.Conv2d(inside, out, 1, stride, bias=False), nn.BatchNorm2d(out))
        self.side = shortcut
        setattr(self, shortcut, side if side is not None else nn.Sequential())

    def forward(self, x):
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(y + getattr(self, self.side)(x))


class Pad(nn.Module):
    """The shortcut without weights: every second pixel, new channels of zeros on both sides."""

    def __init__(self, new):
        super().__init__()
        self.new = new

    def forward(self, x):
        zeros = torch.zeros_like(x[:, : self.new // 2, ::2, ::2])
        return torch.cat((zeros, x[:, :, ::2, ::2], zeros), 1)


class ResNet18(nn.Module):
    """torchvision's names, or ("shortcut", "linear") the names usual at 32 px."""

    def __init__(self, width, channels=3, imagenet=False, names=("downsample", "fc")):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 7, 2, 3, bias=False) if imagenet else nn.Conv2d(channels, width, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.pool = nn.MaxPool2d(3, 2, 1) if imagenet else nn.Identity()
        inside = width
        for stage in range(4):
            out = width << stage
            blocks = [Basic(inside, out, 2 if stage else 1, names[0]), Basic(out, out, 1, names[0])]
            setattr(self, "layer%d" % (stage + 1), nn.Sequential(*blocks))
            inside = out
        self.last = names[1]
        setattr(self, names[1], nn.Linear(inside, CLASSES))

    def local(self, x):
        x = self.pool(torch.relu(self.bn1(self.conv1(x))))
        for stage in range(4):
            x = getattr(self, "layer%d" % (stage + 1))(x)
        return getattr(self, self.last)(x.permute(0, 2, 3, 1))


class ResNetCifar(nn.Module):
    def __init__(self, width, depth, names):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width)
        inside, self.last = width, names[1]
        for stage in range(3):
            blocks = []
            for block in range((depth - 2) // 6):
                out = width << stage
                blocks.append(Basic(inside, out, 2 if stage and block == 0 else 1, names[0]))
                if names[0] == "pad" and out != inside:
                    blocks[-1].pad = Pad(out - inside)
                inside = out
            setattr(self, "layer%d" % (stage + 1), nn.Sequential(*blocks))
        setattr(self, names[1], nn.Linear(inside, CLASSES))

    def local(self, x):
        x = torch.relu(self.bn1(self.conv1(x)))
        return getattr(self, self.last)(self.layer3(self.layer2(self.layer1(x))).permute(0, 2, 3, 1))


class Bottleneck(nn.Module):
    def __init__(self, inside, planes, stride, kernel, padding=0, out=0, strided="3x3"):
        super().__init__()
        out = out or 4 * planes
        first, middle = (stride, 1) if strided == "1x1" else (1, stride)
        self.conv1 = nn.Conv2d(inside, planes, 1, first, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, kernel, middle, padding, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out)
        self.downsample = None
        if stride != 1 or inside != out:
            self.downsample = nn.Sequential(nn.Conv2d(inside, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x):
        y = torch.relu(self.bn1(self.conv1(x)))
        y = self.bn3(self.conv3(torch.relu(self.bn2(self.conv2(y)))))
        x = x if self.downsample is None else self.downsample(x)
        return torch.relu(y + x[:, :, : y.size(2), : y.size(3)])


class ResNet(ResNet18):
    """Of any depth, in torchvision's layout; wide where `middle` is more than `width`."""

    def __init__(self, width, blocks=(3, 4, 6, 3), channels=3, middle=0, basic=False, strided="3x3"):
        super().__init__(width, channels, imagenet=True)
        inside = width
        for stage in range(4):
            layers = []
            for block in range(blocks[stage]):
                stride, out = 2 if stage and block == 0 else 1, (width if basic else 4 * width) << stage
                layers.append(Basic(inside, out, stride, "downsample") if basic else
                              Bottleneck(inside, (middle or width) << stage, stride, 3, 1, out, strided))
                inside = out
            setattr(self, "layer%d" % (stage + 1), nn.Sequential(*layers))
        self.fc = nn.Linear(inside, CLASSES)


class BagNet(nn.Module):
    def __init__(self, width, kernel3, blocks, strides=(2, 2, 2, 1)):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 1, bias=False)
        self.conv2 = nn.Conv2d(width, width, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        inside = width
        for stage in range(4):
            layers = []
            for block in range(blocks[stage]):
                first = block == 0
                layers.append(Bottleneck(inside, width << stage, strides[stage] if first else 1, 3 if first and kernel3[stage] else 1))
                inside = 4 * (width << stage)
            setattr(self, "layer%d" % (stage + 1), nn.Sequential(*layers))
        self.fc = nn.Linear(inside, CLASSES)

    def local(self, x):
        x = torch.relu(self.bn1(self.conv2(self.conv1(x))))
        for stage in range(4):
            x = getattr(self, "layer%d" % (stage + 1))(x)
        return self.fc(x.permute(0, 2, 3, 1))


class Padded(nn.Conv2d):
    """TensorFlow's SAME: ceil(n / stride) positions, the smaller half of the zeros before them."""

    def forward(self, x):
        k, s, zeros = self.kernel_size[0], self.stride[0], []
        for n in (x.size(3), x.size(2)):
            most = max((-(-n // s) - 1) * s + k - n, 0)
            zeros += [most // 2, most - most // 2]
        return super().forward(nn.functional.pad(x, zeros))


class Inverted(nn.Module):
    """A block of MobileNetV2. Without padding its shortcut loses the edge."""

    def __init__(self, inside, out, stride, expand, kernel, conv):
        super().__init__()
        wide = inside * expand
        layers = [] if expand == 1 else [nn.Sequential(nn.Conv2d(inside, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU6())]
        middle = conv(wide, wide, 3, stride) if kernel == 3 else nn.Conv2d(wide, wide, 1, groups=wide, bias=False)
        layers += [nn.Sequential(middle, nn.BatchNorm2d(wide), nn.ReLU6()), nn.Conv2d(wide, out, 1, bias=False), nn.BatchNorm2d(out)]
        self.conv, self.shortcut = nn.Sequential(*layers), stride == 1 and inside == out

    def forward(self, x):
        y = self.conv(x)
        edge = (x.size(2) - y.size(2)) // 2
        return y + x[:, :, edge : x.size(2) - edge, edge : x.size(3) - edge] if self.shortcut else y


class MobileNetV2(nn.Module):
    def __init__(self, width, padding, channels=3, cut=18, classes=CLASSES):
        super().__init__()

        def of(n):
            wanted = n * width
            rounded = max(8, int(wanted + 4) // 8 * 8)
            return rounded if rounded >= 0.9 * wanted else rounded + 8

        def conv(inside, out, kernel, stride):
            groups = inside if inside == out else 1
            kind = Padded if padding == "same" else nn.Conv2d
            return kind(inside, out, kernel, stride, 1 if padding == "torch" else 0, groups=groups, bias=False)

        inside = of(32)
        blocks = [nn.Sequential(conv(channels, inside, 3, 2), nn.BatchNorm2d(inside), nn.ReLU6())]
        for expand, out, n, stride in ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)):
            for k in range(n):
                kept = len(blocks) <= cut
                blocks.append(Inverted(inside, of(out), stride if k == 0 and kept else 1, expand, 3 if kept else 1, conv))
                inside = of(out)
        last = int(1280 * max(1, width))
        blocks.append(nn.Sequential(nn.Conv2d(inside, last, 1, bias=False), nn.BatchNorm2d(last), nn.ReLU6()))
        self.features, self.classifier = nn.Sequential(*blocks), nn.Sequential(nn.Dropout(0.2), nn.Linear(last, classes))

    def local(self, x):
        return self.classifier(self.features(x).permute(0, 2, 3, 1))


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads, self.qkv, self.proj = heads, nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x):
        n, tokens, width = x.shape
        query, key, value = self.qkv(x).view(n, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        weights = torch.softmax(query @ key.transpose(2, 3) / query.size(3) ** 0.5, 3)
        return self.proj((weights @ value).transpose(1, 2).reshape(n, tokens, width))


class TransformerBlock(nn.Module):
    def __init__(self, width, heads, hidden, epsilon):
        super().__init__()
        self.norm1, self.attn, self.norm2 = nn.LayerNorm(width, epsilon), Attention(width, heads), nn.LayerNorm(width, epsilon)
        self.mlp = nn.Sequential(collections.OrderedDict(fc1=nn.Linear(width, hidden), act=nn.GELU(), fc2=nn.Linear(hidden, width)))

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class ViT(nn.Module):
    """The names of timm and DeiT; distilled as DeiT is, for evaluation."""

    def __init__(self, size, width, depth, heads, patch=16, hidden=0, epsilon=1e-6, distilled=False, classes=CLASSES):
        super().__init__()
        self.rows, self.columns, self.patch, self.distilled = size[0] // patch, size[1] // patch, patch, distilled
        self.cls_token = nn.Parameter(torch.randn(1, 1, width))
        if distilled:
            self.dist_token = nn.Parameter(torch.randn(1, 1, width))
        self.pos_embed = nn.Parameter(torch.randn(1, self.rows * self.columns + 1 + distilled, width))
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, width, patch, patch)})
        self.blocks = nn.Sequential(*(TransformerBlock(width, heads, hidden or 4 * width, epsilon) for _ in range(depth)))
        self.norm, self.head = nn.LayerNorm(width, epsilon), nn.Linear(width, classes)
        if distilled:
            self.head_dist = nn.Linear(width, classes)

    def local(self, x, kept=None):
        """Of the tokens whose numbers are `kept`; NULL: of all."""
        first = 1 + self.distilled
        tokens = self.patch_embed["proj"](x).flatten(2).transpose(1, 2) + self.pos_embed[:, first:]
        tokens = tokens if kept is None else tokens[:, kept]
        own = torch.cat((self.cls_token, self.dist_token), 1) if self.distilled else self.cls_token
        tokens = torch.cat(((own + self.pos_embed[:, :first]).expand(x.size(0), -1, -1), tokens), 1)
        y = self.norm(self.blocks(tokens))
        logits = (self.head(y[:, 0]) + self.head_dist(y[:, 1])) / 2 if self.distilled else self.head(y[:, 0])
        return logits.view(x.size(0), 1, 1, -1)


def token_cells(net, pixels, how, shape, band, stride=1):
    """[n][rows][columns][classes]: each band or block alone, black elsewhere, and of its tokens those that it touches."""
    height, width = pixels.shape[2:]
    logits = []
    for top in range(0, 1 if shape == "column" else height, stride):
        for left in range(0, 1 if shape == "row" else width, stride):
            inside = torch.ones(height, width, dtype=torch.bool)
            inside &= True if shape == "column" else ((torch.arange(height) - top) % height < band).unsqueeze(1)
            inside &= True if shape == "row" else (torch.arange(width) - left) % width < band
            touched = nn.functional.max_pool2d(inside.float().view(1, 1, height, width), net.patch).flatten() > 0
            logits.append(net.local(normalised(pixels * inside, how), touched.nonzero().flatten()).flatten(1))
        across = len(logits) if top == 0 else across
    return torch.stack(logits, 1).view(pixels.size(0), -1, across, logits[0].size(1))


def lived(net):
    """Weights that no default has: statistics, scales and shifts as after training."""
    for module in net.modules():
        if isinstance(module, nn.LayerNorm):
            nn.init.uniform_(module.weight, 0.5, 1.2)
            nn.init.uniform_(module.bias, -0.2, 0.2)
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.2)
            nn.init.uniform_(module.bias, -0.2, 0.2)
            module.running_mean.uniform_(-0.3, 0.3)
            module.running_var.uniform_(0.5, 1.5)
            module.num_batches_tracked.fill_(7)
    return net.eval()


def normalised(pixels, how):
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in how)
    return (pixels.float().div(255) - mean) / std


def cells(net, x, shape, band, stride=1):
    """[n][rows][columns][classes]: each band or block alone, as x and 1 - x, zero elsewhere."""
    height, width = x.shape[2:]
    logits = []
    for top in range(0, 1 if shape == "column" else height, stride):
        rows = range(height) if shape == "column" else [(top + k) % height for k in range(band)]
        for left in range(0, 1 if shape == "row" else width, stride):
            columns = range(width) if shape == "row" else [(left + k) % width for k in range(band)]
            inside = torch.zeros(height, width)
            inside[torch.tensor(list(rows)).unsqueeze(1), torch.tensor(list(columns))] = 1
            logits.append(net.local(torch.cat((x * inside, (1 - x) * inside), 1)).mean((1, 2)))
        across = len(logits) if top == 0 else across
    return torch.stack(logits, 1).view(x.size(0), -1, across, CLASSES)


def bands(net, x, band, stride):
    """[n][1][columns][classes]: each band of columns alone, with cosine and sine of each column's angle round the image."""
    height, width = x.shape[2:]
    logits = []
    for left in range(0, width, stride):
        columns = torch.tensor([(left + k) % width for k in range(band)])
        angle = 2 * math.pi * (columns.double() + 0.5) / width
        places = torch.stack((angle.cos(), angle.sin())).float().view(1, 2, 1, band).expand(x.size(0), 2, height, band)
        logits.append(net.local(torch.cat((x[:, :, :, columns], places), 1)).mean((1, 2)))
    return torch.stack(logits, 1).unsqueeze(1)


def behind(prefix, state):
    return collections.OrderedDict((prefix + key, value) for key, value in state.items())


def flat_views(state):
    """Every matrix a transposed view, and everything a slice of one storage: what strides and offsets are for."""
    parts = [value.transpose(0, -1).contiguous().flatten() if value.dim() > 1 else value.flatten() for value in state.values()]
    storage, at, out = torch.cat([part.float() for part in parts]), 0, collections.OrderedDict()
    for (key, value), part in zip(state.items(), parts):
        piece = storage[at : at + part.numel()]
        at += part.numel()
        shape = list(value.shape)
        if len(shape) > 1:
            shape[0], shape[-1] = shape[-1], shape[0]
            out[key] = piece.view(shape).transpose(0, -1)
        else:
            out[key] = piece.view(shape)
    return out


def safetensors(state, path):
    header, data = {}, b""
    for key, value in sorted(state.items(), key=lambda item: item[1].dtype != torch.int64):
        values = value.contiguous().numpy().tobytes()
        kind = {torch.float32: "F32", torch.int64: "I64"}[value.dtype]
        header[key] = {"dtype": kind, "shape": list(value.shape), "data_offsets": [len(data), len(data) + len(values)]}
        data += values
    text = json.dumps(header).encode()
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)


def emit(folder, name, pixels, logits, arguments, model="-"):
    pixels.numpy().tofile(os.path.join(folder, name + ".pixels"))
    logits.contiguous().numpy().tofile(os.path.join(folder, name + ".logits"))
    n, _, h, w = pixels.shape
    print(name, n, h, w, *logits.shape[1:], model, arguments, flush=True)


def option(how):
    return " ".join("--set %s=%s" % (key, ",".join(map(str, v))) for key, v in zip(("mean", "std"), how))


@torch.no_grad()
def main(folder):
    torch.manual_seed(1)
    torch.set_num_threads(1)
    at = lambda name: os.path.join(folder, name)
    small = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    odd = torch.randint(0, 256, (2, 3, 33, 29), dtype=torch.uint8)
    large = torch.randint(0, 256, (2, 3, 65, 97), dtype=torch.uint8)

    net = lived(ResNet18(8))
    logits, how = net.local(normalised(small, CIFAR)), option(CIFAR)
    torch.save(net.state_dict(), at("resnet18-small.pth"))
    emit(folder, "resnet18-small.pth", small, logits, how)
    torch.save({"net": behind("module.", net.state_dict()), "acc": 93.25, "epoch": 200}, at("resnet18-wrapped.pth"))
    emit(folder, "resnet18-wrapped.pth", small, logits, how)
    torch.save(flat_views(net.state_dict()), at("resnet18-views.pth"))
    emit(folder, "resnet18-views.pth", small, logits, how)
    torch.save({"model": {key: nn.Parameter(value) if value.is_floating_point() else value for key, value in net.state_dict().items()}},
               at("resnet18-parameters.pt"))
    emit(folder, "resnet18-parameters.pt", small, logits, how)
    torch.save(collections.OrderedDict((key, value.double() if value.is_floating_point() else value) for key, value in net.state_dict().items()),
               at("resnet18-double.pth"))
    emit(folder, "resnet18-double.pth", small, logits, how)
    safetensors(net.state_dict(), at("resnet18.safetensors"))
    emit(folder, "resnet18.safetensors", small, logits, how)
    for name, kind in (("half", torch.float16), ("bfloat16", torch.bfloat16)):
        short = {key: value.to(kind) if value.is_floating_point() else value for key, value in net.state_dict().items()}
        torch.save(short, at("resnet18-%s.pth" % name))
        coarse = ResNet18(8)
        coarse.load_state_dict({key: value.float() if value.is_floating_point() else value for key, value in short.items()})
        emit(folder, "resnet18-%s.pth" % name, small, coarse.eval().local(normalised(small, CIFAR)), how)

    net = lived(ResNetCifar(4, 20, ("pad", "linear")))
    torch.save({"state_dict": behind("module.", net.state_dict()), "best_prec1": 91.5}, at("resnet20.th"))
    emit(folder, "resnet20.th", small, net.local(normalised(small, IMAGENET)), option(IMAGENET))
    net = lived(ResNetCifar(4, 8, ("downsample", "fc")))
    torch.save(net.state_dict(), at("resnet8-conv.pt"))
    emit(folder, "resnet8-conv.pt", odd, net.local(normalised(odd, CIFAR)), option(CIFAR))

    net = lived(ResNet18(8, imagenet=True))
    torch.save(net.state_dict(), at("resnet18-torchvision.pth"), _use_new_zipfile_serialization=False)
    emit(folder, "resnet18-torchvision.pth", large, net.local(normalised(large, IMAGENET)), option(IMAGENET))

    net = lived(ResNet(4))
    torch.save({"model_state": net.state_dict(), "epoch": 90}, at("resnet50.pth"))
    emit(folder, "resnet50.pth", large, net.local(normalised(large, IMAGENET)), option(IMAGENET))

    for name, arguments, net in (
        ("resnet34.pth", "", ResNet(4, basic=True)),
        ("resnet101.pth", "", ResNet(4, (3, 4, 23, 3))),
        ("resnet152.pth", "", ResNet(4, (3, 8, 36, 3))),
        ("wide_resnet50.pth", "", ResNet(4, middle=8)),
        ("wide_resnet101-v1.pth", " --set strided=1x1", ResNet(4, (3, 4, 23, 3), middle=8, strided="1x1")),
        ("resnet50-v1.pth", " --set strided=1x1", ResNet(4, strided="1x1")),
    ):
        torch.save(lived(net).state_dict(), at(name))
        emit(folder, name, large, net.local(normalised(large, IMAGENET)), option(IMAGENET) + arguments)

    tokens = torch.randint(0, 256, (2, 3, 48, 64), dtype=torch.uint8)
    net, arguments = lived(ViT((48, 64), 24, 3, 3)), option(IMAGENET) + " --set heads=3"
    torch.save({"model": net.state_dict()}, at("vit.pth"))
    emit(folder, "vit.pth", tokens, net.local(normalised(tokens, IMAGENET)), arguments)
    for shape, band, stride in (("column", 19, 1), ("column", 61, 1), ("row", 5, 7), ("block", 21, 5)):
        name = "smoothed-vit-%s-%d.pth" % (shape, band)
        torch.save({"state_dict": behind("module.", net.state_dict())}, at(name))
        emit(folder, name, tokens, token_cells(net, tokens, IMAGENET, shape, band, stride),
             arguments + " --set shape=%s --set band=%d --set stride=%d" % (shape, band, stride), "smoothed-vit")
    net = lived(ViT((32, 32), 128, 2, 2, 8, 40, 0.125, True))
    torch.save({"model": net.state_dict()}, at("deit-distilled.pth"))
    emit(folder, "deit-distilled.pth", small, net.local(normalised(small, CIFAR)), option(CIFAR) + " --set epsilon=0.125")
    torch.save({"model": net.state_dict()}, at("smoothed-deit.pth"))
    emit(folder, "smoothed-deit.pth", small, token_cells(net, small, CIFAR, "column", 4), option(CIFAR) + " --set epsilon=0.125 --set band=4",
         "smoothed-vit")

    net, ema = lived(BagNet(8, (1, 1, 1, 0), (1, 2, 1, 1))), lived(BagNet(8, (1, 1, 1, 0), (1, 2, 1, 1)))
    states = {"epoch": 3, "arch": "bagnet17", "state_dict": net.state_dict(), "state_dict_ema": behind("module.", ema.state_dict()),
              "optimizer": torch.optim.SGD(net.parameters(), 0.1, momentum=0.9).state_dict()}
    torch.save(states, at("bagnet17.pth"))
    emit(folder, "bagnet17.pth", large, ema.local(normalised(large, IMAGENET)), option(IMAGENET) + " --key state_dict_ema")
    net = lived(BagNet(4, (1, 1, 1, 1), (1, 1, 1, 1), (2, 1, 2, 1)))
    torch.save(net.state_dict(), at("bagnet33.pth"))
    emit(folder, "bagnet33.pth", small, net.local(normalised(small, IMAGENET)), option(IMAGENET) + " --set strides=2,1,2,1")

    net = lived(ResNet18(8, 6, names=("shortcut", "linear")))
    torch.save({"net": behind("module.", net.state_dict()), "epoch": 349}, at("ds-resnet18.pth"))
    emit(folder, "ds-resnet18.pth", small, cells(net, small.float().div(255), "column", 4), "--set band=4")
    for shape, band, stride in (("row", 5, 3), ("block", 12, 5)):
        name = "ds-%s.pth" % shape
        torch.save({"net": net.state_dict()}, at(name))
        emit(folder, name, small, cells(net, small.float().div(255), shape, band, stride),
             "--set shape=%s --set band=%d --set stride=%d" % (shape, band, stride))

    net, wide = lived(ResNet(4, channels=6)), torch.randint(0, 256, (2, 3, 40, 75), dtype=torch.uint8)
    torch.save({"net": behind("module.", net.state_dict()), "epoch": 60}, at("ds-resnet50.pth"))
    emit(folder, "ds-resnet50.pth", wide, cells(net, normalised(wide, IMAGENET), "column", 25), option(IMAGENET) + " --set band=25")
    net = lived(ResNet18(8, 6, imagenet=True))
    torch.save({"net": net.state_dict()}, at("ds-resnet18-imagenet.pth"))
    emit(folder, "ds-resnet18-imagenet.pth", wide, cells(net, wide.float().div(255), "column", 25, 7), "--set band=25 --set stride=7")

    # MobileNetV2: even, odd, and so small that the last maps have one row
    sizes = [torch.randint(0, 256, (2, 3, h, w), dtype=torch.uint8) for h, w in ((64, 48), (33, 75), (30, 31))]
    for padding in ("torch", "same"):
        net = lived(MobileNetV2(0.25, padding))
        for pixels in sizes:
            name = "mobilenet-%s-%d.pth" % (padding, pixels.size(2))
            torch.save(net.state_dict(), at(name))
            emit(folder, name, pixels, net.local(normalised(pixels, IMAGENET)), option(IMAGENET) + " --set padding=" + padding)
    net = lived(MobileNetV2(1.3, "torch"))
    torch.save({"state_dict": behind("module.", net.state_dict())}, at("mobilenet-wide.pth"))
    emit(folder, "mobilenet-wide.pth", small, net.local(normalised(small, IMAGENET)), option(IMAGENET))
    for cut in (3, 4, 5):
        net, name = lived(MobileNetV2(0.1, "none", cut=cut)), "mobilenet-local%d.pth" % cut
        torch.save(net.state_dict(), at(name))
        emit(folder, name, large, net.local(normalised(large, IMAGENET)), option(IMAGENET))
    for padding, encode, channels in (("same", "band", 5), ("torch", "ablation", 6)):
        net, name, x = lived(MobileNetV2(0.1, padding, channels)), "ds-mobilenet-%s.pth" % encode, normalised(sizes[1], IMAGENET)
        torch.save(net.state_dict(), at(name))
        logits = bands(net, x, 25, 9) if encode == "band" else cells(net, x, "column", 25, 9)
        emit(folder, name, sizes[1], logits, option(IMAGENET) + " --set band=25 --set stride=9 --set padding=" + padding)


@torch.no_grad()
def published(folder, weights):
    torch.manual_seed(1)
    torch.set_num_threads(1)
    for depth, name in ((20, "resnet20-12fca82f.th"), (56, "resnet56-4bfd9763.th")):
        os.symlink(os.path.abspath(os.path.join(weights, name)), os.path.join(folder, name))
        state = torch.load(os.path.join(folder, name), map_location="cpu")["state_dict"]
        net = ResNetCifar(16, depth, ("pad", "linear")).eval()
        net.load_state_dict({key[len("module.") :]: value for key, value in state.items()}, strict=False)
        pixels = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
        emit(folder, name, pixels, net.local(normalised(pixels, IMAGENET)), option(IMAGENET))
    # smooth, as photographs are
    name, coarse = "mobilenet_v2-imagenet.pth", torch.rand(2, 3, 14, 14)
    pixels = (255 * nn.functional.interpolate(coarse, size=(224, 224), mode="bilinear")).to(torch.uint8)
    os.symlink(os.path.abspath(os.path.join(weights, name)), os.path.join(folder, name))
    net = MobileNetV2(1, "same", classes=1000).eval()
    net.load_state_dict(torch.load(os.path.join(folder, name), map_location="cpu"))
    half = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    emit(folder, name, pixels, net.local(normalised(pixels, half)), option(half) + " --set padding=same")


if __name__ == "__main__":
    published(*sys.argv[1:]) if len(sys.argv) > 2 else main(sys.argv[1])
