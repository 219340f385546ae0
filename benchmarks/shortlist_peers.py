# SPDX-License-Identifier: Apache-2.0
"""Robust estimators of other libraries, one pair of photos after the other.

Each is a function from matched centres, (p, q), to (a 3 x 3 or 2 x 3 matrix or None, a mask of
inliers or None). They see centres alone, as they can use no more. PROSAC takes matches best first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import cv2
import numpy as np
import poselib
import pydegensac

THRESHOLD, TRIALS, CONFIDENCE = 3.0, 2000, 0.999  # 3 px suits them best

Points = tuple[Any, Any]
Answer = tuple[Any, Any]


def opencv(method: int, p: Any, q: Any) -> Answer:
    if len(p) < 4:
        return None, None
    found: Answer = cv2.findHomography(
        p, q, method, THRESHOLD, maxIters=TRIALS, confidence=CONFIDENCE
    )
    return found


def opencv_affine(p: Any, q: Any) -> Answer:
    if len(p) < 3:
        return None, None
    found: Answer = cv2.estimateAffine2D(
        p,
        q,
        method=cv2.RANSAC,
        ransacReprojThreshold=THRESHOLD,
        maxIters=TRIALS,
        confidence=CONFIDENCE,
    )
    return found


def pose_lib(p: Any, q: Any) -> Answer:
    if len(p) < 4:
        return None, None
    options = {
        "max_reproj_error": THRESHOLD,
        "max_iterations": TRIALS,
        "min_iterations": 100,
        "success_prob": CONFIDENCE,
    }
    transform, info = poselib.estimate_homography(p, q, options, {})
    return transform, np.asarray(info["inliers"])


def degensac(p: Any, q: Any) -> Answer:
    if len(p) < 4:
        return None, None
    found: Answer = pydegensac.findHomography(p, q, THRESHOLD, CONFIDENCE, TRIALS, seed=1)
    return found


PEERS: dict[str, Callable[[Any, Any], Answer]] = {
    "cv2 RHO": partial(opencv, cv2.RHO),
    "cv2 USAC_FAST": partial(opencv, cv2.USAC_FAST),
    "cv2 USAC_PROSAC": partial(opencv, cv2.USAC_PROSAC),
    "cv2 USAC_MAGSAC": partial(opencv, cv2.USAC_MAGSAC),
    "cv2 estimateAffine2D": opencv_affine,
    "poselib": pose_lib,
    "pydegensac": degensac,
}


def run(peer: str, pairs: Sequence[Points], threads: int = 1) -> list[Answer]:
    """The answers of a peer; by a pool of Python's threads if there are several."""
    estimate = PEERS[peer]
    if threads == 1:
        return [estimate(p, q) for p, q in pairs]

    def part(start: int) -> list[Answer]:
        return [estimate(p, q) for p, q in pairs[start::threads]]

    with ThreadPoolExecutor(threads) as pool:
        parts = list(pool.map(part, range(threads)))
    return [parts[i % threads][i // threads] for i in range(len(pairs))]
