"""Files of patches as NumPy, PyTorch and Pillow write them, and what they hold; then files that are none.

patches_reference.py FOLDER writes them there and prints a line for each:
  good|NAME|IMAGE SIDE|COUNT|HEIGHT|WIDTH|TOP|LEFT, top -1 where the file names no place; NAME.raw has float32 pixels, uint8 masks, int64 targets
  bad|NAME|what the message has to say
"""

import gzip
import json
import pickle
import struct
import sys

import numpy
import torch
from PIL import Image

folder = sys.argv[1]
random = numpy.random.default_rng(1)


def path(name):
    return folder + "/" + name


def good(name, pixels, masks=None, targets=None, side=0, place=(-1, -1)):
    n, _, h, w = pixels.shape
    masks = numpy.ones((n, h, w)) if masks is None else masks
    targets = numpy.full(n, -1) if targets is None else targets
    with open(path(name + ".raw"), "wb") as f:
        f.write(pixels.astype("<f4").tobytes() + masks.astype("u1").tobytes() + targets.astype("<i8").tobytes())
    print("good", name, side, n, h, w, *place, sep="|")


def bad(name, message, contents=None):
    if contents is not None:
        with open(path(name), "wb") as f:
            f.write(contents)
    print("bad", name, message, sep="|")


def safetensors(name, tensors):
    kinds = {"float32": "F32", "float16": "F16", "uint8": "U8", "int64": "I64"}
    header, data = {}, b""
    for key, x in tensors.items():
        header[key] = {"dtype": kinds[str(x.dtype)], "shape": x.shape, "data_offsets": [len(data), len(data) + x.nbytes]}
        data += x.tobytes()
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path(name), "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)


n, h, w = 3, 5, 6
floats = random.random((n, 3, h, w)).astype("f4")
octets = random.integers(0, 256, (n, 3, h, w)).astype("u1")
of_octets = octets.astype("f4") / numpy.float32(255)
masks = random.integers(0, 2, (n, h, w)).astype("u1")
masks[:, 0, 0] = masks[:, -1, -1] = 1
targets = numpy.array([7, 0, 999])

numpy.save(path("f4.npy"), floats)
good("f4.npy", floats)
numpy.save(path("f8.npy"), floats.astype("f8"))
good("f8.npy", floats)
numpy.save(path("f2.npy"), floats.astype("f2"))
good("f2.npy", floats.astype("f2").astype("f4"))
numpy.save(path("u1.npy"), octets)
good("u1.npy", of_octets)
numpy.save(path("fortran.npy"), numpy.asfortranarray(octets))
good("fortran.npy", of_octets)
numpy.save(path("one.npy"), floats[1])
good("one.npy", floats[1:2])
numpy.savez(path("all.npz"), patches=octets, masks=masks, targets=targets)
good("all.npz", of_octets, masks, targets)
numpy.savez_compressed(path("alone.npz"), whatever=floats)
good("alone.npz", floats)
safetensors("all.safetensors", {"targets": targets, "patches": floats, "masks": masks})
good("all.safetensors", floats, masks, targets)
safetensors("half.safetensors", {"x": floats.astype("f2")})
good("half.safetensors", floats.astype("f2").astype("f4"))

canvas = numpy.zeros((n, 3, 32, 32), "f4")
canvas[:, :, 20:25, 3:9] = floats
canvas[0, :, 22, 5] = 0  # inside the rectangle, of the patch
cut = canvas[:, :, 20:25, 3:9]
numpy.save(path("canvas.npy"), canvas)
good("canvas.npy", cut, side=32, place=(20, 3))
good_again = "whole-canvas.npy"  # for images of another size
numpy.save(path(good_again), canvas)
good(good_again, canvas, side=48)
wide = numpy.zeros((n, 32, 32), "u1")
wide[:, 20:25, 3:9] = masks
numpy.savez(path("canvas.npz"), patches=canvas, masks=wide)
good("canvas.npz", cut, masks, side=32, place=(20, 3))

rgba = numpy.concatenate([octets[0].transpose(1, 2, 0), (masks[0] * 100 + 100)[:, :, None]], 2)
Image.fromarray(rgba.astype("u1"), "RGBA").save(path("rgba.png"))
good("rgba.png", of_octets[:1], masks[:1])
Image.fromarray(octets[0].transpose(1, 2, 0), "RGB").save(path("rgb.png"))
good("rgb.png", of_octets[:1])
gray = Image.fromarray(octets[0, 0], "L")
gray_alpha = Image.merge("LA", (gray, Image.fromarray(masks[0] * 128)))
gray_alpha.save(path("gray.png"))
good("gray.png", numpy.repeat(of_octets[:1, :1], 3, 1), masks[:1])
palette = Image.fromarray(masks[0], "P")
palette.putpalette([10, 20, 30, 200, 100, 50])
palette.save(path("palette.png"), transparency=bytes([0, 255]))
colours = numpy.array([[10, 20, 30], [200, 100, 50]])[masks[0]].transpose(2, 0, 1)[None]
good("palette.png", colours.astype("f4") / numpy.float32(255), masks[:1])

