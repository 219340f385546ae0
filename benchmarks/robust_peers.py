# SPDX-License-Identifier: Apache-2.0
"""Robust estimators of one transform behind one signature: ours and those that pip installs.

`contenders(model)` are functions (x1, x2, quality, max_trials) -> (transform or None, mask). All
run on one thread at 3 px and a confidence of 0.999, for at most max_trials samples. Where `quality`
is known, matches come best first: RHO and PROSAC take that as given, whatever the order is.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Any

import cv2
import numpy as np

from trouvaille import geometry

THRESHOLD, CONFIDENCE = 3.0, 0.999
PEERS = ("poselib", "pydegensac", "pycolmap")

Answer = tuple[Any | None, Any]  # the transform, and a mask of inliers
Contender = Callable[[Any, Any, Any | None, int], Answer]


def contenders(model: str) -> dict[str, Contender]:
    """Every estimator of `model` that is installed; says which are not."""
    found: dict[str, Contender] = {"ours": ours(model), **_opencv(model)}
    for name, adapt in zip(PEERS, (_poselib, _pydegensac, _pycolmap), strict=True):
        try:
            module = importlib.import_module(name)
        except ImportError:
            print(f"# no {name}: pip install {name}")
            continue
        found |= adapt(module, model)
    return found


def ours(model: str) -> Contender:
    def run(x1: Any, x2: Any, quality: Any | None, max_trials: int) -> Answer:
        found = geometry.estimate(
            model,
            x1,
            x2,
            quality=quality,
            residual_threshold=THRESHOLD,
            max_trials=max_trials,
            confidence=CONFIDENCE,
        )
        return found.model, found.inliers

    return run


def _opencv(model: str) -> dict[str, Contender]:
    usac = ("USAC_FAST", "USAC_PROSAC", "USAC_MAGSAC", "USAC_ACCURATE")
    methods = {
        "homography": ("RANSAC", "RHO", *usac),
        "affine": ("RANSAC", *usac),
        "similarity": ("RANSAC",),
        "fundamental": ("FM_RANSAC", *usac),
    }
    adapt = {
        "homography": _opencv_homography,
        "affine": _opencv_affine,
        "similarity": _opencv_affine,
        "fundamental": _opencv_fundamental,
    }
    return {
        f"cv2 {method.removeprefix('FM_')}": adapt[model](model, getattr(cv2, method))
        for method in methods[model]
    }


def _opencv_homography(_: str, method: int) -> Contender:
    def run(x1: Any, x2: Any, _: Any | None, max_trials: int) -> Answer:
        return cv2.findHomography(
            x1, x2, method, THRESHOLD, maxIters=max_trials, confidence=CONFIDENCE
        )

    return run


def _opencv_affine(model: str, method: int) -> Contender:
    find = cv2.estimateAffine2D if model == "affine" else cv2.estimateAffinePartial2D

    def run(x1: Any, x2: Any, _: Any | None, max_trials: int) -> Answer:
        transform, mask = find(
            x1,
            x2,
            method=method,
            ransacReprojThreshold=THRESHOLD,
            maxIters=max_trials,
            confidence=CONFIDENCE,
        )
        return None if transform is None else np.vstack([transform, [0, 0, 1]]), mask

    return run


def _opencv_fundamental(_: str, method: int) -> Contender:
    def run(x1: Any, x2: Any, _: Any | None, max_trials: int) -> Answer:
        transform, mask = cv2.findFundamentalMat(x1, x2, method, THRESHOLD, CONFIDENCE, max_trials)
        return None if transform is None else transform[:3], mask  # seven points: up to 3 stacked

    return run


def _poselib(module: ModuleType, model: str) -> dict[str, Contender]:
    if model not in ("homography", "fundamental"):
        return {}
    find = getattr(module, f"estimate_{model}")

    def adapted(progressive: bool, min_trials: int) -> Contender:
        def run(x1: Any, x2: Any, _: Any | None, max_trials: int) -> Answer:
            options = {
                "max_reproj_error": THRESHOLD,
                "max_epipolar_error": THRESHOLD,
                "max_iterations": max_trials,
                "min_iterations": min_trials,
                "success_prob": CONFIDENCE,
                "progressive_sampling": progressive,
            }
            transform, found = find(x1, x2, options, {})
            return transform, found["inliers"]

        return run

    return {"poselib": adapted(False, 100), "poselib PROSAC": adapted(True, 20)}


def _pydegensac(module: ModuleType, model: str) -> dict[str, Contender]:
    names = {"homography": "findHomography", "fundamental": "findFundamentalMatrix"}
    if model not in names:
        return {}
    find = getattr(module, names[model])

    def run(x1: Any, x2: Any, _: Any | None, max_trials: int) -> Answer:
        transform, mask = find(x1, x2, THRESHOLD, CONFIDENCE, max_trials)
        return transform if np.any(transform) else None, mask

    return {"pydegensac": run}


def _pycolmap(module: ModuleType, model: str) -> dict[str, Contender]:
    names = {
        "homography": ("estimate_homography_matrix", "H"),
        "fundamental": ("estimate_fundamental_matrix", "F"),
        "affine": ("estimate_affine2d_robust", "tgt_from_src"),
    }
    if model not in names:
        return {}
    name, key = names[model]
    find = getattr(module, name)

    def run(x1: Any, x2: Any, _: Any | None, max_trials: int) -> Answer:
        options = module.RANSACOptions()
        options.max_error = THRESHOLD
        options.confidence = CONFIDENCE
        options.min_num_trials = min(100, max_trials)
        options.max_num_trials = max_trials
        found = find(x1, x2, options)
        if found is None:
            return None, None
        transform = np.asarray(found[key])
        if len(transform) == 2:
            transform = np.vstack([transform, [0, 0, 1]])
        return transform, found["inlier_mask"]

    return {"pycolmap": run}
