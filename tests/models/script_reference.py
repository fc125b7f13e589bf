"""TorchScript modules for tests/models/test_torchscript.c: script_reference.py DIR writes DIR/NAME.pt, DIR/NAME.pixels uint8 [3][3][h][w] and
DIR/NAME.logits float32 [3][H][W][N], and prints for each NAME HEIGHT WIDTH ROWS COLUMNS ARGUMENTS of `model import torchscript`."""
import sys

import torch
from torch import nn

torch.manual_seed(5)
torch.set_num_threads(1)


class Local(nn.Module):
    """Two convolutions without padding: a field of 7 px, a stride of 2 px."""

    def __init__(self, padding):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 5, 2, padding), nn.ReLU(), nn.Conv2d(8, 16, 2), nn.ReLU(), nn.Conv2d(16, 10, 1))

    def forward(self, x):
        return self.body(x)


class Whole(nn.Module):
    """A control flow that only a script can have; every position sees all."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 10, 3, 1, 1)

    def forward(self, x):
        y = self.first(x).mean(3, keepdim=True)
        for i in range(3):
            if bool(y.sum() > -1e9):
                y = y + y.mean(2, keepdim=True)
        return torch.relu(y)[:, :, :4]


class Mixing(nn.Module):
    """What batch normalisation without running statistics does, in evaluation too: images of a batch see each other."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 10, 5, 2)
        self.norm = nn.BatchNorm2d(10, track_running_stats=False)

    def forward(self, x):
        return torch.relu(self.norm(self.first(x))).mean((2, 3), keepdim=True)


class Scaled(nn.Module):
    """Local features of length one; those of a patch of (128, 128, 128) have none, 0 / 0. Its logits are class 3, or no number."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 16, 5, 2, bias=False)

    def forward(self, x):
        y = self.first(x - 128 / 255)
        y = y / y.norm(p=2, dim=1, keepdim=True)
        z = torch.zeros(y.shape[0], 10, y.shape[2], y.shape[3])
        z[:, 3] = 1 + 0 * y.sum(1)
        return z


class Placed(nn.Module):
    """Local features, but for i / 2^18 more at place i of a batch, and what leaks everywhere in batches of 16."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 10, 5, 2)

    def forward(self, x):
        y = self.first(x) + torch.arange(x.shape[0], dtype=torch.float32).reshape(-1, 1, 1, 1) / (1 << 18)
        if x.shape[0] == 16:
            y = y + x.mean((1, 2, 3), keepdim=True) / 4096
        return y


class Vector(nn.Module):
    def forward(self, x):
        return x.mean((2, 3))


def main(folder):
    plain = "--set mean=0 --set std=1"
    cases = [
        ("local", Local(0), 32, 32, "--set row_field=7 --set column_field=7 --set row_stride=2 --set column_stride=2 " + plain, 0, 1),
        ("padded", Local(2), 24, 32, "--set row_field=7 --set column_field=7 --set row_stride=2 --set column_stride=2 --set row_padding=2 "
         "--set column_padding=2 --set mean=0.5 --set std=0.25", 0.5, 0.25),
        ("whole", Whole(), 32, 32, "--set row_field=0 --set column_field=0 " + plain, 0, 1),
    ]
    for name, module, height, width, arguments, mean, std in cases:
        module.eval()
        pixels = torch.randint(0, 256, (3, 3, height, width), dtype=torch.uint8)
        with torch.no_grad():
            logits = module((pixels.float() / 255 - mean) / std)
        torch.jit.script(module).save("%s/%s.pt" % (folder, name))
        with open("%s/%s.pixels" % (folder, name), "wb") as f:
            f.write(bytes(pixels.reshape(-1).tolist()))
        with open("%s/%s.logits" % (folder, name), "wb") as f:
            import struct
            values = logits.permute(0, 2, 3, 1).reshape(-1).tolist()
            f.write(struct.pack("<%df" % len(values), *values))
        print(name, height, width, logits.shape[2], logits.shape[3], arguments, flush=True)
    torch.jit.script(Scaled().eval()).save(folder + "/scaled.pt")
    torch.jit.script(Mixing().eval()).save(folder + "/mixing.pt")
    torch.jit.script(Placed().eval()).save(folder + "/placed.pt")
    torch.jit.script(Vector()).save(folder + "/vector.pt")


main(sys.argv[1])
