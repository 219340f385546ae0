# SPDX-License-Identifier: Apache-2.0
"""The photos of the demo: real ones that two published wheels carry, unzipped and never imported.

Each query is a second view of something that another photo of the same wheel shows; the partner
and every other photo go into the database. `fetch` downloads the wheels with pip, takes the photos
named in the table below and nothing else, and writes down where each one came from.
"""

from __future__ import annotations

import email
import hashlib
import json
import os
import re
import stat
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Literal

from . import _files
from .errors import TrouvailleError

__all__ = [
    "EXPECTED",
    "LOOKALIKES",
    "SKIPPED",
    "DemoPhoto",
    "DemoPhotos",
    "DemoPhotosError",
    "fetch",
    "load",
]

MANIFEST = "demo-photos.json"
FORMAT = 1

MAX_PHOTO_BYTES = 4 * 2**20  # the largest photo of the table is under 1 MiB
MAX_METADATA_BYTES = 2**20
MAX_WHEEL_BYTES = 256 * 2**20
MAX_MEMBERS = 100_000
DOWNLOAD_MEGABYTES = 47

_WITHOUT_DEMO = (
    "The demo is not needed to use the library: `trouvaille index FOLDER` works with photos of "
    "your own"
)
_IMAGE_SIGNATURES = {".jpg": b"\xff\xd8\xff", ".png": b"\x89PNG\r\n\x1a\n"}

Role = Literal["query", "database"]
Download = Callable[[Sequence[str], Path], None]


class DemoPhotosError(TrouvailleError, RuntimeError):
    """The demo photos cannot be had; the message says why and what to do."""


@dataclass(frozen=True)
class _Wheel:
    distribution: str
    version: str
    queries: tuple[str, ...]
    database: tuple[str, ...]

    @property
    def requirement(self) -> str:
        return f"{self.distribution}=={self.version}"

    @property
    def label(self) -> str:
        return f"{self.distribution} {self.version}"

    def members(self) -> list[tuple[str, Role]]:
        queries: list[tuple[str, Role]] = [(member, "query") for member in self.queries]
        return queries + [(member, "database") for member in self.database]


_PAIRS = "vismatch/assets/example_pairs"
_WHEELS = (
    _Wheel(
        "vismatch",
        "1.4.0",
        queries=(
            f"{_PAIRS}/outdoor/montmartre_close.jpg",
            f"{_PAIRS}/indoor/gcs_close.jpg",
            f"{_PAIRS}/fresco/fsm.jpg",
            "vismatch/assets/example_test/warped.jpg",
        ),
        database=(
            f"{_PAIRS}/outdoor/montmartre_far.jpg",
            f"{_PAIRS}/indoor/gcs_far.jpg",
            f"{_PAIRS}/fresco/sist_chapel.jpg",
            "vismatch/assets/example_test/original.jpg",
            # Distractors. Two cathedrals of one style, which must not be taken for each other:
            f"{_PAIRS}/false_positive/chartres.jpg",
            f"{_PAIRS}/false_positive/notre_dame.jpg",
            f"{_PAIRS}/sat2iss/photo_from_iss.jpg",
            f"{_PAIRS}/sat2iss/satellite_img.jpg",
            f"{_PAIRS}/thermal/thermal.jpg",
            f"{_PAIRS}/thermal/visible.jpg",
        ),
    ),
    _Wheel(
        "scikit-image",
        "0.26.0",
        queries=("skimage/data/motorcycle_left.png",),
        database=(
            "skimage/data/motorcycle_right.png",
            # Distractors. Brick, grass and gravel repeat themselves; a cell, a blurred clock and
            # a crop of 102 pixels have next to no features: both happen in collections.
            "skimage/data/astronaut.png",
            "skimage/data/brick.png",
            "skimage/data/camera.png",
            "skimage/data/cell.png",
            "skimage/data/chelsea.png",
            "skimage/data/clock_motion.png",
            "skimage/data/coffee.png",
            "skimage/data/coins.png",
            "skimage/data/grass.png",
            "skimage/data/gravel.png",
            "skimage/data/hubble_deep_field.jpg",
            "skimage/data/ihc.png",
            "skimage/data/microaneurysms.png",
            "skimage/data/moon.png",
            "skimage/data/page.png",
            "skimage/data/retina.jpg",
            "skimage/data/rocket.jpg",
            "skimage/data/text.png",
        ),
    ),
)

