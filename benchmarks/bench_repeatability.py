# SPDX-License-Identifier: Apache-2.0
"""Repeatability and matching score of detectors on the pairs of $TROUVAILLE_DATA/homography.

Each contender gives its strongest features of every photo. The first photo of a folder is compared
with the others, by Mikolajczyk's protocol (trouvaille.evaluation), at an overlap error of 40 %. The
descriptors of peers are SIFT, and are compared as SIFT and as RootSIFT; ours are RootSIFT.

A peer runs as a script of peers/, some with an interpreter of their own: the one named by
$TROUVAILLE_CONTRIB_PYTHON has opencv-contrib-python, that of $TROUVAILLE_KORNIA_PYTHON has kornia,
torch and OpenCV. Their features are kept for the next run where $TROUVAILLE_PEER_FEATURES names a
folder.

python benchmarks/bench_repeatability.py                  # all contenders, 2,000 features
python benchmarks/bench_repeatability.py sift --features 1000 2000
python benchmarks/bench_repeatability.py --saved FOLDER   # of FOLDER/<folder>_<k>.npz; no rows
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import numpy as np

from harness import record
from trouvaille import features, images
from trouvaille.evaluation import matching_score, repeatability

FOLDERS = ("bark", "bikes", "graf", "leuven", "ubc")
PAIRS = range(2, 7)  # the first photo with each of these
CONTRIB, KORNIA = "TROUVAILLE_CONTRIB_PYTHON", "TROUVAILLE_KORNIA_PYTHON"


class Peer(NamedTuple):
    script: str  # of the folder peers
    variant: str = "default"
    python: str | None = None  # the variable that names its interpreter; this one by default
    needs: str = ""  # the module, or a part of it, that the interpreter must have
    notes: str = ""


PEERS = {
    "OpenCV SIFT": Peer("opencv_sift", needs="cv2"),
    "pyhesaff": Peer(
        "hesaff",
        needs="pyhesaff",
        notes="rotation_invariance on: its descriptors are turned the wrong way",
    ),
    "pyhesaff mended": Peer(
        "hesaff", "mended", needs="pyhesaff", notes="described again, turned the right way"
    ),
    "pyhesaff upright": Peer("hesaff", "upright", needs="pyhesaff", notes="as it comes"),
    "Harris-Laplace (OpenCV contrib)": Peer(
        "harris_laplace",
        python=CONTRIB,
        needs="cv2.xfeatures2d",
        notes="default thresholds, which leave fewer features; described by SIFT, upright",
    ),
    "Harris-Laplace, many (OpenCV contrib)": Peer(
        "harris_laplace",
        "many",
        python=CONTRIB,
        needs="cv2.xfeatures2d",
        notes="lower thresholds; described by SIFT, upright",
    ),
    "Hessian-affine (kornia)": Peer("kornia_hessian_affine", python=KORNIA, needs="kornia"),
    "Hessian-affine, doubled (kornia)": Peer(
        "kornia_hessian_affine",
        "doubled",
        python=KORNIA,
        needs="kornia",
        notes="from the photo at twice its size, as SIFT",
    ),
}


# Ours: each gives `Features` of a photo and a number of features.
def described(detect: Callable[..., features.Regions], **options: object):
    """Return a contender: a detector's regions, described by SIFT."""

    def run(photo: np.ndarray, max_features: int) -> features.Features:
        space = features.ScaleSpace(photo)
        return features.describe_sift(space, detect(space, max_features=max_features, **options))

    return run


OURS: dict[str, Callable[..., features.Features]] = {
    "sift": features.sift,
    "hessian": described(features.hessian),
    "harris": described(features.harris),
    "hessian_affine": described(features.hessian_affine),
    "hessian_affine, one orientation": described(features.hessian_affine, max_orientations=1),
    "hessian_affine, upright": described(features.hessian_affine, orientation="upright"),
    "harris_affine": described(features.harris_affine),
}

