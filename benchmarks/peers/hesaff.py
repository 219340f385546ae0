# SPDX-License-Identifier: Apache-2.0
"""pyhesaff: Perdoch's Hessian-affine, with SIFT of its own.

It neither returns responses nor takes a number of features, so that the strongest are chosen by
its threshold: the lowest one, to 2 %, that leaves at most max_features.

Version 2.2.0 finds orientations, but then turns the patch the other way, so that descriptors are
not invariant to rotation. The variant "mended" describes again, with the angle's sign changed.
"""

import tempfile

import cv2
import numpy as np
import pyhesaff
from extract import main

DEFAULT = 16 / 3  # its threshold
LOWEST = DEFAULT / 64
MAGNIFICATION = 3 * np.sqrt(3)  # its mrSize: the ellipse's radius over the scale


def frames_of(keypoints):
    """Rows (x, y, a, c, d, angle), where [[a, 0], [c, d]] makes the ellipse of the unit disc."""
    x, y, a, c, d, angle = keypoints.astype(np.float64).T
    shape = np.stack([a, np.zeros_like(a), c, d], axis=1).reshape(-1, 2, 2) / MAGNIFICATION
    turn = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], axis=1)
    return np.concatenate(
        [shape @ turn.reshape(-1, 2, 2), np.stack([x, y], axis=1)[:, :, None]], axis=2
    )


def described_again(gray, keypoints):
    """Turn the patches by the orientation."""
    mended = keypoints.copy()
    mended[:, 5] *= -1
    with tempfile.NamedTemporaryFile(suffix=".png") as file:  # it reads only files
        cv2.imwrite(file.name, gray)
        return pyhesaff.extract_vecs(file.name, mended)


def extractor(max_features, mend=False, **options):
    def extract(gray):
        def detect(threshold):
            return pyhesaff.detect_feats_in_image(gray, threshold=float(threshold), **options)

        # Enough at `low`, if there are enough at all; not too many at `high`.
        low, high = LOWEST, DEFAULT
        while len((found := detect(high))[0]) > max_features:
            low, high = high, 2 * high
        while high > 1.02 * low:
            middle = max(np.sqrt(low * high), high / 2)
            result = detect(middle)
            if len(result[0]) > max_features:
                low = middle
            else:
                found, high = result, middle
        keypoints, descriptors = found
        if mend:
            descriptors = described_again(gray, keypoints)
        return frames_of(keypoints), descriptors

    return extract


if __name__ == "__main__":
    main(
        extractor,
        default={"rotation_invariance": True},
        mended={"rotation_invariance": True, "mend": True},
        upright={},
    )
