# SPDX-License-Identifier: Apache-2.0
"""Local features of real photos of 1024 x 768: time beside the peers, by stage, and its limits.

Photos are those of $TROUVAILLE_DATA: two of the homography sets, enlarged and cut, and four books
of that size. Quality stands in the row of the time: repeatability and matching score (RootSIFT
for all SIFT) on leuven 1-3 (light) and graf 1-2 (viewpoint), as they are, by Mikolajczyk's
protocol.

The limits are measured in the same run, by NumPy: `sgemm` for multiplications and additions, of
which one that does not contract them reaches half; and the reading of memory beyond all caches.
The work of a stage is counted from its loops, vector operations by lane:

- Scale space: a Gaussian of radius R costs 3 R + 1 operations (additions of opposite neighbours,
  multiplications by R + 1 taps, and sums) a pixel and axis; R = max(6, ceil(3.5 sigma)) with the
  sigma that is missing, in pixels of the octave. 8 such layers follow the first in the photo's
  size, 5 in each octave after it, a quarter as large. Each is read and written: 8 bytes a pixel.
- Extrema: 5 differences; 18 operations (comparisons as minima, maxima and signs) a pixel of 3
  responses; 6 layers read, 24 bytes. The photo's size has two octaves.
- Orientation: 26 operations of sampling and 36 of a gradient for each of 256 samples; the scalar
  sums of the histogram are not counted.
- Description: of 1,024 samples 26 to sample, 36 a gradient, 63 to share it among 8 directions; 128
  products of 32 numbers. Pixels lie in the caches: no bytes are counted.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import fmean, median
from typing import Any

import harness

harness.single_thread()

import cv2  # noqa: E402
import numpy as np  # noqa: E402

from trouvaille import _core, features, images  # noqa: E402
from trouvaille.evaluation import matching_score, repeatability  # noqa: E402
from trouvaille.features import Features, ScaleSpace  # noqa: E402

WIDTH, HEIGHT = 1024, 768
MANY = 1_000_000
PAIRS = {"leuven 1-3": ("leuven", 1, 3), "graf 1-2": ("graf", 1, 2)}
Extract = Callable[[Any], Features]


def homography_photo(data: Path, folder: str, k: int) -> Any:
    return images.decode(data / "homography" / folder / f"{k}.jpg", apply_exif=False)


def photos(data: Path) -> list[Any]:
    chosen = [fitted(homography_photo(data, folder, 1)) for folder in ("ubc", "leuven")]
    for path in sorted((data / "smvs_books").glob("*.jpg")):
        gray = images.decode(path)
        if gray.shape == (WIDTH, 765) and len(chosen) < 6:
            chosen.append(np.ascontiguousarray(gray.T))
    return chosen


def fitted(gray: Any) -> Any:
    """Enlarge a photo until it covers 1024 x 768, and cut its middle out."""
    height, width = gray.shape
    scale = max(WIDTH / width, HEIGHT / height)
    size = (math.ceil(width * scale), math.ceil(height * scale))
    big = cv2.resize(gray, size, interpolation=cv2.INTER_CUBIC)
    left, top = (size[0] - WIDTH) // 2, (size[1] - HEIGHT) // 2
    return np.ascontiguousarray(big[top : top + HEIGHT, left : left + WIDTH])


# ---- Contenders: functions of a photo to its features


def opencv_sift(max_features: int) -> Extract:
    """OpenCV's SIFT as it comes: keypoints and floats, which `as_features` converts later."""
    sift = cv2.SIFT_create(nfeatures=max_features)
    return lambda gray: sift.detectAndCompute(gray, None)


def opencv_orb(gray: Any) -> Any:
    return cv2.ORB_create(nfeatures=2000).detectAndCompute(gray, None)


def hesaff(threshold: float, oriented: bool) -> Extract:
    import pyhesaff

    return lambda gray: pyhesaff.detect_feats_in_image(
        gray, threshold=threshold, rotation_invariance=oriented
    )