# What a contender has for a folder and a number: frames, and descriptors by their kind.
Found = tuple[np.ndarray, dict[str, np.ndarray]]


def root(descriptors: np.ndarray) -> np.ndarray:
    total = np.maximum(descriptors.sum(axis=1, keepdims=True, dtype=np.float64), 1e-12)
    return np.sqrt(descriptors / total).astype(np.float32)


@cache
def photo(data: Path, folder: str, k: int) -> np.ndarray:
    return images.decode(data / folder / f"{k}.jpg", apply_exif=False)


def found_by_ours(data: Path, name: str, folder: str, k: int, max_features: int) -> Found:
    found = OURS[name](photo(data, folder, k), max_features=max_features)
    return found.frames, {"RootSIFT": found.descriptors}


def found_by_peer(saved: Path, folder: str, k: int) -> Found:
    with np.load(saved / f"{folder}_{k}.npz") as file:
        frames, sift = file["frames"], file["descriptors"]
    return frames, {"SIFT": sift, "RootSIFT": root(sift)}


def run_peer(peer: Peer, data: Path, kept: Path, max_features: int) -> tuple[Path | None, str]:
    """Let a peer write its features, unless they are there: where, and what a reader must know."""
    saved = kept / f"{peer.script}_{peer.variant}_{max_features}"
    version = saved / "version.txt"  # written last
    if not version.exists():
        python = os.environ.get(peer.python) if peer.python else sys.executable
        if not python:
            return None, f"skipped: {peer.python} names no interpreter that has {peer.needs}"
        module = peer.needs.split(".")[0]
        look = [python, "-c", f"import {module}; {peer.needs}; print({module}.__version__)"]
        done = subprocess.run(look, capture_output=True, text=True, env=other_environment())
        if done.returncode != 0:
            return None, f"skipped: its interpreter has no {peer.needs}"
        script = Path(__file__).parent / "peers" / f"{peer.script}.py"
        photos = [data / folder / f"{k}.jpg" for folder in FOLDERS for k in (1, *PAIRS)]
        subprocess.run(
            [python, script, peer.variant, str(max_features), saved, *photos],
            check=True,
            env=other_environment(),
        )
        version.write_text(f"{module} {done.stdout.strip()}", encoding="utf-8")
    return saved, "; ".join(filter(None, [version.read_text(encoding="utf-8"), peer.notes]))


def other_environment() -> dict[str, str]:
    """Without our modules, which another interpreter cannot load."""
    return {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}


def measure(data: Path, found: Callable[[str, int], Found]) -> dict[str, dict[str, list[float]]]:
    """Each measure of each folder: a number a pair."""
    results: dict[str, dict[str, list[float]]] = {}
    for folder in FOLDERS:
        columns: dict[str, list[float]] = results.setdefault(folder, {})
        size1 = photo(data, folder, 1).shape[::-1]
        frames1, descriptors1 = found(folder, 1)
        for k in PAIRS:
            size2 = photo(data, folder, k).shape[::-1]
            plane = np.loadtxt(data / folder / f"H_1_{k}"), size1, size2
            frames2, descriptors2 = found(folder, k)
            repeated = repeatability(frames1, frames2, *plane)
            columns.setdefault("features", []).append(min(len(frames1), len(frames2)))
            columns.setdefault("repeatability", []).append(known(repeated.repeatability))
            columns.setdefault("correspondences", []).append(repeated.n_correspondences)
            for kind, rows1 in descriptors1.items():
                score = matching_score(frames1, rows1, frames2, descriptors2[kind], *plane)
                columns.setdefault(f"matching {kind}", []).append(known(score.matching_score))
                columns.setdefault(f"matches {kind}", []).append(score.n_correct)
    return results


def known(ratio: float) -> float:
    return 0.0 if math.isnan(ratio) else ratio  # nothing in the common part: nothing repeats


