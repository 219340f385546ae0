# SPDX-License-Identifier: Apache-2.0
"""Detectors and descriptors by name, by one's own functions, and what their fingerprints say."""

import copy

import numpy as np
import pytest

import scenes
from trouvaille import features
from trouvaille.features import Extractor, Features, Regions, registry


@pytest.fixture(scope="module")
def photo():
    return scenes.scene(3)


# DELF needs PyTorch; tests/test_features_delf.py tests it.
NAMES = sorted(features.DETECTORS.keys() - {"delf"})


@pytest.mark.parametrize("name", [*NAMES, *registry.DETECTOR_ALIASES])
def test_every_detector_works_by_its_name(photo, name):
    """The orientation that each has; the fingerprint tells shape and dtype truly."""
    row = features.DETECTORS[registry.DETECTOR_ALIASES.get(name, name)]
    described = features.DESCRIPTORS[
        registry.DESCRIPTOR_ALIASES.get(row.descriptor, row.descriptor)
    ]
    for orientation in ("dominant", "upright"):
        if orientation not in (row.orientations if row.describes else described.orientations):
            with pytest.raises(ValueError, match="orientation must be"):
                Extractor(name, orientation=orientation)
            continue
        found = features.extract(photo, name, orientation=orientation, max_features=200)
        kind = registry.parse_fingerprint(features.fingerprint(name, orientation=orientation))
        n = len(found.features.frames)
        assert 20 < n <= 200
        assert found.features.descriptors.shape == (n, kind.dimensions)
        assert found.features.descriptors.dtype == kind.dtype
        assert (np.diff(found.features.responses) <= 0).all()
        if orientation == "upright":
            axes = found.features.frames[:, :, :2]
            np.testing.assert_array_equal(axes[:, 0, 1], 0)  # no turn; a shape may slant y's axis


def test_fingerprints_name_all_that_must_agree():
    name = features.fingerprint
    assert name("opencv_sift") == "opencv-sift/rootsift/uint8/128"
    assert name("opencv_sift", root=False) == "opencv-sift/sift/uint8/128"
    assert name("opencv_sift", orientation="upright") == "opencv-sift/rootsift/uint8/128/upright"
    assert name("orb") == "opencv-orb/bits/uint8/32"
    assert name("sift") == features.FINGERPRINT
    wide = Extractor("dog", orientation="upright", options={"magnification": 6, "spread": True})
    assert wide.fingerprint == features.FINGERPRINT + "/upright/magnification=6"
    dense = name("dense", "opencv_sift", orientation="upright")
    assert dense == "opencv-sift/rootsift/uint8/128/dense/upright"


def test_the_default_is_sift_and_extract_equals_it(photo):
    by_name, direct = features.extract(photo).features, features.sift(photo)
    for one, other in zip(by_name, direct, strict=True):
        np.testing.assert_array_equal(one, other)
    plain = features.extract(photo, root=False, max_features=50).features
    np.testing.assert_array_equal(
        plain.descriptors, features.sift(photo, root=False, max_features=50).descriptors
    )


def test_options_go_to_whom_they_belong(photo):
    def grid(step):
        found = features.extract(
            photo, "dense", orientation="upright", step=step, scales=[3.0], max_features=10_000
        )
        return found.features.frames

    assert len(grid(8)) > 3 * len(grid(16)) > 0
    assert np.unique(grid(16)[:, 0, 0]).tolist() == [3.0]


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        (["sitf"], {}, ValueError, "detector 'sitf' is unknown; there are .*opencv_sift.*sift"),
        (["sift", "lbp"], {}, ValueError, "descriptor 'lbp' is unknown; there are"),
        ([5], {}, TypeError, "detector must be a name or a callable, got int"),
        (["dense"], {"orientation": "upright", "stp": 4}, TypeError, "no option 'stp'; it has mag"),
        (["opencv_sift"], {"step": 4}, TypeError, "no option 'step'; it has none"),
        (["opencv_sift"], {"orientation": "left"}, ValueError, "orientation must be"),
        (["opencv_sift"], {"orientation": "given"}, ValueError, "orientation must be"),
        (["opencv_sift"], {"root": 1}, TypeError, "root must be"),
        (["opencv_sift"], {"max_features": 0}, ValueError, "max_features"),
        (["hessian_affine", "opencv_sift"], {}, ValueError, "describes circles only, and detector"),
        (["dense", "orb"], {}, ValueError, "what its own detector finds: detector='orb'"),
        (["orb"], {"orientation": "upright"}, ValueError, "orientation must be 'dominant' for"),
        ([lambda image: None], {}, TypeError, "must return Features or Regions, got NoneType"),
    ],
)
def test_says_what_is_wrong(photo, arguments, options, error, message):
    with pytest.raises(error, match=message):
        features.extract(photo, *arguments, **options)
    with pytest.raises(error, match=message):
        next(features.extract_all([photo], *arguments, **options))


