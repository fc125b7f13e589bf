"""The reference of tests/models/test_pickle.c: files of torch.save in every protocol and in both containers, with the tensors that PyTorch reads.

    pickle_reference.py DIR    one line for each file on standard output: NAME, and a part of each line that the report has to have,
    behind bars. DIR/NAME is the file, DIR/NAME.tensors its tensors: name, rank, shape and float64 values, in the machine's order.

What torch.load of Debian's PyTorch reads is the reference; where it reads nothing (protocol 0; files of torch 0.3 and before, which
are written here by hand) it is what was written.
"""
import argparse
import collections
import copyreg
import datetime
import decimal
import io
import os
import pathlib
import pickle
import struct
import sys

import numpy
import torch
from torch import nn

folder = sys.argv[1]
torch.manual_seed(3)


def tensors():
    """Views, types and shapes of all kinds that have values."""
    base = torch.randn(6, 8)
    out = collections.OrderedDict()
    out["conv.weight"] = torch.randn(4, 3, 3, 3)
    out["transposed"] = base.t()
    out["part"] = base[1:5:2, 3:7]
    out["channels_last"] = torch.randn(2, 4, 3, 3).contiguous(memory_format=torch.channels_last)
    out["scalar"] = torch.tensor(2.5)
    out["none"] = torch.zeros(0, 3)
    out["half"] = torch.randn(5).half()
    out["bfloat16"] = torch.randn(5).bfloat16()
    out["double"] = torch.randn(3, 2).double()
    out["parameter"] = nn.Parameter(torch.randn(3, 2))
    out["\"quoted\"'\\u0041\\"] = torch.randn(2)  # what protocol 0 has to escape
    return out


def emit(name, state, *lines):
    with open(os.path.join(folder, name + ".tensors"), "wb") as f:
        for key in sorted(state):
            value = state[key].detach().double().contiguous()
            f.write(struct.pack("<i", len(key)) + key.encode() + struct.pack("<i", value.dim()))
            f.write(struct.pack("<%dq" % value.dim(), *value.shape) + value.numpy().tobytes())
    print("|".join((name,) + lines), flush=True)


def beside():
    scheduler = torch.optim.lr_scheduler.MultiStepLR(torch.optim.SGD([nn.Parameter(torch.zeros(1))], 0.1), [30, 60])
    return {
        "epoch": 90, "best": 76.5, "arch": "resnet18", "nothing": None, "yes": True, "seed": 2**63 + 11, "below": -(2**70), "huge": 2**300,
        "args": argparse.Namespace(lr=0.1, data=pathlib.PurePosixPath("/data"), seed=2**64), "when": datetime.datetime(2020, 1, 2, 3, 4),
        "scheduler": scheduler.state_dict(), "counter": collections.Counter("abca"), "scalar": numpy.float64(0.5),
        "array": numpy.arange(6.0).reshape(2, 3), "set": {1, 2, 3}, "frozen": frozenset("ab"), "bytes": b"a\0b", "bytearray": bytearray(b"ab"),
        "complex": 1 + 2j, "decimal": decimal.Decimal("0.1"), "range": range(3), "dtype": torch.float16, "device": torch.device("cpu"),
        "size": torch.Size((1, 2)), "default": collections.defaultdict(list, a=[1]), "deque": collections.deque([1, 2]),
        "rng": torch.get_rng_state(), "complex_tensor": torch.zeros(2, dtype=torch.complex64), "expanded": torch.zeros(1).expand(9),
        "sparse": torch.eye(3).to_sparse(), "quantized": torch.quantize_per_tensor(torch.randn(4), 0.1, 0, torch.qint8),
        "itself": None, "function": print, "pairs": [(1, "a"), (2, "b")], "empty": {}, 3: "a key that is a number", "nan": float("nan"),
    }


WANTED = ("epoch, 90", "best, 76.5", "arch, 'resnet18'", "seed, 9223372036854775819", "below, -1180591620717411303424",
          "args, argparse.Namespace", "counter, collections.Counter", "scheduler.milestones, collections.Counter", "yes, True", "nothing, None")


