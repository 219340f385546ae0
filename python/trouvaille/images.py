# SPDX-License-Identifier: Apache-2.0
"""Image files to pixels, with limits: the one place where trouvaille decodes images.

Image files are untrusted input, and `decode` runs in pools of threads, so nothing here may depend
on, or change, the global state of Pillow or of `warnings`. That decides the structure. The file is
read once; a short parser of its container finds the declared size (refused before any pixel is
allocated), the EXIF orientation and the end of the data (so that a truncated file is an error even
where `PIL.ImageFile.LOAD_TRUNCATED_IMAGES` is set); and Pillow gets only the parts that make
pixels, because every warning that it can emit comes from the metadata.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import struct
import zlib
from dataclasses import dataclass, fields
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from . import _check

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import ArrayLike, NDArray
    from PIL import Image, ImageFile

__all__ = [
    "DEFAULT_LIMITS",
    "ImageError",
    "Limits",
    "as_gray",
    "decode",
    "find_photos",
    "load_gray",
    "resize_to",
]

Status: TypeAlias = Literal["unreadable", "too_large", "unsupported", "truncated", "empty"]
Source: TypeAlias = "str | os.PathLike[str] | bytes | bytearray | memoryview"

PHOTO_EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff")


class ImageError(ValueError):
    """An image that cannot be used.

    Attributes
    ----------
    status : {"unreadable", "too_large", "unsupported", "truncated", "empty"}
        `unreadable`: damaged; `too_large`: beyond the `Limits`; `unsupported`: another format, or
        a variant without a defined conversion to 8 bits; `truncated`: the data stops early;
        `empty`: no bytes, or no pixels.
    """

    def __init__(self, message: str, status: Status = "unreadable") -> None:
        super().__init__(message)  # one argument, so that the error survives a process pool
        self.status: Status = status


@dataclass(frozen=True)
class Limits:
    """What `decode` accepts; checked before pixels are allocated.

    The peak memory of one call is up to three times the file, and for each pixel 10 bytes (JPEG to
    gray), 14 (JPEG to RGB, PNG, most TIFF), 16 (float TIFF) or 24 (WebP).
    """

    max_bytes: int = 64 * 2**20
    """Largest file, in bytes."""
    max_pixels: int = 100_000_000
    """Largest declared width × height. For TIFF also `PIL.Image.MAX_IMAGE_PIXELS`, if smaller."""
    max_side: int = 65_535
    """Largest declared width or height, in pixels."""

    def __post_init__(self) -> None:
        for field in fields(self):
            _check.count(getattr(self, field.name), field.name, maximum=2**63 - 1)


DEFAULT_LIMITS = Limits()


def decode(
    source: Source,
    *,
    apply_exif: bool = True,
    mode: Literal["gray", "rgb"] = "gray",
    limits: Limits = DEFAULT_LIMITS,
) -> NDArray[np.uint8]:
    """Decode a JPEG, PNG, WebP or TIFF image; the format is told by content, never by name.

    Parameters
    ----------
    source : path (str or PathLike) or bytes
        An image file, or its content.
    apply_exif : bool
        Turn the pixels upright by the EXIF orientation (all eight), exactly once. Off for
        benchmark sets whose ground truth is in stored pixels. A damaged EXIF block counts as none.
    mode : {"gray", "rgb"}
        Gray is Rec. 601 luma of the RGB pixels in the integers of Pillow's mode L,
        ``(19595 R + 38470 G + 7471 B + 32768) >> 16``.
    limits : Limits
        Sizes beyond which the file is refused.

    Returns
    -------
    (h, w) uint8 for gray, (h, w, 3) uint8 in the order R, G, B for rgb
        C-contiguous and writable.

    Raises
    ------
    ImageError
        The image cannot be used; `status` says why, the message names the file.
    FileNotFoundError, PermissionError, IsADirectoryError
        There is no file to read.
    TypeError, ValueError
        `source` is neither a path nor bytes, or `mode` is unknown.

    Notes
    -----
    - Of an animation or a file of several pages, the first frame (of APNG, the default image).
    - 16-bit samples keep their high byte, as in libpng and OpenCV. 32-bit integers are read as
      16-bit samples and floats as 0 to 1; other values have no defined white and are unsupported.
    - Transparent pixels are composited on white. CMYK is converted without a profile, its JPEG
      values taken as inverted (Adobe), as browsers do. ICC profiles and gamma are ignored.
    - JPEG, WebP and most TIFF have no checksum: damage that leaves a decodable stream goes
      unnoticed. On damaged TIFF, libtiff writes a line to the standard error.
    - Unsupported, besides other formats: 12-bit JPEG, BigTIFF, fax and old JPEG in
      TIFF, TIFF in Lab colours.
    - Safe to call from any number of threads.
    """
    if mode not in ("gray", "rgb"):
        raise ValueError(f'mode must be "gray" or "rgb", got {mode!r}')
    from PIL.Image import DecompressionBombError

    data, name = _read(source, limits)
    try:
        image, orientation = _open(data, limits)
        return _to_array(image, orientation if apply_exif else 1, "L" if mode == "gray" else "RGB")
    except ImageError as error:
        raise ImageError(f"{name}: {error}", error.status) from error.__cause__
    except (MemoryError, DecompressionBombError) as error:
        raise ImageError(f"{name}: too large to decode here: {error}", "too_large") from error
    except Exception as error:  # a codec fed with damaged data may raise anything
        raise ImageError(f"{name}: damaged, cannot be decoded: {error!r}") from error


def load_gray(
    photo: Source | ArrayLike, *, apply_exif: bool = True, limits: Limits = DEFAULT_LIMITS
) -> NDArray[np.uint8]:
    """Return gray pixels of a path or bytes (see `decode`) or of an array (see `as_gray`).

    Returns
    -------
    (h, w) uint8, C-contiguous
        The same pixels whichever way the photo is given.
    """
    if isinstance(photo, str | os.PathLike | bytes | bytearray | memoryview):
        return decode(photo, apply_exif=apply_exif, limits=limits)
    return as_gray(photo)


def as_gray(image: ArrayLike) -> NDArray[np.uint8]:
    """Return the gray pixels of an image in memory.

    Parameters
    ----------
    image : (h, w), (h, w, 1), (h, w, 3) or (h, w, 4) uint8
        Gray, RGB or RGBA (composited on white). OpenCV's BGR is to be reversed first.

    Returns
    -------
    (h, w) uint8, C-contiguous
        The same luma as `decode`. A contiguous gray array is returned as it is, not copied.

    Raises
    ------
    TypeError
        The dtype is not uint8.
    ValueError
        The shape is not one of those above; ImageError with status `empty` if it has no pixels.
    """
    pixels = np.asarray(image)
    if pixels.dtype != np.uint8:
        raise TypeError(f"image must be uint8, got {pixels.dtype}{_dtype_advice(pixels.dtype)}")
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    if pixels.ndim != 2 and not (pixels.ndim == 3 and pixels.shape[2] in (3, 4)):
        raise ValueError(
            f"image must have shape (h, w), (h, w, 1), (h, w, 3) or (h, w, 4), got {pixels.shape}"
        )
    if 0 in pixels.shape:
        raise ImageError(f"image must have pixels, got shape {pixels.shape}", "empty")
    if pixels.ndim == 2:
        return np.ascontiguousarray(pixels)
    from PIL import Image

    return _to_array(Image.fromarray(pixels), 1, "L")


def resize_to(
    gray: NDArray[np.uint8], max_size: int
) -> tuple[NDArray[np.uint8], tuple[float, float]]:
    """Shrink an image until its longest side is `max_size` pixels; never enlarge it.

    Parameters
    ----------
    gray : (h, w) uint8
    max_size : int
        Longest side allowed, in pixels, at least 1.

    Returns
    -------
    resized : (h', w') uint8
        Area interpolation. The array itself where it is small enough already.
    factor : (factor_x, factor_y)
        Original size over resized size along each axis, at least 1. They differ a little because
        sides are whole pixels, and take (0, 0)-centred coordinates back exactly:
        ``x_original = (x + 0.5) * factor_x - 0.5``, and likewise for y.
    """
    max_size = _check.count(max_size, "max_size")
    if gray.dtype != np.uint8 or gray.ndim != 2 or gray.size == 0:
        raise ValueError(
            f"gray must be (h, w) uint8 pixels, got {gray.dtype} of shape {gray.shape}; "
            "use as_gray(image) first"
        )
    height, width = gray.shape
    longest = max(height, width)
    if longest <= max_size:
        return gray, (1.0, 1.0)
    import cv2

    new_width, new_height = (max(1, round(side * max_size / longest)) for side in (width, height))
    resized = cv2.resize(gray, (new_width, new_height), interpolation=cv2.INTER_AREA)
    return np.asarray(resized, dtype=np.uint8), (width / new_width, height / new_height)


def find_photos(folder: str | os.PathLike[str]) -> list[Path]:
    """List all photos below a folder: .jpg .jpeg .png .webp .tif .tiff, in either case.

    Parameters
    ----------
    folder : path
        Hidden files and folders below it are skipped. Links to files are listed, links to folders
        are not followed, so a loop of links is harmless and no photo is listed under two folders.

    Returns
    -------
    list of Path
        ``folder / relative``, sorted by the relative path with forward slashes, the same order on
        every platform. Empty if there are none. Files are not opened.

    Raises
    ------
    FileNotFoundError, NotADirectoryError, PermissionError
        The folder, or one below it, cannot be listed. Nothing is left out silently.
    """
    root = Path(folder)
    found: list[str] = []
    pending = [""]
    while pending:
        prefix = pending.pop()
        for entry in _list_folder(root / prefix):
            if entry.is_dir(follow_symlinks=False):
                pending.append(f"{prefix}{entry.name}/")
            elif entry.name.lower().endswith(PHOTO_EXTENSIONS) and not _is_link_to_folder(entry):
                found.append(prefix + entry.name)
    return [root / relative for relative in sorted(found)]


# Private: arguments are checked above. ------------------------------------------------------------


def _list_folder(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise _with_advice(error, folder) from error


def _is_link_to_folder(entry: os.DirEntry[str]) -> bool:
    return entry.is_symlink() and Path(entry).is_dir()


_ADVICE = {
    FileNotFoundError: "check the path, and that its disk or network share is mounted",
    PermissionError: "give the user that runs this program permission to read it",
    IsADirectoryError: "an image file is expected; list a folder with find_photos",
    NotADirectoryError: "a file is where a folder is expected; decode reads a single image",
}


def _with_advice(error: OSError, path: Path) -> OSError:
    # The same kind of error, errno and filename kept, saying what to do.
    advice = _ADVICE.get(type(error))
    if advice is None:
        return error
    return type(error)(error.errno, f"{error.strerror}: {advice}", str(path))


def _read(source: Source, limits: Limits) -> tuple[bytes, str]:
    if isinstance(source, bytes | bytearray | memoryview):
        data, name = bytes(source), "image in memory"
    elif isinstance(source, str | os.PathLike):
        data, name = _read_file(Path(source), limits), repr(os.fspath(source))
    else:
        raise TypeError(
            f"source must be a path or the bytes of an image file, got {type(source).__name__}; "
            "for an array of pixels use load_gray or as_gray"
        )
    if len(data) > limits.max_bytes:
        raise _file_too_large(name, limits)
    if not data:
        raise ImageError(f"{name}: the file is empty (0 bytes)", "empty")
    return data, name


def _read_file(path: Path, limits: Limits) -> bytes:
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(status.st_mode):
            raise ImageError(f"{str(path)!r}: a pipe or device, not a regular file", "unsupported")
        if status.st_size > limits.max_bytes:
            raise _file_too_large(repr(str(path)), limits)
        # Should it become a pipe or a device in between: no wait, and no read without end.
        with open(path, "rb", opener=_open_without_waiting) as file:
            return file.read(limits.max_bytes + 1)
    except OSError as error:
        raise _with_advice(error, path) from error


def _file_too_large(name: str, limits: Limits) -> ImageError:
    return ImageError(
        f"{name}: larger than {limits.max_bytes} bytes; shrink it or raise Limits.max_bytes",
        "too_large",
    )


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _check_size(width: int, height: int, limits: Limits) -> None:
    if width < 1 or height < 1:
        raise ImageError(f"declares a size of {width} x {height} pixels")
    if max(width, height) > limits.max_side or width * height > limits.max_pixels:
        raise ImageError(
            f"declares {width} x {height} pixels, over the limit of {limits.max_side} a side and "
            f"{limits.max_pixels} in all; shrink it or raise Limits.max_side, Limits.max_pixels",
            "too_large",
        )


def _truncated(what: str) -> ImageError:
    return ImageError(f"the data stops early: {what}; fetch the file again", "truncated")


# Containers. Each _open_* returns decoded pixels in a mode of Pillow, and the EXIF orientation. --

_JPEG_SIGNATURE = b"\xff\xd8\xff"
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TIFF_SIGNATURES = (b"II*\0", b"MM\0*")
_FOREIGN = {b"GIF8": "GIF", b"BM": "BMP", b"%PDF": "PDF", b"II+\0": "BigTIFF", b"MM\0+": "BigTIFF"}


def _open(data: bytes, limits: Limits) -> tuple[Image.Image, int]:
    if data.startswith(_JPEG_SIGNATURE):
        return _open_jpeg(data, limits)
    if data.startswith(_PNG_SIGNATURE):
        return _open_png(data, limits)
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return _open_webp(data, limits)
    if data.startswith(_TIFF_SIGNATURES):
        return _open_tiff(data, limits)
    signatures = (_JPEG_SIGNATURE, _PNG_SIGNATURE, *_TIFF_SIGNATURES, b"RIFF")
    if len(data) < 12 and any(signature.startswith(data[:4]) for signature in signatures):
        raise _truncated(f"{len(data)} bytes")
    foreign = next((name for magic, name in _FOREIGN.items() if data.startswith(magic)), None)
    if data[4:8] == b"ftyp":
        foreign = "HEIC or AVIF"
    content = foreign or f"unknown content, beginning with {data[:8]!r}"
    raise ImageError(f"{content}; convert it to JPEG, PNG, WebP or TIFF", "unsupported")


class _StrictReader(BytesIO):
    # Its end is an error, so that no setting of Pillow can make up what is missing.
    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        if not data and size != 0:
            raise _truncated("the pixels are incomplete")
        return data


def _decode_stream(header: ImageFile.ImageFile, stream: bytes) -> Image.Image:
    # As header.load() would, but an error of the codec is an error whatever Pillow is set to.
    from PIL import Image

    codec, _, _, arguments = header.tile[0]
    arguments = arguments if isinstance(arguments, tuple) else (arguments,)
    if header.info.get("interlace"):
        arguments = (*arguments, 1)
    image = Image.frombytes(header.mode, header.size, stream, codec, arguments)
    if header.palette is not None:
        image.putpalette(header.palette.palette)
    if "transparency" in header.info:
        image.info["transparency"] = header.info["transparency"]
    return image


# A marker that is neither a stuffed zero nor a restart; fill bytes before it are skipped.
_JPEG_MARKER = re.compile(rb"\xff([\x02-\xcf\xd9-\xfe])")
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_SCAN, _JPEG_END, _JPEG_EXIF = 0xDA, 0xD9, 0xE1
# JFIF (E0) and Adobe (EE) tell the colour space; comments and other applications are dropped.
_JPEG_METADATA = (frozenset(range(0xE1, 0xF0)) - {0xEE}) | {0xFE}
_JPEG_MAX_SCANS = 200  # each costs a pass over the image: a small file could take hours


def _open_jpeg(data: bytes, limits: Limits) -> tuple[Image.Image, int]:
    from PIL import JpegImagePlugin

    pieces: list[bytes] = []
    kept = frames = scans = end = 0
    exif = b""
    for marker, start, end in _jpeg_segments(data):
        body = data[start + 4 : end]
        if marker in _JPEG_FRAMES:
            frames += 1
            _check_jpeg_frame(body, limits)
        elif marker == _JPEG_SCAN:
            scans += 1
        elif marker == _JPEG_EXIF and body.startswith(_EXIF_PREFIX):
            exif = exif or body
        if marker in _JPEG_METADATA:
            pieces.append(data[kept:start])
            kept = end
    if frames == 0 or scans == 0:
        raise ImageError("a JPEG without an image")
    if scans > _JPEG_MAX_SCANS:
        raise ImageError(f"{scans} scans, the limit is {_JPEG_MAX_SCANS}", "unsupported")
    stream = b"".join([*pieces, data[kept:end]])  # what follows the end, a video say, is dropped
    header = JpegImagePlugin.JpegImageFile(_StrictReader(stream))
    return _decode_stream(header, stream), _exif_orientation(exif)


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    # (marker, start, end) of each segment up to the end of the image, across compressed data.
    position = 2
    while match := _JPEG_MARKER.search(data, position):
        marker, position = match[1][0], match.end()
        if marker == _JPEG_END:
            yield marker, match.start(), position
            return
        position += max(2, int.from_bytes(data[position : position + 2], "big"))
        if position > len(data):
            break
        yield marker, match.start(), position
    raise _truncated("no end-of-image marker")


def _check_jpeg_frame(body: bytes, limits: Limits) -> None:
    precision, height, width, components = struct.unpack_from(">BHHB", body)
    _check_size(width, height, limits)
    if precision != 8 or components not in (1, 3, 4):
        raise ImageError(
            f"a JPEG of {components} components of {precision} bits; convert it to 8-bit gray, "
            "RGB or CMYK",
            "unsupported",
        )


_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PNG_PASSES = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)


def _open_png(data: bytes, limits: Limits) -> tuple[Image.Image, int]:
    from PIL import PngImagePlugin

    header, pixels, exif = [_PNG_SIGNATURE], [], b""
    depth = colour = size = 0
    for kind, body, chunk in _png_chunks(data):
        if kind == b"IHDR":
            width, height, depth, colour, interlaced = struct.unpack(">IIBB2xB", body)
            _check_size(width, height, limits)
            size = _png_inflated_size(width, height, depth * _PNG_CHANNELS[colour], interlaced)
            header.append(chunk)
        elif len(header) == 1:
            raise ImageError(f"a PNG that begins with {kind!r}, not IHDR", "unsupported")
        elif kind == b"IDAT":
            pixels.append(body)
        elif kind == b"eXIf":
            exif = body
        # A transparent colour of 2, 4 or 16 bits means nothing once the samples are 8 bits.
        elif kind == b"PLTE" or (kind == b"tRNS" and (colour == 3 or depth in (1, 8))):
            header.append(chunk)
    header.append(b"\0\0\0\0IDAT")  # where Pillow stops to read the header
    stream = b"".join(pixels)
    image = _decode_stream(PngImagePlugin.PngImageFile(_StrictReader(b"".join(header))), stream)
    # Pillow leaves rows black that a well-formed stream lacks. It takes time to count them, and a
    # last row with something in it tells as much.
    last_row = np.asarray(image.crop((0, height - 1, width, height)))
    if (interlaced or not last_row.any()) and not _inflates_to(stream, size):
        raise _truncated("fewer rows than declared")
    return image, _exif_orientation(exif)


def _png_inflated_size(width: int, height: int, pixel_bits: int, interlaced: bool) -> int:
    # Each row of each pass has a byte of its own, the filter, and ends at a whole byte.
    size = 0
    for x, y, step_x, step_y in _PNG_PASSES if interlaced else ((0, 0, 1, 1),):
        columns, rows = max(0, -((x - width) // step_x)), max(0, -((y - height) // step_y))
        size += rows * (1 + -(-columns * pixel_bits // 8)) if columns else 0
    return size


def _inflates_to(stream: bytes, size: int) -> bool:
    return len(zlib.decompressobj().decompress(stream, size)) == size


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    # (kind, body, whole chunk) of each intact chunk up to IEND. Pillow does not check pixel data.
    position = len(_PNG_SIGNATURE)
    while position + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        chunk = data[position : position + 12 + length]
        if len(chunk) < 12 + length:
            break
        if zlib.crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:], "big"):
            yield kind, chunk[8:-4], chunk
        elif kind[:1].isupper() or kind == b"tRNS":  # the rest, as EXIF, cannot harm the pixels
            raise ImageError(f"the checksum of chunk {kind!r} at byte {position} does not match")
        if kind == b"IEND":
            return
        position += len(chunk)
    raise _truncated("no IEND chunk")


def _open_webp(data: bytes, limits: Limits) -> tuple[Image.Image, int]:
    from PIL import WebPImagePlugin

    end = 8 + int.from_bytes(data[4:8], "little")
    if end > len(data):
        raise _truncated(f"{len(data)} of {end} bytes")
    exif = b""
    position = 12
    while position + 8 <= end:
        kind, length = struct.unpack_from("<4sI", data, position)
        body = data[position + 8 : min(end, position + 8 + length)]
        if size := _webp_size(kind, body):
            _check_size(*size, limits)
        if kind == b"EXIF":
            exif = body
        position += 8 + length + length % 2
    image = WebPImagePlugin.WebPImageFile(BytesIO(data[:end]))
    image.load()
    return image, _exif_orientation(exif)


def _webp_size(kind: bytes, body: bytes) -> tuple[int, int] | None:
    if kind == b"VP8X":
        width, height = (int.from_bytes(body[at : at + 3], "little") for at in (4, 7))
        return width + 1, height + 1
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", body, 6)
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", body, 1)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return None


_Tags: TypeAlias = dict[int, tuple[int, ...]]

_TIFF_INTEGERS = {1: "B", 3: "H", 4: "I"}  # by the number of the type
_TIFF_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _ORIENTATION = 256, 257, 258, 259, 262, 274
_STRIPS, _SAMPLES, _STRIP_HEIGHT, _STRIP_BYTES, _PLANAR = 273, 277, 278, 279, 284
_TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES = 322, 323, 324, 325
# The tags that make pixels: Pillow warns of damage in any other, and of several values in those
# that have one. Without a name here: fill order, predictor, YCbCr position; palette, kinds of
# samples (2), JPEG tables, YCbCr (3).
_TIFF_SINGLE = frozenset(
    {_WIDTH, _HEIGHT, _COMPRESSION, _PHOTOMETRIC, _ORIENTATION, _SAMPLES, _STRIP_HEIGHT}
    | {_PLANAR, _TILE_WIDTH, _TILE_HEIGHT, 266, 317, 531}
)
_TIFF_SEVERAL = frozenset(
    {_BITS, _STRIPS, _STRIP_BYTES, _TILES, _TILE_BYTES, 320, 338, 339, 347, 529, 530, 532}
)
# None, LZW, JPEG, Deflate (2), PackBits, LZMA, Zstandard. Not fax: its damage goes unnoticed.
_TIFF_COMPRESSIONS = frozenset({1, 5, 7, 8, 32946, 32773, 34925, 50000})
_TIFF_PHOTOMETRICS = frozenset({0, 1, 2, 3, 5, 6})  # gray (2), RGB, palette, CMYK, YCbCr
_TIFF_MAX_SAMPLES = 6
_TIFF_MAX_VALUES = 2**20  # of one tag: Pillow needs some 100 bytes of memory for each


def _open_tiff(data: bytes, limits: Limits) -> tuple[Image.Image, int]:
    from PIL import Image, TiffImagePlugin

    try:
        page, tags = _tiff_first_page(data)
    except struct.error as error:
        raise _truncated("within the directory") from error
    _check_tiff_size(tags, len(data), limits, Image.MAX_IMAGE_PIXELS)
    compression, photometric = _first(tags, _COMPRESSION, 1), _first(tags, _PHOTOMETRIC, 0)
    bits, samples = max(tags.get(_BITS, (1,))), _first(tags, _SAMPLES, 1)
    if (
        compression not in _TIFF_COMPRESSIONS
        or photometric not in _TIFF_PHOTOMETRICS
        or samples > _TIFF_MAX_SAMPLES
        or (photometric == 0 and bits > 8)  # white is 0: Pillow would return the negative
    ):
        raise ImageError(
            f"a TIFF with compression {compression}, photometric interpretation {photometric}, "
            f"{samples} samples of {bits} bits; convert it to 8-bit gray or RGB",
            "unsupported",
        )
    try:
        image = TiffImagePlugin.TiffImageFile(_StrictReader(page))
    except SyntaxError as error:
        raise ImageError(f"a TIFF that Pillow cannot read: {error}", "unsupported") from error
    image.load()
    return image, _first(tags, _ORIENTATION, 1)


def _first(tags: _Tags, tag: int, default: int) -> int:
    return tags.get(tag, (default,))[0]


def _tiff_first_page(data: bytes) -> tuple[bytes, _Tags]:
    # The file with a directory of only the tags that make its first page, and their values.
    order = "<" if data[:2] == b"II" else ">"
    (directory,) = struct.unpack_from(order + "4xI", data)
    tags: _Tags = {}
    entries: list[bytes] = []
    total = 0
    for position, tag, kind, count in _directory_entries(data, directory, order):
        if tag in tags or tag not in _TIFF_SINGLE | _TIFF_SEVERAL:
            continue
        tags[tag] = _directory_values(data, position, order, kind, count)
        total += _TIFF_TYPE_BYTES[kind] * count
        if (tag in _TIFF_SINGLE and count > 1) or total > len(data):
            raise ImageError(f"a TIFF with {count} values of tag {tag}")
        if tag != _ORIENTATION:  # which Pillow would apply of its own accord
            entries.append(data[position : position + 12])
    new = struct.pack(order + "H", len(entries)) + b"".join(entries) + bytes(4)  # no next page
    return b"".join([data[:directory], new, data[directory + len(new) :]]), tags


def _directory_entries(
    data: bytes, directory: int, order: str
) -> Iterator[tuple[int, int, int, int]]:
    # (position, tag, type, count) of each entry; struct.error where the data stops.
    (number,) = struct.unpack_from(order + "H", data, directory)
    for position in range(directory + 2, directory + 2 + 12 * number, 12):
        yield position, *struct.unpack_from(order + "HHI4x", data, position)


def _directory_values(
    data: bytes, position: int, order: str, kind: int, count: int
) -> tuple[int, ...]:
    # The integers of an entry; (0,) for other types, which only have to be within the data.
    if kind not in _TIFF_TYPE_BYTES or not 0 < count <= _TIFF_MAX_VALUES:
        raise ImageError(f"a TIFF tag with {count} values of type {kind}", "unsupported")
    at, size = position + 8, _TIFF_TYPE_BYTES[kind] * count
    if size > 4:
        (at,) = struct.unpack_from(order + "I", data, at)
    if at + size > len(data):
        raise _truncated("within the values of a tag")
    if kind not in _TIFF_INTEGERS:
        return (0,)
    return struct.unpack_from(f"{order}{count}{_TIFF_INTEGERS[kind]}", data, at)


def _check_tiff_size(tags: _Tags, length: int, limits: Limits, pillow_limit: int | None) -> None:
    width, height = _first(tags, _WIDTH, 0), _first(tags, _HEIGHT, 0)
    _check_size(width, height, limits)
    if pillow_limit is not None and width * height > pillow_limit:
        raise ImageError(
            f"declares {width} x {height} pixels, over PIL.Image.MAX_IMAGE_PIXELS", "too_large"
        )
    # Every strip or tile must be declared, and be in the file; Pillow leaves the missing black.
    offsets, sizes = tags.get(_STRIPS, ()), tags.get(_STRIP_BYTES, ())
    block = width, min(height, _first(tags, _STRIP_HEIGHT, height))
    if not offsets:
        offsets, sizes = tags.get(_TILES, ()), tags.get(_TILE_BYTES, ())
        block = _first(tags, _TILE_WIDTH, 0), _first(tags, _TILE_HEIGHT, 0)
    _check_size(*block, limits)
    planes = _first(tags, _SAMPLES, 1) if _first(tags, _PLANAR, 1) == 2 else 1
    needed = -(-width // block[0]) * -(-height // block[1]) * planes
    if len(offsets) < needed:
        raise _truncated(f"{len(offsets)} of {needed} strips or tiles")
    # Uncompressed files are known for wrong byte counts, which Pillow does not need.
    ends = [offset + size for offset, size in zip(offsets, sizes, strict=False)]
    if _first(tags, _COMPRESSION, 1) != 1 and max(ends, default=0) > length:
        raise _truncated("within a strip or tile")


_EXIF_PREFIX = b"Exif\0\0"


def _exif_orientation(exif: bytes) -> int:
    # 1, as stored, where there is no EXIF block or it is damaged before the orientation.
    block = exif.removeprefix(_EXIF_PREFIX)
    order = "<" if block[:2] == b"II" else ">"
    try:
        (directory,) = struct.unpack_from(order + "4xI", block)
        for position, tag, kind, count in _directory_entries(block, directory, order):
            if tag == _ORIENTATION:
                return _directory_values(block, position, order, kind, count)[0]
    except (struct.error, ImageError):
        pass
    return 1


# Pixels. ------------------------------------------------------------------------------------------

_TURNS = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",  # Pillow counts anticlockwise
    7: "TRANSVERSE",
    8: "ROTATE_90",
}


def _to_array(image: Image.Image, orientation: int, mode: str) -> NDArray[np.uint8]:
    from PIL.Image import Transpose

    pixels = _to_gray_or_rgb(image)
    if pixels.mode != mode:
        pixels = pixels.convert(mode)
    if turn := _TURNS.get(orientation):
        pixels = pixels.transpose(Transpose[turn])
    return np.array(pixels, dtype=np.uint8)  # a copy: what Pillow shares is read-only


def _to_gray_or_rgb(image: Image.Image) -> Image.Image:
    from PIL import Image

    if image.mode.startswith(("I", "F")):
        return Image.fromarray(_to_eight_bits(np.asarray(image)))
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        # On white, because that is the page on which pictures with cut-out backgrounds are drawn
        # to be seen. Dropping alpha would show whatever colour the encoder left behind it, which
        # differs between encoders of the same picture.
        transparent = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
        white = Image.new("RGB", image.size, (255, 255, 255))
        white.paste(transparent, mask=transparent)
        return white
    if image.mode == "1":
        return image.convert("L")
    return image if image.mode in ("L", "RGB") else image.convert("RGB")


def _to_eight_bits(samples: NDArray[Any]) -> NDArray[np.uint8]:
    # 16-bit integers to their high byte, floats of [0, 1] to the nearest of 0 to 255.
    is_float = samples.dtype.kind == "f"
    low, high, white = samples.min(), samples.max(), 1 if is_float else 65_535
    if not (low >= 0 and high <= white):  # so written, NaN is refused too
        raise ImageError(
            f"{samples.dtype} samples from {low} to {high}, expected 0 to {white}; scale them to "
            "8 bits first",
            "unsupported",
        )
    return (np.rint(samples * 255) if is_float else samples >> 8).astype(np.uint8)


def _dtype_advice(dtype: np.dtype[Any]) -> str:
    if dtype.kind == "f":
        return "; for floats from 0 to 1, pass np.rint(image * 255).astype(np.uint8)"
    if dtype.kind == "b":
        return "; for a mask, pass image.astype(np.uint8) * 255"
    if dtype == np.uint16:
        return "; pass (image >> 8).astype(np.uint8)"
    return "; scale it to 0 to 255, then pass image.astype(np.uint8)"
