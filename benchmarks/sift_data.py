# SPDX-License-Identifier: Apache-2.0
"""Up to three million real SIFT, in bytes, and 10,000 queries from photos of other things.

No photo, and no view of the same object, gives both. The photos under TROUVAILLE_DATA are grouped
by what they show, after their sets' ground truth: a query and its positives, a product, a
homography sequence, the holiday photos among the distractors; any other photo is alone. Of each of
QUERY_SETS a random tenth of the groups gives queries. Ground truth does not say everything: one
facade is behind two numbers, one table under two books. So the others give base except those groups
of which a photo can be verified geometrically against one of the queries'.

A photo gives the RootSIFT of faint features, too, at its own size and at 0.7 of it. The base is in
random order, so that the first hundred thousand, or million, are a smaller set of the same kind,
with the same queries. Kept between runs where TROUVAILLE_BENCH_DATA names a folder.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trouvaille import features, geometry, neighbors

QUERY_SETS = ("distractors", "smvs_books", "smvs_landmarks")
SETS = (*QUERY_SETS, "grocery_packages", "homography")
LARGEST = 3_000_000
N_QUERIES = 10_000
CONTRAST = 0.006  # 0.04 is usual
SHARES = (1.0, 0.7)  # of a photo's size
Vectors = NDArray[np.uint8]


class Descriptors(NamedTuple):
    """RootSIFT of photos: (n, 128) uint8, and (10,000, 128) of photos of other things."""

    base: Vectors
    queries: Vectors


def load(n: int = 1_000_000) -> Descriptors:
    """The first `n` descriptors, and the queries; raises where there are no photos."""
    if n > LARGEST:
        raise ValueError(f"n must be at most {LARGEST:,}, got {n:,}")
    kept = [kept_file(f"sift_by_object_{part}.npy") for part in ("base", "queries")]
    if all(path is not None and path.is_file() for path in kept):
        base, queries = (np.load(path, mmap_mode="r") for path in kept)
    else:
        base, queries = _extract()
        for path, array in zip(kept, (base, queries), strict=True):
            if path is not None:
                _save(path, array)
    return Descriptors(np.array(base[:n]), np.array(queries))


def exact(n: int, k: int, n_queries: int = N_QUERIES) -> NDArray[np.int32]:
    """Distances of the `k` nearest of the first `n` to each of the first queries."""
    kept = kept_file(f"sift_by_object_exact_{n}_{k}.npy")
    if kept is not None and kept.is_file():
        return np.load(kept)[:n_queries]
    data = load(n)
    every = len(data.queries) if kept is not None else n_queries
    found = neighbors.Exact().build(data.base).search(data.queries[:every], k)
    if kept is not None:
        _save(kept, found.distances)
    return found.distances[:n_queries]


def kept_file(name: str) -> Path | None:
    """Where a file that takes long to make is kept, if anywhere."""
    folder = os.environ.get("TROUVAILLE_BENCH_DATA")
    return Path(folder) / name if folder else None


def groups(root: Path, name: str) -> list[list[Path]]:
    """The photos of one set, those that show the same thing together."""
    found: dict[str, list[Path]] = defaultdict(list)
    first = _first_of_group(root / name)
    for photo in sorted((root / name).rglob("*.jpg")):
        found[_thing(name, photo, first)].append(photo)
    return list(found.values())


def _thing(name: str, photo: Path, first: dict[str, str]) -> str:
    if name == "homography":
        return photo.parent.name
    if photo.name.startswith("vacation"):
        return "vacation"
    return first.get(photo.name, photo.name)


def _first_of_group(folder: Path) -> dict[str, str]:
    """The query that a photo belongs to, by the set's ground truth."""
    truth = folder / "gt.json"
    if not truth.is_file():
        return {}
    first: dict[str, str] = {}
    for query in json.loads(truth.read_text(encoding="utf-8"))["queries"]:
        own = first.get(query["image"], query["image"])
        first.update(dict.fromkeys([query["image"], *query["positives"]], own))
    return first


def split(root: Path) -> tuple[list[Path], list[Path]]:
    """The photos that give base, and those that give queries."""
    rng = np.random.default_rng(0)
    others: list[list[Path]] = []
    queries: list[Path] = []
    for name in SETS:
        things = groups(root, name)
        order = [things[i] for i in rng.permutation(len(things))]
        n_queries = len(things) // 10 if name in QUERY_SETS else 0
        queries += chain(*order[:n_queries])
        others += order[n_queries:]
    seen = _verified(list(chain(*others)), queries)
    return [photo for group in others if seen.isdisjoint(group) for photo in group], queries


def _verified(photos: list[Path], queries: list[Path]) -> set[Path]:
    """Those of `photos` that share with one of `queries` what one transform explains."""
    candidates = [_strongest(photo) for photo in photos]
    frames = np.concatenate([candidate.frames for candidate in candidates])
    offsets = np.cumsum([0, *(len(candidate.frames) for candidate in candidates)])
    seen: set[Path] = set()
    for query in map(_strongest, queries):
        pairs = [
            geometry.match(query.descriptors, candidate.descriptors).matches
            for candidate in candidates
        ]
        ends = np.cumsum([0, *map(len, pairs)])
        found = geometry.verify(query.frames, frames, offsets, np.concatenate(pairs), ends)
        seen.update(photos[i] for i in np.flatnonzero(found.n_inliers))
    return seen


def _strongest(photo: Path) -> features.Features:
    return features.extract(photo, max_features=600).features


def _extract() -> Descriptors:
    base_photos, query_photos = split(Path(os.environ["TROUVAILLE_DATA"]))
    rng = np.random.default_rng(1)
    parts = []
    for photos, wanted in ((base_photos, LARGEST), (query_photos, N_QUERIES)):
        found = np.concatenate([*_of_each(photos)])
        if len(found) < wanted:
            raise ValueError(f"the photos have {len(found):,} descriptors, of {wanted:,}")
        parts.append(found[rng.permutation(len(found))[:wanted]])
    return Descriptors(*parts)


def _of_each(photos: list[Path]) -> Iterator[Vectors]:
    every = {"max_features": 100_000, "contrast_threshold": CONTRAST}
    for photo in photos:
        size: int | None = None
        for share in SHARES:
            found = features.extract(photo, max_size=size and round(share * size), **every)
            size = max(found.size)
            yield found.features.descriptors


def _save(path: Path, array: NDArray[np.generic]) -> None:
    """Write a whole file or none: another benchmark may be reading."""
    aside = path.with_name(f".{os.getpid()}.{path.name}")
    np.save(aside, array)
    aside.replace(path)
