# SPDX-License-Identifier: Apache-2.0
"""Hamming embedding, SMK and ASMK in an inverted file: the sums that NumPy finds pair by pair."""

import copy
import itertools
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import interrupts
import reference_match_kernel as reference
from trouvaille import _core
from trouvaille.errors import FormatVersionError, IndexCorruptError
from trouvaille.index import ASMK, SMK, HammingIndex
from trouvaille.index.signature_block import MAX_PHOTOS, SignatureRows
from trouvaille.words import Vocabulary, assign

BURSTINESS = (None, "intra", "inter", "both")


def signed_photos(rng, n, num_words, n_bits, k=1, most=12):
    """Photos whose features are near to a few signatures, so that many match; some have none."""
    patterns = np.random.default_rng(n_bits).random((4, n_bits)) < 0.5
    photos = []
    for size in rng.integers(0, most + 1, n):
        bits = patterns[rng.integers(0, 4, (size, k))] ^ (rng.random((size, k, n_bits)) < 0.2)
        words = rng.integers(0, num_words, (size, k))
        photos.append((words, np.packbits(bits, axis=-1, bitorder="little")))
    return photos


def described_photos(rng, n, n_dims, most=20, dtype=np.uint8):
    sizes = rng.integers(0, most + 1, n)
    return [rng.integers(0, 256, (size, n_dims)).astype(dtype) for size in sizes]


def assert_found(found, scores, ids=None, rtol=1e-12):
    """Scores are as expected, and the ranking is theirs."""
    for row, own in enumerate(scores):
        expected, order = reference.ranked(np.asarray(own), found.ids.shape[1], ids)
        np.testing.assert_allclose(found.scores[row], expected, rtol=rtol, atol=1e-12)
        clear = np.abs(np.diff(expected[np.isfinite(expected)])) > 1e-9
        if clear.all():
            np.testing.assert_array_equal(found.ids[row], order)


def assert_same(found, expected):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


# ---- Hamming embedding


@pytest.mark.parametrize("burstiness", BURSTINESS)
@pytest.mark.parametrize("n_bits", [8, 13, 64, 128, 200, 256])
def test_hamming_scores(rng, isa, burstiness, n_bits):
    photos = signed_photos(rng, 30, 7, n_bits)
    queries = signed_photos(rng, 4, 7, n_bits, k=3)
    index = HammingIndex(7, n_bits, burstiness=burstiness)
    index.add(photos)
    found = index.search(queries, k=35, threads=2)
    threshold, sigma = 3 * n_bits // 8, n_bits / 4
    scores = [
        reference.hamming_scores(query, photos, 7, threshold, sigma, burstiness)
        for query in queries
    ]
    assert sum(own.any() for own in scores) >= 2
    assert_found(found, scores)


@pytest.mark.parametrize("burstiness", BURSTINESS)
def test_one_word_only(rng, isa, burstiness):
    """Lists of several groups of rows and what is left; idf would be 0."""
    photos = signed_photos(rng, 40, 1, 64, most=25)
    index = HammingIndex(1, burstiness=burstiness, idf=[1.5], threshold=20, sigma=11)
    index.add(photos)
    scores = [
        reference.hamming_scores(query, photos, 1, 20, 11, burstiness, idf=[1.5])
        for query in photos[:3]
    ]
    assert_found(index.search(photos[:3], k=40), scores)
    follows = HammingIndex(1)
    follows.add(photos[1:3])
    assert (follows.search(photos[:1], k=2).scores == 0).all()


def test_extreme_options():
    signatures = np.uint8([[0], [1]])
    for sigma, expected in ((1e-200, 1), (1e300, 2)):
        index = HammingIndex(1, 8, threshold=8, sigma=sigma, burstiness=None, idf=[1e30])
        index.add([([0, 0], signatures), ([0], [[255]])])
        found = index.search([([0], signatures[:1])], k=2)
        np.testing.assert_allclose(sorted(found.scores[0]), sorted([expected / 2, expected - 1]))
    for alpha in (1e-300, 1e300):
        index = ASMK([[5, 5]], alpha=alpha, idf=None)
        index.add([[[6, 6]], [[4, 4]]])
        assert index.search([[[9, 9]]], k=2).scores.tolist() == [[1, 0]]


def test_bursts_count_less(rng):
    signature = np.zeros((9, 8), np.uint8)
    photos = [([0] * 9, signature), ([0, 1], signature[:2])]
    query = [([0, 1], signature[:2])]
    plain, damped = (HammingIndex(2, idf=[1, 1], burstiness=b) for b in (None, "intra"))
    for index in (plain, damped):
        index.add(photos)
    a, b = (dict(zip(i.search(query, 2).ids[0], i.search(query, 2).scores[0], strict=True))
            for i in (plain, damped))  # fmt: skip
    assert a[1] == b[1]
    np.testing.assert_allclose(b[0], a[0] / 3)


