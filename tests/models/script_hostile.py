"""TorchScript modules for tests/models/test_torchscript.c that are no networks with the geometry that is stated for them, or harm who runs them.

    script_hostile.py DIR    one line for each: FILE|EXIT CODE|a part of the output|arguments of `model import torchscript`
"""
import io
import os
import sys
import zipfile
from typing import Dict, List, Tuple

import torch
from torch import nn

folder = sys.argv[1]
torch.manual_seed(7)
torch.set_num_threads(1)

PLAIN = "--set mean=0 --set std=1"
FIELD = "--set row_field=5 --set column_field=5 --set row_stride=2 --set column_stride=2 " + PLAIN
WHOLE = "--set row_field=0 --set column_field=0 " + PLAIN


class Local(nn.Module):
    """A field of 5 px at every second one."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 12, 5, 2), nn.Conv2d(12, 10, 1)

    def forward(self, x):
        return self.last(torch.relu(self.first(x)))


class With(nn.Module):
    def __init__(self):
        super().__init__()
        self.local = Local()


# ---- Harm


class Loop(With):
    def forward(self, x):
        y = self.local(x)
        while bool(y.sum() > -1e30):
            y = torch.sin(y)
        return y


class LoopAtLoad(With):
    def __init__(self):
        super().__init__()
        self.n = 1

    @torch.jit.export
    def __getstate__(self):
        return (self.n, self.training)

    @torch.jit.export
    def __setstate__(self, state: Tuple[int, bool]):
        self.n, self.training = state
        while self.n > 0:
            self.n = 1

    def forward(self, x):
        return x


class Hoard(With):
    def forward(self, x):
        kept: List[torch.Tensor] = []
        while bool(x.sum() > -1e30):
            kept.append(torch.empty(1 << 27, device=x.device))
        return self.local(x) + kept[0][0]


class Vast(With):
    def forward(self, x):
        return self.local(x) + torch.zeros(1 << 44).sum()


class Raises(With):
    def forward(self, x):
        if bool(x.sum() > -1e30):
            raise RuntimeError("first line\n\x1b[31mthe last line")
        return self.local(x)


class Prints(With):
    def forward(self, x):
        print("spoken by the module")
        return self.local(x)


class Writes(With):
    def forward(self, x):
        torch.save(x, "/dev/null")
        return self.local(x)


class InPlace(With):
    def forward(self, x):
        x.mul_(0.5)
        return self.local(x)


# ---- Answers


class Answers(With):
    def __init__(self, what):
        super().__init__()
        self.what = what

    def forward(self, x):
        y = self.local(x)
        if self.what == "nan":
            return y / 0 * 0
        if self.what == "infinite":
            return y / 0
        if self.what == "integers":
            return (100 * y).long()
        if self.what == "complex":
            return torch.complex(y, y)
        if self.what == "sparse":
            return y.to_sparse()
        if self.what == "flat":
            return y.flatten(1)
        if self.what == "one-class":
            return y[:, :1]
        if self.what == "first":
            return y[:1]
        if self.what == "grows":
            return y[:, :, : x.shape[0]]
        if self.what == "empty":
            return y[:, :, :0]
        return y


class Two(With):
    def forward(self, x) -> Tuple[torch.Tensor, torch.Tensor]:
        return self.local(x), x


class Named(With):
    def forward(self, x) -> Dict[str, torch.Tensor]:
        return {"logits": self.local(x)}


class None_(With):
    def forward(self, x):
        self.local(x)


class TwoInputs(With):
    def forward(self, x, y):
        return self.local(x) + y


class Detached(With):
    """Nearly always class 3, so that some images are right."""

    def forward(self, x):
        y = self.local(x)
        y[:, 3] += 1
        return y.detach()


class NoForward(With):
    @torch.jit.export
    def answer(self, x):
        return self.local(x)


# ---- States and company


class Counts(With):
    def __init__(self, patience):
        super().__init__()
        self.n, self.patience = 0, patience

    def forward(self, x):
        self.n += 1
        y = self.local(x)
        return y + 1 if self.n > self.patience else y


class Random(With):
    def forward(self, x):
        y = self.local(x)
        return y + 0.01 * torch.rand_like(y)


class Dropout(With):
    def forward(self, x):
        return nn.functional.dropout(self.local(x), 0.1, True)


class Company(With):
    """Others of the batch count; `first`: only its first image, so that it is right itself."""

    def __init__(self, first):
        super().__init__()
        self.only_first = first

    def forward(self, x):
        y = self.local(x)
        return y + 0.1 * (y[:1] - y) if self.only_first else y + 0.1 * (y.mean(0, True) - y)


class LastPlace(With):
    """The last image of a batch of three or more is answered otherwise."""

    def forward(self, x):
        y = self.local(x)
        if y.shape[0] >= 3:
            y[-1] += 0.5
        return y


# ---- Geometry


class Mean(With):
    """As squeeze-and-excitation: a little of the mean of the whole image, everywhere."""

    def __init__(self, scale):
        super().__init__()
        self.scale = scale

    def forward(self, x):
        return self.local(x) + self.scale * x.mean((1, 2, 3), True)


class OnePosition(With):
    """One position of many looks at one far pixel."""

    def forward(self, x):
        y = self.local(x)
        y[:, :, 6, 9] += 0.1 * x[:, :1, 0, 31]
        return y


class Wide(nn.Module):
    """A field of 6 px: the stated one and a pixel below or to the right."""

    def __init__(self, kernel):
        super().__init__()
        self.first = nn.Conv2d(3, 10, kernel, 2)

    def forward(self, x):
        return self.first(x)


class Shifted(nn.Module):
    """A field of 5 px at every second one, but one pixel further to the right than is stated."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 10, 5, 2)

    def forward(self, x):
        return self.first(nn.functional.pad(x[:, :, :, 1:], (0, 1, 0, 0)))


