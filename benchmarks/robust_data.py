# SPDX-License-Identifier: Apache-2.0
"""Two-view problems with known answers, for robust estimators of one transform.

A problem has n matches, `inliers` of them right. Points of image 1 are exact, those of image 2
carry noise of 1 px, and a wrong match has a random place in image 2. A match's simulated quality
is drawn from Beta(4, 2) where it is right and from Beta(2, 4) where it is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

SIZE = np.array([1024.0, 768.0])
CORNERS = np.array([[0, 0], [1024, 0], [1024, 768], [0, 768.0]])
CAMERA = np.array([[900.0, 0, 512], [0, 900.0, 384], [0, 0, 1]])
NOISE = 1.0  # px
MAP_SUCCESS = 5.0  # px, mean over the corners
EPIPOLAR_SUCCESS = 1.5  # px, median distance of exact correspondences to their epipolar lines


@dataclass(frozen=True)
class Setting:
    model: str = "homography"
    n: int = 300
    inliers: float = 0.5  # the share of right matches; 0 is pure noise
    planar: float = 0.0  # of the right matches, the share on one plane (fundamental)
    ordered: bool = False  # matches come best first, and their quality is known

    @property
    def name(self) -> str:
        plane = f", {self.planar:.0%} of them on a plane" if self.planar else ""
        order = "ordered" if self.ordered else "unordered"
        share = f"{self.inliers:.0%} inliers" if self.inliers else "no inliers"
        return f"{self.model}, {self.n:,} matches, {share}{plane}, {order}"


class Problem(NamedTuple):
    x1: Any
    x2: Any
    quality: Any | None
    right: Any  # bool, one a match
    truth: Any  # (3, 3)
    exact: tuple[Any, Any]  # points of both images that the answer is judged by


def problems(setting: Setting, count: int, seed: int = 1000) -> list[Problem]:
    return [problem(setting, np.random.default_rng(seed + i)) for i in range(count)]


def problem(setting: Setting, rng: np.random.Generator) -> Problem:
    n = setting.n
    if setting.model == "fundamental":
        truth, x1, x2, exact = _two_views(rng, n, setting.planar)
    else:
        truth = random_map(rng, setting.model)
        x1 = rng.uniform(0, SIZE, (n, 2))
        x2 = mapped(truth, x1)
        exact = CORNERS, mapped(truth, CORNERS)
    x2 = x2 + rng.normal(0, NOISE, (n, 2))
    right = rng.permutation(n) < round(n * setting.inliers)
    x2[~right] = rng.uniform(0, SIZE, ((~right).sum(), 2))
    quality = np.where(right, rng.beta(4, 2, n), rng.beta(2, 4, n))
    if not setting.ordered:
        return Problem(x1, x2, None, right, truth, exact)
    order = np.argsort(-quality)
    return Problem(x1[order], x2[order], quality[order], right[order], truth, exact)


def random_map(rng: np.random.Generator, model: str) -> Any:
    """Turned by up to 40 degrees, 0.6 to 1.5 times as large, sheared and in perspective."""
    angle = np.radians(rng.uniform(-40, 40))
    c, s = np.cos(angle), np.sin(angle)
    linear = rng.uniform(0.6, 1.5) * np.array([[c, -s], [s, c]])
    if model != "similarity":
        linear = linear @ (np.eye(2) + rng.uniform(-0.15, 0.15, (2, 2)))
    transform = np.eye(3)
    transform[:2, :2] = linear
    transform[:2, 2] = SIZE / 2 - linear @ SIZE / 2 + rng.uniform(-80, 80, 2)
    if model == "homography":
        transform[2, :2] = rng.uniform(-2e-4, 2e-4, 2)
    return transform


def mapped(transform: Any, points: Any) -> Any:
    projected = np.c_[points, np.ones(len(points))] @ np.asarray(transform).T
    return projected[:, :2] / projected[:, 2:]


def _two_views(rng: np.random.Generator, n: int, planar: float) -> tuple[Any, Any, Any, Any]:
    """Points before two cameras that turn by up to 15 degrees and move by up to a fifth of them."""
    axis = rng.normal(size=3)
    rotation = _rotation(axis / np.linalg.norm(axis) * np.radians(rng.uniform(3, 15)))
    direction = rng.normal(size=3) * [1, 1, 0.5]
    translation = rng.uniform(0.5, 1.5) * direction / np.linalg.norm(direction)
    normal = np.array([*rng.uniform(-0.5, 0.5, 2), 1.0])  # the plane is normal @ X == 7

    def seen(count: int, on_plane: Any) -> tuple[Any, Any]:
        """`count` points within both images."""
        one, two = np.empty((count, 2)), np.empty((count, 2))
        missing = np.ones(count, bool)
        while missing.any():
            left = rng.uniform(0, SIZE, (missing.sum(), 2))
            ray = np.c_[left, np.ones(len(left))] @ np.linalg.inv(CAMERA).T
            depth = np.where(on_plane[missing], 7 / (ray @ normal), rng.uniform(4, 10, len(left)))
            other = (ray * depth[:, None] @ rotation.T + translation) @ CAMERA.T
            right = other[:, :2] / other[:, 2:]
            one[missing], two[missing] = left, right
            missing[missing] = ~((right >= 0) & (right <= SIZE)).all(1)
        return one, two

    x, y, z = translation
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    inverse = np.linalg.inv(CAMERA)
    truth = inverse.T @ cross @ rotation @ inverse
    x1, x2 = seen(n, rng.random(n) < planar)
    return truth / np.linalg.norm(truth), x1, x2, seen(200, np.zeros(200, bool))


def _rotation(v: Any) -> Any:
    """The matrix that turns about v by |v| (Rodrigues)."""
    angle = np.linalg.norm(v)
    x, y, z = v / angle
    k = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * k + (1 - np.cos(angle)) * k @ k


def error(model: str, transform: Any | None, exact: tuple[Any, Any]) -> float:
    """Pixels in image 2: mean over the corners, or median distance to the epipolar lines."""
    if transform is None or not np.isfinite(transform).all() or not np.any(transform):
        return np.inf
    one, two = exact
    with np.errstate(divide="ignore", invalid="ignore"):
        if model != "fundamental":
            errors = np.linalg.norm(mapped(transform, one) - two, axis=1)
            return float(np.nan_to_num(errors.mean(), nan=np.inf))
        lines = np.c_[one, np.ones(len(one))] @ np.asarray(transform).T
        distances = (lines[:, :2] * two).sum(1) + lines[:, 2]
        distances = np.abs(distances) / np.linalg.norm(lines[:, :2], axis=1)
    return float(np.nan_to_num(np.median(distances), nan=np.inf))


def limit(model: str) -> float:
    """An error below this is a success."""
    return EPIPOLAR_SUCCESS if model == "fundamental" else MAP_SUCCESS