@pytest.mark.parametrize("burstiness", ["inter", "both"])
@pytest.mark.parametrize("least", [1e-3, 1e-4, 1e-5, 1e-9, 1e-36])
def test_matches_that_count_little_are_damped_as_others_are(isa, burstiness, least):
    """Of a word that weighs little beside others of the query or of the feature itself."""
    idf, signatures = [1, least], np.zeros((50, 1, 8), np.uint8)
    signatures[::3] = 1
    photos = [(np.full((n, 1), word), signatures[:n]) for n, word in ((50, 1), (20, 1), (3, 0))]
    photos += [(np.int64([[0], [1]]), signatures[:2])]
    index = HammingIndex(2, burstiness=burstiness, idf=idf)
    index.add(photos)
    several = (np.int64([[0], [1]]), signatures[:2])  # features of a word each
    one = (np.int64([[0, 1]]), signatures[:2].reshape(1, 2, 8))  # a feature of both words
    for query in (several, one):
        found = index.search([query], k=4, threads=2)
        scores = reference.hamming_scores(query, photos, 2, 24, 16, burstiness, idf=idf)
        np.testing.assert_allclose(found.scores[0], scores[found.ids[0]], rtol=1e-12)


@pytest.mark.parametrize("sigma", [1.5, 2, 5])
def test_matches_far_apart_are_damped_as_others_are(sigma):
    signatures = np.full((40, 1, 8), 1, np.uint8)  # 8 bits apart from none
    photos = [(np.zeros((40, 1), np.int64), signatures)] * 2
    query = (np.int64([[0]]), np.zeros((1, 1, 8), np.uint8))
    index = HammingIndex(1, burstiness="inter", idf=[1], sigma=sigma)
    index.add(photos)
    scores = reference.hamming_scores(query, photos, 1, 24, sigma, "inter", idf=[1])
    np.testing.assert_allclose(index.search([query], k=2).scores[0], scores, rtol=1e-5)


@given(st.integers(0, 2**32), st.sampled_from(BURSTINESS), st.integers(1, 6))
def test_the_division_into_calls_does_not_matter(seed, burstiness, calls):
    rng = np.random.default_rng(seed)
    photos, queries = signed_photos(rng, 25, 5, 24), signed_photos(rng, 3, 5, 24, k=2)
    whole, parts = (HammingIndex(5, 24, burstiness=burstiness) for _ in range(2))
    ids = rng.permutation(100)[:25]
    whole.add(photos, ids)
    for own in np.array_split(np.arange(25), calls):
        parts.add([photos[i] for i in own], ids[own])
        parts.search(queries, k=3)
    assert_same(parts.search(queries, k=30), whole.search(queries, k=30, threads=1))
    one_by_one = [whole.search([query], k=30) for query in queries]
    assert_same([np.concatenate(part) for part in zip(*one_by_one, strict=True)],
                whole.search(queries, k=30))  # fmt: skip
    np.testing.assert_array_equal(parts.ids, whole.ids)


@pytest.mark.parametrize("burstiness", BURSTINESS)
def test_the_same_bits_for_all(rng, isa, threads, burstiness):
    photos, queries = signed_photos(rng, 200, 3, 64), signed_photos(rng, 5, 3, 64, k=2)
    index = HammingIndex(3, burstiness=burstiness)
    index.add(photos)
    found = index.search(queries, k=50, threads=threads)
    _core.use_isa("scalar")
    assert_same(found, index.search(queries, k=50, threads=1))


def test_more_photos_than_a_block_holds(rng):
    n = MAX_PHOTOS + 5_000
    words, signatures = rng.integers(0, 50, n), rng.integers(0, 256, (n, 4), dtype=np.uint8)
    rows = SignatureRows(np.arange(n + 1), words.astype(np.uint32), signatures)
    index = HammingIndex(50, 32, burstiness="inter", idf=None)
    index._add(rows, None)
    assert index.stats().n_postings == len(index) == n
    for word in (0, 49):
        found = index.search([([word], np.zeros((1, 4), np.uint8))], k=30)
        near = np.unpackbits(signatures, axis=1).sum(axis=1)
        near = np.where((words == word) & (near <= 12), np.exp(-((near / 8) ** 2)), 0)
        # Each photo's norm is 1. A feature of the query has all matches.
        damped = np.divide(near**1.5, np.sqrt(near.sum()), where=near > 0, out=np.zeros(n))
        assert_found(found, [damped])
    index.remove(np.arange(0, n, 2))
    found = index.search([([0], np.zeros((1, 4), np.uint8))], k=10)
    assert (found.ids % 2 == 1).all()


# ---- ids, removals, files


