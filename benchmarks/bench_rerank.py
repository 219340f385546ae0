# SPDX-License-Identifier: Apache-2.0
"""Shortlists of real photos, re-ranked by ours and by the strongest robust estimators.

Each labelled set of $TROUVAILLE_DATA plus all distractors, indexed as in bench_collection. A
query's first 100 photos by words are matched as `Collection.search` does it; every contender is
given the same matches, those of the greatest weight first (as PROSAC wants them), on one thread.
Photos that it verifies come first, by their inliers' number or weight; the others keep the words'
order. (A query that verifies nothing is not asked again at a smaller size, as a collection does.)

Two figures of each: mAP by the collection's own rule, which verifies what chance does not explain
(with the contender's own threshold) and ranks by weight; and by the best of all rules, chosen with
the answers known, so that a peer loses nothing by a rule that was made for ours. Beside them: how
many photos of something else the collection's rule verifies.

python benchmarks/bench_rerank.py
python benchmarks/bench_rerank.py smvs_books --only affine "cv2 USAC_MAGSAC"
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import harness

harness.single_thread()

import cv2  # noqa: E402
import numpy as np  # noqa: E402
import poselib  # noqa: E402

from bench_collection import SETS, index, learn  # noqa: E402
from trouvaille import geometry, images  # noqa: E402
from trouvaille.collection.query import Query  # noqa: E402
from trouvaille.collection.searcher import (  # noqa: E402
    RESIDUAL_THRESHOLD,
    Searcher,
    by_chance,
    without,
)
from trouvaille.collection.settings import Settings  # noqa: E402
from trouvaille.collection.storage import Storage  # noqa: E402
from trouvaille.evaluation import GroundTruth  # noqa: E402

FEATURES, SIZE, VERIFIED = 1000, 800, 100
PEER_THRESHOLD, TRIALS, CONFIDENCE = 5.0, 2000, 0.999
MODELS = ("affine", "similarity", "homography")
MIN_INLIERS = (4, 5, 6, 8, 10, 12, 15, 20)


class Candidate(NamedTuple):
    """A photo of the shortlist, with the centres and weights of its matches."""

    id: str
    area: int
    query_points: Any
    points: Any
    weights: Any


class Shortlist(NamedTuple):
    """What one query gives every contender to verify, and the whole ranking by words."""

    ranking: list[str]
    arguments: dict[str, Any]  # of geometry.verify
    candidates: list[Candidate]


Masks = list[Any]  # of inliers, one a candidate
Contender = Callable[[Shortlist], Masks]


def shortlists(folder: Path, truth: GroundTruth, photos: Path) -> list[Shortlist]:
    storage = Storage.open(folder)
    settings = Settings.from_dict(storage.snapshot.settings)
    searcher = Searcher(storage.snapshot, settings)
    found = []
    for asked in truth.queries:
        query = Query.of(images.load_gray(photos / asked.image), None, settings)
        found.append(shortlist(searcher, query, asked.image))
    return found


def shortlist(searcher: Searcher, asked: Query, own: str) -> Shortlist:
    query = asked.features
    words, n_photos = searcher.words(query, 1), searcher.snapshot.n_images
    ranking = searcher.rank(asked, words, n_photos, 1)
    numbers = without(ranking, searcher.numbers([own]), n_photos).numbers
    ids = [searcher.row(int(number)).id for number in numbers]
    numbers = numbers[:VERIFIED]
    matched, weights = searcher.match(query, words, numbers, 1)
    photo = np.repeat(np.arange(len(numbers)), np.diff(matched.offsets))
    order = np.lexsort((-weights, photo))
    matches, weights = matched.matches[order], weights[order]
    frames = searcher.frames(numbers)
    candidates = []
    for i, row in enumerate(searcher.row(int(number)) for number in numbers):
        rows = slice(*matched.offsets[i : i + 2])
        area = row.work_width * row.work_height
        left, right = centres(query.frames, matches[rows, 0]), centres(frames[i], matches[rows, 1])
        candidates.append(Candidate(row.id, area, left, right, weights[rows]))
    arguments = {
        "query_frames": query.frames,
        "candidate_frames": np.concatenate(frames),
        "frame_offsets": np.cumsum([0, *map(len, frames)]),
        "matches": matches,
        "match_offsets": matched.offsets,
        "weights": weights,
    }
    return Shortlist(ids, arguments, candidates)


def centres(frames: Any, chosen: Any) -> Any:
    return np.ascontiguousarray(frames[chosen, :, 2], np.float64)


def ours(model: str) -> Contender:
    def run(given: Shortlist) -> Masks:
        found = geometry.verify(
            **given.arguments, model=model, residual_threshold=RESIDUAL_THRESHOLD, threads=1
        )
        return np.split(found.inliers, given.arguments["match_offsets"][1:-1])

    return run


def one_by_one(find: Callable[[Any, Any], Any]) -> Contender:
    """Of a function of two photos' points, which returns a mask of inliers or None."""

    def run(given: Shortlist) -> Masks:
        masks = []
        for one in given.candidates:
            mask = find(one.query_points, one.points) if len(one.points) >= 4 else None
            found = mask is not None
            masks.append(np.ravel(mask).astype(bool) if found else np.zeros(len(one.points), bool))
        return masks

    return run


