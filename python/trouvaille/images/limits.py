# SPDX-License-Identifier: Apache-2.0
"""What may be decoded, and the error for what may not.

Every other module here depends on this one, and it on none of them. Errors are raised without the
name of the file, which a container does not know; `decode` puts it in front.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal, TypeAlias

from .. import _check
from ..errors import TrouvailleError

Status: TypeAlias = Literal["unreadable", "too_large", "unsupported", "truncated", "empty"]


class ImageError(TrouvailleError, ValueError):
    """An image that cannot be used.

    Attributes
    ----------
    status : {"unreadable", "too_large", "unsupported", "truncated", "empty"}
        `unreadable`: damaged; `too_large`: beyond the `Limits`; `unsupported`: another format, or
        a variant without a defined conversion to 8 bits; `truncated`: the data stops early;
        `empty`: no bytes, or no pixels.
    """

    __module__ = "trouvaille.images"  # the name in tracebacks and pickles is the public one

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


def check_size(width: int, height: int, limits: Limits) -> None:
    """Refuse a declared size that is empty or beyond the limits."""
    if width < 1 or height < 1:
        raise ImageError(f"declares a size of {width} x {height} pixels")
    if max(width, height) > limits.max_side or width * height > limits.max_pixels:
        raise ImageError(
            f"declares {width} x {height} pixels, over the limit of {limits.max_side} a side and "
            f"{limits.max_pixels} in all; shrink it or raise Limits.max_side, Limits.max_pixels",
            "too_large",
        )


def truncated(what: str) -> ImageError:
    """Return the error for data that stops early."""
    return ImageError(f"the data stops early: {what}; fetch the file again", "truncated")