def small(kind, n=12, seed=0):
    """An index of some photos, and queries for it."""
    rng = np.random.default_rng(seed)
    if kind is HammingIndex:
        index = HammingIndex(9, 16)
        index.add(signed_photos(rng, n, 9, 16))
        return index, signed_photos(rng, 3, 9, 16)
    index = kind(rng.integers(0, 256, (9, 16), dtype=np.uint8), query_words=2)
    index.add(described_photos(rng, n, 16))
    return index, described_photos(rng, 3, 16, dtype=np.float32)


KINDS = pytest.mark.parametrize("kind", [HammingIndex, SMK, ASMK])


@KINDS
def test_ids(kind):
    index, queries = small(kind)
    index.remove([3, 11])
    assert index.ids.tolist() == [0, 1, 2, 4, 5, 6, 7, 8, 9, 10]
    photos = small(kind, seed=1)[1]
    index.add(photos[:1])
    index.add(photos[1:2], ids=[3])  # of one that is gone
    assert index.ids.tolist()[-2:] == [12, 3]
    with pytest.raises(ValueError, match="12 is there already"):
        index.add(photos[:1], ids=[12])
    with pytest.raises(ValueError, match="distinct, got 40 twice"):
        index.add(photos[:2], ids=[40, 40])
    with pytest.raises(ValueError, match="11 is not"):
        index.remove([0, 11])
    with pytest.raises(ValueError, match="one a row"):
        index.add(photos, ids=[1])
    assert len(index) == 12
    assert 11 not in index.search(queries, k=20).ids


@KINDS
def test_ties_go_to_the_smaller_id(kind):
    index, queries = small(kind, n=0)
    photo = small(kind, n=0, seed=2)[1][0]
    index.add([photo] * 5, ids=[9, 2, 7, 4, 5])
    found = index.search([photo, *queries], k=3)
    assert found.ids[0].tolist() == [2, 4, 5]


@KINDS
def test_removed_photos_leave_nothing(kind):
    index, queries = small(kind, n=30)
    index.remove([*range(0, 30, 3)])
    assert index.stats().n_removed == 10
    fresh, _ = small(kind, n=0)
    rng = np.random.default_rng(0)
    if kind is HammingIndex:
        photos = signed_photos(rng, 30, 9, 16)
    else:
        rng.integers(0, 256, (9, 16), dtype=np.uint8)
        photos = described_photos(rng, 30, 16)
    left = [i for i in range(30) if i % 3]
    fresh.add([photos[i] for i in left], left)
    assert_same(index.search(queries, k=25), fresh.search(queries, k=25))
    index.remove(left[:10])  # most are gone: the rest is written anew
    fresh.remove(left[:10])
    assert index.stats().n_removed == 0
    assert_same(index.search(queries, k=25), fresh.search(queries, k=25))
    index.remove(left[10:])
    assert len(index) == 0
    assert index.stats().bytes_a_posting == 0
    assert (index.search(queries, k=2).ids == -1).all()


@KINDS
def test_copies_are_of_their_own(kind, tmp_path):
    index, queries = small(kind)
    index.remove([3])
    index.save(tmp_path / "index")
    for one in (index, kind.load(tmp_path / "index")):
        for searched in (False, True):
            other = copy.deepcopy(one)
            assert repr(other) == repr(one)
            assert_same(other.search(queries, k=9), index.search(queries, k=9))
            other.add(queries[:2])
            other.remove([0])
            assert other.ids.tolist() == [*range(1, 3), *range(4, 14)]
            assert len(one) == 11
            if not searched:
                one.search(queries, k=1)


@KINDS
@pytest.mark.parametrize("idf", ["following", None, "given"])
@pytest.mark.parametrize("mmap", [True, False])
def test_a_file_gives_the_same_answers(kind, idf, mmap, tmp_path):
    given_idf = np.arange(9) / 3 if idf == "given" else idf
    if kind is HammingIndex:
        index = HammingIndex(9, 16, threshold=7, sigma=3.5, burstiness="intra", idf=given_idf)
    else:
        words = np.random.default_rng(0).integers(0, 256, (9, 16), dtype=np.uint8)
        index = kind(words, alpha=2, similarity_threshold=0.1, query_words=3, idf=given_idf)
    rng, (_, queries) = np.random.default_rng(1), small(kind)
    for ids in (None, [40, 20, 30], None):
        photos = small(kind, seed=int(rng.integers(99)))[1]
        index.add(photos, ids)
    index.remove([20])
    index.save(tmp_path / "index")
    opened = kind.load(tmp_path / "index", mmap=mmap)
    assert repr(opened) == repr(index)
    assert_same(opened.search(queries, k=9), index.search(queries, k=9))
    for one in (opened, index):
        one.add(queries)
    assert_same(opened.search(queries, k=12), index.search(queries, k=12))
    assert opened.ids.tolist() == index.ids.tolist()
    opened.save(tmp_path / "index")  # while it is mapped
    assert_same(kind.load(tmp_path / "index").search(queries, k=12), index.search(queries, k=12))


