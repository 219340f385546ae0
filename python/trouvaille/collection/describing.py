# SPDX-License-Identifier: Apache-2.0
"""The vectors of photos, by the network that a collection holds.

PyTorch is needed where a photo is described, and not before: a collection can be opened, listed and
measured without it.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .. import _check
from ..errors import CheckpointError
from ..features import Photo
from .settings import Settings
from .storage import Section

if TYPE_CHECKING:
    from ..deep import DescriptorReport, GlobalDescriptor

NetworkLike: TypeAlias = "GlobalDescriptor | str | os.PathLike[str]"


class NetworkFile(NamedTuple):
    """A network, as a collection stores it."""

    data: bytes
    dimensions: int  # of its vectors

    @property
    def name(self) -> str:
        """What tells it from others: its SHA-256."""
        return hashlib.sha256(self.data).hexdigest()


class Describer:
    """Makes the vectors of photos.

    Attributes
    ----------
    network : GlobalDescriptor
        As it was given.
    dimensions : int
        Numbers of a vector.
    """

    def __init__(self, network: GlobalDescriptor, max_size: int) -> None:
        from .. import deep

        self.network = network
        self._ready = deep.for_extraction(network)
        self._max_size = max_size
        # Of a photo of one colour: only the network knows.
        report = self.describe([np.zeros((64, 64, 3), np.uint8)])
        if report.failed:
            raise ValueError(f"network describes no photo: {report.rows[0].error}")
        self.dimensions = report.descriptors.shape[1]

    def describe(
        self,
        photos: Sequence[Photo],
        workers: int | None = None,
        progress: Callable[[str, int, int | None], None] | None = None,
    ) -> DescriptorReport:
        """Return what became of each photo, and its vector; see `deep.extract`."""
        from .. import deep

        return deep.extract(
            self._ready,
            photos,
            image_size=self._max_size,
            scales=None,
            workers=workers,
            progress=progress,
        )

    def of_query(
        self, pixels: NDArray[np.uint8], box: Sequence[float] | None
    ) -> NDArray[np.float32]:
        """Return the vector of a photo, or of the part of it in a box x1, y1, x2, y2.

        A part is seen as a photo of its own, as large as `max_size` allows: what is asked for is
        an object, and that may be large in other photos.
        """
        if box is not None:
            x1, y1, x2, y2 = _check.box(box, pixels.shape[1], pixels.shape[0])
            pixels = np.ascontiguousarray(pixels[y1:y2, x1:x2])
        report = self.describe([pixels])
        if report.failed:
            raise ValueError(f"photo cannot be described by the network: {report.rows[0].error}")
        vector: NDArray[np.float32] = report.descriptors[0]
        return vector


def network_file(network: NetworkLike | None, max_size: int) -> NetworkFile:
    """Return a network as a collection stores it, once it is sure that it can be read again.

    Parameters
    ----------
    network : GlobalDescriptor, path or None
        None is the default: EfficientNet-Lite0 and R-MAC at three scales.
    max_size : int
        Longest side in pixels at which it describes photos.
    """
    from .. import deep
    from ..deep.checkpoints import file_of_network

    given: object = network
    if not isinstance(given, deep.GlobalDescriptor | str | os.PathLike | None):
        kind = type(given).__name__
        raise TypeError(f"network must be a GlobalDescriptor or the file of one, got {kind}")
    if network is None:
        backbone = deep.Backbone("efficientnet_lite0")
        network = deep.GlobalDescriptor(backbone, deep.RMAC(), scales=deep.MULTI_SCALE)
    with tempfile.TemporaryDirectory(prefix="trouvaille-") as folder:
        path = Path(folder) / "network.safetensors"
        if isinstance(network, str | os.PathLike):
            file = file_of_network(network)
            if not file.is_file():
                raise FileNotFoundError(f"network: there is no file {file}")
            path.write_bytes(file.read_bytes())
        else:
            deep.save_network(network, path)
        data = path.read_bytes()
        try:
            again = _loaded(path)
        except CheckpointError as error:
            raise ValueError(f"network cannot be part of a collection: {error.reason}") from None
        return NetworkFile(data, Describer(again, max_size).dimensions)


def describer_of(section: Section, settings: Settings) -> Describer:
    """Return what describes the photos of a collection, whose network is in that section.

    Raises
    ------
    IndexCorruptError
        If it is not the network that the collection was made with.
    """
    data = section.array("file").tobytes()
    if hashlib.sha256(data).hexdigest() != settings.network:
        raise section.corrupt("file", 0, "is another network than the one in the settings")
    with tempfile.TemporaryDirectory(prefix="trouvaille-") as folder:
        path = Path(folder) / "network.safetensors"
        path.write_bytes(data)
        try:
            network = _loaded(path)
        except CheckpointError as error:
            raise section.corrupt("file", 0, error.reason) from None
    describer = Describer(network, settings.max_size)
    if describer.dimensions != settings.vector_dimensions:
        reason = f"makes {describer.dimensions} numbers, the settings say "
        raise section.corrupt("file", 0, f"{reason}{settings.vector_dimensions}")
    return describer


def _loaded(path: Path) -> GlobalDescriptor:
    from .. import deep

    network = deep.load_network(path)
    if not isinstance(network, deep.GlobalDescriptor):
        kind = type(network).__name__
        raise CheckpointError(path, f"is of a {kind}, which makes no vector a photo")
    return network