SKIPPED: Mapping[str, str] = MappingProxyType(
    {
        f"{_PAIRS}/sphereglue/barbershop-00000000.jpg": "a panorama of 11 MB",
        f"{_PAIRS}/sphereglue/barbershop-00000001.jpg": "a panorama of 11 MB",
        "skimage/data/chessboard_GRAY.png": "drawn",
        "skimage/data/chessboard_RGB.png": "drawn, and the same as chessboard_GRAY.png",
        "skimage/data/color.png": "drawn",
        "skimage/data/horse.png": "a mask",
        "skimage/data/logo.png": "drawn",
        "skimage/data/multipage.tif": "a test of a file format, of 15 pixels",
        "skimage/data/multipage_rgb.tif": "a test of a file format",
        "skimage/data/phantom.png": "drawn",
    }
)
"""The images in the same folders of the wheels that the demo leaves out, and why."""

EXPECTED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "montmartre_close.jpg": ("montmartre_far.jpg",),
        "gcs_close.jpg": ("gcs_far.jpg",),
        # The Creation of Adam: a parody of it, and a warped view, beside a photo of the fresco
        # and one of the ceiling around it. The wheel's own pair first, the other after it.
        "fsm.jpg": ("sist_chapel.jpg", "original.jpg"),
        "warped.jpg": ("original.jpg", "sist_chapel.jpg"),
        "motorcycle_left.png": ("motorcycle_right.png",),
    }
)
"""For each query, the photos of the database that show the same thing; its partner is first."""

LOOKALIKES: Mapping[str, str] = MappingProxyType({"notre_dame.jpg": "chartres.jpg"})
"""Photos of the database that must not match: two cathedrals of one style."""


@dataclass(frozen=True)
class DemoPhoto:
    """One photo of the demo, and where it came from.

    Attributes
    ----------
    name
        The file's name, unique in the demo.
    role
        ``"query"`` or ``"database"``.
    distribution, version, licence
        The package whose wheel carries it, and what the wheel's metadata says of its licence.
    member
        The path inside the wheel.
    size
        In bytes.
    sha256
        Of the file, in hexadecimal.
    """

    name: str
    role: Role
    distribution: str
    version: str
    licence: str
    member: str
    size: int
    sha256: str

    @property
    def origin(self) -> str:
        """Where the photo came from, in one line."""
        return f"{self.distribution} {self.version}: {self.member} (licence: {self.licence})"


@dataclass(frozen=True)
class DemoPhotos:
    """The folder of the demo: its photos, and what each query should find.

    Attributes
    ----------
    folder
        Holds the folders ``queries`` and ``database`` and the manifest.
    photos
        All photos, in the order of the table.
    """

    folder: Path
    photos: tuple[DemoPhoto, ...]

    @property
    def database(self) -> Path:
        """The folder to be indexed."""
        return self.folder / "database"

    @property
    def queries(self) -> dict[Path, tuple[str, ...]]:
        """For each photo to search with, the names of those that show the same thing.

        The first is its partner, the one to be found; any others are right answers as well.
        """
        queries = [photo for photo in self.photos if photo.role == "query"]
        return {self.path(photo): EXPECTED[photo.name] for photo in queries}

    @property
    def sources(self) -> dict[str, str]:
        """For each photo, by name, the package and version that it came with."""
        return {photo.name: f"{photo.distribution} {photo.version}" for photo in self.photos}

    def path(self, photo: DemoPhoto) -> Path:
        """Return where the file of `photo` lies."""
        return self.folder / _relative(photo.role, photo.name)


