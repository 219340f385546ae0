# SPDX-License-Identifier: Apache-2.0
"""What each detector finds, side by side: a row a photo, a column a detector.

python examples/detectors.py photo.jpg another.jpg -o detectors.png
python examples/detectors.py "$TROUVAILLE_DATA"/homography/*/[15].jpg -o homography.png
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from trouvaille import features, images

DETECTORS = {
    "SIFT (DoG)": features.dog,
    "Hessian-affine": features.hessian_affine,
    "Harris-affine": features.harris_affine,
}


def row(path: Path, max_features: int, width: int):
    """Return the photo with the regions of each detector, side by side."""
    photo = images.resize_to(images.load_rgb(path), 2 * width)[0]
    space = features.ScaleSpace(photo)
    columns = []
    for name, detect in DETECTORS.items():
        regions = detect(space, max_features=max_features, orientation="upright")
        picture = features.draw(photo, regions, magnification=3.0)
        height = round(picture.shape[0] * width / picture.shape[1])
        picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
        label = f"{name}: {len(regions.frames)}"
        cv2.rectangle(picture, (0, 0), (11 * len(label), 30), (0, 0, 0), cv2.FILLED)
        white = (255, 255, 255)
        cv2.putText(picture, label, (8, 21), cv2.FONT_HERSHEY_SIMPLEX, 0.55, white, 1, cv2.LINE_AA)
        columns.append(picture)
    return np.hstack(columns)


def main() -> None:
    """Draw the sheet that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", nargs="+", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("detectors.png"))
    parser.add_argument("--features", type=int, default=300, help="regions a photo, at most")
    parser.add_argument("--width", type=int, default=480, help="pixels of a column")
    given = parser.parse_args()
    if not cv2.haveImageWriter(given.output.name):
        parser.error(f"cannot write {given.output}: its name must end as a picture's, as in .png")
    sheet = np.vstack([row(path, given.features, given.width) for path in given.photos])
    if not cv2.imwrite(str(given.output), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR)):
        raise OSError(f"cannot write {given.output}")
    print(f"{given.output}: {sheet.shape[1]} x {sheet.shape[0]}")


if __name__ == "__main__":
    main()
