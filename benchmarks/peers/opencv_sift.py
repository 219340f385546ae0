# SPDX-License-Identifier: Apache-2.0
"""OpenCV's SIFT."""

import cv2
import numpy as np
from extract import circles, main


def extractor(max_features):
    sift = cv2.SIFT_create(nfeatures=max_features, enable_precise_upscale=True)

    def extract(gray):
        keypoints, descriptors = sift.detectAndCompute(gray, None)
        table = np.array([(*k.pt, k.size, k.angle, k.response) for k in keypoints])
        # OpenCV keeps all of the last one's response.
        order = np.argsort(-table[:, 4], kind="stable")[:max_features]
        x, y, size, angle, _ = table[order].T
        # The size is twice the scale.
        return circles(x, y, size / 2, np.deg2rad(angle)), descriptors[order].astype(np.uint8)

    return extract


if __name__ == "__main__":
    main(extractor, default={})
