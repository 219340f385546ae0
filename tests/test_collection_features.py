# SPDX-License-Identifier: Apache-2.0
"""Collections of other detectors and descriptors than SIFT's own, and of before there were any."""

import json

import numpy as np
import pytest

import scenes
from trouvaille import Collection, features
from trouvaille.collection import Settings
from trouvaille.collection.storage import Storage
from trouvaille.errors import IndexCorruptError
from trouvaille.features import Descriptor, Features
from trouvaille.words import Vocabulary

N = 6
OLD = "opencv-sift/rootsift/uint8/128"


@pytest.fixture(params=[256, 100])
def width(request, monkeypatch):
    """A descriptor of another width in the table: SIFT twice, or a part of it."""

    def describe(image, regions, *, orientation, root):
        found = features.describe(image, regions, "opencv_sift", orientation=orientation)
        rows = np.tile(found.descriptors, 2)[:, : request.param]
        return Features(found.frames, rows, found.responses, found.scales)

    row = Descriptor("other", describe, "made-other", request.param, ("upright",), ("plain",))
    monkeypatch.setitem(features.DESCRIPTORS, "other", row)
    return request.param


def made(path, n=N, **options):
    collection = Collection.create(path, num_words=150, max_features=300, **options)
    report = collection.add([scenes.scene(i) for i in range(n)], [f"scene{i}" for i in range(n)])
    assert report.n_added == n
    return collection


def found(collection, query):
    hits = collection.search(query, 3)
    assert hits[0].n_inliers >= 8
    assert hits[1].n_inliers == 0
    return hits[0].id


@pytest.mark.parametrize("keep_descriptors", [True, False])
def test_descriptors_of_any_width_work_through_words_match_and_search(
    tmp_path, width, keep_descriptors
):
    options = {"descriptor": "other", "orientation": "upright"}
    path = tmp_path / "c.tv"
    with made(path, keep_descriptors=keep_descriptors, **options) as collection:
        assert collection.settings.fingerprint.startswith(f"made-other/plain/uint8/{width}/")
        assert collection.vocabulary.words.shape == (150, width)
    with Collection.open(path, verify="full") as collection:
        move = scenes.similarity(1, 0, 9, -7)
        assert found(collection, scenes.view(scenes.scene(2), move)) == "scene2"
        collection.add(scenes.scene(30), "new")
        assert found(collection, scenes.scene(30)) == "new"


def test_a_vocabulary_goes_with_its_descriptor(tmp_path, width):
    photos = [scenes.scene(i) for i in range(3)]
    options = {"descriptor": "other", "orientation": "upright"}
    words = Vocabulary.learn(photos, 60, **options)
    assert words.words.shape == (60, width)
    with Collection.create(tmp_path / "c.tv", words, **options) as collection:
        collection.add(photos, list("abc"))
        assert collection.search(photos[1], 1)[0].id == "b"
    with pytest.raises(ValueError, match=r"descriptor 'made-other/.*; this collection has"):
        Collection.create(tmp_path / "d.tv", words)
    with pytest.raises(ValueError, match=r"learn.photos, num_words, detector='.*', descr"):
        Collection.create(tmp_path / "d.tv", Vocabulary(words.words, OLD), **options)
    assert not (tmp_path / "d.tv").exists()


def test_words_of_other_options_are_of_another_descriptor(tmp_path):
    photos = [scenes.scene(i) for i in range(2)]
    words = Vocabulary.learn(photos, 60, magnification=6.0, max_features=100, max_size=200)
    assert words.fingerprint == features.FINGERPRINT + "/magnification=6"
    with pytest.raises(ValueError, match="this collection has"):
        Collection.create(tmp_path / "c.tv", words)


def test_orientation_is_the_collections(tmp_path):
    """Turned photos are found with dominant orientations, and upright ones with both."""
    turned = scenes.view(scenes.scene(1), scenes.similarity(1, 90, 0, 0))
    with made(tmp_path / "turned.tv") as collection:
        assert found(collection, turned) == "scene1"
    with made(tmp_path / "upright.tv", orientation="upright") as collection:
        assert collection.search(turned, 1)[0].n_inliers == 0
        assert found(collection, scenes.scene(1)) == "scene1"
        assert collection.settings.fingerprint.endswith("/upright")


def test_a_dense_collection(tmp_path):
    with made(tmp_path / "c.tv", detector="dense", orientation="upright") as collection:
        assert found(collection, scenes.scene(3)) == "scene3"
    assert Collection.open(tmp_path / "c.tv").settings.detector == "dense"


