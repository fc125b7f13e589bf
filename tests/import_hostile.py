"""Files that `model import` has to refuse, for tests/test_import.c; needs Python alone.

    import_hostile.py DIR    one line for each file on standard output: NAME WANTED, a part of the message; "-": the file is sound

Each is the sound one with one thing changed. The pickles are written by hand, opcode by opcode (pickletools has their names).
"""
import os
import struct
import sys
import warnings
import zipfile

warnings.simplefilter("ignore")  # zipfile says that names come twice
folder = sys.argv[1]


def integer(n):
    return b"J" + struct.pack("<i", n) if abs(n) < 1 << 31 else b"\x8a\x08" + struct.pack("<q", n)


def text(s):
    return b"X" + struct.pack("<I", len(s.encode())) + s.encode()


def tuple_of(*items):
    return b"(" + b"".join(items) + b"t"


def strides(shape):
    out = []
    for size in reversed(shape):
        out.insert(0, out[0] * below if out else 1)
        below = size
    return out


def tensor(key, shape, count, kind="FloatStorage", offset=0, stride=None):
    storage = tuple_of(text("storage"), b"ctorch\n" + kind.encode() + b"\n", text(str(key)), text("cpu"), integer(count)) + b"Q"
    stride = strides(shape) if stride is None else stride
    return (b"ctorch._utils\n_rebuild_tensor_v2\n"
            + tuple_of(storage, integer(offset), tuple_of(*map(integer, shape)), tuple_of(*map(integer, stride)), b"\x89", b"N") + b"R")


def shapes(width=4, classes=10):
    out = {}

    def step(conv, norm, inside, outside, kernel):
        out[conv + ".weight"] = (outside, inside, kernel, kernel)
        for suffix in ("weight", "bias", "running_mean", "running_var"):
            out[norm + "." + suffix] = (outside,)

    step("conv1", "bn1", 3, width, 3)
    inside = width
    for stage in range(4):
        for block in range(2):
            outside, at = width << stage, "layer%d.%d." % (stage + 1, block)
            step(at + "conv1", at + "bn1", inside, outside, 3)
            step(at + "conv2", at + "bn2", outside, outside, 3)
            if inside != outside:
                step(at + "downsample.0", at + "downsample.1", inside, outside, 1)
            inside = outside
    out["fc.weight"], out["fc.bias"] = (classes, inside), (classes,)
    return out


def product(shape):
    n = 1
    for size in shape:
        n *= size
    return n


NAMES = list(shapes().items())
BYTES = [struct.pack("<f", 0.25) * product(shape) for _, shape in NAMES]


def entries(change={}, extra=b""):
    """The opcodes of a dictionary; `change`: names with other values, None for none."""
    items = []
    for i, (name, shape) in enumerate(NAMES):
        value = change.get(name, tensor(i, shape, product(shape)))
        items.append(text(name) + value if value is not None else b"")
    return b"}(" + b"".join(items) + extra + b"u"


def write(name, want, pickle, method=zipfile.ZIP_STORED, data=None, root="archive", more=(), skip=()):
    with zipfile.ZipFile(os.path.join(folder, name), "w", method) as z:
        z.writestr(root + "/data.pkl", pickle)
        for i, values in enumerate(BYTES if data is None else data):
            if i not in skip:
                z.writestr("%s/data/%d" % (root, i), values)
        for entry, values in more:
            z.writestr(entry, values)
    print(name, want, flush=True)


def whole(body):
    return b"\x80\x02" + body + b"."


def extra(value):
    return whole(entries(extra=text("x") + value))


SOUND = whole(entries())
first, shape = NAMES[0]
changed = lambda value: whole(entries({first: value}))

