# SPDX-License-Identifier: Apache-2.0
import struct

import numpy as np
import pytest
from PIL import Image

from trouvaille import _core, features
from trouvaille.errors import FormatVersionError, IndexCorruptError
from trouvaille.words import KMeans, Vocabulary, assign

FINGERPRINT = "opencv-sift/rootsift/uint8/128"


@pytest.fixture(params=[np.uint8, np.float32])
def vocabulary(request, rng):
    return Vocabulary(rng.integers(0, 256, (5, 3)).astype(request.param), FINGERPRINT)


def sealed(content):
    """Give what stands before the checksum its right checksum."""
    return content + struct.pack("<I", _core.crc32c(content))


def test_round_trip(vocabulary, tmp_path):
    path = tmp_path / "words.tv"
    vocabulary.save(path)
    vocabulary.save(path)  # over an old one
    loaded = Vocabulary.load(path)
    assert loaded.fingerprint == FINGERPRINT
    assert loaded.words.dtype == vocabulary.words.dtype
    np.testing.assert_array_equal(loaded.words, vocabulary.words)
    assert list(tmp_path.iterdir()) == [path]
    assert len(path.read_bytes()) % 64 == (4 + vocabulary.words.nbytes) % 64  # aligned rows


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
    assert repr(vocabulary) == f"Vocabulary(num_words=5, fingerprint='{FINGERPRINT}')"


@pytest.mark.parametrize("mask", [0x01, 0x80, 0xFF])
def test_every_changed_byte_is_noticed(vocabulary, tmp_path, mask):
    path = tmp_path / "words.tv"
    vocabulary.save(path)
    whole = path.read_bytes()
    for offset in range(len(whole)):
        damaged = bytearray(whole)
        damaged[offset] ^= mask
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"words\.tv") as error:
            Vocabulary.load(path)
        if offset >= 12:  # behind the magic and the version
            assert isinstance(error.value, IndexCorruptError)
            assert error.value.path == path


def test_every_missing_or_additional_byte_is_noticed(vocabulary, tmp_path):
    path = tmp_path / "words.tv"
    vocabulary.save(path)
    whole = path.read_bytes()
    for content in [whole[:size] for size in range(1, len(whole))] + [whole + b"\0"]:
        path.write_bytes(content)
        with pytest.raises(IndexCorruptError):
            Vocabulary.load(path)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="not a vocabulary"):
        Vocabulary.load(path)


def file_of(header, size):
    head = struct.pack("<8sII", b"TVWORDS\n", 1, size) + header
    return sealed(head + bytes(-len(head) % 64) + b"\xff" * 64)


def test_the_format_is_what_save_says(tmp_path):
    header = b'{"fingerprint": "f", "dtype": "uint8", "shape": [4, 16]}'
    path = tmp_path / "words.tv"
    path.write_bytes(file_of(header, len(header)))
    assert (Vocabulary.load(path).words == np.full((4, 16), 255, np.uint8)).all()
    Vocabulary(np.full((4, 16), 255, np.uint8), "f").save(path)
    assert path.read_bytes() == file_of(header, len(header))


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"{}",
        b"[]",
        b"1",
        b'"\xff"',
        b"[" * 10_000,
        b'{"fingerprint": "f", "dtype": "uint8", "shape": [2, 32]',
        b'{"fingerprint": "f", "dtype": "uint8", "shape": [2, 31]}',
        b'{"fingerprint": "f", "dtype": "uint8", "shape": [-2, -32]}',
        b'{"fingerprint": "f", "dtype": "uint8", "shape": [64]}',
        b'{"fingerprint": "f", "dtype": "uint8", "shape": 64}',
        b'{"fingerprint": "f", "dtype": "uint8", "shape": [0, 32]}',
        b'{"fingerprint": "f", "dtype": "uint8", "shape": [2.0, 32]}',
        b'{"fingerprint": "f", "dtype": "uint8", "shape": [99999999999999999999, 32]}',
        b'{"fingerprint": "f", "dtype": "object", "shape": [2, 32]}',
        b'{"fingerprint": "f", "dtype": ["uint8"], "shape": [2, 32]}',
        b'{"fingerprint": "f", "dtype": "float32", "shape": [2, 8]}',  # NaN
        b'{"fingerprint": "", "dtype": "uint8", "shape": [2, 32]}',
        b'{"fingerprint": 7, "dtype": "uint8", "shape": [2, 32]}',
    ],
)
def test_a_well_sealed_lie_is_noticed(tmp_path, header):
    path = tmp_path / "words.tv"
    for size in (len(header), 2**32 - 1):
        path.write_bytes(file_of(header, size))
        with pytest.raises(IndexCorruptError):
            Vocabulary.load(path)


def test_another_file_and_a_newer_format_say_so(tmp_path):
    path = tmp_path / "words.tv"
    path.write_bytes(b"\x93NUMPY" + bytes(100))
    with pytest.raises(ValueError, match="not a vocabulary"):
        Vocabulary.load(path)
    path.write_bytes(sealed(struct.pack("<8sII", b"TVWORDS\n", 2, 0)))
    with pytest.raises(FormatVersionError, match=r"format 2.*newer"):
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
