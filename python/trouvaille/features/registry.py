# SPDX-License-Identifier: Apache-2.0
"""What a row of the tables of detectors and descriptors says; the tables are beside the functions.

A new detector is a function in `detect` and a row in `detect.DETECTORS`; a new descriptor is a
function in `describe` and a row in `describe.DESCRIPTORS`. `extract`, collections, vocabularies and
the command line know it from there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal, NamedTuple, TypeVar

from ._types import Features, Regions

Orientation = Literal["dominant", "upright", "given"]

# What a name stands for that is no row: `sift` is the best one that the library has.
DETECTOR_ALIASES = {"sift": "dog"}
DESCRIPTOR_ALIASES: dict[str, str] = {}


@dataclass(frozen=True)
class Detector:
    """A way to find regions.

    Attributes
    ----------
    name : str
        As a user gives it.
    find : callable
        ``find(image, max_features=..., **options)`` returns Regions. Where it describes them too,
        it takes `root` and `orientation` besides and returns Features.
    options : tuple of str
        What it takes beside `max_features`, for a user to set; not `threads`.
    descriptor : str
        What describes its regions where no other is asked for.
    describes : bool
        Whether `find` returns Features with that descriptor, by the same code.
    orientations : tuple of str
        Where it describes them: which ways to turn a frame it has.
    threads : bool
        Whether it takes ``threads=``.
    scale_space : bool
        Whether it takes a ScaleSpace in place of the image, and turns what it finds.
    affine : bool
        Whether its regions are ellipses; else circles.
    mode : {"gray", "rgb"}
        Which pixels it looks at.
    overlapping : bool
        Whether neighbours look at nearly the same pixels, so that matches of several of them are no
        more than a match of one.
    needs : tuple of (str, str)
        Modules that it imports once it is used, which the library itself does without, and what pip
        installs each by.
    """

    name: str
    find: Callable[..., Regions | Features]
    options: tuple[str, ...] = ()
    descriptor: str = "sift"
    describes: bool = False
    orientations: tuple[Orientation, ...] = ("dominant", "upright")
    threads: bool = False
    scale_space: bool = False
    affine: bool = False
    mode: Literal["gray", "rgb"] = "gray"
    overlapping: bool = False
    needs: tuple[tuple[str, str], ...] = ()

    def check_installed(self) -> None:
        """Say what to install if a module that it needs is not there; none is imported."""
        missing = {module: name for module, name in self.needs if find_spec(module) is None}
        if missing:
            raise ModuleNotFoundError(
                f"detector {self.name!r} needs {', '.join(missing)}, not installed here: "
                f"pip install {' '.join(missing.values())}",
                name=next(iter(missing)),
            )


@dataclass(frozen=True)
class Descriptor:
    """A way to describe regions.

    Attributes
    ----------
    name : str
        As a user gives it.
    describe : callable or None
        ``describe(image, regions, orientation=..., root=..., **options)`` returns Features. None
        where only the detector of the same code makes it.
    flavour : str
        Implementation and family, the first part of a fingerprint: what differs in the order of
        its bins or in its smoothing has another flavour.
    dimensions : int
        Numbers a descriptor; of bits, bytes.
    orientations : tuple of str
        Which ways to turn a frame it has.
    normalisation : tuple of str
        The second part of a fingerprint: with `root`, and without. One where `root` says nothing.
    bits : bool
        Whether it is compared by the Hamming distance; then there are no words of it.
    max_distance : float
        Euclidean distance in bytes beyond which two descriptors are not of the same place.
    options : tuple of str
        What it takes besides, for a user to set; not `threads`.
    threads : bool
        Whether it takes ``threads=``.
    scale_space : bool
        Whether it takes a ScaleSpace in place of the image.
    affine : bool
        Whether it describes ellipses; else circles only.
    detector : str
        The detector whose regions it describes unless another is named, so that the fingerprint
        need not name it.
    """

    name: str
    describe: Callable[..., Features] | None
    flavour: str
    dimensions: int
    orientations: tuple[Orientation, ...]
    normalisation: tuple[str, ...] = ("rootsift", "sift")
    bits: bool = False
    max_distance: float = 250.0
    options: tuple[str, ...] = ()
    threads: bool = False
    scale_space: bool = False
    affine: bool = True
    detector: str = ""


Row = TypeVar("Row", Detector, Descriptor)


def row_of(name: object, table: Mapping[str, Row], aliases: Mapping[str, str], what: str) -> Row:
    """Return the row of that name; an error lists those that there are."""
    if not isinstance(name, str):
        raise TypeError(f"{what} must be a name or a callable, got {type(name).__name__}")
    row = table.get(aliases.get(name, name))
    if row is None:
        known = ", ".join(sorted({*table, *aliases}))
        raise ValueError(f"{what} {name!r} is unknown; there are {known}")
    return row


class Kind(NamedTuple):
    """What a fingerprint says of its descriptors."""

    flavour: str
    normalisation: str
    dtype: str
    dimensions: int

    @property
    def bits(self) -> bool:
        """Whether they are bits, eight a byte, of which there are no words."""
        return self.normalisation == "bits"


def parse_fingerprint(fingerprint: str) -> Kind:
    """Return what ``flavour/normalisation/dtype/dimensions``, and what follows, stands for."""
    parts = fingerprint.split("/") if isinstance(fingerprint, str) else []
    if (
        len(parts) < 4
        or not all(parts)
        or parts[2] not in ("uint8", "float32")
        or not (parts[3].isascii() and parts[3].isdigit() and 0 < int(parts[3][:10]) < 2**31)
    ):
        raise ValueError(
            "fingerprint must be flavour/normalisation/dtype/dimensions, as "
            f"'opencv-sift/rootsift/uint8/128', with dtype uint8 or float32; got {fingerprint!r}"
        )
    return Kind(parts[0], parts[1], parts[2], int(parts[3]))
