# SPDX-License-Identifier: Apache-2.0
"""Two-view problems with known answers, for the tests of `geometry.estimate`."""

from typing import NamedTuple

import numpy as np
import pytest

import reference

MODELS = ("similarity", "affine", "homography", "fundamental")
MAPS = MODELS[:3]
SAMPLE = {"similarity": 2, "affine": 3, "homography": 4, "fundamental": 7}  # points
FRAMES = {"similarity": 1, "affine": 1, "homography": 2, "fundamental": 3}  # frames
THRESHOLD = 3.0  # the default, px
SIZE = np.array([1024.0, 768.0])
CORNERS = np.array([[0, 0], [1024, 0], [1024, 768], [0, 768.0]])
CAMERA = np.array([[900.0, 0, 512], [0, 900.0, 384], [0, 0, 1]])


class Problem(NamedTuple):
    frames1: np.ndarray
    frames2: np.ndarray
    right: np.ndarray  # bool, one a match
    truth: np.ndarray
    exact: tuple[np.ndarray, np.ndarray]  # points of both images that an answer is judged by

    @property
    def x1(self):
        return self.frames1[:, :, 2].copy()

    @property
    def x2(self):
        return self.frames2[:, :, 2].copy()

    def select(self, chosen):
        parts = (self.frames1[chosen], self.frames2[chosen], self.right[chosen])
        return Problem(*parts, self.truth, self.exact)


def rotations(angles):
    c, s = np.cos(angles), np.sin(angles)
    return np.stack([np.stack([c, -s], -1), np.stack([s, c], -1)], -2)


def random_frames(rng, n):
    scales = np.exp(rng.uniform(np.log(2), np.log(16), n))
    linear = scales[:, None, None] * rotations(rng.uniform(-np.pi, np.pi, n))
    return np.concatenate([linear, rng.uniform(0, SIZE, (n, 2))[:, :, None]], 2)


def random_map(rng, model):
    """Turned by up to 40 degrees, 0.6 to 1.5 times as large, sheared and in perspective."""
    linear = rng.uniform(0.6, 1.5) * rotations(np.radians(rng.uniform(-40, 40)))
    if model != "similarity":
        linear = linear @ (np.eye(2) + rng.uniform(-0.15, 0.15, (2, 2)))
    transform = np.eye(3)
    transform[:2, :2] = linear
    transform[:2, 2] = SIZE / 2 - linear @ SIZE / 2 + rng.uniform(-80, 80, 2)
    if model == "homography":
        transform[2, :2] = rng.uniform(-2e-4, 2e-4, 2)
    return transform


def mapped(transform, points):
    projected = reference.estimate_homogeneous(points) @ transform.T
    return projected[:, :2] / projected[:, 2:]


def mapped_frames(transforms, frames):
    """The frames that the derivative of a map (or of one each) at a centre makes of `frames`."""
    centres = reference.estimate_homogeneous(frames[:, :, 2])
    projected = (transforms @ centres[:, :, None])[:, :, 0]
    image = projected[:, :2] / projected[:, 2:]
    derivative = transforms[..., :2, :2] - image[:, :, None] * transforms[..., 2:, :2]
    derivative = derivative / projected[:, 2, None, None]
    return np.concatenate([derivative @ frames[:, :, :2], image[:, :, None]], 2)


class Cameras(NamedTuple):
    """Two that turn by up to 15 degrees and move; before them, the plane that plane @ X == 7."""

    rotation: np.ndarray
    translation: np.ndarray
    plane: np.ndarray

    @property
    def fundamental(self):
        inverse = np.linalg.inv(CAMERA)
        matrix = inverse.T @ cross(self.translation) @ self.rotation @ inverse
        return matrix / np.linalg.norm(matrix)

    def views(self, rng, n, planar=0.0):
        """Frames of n surface patches in both images, a share of them on the plane."""
        first = second = np.empty((0, 2, 3))
        inverse = np.linalg.inv(CAMERA)
        while len(first) < n:
            frames = random_frames(rng, 2 * n)
            on_plane = rng.random(2 * n) < planar
            tilted = np.c_[rng.uniform(-0.5, 0.5, (2 * n, 2)), np.ones(2 * n)]
            normals = np.where(on_plane[:, None], self.plane, tilted)
            rays = reference.estimate_homogeneous(frames[:, :, 2]) @ inverse.T
            offsets = (rays * normals).sum(1) * rng.uniform(4, 10, 2 * n)
            offsets = np.where(on_plane, 7, offsets)[:, None, None]
            moved = self.rotation + self.translation[:, None] * normals[:, None] / offsets
            images = mapped_frames(CAMERA @ moved @ inverse, frames)
            seen = ((images[:, :, 2] >= 0) & (images[:, :, 2] <= SIZE)).all(1)
            first, second = np.r_[first, frames[seen]], np.r_[second, images[seen]]
        return first[:n], second[:n]


def random_cameras(rng):
    axis = rng.normal(size=3)
    rotation = rodrigues(axis / np.linalg.norm(axis) * np.radians(rng.uniform(3, 15)))
    direction = rng.normal(size=3) * [1, 1, 0.5]
    translation = rng.uniform(0.5, 1.5) * direction / np.linalg.norm(direction)
    return Cameras(rotation, translation, np.array([*rng.uniform(-0.5, 0.5, 2), 1.0]))