def as_features(found: Any) -> tuple[Any, Any]:
    """Frames and descriptors of any contender's result; bits unpacked, SIFT as RootSIFT."""
    if isinstance(found, Features):
        return found.frames, found.descriptors
    keypoints, rows = found
    if isinstance(keypoints, np.ndarray):  # pyhesaff's
        sys.path.insert(0, str(Path(__file__).parent / "peers"))
        from hesaff import frames_of

        return frames_of(keypoints).astype(np.float32), root(rows)
    frames, *_ = features.from_keypoints(keypoints)
    if rows.dtype == np.uint8:
        return frames, np.unpackbits(rows, axis=1)
    return frames, root(rows)


def root(rows: Any) -> Any:
    total = np.maximum(rows.sum(axis=1, keepdims=True, dtype=np.float64), 1e-12)
    return np.sqrt(rows / total).astype(np.float32)


# ---- Quality


def pair_quality(data: Path, extract: Extract, pairs: dict[str, Any]) -> dict[str, float]:
    values = {}
    for name, (folder, i, k) in pairs.items():
        first, second = (homography_photo(data, folder, n) for n in (i, k))
        plane = np.loadtxt(data / "homography" / folder / f"H_{i}_{k}")
        sizes = first.shape[::-1], second.shape[::-1]
        (frames1, rows1), (frames2, rows2) = (as_features(extract(p)) for p in (first, second))
        repeated = repeatability(frames1, frames2, plane, *sizes)
        score = matching_score(frames1, rows1, frames2, rows2, plane, *sizes)
        values[f"repeatability {name}"] = repeated.repeatability
        values[f"matching {name}"] = score.matching_score
    return values


def compare(
    name: str,
    data: Path,
    over: list[Any],
    contenders: dict[str, Extract],
    *,
    ours: str,
    threads: int = 1,
    notes: str = "",
    quality: dict[str, Extract] | None = None,  # how the pairs' photos are extracted, if else
) -> None:
    """Time contenders over some photos, and judge each by the pairs."""
    cv2.setNumThreads(threads)
    judged = contenders | (quality or {})

    def numbers(contender: str, results: list[Any]) -> dict[str, float]:
        count = fmean(len(as_features(result)[0]) for result in results)
        return {"features": count, **pair_quality(data, judged[contender], PAIRS)}

    harness.compare(
        name,
        {
            label: (lambda extract=extract: [extract(photo) for photo in over])
            for label, extract in contenders.items()
        },
        ours=ours,
        items=len(over),
        unit="ms/photo",
        quality=numbers,
        repeats=5,
        threads=threads,
        notes=notes,
    )


def whole_extraction(data: Path, over: list[Any], threads: int) -> None:
    def ours(max_features: int) -> Extract:
        return lambda gray: features.sift(gray, max_features=max_features, threads=threads)

    compare(
        "SIFT, 2,000 features, 1024 x 768",
        data,
        over,
        {"ours": ours(2000), "cv2 SIFT": opencv_sift(2000), "cv2 ORB": opencv_orb},
        ours="ours",
        threads=threads,
        notes="ORB for its time: its descriptors are bits, compared as such",
    )
    compare(
        "SIFT, all features, 1024 x 768",
        data,
        over,
        {"ours": ours(MANY), "cv2 SIFT": opencv_sift(0)},
        ours="ours",
        threads=threads,
    )


def hessian_affine(data: Path, threads: int) -> None:
    graf = homography_photo(data, "graf", 1)

    def ours(gray: Any) -> Features:
        space = ScaleSpace(gray, threads=threads)
        found = features.hessian_affine(space, max_features=2000, threads=threads)
        return features.describe_sift(space, found, threads=threads)

    contenders: dict[str, Extract] = {"ours": ours}
    notes = (
        "pyhesaff at the lowest threshold that leaves 2,000 features; upright as it comes; turned, "
        "its patches are turned the wrong way (see bench_repeatability)"
    )
    try:
        import pyhesaff  # noqa: F401
    except ImportError:
        notes = "without pyhesaff, which is not installed"
    else:
        for name, oriented in (("pyhesaff, upright", False), ("pyhesaff, turned", True)):
            contenders[name] = hesaff(lowest_threshold(graf, oriented), oriented)
    compare(
        "Hessian-affine with SIFT, 2,000 features, graf 1, 800 x 640",
        data,
        [graf],
        contenders,
        ours="ours",
        threads=threads,
        notes=notes,
    )


