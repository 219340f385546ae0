# SPDX-License-Identifier: Apache-2.0
"""Descriptors of real photos by EfficientNet-Lite0 and R-MAC: `extract` beside the usual loop.

The loop is what public repositories do: one photo at a time, float32, decoded when it is its turn,
and a loop in Python over regions. Both resize by OpenCV's area interpolation and use all cores
that the process has. Quality is the least cosine with the loop's descriptor of the same photo.

Photos are those of $TROUVAILLE_DATA: landmarks, smaller ones enlarged so that their longest side
is that of the row, since a network's time depends on it alone.

Then the share of R-MAC itself, and, on a GPU where there is one, ResNet-101 in bfloat16:

python benchmarks/bench_deep.py
python benchmarks/bench_deep.py --device cuda --network resnet101 --autocast bfloat16  # that alone
python benchmarks/bench_deep.py --device cpu --network efficientnet_lite0 --size 160 --photos 6

On a device alone, photos are made up where $TROUVAILLE_DATA names none, and weights where there are
none: neither changes the time.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import harness

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
harness.peer_threads(CORES)

import cv2  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch.nn import functional  # noqa: E402

from trouvaille import deep  # noqa: E402

PIXELS = 10_000_000  # of all photos of a row: so the network is made ready once for many
CASES = ((1024, (1.0,)), (1024, deep.MULTI_SCALE), (640, (1.0,)), (320, (1.0,)))
ON_A_GPU = {"network": "resnet101", "autocast": "bfloat16", "size": 1024, "photos": 256}
SHARE_ROUNDS = 15


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", help="measure on this alone: cuda, cpu")
    for name, default in ON_A_GPU.items():
        parser.add_argument(f"--{name}", type=type(default), default=default)
    given = vars(parser.parse_args())
    torch.set_num_threads(CORES)
    device = given.pop("device")
    with tempfile.TemporaryDirectory() as folder:
        if device is None:
            on_the_cpu(Path(folder))
            device = "cuda" if torch.cuda.is_available() else None
        if device is not None:
            on_a_device(Path(folder), device, **given)
        else:
            print("skipped: there is no GPU for ResNet-101 in bfloat16")


def on_the_cpu(folder: Path) -> None:
    if not os.environ.get("TROUVAILLE_DATA"):
        print("skipped: TROUVAILLE_DATA names no folder of photos")
        return
    backbone = deep.Backbone("efficientnet_lite0")
    for size, scales in CASES:
        photos = write_photos(folder, size, max(8, PIXELS // size**2))
        measure(backbone, photos, size, scales)
    for size in (640, 1024):
        share_of_pooling(backbone, size)


def write_photos(folder: Path, size: int, n: int) -> list[Path]:
    """Photos whose longest side is `size`, as JPEG files."""
    data = os.environ.get("TROUVAILLE_DATA")
    found = sorted((Path(data) / "smvs_landmarks").glob("*.jpg"))[::2] if data else []
    paths = []
    for i in range(n):
        photo = cv2.imread(str(found[i % len(found)])) if found else made_up(i)
        factor = size / max(photo.shape[:2])
        kind = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
        paths.append(folder / f"{size}_{i}.jpg")
        cv2.imwrite(
            str(paths[-1]), cv2.resize(photo, None, fx=factor, fy=factor, interpolation=kind)
        )
    return paths


def made_up(seed: int) -> Any:
    """A photo of coloured patches, 640 x 480."""
    patches = np.random.default_rng(seed).integers(0, 256, (24, 32, 3), np.uint8)
    return cv2.resize(patches, (640, 480), interpolation=cv2.INTER_CUBIC)


def measure(backbone: Any, photos: list[Path], size: int, scales: tuple[float, ...]) -> None:
    model = deep.GlobalDescriptor(backbone, deep.RMAC(), scales=scales)
    wanted = loop(backbone, photos, size, scales)

    def cosine(_: str, descriptors: Any) -> Mapping[str, float]:
        return {"least cosine": round(float((descriptors * wanted).sum(1).min()), 6)}

    contenders = {
        "ours": lambda: deep.extract(model, photos, image_size=size, scales=None).descriptors,
        "loop": lambda: loop(backbone, photos, size, scales),
        "bfloat16": lambda: (
            deep.extract(
                model, photos, image_size=size, scales=None, autocast="bfloat16"
            ).descriptors
        ),
    }
    harness.compare(
        f"R-MAC of EfficientNet-Lite0, {size} px, {len(scales)} scale{'s' * (len(scales) > 1)}",
        contenders,
        items=len(photos),
        unit="ms/photo",
        quality=cosine,
        repeats=5,
        threads=CORES,
    )


def share_of_pooling(backbone: Any, size: int) -> None:
    """How long R-MAC takes of what its network takes, which is that of `extract`."""
    model = deep.for_extraction(deep.GlobalDescriptor(backbone, deep.RMAC()))
    photo = torch.randn(1, 3, size * 3 // 4, size).to(memory_format=torch.channels_last)
    with torch.inference_mode():
        maps = model.backbone(photo)
        calls = {"network": lambda: model.backbone(photo), "pooling": lambda: model.pooling(maps)}
        seconds: dict[str, list[float]] = {name: [] for name in calls}
        for _ in range(SHARE_ROUNDS):
            for name, call in calls.items():
                seconds[name].append(shortest(call))
    harness.record(
        f"R-MAC of EfficientNet-Lite0, {size} px, one scale",
        {
            "network ms": 1000 * statistics.median(seconds["network"]),
            "pooling ms": 1000 * statistics.median(seconds["pooling"]),
            "share of the network's time": harness.ratio(seconds["pooling"], seconds["network"]),
        },
        table="R-MAC pooling beside its network",
        threads=CORES,
        notes="at most 0.03 is asked for; the network has its normalisations folded",
    )


def shortest(call: Callable[[], Any]) -> float:
    """Seconds of the faster of two calls, the first of which finds the other's data in caches."""
    return min(timed(call)[0] for _ in range(2))


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


