# SPDX-License-Identifier: Apache-2.0
"""Mean average precision of each detector and descriptor in the same pipeline, on real photos.

As bench_collection: each labelled set of $TROUVAILLE_DATA plus all distractors, with a vocabulary
of 20,000 words learned for each detector and descriptor on the distractors and the other sets;
before and after verification. Each is turned to its dominant gradients, and upright.

python benchmarks/bench_descriptors.py                                   # all: hours
python benchmarks/bench_descriptors.py "SIFT" "CS-LBP" --sets smvs_books
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from bench_collection import NUM_WORDS, SETS, index, learn
from harness import record

# The options of `Collection.create` and `Vocabulary.learn`.
CONTENDERS = {
    "OpenCV's SIFT": {"detector": "opencv_sift"},
    "SIFT": {"detector": "dog", "descriptor": "sift"},
    "DoG, CS-LBP": {"detector": "dog", "descriptor": "cs_lbp"},
    "Hessian-affine, SIFT": {"detector": "hessian_affine", "descriptor": "sift"},
    "Hessian-affine, CS-LBP": {"detector": "hessian_affine", "descriptor": "cs_lbp"},
    "Harris-affine, SIFT": {"detector": "harris_affine", "descriptor": "sift"},
    "Harris-affine, CS-LBP": {"detector": "harris_affine", "descriptor": "cs_lbp"},
}
ORIENTATIONS = ("dominant", "upright")


def measure(data: Path, tested: str, name: str, orientation: str, max_features: int) -> None:
    from trouvaille.collection.evaluate import evaluate

    max_size = 800 if max_features <= 1000 else 1024
    chosen = {**CONTENDERS[name], "orientation": orientation}
    vocabulary = learn(data, tested, max_features, max_size, **chosen)
    with tempfile.TemporaryDirectory() as scratch:
        collection, truth, rows, _ = index(
            Path(scratch) / "photos.tv", data, tested, vocabulary, max_features, max_size, **chosen
        )
        result = evaluate(collection, truth, data / tested)
        on_disk = sum(n for part, n in collection.stats().items() if part.startswith("bytes"))
    turned = "turned" if orientation == "dominant" else orientation
    n = len(rows)
    record(
        f"{tested} + distractors: {name}, {turned}, {max_features:,} features, "
        f"longest side {max_size:,}",
        {
            "mAP words": result.first.mean_ap,
            "P@1 words": result.first.precision_at_1,
            "mAP verified": result.verified.mean_ap,
            "P@1 verified": result.verified.precision_at_1,
            "features a photo": sum(row.n_features for row in rows) / n,
            "extraction, core ms a photo": 1000 * sum(row.extract_seconds for row in rows) / n,
            "kB a photo": on_disk / n / 1000,
        },
        table=f"detectors and descriptors, {tested}, {NUM_WORDS:,} words",
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("contenders", nargs="*", help="some of: " + ", ".join(CONTENDERS))
    parser.add_argument("--sets", nargs="*", default=list(SETS))
    parser.add_argument("--orientations", nargs="*", default=list(ORIENTATIONS))
    parser.add_argument("--features", type=int, default=1000)
    arguments = parser.parse_args()
    chosen = arguments.contenders or list(CONTENDERS)
    if unknown := [name for name in chosen if name not in CONTENDERS]:
        parser.error(f"no contender {unknown[0]!r}; there are {', '.join(CONTENDERS)}")
    if not os.environ.get("TROUVAILLE_DATA"):
        print("skipped: TROUVAILLE_DATA names no folder of labelled photos")
        sys.exit(0)
    data = Path(os.environ["TROUVAILLE_DATA"])
    for tested in arguments.sets:
        for name in chosen:
            for orientation in arguments.orientations:
                measure(data, tested, name, orientation, arguments.features)


if __name__ == "__main__":
    main()
