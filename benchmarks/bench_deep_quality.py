# SPDX-License-Identifier: Apache-2.0
"""One vector a photo by EfficientNet-Lite0: which pooling, how large, how many scales, whitened?

Each labelled set of $TROUVAILLE_DATA plus all distractors: mean average precision of SPoC, MAC, GeM
and R-MAC at 320, 640 and 1,024 pixels, smaller photos left as they are or enlarged, at one scale
and at three, of the head with its activations capped at 6 (SPoC of which is the penultimate layer)
and without; as they are and whitened (PCA, learned on the distractors and the *other* sets, to 512
numbers with half of the whitening), and R-MAC with its regions whitened (likewise, to all 1,280).
And of the first 100 photos by the latter, verified by local features.

python benchmarks/bench_deep_quality.py                  # an hour, most of it for 1,024 pixels
python benchmarks/bench_deep_quality.py --sizes 320

Vectors are kept in $TROUVAILLE_BENCH_DATA, where it is set: 0.3 GB for each size.
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
REGIONS = 20_000  # of which the whitening of regions is learned
VERIFIED, VERIFIED_AT = 100, 640

# By pooling: (photos, scales, channels), each of length 1. And `REGION_VECTORS`: of all regions of
# R-MAC, scale by scale of each photo, with `ENDS`, (photos, scales), where each scale's end.
Vectors = dict[str, Any]
REGION_VECTORS, ENDS = "region vectors", "ends"


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
        for enlarge in (False, True):
            how = f"{size} px, enlarged" if enlarge else f"{size} px"
            vectors = kept(photos, size, enlarge)
            whitened = {tested: regions_whitened(vectors, names, tested) for tested in SETS}
            for scales, chosen in SCALES.items():
                for pooling, each in vectors.items():
                    if pooling not in (REGION_VECTORS, ENDS):
                        X = unit(each[:, chosen].mean(1))
                        measure(data, names, dict.fromkeys(SETS, X), f"{pooling}, {how}, {scales}")
                of_sets = {tested: unit(X[:, chosen].mean(1)) for tested, X in whitened.items()}
                measure(data, names, of_sets, f"R-MAC, regions whitened, {how}, {scales}")
    verified(data, names, kept(photos, VERIFIED_AT, True))


def measure(data: Path, names: list[str], vectors: Mapping[str, Any], how: str) -> None:
    row = {}
    for tested in SETS:
        truth = GroundTruth.load(data / tested / "gt.json")
        whitened = whiten(vectors[tested], others_than(tested, names))
        for label, X in (("", vectors[tested]), (", whitened", whitened)):
            rankings = [ids for _, ids, _ in ranked(truth, tested, names, X)]
            row[f"{tested}{label}"] = truth.mean_average_precision(rankings)
    record(how, row, table="one vector a photo by a network: mAP")


def verified(data: Path, names: list[str], vectors: Vectors) -> None:
    """The first photos by vectors, verified by local features, beside either alone."""
    for tested in SETS:
        vocabulary = learn(data, tested, 1000, 800)
        with tempfile.TemporaryDirectory() as scratch:
            collection, truth, _, _ = index(
                Path(scratch) / "photos.tv", data, tested, vocabulary, 1000, 800
            )
            searcher = collection._current()
            X = unit(regions_whitened(vectors, names, tested).mean(1))
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


def others_than(tested: str, names: list[str]) -> Any:
    return np.array([not name.startswith(f"{tested}/") for name in names])


def whiten(X: Any, learned_on: Any) -> Any:
    chosen = X[learned_on]
    n = min(COMPONENTS, len(chosen) - 1)
    return PCAWhitening(n, whitening_power=POWER).fit(chosen).transform(X)


def regions_whitened(vectors: Vectors, names: list[str], tested: str) -> Any:
    """What `RMAC(whitening=...)` makes of the photos, (photos, scales, channels)."""
    regions, ends = vectors[REGION_VECTORS], vectors[ENDS]
    begins = np.concatenate([[0], ends.ravel()[:-1]]).reshape(ends.shape)
    learned_on = np.repeat(others_than(tested, names), ends[:, -1] - begins[:, 0])
    chosen = regions[learned_on]
    whitening = PCAWhitening(whitening_power=POWER)
    whitening.fit(np.float32(chosen[:: -(-len(chosen) // REGIONS)]))
    whitened = unit(whitening.transform(np.float32(regions)))
    return unit(np.add.reduceat(whitened, begins.ravel())).reshape(*ends.shape, -1)


# ---- Vectors


def kept(photos: list[Path], size: int, enlarge: bool) -> Vectors:
    folder = os.environ.get("TROUVAILLE_BENCH_DATA")
    if folder is None:
        return described(photos, size, enlarge)
    path = Path(folder) / f"deep_quality_{size}{'_enlarged' * enlarge}.npz"
    if not path.exists():
        np.savez(path, **described(photos, size, enlarge))
    with np.load(path) as held:
        return {name: held[name] for name in held.files}


def described(photos: list[Path], size: int, enlarge: bool) -> Vectors:
    """Vectors of all poolings, which share the maps that the network makes of a photo."""
    backbone = deep.Backbone("efficientnet_lite0")
    quick: Any = deep.for_extraction(deep.GlobalDescriptor(backbone, deep.SPoC()))
    regional = deep.RMAC()
    poolings: Mapping[str, Any] = {
        "SPoC": deep.SPoC(),
        "MAC": deep.MAC(),
        "GeM": deep.GeM(),
        "R-MAC": regional,
    }
    mean, std = (torch.tensor(x).reshape(1, 3, 1, 1) for x in (backbone.mean, backbone.std))
    rows: dict[str, list[Any]] = {}
    regions, counts = [], []
    for done, photo in enumerate(photos):
        pixels, _ = images.resize_to(images.load_rgb(photo), size, enlarge=enlarge)
        x = (torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255 - mean) / std
        with torch.inference_mode():
            maps = [quick.backbone(scaled(x, scale)) for scale in deep.MULTI_SCALE]
            for head, cap in (("", None), (", capped", 6.0)):
                for name, pooling in poolings.items():
                    found = [pooling(one.clamp(max=cap) if cap else one) for one in maps]
                    each = [functional.normalize(one, dim=1)[0].numpy() for one in found]
                    rows.setdefault(f"{name}{head}", []).append(np.stack(each))
            for one in maps:
                regions.append(regional.regions(one)[0].numpy().astype(np.float16))
                counts.append(len(regions[-1]))
        if done % 100 == 0:
            print(f"{size} px: {done} of {len(photos)} photos", file=sys.stderr, flush=True)
    ends = np.cumsum(counts).reshape(len(photos), -1)
    vectors = {name: np.stack(each) for name, each in rows.items()}
    return vectors | {REGION_VECTORS: np.concatenate(regions), ENDS: ends}


def scaled(x: torch.Tensor, scale: float) -> torch.Tensor:
    if scale == 1:
        return x
    shape = [max(int(side * scale), 1) for side in x.shape[2:]]
    return functional.interpolate(x, shape, mode="bilinear", align_corners=False)


if __name__ == "__main__":
    main()
