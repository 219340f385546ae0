# SPDX-License-Identifier: Apache-2.0
"""Lists of signatures that somebody else keeps: searched as those that an index made itself."""

import numpy as np
import pytest

from trouvaille.index import ASMK, HammingIndex, signature_content

NUM_WORDS, N_BITS = 6, 13


def photos_of(rng, n):
    sizes = rng.integers(0, 9, n)
    words = [np.sort(rng.integers(0, NUM_WORDS, size)) for size in sizes]
    bits = [rng.integers(0, 2, (size, N_BITS)) for size in sizes]
    return [
        (w, np.packbits(b, axis=1, bitorder="little")) for w, b in zip(words, bits, strict=True)
    ]


def lists_of(photos, num_words=NUM_WORDS):
    words = np.concatenate([words for words, _ in photos])
    numbers = np.repeat(np.arange(len(photos)), [len(words) for words, _ in photos])
    order = np.argsort(words, kind="stable")
    counts = np.bincount(words, minlength=num_words)
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.uint64)
    signatures = np.concatenate([signatures for _, signatures in photos])
    return starts, numbers[order].astype(np.uint16), signatures[order], len(photos)


def assert_same(one, other):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("few", [1, 20, 150, 1 << 18])
def test_lists_are_found_as_photos_are(rng, monkeypatch, few):
    monkeypatch.setattr(signature_content, "_FEW_POSTINGS", few)
    photos, queries = photos_of(rng, 40), photos_of(rng, 5)
    expected = HammingIndex(NUM_WORDS, N_BITS)
    expected.add(photos)
    index = HammingIndex(NUM_WORDS, N_BITS)
    for begin, end in ((0, 17), (17, 18), (18, 18), (18, 19), (19, 33), (33, 40)):
        if begin == end:
            index.add_lists(np.zeros(NUM_WORDS + 1), [], np.zeros((0, 2), np.uint8), 0)
        else:
            index.add_lists(*lists_of(photos[begin:end]))
    assert len(index) == 40
    assert_same(index.search(queries, 45), expected.search(queries, 45))
    for changed in (index, expected):
        changed.remove([3, 17, 39])
        changed.add(queries, [100, 101, 102, 103, 104])
    assert_same(index.search(photos, 45), expected.search(photos, 45))


def test_lists_of_many_photos_are_not_copied(rng, monkeypatch):
    lists = lists_of(photos_of(rng, 1000))
    monkeypatch.setattr(signature_content, "_FEW_POSTINGS", len(lists[2]))
    index = HammingIndex(NUM_WORDS, N_BITS)
    for _ in range(3):
        index.add_lists(*lists)
    for block in index._content.blocks:
        assert block.arrays[3].base is lists[2] or block.arrays[3] is lists[2]
    assert len(index) == 3000


def test_a_kernels_signatures_can_be_kept_elsewhere(rng):
    words = rng.integers(0, 256, (NUM_WORDS, 16), dtype=np.uint8)
    photos = [rng.integers(0, 256, (n, 16), dtype=np.uint8) for n in (5, 0, 9, 3)]
    expected = ASMK(words)
    expected.add(photos)
    rows = expected.signatures(photos)
    parts = [slice(*rows.offsets[i : i + 2]) for i in range(4)]
    index = ASMK(words)
    index.add_lists(*lists_of([(rows.words[part], rows.signatures[part]) for part in parts]))
    assert_same(index.search(photos, 4), expected.search(photos, 4))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda s, p, r: (s[:-1], p, r, 4), ValueError, "starts must have 7 numbers"),
        (lambda s, p, r: (s[::-1], p, r, 4), ValueError, "starts must go from 0"),
        (lambda s, p, r: (s + np.uint64(1), p, r, 4), ValueError, "starts must go from 0"),
        (lambda s, p, r: (s, p, r[:-1], 4), ValueError, "one a posting"),
        (lambda s, p, r: (s, p, r[:, :1], 4), ValueError, "another length"),
        (lambda s, p, r: (s, p, r | 128, 4), ValueError, "bits"),
        (lambda s, p, r: (s, p, r, 1), ValueError, "names no photo"),
        (lambda s, p, r: (s, p[::-1], r, 4), ValueError, "ascend"),
        (lambda s, p, r: (s, p, r, 65_537), ValueError, "n_photos"),
        (lambda s, p, r: (s, p, r, -1), ValueError, "n_photos"),
        (lambda s, p, r: (s, p, r.astype(str), 4), TypeError, "signatures"),
        (lambda s, p, r: (s, p + 0.5, r, 4), ValueError, "photos"),
    ],
)
def test_what_are_no_lists_is_refused(change, error, message):
    given = [([1], [[1, 2]]), ([1, 3], [[3, 4], [5, 6]]), ([], []), ([1], [[0, 0]])]
    photos = [(np.array(w, np.int64), np.array(r, np.uint8).reshape(-1, 2)) for w, r in given]
    starts, numbers, rows, _ = lists_of(photos)
    index = HammingIndex(NUM_WORDS, N_BITS)
    with pytest.raises(error, match=message):
        index.add_lists(*change(starts, numbers, rows))
    assert len(index) == 0