@KINDS
def test_a_damaged_file_is_refused(kind, tmp_path, rng):
    index, _ = small(kind)
    index.remove([2])
    index.save(tmp_path / "index")
    whole = (tmp_path / "index").read_bytes()
    for _ in range(30):
        damaged = bytearray(whole)
        damaged[rng.integers(len(whole))] ^= 1 << rng.integers(8)
        (tmp_path / "index").write_bytes(damaged)
        with pytest.raises((IndexCorruptError, FormatVersionError)):
            kind.load(tmp_path / "index")
    (tmp_path / "index").write_bytes(whole[:-9])
    with pytest.raises(IndexCorruptError):
        kind.load(tmp_path / "index")
    with pytest.raises(FileNotFoundError):
        kind.load(tmp_path / "none")


def changed(array, change):
    array = np.array(array)
    change(array)
    return array


def with_array(name, change):
    def apply(metadata, arrays):
        arrays[name] = changed(arrays[name], change)

    return apply


def with_metadata(**values):
    def apply(metadata, arrays):
        metadata |= values

    return apply


def first_is(value):
    return lambda a: a.__setitem__(0, value)


LIES = {
    "a word too large": with_array("words_000001", lambda a: a.__setitem__(-1, 900)),
    "words that do not ascend": with_array("words_000001", lambda a: a.__setitem__(1, a[0])),
    "starts that fall": with_array("starts_000001", lambda a: a.__setitem__(1, 2**63)),
    "starts from 1": with_array("starts_000001", first_is(1)),
    "starts too long": with_array("starts_000001", lambda a: a.__setitem__(-1, 10**6)),
    "a photo too large": with_array("photos_000001", lambda a: a.__setitem__(-1, 60_000)),
    "photos that do not ascend": with_array(
        "photos_000001", lambda a: a.__setitem__(slice(None), a[::-1].copy())
    ),
    "bits beyond the last": with_array("signatures_000001", lambda a: a.fill(255)),
    "an id twice": with_array("ids_000001", lambda a: a.fill(1)),
    "neither 0 nor 1": with_array("alive_000001", first_is(7)),
    "no largest id": with_metadata(largest_id=1),
    "first ids": with_metadata(first_ids=[3]),
    "too many blocks": with_metadata(first_ids=[None, None]),
    "no blocks": with_metadata(first_ids=[]),
    "idf": with_metadata(idf="given"),
    "parameters": with_metadata(parameters={"num_words": 300}),
    "a parameter too many": with_metadata(parameters={"num_words": 300, "n_bits": 13, "x": 1}),
    "other metadata": with_metadata(x=1),
    "an array too many": lambda metadata, arrays: arrays.update(more=np.zeros(1)),
    "another type": lambda metadata, arrays: arrays.update(photos_000001=np.zeros(5)),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=list(LIES))
def test_a_file_that_lies_is_refused(lie, tmp_path, rng):
    index = HammingIndex(300, 13)  # of which few words have a list
    index.add(signed_photos(rng, 9, 6, 13), ids=rng.permutation(50)[:9])
    index.remove(index.ids[:1])
    metadata, arrays = index._content.to_file()
    metadata |= {"parameters": index._parameters(), "idf": index.idf}
    HammingIndex._format.write(tmp_path / "index", metadata, arrays)
    HammingIndex.load(tmp_path / "index")
    lie(metadata, arrays)
    HammingIndex._format.write(tmp_path / "index", metadata, arrays)
    with pytest.raises(IndexCorruptError):
        HammingIndex.load(tmp_path / "index")


@KINDS
def test_searches_see_the_photos_from_when_they_began(kind):
    index, queries = small(kind, n=0)
    photos = small(kind, seed=1)[1]
    expected = []
    for n in range(4):
        expected.append(index.search(queries, k=9))
        index.add(photos[n : n + 1])
    index.remove([0, 1, 2])

    def search(_):
        return index.search(queries, k=9)

    with ThreadPoolExecutor(3) as pool:
        waiting = pool.map(search, range(200))
        for _ in range(20):
            for n in range(3):
                index.add(photos[n : n + 1], ids=[n])
            index.remove([2])
            index.remove([1])
            index.remove([0])
        for found in waiting:
            n = int((found.ids[0] >= 0).sum())
            assert_same(found, expected[n])


# ---- match kernels


def residuals_of(photos, words, k, aggregated):
    found = []
    for x in photos:
        nearest = assign(x, words, k).ids
        found.append(reference.residuals(x, nearest, words, aggregated) if len(x) else [])
    return found


