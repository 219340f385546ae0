# SPDX-License-Identifier: Apache-2.0
"""Quality and cost of the whole way on real photos with known answers.

Each labelled set of $TROUVAILLE_DATA plus all distractors, with a vocabulary of exactly 20,000
words learned on the distractors and the *other* sets: mean average precision and precision at 1
before and after verification, milliseconds a photo to index, bytes a photo, milliseconds a query
by stage.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
from pathlib import Path

from harness import record

SETS = ("smvs_books", "smvs_landmarks", "grocery_packages")
NUM_WORDS = 20_000
# What exhaustive matching reaches (every pair, ratio test, homography), from the same features.
EXHAUSTIVE = {"smvs_books": 0.948, "smvs_landmarks": 0.242, "grocery_packages": 0.673}


def learn(data: Path, tested: str, max_features: int, max_size: int):
    """Learn the vocabulary for `tested` from photos of everything else."""
    from trouvaille.words import Vocabulary

    photos = [data / "distractors", *(data / other for other in SETS if other != tested)]
    return Vocabulary.learn(photos, NUM_WORDS, max_features=max_features, max_size=max_size)


def index(folder: Path, data: Path, tested: str, vocabulary, max_features: int, max_size: int):
    from trouvaille import Collection
    from trouvaille.evaluation import GroundTruth

    truth = GroundTruth.load(data / tested / "gt.json")
    collection = Collection.create(folder, vocabulary, max_features=max_features, max_size=max_size)
    reports = [
        collection.add([data / tested / name for name in truth.database], list(truth.database)),
        collection.add(data / "distractors"),
    ]
    rows = [row for report in reports for row in report]
    assert all(row.status == "ok" for row in rows)
    return collection, truth, rows, sum(report.seconds for report in reports)


def measure(data: Path, tested: str, max_features: int, max_size: int) -> None:
    from trouvaille.collection.evaluate import evaluate

    vocabulary = learn(data, tested, max_features, max_size)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "photos.tv"
        collection, truth, rows, seconds = index(
            folder, data, tested, vocabulary, max_features, max_size
        )
        result = evaluate(collection, truth, data / tested, threads=1)
        on_disk = collection.stats()
        collection.close()
    name = f"{tested} + distractors, {max_features:,} features, longest side {max_size:,}"
    record(
        name,
        {
            "mAP words": result.words.mean_ap,
            "P@1 words": result.words.precision_at_1,
            "mAP verified": result.verified.mean_ap,
            "P@1 verified": result.verified.precision_at_1,
            "mAP exhaustive": EXHAUSTIVE[tested],
        },
        table="quality",
    )
    query = result.milliseconds
    record(
        name,
        {
            **{f"query {stage} ms": value for stage, value in query.items()},
            "query after extraction ms": sum(v for s, v in query.items() if s != "extract"),
        },
        table="query time, one thread, median",
    )
    n = len(rows)
    total = sum(row.decode_seconds + row.extract_seconds + row.assign_seconds for row in rows)
    record(
        name,
        {
            "ms a photo (two cores)": 1000 * seconds / n,
            "core ms a photo": 1000 * total / n,
            "share decoding": sum(row.decode_seconds for row in rows) / total,
            "share SIFT": sum(row.extract_seconds for row in rows) / total,
            "share words": sum(row.assign_seconds for row in rows) / total,
            "features a photo": sum(row.n_features for row in rows) / n,
            **{
                f"kB a photo{part.removeprefix('bytes').replace('_', ', ')}": value / n / 1000
                for part, value in on_disk.items()
                if part.startswith("bytes")
            },
            "peak memory MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000,
        },
        table="cost of indexing",
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="*", default=list(SETS), help="labelled sets")
    parser.add_argument("--features", type=int, nargs="*", default=[1000, 2000])
    arguments = parser.parse_args()
    data_folder = Path(os.environ["TROUVAILLE_DATA"])
    for features in arguments.features:
        for tested_set in arguments.sets:
            measure(data_folder, tested_set, features, {1000: 800, 2000: 1024}[features])
