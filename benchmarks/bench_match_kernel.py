# SPDX-License-Identifier: Apache-2.0
"""Hamming embedding and the match kernels beside tf-idf: quality on real photos, memory and time.

Each labelled set of $TROUVAILLE_DATA plus all distractors, with words, projections and medians
learned on the distractors and the *other* sets; no verification. Then a search by ASMK beside the
published package's, of the same words, and how fast long lists are scanned. Features and words are
kept between runs where TROUVAILLE_BENCH_DATA names a folder: they take most of the time.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from harness import compare, record, single_thread

single_thread()

import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

from sift_data import kept_file  # noqa: E402
from trouvaille import features  # noqa: E402
from trouvaille.evaluation import GroundTruth, mean_average_precision  # noqa: E402
from trouvaille.index import ASMK, SMK, HammingIndex, InvertedFile  # noqa: E402
from trouvaille.words import HammingEmbedding, KMeans, assign  # noqa: E402

SETS = ("smvs_books", "smvs_landmarks", "grocery_packages")
MANY_WORDS = 30_000  # of which the nearest are found approximately while they are learned
MAX_FEATURES, MAX_SIZE = 1_000, 800
QUERY_WORDS = 5


@dataclass(frozen=True)
class Photos:
    """Descriptors of photos, and the nearest words of each."""

    names: list[str]
    values: NDArray[np.uint8]
    offsets: NDArray[np.int64]
    words: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.names)

    def of(self, array: NDArray[Any]) -> list[NDArray[Any]]:
        """An array of a row a descriptor, by photo."""
        return np.split(array, self.offsets[1:-1])


def kept(name: str, make: Callable[[], dict[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    path = kept_file(f"match_kernel_{name}.npz")
    if path is not None and path.is_file():
        with np.load(path) as arrays:
            return dict(arrays)
    arrays = make()
    if path is not None:
        aside = path.with_name(f".{os.getpid()}.{path.name}")
        np.savez(aside, **arrays)
        aside.replace(path)
    return arrays


def photos_of(data: Path, folder: str) -> Photos:
    def make() -> dict[str, NDArray[Any]]:
        paths = sorted((data / folder).glob("*.jpg"))
        found = [
            extraction.features.descriptors
            for extraction in features.extract_all(
                paths, max_features=MAX_FEATURES, max_size=MAX_SIZE, workers=1
            )
        ]
        return {
            "names": np.array([path.name for path in paths]),
            "values": np.concatenate(found),
            "offsets": np.cumsum([0, *map(len, found)]),
        }

    arrays = kept(f"{folder}_{MAX_FEATURES}", make)
    return Photos(arrays["names"].tolist(), arrays["values"], arrays["offsets"])


def chosen(photos: Photos, names: Sequence[str]) -> Photos:
    numbers = [photos.names.index(name) for name in names]
    parts = photos.of(photos.values)
    values = [parts[i] for i in numbers]
    return Photos(list(names), np.concatenate(values), np.cumsum([0, *map(len, values)]))


def joined(a: Photos, b: Photos) -> Photos:
    return Photos(
        a.names + b.names,
        np.concatenate([a.values, b.values]),
        np.concatenate([a.offsets, a.offsets[-1] + b.offsets[1:]]),
    )


def with_words(photos: Photos, words: NDArray[np.uint8], k: int) -> Photos:
    found = assign(photos.values, words, k, threads=1).ids
    return Photos(photos.names, photos.values, photos.offsets, found)


class Method:
    """An index of photos by their words, and the ranking of each query."""

    def __init__(self, index: Any, add: Any, queries: list[Any]) -> None:
        self.index, self.queries = index, queries
        index.add(add) if not isinstance(add, tuple) else index.add(*add)

    def search(self, query: Any, k: int) -> NDArray[np.int64]:
        return self.index.search(query, k, threads=1).ids[0]


def tf_idf(num_words: int, database: Photos, queries: Photos) -> Method:
    def rows(photos: Photos) -> NDArray[Any]:
        import scipy.sparse

        words = photos.words[:, 0]
        shape = (len(photos), num_words)
        return scipy.sparse.csr_array((np.ones(len(words)), words, photos.offsets), shape=shape)

    index = InvertedFile(num_words, metric="cosine", weighting="tfidf", burstiness="sqrt")
    matrix = rows(queries)
    return Method(index, rows(database), [matrix[[i]] for i in range(len(queries))])


def hamming(
    num_words: int,
    database: Photos,
    queries: Photos,
    embedding: HammingEmbedding,
    burstiness: str | None,
    query_words: int = 1,
    threshold: int | None = None,
) -> Method:
    def signed(photos: Photos, k: int) -> list[Any]:
        words = photos.words[:, :k]
        signatures = embedding.transform(photos.values, words, threads=1)
        return list(zip(photos.of(words), photos.of(signatures), strict=True))

    index = HammingIndex(num_words, embedding.n_bits, burstiness=burstiness, threshold=threshold)
    asked = [[query] for query in signed(queries, query_words)]
    return Method(index, signed(database, 1), asked)


class Kernel(Method):
    """SMK or ASMK, given the words of descriptors."""

    def __init__(self, index: ASMK | SMK, database: Photos, queries: Photos) -> None:
        self.index = index
        index.add((database.values, database.offsets), nearest=database.words[:, 0], threads=1)
        k = index.query_words
        words = queries.words[:, :k]
        self.queries = list(zip(queries.of(queries.values), queries.of(words), strict=True))

    def search(self, query: Any, k: int) -> NDArray[np.int64]:
        values, words = query
        return self.index.search([values], k, nearest=words, threads=1).ids[0]


def bytes_of(method: Method, n_features: int) -> float:
    if isinstance(method.index, InvertedFile):
        return method.index.stats().postings_bytes / n_features
    stats = method.index.stats()
    return stats.bytes_a_posting * stats.n_postings / n_features


def measure(method: Method, database: Photos, truth: GroundTruth) -> dict[str, float]:
    """Mean average precision, without the query itself; bytes; and the median time of a query."""
    rankings, seconds = [], []
    method.search(method.queries[0], 1)
    for query, asked in zip(truth.queries, method.queries, strict=True):
        start = time.perf_counter()
        ids = method.search(asked, len(database))
        seconds.append(time.perf_counter() - start)
        rankings.append([database.names[i] for i in ids if database.names[i] != query.image])
    return {
        "mAP": mean_average_precision(
            rankings,
            [query.positives for query in truth.queries],
            [query.junk for query in truth.queries],
        ),
        "bytes a feature": bytes_of(method, len(database.values)),
        "ms a query": 1000 * float(np.median(seconds)),
    }


def vocabulary_of(others: Photos, tested: str, num_words: int) -> dict[str, NDArray[Any]]:
    """Words learned on other photos, and which of them are nearest to these photos' descriptors."""

    def make() -> dict[str, NDArray[Any]]:
        algorithm = "approximate" if num_words > MANY_WORDS else "exact"
        model = KMeans(num_words, algorithm=algorithm, iterations=6, threads=1)
        words = model.fit(others.values).cluster_centers_
        nearest = assign(others.values, words, 1, threads=1).ids[:, 0]
        return {"words": words, "nearest": nearest.astype(np.int32)}

    return kept(f"{tested}_{num_words}_vocabulary", make)