def cross(v):
    x, y, z = v
    return np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])


def rodrigues(v):
    angle = np.linalg.norm(v)
    k = cross(v / angle)
    return np.eye(3) + np.sin(angle) * k + (1 - np.cos(angle)) * k @ k


def problem(rng, model, n=300, share=0.5, noise=1.0, planar=0.0, frame_noise=0.0, truth=None):
    """n matches, a `share` of them right, in a random order.

    Right matches have `noise` px in image 2, and their frames there are turned and scaled by
    `frame_noise` times 12 degrees and exp(0.25).
    """
    if model == "fundamental":
        cameras = random_cameras(rng)
        truth = cameras.fundamental
        frames1, frames2 = cameras.views(rng, n, planar)
        exact = tuple(frames[:, :, 2] for frames in cameras.views(rng, 100))
    else:
        truth = random_map(rng, model) if truth is None else truth
        frames1 = random_frames(rng, n)
        frames2 = mapped_frames(truth, frames1)
        exact = CORNERS, mapped(truth, CORNERS)
    right = rng.permutation(n) < round(n * share)
    spin = rotations(np.radians(frame_noise * rng.normal(0, 12, n)))
    spin *= np.exp(frame_noise * rng.normal(0, 0.25, n))[:, None, None]
    frames2[:, :, :2] = spin @ frames2[:, :, :2]
    frames2[:, :, 2] += rng.normal(0, 1, (n, 2)) * noise
    frames2[~right] = random_frames(rng, int((~right).sum()))
    return Problem(frames1, frames2, right, truth, exact)


def clear_problem(rng, model, threshold=THRESHOLD, **options):
    """One whose right matches are within half the threshold, and the others beyond twice it."""
    made = problem(rng, model, **{"noise": 0.1 * threshold, **options})
    residuals = reference.estimate_residuals(model, made.truth, made.x1, made.x2)
    return made.select(np.where(made.right, residuals < threshold / 2, residuals > 2 * threshold))


def error(model, transform, exact):
    """Pixels in image 2: mean over the corners, or median distance to the epipolar lines."""
    one, two = exact
    if not np.isfinite(transform).all():
        return np.inf
    if model != "fundamental":
        return np.linalg.norm(mapped(transform, one) - two, axis=1).mean()
    lines = reference.estimate_homogeneous(one) @ transform.T
    distances = np.abs((reference.estimate_homogeneous(two) * lines).sum(1))
    return np.median(distances / np.linalg.norm(lines[:, :2], axis=1))


def limit(model):
    """An error below this is a success, in pixels."""
    return 1.5 if model == "fundamental" else 5.0


def simulated_quality(rng, right):
    n = len(right)
    return np.where(right, rng.beta(4, 2, n), rng.beta(2, 4, n))


def assert_same_bits(a, b):
    for x, y in zip(a, b, strict=True):
        assert np.asarray(x).tobytes() == np.asarray(y).tobytes()


def assert_consistent(model, found, x1, x2, threshold=THRESHOLD, frames=False, masked=False):
    """What holds of every answer: types, and a mask that says what the model says.

    From `frames`, fewer matches are enough; `masked`: some matches may have been left out.
    """
    assert found.model.shape == (3, 3)
    assert found.model.dtype == np.float64
    assert found.inliers.shape == (len(x1),)
    assert found.inliers.dtype == bool
    assert found.n_inliers == found.inliers.sum()
    assert type(found.n_inliers) is type(found.trials) is int
    assert type(found.score) is float
    if found.reason:
        assert np.isnan(found.model).all()
        assert (found.n_inliers, found.score) == (0, 0.0)
        return
    assert found.score > 0
    assert found.n_inliers >= (FRAMES if frames else SAMPLE)[model]
    residuals = reference.estimate_residuals(model, found.model, x1, x2)
    near = residuals <= threshold
    if model == "homography":  # only one side of the horizon is seen
        sides = reference.estimate_sides(found.model, x1)
        assert len(set(sides[found.inliers])) == 1
        near &= sides == sides[found.inliers][0]
    borderline = np.abs(residuals - threshold) < 1e-6 * threshold
    if masked:
        near = found.inliers & near
    np.testing.assert_array_equal(found.inliers | borderline, near | borderline)
    if model == "fundamental":
        assert np.linalg.norm(found.model) == pytest.approx(1, abs=1e-12)
        assert np.linalg.svd(found.model)[1][2] < 1e-12
    elif model != "homography":
        np.testing.assert_array_equal(found.model[2], [0, 0, 1])
    elif abs(found.model[2, 2] - 1) > 1e-15:
        assert np.linalg.norm(found.model) == pytest.approx(1, abs=1e-12)


def assert_right(model, inliers, right):
    """The mask of a clear problem. Wrong matches may lie near a good enough epipolar line."""
    if model == "fundamental":
        assert inliers[right].mean() > 0.9
        assert inliers[~right].mean() < 0.15
    else:
        np.testing.assert_array_equal(inliers, right)


def successes(model, cases, run):
    """The share of problems that are solved; each answer is checked as well."""
    solved = 0
    for case in cases:
        found = run(case)
        assert_consistent(model, found, case.x1, case.x2)
        solved += error(model, found.model, case.exact) < limit(model)
    return solved / len(cases)
