# SPDX-License-Identifier: Apache-2.0
"""OpenCV contrib's Harris-Laplace, described by OpenCV's SIFT; upright, for it has no orientation.

The regions described are of the size that the detector gives them. That is six times the
(integration) scale, and its positions count from the corner of the top-left pixel.
"""

import cv2
import numpy as np
from extract import circles, main


def extractor(max_features, corn_thresh=0.01, dog_thresh=0.01):
    detector = cv2.xfeatures2d.HarrisLaplaceFeatureDetector_create(
        numOctaves=6,
        corn_thresh=corn_thresh,
        DOG_thresh=dog_thresh,
        maxCorners=max_features,
        num_layers=4,
    )
    sift = cv2.SIFT_create(enable_precise_upscale=True)

    def extract(gray):
        keypoints = detector.detect(gray, None)
        for keypoint in keypoints:
            keypoint.pt = keypoint.pt[0] - 0.5, keypoint.pt[1] - 0.5
        kept, descriptors = sift.compute(gray, keypoints)
        x, y, scale = np.array([(*k.pt, k.size / 6) for k in kept]).T
        return circles(x, y, scale, np.zeros_like(x)), descriptors.astype(np.uint8)

    return extract


if __name__ == "__main__":
    main(extractor, default={}, many={"corn_thresh": 1e-4, "dog_thresh": 1e-3})
