"""Pillow as the reference of tests/support/pillow.h: requests on standard input, "WIDTH HEIGHT" and RGB bytes as the answer to each.

    resize WIDTH HEIGHT FILTER NEW_WIDTH NEW_HEIGHT     and the RGB bytes of an image
    decode BYTES                                        and a file; "0 0" where Pillow cannot read it
    crop WIDTH HEIGHT FILTER SIDE CROP                  and the RGB bytes: Resize and CenterCrop of torchvision on Pillow
"""
import io
import sys
import warnings

from PIL import Image

warnings.simplefilter("ignore")
FILTERS = {"bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC}


def resize_crop(image, side, crop, resample):
    width, height = image.size
    short, long = min(width, height), max(width, height)
    new = int(side * long / short)
    image = image.resize((side, new) if width <= height else (new, side), resample)
    width, height = image.size
    top, left = int(round((height - crop) / 2.0)), int(round((width - crop) / 2.0))
    return image.crop((left, top, left + crop, top + crop))


def answer(words):
    if words[0] == "decode":
        try:
            return Image.open(io.BytesIO(sys.stdin.buffer.read(int(words[1])))).convert("RGB")
        except Exception:
            return None
    width, height, first, second = (int(words[i]) for i in (1, 2, 4, 5))
    image = Image.frombytes("RGB", (width, height), sys.stdin.buffer.read(3 * width * height))
    if words[0] == "resize":
        return image.resize((first, second), FILTERS[words[3]])
    return resize_crop(image, first, second, FILTERS[words[3]])


for line in sys.stdin.buffer:
    image = answer(line.decode().split())
    sys.stdout.buffer.write(b"0 0\n" if image is None else b"%d %d\n" % image.size + image.tobytes())
    sys.stdout.buffer.flush()