@pytest.mark.parametrize("kind", [SMK, ASMK])
@pytest.mark.parametrize("idf", ["following", None])
@pytest.mark.parametrize("n_dims", [5, 16, 64, 128])
def test_match_kernels(rng, isa, kind, idf, n_dims):
    words = rng.integers(0, 256, (12, n_dims), dtype=np.uint8)
    photos, queries = described_photos(rng, 20, n_dims), described_photos(rng, 3, n_dims)
    index = kind(words, query_words=4, idf=idf)
    index.add(photos, threads=2)
    found = index.search(queries, k=25, threads=2)
    aggregated = kind is ASMK
    own = residuals_of(photos, words, 1, aggregated)
    weights = np.ones(12)
    if idf == "following":
        weights = reference.idf_of([np.int64([w for w, _ in photo]) for photo in own], 12)
    scores = [
        reference.match_kernel_scores(query, own, weights, 3, 0)
        for query in residuals_of(queries, words, 4, aggregated)
    ]
    assert_found(found, scores)


@pytest.mark.parametrize(("alpha", "threshold"), [(3, 0), (1, 0.25), (2.5, 0)])
def test_the_published_ranking(rng, alpha, threshold):
    words = rng.integers(0, 256, (40, 128), dtype=np.uint8)
    scenes = described_photos(rng, 12, 128, most=60)
    photos = [np.clip(x + rng.normal(0, 20, x.shape), 0, 255).astype(np.uint8) for x in scenes]
    photos += described_photos(rng, 30, 128, most=60)
    photos = [x for x in photos if len(x)]
    index = ASMK(words, alpha=alpha, similarity_threshold=threshold, idf=None)
    index.add(photos)
    own = residuals_of(photos, words, 1, True)
    for query in (x for x in scenes if len(x)):
        [residuals] = residuals_of([query], words, 5, True)
        ranking, scores = reference.published_asmk(residuals, own, alpha, threshold)
        found = index.search([query], k=len(photos))
        np.testing.assert_allclose(found.scores[0], scores[ranking], rtol=1e-12, atol=1e-15)
        np.testing.assert_array_equal(found.ids[0], ranking)


@pytest.mark.parametrize("idf", ["following", None])
def test_the_published_package(rng, idf):
    kernel = pytest.importorskip("asmk.kernel", reason="asmk is not installed")
    inverted_file = pytest.importorskip("asmk.inverted_file")
    words = rng.integers(0, 256, (40, 64), dtype=np.uint8)
    photos = [x for x in described_photos(rng, 30, 64, most=60) if len(x)]
    queries = [np.clip(x + rng.normal(0, 20, x.shape), 0, 255).astype(np.uint8) for x in photos]
    index = ASMK(words, idf=idf)
    index.add(photos)
    peer = kernel.ASMKKernel(SimpleNamespace(centroids=words.astype(np.float32)), binary=True)
    joined = np.concatenate(photos)
    numbers = np.repeat(np.arange(len(photos)), [len(x) for x in photos])
    held = inverted_file.IVF.initialize_empty(codebook_size=40, use_idf=idf is not None)
    nearest = assign(joined, words, 1).ids
    held.add(*peer.aggregate(joined.astype(np.float32), nearest, numbers))
    for query in queries:
        ids, scores = held.search(
            *peer.aggregate_image(query.astype(np.float32), assign(query, words, 5).ids),
            similarity_func=partial(peer.similarity, alpha=3.0, similarity_threshold=0.0),
            topk=len(photos),
        )
        found = index.search([query], k=len(photos))
        if idf == "following":  # a word that no photo has weighs 1 in the peer's query norm
            scores = scores * (found.scores[0, 0] / scores[0])
        np.testing.assert_allclose(found.scores[0], scores, rtol=1e-5, atol=1e-7)
        clear = np.abs(np.diff(scores, append=-1, prepend=2)) > 1e-6
        clear = clear[1:] & clear[:-1]
        np.testing.assert_array_equal(found.ids[0][clear], ids[clear])


@pytest.mark.parametrize("kind", [SMK, ASMK])
def test_a_photo_is_most_like_itself(rng, kind):
    words = rng.integers(0, 256, (50, 32), dtype=np.uint8)
    photos = described_photos(rng, 20, 32)
    index = kind(words, query_words=1, idf=None)
    index.add(photos)
    full = [i for i, x in enumerate(photos) if len(x)]
    found = index.search([photos[i] for i in full], k=1)
    np.testing.assert_allclose(found.scores[:, 0], 1)
    np.testing.assert_array_equal(found.ids[:, 0], full)


def test_dissimilar_residuals_count_against_a_photo(rng):
    words = np.full((1, 8), 100, np.uint8)
    index = ASMK(words, alpha=1, similarity_threshold=-1, idf=None)
    index.add([np.full((1, 8), 90), np.full((1, 8), 110), np.zeros((0, 8))])
    found = index.search([np.full((1, 8), 110)], k=3)
    assert found.scores.tolist() == [[1, 0, -1]]
    assert found.ids.tolist() == [[1, 2, 0]]