write("sound", "-", SOUND)
# calls
write("system", "names os.system,", extra(b"cos\nsystem\n" + tuple_of(text("touch %s/owned" % folder)) + b"R"))
write("posix", "names posix.system,", whole(b"cposix\nsystem\n" + tuple_of(text("touch %s/owned" % folder)) + b"R"))
write("eval", "names builtins.eval,", extra(text("builtins") + text("eval") + b"\x93" + tuple_of(text("1")) + b"R"))
write("module", "names torch.nn.modules.conv.Conv2d,", extra(b"ctorch.nn.modules.conv\nConv2d\n)\x81"))
write("escape", "names os.?[31m,", extra(b"cos\n\x1b[31m\n"))
write("getattr", "names torch._utils.__dict__,", extra(b"ctorch._utils\n__dict__\n"))
write("reduce-text", "a call of something that is no name", extra(text("os.system") + b")R"))
write("reduce-storage", "torch.FloatStorage with arguments", extra(b"ctorch\nFloatStorage\n" + tuple_of(integer(1 << 40)) + b"R"))
write("ordered", "collections.OrderedDict with arguments", extra(b"ccollections\nOrderedDict\n" + tuple_of(integer(1)) + b"R"))
write("build", "sets attributes", extra(b"ctorch\nSize\n}b"))
write("inst", "opcode 0x69", extra(b"(ios\nsystem\n"))
write("extension", "opcode 0x82", extra(b"\x82\x01"))
write("persid", "opcode 0x50", extra(b"Pstorage\n"))
# the machine
write("truncated", "it ends", SOUND[:-700])
write("no-end", "without an end", SOUND[:-1])
write("long-text", "it ends within a value: 4294967295 more", extra(b"X\xff\xff\xff\xffabc"))
write("longer-text", "it ends within a value: 18446744073709551615 more", extra(b"\x8d" + b"\xff" * 8 + b"abc"))
write("long-integer", "an integer of 200 bytes", extra(b"\x8a\xc8" + b"\1" * 200))
write("memo-far", "of the memo; at most", extra(b"Nr\xff\xff\xff\x7f"))
write("memo-none", "of the memo, where nothing is", extra(b"j\5\0\0\0"))
write("cycle", "a container holds itself", extra(b"]q\1h\1a"))
write("cycle-dict", "a container holds itself", extra(b"}q\1" + text("k") + b"h\1s"))
write("cycle-deep", "a container holds itself", extra(b"]q\1](h\1h\1\x85ea"))
write("deep", "more than 32 deep", extra(b"]" * 40 + b"a" * 39))
write("underflow", "finds nothing to work on", whole(b"RRRR"))
write("mark", "wants a mark", whole(b"}u"))
write("odd", "entries of a dictionary that is not there", whole(b"}(Nu"))
write("two-roots", "values are left", whole(b"}}"))
write("text-root", "no network is in it", whole(text("hello")))
write("behind", "bytes behind the pickle", SOUND + b"cos\nsystem\n")
write("protocol", "protocol 0;", b"\x80\x00" + entries() + b".")
write("zero", "a zero byte in it", extra(text("a\0b")))
# tensors
count = product(shape)
write("short-view", "reaches behind its storage", changed(tensor(0, shape, count - 1)))
write("offset", "reaches behind its storage", changed(tensor(0, shape, count, offset=1)))
write("stride", "reaches behind its storage", changed(tensor(0, shape, count, stride=(1 << 62, 1 << 62, 1 << 62, 1 << 62))))
write("negative", "is not made of storage", changed(tensor(0, shape, count, stride=(-27, 9, 3, 1))))
write("huge", "reaches behind its storage", changed(tensor(0, (1 << 40, 1 << 40), count)))
write("repeats", "repeats those of its storage", changed(tensor(0, (1 << 40,), count, stride=(0,))))
write("many-axes", "at most 8 axes", changed(tensor(0, (1,) * 9, count)))
write("negative-count", "a storage of -1 elements", changed(tensor(0, shape, -1)))
write("huge-count", "a storage of 2305843009213693952 elements", changed(tensor(0, shape, 1 << 61)))
write("short-storage", "storage 0 has 428 bytes, the pickle states 432", SOUND, data=[BYTES[0][:-4]] + BYTES[1:])
write("long-storage", "storage 0 has 436 bytes, the pickle states 432", SOUND, data=[BYTES[0] + b"1234"] + BYTES[1:])
write("other-type", "the pickle states 864", changed(tensor(0, shape, count, kind="DoubleStorage")))
write("no-storage", "no entry archive/data/0", SOUND, skip=[0])
write("key", "no name of an entry", changed(tensor("../data/0", shape, count)))
write("integers", "holds integers", changed(tensor(0, shape, count, kind="IntStorage")))
write("nan", "not finite, as element 5", SOUND, data=[BYTES[0][:20] + struct.pack("<f", float("nan")) + BYTES[0][24:]] + BYTES[1:])
write("infinite", "not finite, as element 0", SOUND, data=[struct.pack("<f", float("inf")) + BYTES[0][4:]] + BYTES[1:])
variance = [name for name, _ in NAMES].index("bn1.running_var")
write("variance", "a variance below 0", SOUND, data=[struct.pack("<f", -1) * 4 if i == variance else b for i, b in enumerate(BYTES)])
write("twice", "'conv1.weight' comes twice", whole(entries(extra=text("conv1.weight") + tensor(0, shape, count))))
write("control", "is not printable", whole(entries(extra=text("a\x1b[2Jb") + tensor(0, shape, count))))
# what fits
write("missing", "1 of the 102 tensors of resnet18 are missing", whole(entries({"layer2.1.bn1.bias": None})))
write("shape", "1 of the 102 tensors of resnet18 are missing", whole(entries({"layer2.1.bn1.bias": tensor(0, (9,), count)})))
write("left", "1 tensors are left over", whole(entries(extra=text("aux.bias") + tensor(0, (3,), count))))
write("width", "option width=1: right would be", changed(tensor(0, (1, 3, 3, 3), count)))
write("two", "two networks of the file fit alike", whole(b"}(" + text("a") + entries() + text("b") + entries() + b"u"))
# the archive
write("compressed", "is compressed", SOUND, method=zipfile.ZIP_DEFLATED)
write("no-pickle", "no entry ARCHIVE/data.pkl", SOUND, root="a/b")
write("up", "whose name is no plain path", SOUND, more=[("archive/../../etc/passwd", b"x")])
write("absolute", "whose name is no plain path", SOUND, more=[("/etc/passwd", b"x")])
write("backslash", "whose name is no plain path", SOUND, more=[("archive\\..\\x", b"x")])
write("entry-twice", "File already exists", SOUND, more=[("archive/data/3", b"x")])
write("big-endian", "not little endian", SOUND, more=[("archive/byteorder", b"big")])
write("script", "this is TorchScript", SOUND, more=[("archive/constants.pkl", b"x"), ("archive/code/net.py", b"x")])


