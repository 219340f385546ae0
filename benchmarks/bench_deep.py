# SPDX-License-Identifier: Apache-2.0
"""Descriptors of real photos by EfficientNet-Lite0 and R-MAC: `extract` beside the usual loop.

The loop is what public repositories do: one photo at a time, float32, decoded when it is its turn,
and a loop in Python over regions. Both resize by OpenCV's area interpolation and use all cores
that the process has. Quality is the least cosine with the loop's descriptor of the same photo.

Photos are those of $TROUVAILLE_DATA: landmarks, smaller ones enlarged so that their longest side
is that of the row, since a network's time depends on it alone.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
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


def main() -> None:
    torch.set_num_threads(CORES)
    backbone = deep.Backbone("efficientnet_lite0")
    with tempfile.TemporaryDirectory() as folder:
        for size, scales in CASES:
            photos = write_photos(Path(os.environ["TROUVAILLE_DATA"]), Path(folder), size)
            measure(backbone, photos, size, scales)


def write_photos(data: Path, folder: Path, size: int) -> list[Path]:
    """Photos whose longest side is `size`, as JPEG files."""
    paths = []
    for path in sorted((data / "smvs_landmarks").glob("*.jpg"))[
        : 2 * max(8, PIXELS // size**2) : 2
    ]:
        photo = cv2.imread(str(path))
        factor = size / max(photo.shape[:2])
        kind = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
        paths.append(folder / f"{size}_{path.name}")
        cv2.imwrite(
            str(paths[-1]), cv2.resize(photo, None, fx=factor, fy=factor, interpolation=kind)
        )
    return paths


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


def loop(backbone: Any, photos: list[Path], size: int, scales: tuple[float, ...]) -> Any:
    mean, std = (torch.tensor(part).reshape(3, 1, 1) for part in (backbone.mean, backbone.std))
    descriptors = []
    for path in photos:
        photo = cv2.imread(str(path))[:, :, ::-1]
        factor = size / max(photo.shape[:2])
        if factor < 1:
            photo = cv2.resize(photo, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        tensor = torch.from_numpy(np.ascontiguousarray(photo)).permute(2, 0, 1)
        x = ((tensor.float() / 255 - mean) / std)[None].contiguous()
        with torch.no_grad():
            vectors = [rmac(backbone(scaled(x, scale))[0]) for scale in scales]
        descriptors.append(functional.normalize(torch.stack(vectors).mean(0), dim=0))
    return torch.stack(descriptors).numpy()


def scaled(x: Any, scale: float) -> Any:
    if scale == 1:
        return x
    return functional.interpolate(x, scale_factor=scale, mode="bilinear", align_corners=False)


def rmac(cells: Any) -> Any:
    total = torch.zeros(cells.shape[0])
    for x1, y1, x2, y2 in deep.rmac_regions(*cells.shape[1:]).tolist():
        total += functional.normalize(cells[:, y1:y2, x1:x2].amax((1, 2)), dim=0)
    return functional.normalize(total, dim=0)


if __name__ == "__main__":
    main()