def fetch(
    folder: str | os.PathLike[str],
    *,
    progress: Callable[[str, int, int | None], None] | None = None,
    download: Download | None = None,
) -> DemoPhotos:
    """Put the demo photos into `folder`, unless they are there already.

    A new folder appears whole or not at all. In a folder of an earlier call, photos that are
    missing or changed are put back, and files that are not the demo's are left alone.

    Parameters
    ----------
    folder
        A folder that does not exist, is empty, or was made by an earlier call.
    progress
        Called with (stage, done, total).
    download
        Puts wheels into a folder: called with the requirements, such as ``["vismatch==1.4.0"]``,
        and the folder. By default, pip of the running interpreter does it.

    Returns
    -------
    DemoPhotos
        The photos, their origins, and the pairs to be found.

    Raises
    ------
    DemoPhotosError
        If a wheel cannot be downloaded, or is not what was expected.
    FileExistsError
        If `folder` holds other files and no demo photos.
    """
    target = Path(folder).absolute()
    present = load(target)
    if present is not None:
        return present
    _refuse_foreign(target)
    report = progress or (lambda stage, done, total: None)

    target.parent.mkdir(parents=True, exist_ok=True)
    # Beside the folder, not in the system's scratch space: a rename does not cross file systems.
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as scratch:
        wheels, whole = Path(scratch, "wheels"), Path(scratch, "photos")
        wheels.mkdir()
        stage = f"downloading the demo photos, about {DOWNLOAD_MEGABYTES} MB"
        report(stage, 0, len(_WHEELS))
        (download or _download_with_pip)([wheel.requirement for wheel in _WHEELS], wheels)
        report(stage, len(_WHEELS), len(_WHEELS))
        photos = tuple(photo for wheel in _WHEELS for photo in _unpack(wheel, wheels, whole))
        _write_manifest(whole / MANIFEST, photos)
        try:
            _move_into_place(whole, target, photos)
        except OSError:
            made_meanwhile = load(target)  # by another process: one of the two renames fails
            if made_meanwhile is None:
                raise
            return made_meanwhile
    return DemoPhotos(target, photos)


def load(folder: str | os.PathLike[str]) -> DemoPhotos | None:
    """Return the demo photos in `folder`, or None unless each is there, unchanged.

    Parameters
    ----------
    folder
        The folder that was given to `fetch`.
    """
    target = Path(folder).absolute()
    photos = _read_manifest(target / MANIFEST)
    if photos is None:
        return None
    for photo in photos:
        try:
            content = (target / _relative(photo.role, photo.name)).read_bytes()
        except OSError:
            return None
        if len(content) != photo.size or hashlib.sha256(content).hexdigest() != photo.sha256:
            return None
    return DemoPhotos(target, photos)


# ---- The wheels --------------------------------------------------------------------------------


def _listing() -> str:
    return " and ".join(f"the wheel of {wheel.label}" for wheel in _WHEELS)