@pytest.mark.parametrize("aggregated", [True, False])
def test_binary_residuals(rng, threads, aggregated):
    words, x = rng.normal(size=(9, 19)), rng.normal(size=(200, 19))
    words, x = words.astype(np.float32), x.astype(np.float32)
    nearest = rng.integers(0, 9, (200, 3))
    offsets = np.array([0, 0, 80, 200, 200])
    found = _core.binary_residuals(x, words, nearest, offsets, aggregated, threads)
    for p, (begin, end) in enumerate(itertools.pairwise(offsets)):
        expected = reference.residuals(x[begin:end], nearest[begin:end], words, aggregated)
        own = slice(found[0][p], found[0][p + 1])
        assert found[1][own].tolist() == [word for word, _ in expected]
        bits = np.unpackbits(found[2][own], axis=1, bitorder="little")
        assert not bits[:, 19:].any()
        for row, (_, wanted) in zip(bits, expected, strict=True):
            np.testing.assert_array_equal(row[:19], wanted)


@pytest.mark.parametrize("kind", [SMK, ASMK])
def test_ways_to_give_descriptors(rng, kind):
    words = rng.integers(0, 256, (9, 16), dtype=np.uint8)
    photos = described_photos(rng, 8, 16)
    joined, offsets = np.concatenate(photos), np.cumsum([0, *map(len, photos)])
    nearest = assign(joined, words, 1).ids
    indexes = [kind(words), kind(Vocabulary(words, "x")), kind(words.astype(float)), kind(words)]
    indexes[0].add(photos)
    indexes[1].add((joined, offsets))
    indexes[2].add([x.astype(float).tolist() for x in photos])
    indexes[3].add(photos, nearest=nearest[:, 0])
    several = assign(joined, words, 5).ids
    expected = indexes[0].search(photos, k=8)
    for index in indexes:
        assert_same(index.search(photos, k=8), expected)
        assert_same(index.search((joined.astype(float), offsets), k=8, nearest=several), expected)


def many_words(rng, dtype=np.uint8):
    """Words among which a walk can miss the nearest, and photos near to them."""
    words = rng.integers(0, 256, (600, 12)).astype(dtype)
    near = [words[rng.integers(0, 600, size)] for size in (40, 0, 25, 60)]
    photos = [np.clip(x + rng.normal(0, 30, x.shape), 0, 255).round().astype(dtype) for x in near]
    return words, photos


def with_words_of(vocabulary, kind, photos, queries):
    """Give an index whose words were found beforehand, along a graph, and what a search finds."""
    index = kind(vocabulary.words)
    joined = np.concatenate(photos)
    index.add(photos, nearest=vocabulary.assign(joined, approximate=True).ids)
    nearest = vocabulary.assign(np.concatenate(queries), 5, approximate=True).ids
    return index, index.search(queries, k=9, nearest=nearest)


@pytest.mark.parametrize("kind", [SMK, ASMK])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_words_are_found_along_a_graph_if_that_is_asked_for(rng, kind, dtype, tmp_path):
    words, photos = many_words(rng, dtype)
    queries = [photos[3][:30], photos[0]]
    for own in (Vocabulary(words, "x"), words):
        index, exact = kind(own), kind(own)
        exact.add(photos)
        assert exact.search(queries, k=9).ids[0, 0] == 3
        assert exact._vocabulary._graph is None
        index.add(photos, approximate=True, threads=2)
        graph = index._vocabulary._graph
        assert graph is not None
        assert (index._vocabulary is own) == isinstance(own, Vocabulary)
        found = index.search(queries, k=9, approximate=True)
        assert index._vocabulary._graph is graph
        other, expected = with_words_of(index._vocabulary, kind, photos, queries)
        assert_same(found, expected)
        index.save(tmp_path / "index")
        other.save(tmp_path / "other")
        for path in ("index", "other"):
            opened = kind.load(tmp_path / path)
            assert opened._vocabulary._graph is None
            assert_same(opened.search(queries, k=9, approximate=True), expected)
            assert_same(copy.deepcopy(opened).search(queries, k=9, approximate=True), expected)
        narrow = index._vocabulary.assign(words, 5, approximate=True, width=1).ids
        assert (narrow != assign(words, words, 5).ids).any()
        found = index.search([words], k=9, approximate=True, width=1)
        assert_same(found, index.search([words], k=9, nearest=narrow))


@pytest.mark.parametrize("kind", [SMK, ASMK])
def test_a_walk_that_meets_too_few_words_is_no_answer(rng, kind, monkeypatch):
    words, photos = many_words(rng)
    vocabulary = Vocabulary(words, "x")

    def lost(X, k, **_):
        found = assign(X, words, k)
        found.ids[::3, k - 1] = -1
        return found

    monkeypatch.setattr(vocabulary, "assign", lost)
    index, expected = kind(vocabulary), kind(words)
    index.add(photos, approximate=True)
    expected.add(photos)
    assert_same(index.search(photos, k=9, approximate=True), expected.search(photos, k=9))


