# SPDX-License-Identifier: Apache-2.0
import copy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from trouvaille import features
from trouvaille._array_file import ArrayFile
from trouvaille.errors import FormatVersionError, IndexCorruptError
from trouvaille.words import (
    KMeans,
    Vocabulary,
    _sampling,
    assign,
    has_ready_vocabulary,
    ready_vocabulary,
)
from trouvaille.words import vocabulary as vocabulary_module
from trouvaille.words._sampling import SAMPLE, Sample, shuffled

FINGERPRINT = "opencv-sift/rootsift/uint8/128"


@pytest.fixture(params=[np.uint8, np.float32])
def vocabulary(request, rng):
    return Vocabulary(rng.integers(0, 256, (5, 3)).astype(request.param), FINGERPRINT)


def test_round_trip(vocabulary, tmp_path):
    path = tmp_path / "words.tv"
    vocabulary.save(path)
    vocabulary.save(path)  # over an old one
    loaded = Vocabulary.load(path)
    assert loaded.fingerprint == FINGERPRINT
    assert loaded.words.dtype == vocabulary.words.dtype
    np.testing.assert_array_equal(loaded.words, vocabulary.words)
    assert list(tmp_path.iterdir()) == [path]
    assert loaded.words.ctypes.data % 64 == 0
    with pytest.raises(ValueError, match="read-only"):
        loaded.words[0] = 1
    np.testing.assert_array_equal(Vocabulary.load(path, mmap=False).words, vocabulary.words)


@pytest.mark.parametrize("mmap", [True, False])
def test_the_graph_is_kept_with_the_words(rng, tmp_path, mmap):
    words = rng.integers(0, 256, (500, 16), np.uint8)
    vocabulary = Vocabulary(words, FINGERPRINT)
    X = rng.integers(0, 256, (50, 16), np.uint8)
    found = vocabulary.assign(X, 3, approximate=True, width=8)
    vocabulary.save(tmp_path / "words.tv")
    loaded = Vocabulary.load(tmp_path / "words.tv", mmap)
    assert loaded.build_graph() is loaded.build_graph()
    again = loaded.assign(X, 3, approximate=True, width=8)
    np.testing.assert_array_equal(again.ids, found.ids)
    np.testing.assert_array_equal(again.distances, found.distances)
    with pytest.raises(ValueError, match="X must be uint8"):
        vocabulary.assign(X + 0.5, approximate=True)
    exact = vocabulary.assign(X, 3)
    surely = loaded.assign(X, 3, approximate=True, width=500)
    np.testing.assert_array_equal(surely.ids, exact.ids)


def test_is_a_frozen_container(rng):
    words = rng.integers(0, 256, (5, 3), np.uint8)
    vocabulary = Vocabulary(words, FINGERPRINT)
    words[:] = 0
    assert vocabulary.words.any()
    assert vocabulary.num_words == 5
    with pytest.raises(AttributeError):
        vocabulary.words = words
    with pytest.raises(ValueError, match="read-only"):
        vocabulary.words[0] = 1
    X = rng.integers(0, 256, (20, 3), np.uint8)
    for ours, theirs in zip(vocabulary.assign(X, 2), assign(X, vocabulary.words, 2), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    copied = copy.deepcopy(vocabulary)
    np.testing.assert_array_equal(copied.assign(X, approximate=True).ids, vocabulary.assign(X).ids)
    for copy_of_it in (copied, copy.copy(vocabulary)):
        with pytest.raises(ValueError, match="read-only"):
            copy_of_it.words[0] = 1
    assert repr(vocabulary) == f"Vocabulary(num_words=5, fingerprint='{FINGERPRINT}')"


@pytest.mark.parametrize("mask", [0x01, 0x80, 0xFF])
def test_every_changed_byte_is_noticed(vocabulary, tmp_path, mask):
    path = tmp_path / "words.tv"
    vocabulary.save(path)
    whole = path.read_bytes()
    for offset in range(0, len(whole), 7):
        damaged = bytearray(whole)
        damaged[offset] ^= mask
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"words\.tv"):
            Vocabulary.load(path)


def test_a_file_that_is_cut_short_or_longer_is_noticed(vocabulary, tmp_path):
    path = tmp_path / "words.tv"
    vocabulary.save(path)
    whole = path.read_bytes()
    for content in [whole[:size] for size in range(0, len(whole), 61)] + [whole + b"\0"]:
        path.write_bytes(content)
        with pytest.raises(IndexCorruptError):
            Vocabulary.load(path)


