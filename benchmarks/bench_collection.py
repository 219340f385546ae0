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
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from harness import compare, record

SETS = ("smvs_books", "smvs_landmarks", "grocery_packages")
NUM_WORDS = 20_000
# What exhaustive matching reaches (every pair, ratio test, homography) with 1,000 features at 800.
EXHAUSTIVE = {"smvs_books": 0.948, "smvs_landmarks": 0.242, "grocery_packages": 0.673}

# Opens a collection, asks it three queries, and prints the memory that this took, by kind, in kB.
MEMORY = """
import sys
from trouvaille import Collection, features, images

def used(kind):
    status = open("/proc/self/status").read()
    return int(status.split(kind + ":")[1].split()[0])

path, *queries = sys.argv[1:]
pixels = [images.decode(query) for query in queries]
features.sift(pixels[0])
before = [used("RssAnon"), used("RssFile")]
collection = Collection.open(path)
for query in pixels:
    collection.search(query, len(collection), threads=1)
print(used("RssAnon") - before[0], used("RssFile") - before[1])
"""


def memory_of(folder: Path, queries: list[Path]) -> tuple[int, int]:
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(folder), *map(str, queries)],
        check=True,
        capture_output=True,
        text=True,
    )
    anonymous, mapped = map(int, done.stdout.split())
    return anonymous, mapped


def learn(data: Path, tested: str, max_features: int, max_size: int, **chosen: str):
    """Learn the vocabulary for `tested` from photos of everything else."""
    from trouvaille.words import Vocabulary

    photos = [data / "distractors", *(data / other for other in SETS if other != tested)]
    return Vocabulary.learn(
        photos, NUM_WORDS, max_features=max_features, max_size=max_size, **chosen
    )


def index(
    folder: Path,
    data: Path,
    tested: str,
    vocabulary,
    max_features: int,
    max_size: int,
    **chosen: str,
):
    from trouvaille import Collection
    from trouvaille.evaluation import GroundTruth

    truth = GroundTruth.load(data / tested / "gt.json")
    collection = Collection.create(
        folder, vocabulary, max_features=max_features, max_size=max_size, **chosen
    )
    from trouvaille import images

    others = images.find_photos(data / "distractors")
    photos = [*(data / tested / name for name in truth.database), *others]
    # In one call: words of the collection's own are learned on all of them.
    report = collection.add(photos, [*truth.database, *(photo.name for photo in others)])
    assert all(row.status == "ok" for row in report)
    return collection, truth, list(report), report.seconds


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
        queries = [data / tested / query.image for query in truth.queries[:3]]
        anonymous, mapped = memory_of(folder, queries)
    name = f"{tested} + distractors, {max_features:,} features, longest side {max_size:,}"
    record(
        name,
        {
            "mAP words": result.first.mean_ap,
            "P@1 words": result.first.precision_at_1,
            "mAP verified": result.verified.mean_ap,
            "P@1 verified": result.verified.precision_at_1,
            **({"mAP exhaustive": EXHAUSTIVE[tested]} if max_features == 1000 else {}),
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
        threads=1,
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
            "kB a photo in memory": anonymous / n,
            "kB a photo mapped and touched": mapped / n,
        },
        table="cost of indexing",
    )


def growth(data: Path) -> None:
    """Ask ever larger collections: a query's time after extraction, by stage, on one thread."""
    from trouvaille import Collection, images
    from trouvaille.words import Vocabulary

    vocabulary = Vocabulary.learn(data / "smvs_books", NUM_WORDS, max_features=1000, max_size=800)
    photos = [
        p for name in ("distractors", "smvs_landmarks") for p in images.find_photos(data / name)
    ]
    queries = [data / "smvs_landmarks" / f"{i:03}_query.jpg" for i in range(1, 31)]
    with tempfile.TemporaryDirectory() as scratch:
        collection = Collection.create(
            Path(scratch) / "photos.tv", vocabulary, max_features=1000, max_size=800
        )
        for size in (100, 400, 1600):
            collection.add(*_more(photos, len(collection), size))
            hits = [collection.search(query, 10, threads=1) for query in queries]
            stages = {
                f"{stage} ms": 1000 * median(hit.seconds[stage] for hit in hits)
                for stage in hits[0].seconds
                if stage != "extract"
            }
            total = 1000 * median(
                sum(s for stage, s in hit.seconds.items() if stage != "extract") for hit in hits
            )
            record(
                f"{size:,} photos",
                {**stages, "whole query after extraction ms": total},
                table="how a query's time grows with the collection, one thread, median of 30",
                threads=1,
                notes="beyond 402 photos: crops of the same photos, three quarters of each side",
            )