def damage(name, want, change):
    with open(os.path.join(folder, "sound"), "rb") as f:
        data = bytearray(f.read())
    with open(os.path.join(folder, name), "wb") as f:
        f.write(change(data))
    print(name, want, flush=True)


def flip(data, at):
    data[at] ^= 1
    return data


damage("cut", "the zip archive is damaged", lambda data: data[: len(data) // 2])
damage("flipped", "damaged", lambda data: flip(data, len(data) // 2))
damage("empty", "are no safetensors file", lambda data: b"")
damage("page", "header", lambda data: b"<!DOCTYPE html><html><body>404</body></html>")
damage("bare", "names os.system,", lambda data: b"\x80\x02cos\nsystem\n" + tuple_of(text("id")) + b"R.")

# the layout before torch 1.6
MAGIC = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03."
SYSTEM = whole(b"}(" + text("protocol_version") + integer(1001) + text("little_endian") + b"\x88u")
KEYS = whole(b"](" + b"".join(text(str(i)) for i in range(len(NAMES))) + b"e")
STORAGES = [struct.pack("<q", len(b) // 4) + b for b in BYTES]
legacy = lambda pickle=SOUND, system=SYSTEM, keys=KEYS, storages=STORAGES: lambda _: MAGIC + system + pickle + keys + b"".join(storages)
damage("old-sound", "-", legacy())
damage("old-cut", "the file ends within storage 101", lambda _: legacy()(_)[:-8])
damage("old-behind", "4 bytes behind the last storage", lambda _: legacy()(_) + b"1234")
damage("old-system", "names os.system,", legacy(pickle=extra(b"cos\nsystem\n)R")))
damage("old-keys", "names os.system,", legacy(keys=whole(b"cos\nsystem\n)R")))
damage("old-endian", "not little endian", legacy(system=whole(b"}(" + text("little_endian") + b"\x89u")))
damage("old-count", "the file ends within storage 101", legacy(storages=STORAGES[:-1] + [struct.pack("<Q", 1 << 63) + BYTES[-1]]))
damage("old-key", "no storage of the pickle", legacy(keys=whole(b"](" + text("999") + b"e")))
damage("old-list", "no list", legacy(keys=whole(b"N")))
damage("old-missing", "is not in the file with", legacy(keys=whole(b"](" + text("0") + b"e"), storages=STORAGES[:1]))