def means(results: dict[str, dict[str, list[float]]], column: str) -> dict[str, float]:
    """Mean over the pairs, of each folder and of all."""
    of_folder = {
        folder: fmean(columns[column]) for folder, columns in results.items() if column in columns
    }
    return {**of_folder, "all": fmean(of_folder.values())} if of_folder else {}


def record_all(
    name: str, results: dict[str, dict[str, list[float]]], max_features: int, notes: str
) -> None:
    with_size = f"{name}, {max_features:,} features"
    for folder, columns in results.items():
        record(
            f"{folder}: {with_size}",
            {
                f"1-{k} {column}": values[i]
                for column, values in columns.items()
                if column in ("repeatability", "correspondences", "matching RootSIFT")
                for i, k in enumerate(PAIRS)
            },
            table=f"{folder}, each pair",
        )
    record(
        f"repeatability: {with_size}",
        {
            **means(results, "repeatability"),
            "correspondences": means(results, "correspondences")["all"],
            "features": means(results, "features")["all"],
        },
        table="repeatability, mean over the pairs",
        notes=notes,
    )
    for kind in ("SIFT", "RootSIFT"):
        if score := means(results, f"matching {kind}"):
            record(
                f"matching score: {with_size}, {kind}",
                {**score, "correct matches": means(results, f"matches {kind}")["all"]},
                table="matching score, mean over the pairs",
            )


def print_summary(name: str, results: dict[str, dict[str, list[float]]]) -> None:
    for column in dict.fromkeys(c for columns in results.values() for c in columns):
        values = means(results, column)
        digits = 0 if column in ("features", "correspondences") or "matches" in column else 3
        cells = "  ".join(f"{folder} {value:.{digits}f}" for folder, value in values.items())
        print(f"{name:<40} {column:<18} {cells}", flush=True)


def saved_features(folder: Path) -> Callable[[str, int], Found]:
    def found(name: str, k: int) -> Found:
        with np.load(folder / f"{name}_{k}.npz") as file:
            return file["frames"], {"as saved": file["descriptors"]}

    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("contenders", nargs="*", help="some of: " + ", ".join([*OURS, *PEERS]))
    parser.add_argument("--features", type=int, nargs="*", default=[2000])
    parser.add_argument("--saved", type=Path, help="a folder of features, instead of contenders")
    arguments = parser.parse_args()
    if not os.environ.get("TROUVAILLE_DATA"):
        print("skipped: TROUVAILLE_DATA names no folder that has the homography sets")
        sys.exit(0)
    data = Path(os.environ["TROUVAILLE_DATA"]) / "homography"
    if arguments.saved:
        print_summary(arguments.saved.name, measure(data, saved_features(arguments.saved)))
        return
    chosen = arguments.contenders or [*OURS, *PEERS]
    if unknown := [name for name in chosen if name not in OURS | PEERS]:
        parser.error(f"no contender {unknown[0]!r}; there are {', '.join(OURS | PEERS)}")
    with tempfile.TemporaryDirectory() as scratch:
        kept = Path(os.environ.get("TROUVAILLE_PEER_FEATURES") or scratch)
        for max_features in arguments.features:
            for name in chosen:
                run(name, data, kept, max_features)


def run(name: str, data: Path, kept: Path, max_features: int) -> None:
    if name in OURS:
        results = measure(data, lambda f, k: found_by_ours(data, name, f, k, max_features))
        notes = ""
    else:
        saved, notes = run_peer(PEERS[name], data, kept, max_features)
        if saved is None:
            table = "repeatability, mean over the pairs"
            record(
                f"repeatability: {name}, {max_features:,} features", {}, table=table, notes=notes
            )
            return
        results = measure(data, lambda f, k: found_by_peer(saved, f, k))
    shown = f"ours: {name}" if name in OURS else name
    record_all(shown, results, max_features, notes)
    print_summary(shown, results)


if __name__ == "__main__":
    main()