def lowest_threshold(gray: Any, oriented: bool) -> float:
    threshold = 16 / 3
    while len(hesaff(threshold, oriented)(gray)[0]) > 2000:
        threshold *= 1.03
    return threshold


# ---- Description alone


def description(data: Path, over: list[Any]) -> None:
    """Describe OpenCV's keypoints of each photo; each makes a scale space of it."""
    sift = cv2.SIFT_create(nfeatures=2000)

    def theirs(task: tuple[Any, Any]) -> Any:
        return sift.compute(*task)

    def ours(task: tuple[Any, Any]) -> Features:
        gray, keypoints = task
        regions = features.from_keypoints(keypoints)
        return features.describe_sift(ScaleSpace(gray, threads=1), regions, threads=1)

    compare(
        "describe OpenCV's keypoints by SIFT, scale space included, 1024 x 768",
        data,
        [(photo, sift.detect(photo)) for photo in over],
        {"ours": ours, "cv2 SIFT": theirs},
        ours="ours",
        quality={
            "ours": lambda gray: ours((gray, sift.detect(gray))),
            "cv2 SIFT": lambda gray: theirs((gray, sift.detect(gray))),
        },
    )


def cs_lbp(data: Path, over: list[Any]) -> None:
    """Describe our keypoints by either descriptor, in a scale space that is there."""

    def found(gray: Any) -> tuple[ScaleSpace, Any]:
        space = ScaleSpace(gray, threads=1)
        return space, features.dog(space, max_features=2000, threads=1)

    describers = {"CS-LBP": features.cs_lbp, "SIFT": features.describe_sift}
    contenders: dict[str, Extract] = {
        label: (lambda task, f=describe: f(*task, threads=1))
        for label, describe in describers.items()
    }
    compare(
        "describe 2,000 regions, scale space given, 1024 x 768",
        data,
        [found(photo) for photo in over],
        contenders,
        ours="CS-LBP",
        notes="both are ours",
        quality={
            label: (lambda gray, f=extract: f(found(gray))) for label, extract in contenders.items()
        },
    )


# ---- Stages, and the limits of the chip


def stages(gray: Any, threads: int) -> dict[str, tuple[float, int]]:
    """Seconds of each stage of SIFT, 2,000 features, and what it returned: pixels or features.

    Those of one thread are CPU time, which other processes do not change.
    """
    times = {}
    least = 0.04 / 3 * 255
    clock = time.process_time if threads == 1 else time.perf_counter

    def run(stage: str, call: Callable[[], Any], count: Callable[[Any], int]) -> Any:
        start = clock()
        result = call()
        times[stage] = clock() - start, count(result)
        return result

    space = run(
        "scale space", lambda: _core.ScaleSpace(gray, -1, threads), lambda s: s.width * s.height
    )
    frames, responses = run(
        "extrema", lambda: _core.detect_dog(space, least, 10, threads), lambda r: len(r[0])
    )
    kept = run(
        "selection",
        lambda: _core.select(frames, responses, space.width, space.height, 2000, None, False),
        len,
    )
    upright = frames[kept]
    turned, _ = run(
        "orientation", lambda: _core.orient(space, upright, 4, threads), lambda _: len(upright)
    )
    turned = turned[:2000]
    run("description", lambda: _core.describe_sift(space, turned, 3, True, threads), len)
    return times


