# SPDX-License-Identifier: Apache-2.0
import copy
import io
import os
import socket
import struct
import subprocess
import sys
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import PIL
import pytest
from PIL import Image, ImageCms, ImageFile

from trouvaille import images

WHITE = 255


# What is expected, written out in NumPy. ----------------------------------------------------------


def luma(rgb):
    red, green, blue = np.moveaxis(rgb.astype(np.int64), 2, 0)
    return ((19595 * red + 38470 * green + 7471 * blue + 32768) >> 16).astype(np.uint8)


def on_white(rgb, alpha):
    opacity = alpha[:, :, None].astype(float) / 255
    return np.rint(rgb * opacity + WHITE * (1 - opacity)).astype(np.uint8)


def as_rgb(gray):
    return np.repeat(gray[:, :, None], 3, axis=2)


def upright(stored, orientation):
    """Turn stored pixels as the EXIF standard says, one index formula an orientation."""
    height, width = stored.shape[:2]
    shape = (height, width) if orientation < 5 else (width, height)
    y, x = np.indices(shape)
    rows, cols = {
        1: (y, x),
        2: (y, width - 1 - x),
        3: (height - 1 - y, width - 1 - x),
        4: (height - 1 - y, x),
        5: (x, y),
        6: (height - 1 - x, y),
        7: (height - 1 - x, width - 1 - y),
        8: (x, width - 1 - y),
    }[orientation]
    return stored[rows, cols]


# Files made by Pillow, and by hand where Pillow cannot. -------------------------------------------


def encode(pixels, file_format, **options):
    picture = Image.fromarray(pixels) if isinstance(pixels, np.ndarray) else pixels
    file = io.BytesIO()
    picture.save(file, format=file_format, **options)
    return file.getvalue()


def png_chunk(kind, body):
    checksum = zlib.crc32(body, zlib.crc32(kind))
    return struct.pack(">I4s", len(body), kind) + body + struct.pack(">I", checksum)


def png(width, height, depth, colour, rows, extra=(), interlace=0, pieces=1):
    """Return a PNG of `rows` (bytes of all scanlines), its data cut into `pieces` chunks."""
    data = zlib.compress(rows)
    step = -(-len(data) // pieces)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            png_chunk(
                b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
            ),
            *(png_chunk(kind, body) for kind, body in extra),
            *(png_chunk(b"IDAT", data[at : at + step]) for at in range(0, len(data), step)),
            png_chunk(b"IEND", b""),
        ]
    )


def scanlines(samples):
    """Return the bytes of an array of samples, a filter byte (none) before each row."""
    return b"".join(b"\0" + row.tobytes() for row in samples)


def big_endian(samples):
    """Return 8-bit samples as the high bytes of big-endian 16-bit samples with other low bytes."""
    return ((samples.astype(np.uint16) << 8) | (255 - samples)).astype(">u2")


def adam7(pixels):
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2)]
    passes.append((0, 1, 1, 2))
    return b"".join(scanlines(pixels[y::dy, x::dx]) for x, y, dx, dy in passes)


def tiff(tags, data=b"", order="<", next_page=0):
    """Return a TIFF of {tag: values, or raw bytes of an entry}; `data` begins at byte 8."""
    directory = 8 + len(data) + len(data) % 2
    position = directory + 2 + 12 * len(tags) + 4
    entries, tail = [], b""
    for tag, values in sorted(tags.items()):
        if isinstance(values, bytes):
            entries.append(struct.pack(order + "H", tag) + values)
            continue
        wide = max(values) > 65_535
        packed = struct.pack(f"{order}{len(values)}{'I' if wide else 'H'}", *values)
        entries.append(struct.pack(order + "HHI", tag, 4 if wide else 3, len(values)))
        if len(packed) > 4:
            entries.append(struct.pack(order + "I", position + len(tail)))
            tail += packed + bytes(len(packed) % 2)
        else:
            entries.append(packed.ljust(4, b"\0"))
    magic = b"II*\0" if order == "<" else b"MM\0*"
    header = magic + struct.pack(order + "I", directory) + data + bytes(len(data) % 2)
    count, end = struct.pack(order + "H", len(tags)), struct.pack(order + "I", next_page)
    return header + count + b"".join(entries) + end + tail