WORDS = np.arange(8, dtype=np.uint8).reshape(4, 2)


@pytest.mark.parametrize(
    ("metadata", "arrays"),
    [
        ({}, {"words": WORDS}),
        ({"fingerprint": 7}, {"words": WORDS}),
        ({"fingerprint": ""}, {"words": WORDS}),
        ({"fingerprint": "f"}, {}),
        ({"fingerprint": "f"}, {"words": WORDS[0]}),
        ({"fingerprint": "f"}, {"words": WORDS[:0]}),
        ({"fingerprint": "f"}, {"words": WORDS.astype(np.int16)}),
        ({"fingerprint": "f"}, {"words": np.full((2, 2), np.nan, np.float32)}),
        ({"fingerprint": "f", "graph": {}}, {"words": WORDS}),
        ({"fingerprint": "f", "graph": 1}, {"words": WORDS}),
        ({"fingerprint": "f", "graph": {"degree": 0}}, {"words": WORDS}),
        ({"fingerprint": "f", "graph": {"trees": 1}}, {"words": WORDS}),
    ],
)
def test_a_well_sealed_lie_is_noticed(tmp_path, metadata, arrays):
    path = tmp_path / "words.tv"
    ArrayFile("vocabulary", 2, "a vocabulary").write(path, metadata, arrays)
    with pytest.raises(IndexCorruptError, match=r"words\.tv"):
        Vocabulary.load(path)


def test_a_graph_of_other_words_is_noticed(rng, tmp_path):
    path = tmp_path / "words.tv"
    whole = Vocabulary(rng.integers(0, 256, (300, 4), np.uint8), "f")
    parameters, edges = whole.build_graph().without_points()
    metadata = {"fingerprint": "f", "graph": parameters}
    ArrayFile("vocabulary", 2, "a vocabulary").write(
        path, metadata, {"words": whole.words[:200], **edges}
    )
    with pytest.raises(IndexCorruptError, match="do not fit"):
        Vocabulary.load(path)


def test_another_file_and_a_newer_format_say_so(tmp_path):
    path = tmp_path / "words.tv"
    path.write_bytes(b"\x93NUMPY" + bytes(100))
    with pytest.raises(IndexCorruptError):
        Vocabulary.load(path)
    ArrayFile("vocabulary", 3, "a vocabulary").write(path, {}, {})
    with pytest.raises(FormatVersionError, match="3"):
        Vocabulary.load(path)
    path.write_bytes(b"TVWORDS\n" + bytes(100))
    with pytest.raises(ValueError, match="format 1, no longer read: learn it again"):
        Vocabulary.load(path)
    with pytest.raises(FileNotFoundError):
        Vocabulary.load(tmp_path / "missing")


def test_a_failed_save_leaves_the_old_file(vocabulary, tmp_path, monkeypatch):
    path = tmp_path / "words.tv"
    vocabulary.save(path)
    before = path.read_bytes()

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        Vocabulary(vocabulary.words, "another").save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_learns_from_descriptors(rng):
    X = rng.integers(0, 256, (2000, 8), np.uint8)
    vocabulary = Vocabulary.from_descriptors(X, 20, FINGERPRINT, random_state=4)
    expected = KMeans(20, random_state=4).fit(X).cluster_centers_
    np.testing.assert_array_equal(vocabulary.words, expected)
    sampled = Vocabulary.from_descriptors(X, 2, FINGERPRINT)  # more than 256 a word
    again = Vocabulary.from_descriptors(X, 2, FINGERPRINT, max_descriptors=512)
    np.testing.assert_array_equal(sampled.words, again.words)
    assert not np.array_equal(sampled.words, KMeans(2).fit(X).cluster_centers_)
    with pytest.raises(ValueError, match="max_descriptors must be between 20"):
        Vocabulary.from_descriptors(X, 20, FINGERPRINT, max_descriptors=19)


def test_many_words_are_learned_approximately(rng, monkeypatch):
    X = rng.integers(0, 256, (2000, 8), np.uint8)
    exact = Vocabulary.from_descriptors(X, 300, FINGERPRINT)
    monkeypatch.setattr(vocabulary_module, "_EXACT_TO", 299)
    approximate = Vocabulary.from_descriptors(X, 300, FINGERPRINT)
    expected = KMeans(300, algorithm="approximate").fit(X).cluster_centers_
    np.testing.assert_array_equal(approximate.words, expected)
    again = Vocabulary.from_descriptors(X, 300, FINGERPRINT, algorithm="exact")
    np.testing.assert_array_equal(again.words, exact.words)