# ---- On a device alone


def on_a_device(
    folder: Path, device: str, network: str, autocast: str, size: int, photos: int
) -> None:
    """`extract` beside the loop on one device, and how long the device computes at all."""
    backbone = backbone_of(network)
    if backbone is None:
        return
    backbone = backbone.to(device)
    paths = write_photos(folder, size, photos)
    ready = deep.for_extraction(deep.GlobalDescriptor(backbone, deep.RMAC()))
    wanted = loop(backbone, paths, size, (1.0,))

    def ours() -> Any:
        options = {"device": device, "autocast": autocast or None}
        return deep.extract(ready, paths, image_size=size, scales=None, **options).descriptors

    row = harness.compare(
        f"R-MAC of {network}, {size} px, one scale, on {name_of(device)}",
        {"ours": ours, "loop": lambda: loop(backbone, paths, size, (1.0,))},
        items=len(paths),
        unit="ms/photo",
        quality=lambda _, found: {"least cosine": round(float((found * wanted).sum(1).min()), 6)},
        repeats=5,
        max_seconds=180,
        threads=CORES,
        notes=f"ours in {autocast or 'float32'}; a ratio of at least 4 is asked for on a GPU",
    )
    harness.record(
        row["name"],
        {
            **{f"photos a second, {n}": 1000 / c["median"] for n, c in row["contenders"].items()},
            "ratio": row["ratios"]["loop"],
            "least cosine": row["contenders"]["ours"]["quality"]["least cosine"],
            **busy(device, ours),
        },
        table="photos a second on one device",
        threads=CORES,
        notes=row["notes"],
    )


def backbone_of(network: str) -> Any:
    """The network as it was trained, else with random weights; or None, and why."""
    for weights in ("auto", None):
        try:
            return deep.Backbone(network, weights=weights)
        except FileNotFoundError as error:
            print(f"random weights: {error}")
        except ImportError as error:
            print(f"skipped: {error}")
            return None
    raise AssertionError("random weights are always there")


def name_of(device: str) -> str:
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else device


def busy(device: str, call: Callable[[], Any]) -> Mapping[str, float]:
    """The share of the time of a call in which a kernel runs on the GPU; nothing of a CPU."""
    if not device.startswith("cuda"):
        return {}
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as profiled:
        torch.cuda.synchronize(device)
        seconds, _ = timed(call)
    kernels = sorted(
        (event.time_range.start, event.time_range.end)
        for event in profiled.events()
        if event.device_type == torch.autograd.DeviceType.CUDA
        and not event.name.startswith(("Memcpy", "Memset"))
    )
    if not kernels:
        print("the profiler saw no kernel: how busy the GPU is, is not known")
        return {}
    return {"share of time in which the GPU is busy": covered(kernels) / (1e6 * seconds)}


def covered(intervals: list[tuple[float, float]]) -> float:
    """How long at least one of the intervals lasts, which are sorted by their begin."""
    total, until = 0.0, -np.inf
    for begin, end in intervals:
        total += max(end - max(begin, until), 0)
        until = max(until, end)
    return total


# ---- The usual loop


def loop(backbone: Any, photos: list[Path], size: int, scales: tuple[float, ...]) -> Any:
    device = next(backbone.parameters()).device
    mean, std = (torch.tensor(part).reshape(3, 1, 1) for part in (backbone.mean, backbone.std))
    descriptors = []
    for path in photos:
        photo = cv2.imread(str(path))[:, :, ::-1]
        factor = size / max(photo.shape[:2])
        if factor < 1:
            photo = cv2.resize(photo, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        tensor = torch.from_numpy(np.ascontiguousarray(photo)).permute(2, 0, 1)
        x = ((tensor.float() / 255 - mean) / std)[None].contiguous().to(device)
        with torch.no_grad():
            vectors = [rmac(backbone(scaled(x, scale))[0]) for scale in scales]
        descriptors.append(functional.normalize(torch.stack(vectors).mean(0), dim=0))
    return torch.stack(descriptors).cpu().numpy()


def scaled(x: Any, scale: float) -> Any:
    if scale == 1:
        return x
    return functional.interpolate(x, scale_factor=scale, mode="bilinear", align_corners=False)


def rmac(cells: Any) -> Any:
    total = torch.zeros(cells.shape[0], device=cells.device)
    for x1, y1, x2, y2 in deep.rmac_regions(*cells.shape[1:]).tolist():
        total += functional.normalize(cells[:, y1:y2, x1:x2].amax((1, 2)), dim=0)
    return functional.normalize(total, dim=0)


if __name__ == "__main__":
    main()