def quality(data: Path, tested: str, num_words: int) -> tuple[NDArray[np.uint8], Photos, Photos]:
    truth = GroundTruth.load(data / tested / "gt.json")
    everything = {name: photos_of(data, name) for name in (*SETS, "distractors")}
    others = everything["distractors"]
    for name in SETS:
        if name != tested:
            others = joined(others, everything[name])
    learned = vocabulary_of(others, tested, num_words)
    words, nearest = learned["words"], learned["nearest"]
    database = joined(chosen(everything[tested], truth.database), everything["distractors"])
    database = with_words(database, words, 1)
    queries = chosen(everything[tested], [query.image for query in truth.queries])
    start = time.perf_counter()
    queries = with_words(queries, words, QUERY_WORDS)
    milliseconds = 1000 * (time.perf_counter() - start) / len(queries)
    embeddings = {
        n_bits: HammingEmbedding(n_bits).fit(others.values, nearest, num_words=num_words, threads=1)
        for n_bits in (64, 128)
    }
    he = partial(hamming, num_words, database, queries)
    methods: dict[str, Callable[[], Method]] = {
        "tf-idf": lambda: tf_idf(num_words, database, queries),
        "HE, 64 bits": lambda: he(embeddings[64], None),
        "HE, 64 bits, bursts within photos": lambda: he(embeddings[64], "intra"),
        "HE, 64 bits, bursts": lambda: he(embeddings[64], "both"),
        "HE, 64 bits, bursts, 5 words": lambda: he(embeddings[64], "both", QUERY_WORDS),
        "HE, 128 bits, bursts, 5 words": lambda: he(embeddings[128], "both", QUERY_WORDS),
        "SMK": lambda: Kernel(SMK(words), database, queries),
        "ASMK": lambda: Kernel(ASMK(words), database, queries),
        "ASMK, no idf": lambda: Kernel(ASMK(words, idf=None), database, queries),
    }
    for name, method in methods.items():
        record(
            f"{tested} + distractors, {num_words:,} words, {name}",
            measure(method(), database, truth),
            table="tf-idf, Hamming embedding and match kernels, before verification",
            threads=1,
            notes=f"{num_words:,} words of other sets, {MAX_FEATURES:,} features; a query's words "
            f"and HE's signatures are given; {QUERY_WORDS} words: {milliseconds:.1f} ms a query",
        )
    return words, database, queries


