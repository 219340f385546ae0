# SPDX-License-Identifier: Apache-2.0
"""What ranks photos best before verification, and after it: words, or signatures of features.

Each labelled set of $TROUVAILLE_DATA plus all distractors, with 20,000 words learned on the
distractors and the *other* sets, with words that the collection learns of its own photos, and with
those that come with the library (learned on the groceries, which are left out there): mean average
precision by the first stage and after verification, bytes a feature of what the first stage reads,
milliseconds a query on one thread.

python benchmarks/bench_rankings.py                       # ten minutes
python benchmarks/bench_rankings.py smvs_landmarks --words given
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness import record, single_thread

single_thread()

from bench_collection import SETS, index, learn  # noqa: E402

FEATURES, SIZE = 1000, 800

WORDS = {
    "given": "words of other photos",
    "own": "words of its own photos",
    "ready": "words that come with the library",
}
LEARNED_ON = "grocery_packages"  # those that come with the library

# What a collection is made with, and whether bursts are damped in its searches.
CONTENDERS: dict[str, tuple[dict[str, Any], bool]] = {
    "tf-idf": ({"ranking": "tfidf"}, True),
    "Hamming embedding, 64 bits, bursts not damped": (_64 := {"signature_bits": 64}, False),
    "Hamming embedding, 64 bits": (_64, True),
    "Hamming embedding, 128 bits, bursts not damped": (_128 := {"signature_bits": 128}, False),
    "Hamming embedding, 128 bits": (_128, True),
    "Hamming embedding, 128 bits, no descriptors kept": (_128 | {"keep_descriptors": False}, True),
    "ASMK, 128 bits": ({"ranking": "asmk"}, True),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", nargs="*", default=list(SETS), help="labelled sets")
    parser.add_argument("--words", nargs="*", choices=WORDS, default=list(WORDS))
    parser.add_argument("--rankings", nargs="*", choices=CONTENDERS, default=list(CONTENDERS))
    given = parser.parse_args()
    if not os.environ.get("TROUVAILLE_DATA"):
        print("skipped: TROUVAILLE_DATA names no folder of labelled photos")
        return
    data = Path(os.environ["TROUVAILLE_DATA"])
    for tested in given.sets:
        for words in given.words:
            if words == "ready" and tested == LEARNED_ON:
                continue
            vocabulary = learn(data, tested, FEATURES, SIZE) if words == "given" else words
            for name, row in measured(data, tested, vocabulary, given.rankings):
                record(
                    f"{tested} + distractors, {WORDS[words]}: {name}",
                    row,
                    table="what ranks photos, before and after verification",
                    threads=1,
                    notes=f"{FEATURES:,} features, longest side {SIZE}",
                )


def measured(
    data: Path, tested: str, vocabulary: Any, rankings: list[str]
) -> Iterator[tuple[str, dict[str, float]]]:
    from trouvaille.collection.evaluate import evaluate

    before: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name in rankings:
            options, damped = CONTENDERS[name]
            if options != before:
                folder = Path(scratch) / f"{len(list(Path(scratch).iterdir()))}.tv"
                collection, truth, _, _ = index(
                    folder, data, tested, vocabulary, FEATURES, SIZE, **options
                )
            before = options
            collection.close()
            if not damped:
                damp_no_bursts(collection)
            result = evaluate(collection, truth, data / tested, threads=1)
            stats, times = collection.stats(), result.milliseconds
            first = "postings" if options.get("ranking") == "tfidf" else "signatures"
            yield (
                name,
                {
                    "mAP": result.first.mean_ap,
                    "mAP verified": result.verified.mean_ap,
                    "P@1": result.first.precision_at_1,
                    "P@1 verified": result.verified.precision_at_1,
                    "bytes a feature": stats[f"bytes_{first}"] / stats["features"],
                    "words ms": times["words"],
                    "search ms": times["search"],
                    "after extraction ms": sum(v for k, v in times.items() if k != "extract"),
                },
            )


def damp_no_bursts(collection: Any) -> None:
    """Let searches of a collection count each match of a feature alike."""
    from trouvaille.collection.ranker import HammingRanker
    from trouvaille.collection.signing import embedding_of

    searcher = collection._current()
    searcher._ranker = HammingRanker(
        searcher.snapshot.segments,
        searcher._idf,
        embedding_of(searcher.snapshot),
        burstiness=None,
    )


if __name__ == "__main__":
    sys.exit(main())
