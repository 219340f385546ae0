# SPDX-License-Identifier: Apache-2.0
"""Photos found by local features, by one vector of a network each, or by both.

Each labelled set of $TROUVAILLE_DATA plus all distractors, with all that is the default:
EfficientNet-Lite0 and R-MAC at three scales, the vocabulary that comes with the library. Mean
average precision before and after verification, bytes a photo, milliseconds a query.

python benchmarks/bench_pipelines.py          # a quarter of an hour
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from bench_collection import SETS, learn
from bench_rankings import LEARNED_ON
from harness import record
from trouvaille import Collection, images
from trouvaille.collection.evaluate import evaluate
from trouvaille.collection.settings import PIPELINES
from trouvaille.evaluation import GroundTruth


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="*", default=list(SETS))
    given = parser.parse_args()
    if not os.environ.get("TROUVAILLE_DATA"):
        print("skipped: TROUVAILLE_DATA names no folder of labelled photos")
        return
    data = Path(os.environ["TROUVAILLE_DATA"])
    for tested in given.sets:
        for pipeline in PIPELINES:
            measure(data, tested, pipeline)


def measure(data: Path, tested: str, pipeline: str) -> None:
    truth = GroundTruth.load(data / tested / "gt.json")
    others = images.find_photos(data / "distractors")
    photos = [*(data / tested / name for name in truth.database), *others]
    ids = [*truth.database, *(photo.name for photo in others)]
    with tempfile.TemporaryDirectory() as scratch:
        # The words that come with the library are of these very photos.
        own = tested == LEARNED_ON and pipeline != "global"
        vocabulary = learn(data, tested, 2000, 1024) if own else None
        collection = Collection.create(Path(scratch) / "photos.tv", vocabulary, pipeline=pipeline)
        report = collection.add(photos, ids)
        assert not report.failed
        result = evaluate(collection, truth, data / tested)
        stats = collection.stats()
    record(
        f"{tested} + distractors, {pipeline}",
        {
            "mAP before verification": result.first.mean_ap,
            "mAP": result.verified.mean_ap,
            "P@1": result.verified.precision_at_1,
            "kB a photo": stats["bytes"] / len(photos) / 1000,
            "indexing, ms a photo": 1000 * report.seconds / len(photos),
            "query ms": sum(result.milliseconds.values()),
            **{
                f"{stage} ms": result.milliseconds.get(stage, 0.0)
                for stage in ("extract", "describe")
            },
        },
        table="local features, one vector a photo, or both",
    )


if __name__ == "__main__":
    main()