def speed(words: NDArray[np.uint8], database: Photos, queries: Photos) -> None:
    """ASMK from the same descriptors and words, one query after another, beside the package's."""
    from asmk import inverted_file, kernel

    index = ASMK(words)
    index.add((database.values, database.offsets), nearest=database.words[:, 0], threads=1)
    codebook = SimpleNamespace(centroids=words.astype(np.float32))
    peer = kernel.ASMKKernel(codebook, binary=True)
    of_each = np.repeat(np.arange(len(database)), np.diff(database.offsets))
    held = inverted_file.IVF.initialize_empty(codebook_size=len(words), use_idf=True)
    held.add(*peer.aggregate(database.values.astype(np.float32), database.words, of_each))
    similarity = partial(peer.similarity, alpha=3.0, similarity_threshold=0.0)
    some = list(zip(queries.of(queries.values), queries.of(queries.words), strict=True))[:50]
    floats = [(x.astype(np.float32), nearest) for x, nearest in some]
    k = len(database)

    def ours() -> list[Any]:
        return [index.search([x], k, nearest=nearest, threads=1) for x, nearest in some]

    def theirs() -> list[Any]:
        return [
            held.search(*peer.aggregate_image(x, nearest), similarity_func=similarity, topk=k)
            for x, nearest in floats
        ]

    expected = [ids[scores > 0][:100] for ids, scores in theirs()]

    def same(_: str, found: list[Any]) -> dict[str, float]:
        ids = [one.ids[0] if hasattr(one, "ids") else one[0] for one in found]
        pairs = zip(ids, expected, strict=True)
        return {"same_first_100": float(np.mean([(a[: len(b)] == b).mean() for a, b in pairs]))}

    compare(
        f"ASMK, {len(database)} photos, {len(database.values):,} features, {len(words):,} words",
        {"ours": ours, "asmk": theirs},
        items=len(some),
        unit="ms/query",
        quality=same,
        notes="aggregation and search; the words of the query's features are given",
    )


def scans(n: int, n_bits: int) -> None:
    """Lists much longer than the cache: how many bytes of signatures a second."""
    from trouvaille.index.signature_block import SignatureRows

    rng = np.random.default_rng(0)
    n_bytes, photos = n_bits // 8, 20_000
    signatures = rng.integers(0, 256, (n, n_bytes), dtype=np.uint8)
    offsets = np.linspace(0, n, photos + 1).astype(np.int64)
    rows = SignatureRows(offsets, rng.integers(0, 1_000, n).astype(np.uint32), signatures)
    query = [(np.arange(1_000), signatures[:1_000])]  # every list once
    codes = signatures.view(np.uint64)
    out = np.empty_like(codes)
    for threshold, finding in ((None, ""), (0, ", finding nothing")):
        index = HammingIndex(1_000, n_bits, threshold=threshold, idf=None, burstiness=None)
        index._add(rows, None)
        compare(
            f"scan of {n:,} signatures of {n_bits} bits, in 1,000 lists{finding}",
            {
                "ours": partial(index.search, query, 10, threads=1),
                "read by NumPy": codes.sum,
                "XOR by NumPy": partial(np.bitwise_xor, codes, codes[0], out=out),
            },
            items=n,
            unit="ns/signature",
            notes="the peers read the same bytes, and find nothing",
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="*", default=list(SETS), help="labelled sets")
    parser.add_argument(
        "--words", type=int, nargs="*", default=[20_000, 65_536], help="none: scans"
    )
    arguments = parser.parse_args()
    if not os.environ.get("TROUVAILLE_DATA"):
        print("skipped: TROUVAILLE_DATA names no folder of labelled photos")
        sys.exit(0)
    for number in arguments.words:
        for tested_set in arguments.sets:
            last = quality(Path(os.environ["TROUVAILLE_DATA"]), tested_set, number)
    if arguments.words and arguments.sets:
        speed(*last)
    for bits in (64, 128):
        scans(8_000_000, bits)