published = pickle.dumps((torch.tensor(canvas), torch.tensor(targets, dtype=torch.float32), {"patch_size": 5}), 4)
with open(path("plain.pickle"), "wb") as f:
    f.write(published)
good("plain.pickle", cut, targets=targets, side=32, place=(20, 3))
with gzip.open(path("published.gz"), "wb") as f:
    f.write(published)
good("published.gz", cut, targets=targets, side=32, place=(20, 3))
for protocol in (3, 5):
    with gzip.open(path("p%d.gz" % protocol), "wb") as f:  # a view that is no whole storage, and no targets
        pickle.dump([torch.tensor(canvas).transpose(2, 3)[1:, :, 3:9, 20:25]], f, protocol)
    good("p%d.gz" % protocol, canvas.transpose(0, 1, 3, 2)[1:, :, 3:9, 20:25])

with open(path("f4.npy"), "rb") as f:
    whole = f.read()
bad("missing.npy", "No such file")
bad("empty", "empty", b"")
bad("text", "right would be .npy", b"a patch of five pixels\n")
bad("cut.npy", "cut.npy", whole[:-1])
bad("huge.npy", "", whole.replace(b"(3, 3, 5, 6)", b"(3,3,5,60000000000)", 1))
numpy.save(path("channels.npy"), numpy.zeros((2, 4, 5, 5), "f4"))
bad("channels.npy", "[2][4][5][5]; right would be [patches][3][height][width]")
numpy.save(path("last.npy"), numpy.zeros((5, 5, 3), "u1"))
bad("last.npy", "right would be [patches][3][height][width]")
numpy.save(path("flat.npy"), numpy.zeros(75, "u1"))
bad("flat.npy", "[75]")
numpy.save(path("none.npy"), numpy.zeros((0, 3, 5, 5), "u1"))
bad("none.npy", "0 patches of 5 x 5 pixels")
numpy.save(path("integers.npy"), octets.astype("i4"))
bad("integers.npy", "patches of integers")
for value, name in ((float("nan"), "nan"), (float("inf"), "inf"), (-0.01, "below"), (1.01, "above")):
    wrong = floats.copy()
    wrong[2, 1, 3, 3] = value
    numpy.save(path(name + ".npy"), wrong)
    bad(name + ".npy", "patch 2 has the value")
numpy.savez(path("two.npz"), a=floats, b=floats)
bad("two.npz", "two.npz")
numpy.savez(path("masks.npz"), patches=floats, masks=masks[:, 1:])
bad("masks.npz", "masks: right would be the shape [3][5][6]")
numpy.savez(path("unmasked.npz"), patches=floats, masks=0 * masks)
bad("unmasked.npz", "cover no pixel")
numpy.savez(path("targets.npz"), patches=floats, targets=targets[:2])
bad("targets.npz", "one class for each of the 3 patches")
numpy.savez(path("fraction.npz"), patches=floats, targets=targets + 0.5)
bad("fraction.npz", "is no class")
safetensors("named.safetensors", {"a": floats, "b": floats})
bad("named.safetensors", "none that is called patches")
numpy.save(path("black.npy"), 0 * canvas)
bad("black.npy", "every pixel is zero")
with open(path("published.gz"), "rb") as f:
    packed = f.read()
bad("cut.gz", "damaged", packed[: len(packed) // 2])
bad("more.gz", "behind the gzip", packed + b"more")
bad("cut.pickle", "ends", published[:-300])
bad("more.pickle", "behind the pickle", published + b"more")
bad("none.pickle", "a tuple whose first", pickle.dumps({"patches": 1}, 4))
bad("numbers.pickle", "no tensor", pickle.dumps(([1, 2], [3]), 4))
bad("old.pickle", "no tensor", pickle.dumps((torch.tensor(canvas),), 2))
bad("reach.pickle", "reaches behind its storage", published.replace(struct.pack("<BI", ord("J"), 3 * 32 * 32), struct.pack("<BI", ord("J"), 1 << 20), 1)
    if struct.pack("<BI", ord("J"), 3 * 32 * 32) in published else published.replace(b"K\x03K K ", b"K\x04K K ", 1))


class Call:
    def __reduce__(self):
        return (open, (path("was-run"), "w"))


bad("call.pickle", "no tensor", pickle.dumps((Call(), torch.tensor(targets)), 4))
bad("zeros.gz", "more than", gzip.compress(bytes(17 << 20)))
bad("jpeg", "right would be .npy", b"\xff\xd8\xff\xe0" + bytes(100))
with open(path("rgba.png"), "rb") as f:
    bad("cut.png", "PNG", f.read()[:60])