def test_settings_hold_names_and_no_aliases():
    stored = Settings(detector="sift").as_dict()
    assert stored["detector"] in features.DETECTORS
    assert stored["descriptor"] in features.DESCRIPTORS
    assert Settings.from_dict(json.loads(json.dumps(stored))) == Settings()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"detector": "surf"}, ValueError, "detector 'surf' is unknown"),
        ({"detector": "orb"}, ValueError, "'orb' is of bits"),
        ({"detector": features.opencv_sift}, TypeError, "detector must be a name"),
        ({"descriptor": len}, TypeError, "descriptor must be a name"),
        ({"orientation": "left"}, ValueError, "orientation must be"),
    ],
)
def test_create_says_what_is_wrong(tmp_path, options, error, message):
    with pytest.raises(error, match=message):
        Collection.create(tmp_path / "c.tv", **options)
    assert not (tmp_path / "c.tv").exists()


def test_collections_of_before_open_and_search_with_opencvs_sift(tmp_path):
    """They say nothing of a detector; their fingerprint is that of OpenCV's."""
    stored = {
        "max_features": 300,
        "max_size": 1024,
        "keep_descriptors": True,
        "num_words": 150,
        "random_state": 0,
    }
    Storage.create(tmp_path / "old.tv", stored, OLD)
    with Collection.open(tmp_path / "old.tv") as old:
        assert old.settings.detector == old.settings.descriptor == "opencv_sift"
        assert old.settings.fingerprint == OLD
        old.add([scenes.scene(i) for i in range(N)], [f"scene{i}" for i in range(N)])
        query = scenes.view(scenes.scene(4), scenes.similarity(1, 15, 0, 0))
        assert found(old, query) == "scene4"
        assert old.settings.ranking == "tfidf"
        with made(tmp_path / "new.tv", detector="opencv_sift", ranking="tfidf") as new:
            one, other = old.search(query), new.search(query)
            assert [(h.id, h.score) for h in one] == [(h.id, h.score) for h in other]


def test_a_fingerprint_that_settings_do_not_make_is_refused(tmp_path):
    Storage.create(tmp_path / "c.tv", Settings().as_dict(), "vlfeat-sift/rootsift/uint8/128")
    with pytest.raises(ValueError, match=r"is made of descriptor 'vlfeat-sift.*this version extr"):
        Collection.open(tmp_path / "c.tv")


def crafted(path, words, width):
    """A collection whose words and descriptors have a width of their own, checksums and all."""
    settings = Settings(detector="opencv_sift")
    source = made(path.with_name("good.tv"), 2, detector="opencv_sift")
    segment = source._storage.snapshot.segments[0]
    sections = {
        kind: {name: np.array(section.array(name)) for name in section.shapes}
        for kind, section in segment.sections.items()
        if kind != "checksums"
    }
    rows = sections["descriptors"]["descriptors"]
    sections["descriptors"]["descriptors"] = np.tile(rows, 2)[:, :width]
    storage = Storage.create(path, settings.as_dict(), settings.fingerprint)
    with storage.writer() as writer:
        writer.set_vocabulary(words, settings.fingerprint)
        writer.add_segment(sections, list(segment.catalogue.rows()))
        writer.commit()


@pytest.mark.parametrize(
    ("words", "width", "section"),
    [
        (np.zeros((150, 64), np.uint8), 128, "vocabulary.words"),
        (np.zeros((150, 128), np.float32), 128, "vocabulary.words"),
        (np.zeros((150, 128), np.uint8), 129, "descriptors.descriptors"),
        (np.zeros((150, 128), np.uint8), 64, "descriptors.descriptors"),
    ],
)
def test_widths_that_disagree_with_the_fingerprint_are_corrupt(tmp_path, words, width, section):
    crafted(tmp_path / "c.tv", words, width)
    with pytest.raises(IndexCorruptError, match="must have rows of 128 bytes") as refused:
        Collection.open(tmp_path / "c.tv")
    assert refused.value.section == section


def test_widths_are_checked_again_after_a_refresh(tmp_path):
    path = tmp_path / "c.tv"
    opened = Collection.create(path, detector="opencv_sift")
    with Storage.open(path).writer() as writer:
        writer.set_vocabulary(np.zeros((9, 64), np.uint8), OLD)
        writer.commit()
    opened.refresh()
    with pytest.raises(IndexCorruptError, match="128 bytes"):
        opened.search(scenes.scene(0))
    with pytest.raises(IndexCorruptError, match="128 bytes"):
        opened.add(scenes.scene(0), "a")