def test_what_approximate_search_refuses(rng):
    words, photos = many_words(rng)
    index = ASMK(words)
    for call in (index.add, index.search):
        with pytest.raises(TypeError, match="approximate must be True or False"):
            call(photos, approximate=1)
        with pytest.raises(ValueError, match="approximate must be False where nearest is given"):
            call(photos, approximate=True, nearest=np.zeros(125, int))
        with pytest.raises(ValueError, match="width must be between 1"):
            call(photos, approximate=True, width=0)
        with pytest.raises(ValueError, match="photos must be uint8"):
            call([photos[0] + 0.5], approximate=True)
    assert len(index) == 0
    whole = [photo.astype(float) for photo in photos]
    index.add(whole, approximate=True)
    assert_same(
        index.search(whole, k=4, approximate=True), index.search(photos, k=4, approximate=True)
    )
    assert index.search([[]], k=4, approximate=True).scores.tolist() == [[0] * 4]


# ---- what is wrong, and what is nothing


@KINDS
def test_an_empty_index(kind, tmp_path):
    index, queries = small(kind, n=0)
    for _ in range(2):
        found = index.search(queries, k=2)
        assert (found.ids == -1).all()
        assert np.isneginf(found.scores).all()
        assert index.search([], k=2).ids.shape == (0, 2)
        index.add([])
        index.remove([])
        assert index.ids.tolist() == []
        assert index.stats().n_postings == 0
        index.save(tmp_path / "index")
        index = kind.load(tmp_path / "index")


@KINDS
def test_photos_without_features(kind):
    index, queries = small(kind, n=0)
    nothing = ([], []) if kind is HammingIndex else []
    index.add([nothing, nothing])
    index.add(queries)
    found = index.search([nothing], k=9)
    assert found.scores[0, :5].tolist() == [0] * 5
    assert found.ids[0].tolist() == [0, 1, 2, 3, 4, -1, -1, -1, -1]
    assert set(index.search(queries, k=5).ids[0].tolist()) == {0, 1, 2, 3, 4}


NONE = np.zeros((1, 2), np.uint8)
HAMMING_ERRORS = {
    "no list": (np.zeros((2, 2)), TypeError, "sequence of pairs"),
    "no pairs": ([np.zeros(3)], TypeError, r"photos\[0\] must be a pair"),
    "words 3-D": ([(np.zeros((1, 1, 1)), NONE)], ValueError, "1-D or 2-D"),
    "a word too large": ([([9], NONE)], ValueError, r"words of photos\[0\] must be below 9, got 9"),
    "a negative word": ([([-1], NONE)], ValueError, "got -1"),
    "half a word": ([([0.5], NONE)], ValueError, "words"),
    "NaN": ([([np.nan], NONE)], ValueError, "finite"),
    "too few signatures": ([([1, 2], NONE)], ValueError, r"must have shape \(2, 2\)"),
    "too short signatures": ([([1], NONE[:, :1])], ValueError, r"must have shape \(1, 2\)"),
    "several words": ([([[1, 2]], NONE)], ValueError, r"must have shape \(1, 2, 2\)"),
    "signatures of floats": ([([1], NONE + 0.5)], ValueError, "signatures"),
    "signatures of text": ([([1], [["a", "b"]])], TypeError, "signatures"),
    "bits that are none": ([([1], NONE + 255)], ValueError, "bits beyond the 13"),
}


@pytest.mark.parametrize(("photos", "error", "message"), HAMMING_ERRORS.values(),
                         ids=list(HAMMING_ERRORS))  # fmt: skip
def test_photos_that_a_hamming_index_refuses(photos, error, message):
    index = HammingIndex(9, 13)
    for call in (index.add, index.search):
        with pytest.raises(error, match=message):
            call(photos)
    assert len(index) == 0


KERNEL_ERRORS = {
    "one array": (np.zeros((2, 4)), {}, ValueError, r"For one photo pass \[photos\]"),
    "no list": (3, {}, TypeError, "must be a list of descriptor"),
    "columns": ([np.zeros((2, 5))], {}, ValueError, r"photos\[0\] must have 4 columns"),
    "NaN": ([np.full((2, 4), np.nan)], {}, ValueError, "finite"),
    "text": ([[["a"] * 4]], {}, TypeError, r"photos\[0\]"),
    "offsets": ((np.zeros((2, 4)), [0, 1]), {}, ValueError, r"photos\[1\] must go from 0 to 2"),
    "nearest too few": ([np.zeros((2, 4))], {"nearest": [1]}, ValueError, "row for each of 2"),
    "no word": ([np.zeros((1, 4))], {"nearest": [9]}, ValueError, "below 3, got 9"),
    "threads": ([np.zeros((1, 4))], {"threads": 0}, ValueError, "threads"),
}