def test_every_pair_works_or_is_refused_before_any_photo(photo):
    works = set()
    for detector in NAMES:
        for descriptor in features.DESCRIPTORS:
            for orientation in ("dominant", "upright"):
                try:
                    chosen = Extractor(detector, descriptor, 50, orientation)
                except ValueError:
                    continue
                n, width = chosen(photo).descriptors.shape
                assert 0 < n <= 50
                assert width == chosen.dimensions
                works.add((detector, descriptor, orientation))
    # What a scale space's detector has turned need only be described as it is.
    assert {("dog", "opencv_sift", o) for o in ("dominant", "upright")} <= works
    assert {(d, "sift", o) for d in NAMES for o in ("dominant", "upright")} <= works
    assert len(works) == 8 * 2 * 2 + 3 * 2 + 4 + 1


def test_one_may_bring_a_detector(photo):
    """Regions are described by what is asked for, or by SIFT."""

    def corners(image):
        height, width = image.shape
        frames = np.tile(np.float32([[4, 0, 50], [0, 4, 60]]), (3, 1, 1))
        frames[1, :, 2], frames[2, :, 2] = (width - 60, 60), (50, height - 60)
        return Regions(frames, np.float32([1, 3, 2]), np.float32([4, 4, 4]))

    found = features.extract(photo, corners, "opencv_sift", orientation="upright")
    assert len(found.features.frames) == 3
    alone = features.extract(photo, corners, "opencv_sift", orientation="upright", max_features=2)
    assert alone.features.responses.tolist() == [3, 2]  # the strongest

    expected = features.describe(photo, corners(photo), "opencv_sift").descriptors
    np.testing.assert_array_equal(found.features.descriptors, expected)
    name = features.fingerprint(corners, "opencv_sift", orientation="upright")
    assert name == "opencv-sift/rootsift/uint8/128/corners/upright"


def test_one_may_bring_a_descriptor(photo):
    def means(image, regions):
        values = image[regions.frames[:, 1, 2].astype(int), regions.frames[:, 0, 2].astype(int)]
        return Features(regions.frames, values[:, None], regions.responses, regions.scales)

    found = features.extract(photo, "dense", means, max_features=20).features
    assert found.descriptors.shape == (len(found.frames), 1)
    with pytest.raises(TypeError, match="'means' has no fingerprint"):
        features.fingerprint("dense", means)
    means.fingerprint = "mine/mean/uint8/1"
    assert features.fingerprint("dense", means) == "mine/mean/uint8/1/dense"
    again = features.extract(photo, "opencv_sift", means, max_features=20).features
    assert again.descriptors.shape[1] == 1


def test_answers_that_do_not_fit_are_refused(photo):
    good = features.opencv_sift(photo, max_features=9)

    def lying(image):
        return good

    lying.fingerprint = "mine/sift/uint8/64"
    with pytest.raises(ValueError, match="returned 128 numbers of uint8, but its fingerprint is"):
        features.extract(photo, lying)
    with pytest.raises(ValueError, match="as many of each"):
        features.extract(photo, lambda image: good._replace(scales=good.scales[1:]))
    with pytest.raises(TypeError, match="must return Features, got ndarray"):
        features.extract(photo, "dense", lambda image, regions: image)


def test_an_extractor_is_given_whole(photo):
    extractor = Extractor("opencv_sift", max_features=30)
    assert len(features.extract(photo, extractor).features.frames) == 30
    for options in ({"max_features": 50}, {"root": False}, {"step": 3}, {"descriptor": "sift"}):
        with pytest.raises(TypeError, match="give them to it"):
            features.extract(photo, extractor, **options)
        with pytest.raises(TypeError, match="give them to it"):
            next(features.extract_all([photo], extractor, **options))


def test_an_extractor_is_a_value():
    one, other = Extractor("sift"), Extractor(registry.DETECTOR_ALIASES.get("sift", "sift"))
    assert one == other  # an alias is resolved
    assert copy.deepcopy(one) == one
    assert one.as_dict()["detector"] == other.detector
    assert (one.dimensions, one.bits, one.mode) == (128, False, "gray")
    assert Extractor("orb").bits