def emit(name, code, said, arguments=FIELD):
    print("%s|%d|%s|%s" % (name, code, said, arguments), flush=True)


def save(name, module, code, said, arguments=FIELD):
    torch.jit.script(module.eval()).save(os.path.join(folder, name))
    emit(name, code, said, arguments)


LIMIT = " --time-limit 3"
save("loop", Loop(), 2, "it took more than 3 s; --time-limit allows more", FIELD + LIMIT)
save("loop-at-load", LoopAtLoad(), 2, "it took more than 3 s; --time-limit allows more", FIELD + LIMIT)
save("hoard", Hoard(), 2, "can't allocate memory")
save("vast", Vast(), 2, "can't allocate memory")
save("raises", Raises(), 2, "?[31mthe last line")
save("prints", Prints(), 0, "wrote")
save("writes", Writes(), 0, "wrote")
save("in-place", InPlace(), 0, "wrote")
for what, said in (("nan", "a local logit is not finite"), ("infinite", "a local logit is not finite"), ("integers", "not of floating-point numbers"),
                   ("complex", "not of floating-point numbers"), ("sparse", "not of floating-point numbers"), ("flat", "a tensor of rank 2, [1][1960]"),
                   ("one-class", "[1][1][14][14]"), ("first", "3 images with a tensor of another shape"), ("empty", "[1][10][0][14]")):
    save(what, Answers(what), 2, said)
save("grows", Answers("grows"), 2, "3 images with a tensor of another shape", "--set row_field=0 --set column_field=5 --set column_stride=2 " + PLAIN)
save("two", Two(), 2, "it answers with a Tuple, not with one tensor")
save("named", Named(), 2, "it answers with a GenericDict, not with one tensor")
save("none", None_(), 2, "it answers with a None, not with one tensor")
save("two-inputs", TwoInputs(), 2, "missing value for argument 'y'")
save("no-forward", NoForward(), 2, "Method 'forward' is not defined")
save("double", Local().double(), 2, "module.float() before it is saved")
save("half", Local().half(), 2, "module.float() before it is saved")
save("detached", Detached(), 0, "none reach the pixels: of the attacks, use random-search")
save("large", Local(), 2, "fails on an image of 4 x 4 pixels: RuntimeError: ", "--input 4x4 " + FIELD)
save("counts", Counts(1), 2, "keeps a state, or chance is in it")
save("counts-late", Counts(12), 2, "keeps a state, or chance is in it")
save("random", Random(), 2, "keeps a state, or chance is in it")
save("dropout", Dropout(), 2, "keeps a state, or chance is in it")
save("company", Company(False), 2, "when another image is in its batch")
save("company-first", Company(True), 2, "when another image is in its batch")
save("last-place", LastPlace(), 2, "when another image is in its batch")
said = "does not see it with the stated geometry"
save("mean", Mean(0.1), 2, said)
save("mean-little", Mean(0.001), 2, said)
save("one-position", OnePosition(), 2, said)
save("lower", Wide((6, 5)), 2, said)
save("wider", Wide((5, 6)), 2, said)
save("shifted", Shifted(), 2, said)
save("stride", nn.Sequential(nn.Conv2d(3, 10, 5, 2)), 2, said, FIELD.replace("column_stride=2", "column_stride=3").replace("column_field=5", "column_field=9 --set column_padding=8"))
save("rows-whole", Mean(0.1), 2, said, FIELD.replace("row_field=5 ", "row_field=0 ").replace("--set row_stride=2 ", ""))
save("whole", Mean(0.1), 0, "wrote", WHOLE)
save("sound", Local(), 0, "wrote")

# ---- Files

with open(os.path.join(folder, "sound"), "rb") as f:
    sound = f.read()


def write(name, data, said, code=2):
    with open(os.path.join(folder, name), "wb") as f:
        f.write(data)
    emit(name, code, said)


def archive(entries, method=zipfile.ZIP_STORED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as z:
        for name, data in entries.items():
            z.writestr(name, data)
    return out.getvalue()


write("cut", sound[: len(sound) // 2], "the zip archive is damaged")
write("nothing", b"", "is empty, no TorchScript")
write("words", b"these are words\n", "is text, no TorchScript")
write("picture", b"\x89PNG\r\n\x1a\n" + bytes(60), "is a PNG image, no TorchScript")
write("other-zip", archive({"a.txt": b"x"}), "is a zip archive, no TorchScript")
write("broken-code", archive({"a/code/x.py": b"x", "a/constants.pkl": b"x", "a/data.pkl": b"x", "a/version": b"3\n"}), "libtorch cannot read it as TorchScript")
bomb = {"a/code/x.py": b"x", "a/constants.pkl": b"x", "a/data.pkl": b"x"}
bomb.update({"a/data/%d" % i: bytes(1 << 25) for i in range(65)})
write("bomb", archive(bomb, zipfile.ZIP_DEFLATED), "unpacks to more than 2 GiB")
torch.save(Local().state_dict(), os.path.join(folder, "weights"))
emit("weights", 2, "is a file of torch.save, weights without their program")
emit(".", 2, "not a regular file")
emit("absent", 2, "No such file")
