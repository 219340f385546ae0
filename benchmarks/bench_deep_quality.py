# SPDX-License-Identifier: Apache-2.0
"""One vector a photo by EfficientNet-Lite0: which pooling, how large, how many scales, whitened?

Each labelled set of $TROUVAILLE_DATA plus all distractors: mean average precision of SPoC (which is
the penultimate layer), MAC, GeM and R-MAC at 320, 640 and 1,024 pixels, at one scale and at three,
as they are and whitened (PCA, learned on the distractors and the *other* sets, to 512 numbers with
half of the whitening); and, of the first 100 photos by R-MAC, verified by local features.

python benchmarks/bench_deep_quality.py                  # an hour; ten minutes of it for each set
python benchmarks/bench_deep_quality.py --sizes 320

Vectors are kept in $TROUVAILLE_BENCH_DATA, where it is set.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from bench_collection import SETS, index, learn
from harness import record
from trouvaille import deep, images
from trouvaille.aggregate import PCAWhitening
from trouvaille.collection.query import Query
from trouvaille.collection.searcher import Seconds
from trouvaille.evaluation import GroundTruth

SIZES = (320, 640, 1024)
SCALES = {"one scale": (0,), "three scales": (0, 1, 2)}  # of deep.MULTI_SCALE
COMPONENTS, POWER = 512, 0.25
VERIFIED = 100

Vectors = dict[str, Any]  # by pooling: (photos, scales, channels), each of length 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="*", default=list(SIZES))
    given = parser.parse_args()
    if not os.environ.get("TROUVAILLE_DATA"):
        print("skipped: TROUVAILLE_DATA names no folder of labelled photos")
        return
    data = Path(os.environ["TROUVAILLE_DATA"])
    photos = [p for name in ("distractors", *SETS) for p in images.find_photos(data / name)]
    names = [photo.relative_to(data).as_posix() for photo in photos]
    for size in given.sizes:
        vectors = kept(photos, size)
        for pooling, each in vectors.items():
            for scales, chosen in SCALES.items():
                measure(data, names, unit(each[:, chosen].mean(1)), f"{size} px, {scales}", pooling)
    verified(data, names, unit(kept(photos, max(given.sizes))["R-MAC"].mean(1)))


def measure(data: Path, names: list[str], vectors: Any, how: str, pooling: str) -> None:
    row = {}
    for tested in SETS:
        truth = GroundTruth.load(data / tested / "gt.json")
        whitened = whiten(vectors, [not name.startswith(f"{tested}/") for name in names])
        for label, X in (("", vectors), (", whitened", whitened)):
            rankings = [ids for _, ids, _ in ranked(truth, tested, names, X)]
            row[f"{tested}{label}"] = truth.mean_average_precision(rankings)
    record(f"{pooling}, {how}", row, table="one vector a photo by a network: mAP")


def verified(data: Path, names: list[str], vectors: Any) -> None:
    """The first photos by vectors, verified by local features, beside either alone."""
    for tested in SETS:
        vocabulary = learn(data, tested, 1000, 800)
        with tempfile.TemporaryDirectory() as scratch:
            collection, truth, _, _ = index(
                Path(scratch) / "photos.tv", data, tested, vocabulary, 1000, 800
            )
            searcher = collection._current()
            X = whiten(vectors, [not name.startswith(f"{tested}/") for name in names])
            alone, both, local = [], [], []
            for query, ids, _ in ranked(truth, tested, names, X):
                photo = data / tested / query.image
                hits = collection.search(photo, len(collection), exclude=[query.image])
                local.append([hit.id for hit in hits])
                alone.append(ids)
                asked = Query.of(images.load_gray(photo), None, collection.settings)
                words = searcher.words(asked.features, None)
                shortlist = [searcher.numbers([id]).pop() for id in ids[:VERIFIED]]
                found = searcher.verify(asked.features, words, np.array(shortlist), None, Seconds())
                first = sorted(found, key=lambda number: -found[number].score)
                confirmed = [searcher.row(number).id for number in first]
                both.append([*confirmed, *(id for id in ids if id not in set(confirmed))])
            record(
                f"{tested} + distractors",
                {
                    "global": truth.mean_average_precision(alone),
                    "local": truth.mean_average_precision(local),
                    "global, verified locally": truth.mean_average_precision(both),
                },
                table="a network's first 100 photos, verified by local features: mAP",
            )


def ranked(truth: GroundTruth, tested: str, names: list[str], X: Any) -> list[tuple[Any, Any, Any]]:
    """Queries, the ids of the photos in order, and their scores."""
    place = {name: row for row, name in enumerate(names)}
    others = [name for name in names if name.startswith("distractors/")]
    ids = [*truth.database, *(name.partition("/")[2] for name in others)]
    rows = [*(place[f"{tested}/{name}"] for name in truth.database), *map(place.get, others)]
    found = []
    for query in truth.queries:
        scores = X[rows] @ X[place[f"{tested}/{query.image}"]]
        order = [i for i in np.argsort(-scores, kind="stable") if ids[i] != query.image]
        found.append((query, [ids[i] for i in order], scores[order]))
    return found


def unit(X: Any) -> Any:
    return X / np.maximum(np.linalg.norm(X, axis=-1, keepdims=True), 1e-12)


def whiten(X: Any, learned_on: list[bool]) -> Any:
    chosen = X[np.array(learned_on)]
    n = min(COMPONENTS, len(chosen) - 1)
    return PCAWhitening(n, whitening_power=POWER).fit(chosen).transform(X)


# ---- Vectors


def kept(photos: list[Path], size: int) -> Vectors:
    folder = os.environ.get("TROUVAILLE_BENCH_DATA")
    if folder is None:
        return described(photos, size)
    path = Path(folder) / f"deep_quality_{size}.npz"
    if not path.exists():
        np.savez(path, **described(photos, size))
    with np.load(path) as held:
        return {name: held[name] for name in held.files}


def described(photos: list[Path], size: int) -> Vectors:
    """Vectors of all poolings, which share the maps that the network makes of a photo."""
    backbone = deep.Backbone("efficientnet_lite0")
    poolings: Mapping[str, Any] = {
        "SPoC": deep.SPoC(),
        "MAC": deep.MAC(),
        "GeM": deep.GeM(),
        "R-MAC": deep.RMAC(),
    }
    mean, std = (torch.tensor(x).reshape(1, 3, 1, 1) for x in (backbone.mean, backbone.std))
    rows: dict[str, list[Any]] = {name: [] for name in poolings}
    for done, photo in enumerate(photos):
        pixels, _ = images.resize_to(images.load_rgb(photo), size)
        x = (torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255 - mean) / std
        with torch.inference_mode():
            maps = [backbone(scaled(x, scale)) for scale in deep.MULTI_SCALE]
            for name, pooling in poolings.items():
                each = [functional.normalize(pooling(one), dim=1)[0].numpy() for one in maps]
                rows[name].append(np.stack(each))
        if done % 100 == 0:
            print(f"{size} px: {done} of {len(photos)} photos", file=sys.stderr, flush=True)
    return {name: np.stack(each) for name, each in rows.items()}


def scaled(x: torch.Tensor, scale: float) -> torch.Tensor:
    if scale == 1:
        return x
    shape = [max(int(side * scale), 1) for side in x.shape[2:]]
    return functional.interpolate(x, shape, mode="bilinear", align_corners=False)


if __name__ == "__main__":
    main()
