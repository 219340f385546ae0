# SPDX-License-Identifier: Apache-2.0
"""kornia's Hessian-affine on the CPU, with its orientation and its SIFT."""

import kornia.feature as kf
import numpy as np
import torch
from extract import main
from kornia.geometry import ScalePyramid

MAGNIFICATION = 6.0
PATCH_SIZE = 41


def extractor(max_features, double_image=False):
    detector = kf.ScaleSpaceDetector(
        max_features,
        mr_size=MAGNIFICATION,
        scale_pyr_module=ScalePyramid(3, 1.6, 16, extra_levels=2, double_image=double_image),
        resp_module=kf.BlobHessian(),
        aff_module=kf.LAFAffineShapeEstimator(19, preserve_orientation=False),
        ori_module=kf.LAFOrienter(19),
    ).eval()
    sift = kf.SIFTDescriptor(PATCH_SIZE, rootsift=False).eval()

    @torch.inference_mode()
    def extract(gray):
        photo = torch.from_numpy(gray)[None, None].float() / 255
        lafs, _ = detector(photo)
        lafs = lafs[:, lafs[0].flatten(1).any(dim=1)]  # unfilled ones are zero
        patches = kf.extract_patches_from_pyramid(photo, lafs, PATCH_SIZE)
        descriptors = sift(patches[0]).numpy()
        frames = lafs[0].numpy().astype(np.float64)
        frames[:, :, :2] /= MAGNIFICATION
        good = np.abs(np.linalg.det(frames[:, :, :2])) > 0
        return frames[good], descriptors[good]

    return extract


if __name__ == "__main__":
    main(extractor, default={}, doubled={"double_image": True})
