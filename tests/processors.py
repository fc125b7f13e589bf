#!/usr/bin/env python3
"""Whether two builds of patchgauge certify to the same bytes.  Usage: processors.py PROGRAM OTHER

Both certify the reference vectors and random features, by every rule of tests/reference/rules.json; what they print and how they end
has to be equal byte by byte. Only the standard library. Ends with a line that counts; exit code 1 where anything differs.
"""
import json, os, random, struct, subprocess, sys, tempfile

FOLDER = "tests/reference"


def options(rule):
    values = {key: rule[key] for key in ("feature", "rule", "scope", "trim", "theta") if key in rule}
    if "clip" in rule:
        values["clip"] = ":".join("inf" if end is None else repr(end) for end in rule["clip"])
    if "threshold_ppm" in rule:
        values["threshold"] = repr(rule["threshold_ppm"] / 1e6)
    if rule["defense"] == "cbn":
        values.pop("feature", None)
    return [text for key, value in values.items() for text in ("--set", f"{key}={value}")]


def write_npy(path, kind, shape, values):
    header = f"{{'descr': '<{'f4' if kind == 'f' else 'f8' if kind == 'd' else 'i8'}', 'fortran_order': False, 'shape': {shape}, }}"
    header += " " * (-(len(header) + 11) % 64) + "\n"
    with open(path, "wb") as file:
        file.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + struct.pack(f"<{len(values)}{kind}", *values))


def random_sets(folder):
    """Features of all sizes, with ties, halves of the grid, infinities and values beyond its end."""
    draw = random.Random(7)
    kinds = (lambda: draw.gauss(0, 3), lambda: draw.choice((-1.5, 0.0, 0.5, 2.0)), lambda: (draw.randrange(-9, 9) + 0.5) * 2.0**-20,
             lambda: draw.choice((0.25, 3e4, -2e9, float("inf"), float("nan"), 5e-324)), lambda: draw.uniform(-1100, 1100))
    for i, value in enumerate(kinds * 2):
        n, height, width, classes = 6, draw.randrange(1, 8), draw.randrange(4, 20), draw.choice((2, 3, 10, 17))
        path = os.path.join(folder, f"random{i}")
        write_npy(f"{path}.npy", "fd"[i % 2], (n, height, width, classes), [value() for _ in range(n * height * width * classes)])
        write_npy(f"{path}.labels.npy", "q", (n,), [draw.randrange(classes) for _ in range(n)])
        yield path, (draw.randrange(1, height + 1), draw.randrange(1, 5)), i % 3 == 1


def main():
    programs = [text.split() for text in sys.argv[1:]]
    if len(programs) != 2:
        sys.exit(__doc__)
    spec = json.load(open(f"{FOLDER}/rules.json"))
    sets = [(f"{FOLDER}/{name}", geometry["window"], geometry["wrap"]) for name, geometry in spec["sets"].items()]
    passed = failed = 0
    with tempfile.TemporaryDirectory() as folder:
        sets += random_sets(folder)
        for path, window, wrap in sets:
            for i, rule in enumerate(spec["rules"]):
                line = ["--quiet", "certify", f"{path}.npy", f"{path}.labels.npy", "--defense", rule["defense"], "--window", "%dx%d" % tuple(window)]
                line += ["--wrap"] * wrap + options(rule) + ["-f", "json" if i % 4 == 0 else "csv"]
                runs = [subprocess.run(program + line, capture_output=True) for program in programs]
                good = runs[0].returncode in (0, 2) and len({(run.returncode, run.stdout, run.stderr) for run in runs}) == 1
                passed, failed = passed + good, failed + (not good)
                if not good:
                    print(f"FAILED  {' '.join(line)}: exit codes {[run.returncode for run in runs]}, {[run.stderr for run in runs]}")
    print(f"{passed} passed, {failed} failed, 0 skipped")
    return 0 if passed and not failed else 1


sys.exit(main())