def tiled_tiff(rgb, size=16):
    """Return an uncompressed big-endian TIFF in square tiles."""
    height, width = rgb.shape[:2]
    down, across = -(-height // size), -(-width // size)
    padded = np.zeros((down * size, across * size, 3), np.uint8)
    padded[:height, :width] = rgb
    tiles = [
        padded[row * size : (row + 1) * size, col * size : (col + 1) * size].tobytes()
        for row in range(down)
        for col in range(across)
    ]
    tags = {256: [width], 257: [height], 258: [8, 8, 8], 259: [1], 262: [2], 277: [3]}
    tags |= {322: [size], 323: [size]}
    tags[324] = [8 + index * size * size * 3 for index in range(len(tiles))]
    tags[325] = [size * size * 3] * len(tiles)
    return tiff(tags, b"".join(tiles), ">")


def webp(kind, body):
    chunk = struct.pack("<4sI", kind, len(body)) + body + bytes(len(body) % 2)
    return b"RIFF" + struct.pack("<I4s", 4 + len(chunk), b"WEBP") + chunk


def without_segment(jpeg, marker):
    """Remove the first segment of a kind from the header of a JPEG."""
    at = jpeg.index(bytes([0xFF, marker]))
    return jpeg[:at] + jpeg[at + 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big") :]


def with_segment(jpeg, marker, body):
    return jpeg[:2] + struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body + jpeg[2:]


def exif_block(entries, order="<", count=None):
    """Return an EXIF block of raw (tag, type, count, value) entries."""
    magic = b"II*\0" if order == "<" else b"MM\0*"
    number = len(entries) if count is None else count
    packed = b"".join(struct.pack(order + "HHIHxx", *entry) for entry in entries)
    header = magic + struct.pack(order + "IH", 8, number)
    return b"Exif\0\0" + header + packed + bytes(4)


def oriented(orientation, order="<"):
    return exif_block([(0x0112, 3, 1, orientation)], order)


def smooth_photo(height=47, width=61):
    """Return a smooth picture, different in every corner and colour, that JPEG keeps well."""
    rng = np.random.default_rng(7)
    cells = rng.integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(cells).resize((width, height), Image.Resampling.BICUBIC))


PHOTO = smooth_photo()
GRAY = luma(PHOTO)
HEIGHT, WIDTH = GRAY.shape
ALPHA = np.tile(np.linspace(0, 255, WIDTH).astype(np.uint8), (HEIGHT, 1))
CUT_OUT = np.where(np.indices(GRAY.shape).sum(axis=0) % 3 == 0, 0, 255).astype(np.uint8)
RGBA = np.dstack([PHOTO, ALPHA])
WIDE = (GRAY.astype(np.uint16) << 8) | (255 - GRAY)  # rounding would change the high bytes
BILEVEL = np.where(GRAY > 127, 255, 0).astype(np.uint8)
OTHER = PHOTO[::-1]
KEYED = np.where(GRAY == 17, 18, GRAY)
KEYED[5:9, 5:9] = 17
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
PALETTE = Image.fromarray(PHOTO).quantize(16)
PALETTE_RGB = np.asarray(PALETTE.convert("RGB"))
PALETTE_INDEX = np.asarray(PALETTE)
PALETTE_ALPHA = np.arange(0, 256, 17, dtype=np.uint8)
CMYK = Image.fromarray(PHOTO).convert("CMYK")
GRAY_ALPHA = Image.merge("LA", [Image.fromarray(GRAY), Image.fromarray(ALPHA)])

JPEG = encode(PHOTO, "JPEG", quality=95, subsampling=0)
JPEG_PROGRESSIVE = encode(PHOTO, "JPEG", quality=95, subsampling=0, progressive=True)
JPEG_CMYK = encode(CMYK, "JPEG", quality=95, subsampling=0)
PNG = encode(PHOTO, "PNG")
PNG16 = encode(WIDE, "PNG")
WEBP = encode(PHOTO, "WEBP", quality=95)
WEBP_LOSSLESS = encode(PHOTO, "WEBP", lossless=True)
WEBP_ANIMATED = encode(
    PHOTO, "WEBP", lossless=True, save_all=True, append_images=[Image.fromarray(OTHER)]
)
TIFF = encode(PHOTO, "TIFF")
TIFF_LZW = encode(PHOTO, "TIFF", compression="tiff_lzw")
TIFF_PAGES = encode(PHOTO, "TIFF", save_all=True, append_images=[Image.fromarray(OTHER)])
APNG = encode(PHOTO, "PNG", save_all=True, append_images=[Image.fromarray(OTHER)])

GRAY_TIFF = {256: [9], 257: [4], 258: [8], 259: [1], 262: [1], 273: [8], 278: [4], 279: [36]}

# Decoded exactly to these pixels.
LOSSLESS = {
    "png-rgb": (PNG, PHOTO),
    "png-gray": (encode(GRAY, "PNG"), as_rgb(GRAY)),
    "png-bilevel": (encode(Image.fromarray(BILEVEL).convert("1"), "PNG"), as_rgb(BILEVEL)),
    "png-gray-alpha": (encode(GRAY_ALPHA, "PNG"), on_white(as_rgb(GRAY), ALPHA)),
    "png-rgba": (encode(RGBA, "PNG"), on_white(PHOTO, ALPHA)),
    "png-palette": (encode(PALETTE, "PNG"), PALETTE_RGB),
    "png-palette-one-transparent": (
        encode(PALETTE, "PNG", transparency=3),
        np.where(PALETTE_INDEX[:, :, None] == 3, WHITE, PALETTE_RGB),
    ),
    "png-palette-alpha": (
        encode(PALETTE, "PNG", transparency=PALETTE_ALPHA.tobytes()),
        on_white(PALETTE_RGB, PALETTE_ALPHA[PALETTE_INDEX]),
    ),
    "png-gray-key": (
        encode(KEYED, "PNG", transparency=17),
        as_rgb(np.where(KEYED == 17, WHITE, KEYED)),
    ),
    "png-rgb-key": (
        encode(as_rgb(KEYED), "PNG", transparency=(17, 17, 17)),
        as_rgb(np.where(KEYED == 17, WHITE, KEYED)),
    ),
    "png-16-bit": (PNG16, as_rgb((WIDE >> 8).astype(np.uint8))),
    "png-16-bit-rgb": (png(WIDTH, HEIGHT, 16, 2, scanlines(big_endian(PHOTO))), PHOTO),
    "png-16-bit-rgba": (
        png(WIDTH, HEIGHT, 16, 6, scanlines(big_endian(RGBA))),
        on_white(PHOTO, ALPHA),
    ),
    "png-16-bit-key": (  # 17 of 65535, which no pixel has once 16 bits are compared
        png(WIDTH, HEIGHT, 16, 2, scanlines(big_endian(as_rgb(KEYED))), [(b"tRNS", b"\0\x11" * 3)]),
        as_rgb(KEYED),
    ),
    "png-2-bit-gray": (
        png(4, 1, 2, 0, b"\0\x1b", [(b"tRNS", b"\0\1")]),
        as_rgb(np.array([[0, 85, 170, 255]], np.uint8)),
    ),
    "png-interlaced": (png(WIDTH, HEIGHT, 8, 2, adam7(PHOTO), interlace=1), PHOTO),
    "png-black": (png(5, 5, 8, 0, bytes(30)), np.zeros((5, 5, 3), np.uint8)),
    "png-interlaced-4-bit": (
        # A single pixel, so that all passes but the first are empty.
        png(1, 1, 4, 0, b"\0\xf0", interlace=1),
        np.full((1, 1, 3), 255, np.uint8),
    ),
    "png-many-chunks": (png(WIDTH, HEIGHT, 8, 2, scanlines(PHOTO), pieces=9), PHOTO),
    "png-icc": (encode(PHOTO, "PNG", icc_profile=PROFILE), PHOTO),
    "png-text-bomb": (
        png(
            WIDTH,
            HEIGHT,
            8,
            2,
            scanlines(PHOTO),
            [(b"zTXt", b"a\0\0" + zlib.compress(bytes(10**8)))],
        ),
        PHOTO,
    ),
    "png-damaged-text": (
        png(WIDTH, HEIGHT, 8, 2, scanlines(PHOTO), [(b"tEXt", b"a\0b")]).replace(b"a\0b", b"a\0c"),
        PHOTO,
    ),
    "png-invalid-animation": (
        png(WIDTH, HEIGHT, 8, 2, scanlines(PHOTO), [(b"acTL", bytes(8)), (b"acTL", bytes(8))]),
        PHOTO,
    ),
    "apng": (APNG, PHOTO),
    "webp-lossless": (WEBP_LOSSLESS, PHOTO),
    "webp-rgba": (encode(RGBA, "WEBP", lossless=True, exact=True), on_white(PHOTO, ALPHA)),
    "webp-icc": (encode(PHOTO, "WEBP", lossless=True, icc_profile=PROFILE), PHOTO),
    "webp-animated": (WEBP_ANIMATED, PHOTO),
    "tiff-rgb": (TIFF, PHOTO),
    "tiff-lzw": (TIFF_LZW, PHOTO),
    "tiff-deflate": (encode(PHOTO, "TIFF", compression="tiff_adobe_deflate"), PHOTO),
    "tiff-packbits": (encode(PHOTO, "TIFF", compression="packbits"), PHOTO),
    "tiff-gray": (encode(GRAY, "TIFF"), as_rgb(GRAY)),
    "tiff-bilevel": (encode(Image.fromarray(BILEVEL).convert("1"), "TIFF"), as_rgb(BILEVEL)),
    "tiff-gray-alpha": (encode(GRAY_ALPHA, "TIFF"), on_white(as_rgb(GRAY), ALPHA)),
    "tiff-rgba": (encode(RGBA, "TIFF"), on_white(PHOTO, ALPHA)),
    "tiff-rgb-premultiplied": (
        tiff(
            GRAY_TIFF | {258: [8] * 4, 262: [2], 277: [4], 279: [144], 338: [1]},
            np.dstack([np.minimum(PHOTO, CUT_OUT[:, :, None]), CUT_OUT])[:4, :9].tobytes(),
        ),
        on_white(PHOTO, CUT_OUT)[:4, :9],
    ),
    "tiff-palette": (encode(PALETTE, "TIFF"), PALETTE_RGB),
    "tiff-cmyk": (encode(CMYK, "TIFF"), np.asarray(CMYK.convert("RGB"))),
    "tiff-16-bit": (encode(WIDE, "TIFF"), as_rgb((WIDE >> 8).astype(np.uint8))),
    "tiff-16-bit-lzw": (
        encode(WIDE, "TIFF", compression="tiff_lzw"),
        as_rgb((WIDE >> 8).astype(np.uint8)),
    ),
    "tiff-16-bit-big-endian": (
        tiff(
            {256: [WIDTH], 257: [HEIGHT], 258: [16], 259: [1], 262: [1], 273: [8], 277: [1]}
            | {278: [HEIGHT], 279: [WIDE.nbytes]},
            WIDE.astype(">u2").tobytes(),
            ">",
        ),
        as_rgb((WIDE >> 8).astype(np.uint8)),
    ),
    "tiff-32-bit": (encode(WIDE.astype(np.int32), "TIFF"), as_rgb((WIDE >> 8).astype(np.uint8))),
    "tiff-float": (encode(GRAY.astype(np.float32) / 255, "TIFF"), as_rgb(GRAY)),
    "tiff-tiled": (tiled_tiff(PHOTO), PHOTO),
    "tiff-icc": (encode(PHOTO, "TIFF", icc_profile=PROFILE), PHOTO),
    "tiff-pages": (TIFF_PAGES, PHOTO),
    "tiff-damaged-text": (
        encode(PHOTO, "TIFF", tiffinfo={305: "a" * 50}).replace(
            struct.pack("<HHI", 305, 2, 51), struct.pack("<HHI", 305, 2, 2**31)
        ),
        PHOTO,
    ),
    "tiff-loop-of-pages": (
        tiff(
            {256: [WIDTH], 257: [HEIGHT], 258: [8], 259: [1], 262: [1], 273: [8]},
            GRAY.tobytes(),
            next_page=8 + GRAY.size + GRAY.size % 2,
        ),
        as_rgb(GRAY),
    ),
}

if int(PIL.__version__.split(".")[0]) >= 13:  # earlier ones do not read it
    LOSSLESS["tiff-gray-premultiplied"] = (
        tiff(
            GRAY_TIFF | {258: [8, 8], 277: [2], 279: [72], 338: [1]},
            np.dstack([np.minimum(GRAY, CUT_OUT), CUT_OUT])[:4, :9].tobytes(),
        ),
        on_white(as_rgb(GRAY), CUT_OUT)[:4, :9],
    )

# Decoded to what Pillow makes of them, near these pixels.
LOSSY = {
    "jpeg": (JPEG, PHOTO),
    "jpeg-progressive": (JPEG_PROGRESSIVE, PHOTO),
    "jpeg-gray": (encode(GRAY, "JPEG", quality=95), as_rgb(GRAY)),
    "jpeg-subsampled": (encode(PHOTO, "JPEG", quality=95, subsampling=2), PHOTO),
    "jpeg-restart-markers": (encode(PHOTO, "JPEG", quality=95, restart_marker_rows=1), PHOTO),
    "jpeg-rgb": (encode(PHOTO, "JPEG", quality=95, keep_rgb=True), PHOTO),
    "jpeg-icc": (encode(PHOTO, "JPEG", quality=95, icc_profile=PROFILE), PHOTO),
    "jpeg-comment": (encode(PHOTO, "JPEG", quality=95, comment=b"\xff\xd9\xff\xda"), PHOTO),
    "jpeg-thumbnail": (with_segment(JPEG, 0xE1, b"Exif\0\0" + encode(OTHER, "JPEG")), PHOTO),
    "jpeg-malformed-mpo": (with_segment(JPEG, 0xE2, b"MPF\0" + bytes(20)), PHOTO),
    "jpeg-then-video": (JPEG + b"\0\0\0\x18ftypmp42" + bytes(500), PHOTO),
    "jpeg-fill-bytes": (JPEG.replace(b"\xff\xdb", b"\xff\xff\xff\xdb", 1), PHOTO),
    "jpeg-cmyk-adobe": (JPEG_CMYK, np.asarray(CMYK.convert("RGB"))),
    "jpeg-cmyk-unmarked": (without_segment(JPEG_CMYK, 0xEE), np.asarray(CMYK.convert("RGB"))),
    "webp": (WEBP, PHOTO),
    "tiff-jpeg": (encode(PHOTO, "TIFF", compression="jpeg", quality=95), PHOTO),
}

HUGE_TIFF = {256: [60_000], 257: [60_000], 258: [8], 259: [1], 262: [1], 273: [8], 279: [9]}


def jpeg_of(width, height, precision=8, components=3):
    frame = struct.pack(">BHHB", precision, height, width, components) + bytes(3 * components)
    return with_segment(b"\xff\xd8\xff\xda\x00\x02\xff\xd9", 0xC0, frame)


# Refused with this status.
REFUSED = {
    "text.jpg": (b"This is not a photo, whatever its name says.\n", "unsupported"),
    "html.png": (b"<!DOCTYPE html><title>404 Not Found</title>", "unsupported"),
    "zeros.jpg": (bytes(4096), "unsupported"),
    "heic.jpg": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200), "unsupported"),
    "avif.jpg": (
        encode(PHOTO, "AVIF") if "AVIF" in Image.SAVE else b"\0\0\0\x1cftypavif\0\0\0\0",
        "unsupported",
    ),
    "gif.jpg": (encode(PALETTE, "GIF"), "unsupported"),
    "animated.gif": (
        encode(PALETTE, "GIF", save_all=True, append_images=[PALETTE.rotate(90)]),
        "unsupported",
    ),
    "bmp.png": (encode(PHOTO, "BMP"), "unsupported"),
    "ppm.tif": (encode(PHOTO, "PPM"), "unsupported"),
    "wave.webp": (b"RIFF\x24\0\0\0WAVEfmt " + bytes(30), "unsupported"),
    "bigtiff.tif": (b"II+\0\x08\0\0\0" + bytes(40), "unsupported"),
    "empty.jpg": (b"", "empty"),
    "no-image.jpg": (b"\xff\xd8\xff\xe0\x00\x02\xff\xd9", "unreadable"),
    "no-pixels.png": (png(5, 5, 8, 0, b""), "unreadable"),
    "few-rows.png": (png(5, 5, 8, 0, scanlines(GRAY[:3, :5])), "truncated"),
    "few-rows-interlaced.png": (
        png(WIDTH, HEIGHT, 8, 2, adam7(PHOTO)[: -WIDTH * 3 - 1], interlace=1),
        "truncated",
    ),
    "zero-width.png": (png(0, 5, 8, 0, b"\0" * 5), "unreadable"),
    "zero-height.jpg": (jpeg_of(8, 0), "unreadable"),
    "bad-checksum.png": (PNG.replace(b"IDAT", b"IDAU", 1), "unreadable"),
    "apple.png": (PNG[:8] + png_chunk(b"CgBI", bytes(4)) + PNG[8:], "unsupported"),
    "bomb.png": (png(50_000, 50_000, 8, 2, b""), "too_large"),
    "bomb-largest.png": (png(2**31 - 1, 2**31 - 1, 8, 2, b""), "too_large"),
    "bomb-thin.png": (png(1, 100_000, 8, 0, bytes(200_000)), "too_large"),
    "bomb-wide.png": (png(100_000, 1, 8, 0, bytes(100_001)), "too_large"),
    "bomb.jpg": (jpeg_of(65_500, 65_500), "too_large"),
    "bomb-canvas.webp": (webp(b"VP8X", bytes(4) + b"\xff\x3f\0" * 2), "too_large"),
    "bomb-lossless.webp": (webp(b"VP8L", b"\x2f\xff\xff\xff\x0f"), "too_large"),
    "bomb-lossy.webp": (webp(b"VP8 ", b"\x10\0\0\x9d\x01\x2a\xff\x3f\xff\x3f"), "too_large"),
    "bomb.tif": (tiff(HUGE_TIFF), "too_large"),
    "bomb-thin.tif": (tiff(HUGE_TIFF | {256: [1], 257: [100_000]}), "too_large"),
    "bomb-pillow.tif": (tiff(HUGE_TIFF | {256: [9_990], 257: [9_990]}), "too_large"),
    "bomb-tile.tif": (
        tiff({256: [9], 257: [9], 258: [8], 259: [8], 262: [1], 322: [60_000], 323: [60_000]}),
        "too_large",
    ),
    "bomb-strips.tif": (
        tiff(GRAY_TIFF).replace(struct.pack("<HHI", 273, 3, 1), struct.pack("<HHI", 273, 3, 2**24)),
        "unsupported",
    ),
    "bomb-scans.jpg": (
        JPEG_PROGRESSIVE[:-2] + b"\xff\xda\x00\x08\x01\x01\x00\x01\x3f\x00\0" * 1000 + b"\xff\xd9",
        "unsupported",
    ),
    "12-bit.jpg": (jpeg_of(8, 8, precision=12), "unsupported"),
    "2-components.jpg": (jpeg_of(8, 8, components=2), "unsupported"),
    "missing-strip.tif": (tiff(GRAY_TIFF | {278: [2]}, GRAY[:4, :9].tobytes()), "truncated"),
    "short-strip.tif": (
        tiff(GRAY_TIFF | {259: [8], 279: [10_000]}, zlib.compress(GRAY[:4, :9].tobytes())),
        "truncated",
    ),
    "overlapping-tags.tif": (
        tiff(
            GRAY_TIFF | dict.fromkeys((320, 338, 532), struct.pack("<HII", 3, 500, 8)), bytes(1000)
        ),
        "unreadable",
    ),
    "fax.tif": (
        encode(Image.fromarray(BILEVEL).convert("1"), "TIFF", compression="group4"),
        "unsupported",
    ),
    "white-is-zero-16-bit.tif": (
        tiff(GRAY_TIFF | {258: [16], 262: [0], 279: [72]}, bytes(72)),
        "unsupported",
    ),
    "odd-depth.tif": (tiff(GRAY_TIFF | {258: [7]}, bytes(36)), "unsupported"),
    "two-widths.tif": (tiff(GRAY_TIFF | {256: [9, 9]}, bytes(36)), "unreadable"),
    "lab.tif": (encode(Image.new("LAB", (9, 4)), "TIFF"), "unsupported"),
    "float-range.tif": (encode(GRAY.astype(np.float32), "TIFF"), "unsupported"),
    "not-a-number.tif": (encode(np.full((4, 9), np.nan, np.float32), "TIFF"), "unsupported"),
    "negative.tif": (encode(np.full((4, 9), -1, np.int32), "TIFF"), "unsupported"),
    "beyond-16-bit.tif": (encode(np.full((4, 9), 65_536, np.int32), "TIFF"), "unsupported"),
    "endless-directory.tif": (b"II*\0\x08\0\0\0\xff\xff" + bytes(60), "truncated"),
}

