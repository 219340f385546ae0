# SPDX-License-Identifier: Apache-2.0
"""Matched SIFT features of pairs of real photos, of the same object and of different ones.

For each query of a labelled set of $TROUVAILLE_DATA: its first positives, and other photos of the
set that are neither positive nor junk. Tentative matches are nearest neighbours that pass a
lenient ratio test, the best ratio first, so that most of a different object's are wrong.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from trouvaille.features import Features, extract

MAX_FEATURES, RATIO = 1000, 0.9
POSITIVES, NEGATIVES = 2, 5


def match(query: Features, other: Features) -> Any:
    """Pairs of rows, the best ratio first."""
    a, b = (f.descriptors.astype(np.float32) for f in (query, other))
    squares = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T
    nearest = np.argpartition(squares, 1, axis=1)[:, :2]  # in order
    first, second = np.take_along_axis(squares, nearest, axis=1).T
    ratio = np.sqrt(np.maximum(first, 0) / np.maximum(second, 1))
    kept = np.flatnonzero(ratio < RATIO)
    kept = kept[np.argsort(ratio[kept], kind="stable")]
    return np.c_[kept, nearest[kept, 0]].astype(np.int32)


class PhotoPairs:
    """`shortlists`, one a query, as `verify` takes them; and pair by pair, in the same order,
    `points` (the matched centres) and `same` (whether they show the same object)."""

    def __init__(self, folder: Path, n_queries: int, seed: int = 0) -> None:
        truth = json.loads((folder / "gt.json").read_text())
        rng = np.random.default_rng(seed)
        features = cache(lambda name: self._extract(folder / name))
        self.shortlists: list[dict[str, Any]] = []
        self.points: list[tuple[Any, Any]] = []
        same: list[bool] = []
        for query in truth["queries"][:n_queries]:
            positives = [name for name in query["positives"] if name != query["image"]][:POSITIVES]
            never = {*query["positives"], *query["junk"], query["image"]}
            others = [name for name in truth["database"] if name not in never]
            negatives = [others[i] for i in rng.permutation(len(others))[:NEGATIVES]]
            self._add(features(query["image"]), [features(n) for n in positives + negatives])
            same += [True] * len(positives) + [False] * len(negatives)
        self.same = np.array(same)

    @staticmethod
    def _extract(photo: Path) -> Features:
        found = extract(photo, max_features=MAX_FEATURES, threads=1)
        assert found.features is not None, found.error
        return found.features

    def _add(self, query: Features, candidates: list[Features]) -> None:
        matches = [match(query, candidate) for candidate in candidates]
        for candidate, m in zip(candidates, matches, strict=True):
            p, q = query.frames[m[:, 0], :, 2], candidate.frames[m[:, 1], :, 2]
            self.points.append((p.astype(np.float64), q.astype(np.float64)))
        self.shortlists.append(
            {
                "query_frames": query.frames,
                "candidate_frames": np.concatenate([c.frames for c in candidates]),
                "frame_offsets": np.cumsum([0, *(len(c.frames) for c in candidates)]),
                "matches": np.concatenate(matches),
                "match_offsets": np.cumsum([0, *map(len, matches)]),
            }
        )
