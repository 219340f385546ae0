# SPDX-License-Identifier: Apache-2.0
"""Robust estimators of one transform: success, inliers and time, on the same synthetic problems.

Every contender solves the same problems, twenty in a row before the next one's turn, each round
beginning with another one; the slow stop after a few rounds. The time of the whole Python call
counts, as its median over the problems: that of code which is warm. "cold": every contender has
one problem before the next one's turn, which finds its code out of the cache. Success is a mean
corner error below 5 px for maps, and for a fundamental matrix a median distance of other, exact
correspondences to their epipolar lines below 1.5 px. F1 is that of the mask against the matches
that are right.

python benchmarks/bench_estimate.py
python benchmarks/bench_estimate.py homography --only ours "cv2 RHO" --problems 1000
python benchmarks/bench_estimate.py --plot success.svg
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import harness

harness.single_thread()

import numpy as np  # noqa: E402

from robust_data import Problem, Setting, error, limit, problems  # noqa: E402
from robust_peers import Answer, Contender, contenders  # noqa: E402
from svg_plot import log_log_curves  # noqa: E402

TRIALS = 2000
MORE_TRIALS = 10_000  # 20 % inliers need 3,300 unguided samples for a success of 0.995
MODELS = ("homography", "affine", "similarity", "fundamental")
SWEPT_TRIALS = (10, 30, 100, 300, 1000, 3000, 10_000, 30_000)
SWEPT_SHARES = {"homography": 0.2, "affine": 0.1, "similarity": 0.05, "fundamental": 0.4}
CLAIMS = (4, 5, 6, 7, 8, 10, 15, 20, 25)  # inliers that pure noise is said to have
WARMUP = 3  # problems that are solved before any counts
BLOCK = 20  # problems in a row
FEW, SLOW = 40, 0.01  # problems of one who needs more seconds for each


class Outcome(NamedTuple):
    seconds: float
    error: float  # px
    inliers: int
    f1: float
    found: bool


def solve(problem: Problem, run: Contender, model: str, max_trials: int) -> Outcome:
    start = time.perf_counter()
    answer = run(problem.x1, problem.x2, problem.quality, max_trials)
    return outcome(problem, answer, time.perf_counter() - start, model)


def outcome(problem: Problem, answer: Answer, seconds: float, model: str) -> Outcome:
    transform, mask = answer
    found = transform is not None and bool(np.isfinite(transform).all() and np.any(transform))
    inliers = np.zeros(len(problem.right), bool)
    if found and mask is not None:
        inliers = np.asarray(mask).ravel() > 0
    hits = int((inliers & problem.right).sum())
    f1 = 2 * hits / max(1, int(inliers.sum() + problem.right.sum()))
    pixels = error(model, transform, problem.exact)
    return Outcome(seconds, pixels, int(inliers.sum()), f1, found)


def race(
    setting: Setting, runs: dict[str, Contender], count: int, max_trials: int, block: int = BLOCK
) -> dict[str, list[Outcome]]:
    """Every contender on every problem, in turn; the slow ones on the first FEW."""
    names = list(runs)
    outcomes: dict[str, list[Outcome]] = {name: [] for name in names}
    cases = problems(setting, count)
    for name in names:
        for case in cases[:WARMUP]:
            solve(case, runs[name], setting.model, max_trials)
    gc.collect()
    gc.disable()
    try:
        for turn, start in enumerate(range(0, count, block)):
            shift = turn % len(names)
            for name in names[shift:] + names[:shift]:
                if start >= FEW and microseconds(outcomes[name]) > SLOW * 1e6:
                    continue
                for case in cases[start : start + block]:
                    outcomes[name].append(solve(case, runs[name], setting.model, max_trials))
    finally:
        gc.enable()
    return outcomes


def microseconds(found: Sequence[Outcome]) -> float:
    return statistics.median(one.seconds for one in found) * 1e6


def success(found: Sequence[Outcome], model: str) -> float:
    return statistics.fmean(one.error < limit(model) for one in found)


def ratio(outcomes: dict[str, list[Outcome]], name: str) -> dict[str, float]:
    """How many times as fast ours is: nothing where ours does not run."""
    if "ours" not in outcomes:
        return {}
    theirs, ours = ([one.seconds for one in outcomes[who]] for who in (name, "ours"))
    return {"ratio": harness.ratio(theirs, ours[: len(theirs)])}


def measure(setting: Setting, args: Any, max_trials: int = TRIALS, block: int = BLOCK) -> None:
    outcomes = race(setting, chosen(setting.model, args.only), args.problems, max_trials, block)
    way = "" if block == BLOCK else ", cold"
    for name, found in outcomes.items():
        values: dict[str, float] = {
            "problems": len(found),
            "us": microseconds(found),
            **ratio(outcomes, name),
            "success": success(found, setting.model),
            "F1": statistics.fmean(one.f1 for one in found),
            "median error, px": min(1e9, statistics.median(one.error for one in found)),
        }
        if setting.planar == 1:  # a plane does not determine the epipolar geometry
            values = {key: values[key] for key in values if key not in ("success", "F1")}
            values |= {"F1": statistics.fmean(one.f1 for one in found)}
        record(setting, name + way, values, max_trials, "Success, inliers and median time")


def measure_noise(setting: Setting, args: Any, max_trials: int = TRIALS) -> None:
    """How often a model is claimed where there is none, if so many inliers make a claim."""
    outcomes = race(setting, chosen(setting.model, args.only), args.problems, max_trials)
    for name, found in outcomes.items():
        values: dict[str, float] = {"us": microseconds(found), **ratio(outcomes, name)}
        values["a model"] = statistics.fmean(one.found for one in found)
        for claim in CLAIMS:
            values[f">= {claim}"] = statistics.fmean(one.inliers >= claim for one in found)
        values["99 % have at most"] = float(np.quantile([one.inliers for one in found], 0.99))
        record(setting, name, values, max_trials, "Claimed where all matches are wrong (share)")


def sweep(model: str, args: Any) -> dict[str, list[tuple[float, float]]]:
    """Median time and share of failures as the number of samples grows; no order is known."""
    setting = Setting(model, inliers=SWEPT_SHARES[model])
    curves: dict[str, list[tuple[float, float]]] = {}
    for max_trials in SWEPT_TRIALS:
        outcomes = race(setting, chosen(model, args.only), args.problems, max_trials)
        for name, found in outcomes.items():
            share = success(found, model)
            values = {"us": microseconds(found), **ratio(outcomes, name), "success": share}
            record(setting, name, values, max_trials, "Success against time")
            failures = max(1 - share, 0.5 / len(found))  # none: half a failure, on a log scale
            curves.setdefault(name, []).append((values["us"], failures))
    return curves


def record(
    setting: Setting, name: str, values: dict[str, float], max_trials: int, table: str
) -> None:
    label = f"{setting.name}, at most {max_trials:,} trials: {name}"
    notes = "3 px, confidence 0.999, noise of 1 px in image 2; an order is known only to ours, RHO"
    notes += " and PROSAC"
    harness.record(label, values, table=table, notes=notes)


def chosen(model: str, only: Sequence[str] | None) -> dict[str, Contender]:
    found = contenders(model)
    return found if only is None else {name: found[name] for name in only if name in found}


def settings(model: str) -> list[tuple[Setting, int]]:
    """What is measured of a model, and the trials it is allowed."""
    if model == "fundamental":
        shares = (0.5, 0.3, 0.2)
        planes = [
            (Setting(model, inliers=0.5, planar=share, ordered=ordered), TRIALS)
            for share in (0.9, 1.0)
            for ordered in (True, False)
        ]
    else:
        shares, planes = (0.5, 0.2, 0.1, 0.05), []
    ordered = [(Setting(model, inliers=share, ordered=True), TRIALS) for share in shares]
    unordered = [(Setting(model, inliers=share), TRIALS) for share in shares]
    patient = [(Setting(model, inliers=share), MORE_TRIALS) for share in shares[1:]]
    share = 0.2 if model != "fundamental" else 0.5
    sizes = [(Setting(model, n, share, ordered=True), TRIALS) for n in (50, 100, 1000, 2000)]
    return [*ordered, *unordered, *patient, *sizes, *planes]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=list(MODELS), metavar="model")
    parser.add_argument("--only", nargs="+", metavar="contender")
    parser.add_argument("--problems", type=int, default=200)
    parser.add_argument("--plot", type=Path, help="draw failures against time of the first model")
    args = parser.parse_args()
    for model in args.models:
        for setting, max_trials in settings(model):
            measure(setting, args, max_trials)
            if setting.n == 300 and setting.inliers in (0.5, 0.2) and not setting.planar:
                measure(setting, args, max_trials, block=1)
        measure_noise(Setting(model, inliers=0.0), args)
    for model in args.models:
        curves = sweep(model, args)
        if args.plot and model == args.models[0]:
            title = f"{model}, 300 matches, {SWEPT_SHARES[model]:.0%} inliers"
            drawn = log_log_curves(title, "µs, median", "share of failures", curves)
            args.plot.write_text(drawn, encoding="utf-8")


if __name__ == "__main__":
    main()