# One of each container and codec, for truncation and damage.
SEEDS = {
    "jpeg": with_segment(JPEG, 0xE1, oriented(6)),
    "jpeg-progressive": JPEG_PROGRESSIVE,
    "jpeg-cmyk": JPEG_CMYK,
    "png": PNG,
    "png-16-bit": PNG16,
    "png-palette": encode(PALETTE, "PNG", transparency=3, exif=oriented(8)),
    "apng": APNG,
    "webp": encode(PHOTO, "WEBP", exif=oriented(6)),
    "webp-lossless": WEBP_LOSSLESS,
    "webp-animated": WEBP_ANIMATED,
    "tiff": TIFF,
    "tiff-lzw": TIFF_LZW,
    "tiff-deflate": encode(RGBA, "TIFF", compression="tiff_adobe_deflate"),
    "tiff-jpeg": encode(PHOTO, "TIFF", compression="jpeg"),
    "tiff-pages": TIFF_PAGES,
    "tiff-tiled": tiled_tiff(PHOTO),
}


@pytest.fixture
def no_warnings():
    """Record every warning and demand that there be none.

    The filter "error" of the suite is not enough: decode turns any exception of a codec, so a
    warning made one too, into an ImageError.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    assert [str(warning.message) for warning in caught] == []


@pytest.fixture(params=[False, True], ids=["strict", "lenient"])
def pillow_setting(request, monkeypatch):
    """Run the test with and without Pillow told to accept truncated files."""
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", request.param)


def status_of(data, **options):
    with pytest.raises(images.ImageError) as caught:
        images.decode(data, **options)
    return caught.value.status


def test_the_corpus_is_large_enough():
    assert len(LOSSLESS) + len(LOSSY) + len(REFUSED) >= 60


@pytest.mark.usefixtures("no_warnings", "pillow_setting")
@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless_files_give_the_pixels_they_were_made_of(name):
    data, expected = LOSSLESS[name]
    np.testing.assert_array_equal(images.decode(data, mode="rgb"), expected)
    np.testing.assert_array_equal(images.decode(data), luma(expected))


@pytest.mark.usefixtures("no_warnings", "pillow_setting")
@pytest.mark.parametrize("name", LOSSY)
def test_lossy_files_give_the_pixels_of_their_codec(name):
    data, near = LOSSY[name]
    rgb = images.decode(data, mode="rgb")
    assert np.abs(rgb.astype(int) - near).mean() < 3
    np.testing.assert_array_equal(images.decode(data), luma(rgb))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer = np.asarray(
            Image.open(io.BytesIO(data), formats=["JPEG", "WEBP", "TIFF"]).convert("RGB")
        )
    np.testing.assert_array_equal(rgb, peer)


@pytest.mark.usefixtures("no_warnings", "pillow_setting")
@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_used_is_refused_with_its_status(tmp_path, name):
    data, status = REFUSED[name]
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(images.ImageError) as caught:
        images.decode(path)
    assert caught.value.status == status
    assert repr(str(path)) in str(caught.value)
    assert status_of(data) == status


def test_some_of_the_corpus_makes_pillow_warn():
    """Proves that `no_warnings` is put to the test: Pillow itself warns of these files."""
    for data in (LOSSLESS["png-invalid-animation"][0], LOSSLESS["tiff-damaged-text"][0]):
        with pytest.warns(UserWarning, match="Invalid APNG|[Cc]orrupt|larger|Truncated"):
            Image.open(io.BytesIO(data)).load()


@pytest.mark.usefixtures("no_warnings", "pillow_setting")
@pytest.mark.parametrize("percent", [1, 5, 50, 99])
@pytest.mark.parametrize("name", [name for name in SEEDS if name != "tiff-pages"])
def test_a_truncated_file_is_an_error_whatever_pillow_is_set_to(name, percent):
    data = SEEDS[name]
    assert status_of(data[: max(2, len(data) * percent // 100)]) == "truncated"


def test_a_tiff_needs_only_its_first_page():
    np.testing.assert_array_equal(images.decode(TIFF_PAGES[: len(TIFF_PAGES) - 99]), GRAY)


@pytest.mark.usefixtures("no_warnings")
@pytest.mark.parametrize("name", ["jpeg", "png", "webp", "tiff"])
def test_a_single_byte_is_truncated(name):
    assert status_of(SEEDS[name][:1]) == "truncated"


@pytest.mark.usefixtures("no_warnings", "pillow_setting")
@pytest.mark.parametrize("name", SEEDS)
def test_damage_is_an_error_or_an_image_and_nothing_else(name):
    rng = np.random.default_rng(list(name.encode()))
    data = SEEDS[name]
    outcomes = set()
    for _ in range(25):
        damaged = bytearray(data)
        # Half of the flips in the first kilobyte, where the structure is.
        for at in rng.integers(
            0, rng.choice([len(data), min(len(data), 1000)]), rng.integers(1, 5)
        ):
            damaged[at] ^= 1 << rng.integers(8)
        try:
            pixels = images.decode(bytes(damaged), limits=images.Limits(max_pixels=10**6))
        except images.ImageError as error:
            outcomes.add(error.status)
        else:
            assert pixels.dtype == np.uint8
            assert pixels.ndim == 2
            outcomes.add("ok")
    assert outcomes - {"ok"}, "the damage must at times be noticed"


@pytest.mark.usefixtures("no_warnings")
def test_every_flipped_bit_of_the_pixels_of_a_png_is_noticed():
    start = PNG.index(b"IDAT") + 4
    for at in range(start, len(PNG) - 16, 97):
        damaged = bytearray(PNG)
        damaged[at] ^= 4
        assert status_of(bytes(damaged)) == "unreadable"


# EXIF. --------------------------------------------------------------------------------------------

CORRUPT_EXIF = {
    "orientation 0": oriented(0),
    "orientation 9": oriented(9),
    "orientation 65535": oriented(65_535),
    "not a number": exif_block([(0x0112, 2, 1, 6)]),
    "unknown type": exif_block([(0x0112, 99, 1, 6)]),
    "no value": exif_block([(0x0112, 3, 0, 6)]),
    "too many values": exif_block([(0x0112, 3, 2**31, 6)]),
    "too many entries": exif_block([(0x010F, 2, 2**31, 6)], count=900),
    "stops in the directory": oriented(6)[:20],
    "stops before the directory": oriented(6)[:14],
    "directory beyond the end": b"Exif\0\0II*\0\xff\xff\xff\xff" + bytes(20),
    "no header": b"Exif\0\0nonsense" + bytes(20),
    "empty": b"Exif\0\0",
}
CARRIERS = {
    "jpeg": lambda exif: with_segment(JPEG, 0xE1, exif),
    "png": lambda exif: png(WIDTH, HEIGHT, 8, 2, scanlines(PHOTO), [(b"eXIf", exif[6:])]),
    "webp": lambda exif: encode(PHOTO, "WEBP", lossless=True, exif=exif),
    "webp-bare": lambda exif: encode(PHOTO, "WEBP", lossless=True, exif=exif[6:]),
}


@pytest.mark.usefixtures("no_warnings")
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("carrier", CARRIERS)
def test_exif_orientation_is_applied_once(carrier, orientation, order):
    data = CARRIERS[carrier](oriented(orientation, order))
    stored = images.decode(data, mode="rgb", apply_exif=False)
    np.testing.assert_array_equal(
        stored, images.decode(JPEG, mode="rgb") if carrier == "jpeg" else PHOTO
    )
    for mode, pixels in (("rgb", stored), ("gray", luma(stored))):
        turned = images.decode(data, mode=mode)
        np.testing.assert_array_equal(turned, upright(pixels, orientation))
        assert turned.flags.c_contiguous


@pytest.mark.usefixtures("no_warnings")
@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_tiff_orientation_is_applied_once(orientation, compression):
    data = encode(PHOTO, "TIFF", tiffinfo={274: orientation}, compression=compression)
    np.testing.assert_array_equal(images.decode(data, mode="rgb", apply_exif=False), PHOTO)
    np.testing.assert_array_equal(images.decode(data, mode="rgb"), upright(PHOTO, orientation))


@pytest.mark.usefixtures("no_warnings")
@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize("name", CORRUPT_EXIF)
def test_corrupt_exif_counts_as_none(carrier, name):
    data = CARRIERS[carrier](CORRUPT_EXIF[name])
    expected = images.decode(CARRIERS[carrier](oriented(1)), mode="rgb")
    np.testing.assert_array_equal(images.decode(data, mode="rgb"), expected)


def test_orientation_before_corrupt_exif_is_applied():
    data = with_segment(
        JPEG, 0xE1, exif_block([(0x0112, 3, 1, 6), (0x010F, 2, 2**31, 6)], count=900)
    )
    with pytest.warns(UserWarning, match="[Cc]orrupt|larger|Truncated"):
        Image.open(io.BytesIO(data)).getexif()
    np.testing.assert_array_equal(images.decode(data), upright(images.decode(JPEG), 6))


# Limits and the state of Pillow. ------------------------------------------------------------------


@pytest.mark.usefixtures("no_warnings")
@pytest.mark.parametrize("name", ["jpeg", "png", "webp", "tiff"])
def test_limits_are_inclusive(name):
    data = SEEDS[name]
    exact = images.Limits(max_bytes=len(data), max_pixels=PHOTO[:, :, 0].size, max_side=WIDTH)
    assert images.decode(data, apply_exif=False, limits=exact).shape == (HEIGHT, WIDTH)
    for field in ("max_bytes", "max_pixels", "max_side"):
        fields = {**vars(exact), field: getattr(exact, field) - 1}
        assert status_of(data, limits=images.Limits(**fields)) == "too_large"


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "9"])
def test_limits_are_positive_whole_numbers(value):
    with pytest.raises((ValueError, TypeError), match="max_pixels"):
        images.Limits(max_pixels=value)


@pytest.mark.usefixtures("no_warnings")
def test_pillows_own_limit_neither_warns_nor_changes(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", PHOTO[:, :, 0].size - 1)
    for data in (JPEG, PNG, WEBP_LOSSLESS):
        assert images.decode(data).shape == (HEIGHT, WIDTH)
    assert status_of(TIFF) == "too_large"
    assert PHOTO[:, :, 0].size - 1 == Image.MAX_IMAGE_PIXELS
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert images.decode(TIFF).shape == (HEIGHT, WIDTH)


def test_a_bomb_is_refused_before_pillow_sees_it(monkeypatch):
    def refuse(*_):
        raise AssertionError("decoding must not begin")

    monkeypatch.setattr(Image, "frombytes", refuse)
    monkeypatch.setattr(Image.core, "new", refuse)
    for name, (data, status) in REFUSED.items():
        if name.startswith("bomb"):
            assert status_of(data) == status


@pytest.mark.usefixtures("no_warnings")
def test_threads_agree():
    files = [*SEEDS.values(), *(data[: len(data) // 2] for data in SEEDS.values())] * 4

    def outcome(data):
        try:
            return images.decode(data).tobytes()
        except images.ImageError as error:
            return str(error)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(outcome, files)) == [outcome(data) for data in files]


# Sources. -----------------------------------------------------------------------------------------


def test_all_routes_give_the_same_pixels(tmp_path):
    path = tmp_path / "photo.png"  # a JPEG: the format is told by content
    path.write_bytes(SEEDS["jpeg"])
    rgb = images.decode(path, mode="rgb")
    routes = [
        images.decode(path),
        images.decode(str(path)),
        images.decode(SEEDS["jpeg"]),
        images.decode(bytearray(SEEDS["jpeg"])),
        images.decode(memoryview(SEEDS["jpeg"])),
        images.load_gray(path),
        images.load_gray(str(path)),
        images.load_gray(SEEDS["jpeg"]),
        images.load_gray(rgb),
        images.as_gray(rgb),
    ]
    for pixels in routes:
        np.testing.assert_array_equal(pixels, upright(luma(images.decode(JPEG, mode="rgb")), 6))
        assert pixels.dtype == np.uint8
        assert pixels.flags.c_contiguous
        assert pixels.flags.writeable
    stored = images.load_gray(path, apply_exif=False)
    np.testing.assert_array_equal(stored, images.decode(JPEG))


@pytest.mark.parametrize(
    ("make", "error", "advice"),
    [
        (lambda path: None, FileNotFoundError, "check the path"),
        (lambda path: path.mkdir(), IsADirectoryError, "find_photos"),
        (lambda path: path.symlink_to(path), OSError, "photo.jpg"),
        (lambda path: path.symlink_to(path.parent / "gone"), FileNotFoundError, "check the path"),
    ],
)
def test_no_file_to_read(tmp_path, make, error, advice):
    path = tmp_path / "photo.jpg"
    make(path)
    with pytest.raises(error, match=advice) as caught:
        images.decode(path)
    assert caught.value.errno
    assert caught.value.filename == str(path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read all")
def test_no_permission(tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(JPEG)
    path.chmod(0)
    with pytest.raises(PermissionError, match="permission to read it"):
        images.decode(path)


def test_no_permission_of_any_user(tmp_path, monkeypatch):
    path = tmp_path / "photo.jpg"
    path.write_bytes(JPEG)

    def refuse(name, flags):
        raise PermissionError(13, "Permission denied", name)

    monkeypatch.setattr(images.source, "_open_without_waiting", refuse)
    with pytest.raises(PermissionError, match="permission to read it"):
        images.decode(path)


@pytest.mark.skipif(sys.platform == "win32", reason="special files of POSIX")
def test_special_files_are_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(tmp_path / "socket.jpg"))  # such names must be short
        for path in (tmp_path / "pipe.jpg", tmp_path / "socket.jpg", "/dev/zero", "/dev/null"):
            assert status_of(path) == "unsupported"


def test_a_large_file_is_refused_unread(tmp_path, monkeypatch):
    monkeypatch.delattr(images.source, "_open_without_waiting")
    path = tmp_path / "large.jpg"
    with path.open("wb") as file:
        file.truncate(2**40)  # sparse
    with pytest.raises(images.ImageError, match="max_bytes") as caught:
        images.decode(path)
    assert caught.value.status == "too_large"


@pytest.mark.parametrize("source", [None, 3, PHOTO, ["a.jpg"], io.BytesIO(JPEG)])
def test_other_sources_are_refused_by_type(source):
    with pytest.raises(TypeError, match=f"got {type(source).__name__}"):
        images.decode(source)


def test_other_modes_are_refused():
    with pytest.raises(ValueError, match='"gray" or "rgb", got \'bgr\''):
        images.decode(JPEG, mode="bgr")


def test_the_error_is_a_value_error_that_can_be_copied():
    """As a pool of processes does to hand an error back."""
    error = copy.copy(images.ImageError("photo.jpg: damaged", "truncated"))
    assert isinstance(error, ValueError)
    assert (str(error), error.status) == ("photo.jpg: damaged", "truncated")


def test_import_is_light():
    code = (
        "import sys, trouvaille.images\n"
        "sys.exit(' '.join(sys.modules.keys() & {'PIL', 'cv2', 'PIL.Image'}))"
    )
    folder = Path(images.__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.stderr.strip() == ""


# Arrays. ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (GRAY, GRAY),
        (GRAY[:, :, None], GRAY),
        (PHOTO, GRAY),
        (RGBA, luma(on_white(PHOTO, ALPHA))),
        (GRAY[::2, ::-3], GRAY[::2, ::-3]),
        (PHOTO[::2, ::-3], GRAY[::2, ::-3]),
        (np.asfortranarray(GRAY), GRAY),
        (np.asfortranarray(PHOTO), GRAY),
        (GRAY[:1, :1], GRAY[:1, :1]),
    ],
)
def test_as_gray(image, expected):
    gray = images.as_gray(image)
    np.testing.assert_array_equal(gray, expected)
    assert gray.dtype == np.uint8
    assert gray.flags.c_contiguous


def test_as_gray_refuses_masked_arrays():
    with pytest.raises(TypeError, match="image must not be a masked array"):
        images.as_gray(np.ma.masked_equal(GRAY, 0))


def test_as_gray_does_not_copy_what_is_gray_already():
    assert np.shares_memory(images.as_gray(GRAY), GRAY)


@pytest.mark.parametrize(
    ("dtype", "advice"),
    [
        (np.float64, r"got float64.*np\.rint\(image \* 255\)"),
        (np.float32, "got float32"),
        (np.bool_, r"got bool.*astype\(np\.uint8\) \* 255"),
        (np.uint16, "got uint16.*>> 8"),
        (np.int64, "got int64"),
        (np.complex64, "got complex64"),
    ],
)
def test_as_gray_refuses_other_dtypes_by_name(dtype, advice):
    with pytest.raises(TypeError, match=advice):
        images.as_gray(np.zeros((4, 5), dtype))


@pytest.mark.parametrize("shape", [(), (4,), (4, 5, 2), (3, 4, 5), (4, 5, 5), (1, 4, 5, 3)])
def test_as_gray_refuses_other_shapes(shape):
    with pytest.raises(ValueError, match="image must have shape"):
        images.as_gray(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("shape", [(0, 5), (4, 0), (0, 5, 3), (0, 0, 1)])
def test_as_gray_refuses_arrays_without_pixels(shape):
    with pytest.raises(images.ImageError) as caught:
        images.as_gray(np.zeros(shape, np.uint8))
    assert caught.value.status == "empty"


@pytest.mark.parametrize(
    ("shape", "max_size", "expected"),
    [
        ((480, 640), 320, (240, 320)),
        ((640, 480), 320, (320, 240)),
        ((47, 61), 20, (15, 20)),
        ((2, 1000), 10, (1, 10)),
        ((1000, 1), 10, (10, 1)),
        ((7, 5), 1, (1, 1)),
    ],
)
def test_resize_to_makes_the_longest_side_max_size(shape, max_size, expected):
    resized, factor = images.resize_to(np.zeros(shape, np.uint8), max_size)
    assert resized.shape == expected
    assert resized.dtype == np.uint8
    assert factor == (shape[1] / expected[1], shape[0] / expected[0])


def test_resize_to_enlarges_where_asked():
    ramp = np.tile(np.arange(0, 250, 5, dtype=np.uint8), (20, 1))
    resized, factor = images.resize_to(ramp, 125, enlarge=True)
    assert resized.shape == (50, 125)
    assert factor == (0.4, 0.4)
    inner = (np.arange(125) + 0.5) * 0.4 - 0.5
    np.testing.assert_allclose(resized[25, 2:-2], 5 * inner[2:-2], atol=0.51)  # bilinear, in bytes
    smaller, _ = images.resize_to(ramp, 40, enlarge=True)
    np.testing.assert_array_equal(smaller, images.resize_to(ramp, 40)[0])
    assert images.resize_to(ramp, 50, enlarge=True)[0] is ramp


@pytest.mark.parametrize("max_size", [61, 62, 10**6, np.int64(61)])
def test_resize_to_enlarges_nothing_unasked(max_size):
    resized, factor = images.resize_to(GRAY, max_size)
    assert resized is GRAY
    assert factor == (1.0, 1.0)


@pytest.mark.parametrize("max_size", [100, 101, 37])
def test_the_factor_converts_coordinates_with_half_pixels(max_size):
    """A ramp, averaged over areas, still holds at each pixel the coordinate of its centre."""
    ramp = np.tile(np.arange(250, dtype=np.uint8), (120, 1))
    for axis, image in ((0, ramp), (1, np.ascontiguousarray(ramp.T))):
        resized, factor = images.resize_to(image, max_size)
        values = resized.mean(axis=axis)
        centres = (np.arange(len(values)) + 0.5) * factor[axis] - 0.5
        np.testing.assert_allclose(values, centres, atol=0.51)  # the rounding to bytes


@pytest.mark.parametrize("max_size", [0, -1, 1.5, True, None])
def test_resize_to_refuses_other_sizes(max_size):
    with pytest.raises((ValueError, TypeError), match="max_size"):
        images.resize_to(GRAY, max_size)


@pytest.mark.parametrize("image", [PHOTO[:, :, :2], GRAY.astype(float), GRAY[:0]])
def test_resize_to_refuses_what_are_no_pixels(image):
    with pytest.raises(ValueError, match="pixels must be"):
        images.resize_to(image, 10)


def test_resize_to_takes_colours_one_by_one():
    resized, factor = images.resize_to(PHOTO, 20)
    for channel in range(3):
        alone, same = images.resize_to(np.ascontiguousarray(PHOTO[:, :, channel]), 20)
        np.testing.assert_array_equal(resized[:, :, channel], alone)
        assert same == factor


def test_as_rgb_gives_the_pixels_of_decode():
    np.testing.assert_array_equal(images.as_rgb(GRAY), np.repeat(GRAY[:, :, None], 3, axis=2))
    assert images.as_rgb(PHOTO) is PHOTO
    np.testing.assert_array_equal(images.load_rgb(PHOTO[::2]), PHOTO[::2])
    transparent = np.dstack([PHOTO, np.zeros_like(GRAY)])
    assert (images.as_rgb(transparent) == 255).all()  # on white
    data = io.BytesIO()
    Image.fromarray(PHOTO).save(data, "PNG")
    np.testing.assert_array_equal(images.load_rgb(data.getvalue()), PHOTO)
    with pytest.raises(TypeError, match="image must be uint8"):
        images.as_rgb(PHOTO.astype(float))


# Folders. -----------------------------------------------------------------------------------------


def test_find_photos(tmp_path):
    photos = ["B.JPG", "a/1.jpeg", "a/b/2.Tiff", "a/b/3.tif", "a-b.png", "c.WebP", "é ü.jpg"]
    others = [
        "a/notes.txt",
        "x.gif",
        "jpg",
        "y.jpg.part",
        ".hidden.jpg",
        ".cache/4.jpg",
        "a/._1.jpg",
    ]
    for name in [*photos, *others]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    (tmp_path / "folder.jpg").mkdir()
    found = images.find_photos(tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in found] == sorted(photos)
    assert images.find_photos(str(tmp_path)) == found
    assert all(isinstance(path, Path) for path in found)


def test_find_photos_survives_loops_and_lists_links_to_files(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "photo.jpg").write_bytes(JPEG)
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    (tmp_path / "a" / "album.jpg").symlink_to(tmp_path)
    (tmp_path / "self.jpg").symlink_to(tmp_path / "self.jpg")
    (tmp_path / "link.jpg").symlink_to(tmp_path / "a" / "photo.jpg")
    (tmp_path / "dangling.jpg").symlink_to(tmp_path / "gone.jpg")
    names = [path.relative_to(tmp_path).as_posix() for path in images.find_photos(tmp_path)]
    assert names == ["a/photo.jpg", "dangling.jpg", "link.jpg", "self.jpg"]


def test_find_photos_of_an_empty_folder(tmp_path):
    assert images.find_photos(tmp_path) == []


def test_find_photos_refuses_what_is_not_a_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="mounted"):
        images.find_photos(tmp_path / "gone")
    (tmp_path / "photo.jpg").write_bytes(JPEG)
    with pytest.raises(NotADirectoryError, match="a folder is expected"):
        images.find_photos(tmp_path / "photo.jpg")


def test_find_photos_leaves_nothing_out_silently(tmp_path, monkeypatch):
    (tmp_path / "private").mkdir()
    listing = os.scandir

    def refuse(folder):
        if Path(folder).name == "private":
            raise PermissionError(13, "Permission denied", str(folder))
        return listing(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(PermissionError, match="permission to read it") as caught:
        images.find_photos(tmp_path)
    assert caught.value.filename == str(tmp_path / "private")
