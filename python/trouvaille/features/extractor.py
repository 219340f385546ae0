# SPDX-License-Identifier: Apache-2.0
"""A detector and a descriptor, by name or of one's own, as one function: an image to features."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .. import _check
from ._types import Features, Regions
from .describe import DESCRIPTORS, check_orientation
from .detect import DETECTORS
from .registry import (
    DESCRIPTOR_ALIASES,
    DETECTOR_ALIASES,
    Descriptor,
    Detector,
    Orientation,
    parse_fingerprint,
    row_of,
)
from .scale_space import ScaleSpace

DetectorLike: TypeAlias = str | Callable[..., Regions | Features]
DescriptorLike: TypeAlias = str | Callable[..., Features]


@dataclass(frozen=True)
class Extractor:
    """A detector and a descriptor with their options: a function from an image to its features.

    Parameters
    ----------
    detector : str or callable
        A name of `DETECTORS`; or ``image -> Features``, as `opencv` and `network` make them, or
        ``image -> Regions``. Kept as the row's own name, without aliases.
    descriptor : str or callable, optional
        A name of `DESCRIPTORS`; or ``(image, regions) -> Features``. By default the detector's own,
        which is SIFT for those that only detect.
    max_features : int
        At most this many, those of the greatest response.
    orientation : {"dominant", "upright"}
        Turn each feature to its dominant gradients, or let up be up.
    root : bool
        RootSIFT, where the descriptor is SIFT.
    options : mapping
        Options of the detector or the descriptor; kept as a copy that cannot be changed.

    Raises
    ------
    TypeError, ValueError
        If a name, an option or a value is none that there is; the message lists those.

    Examples
    --------
    >>> Extractor("dense", orientation="upright", options={"step": 16}).fingerprint
    'trouvaille-sift/rootsift/uint8/128/dense/upright'
    """

    detector: DetectorLike = "sift"
    descriptor: DescriptorLike | None = None
    max_features: int = 2000
    orientation: Orientation = "dominant"
    root: bool = True
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check.count(self.max_features, "max_features")
        if not isinstance(self.root, bool):
            raise TypeError(f"root must be True or False, got {self.root!r}")
        if self.orientation not in ("dominant", "upright"):
            raise ValueError(
                f'orientation must be "dominant" or "upright", got {self.orientation!r}'
            )
        if not isinstance(self.options, Mapping):
            raise TypeError(f"options must be a mapping, got {self.options!r}")
        own = copy.deepcopy(dict(self.options))
        object.__setattr__(self, "options", MappingProxyType(own))
        finder, describer = self._finder, self._describer
        known: set[str] = set()
        if finder is not None:
            object.__setattr__(self, "detector", finder.name)
            known |= set(finder.options)
        if describer is not None:
            object.__setattr__(self, "descriptor", describer.name)
            known |= set(describer.options)
            self._check_pair(finder, describer)
        if unknown := sorted(self.options.keys() - known):
            raise TypeError(
                f"{self._names()} has no option {unknown[0]!r}; it has "
                f"{', '.join(sorted(known)) or 'none of its own'}"
            )

    def check_installed(self) -> None:
        """Say what to install if the detector needs packages that are not there; none is imported.

        Raises
        ------
        ImportError
            It names them. An extractor can be made, named and stored without them.
        """
        if self._finder is not None:
            self._finder.check_installed()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Extractor):
            return NotImplemented
        if self._settings() != other._settings() or self.options.keys() != other.options.keys():
            return False
        # An option may be an array, whose == is not one answer.
        return all(np.array_equal(self.options[k], other.options[k]) for k in self.options)

    def __reduce__(self) -> tuple[Any, ...]:  # what is kept of the options cannot be copied
        return type(self), (*self._settings(), dict(self.options))

    def _settings(self) -> tuple[Any, ...]:
        return self.detector, self.descriptor, self.max_features, self.orientation, self.root

    def _check_pair(self, finder: Detector | None, describer: Descriptor) -> None:
        if finder is not None and self._at_once(finder, describer):
            if self.orientation not in finder.orientations:
                has = " or ".join(map(repr, finder.orientations))
                raise ValueError(
                    f"orientation must be {has} for {self._names()}, got {self.orientation!r}"
                )
        elif describer.describe is None:
            raise ValueError(
                f"descriptor {describer.name!r} describes what its own detector finds: "
                f"detector={describer.name!r}"
            )
        else:
            turned = finder is not None and finder.scale_space  # described as it is found, then
            if not turned or "given" not in describer.orientations:
                check_orientation(describer, self.orientation)
            if finder is not None and finder.affine and not describer.affine:
                raise ValueError(
                    f"descriptor {describer.name!r} describes circles only, and detector "
                    f"{finder.name!r} finds ellipses"
                )

    @property
    def _finder(self) -> Detector | None:
        if callable(self.detector):
            return None
        return row_of(self.detector, DETECTORS, DETECTOR_ALIASES, "detector")

    @property
    def _describer(self) -> Descriptor | None:
        """The descriptor's row; None where it is a callable, or a callable does all."""
        name = self.descriptor
        if callable(name):
            return None
        if name is None:
            finder = self._finder
            if finder is None:
                return None
            name = finder.descriptor
        return row_of(name, DESCRIPTORS, DESCRIPTOR_ALIASES, "descriptor")

    @staticmethod
    def _at_once(finder: Detector | None, describer: Descriptor | None) -> bool:
        """Whether the detector describes, too, what it finds."""
        if finder is None or describer is None:
            return False
        own = DESCRIPTOR_ALIASES.get(finder.descriptor, finder.descriptor)
        return finder.describes and describer.name == own

    def _names(self) -> str:
        return f"detector {_name(self.detector)!r} with descriptor {_name(self.descriptor)!r}"

    @property
    def mode(self) -> str:
        """What the detector looks at: "gray" or "rgb" pixels."""
        return str(getattr(self._finder or self.detector, "mode", "gray"))

    @property
    def overlapping(self) -> bool:
        """Whether the detector's neighbouring features look at nearly the same pixels."""
        return bool(getattr(self._finder or self.detector, "overlapping", False))

    @property
    def max_distance(self) -> float:
        """Distance beyond which two descriptors are not of the same place."""
        row = self._describer
        return Descriptor.max_distance if row is None else row.max_distance

    @property
    def bits(self) -> bool:
        """Whether descriptors are bits, to be compared by the Hamming distance."""
        row = self._describer
        return parse_fingerprint(self.fingerprint).bits if row is None else row.bits

    @property
    def dimensions(self) -> int:
        """Numbers a descriptor has; bytes, of bits."""
        return int(self.fingerprint.split("/")[3])

    @property
    def fingerprint(self) -> str:
        """Names the descriptors: only those of one fingerprint are to be compared.

        ``flavour/normalisation/dtype/dimensions``, then the detector, unless it is the one that
        this descriptor comes with, ``upright``, if it is that, and the descriptor's own options, if
        they are given, as ``magnification=6``. The detector belongs to it because words learned on
        one detector's regions fit another's badly, if quietly.

        Raises
        ------
        TypeError
            If a callable has none: it needs an attribute `fingerprint`.
        """
        row = self._describer
        if row is None:
            maker = self.descriptor if callable(self.descriptor) else self.detector
            base = getattr(maker, "fingerprint", None)
            if not isinstance(base, str):
                raise TypeError(
                    f"{_name(maker)!r} has no fingerprint, which names its descriptor, so that it "
                    'is not compared with others: set its attribute fingerprint to "flavour/'
                    'normalisation/dtype/dimensions"'
                )
            parts = [base]
        else:
            normalisation = row.normalisation[0 if self.root else -1]
            parts = [row.flavour, normalisation, "uint8", str(row.dimensions)]
        own = callable(self.detector) and self.descriptor is None
        usual = row is not None and self.detector == row.detector
        if not own and not usual and not self._at_once(self._finder, row):
            parts.append(_name(self.detector))
        if self.orientation == "upright":
            parts.append("upright")
        if row is not None:
            given = {name: self.options[name] for name in row.options if name in self.options}
            parts += [f"{name}={_plain(value)}" for name, value in given.items()]
        return "/".join(parts)

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as plain data, callables by their fingerprint."""
        return {
            "detector": _name(self.detector),
            "descriptor": _name(self.descriptor),
            "max_features": self.max_features,
            "orientation": self.orientation,
            "root": self.root,
            **dict(sorted(self.options.items())),
        }

    def __call__(self, image: NDArray[np.uint8], *, threads: int | None = None) -> Features:
        """Return the features of an image, the strongest first.

        Parameters
        ----------
        image : ndarray of uint8, shape (h, w), or (h, w, 3) where `mode` is "rgb"
            The image, at the size at which to work.
        threads : int, optional
            Worker threads of the library's own detectors and descriptors.
        """
        finder, describer = self._finder, self._describer
        shared: NDArray[np.uint8] | ScaleSpace = image
        if any(row is not None and row.scale_space for row in (finder, describer)):
            shared = ScaleSpace(image, threads=threads)
        found = self._find(image, shared, threads)
        features = (
            found if isinstance(found, Features) else self._describe(image, shared, found, threads)
        )
        if callable(self.detector) or callable(self.descriptor):
            self._check_answer(features)
        if len(features.frames) > self.max_features:
            strongest = np.argsort(-features.responses, kind="stable")[: self.max_features]
            features = features.select(strongest)
        return features

    def _find(
        self, image: NDArray[np.uint8], shared: NDArray[np.uint8] | ScaleSpace, threads: int | None
    ) -> Regions | Features:
        """Return what the detector finds: Features, if they have the descriptor asked for."""
        row = self._finder
        if row is None:
            found = self._found_by_callable(image)
            complete = self.descriptor is None
        else:
            own = self._of(row.options, threads if row.threads else None)
            if row.scale_space:
                own |= {"orientation": self.orientation}
            elif row.describes:
                own |= {"root": self.root, "orientation": self.orientation}
            found = row.find(
                shared if row.scale_space else image, max_features=self.max_features, **own
            )
            complete = self._at_once(row, self._describer)
        if isinstance(found, Features) and not complete:
            return Regions(found.frames, found.responses, found.scales)
        return found

    def _found_by_callable(self, image: NDArray[np.uint8]) -> Regions | Features:
        assert callable(self.detector)
        found: Any = self.detector(image)
        if isinstance(found, Features) or isinstance(found, Regions):  # noqa: SIM101 (for mypy)
            return found
        raise TypeError(
            f"detector {_name(self.detector)!r} must return Features or Regions, "
            f"got {type(found).__name__}"
        )

    def _describe(
        self,
        image: NDArray[np.uint8],
        shared: NDArray[np.uint8] | ScaleSpace,
        regions: Regions,
        threads: int | None,
    ) -> Features:
        if callable(self.descriptor):
            described: Any = self.descriptor(image, regions)
            if not isinstance(described, Features):
                raise TypeError(
                    f"descriptor {_name(self.descriptor)!r} must return Features, "
                    f"got {type(described).__name__}"
                )
            return described
        row = self._describer or row_of("sift", DESCRIPTORS, DESCRIPTOR_ALIASES, "descriptor")
        if row.describe is None:
            raise ValueError(f"descriptor {row.name!r} describes what its own detector finds")
        own = self._of(row.options, threads if row.threads else None)
        finder = self._finder
        turned = finder is not None and finder.scale_space
        return row.describe(
            shared if row.scale_space else image,
            regions,
            orientation="given" if turned else self.orientation,
            root=self.root,
            **own,
        )

    def _check_answer(self, features: Features) -> None:
        """Refuse features of one's own function that are not what its fingerprint says."""
        lengths = {len(part) for part in features}
        frames, descriptors = features.frames, features.descriptors
        if len(lengths) != 1 or frames.shape[1:] != (2, 3) or descriptors.ndim != 2:
            shapes = [np.shape(part) for part in features]
            raise ValueError(f"{self._names()} must return as many of each, got shapes {shapes}")
        try:
            kind = parse_fingerprint(self.fingerprint)
        except (TypeError, ValueError):  # none, which is asked for where it is needed
            return
        if descriptors.shape[1] != kind.dimensions or descriptors.dtype != kind.dtype:
            raise ValueError(
                f"{self._names()} returned {descriptors.shape[1]} numbers of "
                f"{descriptors.dtype}, but its fingerprint is {self.fingerprint!r}"
            )

    def _of(self, names: tuple[str, ...], threads: int | None) -> dict[str, Any]:
        """Return those options that are given, and threads if they are."""
        given = {name: self.options[name] for name in names if name in self.options}
        return given if threads is None else given | {"threads": threads}


def _plain(value: object) -> str:
    """Return a value as a fingerprint shows it: 6 and 6.0 are one."""
    return f"{value:g}" if isinstance(value, int | float | np.number) else str(value)


def _name(given: object) -> str:
    """Return what a detector or descriptor is called in a fingerprint and in an error."""
    if given is None or isinstance(given, str):
        return given or "its own"
    text = getattr(given, "fingerprint", None) or getattr(given, "__name__", type(given).__name__)
    return str(text).split("/")[0]


def fingerprint(
    detector: DetectorLike = "sift",
    descriptor: DescriptorLike | None = None,
    *,
    orientation: Orientation = "dominant",
    root: bool = True,
) -> str:
    """Name the descriptors that `extract` makes; see `Extractor.fingerprint`.

    Examples
    --------
    >>> fingerprint("opencv_sift")
    'opencv-sift/rootsift/uint8/128'
    """
    return Extractor(detector, descriptor, orientation=orientation, root=root).fingerprint
