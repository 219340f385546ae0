# SPDX-License-Identifier: Apache-2.0
"""Local features of a network, DELF, beside SIFT: which of them finds what?

Each labelled set of $TROUVAILLE_DATA plus all distractors: mean average precision by ASMK, and
with the first photos in the order of the inliers of an affine map, as DELF's authors have it. Both
have as many features a photo and as many words. DELF is that of EfficientNet-Lite0 without
training, at its seven scales, with all channels and by principal components; these, and all words,
are learned on the distractors and the *other* sets.

python benchmarks/bench_delf.py          # ten minutes of one core, nine of them for features

Features are kept in $TROUVAILLE_BENCH_DATA, where it is set.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from harness import record, single_thread

single_thread()

import numpy as np  # noqa: E402
import torch  # noqa: E402

from sift_data import kept_file  # noqa: E402
from trouvaille import deep, features, geometry  # noqa: E402
from trouvaille.aggregate import PCAWhitening  # noqa: E402
from trouvaille.deep.delf_detector import to_bytes  # noqa: E402
from trouvaille.evaluation import GroundTruth  # noqa: E402
from trouvaille.index import ASMK  # noqa: E402
from trouvaille.words import KMeans  # noqa: E402

SETS = ("smvs_books", "smvs_landmarks", "grocery_packages")
FEATURES, SIZE, COMPONENTS = 600, 640, 40
VERIFIED = 20  # photos of a ranking


@dataclass(frozen=True)
class Kind:
    """What is compared: how features are found, and how they match."""

    find: Callable[[], dict[str, Any]]  # options of features.extract_all
    components: int | None  # of descriptors, learned on other sets
    ratio: float  # of the nearest neighbour to the second
    residual: float  # pixels by which a match may miss its place: cells of DELF are 16 apart


@dataclass(frozen=True)
class Photos:
    """Features of photos, by name."""

    descriptors: dict[str, Any]
    places: dict[str, Any]


def sift() -> dict[str, Any]:
    return {}


def delf() -> dict[str, Any]:
    model = deep.DELF(deep.Backbone("efficientnet_lite0", "block_10"), max_features=FEATURES)
    detector = deep.DELFDetector(model, as_bytes=False)
    return {"detector": detector, "orientation": "upright"}


# No ratio for DELF: the second nearest is the same place, seen at the next scale.
KINDS = {
    "SIFT": Kind(sift, None, 0.9, 8.0),
    "DELF, 112 channels": Kind(delf, None, 1.0, 20.0),
    f"DELF, {COMPONENTS} components": Kind(delf, COMPONENTS, 1.0, 20.0),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", nargs="*", default=list(SETS), help="labelled sets")
    parser.add_argument("--words", type=int, nargs="*", default=[2048])
    given = parser.parse_args()
    if not os.environ.get("TROUVAILLE_DATA"):
        print("skipped: TROUVAILLE_DATA names no folder of labelled photos")
        return
    torch.set_num_threads(1)
    data = Path(os.environ["TROUVAILLE_DATA"])
    for num_words in given.words:
        for tested in given.sets:
            row: dict[str, float] = {}
            for name, kind in KINDS.items():
                ranked, confirmed = measured(data, tested, kind, num_words)
                row |= {name: ranked, f"{name}, verified": confirmed}
            record(
                f"{tested} + distractors, {num_words:,} words",
                row,
                table="DELF and SIFT, by ASMK, and verified: mAP",
                threads=1,
                notes=f"{FEATURES} features, longest side {SIZE}",
            )


def measured(data: Path, tested: str, kind: Kind, num_words: int) -> tuple[float, float]:
    """Mean average precision by ASMK, and with the first photos verified."""
    truth = GroundTruth.load(data / tested / "gt.json")
    photos = {folder: photos_of(data, folder, kind.find) for folder in ("distractors", *SETS)}
    others = [x for name in photos if name != tested for x in photos[name].descriptors.values()]
    as_bytes = description(kind, others)
    words = KMeans(num_words, iterations=6, threads=1).fit(as_bytes(np.concatenate(others)))
    own, distractors = photos[tested], photos["distractors"]
    names = [*truth.database, *distractors.descriptors]
    asked = [query.image for query in truth.queries]
    descriptors = distractors.descriptors | own.descriptors
    held = Photos(
        {name: as_bytes(x) for name, x in descriptors.items()}, distractors.places | own.places
    )
    index = ASMK(words.cluster_centers_)
    index.add([held.descriptors[name] for name in names], threads=1)
    found = index.search([held.descriptors[name] for name in asked], len(names), threads=1).ids
    rankings = [
        [names[i] for i in ids if names[i] != image]
        for ids, image in zip(found, asked, strict=True)
    ]
    confirmed = [
        verified(image, ranking, held, kind) for image, ranking in zip(asked, rankings, strict=True)
    ]
    return truth.mean_average_precision(rankings), truth.mean_average_precision(confirmed)


def description(kind: Kind, others: list[Any]) -> Callable[[Any], Any]:
    """What makes bytes of descriptors, as `DELF.fit` and its detector do."""
    if kind.components is None:
        return lambda X: X if X.dtype == np.uint8 else to_bytes(X)
    pca = PCAWhitening(kind.components, whitening_power=0.0, threads=1).fit(np.concatenate(others))
    return lambda X: to_bytes(pca.transform(X))


def verified(image: str, ranking: list[str], photos: Photos, kind: Kind) -> list[str]:
    """The first photos, those of the most inliers first; then all others as they were."""
    first = ranking[:VERIFIED]
    inliers = np.array([common(image, name, photos, kind) for name in first])
    return [first[i] for i in np.argsort(-inliers, kind="stable")] + ranking[VERIFIED:]


def common(one: str, other: str, photos: Photos, kind: Kind) -> int:
    """How many features of two photos match, and lie as in one affine map."""
    x, y = (photos.descriptors[name] for name in (one, other))
    found = geometry.match(x, y, kind.ratio, threads=1)
    rows, columns = found.matches.T
    if len(rows) < 3:
        return 0
    return geometry.estimate(
        "affine",
        photos.places[one][rows],
        photos.places[other][columns],
        quality=-found.distances.astype(np.float64),
        residual_threshold=kind.residual,
    ).n_inliers


# ---- Features


@cache
def photos_of(data: Path, folder: str, find: Callable[[], dict[str, Any]]) -> Photos:
    """Features of the photos of a folder, kept where there is a place for them."""
    path = kept_file(f"{find.__name__}_{folder}_{FEATURES}_{SIZE}.npz")
    if path is not None and path.is_file():
        with np.load(path) as held:
            return unpacked(dict(held))
    arrays = packed(sorted((data / folder).glob("*.jpg")), find())
    if path is not None:
        aside = path.with_name(f".{os.getpid()}.{path.name}")
        np.savez(aside, **arrays)
        aside.replace(path)
    return unpacked(arrays)


def packed(paths: list[Path], options: dict[str, Any]) -> dict[str, Any]:
    found = list(
        features.extract_all(paths, max_features=FEATURES, max_size=SIZE, workers=1, **options)
    )
    return {
        "names": np.array([path.name for path in paths]),
        "offsets": np.cumsum([0, *(len(one.features.frames) for one in found)]),
        "descriptors": np.concatenate([one.features.descriptors for one in found]),
        "places": np.concatenate([one.features.frames[:, :, 2] for one in found]),
    }


def unpacked(arrays: dict[str, Any]) -> Photos:
    cuts = arrays["offsets"][1:-1]
    parts = (np.split(arrays[name], cuts) for name in ("descriptors", "places"))
    return Photos(*(dict(zip(arrays["names"].tolist(), part, strict=True)) for part in parts))


if __name__ == "__main__":
    main()