@pytest.mark.parametrize(("photos", "options", "error", "message"), KERNEL_ERRORS.values(),
                         ids=list(KERNEL_ERRORS))  # fmt: skip
def test_photos_that_a_match_kernel_refuses(photos, options, error, message):
    index = ASMK(np.eye(3, 4))
    for call in (index.add, index.search):
        with pytest.raises(error, match=message):
            call(photos, **options)
    assert len(index) == 0


CONSTRUCTORS = {
    "no words": (HammingIndex, {"num_words": 0}, ValueError, "num_words"),
    "too many words": (HammingIndex, {"num_words": 2**25}, ValueError, "num_words"),
    "no bits": (HammingIndex, {"n_bits": 0}, ValueError, "n_bits"),
    "threshold": (HammingIndex, {"threshold": 65}, ValueError, "threshold"),
    "sigma": (HammingIndex, {"sigma": 0}, ValueError, "sigma"),
    "burstiness": (HammingIndex, {"burstiness": "sqrt"}, ValueError, "'intra', 'inter' or 'both'"),
    "idf": (HammingIndex, {"idf": "frozen"}, ValueError, "idf must be 'following'"),
    "idf too short": (HammingIndex, {"idf": [1.0]}, ValueError, "idf must have 5 entries"),
    "idf NaN": (HammingIndex, {"idf": [np.nan] * 5}, ValueError, "idf"),
    "idf below 0": (HammingIndex, {"idf": [-1.0] * 5}, ValueError, "idf must not be negative"),
    "words": (ASMK, {"words": np.zeros((0, 4))}, ValueError, "at least one word"),
    "words of NaN": (ASMK, {"words": [[np.nan]]}, ValueError, "words must be finite"),
    "alpha": (ASMK, {"alpha": 0}, ValueError, "alpha"),
    "similarity": (SMK, {"similarity_threshold": 1.5}, ValueError, "similarity_threshold"),
    "query words": (SMK, {"query_words": 0}, ValueError, "query_words"),
}


@pytest.mark.parametrize(("kind", "options", "error", "message"), CONSTRUCTORS.values(),
                         ids=list(CONSTRUCTORS))  # fmt: skip
def test_what_a_constructor_refuses(kind, options, error, message):
    needed = {"num_words": 5} if kind is HammingIndex else {"words": np.zeros((2, 4))}
    with pytest.raises(error, match=message):
        kind(**needed | options)


@KINDS
@pytest.mark.parametrize("k", [0, -1, 1.5, 2**40])
def test_k(kind, k):
    index, queries = small(kind)
    with pytest.raises((TypeError, ValueError), match="k must be"):
        index.search(queries, k=k)


def test_what_the_binding_refuses(rng):
    index, _ = small(HammingIndex)
    [block] = index._read().blocks
    rows = SignatureRows(np.int64([0, 1]), np.uint32([1]), NONE)
    queries = (rows.offsets, np.ones(1), rows.words, np.ones(1), np.uint32([0]), rows.signatures)
    similarities = np.ones(17)

    def search(block=block, similarities=similarities, k=1, **changes):
        parts = list(queries)
        for i, value in changes.items():
            parts[int(i[1:])] = value
        return _core.search_match_kernel([block], tuple(parts), similarities, False, False, k, 1)

    search()
    wrong = [
        {"k": 0},
        {"similarities": np.ones(16)},
        {"p0": np.int64([0, 2])},
        {"p0": np.int64([-1, 1])},
        {"p1": np.ones(2)},
        {"p2": np.uint32([1, 2])},
        {"p4": np.zeros(0, np.uint32)},
        {"p5": np.zeros((1, 3), np.uint8)},
        {"block": (*block[:5], block[5][:-1], block[6])},
        {"block": (*block[:2], block[2][:-1], *block[3:])},
    ]
    for changes in wrong:
        with pytest.raises(ValueError, match=r"\w"):
            search(**changes)
    with pytest.raises(TypeError):
        search(block=(*block[:6], block[6].astype(float)))
    with pytest.raises(ValueError, match="not below num_words"):
        _core.build_signatures(np.uint32([5]), np.uint16([0]), NONE, 5)
    with pytest.raises(ValueError, match="no weight"):
        _core.self_similarities(block[:4], np.ones(2), np.zeros(0), 12)


def test_a_search_can_be_interrupted(rng):
    n = 400_000
    rows = SignatureRows(
        np.array([0, n]), np.zeros(n, np.uint32), rng.integers(0, 256, (n, 8), dtype=np.uint8)
    )
    index = HammingIndex(1, idf=None, burstiness=None)
    index._add(rows, None)
    index.search([([0], np.zeros((1, 8), np.uint8))])
    query = (np.zeros(200_000, np.int64), np.zeros((200_000, 8), np.uint8))
    assert interrupts.seconds_to_stop(lambda: index.search([query])) < interrupts.LIMIT