def missing_sigmas(octave: int) -> list[float]:
    """Of each layer after an octave's first, in its own pixels: what is blurred more."""
    sigmas = [1.6 * 2 ** (min(octave, 0) + i / 3) for i in range(9 if octave < 0 else 6)]
    return [math.sqrt(b**2 - a**2) for a, b in pairwise(sigmas)]


def work() -> dict[str, tuple[float, float, bool]]:
    """Operations and bytes of each stage, a pixel of the photo, or (False) a feature."""
    radii = {o: [max(6, math.ceil(3.5 * sigma)) for sigma in missing_sigmas(o)] for o in (-1, 1)}
    first = [max(6, math.ceil(3.5 * math.sqrt(0.8**2 - 0.35**2)))]
    smaller = 1 / 3  # 1/4 + 1/16 + ...: pixels of all later octaves
    operations = sum(2 * (3 * r + 1) for r in first + radii[-1])
    operations += smaller * sum(2 * (3 * r + 1) for r in radii[1])
    layers = len(first) + len(radii[-1]) + smaller * (len(radii[1]) + 1)
    octaves = 2 + smaller
    return {
        "scale space": (operations, 5 + 8 * layers, True),  # 5: bytes to floats
        "extrema": (octaves * (5 + 3 * 18), octaves * 24, True),
        "selection": (0, 0, False),
        "orientation": (256 * (26 + 36), 0, False),
        "description": (1024 * (26 + 36 + 63) + 128 * 63, 0, False),
    }


def limits() -> tuple[float, float]:
    """Operations and bytes a CPU second of one core, the best of some tries."""
    a = np.random.default_rng(0).random((1536, 1536), np.float32)
    big = np.ones(64 << 20, np.uint8).view(np.float32)

    def best(call: Callable[[], Any]) -> float:
        def seconds() -> float:
            start = time.process_time()
            call()
            return time.process_time() - start

        return min(seconds() for _ in range(15))

    multiply_add = 2 * len(a) ** 3 / best(lambda: a @ a)
    return multiply_add / 2, big.nbytes / best(big.max)


def shares(over: list[Any], threads: int) -> None:
    """Each stage's share of the time, and how far it is from the limits."""
    rounds = []
    for _ in range(7):
        each = [stages(photo, threads) for photo in over]
        rounds.append({stage: [run[stage] for run in each] for stage in each[0]})
    seconds = {stage: median(fmean(t for t, _ in r[stage]) for r in rounds) for stage in rounds[0]}
    counts = {stage: fmean(n for _, n in rounds[0][stage]) for stage in rounds[0]}
    if threads == 1:
        per_second, bytes_a_second = limits()
    for stage, (operations, size, pixels) in work().items():
        values: dict[str, float] = {
            "ms": 1000 * seconds[stage],
            "share": seconds[stage] / sum(seconds.values()),
        }
        if threads == 1 and operations:
            n = counts["scale space"] if pixels else counts[stage]
            values |= {
                "operations a pixel": n * operations / counts["scale space"],
                "bytes a pixel": size,
                "ms, operations alone": 1000 * n * operations / per_second,
                "ms, memory alone": 1000 * n * size / bytes_a_second,
            }
            least = max(values["ms, operations alone"], values["ms, memory alone"])
            values["times the limit"] = values["ms"] / least
        harness.record(
            f"{stage}, SIFT, 2,000 features, 1024 x 768",
            values,
            table="share of time a stage, and the limits of one core",
            threads=threads,
            notes=f"limits: {per_second / 1e9:.0f} G operations/s, {bytes_a_second / 1e9:.0f} GB/s"
            if threads == 1
            else "",
        )


def main() -> None:
    if not os.environ.get("TROUVAILLE_DATA"):
        print("skipped: TROUVAILLE_DATA names no folder of photos")
        return
    data = Path(os.environ["TROUVAILLE_DATA"])
    over = photos(data)
    for threads in (1, 2):
        whole_extraction(data, over, threads)
        hessian_affine(data, threads)
        shares(over, threads)
    description(data, over)
    cs_lbp(data, over)


if __name__ == "__main__":
    main()
