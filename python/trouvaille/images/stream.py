# SPDX-License-Identifier: Apache-2.0
"""Parts of a file to pixels by Pillow, whatever its global settings are.

Shared by the containers: Pillow can be set to make up the pixels that a truncated file lacks, and
nothing here lets it.
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

from .limits import truncated

if TYPE_CHECKING:
    from PIL import Image, ImageFile


class StrictReader(BytesIO):
    """A file whose end is an error, so that no setting of Pillow can make up what is missing."""

    def read(self, size: int | None = -1, /) -> bytes:
        """Read as BytesIO does, but raise an ImageError where there is nothing left."""
        data = super().read(size)
        if not data and size != 0:
            raise truncated("the pixels are incomplete")
        return data


def decode_stream(header: ImageFile.ImageFile, stream: bytes) -> Image.Image:
    """Decode as header.load() would, but with an error of the codec always an error."""
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