def _download_with_pip(requirements: Sequence[str], folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    command += ["--disable-pip-version-check", "--no-input", "--quiet", "-d", str(folder)]
    # The command is built from the table above and holds nothing from outside.
    finished = subprocess.run(  # noqa: S603
        [*command, *requirements], capture_output=True, text=True, errors="replace", check=False
    )
    if finished.returncode == 0:
        return
    if "No module named pip" in finished.stderr:
        raise DemoPhotosError(
            f"the demo photos come from {_listing()}, and {sys.executable} has no pip to download "
            f"them with. Install it, for instance with `{sys.executable} -m ensurepip`. "
            f"{_WITHOUT_DEMO}"
        )
    said = " ".join(finished.stderr.split())[-600:]
    raise DemoPhotosError(
        f"pip could not download {_listing()}: it ended with status {finished.returncode} and "
        f"said: {said or 'nothing'}. Check the network and try again. {_WITHOUT_DEMO}"
    )


def _unpack(wheel: _Wheel, downloads: Path, whole: Path) -> list[DemoPhoto]:
    path = _find(wheel, downloads)
    try:
        with zipfile.ZipFile(path) as archive:
            members = _members(archive, wheel)
            metadata_name = _metadata_name(wheel)
            metadata = _content(archive, members, metadata_name, MAX_METADATA_BYTES, wheel)
            licence = _licence(metadata.decode("utf-8", "replace"))
            return [
                _extract(archive, members, member, role, wheel, licence, whole)
                for member, role in wheel.members()
            ]
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise DemoPhotosError(
            f"the wheel of {wheel.label} is damaged ({error}). Clear pip's cache with "
            f"`{sys.executable} -m pip cache purge` and try again. {_WITHOUT_DEMO}"
        ) from error


def _find(wheel: _Wheel, downloads: Path) -> Path:
    stem = re.sub(r"[-_.]+", "_", wheel.distribution)
    found = sorted(downloads.glob(f"{stem}-{wheel.version}-*.whl"))
    if len(found) != 1:
        there = ", ".join(sorted(entry.name for entry in downloads.iterdir())) or "nothing"
        raise DemoPhotosError(
            f"the download was to hold one wheel of {wheel.label}, and holds {there}. "
            f"{_WITHOUT_DEMO}"
        )
    size = found[0].stat().st_size
    if size > MAX_WHEEL_BYTES:
        raise DemoPhotosError(
            f"the wheel of {wheel.label} has {size} bytes, more than the {MAX_WHEEL_BYTES} that "
            f"are taken. {_WITHOUT_DEMO}"
        )
    return found[0]


def _members(archive: zipfile.ZipFile, wheel: _Wheel) -> dict[str, zipfile.ZipInfo]:
    # Files are written under names of the table only, so that no member's name can lead outside
    # the folder. A wheel that tries to, or that holds two files of one name, is not the published
    # one, and none of its content is taken.
    infos = archive.infolist()
    members = {info.filename: info for info in infos}
    unsafe = next((info.filename for info in infos if _is_unsafe(info)), None)
    if len(infos) > MAX_MEMBERS or len(members) != len(infos) or unsafe is not None:
        why = (
            f"holds the unsafe member {unsafe!r}"
            if unsafe is not None
            else f"holds {len(infos)} members with {len(members)} names"
        )
        raise DemoPhotosError(
            f"the wheel of {wheel.label} {why}; a wheel holds each file once, inside its own "
            f"folders. It was not unpacked. {_WITHOUT_DEMO}"
        )
    return members


def _is_unsafe(info: zipfile.ZipInfo) -> bool:
    name = info.filename
    path = PurePosixPath(name)
    outside = path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name
    return outside or stat.S_ISLNK(info.external_attr >> 16)


def _metadata_name(wheel: _Wheel) -> str:
    stem = re.sub(r"[-_.]+", "_", wheel.distribution)
    return f"{stem}-{wheel.version}.dist-info/METADATA"


def _content(
    archive: zipfile.ZipFile,
    members: Mapping[str, zipfile.ZipInfo],
    member: str,
    limit: int,
    wheel: _Wheel,
) -> bytes:
    if member not in members:
        raise DemoPhotosError(
            f"the wheel of {wheel.label} does not hold {member}, which the demo needs. "
            f"{_WITHOUT_DEMO}"
        )
    with archive.open(members[member]) as stream:
        # The size that the directory declares is not to be trusted; what comes out is counted.
        content = stream.read(limit + 1)
    if len(content) > limit:
        raise DemoPhotosError(
            f"{member} in the wheel of {wheel.label} has more than the {limit} bytes that are "
            f"taken. {_WITHOUT_DEMO}"
        )
    return content


def _extract(
    archive: zipfile.ZipFile,
    members: Mapping[str, zipfile.ZipInfo],
    member: str,
    role: Role,
    wheel: _Wheel,
    licence: str,
    whole: Path,
) -> DemoPhoto:
    content = _content(archive, members, member, MAX_PHOTO_BYTES, wheel)
    path = PurePosixPath(member)
    if not content.startswith(_IMAGE_SIGNATURES[path.suffix]):
        raise DemoPhotosError(
            f"{member} in the wheel of {wheel.label} is not a {path.suffix[1:]} image; it begins "
            f"with {content[:8]!r}. {_WITHOUT_DEMO}"
        )
    _write(whole / _relative(role, path.name), content)
    digest = hashlib.sha256(content).hexdigest()
    return DemoPhoto(
        path.name, role, wheel.distribution, wheel.version, licence, member, len(content), digest
    )


def _licence(metadata: str) -> str:
    """Return the licence that a wheel's METADATA names, in a few words."""
    message = email.message_from_string(metadata)
    expression = message.get("License-Expression")
    if expression:
        return str(expression).strip()
    text: str = str(message.get("License", ""))
    # A list of files in the machine-readable copyright format: that of `Files: *` is first.
    listed = re.search(r"^\s*License:\s*(\S.*)$", text, re.MULTILINE)
    lines = [str(listed[1])] if listed else [line for line in text.splitlines() if line.strip()]
    values = [str(value) for value in message.get_all("Classifier", [])]
    classifiers = [value.rsplit("::", 1)[-1] for value in values if value.startswith("License ::")]
    stated: list[str] = [*lines[:1], *classifiers, "not stated"]
    return stated[0].strip()[:100]


# ---- The folder --------------------------------------------------------------------------------


def _relative(role: Role, name: str) -> str:
    return f"{'queries' if role == 'query' else 'database'}/{name}"


def _refuse_foreign(target: Path) -> None:
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    if not (target / MANIFEST).is_file():
        kind = "holds files that are not the demo's" if target.is_dir() else "is not a folder"
        raise FileExistsError(
            f"{target} {kind}; give the name of a new folder, or of an empty one, for the demo "
            "photos"
        )


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    _files.replace(path, [content])


def _write_manifest(path: Path, photos: Sequence[DemoPhoto]) -> None:
    manifest = {
        "format": FORMAT,
        "about": "Photos of the trouvaille demo: the wheel that each came from, the file in it, "
        "and the licence of the wheel.",
        "expected": {query: list(partners) for query, partners in EXPECTED.items()},
        "photos": [
            {
                "file": _relative(photo.role, photo.name),
                "distribution": photo.distribution,
                "version": photo.version,
                "licence": photo.licence,
                "member": photo.member,
                "size": photo.size,
                "sha256": photo.sha256,
            }
            for photo in photos
        ],
    }
    _write(path, (json.dumps(manifest, indent=2, ensure_ascii=False) + "\n").encode())


def _read_manifest(path: Path) -> tuple[DemoPhoto, ...] | None:
    """Return the photos that a manifest lists, or None unless they are those of the table."""
    try:
        manifest = json.loads(path.read_text("utf-8"))
        entries = {entry["file"]: entry for entry in manifest["photos"]}
        photos = []
        for wheel in _WHEELS:
            for member, role in wheel.members():
                name = PurePosixPath(member).name
                entry = entries[_relative(role, name)]
                photo = DemoPhoto(
                    name,
                    role,
                    wheel.distribution,
                    wheel.version,
                    str(entry["licence"]),
                    member,
                    int(entry["size"]),
                    str(entry["sha256"]),
                )
                found = (entry["distribution"], entry["version"], entry["member"])
                if found != (wheel.distribution, wheel.version, member):
                    return None  # of another version of the table
                photos.append(photo)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return tuple(photos) if manifest.get("format") == FORMAT else None


def _move_into_place(whole: Path, target: Path, photos: Sequence[DemoPhoto]) -> None:
    if not (target / MANIFEST).exists():
        if target.is_dir():
            target.rmdir()  # empty, or this fails; a rename onto a folder is not portable
        whole.replace(target)
        return
    # A folder that lost some photos: each is replaced at one rename, the manifest last.
    for file in [*(_relative(photo.role, photo.name) for photo in photos), MANIFEST]:
        (target / file).parent.mkdir(exist_ok=True)
        (whole / file).replace(target / file)