def test_an_extractor_keeps_its_options_whatever_happens_to_the_callers():
    options = {"step": 16, "scales": [2.0, 4.0], "magnification": 6}
    one = Extractor("dense", orientation="upright", options=options)
    name = one.fingerprint
    options["scales"].append(8.0)
    options["magnification"] = 3
    assert one.fingerprint == name
    assert one.options["scales"] == [2.0, 4.0]
    with pytest.raises(TypeError):
        one.options["step"] = 1
    for again in (copy.copy(one), copy.deepcopy(one)):
        assert again == one
        assert again.fingerprint == name
    with pytest.raises(TypeError, match="options must be a mapping"):
        Extractor(options=["step"])


def test_extractors_with_masks_are_compared():
    mask = np.zeros((5, 6), np.uint8)
    one, same = (Extractor(options={"mask": mask.copy()}) for _ in range(2))
    assert one == same
    assert one != Extractor(options={"mask": mask + 1})
    assert one != Extractor(options={"mask": mask[1:]})
    assert one != Extractor()
    assert one != "sift"


def test_describing_opencvs_own_regions_gives_its_own_descriptors(photo):
    """The octave and layer that a frame is described at are those that it was found at."""
    found = features.opencv_sift(photo, max_features=400)
    again = features.describe(photo, found, "opencv_sift")
    np.testing.assert_array_equal(again.frames, found.frames)
    differ = (again.descriptors != found.descriptors).mean(axis=1)
    assert np.median(differ) < 0.02
    assert (differ < 0.2).mean() > 0.95  # a size between two layers may fall to the other
    plain = features.describe(photo, found.frames, "opencv_sift", root=False)
    assert plain.responses.tolist() == [1] * len(found.frames)


def test_upright_features_are_the_regions_without_their_turn(photo):
    turned = features.opencv_sift(photo, max_features=10_000)
    upright = features.opencv_sift(photo, max_features=10_000, orientation="upright")
    assert len(upright.frames) < len(turned.frames)
    places = {tuple(place) for place in turned.frames[:, :, 2].tolist()}
    assert {tuple(place) for place in upright.frames[:, :, 2].tolist()} == places
    described = features.describe(photo, turned, "opencv_sift", orientation="upright")
    first = {
        tuple(f[:, 2]): d for f, d in zip(described.frames, described.descriptors, strict=True)
    }
    same = [
        np.abs(first[tuple(f[:, 2])].astype(int) - d).mean() < 2
        for f, d in zip(upright.frames, upright.descriptors, strict=True)
    ]
    assert np.mean(same) > 0.95


@pytest.mark.parametrize(
    ("frames", "options", "error", "message"),
    [
        ([[[2, 0, 20], [0, 3, 20]]], {}, ValueError, "circles only, and the frame of feature 0"),
        ([[[2, 0, 20], [0, -2, 20]]], {}, ValueError, "circles only"),
        ([[[2, 0, 20], [0, 2, 900]]], {}, ValueError, "feature 0 is not within the image"),
        ([[2, 0, 20]], {}, ValueError, "regions must be 3-D"),
        ([[[2, 0, 20], [0, 2, 20]]], {"orientation": "dominant"}, ValueError, "'given' or 'upri"),
        ([[[2, 0, 20], [0, 2, 20]]], {"descriptor": "orb"}, ValueError, "orientation"),
        ([[[2, 0, 20], [0, 2, 20]]], {"cells": 3}, TypeError, "no option 'cells'"),
    ],
)
def test_describe_says_what_is_wrong(photo, frames, options, error, message):
    with pytest.raises(error, match=message):
        features.describe(photo, frames, **{"descriptor": "opencv_sift", **options})


def test_describing_nothing_is_nothing(photo):
    found = features.describe(photo, np.empty((0, 2, 3)), "opencv_sift")
    assert [part.shape for part in found] == [(0, 2, 3), (0, 128), (0,), (0,)]


@pytest.mark.parametrize(
    "text", ["", "sift", "a/b/uint8", "a/b/int8/3", "a/b/uint8/0", "a/b/uint8/x", "/b/uint8/3", 5]
)
def test_what_is_no_fingerprint(text):
    with pytest.raises(ValueError, match="fingerprint must be"):
        registry.parse_fingerprint(text)