def test_soft_weights_are_those_of_a_gaussian(rng):
    words = rng.integers(0, 256, (9, 4), np.uint8)
    X = rng.integers(0, 256, (20, 4), np.uint8)
    vocabulary = Vocabulary(words, FINGERPRINT)
    weights, ids = vocabulary.assign_soft(X, 3, sigma=50)
    distances, expected = vocabulary.assign(X, 3)
    gaussian = np.exp(-distances / (2 * 50.0**2))
    np.testing.assert_allclose(weights, gaussian / gaussian.sum(axis=1, keepdims=True), rtol=1e-6)
    np.testing.assert_array_equal(ids, expected)
    weights, ids = vocabulary.assign_soft(X, 12)
    assert (weights[:, 9:] == 0).all()
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-6)
    far = Vocabulary(np.float32([[1e9, 0], [2e9, 0]]), "f").assign_soft([[0, 0]], 2)
    np.testing.assert_array_equal(far.weights, [[1, 0]])
    first = np.arange(3) == 0
    narrow = vocabulary.assign_soft(words, 3, sigma=1e-200)
    np.testing.assert_array_equal(narrow.weights, np.tile(first, (9, 1)))
    wide = vocabulary.assign_soft(words, 3, sigma=1e200)
    np.testing.assert_allclose(wide.weights, 1 / 3, rtol=1e-6)
    for sigma in (0, -1, np.nan, np.inf):
        with pytest.raises(ValueError, match="sigma must be positive"):
            vocabulary.assign_soft(X, sigma=sigma)


def test_learns_from_photos(rng, tmp_path):
    photos = [rng.integers(0, 256, (90, 120), np.uint8) for _ in range(3)]
    vocabulary = Vocabulary.learn(photos, 10, max_features=50)
    assert vocabulary.fingerprint == features.FINGERPRINT
    found = [features.sift(photo, max_features=50).descriptors for photo in photos]
    expected = Vocabulary.from_descriptors(np.concatenate(found), 10, features.FINGERPRINT)
    np.testing.assert_array_equal(vocabulary.words, expected.words)

    for i, photo in enumerate(photos):
        Image.fromarray(photo).save(tmp_path / f"{i}.png")
    (tmp_path / "3.png").write_bytes(b"no photo")
    from_folder = Vocabulary.learn(tmp_path, 10, max_features=50)
    np.testing.assert_array_equal(from_folder.words, vocabulary.words)
    with pytest.raises(ValueError, match="at least one photo that can be read"):
        Vocabulary.learn(tmp_path / "3.png", 10)


def test_learns_from_features_of_before(rng, tmp_path):
    photos = [rng.integers(0, 256, (90, 120), np.uint8) for _ in range(3)]
    ids = ["a", "b", "c"]
    features.extract_folder([*photos, b"no photo"], tmp_path, ids=[*ids, "d"], max_features=50)
    folder, stages, said = features.FolderFeatures.open(tmp_path), [], []
    vocabulary = Vocabulary.learn(
        folder,
        10,
        algorithm="approximate",
        announce=said.append,
        progress=lambda *stage: stages.append(stage),
        checkpoint=tmp_path / "checkpoint",
    )
    X = np.concatenate([folder[id].descriptors for id in ids])
    expected = Vocabulary.from_descriptors(
        [X[:10], X[10:]], 10, folder.fingerprint, algorithm="approximate"
    )
    np.testing.assert_array_equal(vocabulary.words, expected.words)
    assert vocabulary.fingerprint == folder.fingerprint
    assert stages[:4] == [*(("extracting", i, 3) for i in (1, 2, 3)), ("learning words", 1, 10)]
    assert len(said) == 1
    assert (tmp_path / "checkpoint").is_file()
    with pytest.raises(TypeError, match="max_features: the features of a folder are extracted"):
        Vocabulary.learn(folder, 10, max_features=50)
    features.extract_folder([b"no photo"], tmp_path / "none", ids=["d"])
    with pytest.raises(ValueError, match="none has none"):
        Vocabulary.learn(features.FolderFeatures.open(tmp_path / "none"), 2)
    features.extract_folder(photos, tmp_path / "orb", "orb", ids=ids)
    with pytest.raises(ValueError, match=r"opencv-orb/bits/uint8/32.* is of bits"):
        Vocabulary.learn(features.FolderFeatures.open(tmp_path / "orb"), 2)


