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

import os
from typing import TYPE_CHECKING, Literal

from .container import open_image
from .folder import PHOTO_EXTENSIONS, find_photos
from .limits import DEFAULT_LIMITS, ImageError, Limits, Status
from .pixels import as_gray, as_rgb, resize_to, to_array
from .source import Source, read

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "DEFAULT_LIMITS",
    "PHOTO_EXTENSIONS",
    "ImageError",
    "Limits",
    "Source",
    "Status",
    "as_gray",
    "as_rgb",
    "decode",
    "find_photos",
    "load_gray",
    "load_rgb",
    "resize_to",
]


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

    data, name = read(source, limits)
    try:
        image, orientation = open_image(data, limits)
        return to_array(image, orientation if apply_exif else 1, "L" if mode == "gray" else "RGB")
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


def load_rgb(
    photo: Source | ArrayLike, *, apply_exif: bool = True, limits: Limits = DEFAULT_LIMITS
) -> NDArray[np.uint8]:
    """Return RGB pixels of a path or bytes (see `decode`) or of an array (see `as_rgb`).

    Returns
    -------
    (h, w, 3) uint8, C-contiguous
        The same pixels whichever way the photo is given.
    """
    if isinstance(photo, str | os.PathLike | bytes | bytearray | memoryview):
        return decode(photo, apply_exif=apply_exif, mode="rgb", limits=limits)
    return as_rgb(photo)