def opencv(method: int) -> Contender:
    options = {"maxIters": TRIALS, "confidence": CONFIDENCE}
    return one_by_one(
        lambda x1, x2: cv2.findHomography(x1, x2, method, PEER_THRESHOLD, **options)[1]
    )


def pose_lib() -> Contender:
    options = {
        "max_reproj_error": PEER_THRESHOLD,
        "max_iterations": TRIALS,
        "min_iterations": 100,
        "success_prob": CONFIDENCE,
    }
    return one_by_one(lambda x1, x2: poselib.estimate_homography(x1, x2, options, {})[1]["inliers"])


CONTENDERS: dict[str, Contender] = {
    **{model: ours(model) for model in MODELS},
    "cv2 USAC_MAGSAC": opencv(cv2.USAC_MAGSAC),
    "cv2 USAC_PROSAC": opencv(cv2.USAC_PROSAC),
    "poselib": pose_lib(),
}


def threshold_of(name: str) -> float:
    return RESIDUAL_THRESHOLD if name in MODELS else PEER_THRESHOLD


Rule = Callable[[Candidate, Any], bool]  # of a candidate and its inliers: whether it is verified


def beyond_chance(threshold: float) -> Rule:
    return lambda one, mask: not by_chance(one.points, mask, one.area, threshold)


def at_least(n: int) -> Rule:
    return lambda _, mask: np.count_nonzero(mask) >= n


def reranked(case: Shortlist, masks: Masks, rule: Rule, weighted: bool) -> list[str]:
    scores = {
        one.id: float(one.weights[mask].sum()) if weighted else np.count_nonzero(mask)
        for one, mask in zip(case.candidates, masks, strict=True)
        if rule(one, mask)
    }
    first = sorted(scores, key=lambda id: -scores[id])  # equal ones keep the words' order
    return first + [id for id in case.ranking if id not in scores]


def mean_ap(
    truth: GroundTruth, cases: Sequence[Shortlist], answers: list[Masks], rule: Rule, weighted: bool
) -> float:
    return truth.mean_average_precision(
        reranked(case, masks, rule, weighted) for case, masks in zip(cases, answers, strict=True)
    )


def quality(
    truth: GroundTruth, cases: Sequence[Shortlist], answers: list[Masks], threshold: float
) -> tuple[dict[str, float], str]:
    """The two figures, and by which rule the better one is."""
    collections = beyond_chance(threshold)
    rules = {"beyond chance": collections, **{f"{n} inliers": at_least(n) for n in MIN_INLIERS}}
    found = {
        f"{name}, by {'weight' if weighted else 'number'}": mean_ap(
            truth, cases, answers, rule, weighted
        )
        for name, rule in rules.items()
        for weighted in (True, False)
    }
    best = max(found, key=lambda name: found[name])
    wrong = sum(
        collections(one, mask) and one.id not in query.positives | query.ignored
        for case, masks, query in zip(cases, answers, truth.queries, strict=True)
        for one, mask in zip(case.candidates, masks, strict=True)
    )
    figures = {
        "mAP": found["beyond chance, by weight"],
        "mAP by the best rule": found[best],
        "wrong photos verified a query": wrong / len(cases),
    }
    return figures, f"{best} ({found[best]:.4f})"


def measure(data: Path, tested: str, names: Sequence[str]) -> None:
    vocabulary = learn(data, tested, FEATURES, SIZE)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "photos.tv"
        _, truth, _, _ = index(folder, data, tested, vocabulary, FEATURES, SIZE)
        cases = shortlists(folder, truth, data / tested)
    race(tested, truth, cases, names)


def race(tested: str, truth: GroundTruth, cases: Sequence[Shortlist], names: Sequence[str]) -> None:
    figures, best = {}, []
    for name in names:
        answers = [CONTENDERS[name](case) for case in cases]
        figures[name], rule = quality(truth, cases, answers, threshold_of(name))
        best.append(f"{name} {rule}")
    by_words = truth.mean_average_precision(case.ranking for case in cases)
    n_matches = statistics.fmean(len(one.points) for case in cases for one in case.candidates)
    harness.compare(
        f"{tested} + distractors, {VERIFIED} photos a query",
        {name: lambda run=CONTENDERS[name]: [run(case) for case in cases] for name in names},
        ours=names[0],
        items=len(cases),
        unit="ms/query",
        quality=lambda name, _: figures[name],
        repeats=5,
        max_seconds=300,
        notes=f"mAP by words {by_words:.4f}; {n_matches:.0f} matches a photo; ours at "
        f"{RESIDUAL_THRESHOLD:g} px, peers at {PEER_THRESHOLD:g} px, at most {TRIALS:,} "
        f"trials, confidence {CONFIDENCE}; the best rules: {'; '.join(best)}",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", nargs="*", default=list(SETS), help="labelled sets")
    parser.add_argument("--only", nargs="+", metavar="contender", choices=list(CONTENDERS))
    arguments = parser.parse_args()
    if not os.environ.get("TROUVAILLE_DATA"):
        print("skipped: TROUVAILLE_DATA names no folder of labelled photos")
        sys.exit(0)
    for tested in arguments.sets:
        names = arguments.only or list(CONTENDERS)
        measure(Path(os.environ["TROUVAILLE_DATA"]), tested, names)


if __name__ == "__main__":
    main()