def test_learning_from_photos_samples_as_learning_from_all_their_descriptors(rng):
    photos = [rng.integers(0, 256, (60, 80), np.uint8) for _ in range(9)]
    found = [features.sift(photo, max_features=40).descriptors for photo in photos]
    X = np.concatenate(found)
    assert len(X) > 100
    expected = Vocabulary.from_descriptors(
        X, 5, features.FINGERPRINT, max_descriptors=30, random_state=3
    )
    for threads in (1, 3):
        vocabulary = Vocabulary.learn(
            photos, 5, max_features=40, max_descriptors=30, random_state=3, threads=threads
        )
        np.testing.assert_array_equal(vocabulary.words, expected.words)
    with pytest.raises(ValueError, match="max_descriptors must be between 5"):
        Vocabulary.learn(photos, 5, max_descriptors=4)


@given(st.lists(st.integers(0, 30)), st.integers(1, 40), st.integers(0, 2**63 - 1))
def test_a_sample_is_that_of_all_rows_at_once(sizes, most, seed):
    rows, sample, n = np.arange(sum(sizes))[:, None], Sample(most, seed), 0
    sample.add(rows[:0])
    for size in sizes:
        sample.add(rows[n : n + size])
        n += size
        assert sum(map(len, sample._rows)) <= 2 * most
    expected = np.sort(shuffled(n, seed, SAMPLE)[:most])
    np.testing.assert_array_equal(sample.rows()[:, 0], expected)


def test_of_equal_keys_a_sample_has_the_first(monkeypatch):
    few = np.uint64([3, 1, 3, 3, 2, 3, 3, 0] * 4)
    monkeypatch.setattr(
        _sampling._core, "random_keys", lambda seed, item, first, n: few[first : first + n]
    )
    for most in range(1, 33):
        sample = Sample(most, 0)
        for begin in range(0, 32, 4):
            sample.add(np.arange(begin, begin + 4)[:, None])
        expected = np.sort(shuffled(32, 0, SAMPLE)[:most])
        np.testing.assert_array_equal(sample.rows()[:, 0], expected)


@pytest.mark.parametrize(
    ("words", "fingerprint", "error", "message"),
    [
        (np.zeros((0, 4)), FINGERPRINT, ValueError, "at least one word"),
        (np.zeros((4, 0)), FINGERPRINT, ValueError, "at least one word"),
        (np.zeros(4), FINGERPRINT, ValueError, "words must be 2-D"),
        (np.full((2, 2), np.nan), FINGERPRINT, ValueError, "words must be finite"),
        (np.zeros((2, 2)), "", ValueError, "fingerprint"),
        (np.zeros((2, 2)), None, ValueError, "fingerprint"),
    ],
)
def test_says_what_is_wrong(words, fingerprint, error, message):
    with pytest.raises(error, match=message):
        Vocabulary(words, fingerprint)


def test_learn_names_what_is_wrong():
    with pytest.raises(TypeError, match="root: words are learned from RootSIFT"):
        Vocabulary.learn([np.zeros((9, 9), np.uint8)], 5, root=False)
    with pytest.raises(TypeError, match="photos must be paths, bytes or arrays"):
        Vocabulary.learn(None, 5)
    with pytest.raises(ValueError, match="threads must be"):
        Vocabulary.learn([np.zeros((9, 9), np.uint8)], 5, threads=0)
    with pytest.raises(ValueError, match="algorithm must be one of 'exact', 'approximate'"):
        Vocabulary.learn(["no photo, which is not looked for"], 5, algorithm="exakt")


def test_the_ready_vocabulary_is_of_our_sift(rng):
    ready = ready_vocabulary()
    assert ready.fingerprint == features.FINGERPRINT
    assert has_ready_vocabulary(features.FINGERPRINT)
    assert (ready.words.dtype, ready.words.shape) == (np.uint8, (16_384, 128))
    assert len(np.unique(ready.words, axis=0)) == 16_384
    lengths = np.linalg.norm(ready.words.astype(float), axis=1)  # of RootSIFT 512, of means less
    assert lengths.max() < 520
    assert np.median(lengths) > 400
    assert not has_ready_vocabulary("another/rootsift/uint8/128")
    with pytest.raises(ValueError, match=r"no vocabulary of .*'another'.*Vocabulary.learn"):
        ready_vocabulary("another")
