"""Where the attack `given` puts a patch and what the image shows then, computed on its own with NumPy.

given_reference.py FOLDER: reads FOLDER/case-N.npz-like raw files written by tests/attacks/test_given.c and prints the largest
difference of a pixel for each, or what differs. Each case-N.txt is a line of numbers:
  image height, width; rectangle height, width; patch height, width; masks (0, 1); top, left of the patch before it is shifted;
  shift of rows, columns; scale; angle in radians; top, left of the rectangle as the attack says
and case-N.raw has the image (uint8 [3][H][W]), the patch (float32 [3][h][w]), its mask (uint8 [h][w]), the outcome (float32 [3][P][Q]).
"""

import sys

import numpy as np

folder = sys.argv[1]


def take(data, at, kind, shape):
    n = int(np.prod(shape))
    size = n * np.dtype(kind).itemsize
    return np.frombuffer(data[at : at + size], kind).reshape(shape), at + size


def wanted(image, patch, mask, rect, place, shift, scale, angle):
    """The rectangle's pixels: every pixel of the image whose centre lies in the turned and scaled patch shows it."""
    _, H, W = image.shape
    _, h, w = patch.shape
    cy, cx = place[0] + shift[0] + h / 2, place[1] + shift[1] + w / 2
    y, x = np.meshgrid(np.arange(H) + 0.5 - cy, np.arange(W) + 0.5 - cx, indexing="ij")
    v = (np.cos(angle) * y - np.sin(angle) * x) / scale
    u = (np.sin(angle) * y + np.cos(angle) * x) / scale
    inside = (np.abs(v) <= h / 2) & (np.abs(u) <= w / 2)
    v, u = np.clip(v + h / 2 - 0.5, 0, h - 1), np.clip(u + w / 2 - 0.5, 0, w - 1)
    top, left = np.floor(v).astype(int), np.floor(u).astype(int)
    down, right = np.minimum(top + 1, h - 1), np.minimum(left + 1, w - 1)
    fy, fx = v - top, u - left
    shown = (1 - fy) * (1 - fx) * patch[:, top, left] + (1 - fy) * fx * patch[:, top, right]
    shown = shown + fy * (1 - fx) * patch[:, down, left] + fy * fx * patch[:, down, right]
    nearest = mask[np.where(fy > 0.5, down, top), np.where(fx > 0.5, right, left)] != 0
    out = np.where(inside & nearest, shown, image / 255.0)
    return out, inside & nearest


cases = 0
while True:
    try:
        with open("%s/case-%d.txt" % (folder, cases)) as f:
            n = [float(x) for x in f.read().split()]
    except FileNotFoundError:
        break
    H, W, P, Q, h, w, masked, top, left, dy, dx = (int(x) for x in n[:11])
    scale, angle, rect_top, rect_left = n[11], n[12], int(n[13]), int(n[14])
    with open("%s/case-%d.raw" % (folder, cases), "rb") as f:
        data = f.read()
    image, at = take(data, 0, "u1", (3, H, W))
    patch, at = take(data, at, "f4", (3, h, w))
    mask, at = take(data, at, "u1", (h, w))
    outcome, at = take(data, at, "f4", (3, P, Q))
    assert at == len(data)
    full, covered = wanted(image, patch, mask, (P, Q), (top, left), (dy, dx), scale, angle)
    rows, columns = np.nonzero(covered)
    if len(rows) and not (rect_top <= rows.min() and rows.max() < rect_top + P and rect_left <= columns.min() and columns.max() < rect_left + Q):
        sys.exit("case %d: rows %d to %d, columns %d to %d are covered, the rectangle has rows %d on, columns %d on" % (cases, rows.min(), rows.max(), columns.min(), columns.max(), rect_top, rect_left))
    difference = np.abs(full[:, rect_top : rect_top + P, rect_left : rect_left + Q] - outcome)
    if difference.max() > 1e-6:
        sys.exit("case %d: a pixel differs by %g" % (cases, difference.max()))
    cases += 1
print(cases)