def _more(photos: list[Path], begin: int, end: int):
    """Pixels and ids of photos begin to end: the photos, then crops from their four corners."""
    from trouvaille import images

    chosen, ids = [], []
    for number in range(begin, end):
        pixels = images.decode(photos[number % len(photos)])
        if corner := number // len(photos):
            height, width = (3 * side // 4 for side in pixels.shape)
            top, left = (corner - 1) // 2, (corner - 1) % 2
            pixels = pixels[-height:] if top else pixels[:height]
            pixels = pixels[:, -width:] if left else pixels[:, :width]
        chosen.append(pixels)
        ids.append(str(number))
    return chosen, ids


def both_cores(data: Path) -> None:
    """Extract a folder with one worker and with one a core."""
    from trouvaille import features, images

    photos = images.find_photos(data / "smvs_books")[:48]

    def run(workers: int):
        return list(features.extract_all(photos, workers=workers, max_features=1000, max_size=800))

    compare(
        "extract 48 photos, 1,000 features, longest side 800",
        {"two workers": lambda: run(2), "one worker": lambda: run(1)},
        ours="two workers",
        items=len(photos),
        unit="ms/photo",
        repeats=3,
        threads=2,
    )


def indexing(data: Path, max_features: int, max_size: int) -> None:
    """Index a folder, files to a committed collection, with our SIFT and with OpenCV's.

    Words cost the same wherever they lie, so they are descriptors drawn from photos.
    """
    import numpy as np

    from trouvaille import Collection, features, images
    from trouvaille.words import Vocabulary

    photos = [
        photo
        for name in ("smvs_books", "distractors")
        for photo in images.find_photos(data / name)[::4]
    ]

    def vocabulary(detector: str) -> Vocabulary:
        options = {"max_features": max_features, "max_size": max_size}
        found = features.extract_all(photos, detector=detector, **options)
        rows = np.concatenate([one.features.descriptors for one in found])
        chosen = np.random.default_rng(0).permutation(len(rows))[:NUM_WORDS]
        return Vocabulary(rows[np.sort(chosen)], features.fingerprint(detector))

    def contender(detector: str):
        words = vocabulary(detector)

        def run() -> int:
            with tempfile.TemporaryDirectory() as scratch:
                collection = Collection.create(
                    Path(scratch) / "photos.tv",
                    words,
                    detector=detector,
                    max_features=max_features,
                    max_size=max_size,
                )
                return sum(row.n_features for row in collection.add(photos, list(map(str, photos))))

        return run

    row = compare(
        f"index {len(photos)} photos, {max_features:,} features, longest side {max_size:,}",
        {"ours": contender("sift"), "OpenCV's SIFT": contender("opencv_sift")},
        items=len(photos),
        unit="ms/photo",
        quality=lambda _, n_features: {"features a photo": n_features / len(photos)},
        repeats=3,
        threads=2,
        notes="decoding, features, words, writing and committing; on all cores",
    )
    record(
        row["name"],
        {
            f"photos a second, {name}": 1000 / contender["median"]
            for name, contender in row["contenders"].items()
        },
        table="photos a second, end to end",
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="*", default=list(SETS), help="labelled sets")
    parser.add_argument("--features", type=int, nargs="*", default=[1000, 2000])
    arguments = parser.parse_args()
    if not os.environ.get("TROUVAILLE_DATA"):
        print("skipped: TROUVAILLE_DATA names no folder of labelled photos")
        sys.exit(0)
    data_folder = Path(os.environ["TROUVAILLE_DATA"])
    both_cores(data_folder)
    for features in arguments.features:
        indexing(data_folder, features, {1000: 800, 2000: 1024}[features])
    growth(data_folder)
    for features in arguments.features:
        for tested_set in arguments.sets:
            measure(data_folder, tested_set, features, {1000: 800, 2000: 1024}[features])