def both_containers():
    for new in (False, True):
        for protocol in range(6):
            for kind in ("plain", "beside"):
                name = "%s-%s-%d" % (kind, "zip" if new else "old", protocol)
                state = tensors()
                if kind == "plain":
                    whole = state
                else:
                    whole = beside()
                    whole["itself"] = [whole["args"]]
                    whole["args"].own = whole["args"]  # an object that holds itself
                    whole["state_dict"] = state = state
                path = os.path.join(folder, name)
                torch.save(whole, path, pickle_protocol=protocol, _use_new_zipfile_serialization=new)
                if protocol > 0:
                    state = torch.load(path, weights_only=False)
                    state = state if kind == "plain" else state["state_dict"]
                emit(name, state, *(WANTED if kind == "beside" else ()))


class Storage:
    def __init__(self, values):
        self.values = values


class Old:
    """A tensor as torch up to 0.3 reduced it; `part`: its storage is one of a larger one's."""

    def __init__(self, tensor, wrap=None, storage=None, offset=0):
        self.tensor, self.wrap = tensor, wrap
        self.storage = storage or Storage(tensor.contiguous().reshape(-1).float().numpy())
        self.offset = offset

    def __reduce_ex__(self, protocol):
        if self.wrap and protocol > 1:
            return self.wrap, (Old(self.tensor),), (True, False, collections.OrderedDict())
        if self.wrap:
            return copyreg.__newobj__, (self.wrap, Old(self.tensor)), (True, False, collections.OrderedDict())
        stride = self.tensor.contiguous().stride()
        return torch._utils._rebuild_tensor, (self.storage, self.offset, tuple(self.tensor.shape), stride)


class Pairs:
    """An OrderedDict as Python 2 reduces it."""

    def __init__(self, items):
        self.items = items

    def __reduce_ex__(self, protocol):
        return collections.OrderedDict, ([[key, value] for key, value in self.items],)


def old_file(name, make, state, protocol=2, python2=False, part=None):
    saved = {}

    class Pickler(pickle._Pickler):
        def persistent_id(self, x):
            if not isinstance(x, Storage):
                return None
            key = str(1000 + len(saved)) if x not in saved else saved[x]
            saved.setdefault(x, key)
            return ("storage", torch.FloatStorage, key, "cuda:0", len(x.values), part)

        if python2:  # str of Python 2 is written as STRING or SHORT_BINSTRING
            dispatch = dict(pickle._Pickler.dispatch)

            def save_text(self, x):
                data = x.encode()
                self.write(b"U" + bytes((len(data),)) + data if protocol else b"S'" + x.encode("unicode_escape").replace(b"'", b"\\'") + b"'\n")
                self.memoize(x)

            dispatch[str] = save_text

    out = io.BytesIO()
    for value in (torch.serialization.MAGIC_NUMBER, torch.serialization.PROTOCOL_VERSION,
                  {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}):
        pickle.dump(value, out, min(protocol, 2))
    Pickler(out, protocol).dump(make)
    keys = {key: storage for storage, key in saved.items()}
    pickle.dump(sorted(keys), out, min(protocol, 2))
    for key in sorted(keys):
        values = keys[key].values.astype("<f4")
        out.write(struct.pack("<q", len(values)) + values.tobytes())
    with open(os.path.join(folder, name), "wb") as f:
        f.write(out.getvalue())
    if protocol and part is None:
        read = torch.load(os.path.join(folder, name), map_location="cpu", weights_only=False)
        read = read["state_dict"] if "state_dict" in read else read
        assert all(torch.equal(read[key].data, state[key]) for key in state) and len(read) == len(state), name
    emit(name, state)


def old_files():
    state = {"conv1.weight": torch.randn(4, 3, 3, 3), "bn1.weight": torch.randn(4), "bn1.running_var": torch.rand(4)}
    wrapped = lambda wrap: {"state_dict": collections.OrderedDict((key, Old(value, wrap)) for key, value in state.items())}
    for protocol in (1, 2, 3):
        old_file("torch03-%d" % protocol, wrapped(None), state, protocol)
        old_file("torch03-parameter-%d" % protocol, wrapped(nn.Parameter), state, protocol)
    for protocol in (1, 2):
        old_file("torch03-python2-%d" % protocol, Pairs([(key, Old(value)) for key, value in state.items()]), state, protocol, True)
    whole = Storage(numpy.arange(20, dtype="float32"))
    old_file("torch03-part", {"w": Old(torch.zeros(2, 2), storage=whole, offset=1)}, {"w": torch.tensor([[8.0, 9.0], [10.0, 11.0]])},
             part=("1001", 7, 6))


both_containers()
old_files()
