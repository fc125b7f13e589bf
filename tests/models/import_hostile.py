"""Files that `model import` has to refuse, for tests/models/test_import.c; needs Python alone.

    import_hostile.py DIR    one line for each file on standard output: NAME WANTED, a part of the message; "-": the file is sound, and
    what stands behind the dash is in the report

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
# calls beside the weights: named, and none is run
said = lambda name, what, pickle: write(name, "-" + what, pickle)
said("system", "not run os.system", extra(b"cos\nsystem\n" + tuple_of(text("touch %s/owned" % folder)) + b"R"))
said("eval", "not run builtins.eval", extra(text("builtins") + text("eval") + b"\x93" + tuple_of(text("1")) + b"R"))
said("module", "not run torch.nn.modules.conv.Conv2d", extra(b"ctorch.nn.modules.conv\nConv2d\n)\x81"))
said("escape", "not run os.?[31m", extra(b"cos\n\x1b[31m\n"))
said("getattr", "not run torch._utils.__dict__", extra(b"ctorch._utils\n__dict__\n"))
said("inst", "not run os.system", extra(b"(" + text("touch %s/owned" % folder) + b"ios\nsystem\n"))
said("object", "not run os.system", extra(b"(cos\nsystem\n" + text("touch %s/owned" % folder) + b"o"))
said("keywords", "not run os.system", extra(b"cos\nsystem\n" + tuple_of(text("touch %s/owned" % folder)) + b"}\x92"))
said("state", "not run os.system", extra(b"cos\nsystem\n)\x81}(" + text("k") + integer(1) + b"ub"))
said("popped", "not run os.system", whole(b"cos\nsystem\n)R0" + entries()))
said("memo", "not run os.system", extra(b"cos\nsystem\nq\x010h\1)R"))
said("newobj", "not run os.system", extra(b"ccopyreg\n__newobj__\n" + tuple_of(b"cos\nsystem\n", text("id")) + b"R"))
said("partial", "not run functools.partial, os.system", extra(b"cfunctools\npartial\n" + tuple_of(b"cos\nsystem\n") + b"R)R"))
said("extension", "x, an extension of pickle", extra(b"\x82\x01"))
said("ordered", "x, OrderedDict", extra(b"ccollections\nOrderedDict\n" + tuple_of(integer(1)) + b"R"))
said("reduce-storage", "x, FloatStorage", extra(b"ctorch\nFloatStorage\n" + tuple_of(integer(1 << 40)) + b"R"))
said("long-integer", "x, an integer of more than 32 bytes", extra(b"\x8a\xc8" + b"\1" * 200))
said("bytes", "x, bytes", extra(b"B\3\0\0\0a\0b"))
said("zero", "x, bytes", extra(text("a\0b")))
said("seed", "x, 9223372036854775819", extra(b"\x8a\x09\x0b\0\0\0\0\0\0\x80\0"))
said("negative-seed", "x, -9223372036854775809", extra(b"\x8a\x09\xff\xff\xff\xff\xff\xff\xff\x7f\xff"))
said("cycle", "x, a list of 1", extra(b"]q\1h\1a"))
said("cycle-dict", "x, a dictionary of 1", extra(b"}q\1" + text("k") + b"h\1s"))
said("cycle-deep", "x, a list of 1", extra(b"]q\1](h\1h\1\x85ea"))
said("deep", "x, a list of 1", extra(b"]" * 400 + b"a" * 399))
said("deep-dict", "x, a dictionary of 1", extra((b"}" + text("k")) * 400 + b"N" + b"s" * 400))
said("empty-names", "x, a dictionary of 1", extra((b"}" + text("")) * 5000 + b"N" + b"s" * 5000))
# calls on the way to the weights, or in their place
write("posix", "it is an object of posix.system", whole(b"cposix\nsystem\n" + tuple_of(text("touch %s/owned" % folder)) + b"R"))
write("whole-model", "it is an object of nets.ResNet, perhaps a whole model", whole(b"cnets\nResNet\n)\x81}(" + text("_modules") + entries() + b"ub"))
write("way", "'layer2.0.conv1.weight' is given as lib.rebuild, which is not read",
      whole(entries({"layer2.0.conv1.weight": b"clib\nrebuild\n" + tuple_of(tensor(0, shapes()["conv1.weight"], 108)) + b"R"})))
write("way-first", "'conv1.weight' is given as lib.rebuild, which is not read",
      whole(entries({"conv1.weight": b"clib\nrebuild\n" + tuple_of(tensor(0, shapes()["conv1.weight"], 108)) + b"R"})))
write("way-fc", "'fc.weight' is given as lib.rebuild, which is not read",
      whole(entries({"fc.weight": b"clib\nrebuild\n" + tuple_of(tensor(0, shapes()["conv1.weight"], 108)) + b"R"})))
write("way-left", "1 tensors are left over", extra(b"clib\nrebuild\n" + tuple_of(tensor(0, shapes()["conv1.weight"], 108)) + b"R"))
write("way-numbers", "1 of the 102 tensors of resnet18 are missing",
      whole(entries({"layer2.0.conv1.weight": b"cnumpy.core.multiarray\n_reconstruct\n)R"})))
write("dictionary", "it is an object of lib.Dict", whole(b"clib\nDict\n)\x81" + entries()[1:]))
write("dictionary-below", "what lies in an object of lib.Dict is not read", whole(b"}" + text("state_dict") + b"clib\nDict\n)\x81" + entries()[1:] + b"s"))
write("many-names", "more than 200 names", extra(b"]" + b"".join(b"cm\nn%d\na" % i for i in range(201))))
# the machine
write("reduce-text", "a call of something that is no name", extra(text("os.system") + b")R"))
write("reduce-list", "without a tuple of arguments", extra(b"cos\nsystem\n]R"))
write("build", "sets attributes", extra(b"ctorch\nSize\n}b"))
write("persid", "a reference that is not", extra(b"Pstorage\n"))
write("buffer", "which is no opcode", extra(b"\x97"))
write("truncated", "it ends", SOUND[:-700])
write("no-end", "without an end", SOUND[:-1])
write("no-line", "it ends within a line", whole(b"I12"))
write("no-number", "a number that is none", extra(b"I1x\n"))
write("no-quotes", "a text without its quotes", extra(b"Sabc\n"))
write("no-place", "a place of the memo that is no number", extra(b"Np-1\n"))
write("long-text", "it ends within a value: 4294967295 more", extra(b"X\xff\xff\xff\xffabc"))
write("longer-text", "it ends within a value: 18446744073709551615 more", extra(b"\x8d" + b"\xff" * 8 + b"abc"))
write("longer-integer", "it ends within a value: 4294967295 more", extra(b"\x8b\xff\xff\xff\xff"))
write("memo-far", "of the memo; at most", extra(b"Nr\xff\xff\xff\x7f"))
write("memo-none", "of the memo, where nothing is", extra(b"j\5\0\0\0"))
write("underflow", "finds nothing to work on", whole(b"RRRR"))
write("mark", "wants a mark", whole(b"}u"))
write("mark-object", "an object without a class", extra(b"(o"))
write("odd", "entries of a dictionary that is not there", whole(b"}(Nu"))
write("odd-dictionary", "a key of a dictionary without its value", whole(b"(Nd"))
write("two-roots", "values are left", whole(b"}}"))
write("text-root", "no network is in it", whole(text("hello")))
write("behind", "bytes behind the pickle", SOUND + b"cos\nsystem\n")
write("protocol", "protocol 6; 0 to 5 are read", b"\x80\x06" + entries() + b".")
# tensors
count = product(shape)
write("short-view", "reaches behind its storage", changed(tensor(0, shape, count - 1)))
write("offset", "reaches behind its storage", changed(tensor(0, shape, count, offset=1)))
write("stride", "reaches behind its storage", changed(tensor(0, shape, count, stride=(1 << 62, 1 << 62, 1 << 62, 1 << 62))))
write("negative", "is not made of storage", changed(tensor(0, shape, count, stride=(-27, 9, 3, 1))))
write("huge", "reaches behind its storage", changed(tensor(0, (1 << 40, 1 << 40), count)))
write("repeats", "given as a tensor that repeats elements of its storage", changed(tensor(0, (1 << 40,), count, stride=(0,))))
write("many-axes", "given as a tensor of more than 8 axes", changed(tensor(0, (1,) * 9, count)))
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
write("two", "2 networks of the file fit alike; choose one: --key 'a', --key 'b'", whole(b"}(" + text("a") + entries() + text("b") + entries() + b"u"))
with_prefix = lambda prefix: b"".join(text(prefix + name) + tensor(i, size, product(size)) for i, (name, size) in enumerate(NAMES))
write("prefixes", "2 networks of the file fit alike; choose one: --prefix 'module.attacker.model.', --prefix 'module.model.'",
      whole(b"}(" + with_prefix("module.model.") + with_prefix("module.attacker.model.") + b"u"))
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
damage("empty", "is empty, no file of weights", lambda data: b"")
damage("page", "is an HTML page", lambda data: b"<!DOCTYPE html><html><body>404</body></html>")
damage("bare", "a bare pickle", lambda data: b"\x80\x02cos\nsystem\n" + tuple_of(text("id")) + b"R.")

# the layout before torch 1.6
MAGIC = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03."
SYSTEM = whole(b"}(" + text("protocol_version") + integer(1001) + text("little_endian") + b"\x88u")
KEYS = whole(b"](" + b"".join(text(str(i)) for i in range(len(NAMES))) + b"e")
STORAGES = [struct.pack("<q", len(b) // 4) + b for b in BYTES]
legacy = lambda pickle=SOUND, system=SYSTEM, keys=KEYS, storages=STORAGES: lambda _: MAGIC + system + pickle + keys + b"".join(storages)
damage("old-sound", "-", legacy())
damage("old-cut", "the file ends within storage 101", lambda _: legacy()(_)[:-8])
damage("old-behind", "4 bytes behind the last storage", lambda _: legacy()(_) + b"1234")
damage("old-system", "-not run os.system", legacy(pickle=extra(b"cos\nsystem\n)R")))
damage("old-keys", "no list", legacy(keys=whole(b"cos\nsystem\n)R")))
damage("old-endian", "not little endian", legacy(system=whole(b"}(" + text("little_endian") + b"\x89u")))
damage("old-count", "the file ends within storage 101", legacy(storages=STORAGES[:-1] + [struct.pack("<Q", 1 << 63) + BYTES[-1]]))
damage("old-key", "no storage of the pickle", legacy(keys=whole(b"](" + text("999") + b"e")))
damage("old-list", "no list", legacy(keys=whole(b"N")))
damage("old-missing", "is not in the file with", legacy(keys=whole(b"](" + text("0") + b"e"), storages=STORAGES[:1]))
