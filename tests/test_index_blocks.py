# SPDX-License-Identifier: Apache-2.0
"""Blocks of compressed lists: what goes in comes out, and no bytes make them unsafe."""

import itertools

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

import interrupts
from index_cases import counts, floats
from trouvaille import _core

STORAGES = ("counts", "float32", "float16", "uint8")
each_storage = pytest.mark.parametrize("storage", STORAGES)
LARGEST_BLOCK = 65_536


def arguments(X):
    """A sparse matrix as the kernels take it."""
    X = sp.csr_array(X)
    X.sort_indices()
    return (
        X.indptr.astype(np.int64),
        X.indices.astype(np.uint32),
        X.data.astype(np.float32),
        X.shape[1],
    )


def build(X, storage="auto", n_blocks=1, threads=1):
    return _core.build_blocks(*arguments(X), storage, 1.0, n_blocks, threads)


def dense(blocks):
    """The rows of all blocks, one under the other."""
    parts = [np.zeros((0, blocks[0].num_words if blocks else 0))]
    for block in blocks:
        offsets, words, values = block.rows()
        shape = (block.n_documents, block.num_words)
        parts.append(sp.csr_array((values, words.astype(np.int64), offsets), shape).toarray())
    return np.concatenate(parts)


def bitmap(flags):
    """Bit i of word i // 64 is flag i."""
    padded = np.zeros(-(-len(flags) // 64) * 64, bool)
    padded[: len(flags)] = flags
    return np.packbits(padded, bitorder="little").view(np.uint64)


def values_for(rng, storage, n, num_words, density=0.3):
    """Values that the storage keeps exactly."""
    X = counts(rng, n, num_words, density, largest=40).astype(np.float32)
    return X / 8 if storage in ("float32", "float16") else X


# What goes in comes out


@each_storage
@pytest.mark.parametrize("n_blocks", [1, 2, 3, 7])
@pytest.mark.parametrize("density", [0.02, 0.3, 1.0])
def test_blocks_keep_the_rows(rng, isa, threads, storage, n_blocks, density):
    X = values_for(rng, storage, 500, 23, density)
    blocks = build(X, storage, n_blocks, threads)
    assert len(blocks) >= n_blocks
    sizes = [block.n_documents for block in blocks]
    assert sum(sizes) == 500
    assert max(sizes) - min(sizes) <= 64
    assert {block.storage for block in blocks} == {storage}
    assert sum(block.n_postings for block in blocks) == (X != 0).sum()
    np.testing.assert_array_equal(dense(blocks), X)


@each_storage
@pytest.mark.parametrize("density", [0.02, 0.3, 1.0])
def test_lists_frequencies_and_norms(rng, isa, storage, density):
    X = values_for(rng, storage, 900, 17, density)
    [block] = build(X, storage)
    for word in range(17):
        documents, values = block.list(word)
        assert documents.tolist() == np.flatnonzero(X[:, word]).tolist()
        np.testing.assert_array_equal(values, X[documents, word])
    alive = rng.random(900) < 0.7
    frequencies = np.arange(17)
    block.add_frequencies(frequencies, bitmap(alive))
    block.add_frequencies(frequencies, None)
    expected = np.arange(17) + (X[alive] != 0).sum(axis=0) + (X != 0).sum(axis=0)
    np.testing.assert_array_equal(frequencies, expected)
    for living in (alive, np.ones(900, bool), np.zeros(900, bool)):
        words, counts = block.frequencies(None if living.all() else bitmap(living))
        expected = (X[living] != 0).sum(axis=0)
        np.testing.assert_array_equal(words, np.flatnonzero(expected))
        np.testing.assert_array_equal(counts, expected[expected > 0])
    weights = rng.random(17)
    for roots, g in itertools.product((0, 1), (None, weights)):
        rows = X.astype(float) ** (0.5**roots) * (1 if g is None else g)
        for kind, norm in [("l1", np.abs(rows).sum(1)), ("l2", np.sqrt((rows**2).sum(1)))]:
            given_weights = None if g is None else (g, None, 1.0)
            np.testing.assert_allclose(block.norms(kind, given_weights, roots), norm, rtol=1e-6)
    few = np.where(np.isin(np.arange(17), [2, 5]), weights, 0.75)
    listed = weights[[2, 5]], np.uint32([2, 5]), 0.75
    assert (block.norms("l1", listed, 0) == block.norms("l1", (few, None, 1.0), 0)).all()
    with pytest.raises(ValueError, match="ascend"):
        block.norms("l1", (weights[:2], np.uint32([5, 2]), 0.75), 0)
    with pytest.raises(ValueError, match="2 long"):
        block.norms("l1", (weights, np.uint32([2, 5]), 0.75), 0)
    np.testing.assert_allclose(block.norms("sum", None, 0), X.sum(1), rtol=1e-6)
    assert block.largest == np.abs(X).max()


@pytest.mark.parametrize("values", [counts, floats])
def test_auto_chooses_counts_where_they_are_exact(rng, values):
    X = values(rng, 50, 10).astype(float)
    assert build(X)[0].storage == ("counts" if values is counts else "float32")
    X[X != 0] = 65_535
    assert build(X)[0].storage == "counts"
    for other in (65_536, -1, 1.5):
        X[np.nonzero(X)[0][0], np.nonzero(X)[1][0]] = other
        [block] = build(X)
        assert block.storage == "float32"
        np.testing.assert_array_equal(dense([block]), X)


def test_many_documents_make_several_blocks(rng, threads):
    n = 2 * LARGEST_BLOCK + 1
    X = sp.csr_array((np.ones(n), rng.integers(0, 5, n), np.arange(n + 1)), (n, 5))
    blocks = build(X, threads=threads)
    assert len(blocks) >= 3
    assert max(block.n_documents for block in blocks) <= LARGEST_BLOCK
    words = np.concatenate([block.rows()[1] for block in blocks])
    np.testing.assert_array_equal(words, X.indices)


def test_a_full_block_of_full_lists(rng):
    X = sp.csr_array(rng.integers(1, 3, (LARGEST_BLOCK, 2)))
    [block] = build(X)
    np.testing.assert_array_equal(dense([block]), X.toarray())
    documents, values = block.list(1)
    assert (documents == np.arange(LARGEST_BLOCK)).all()
    assert (values == X.toarray()[:, 1]).all()


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (5, 0), (1, 1), (64, 3)])
def test_blocks_of_nothing(shape):
    blocks = build(np.zeros(shape))
    assert sum(block.n_documents for block in blocks) == shape[0]
    assert sum(block.n_postings for block in blocks) == 0
    assert sum(len(block.rows()[1]) for block in blocks) == 0


@pytest.mark.parametrize("num_words", [100_000, 10_000_000, 2**32 - 1])
def test_a_directory_of_few_of_many_words(rng, num_words):
    words = np.unique(rng.integers(0, num_words, 500))
    words = np.union1d(words, [0, num_words - 1]).astype(np.uint32)
    n = len(words)
    [block] = _core.build_blocks(
        np.arange(n + 1), words, np.ones(n, np.float32), num_words, "auto", 0.0, 1, 1
    )
    assert block.nbytes < 20_000
    assert block.num_words == num_words
    np.testing.assert_array_equal(block.rows()[1], words)
    np.testing.assert_array_equal(block.frequencies(None)[0], words)
    for i in (0, 1, n // 2, n - 1):
        assert block.list(int(words[i]))[0].tolist() == [i]
    absent = np.setdiff1d(words[1:] - 1, words)
    for word in absent[:5].tolist():
        assert block.list(word)[0].tolist() == []


@pytest.mark.parametrize("offsets", [[], [-1, 1], [2, 1], [0, 3]])
def test_offsets_that_leave_the_arrays_are_refused(offsets):
    rows = np.array(offsets, np.int64), np.uint32([0, 1]), np.float32([1, 2])
    with pytest.raises(ValueError, match="sparse rows"):
        _core.build_blocks(*rows, 2, "auto", 0.0, 1, 1)
    with pytest.raises(ValueError, match="sparse rows"):
        _core.rows_are_tidy(*rows, 2, 1e-37, 3e38)


# Merging


@each_storage
def test_merged_blocks_have_the_live_rows_in_order(rng, isa, storage):
    X = values_for(rng, storage, 700, 19)
    blocks = [*build(X[:100], storage, 3), *build(X[100:101], storage), *build(X[101:], storage, 2)]
    alive = rng.random(700) < 0.6
    bounds = np.cumsum([0, *(block.n_documents for block in blocks)])
    masks = [bitmap(alive[begin:end]) for begin, end in itertools.pairwise(bounds)]
    masks[1] = None
    alive[bounds[1] : bounds[2]] = True
    merged = _core.merge_blocks(blocks, masks)
    assert len(merged) == 1
    np.testing.assert_array_equal(dense(merged), X[alive])
    [again] = build(X[alive], storage)
    for name, array in again.arrays().items():
        np.testing.assert_array_equal(merged[0].arrays()[name], array)


def test_counts_and_floats_merge_to_floats(rng):
    X, Y = counts(rng, 40, 9).astype(np.float32), floats(rng, 40, 9)
    merged = _core.merge_blocks([*build(X), *build(Y)], [None, None])
    assert merged[0].storage == "float32"
    np.testing.assert_array_equal(dense(merged), np.concatenate([X, Y]))


# Any bytes are safe


def copies(block):
    return {name: array.copy() for name, array in block.arrays().items()}


def read_everything(block):
    """Read all that a block gives and check that it is in bounds, and search it."""
    n = block.n_documents
    words = block.rows()[1]
    assert len(words) == block.n_postings
    assert (words < block.num_words).all()
    for word in range(min(block.num_words, 40)):
        documents, values = block.list(word)
        assert (documents < n).all()
        assert (documents[1:] > documents[:-1]).all()
        assert np.isfinite(values).all()
    frequencies = np.zeros(block.num_words, np.int64)
    block.add_frequencies(frequencies, None)
    assert frequencies.sum() == block.n_postings
    reader = _core.InvertedReader(
        [block],
        kernel="dot",
        p=2.0,
        document_roots=0,
        query_roots=0,
        norm="none",
        hellinger=False,
        word_weights=None,
        factors=None,
        alive=[None],
        ids=None,
        num_words=block.num_words,
        smallest=block.smallest,
        largest=block.largest,
        steady=True,
        threads=1,
    )
    words = np.arange(min(block.num_words, 40), dtype=np.uint32)
    query = np.array([0, len(words)]), words, np.ones(len(words), np.float32)
    scores, rows = reader.search(*query, 5, 1, None)
    assert ((rows >= -1) & (rows < n)).all()
    assert not np.isnan(scores).any()


def refused_or_in_bounds(block, arrays):
    """What is accepted instead of the block's arrays can be read to the last number."""
    try:
        changed = from_arrays(block, arrays)
    except ValueError:
        return
    read_everything(changed)


def from_arrays(block, arrays, **changes):
    given = {"storage": block.storage, "num_words": block.num_words, **changes}
    return _core.InvertedBlock.from_arrays(
        given["storage"],
        given["num_words"],
        given.get("n_documents", block.n_documents),
        arrays,
        given.get("step", block.step),
    )


def examples():
    rng = np.random.default_rng(0)
    for storage in STORAGES:
        X = values_for(rng, storage, 150, 20)
        X[:, 0] = X.max()  # a full list
        X[:, 1] = 0
        X[:, 2], X[7, 2] = 0, X.max()
        yield build(X, storage)[0]
    X = counts(rng, 150, 20)
    X[rng.random(X.shape) < 0.1] = 300
    X[3, 4] = 65_535
    yield build(X)[0]
    few = sp.csr_array((np.ones(30), rng.integers(0, 40, 30), np.arange(31)), (30, 50_000))
    yield build(few)[0]


EXAMPLES = list(examples()) if hasattr(_core, "build_blocks") else []
places = st.tuples(st.integers(0, 2**20), st.one_of(st.integers(0, 255), st.sampled_from([0, 255])))


@pytest.mark.parametrize("example", range(6))
def test_a_block_is_its_arrays(example):
    block = EXAMPLES[example]
    again = from_arrays(block, copies(block))
    read_everything(again)
    np.testing.assert_array_equal(dense([again]), dense([block]))
    assert (again.largest, again.n_postings) == (block.largest, block.n_postings)
    assert ("words" in block.arrays()) == (example == 5)


@pytest.mark.parametrize("example", range(6))
@settings(max_examples=300)
@given(data=st.data())
def test_changed_bytes_are_refused_or_in_bounds(example, data):
    block = EXAMPLES[example]
    arrays = copies(block)
    name = data.draw(st.sampled_from(sorted(arrays)))
    bytes_ = arrays[name].view(np.uint8)
    for place, value in data.draw(st.lists(places, min_size=1, max_size=4)):
        bytes_[place % len(bytes_)] = value
    refused_or_in_bounds(block, arrays)


@pytest.mark.parametrize("example", range(6))
def test_each_changed_number_of_a_directory_is_refused_or_in_bounds(example):
    block = EXAMPLES[example]
    for name in set(block.arrays()) - {"stream"}:
        for place in range(min(len(block.arrays()[name]), 45)):
            for value in (0, 1, 2**16, 2**31, 2**32 - 1):
                arrays = copies(block)
                arrays[name][place] = value
                refused_or_in_bounds(block, arrays)


@pytest.mark.parametrize("example", range(6))
@pytest.mark.parametrize("cut", [1, 2, 7, 10**6])
def test_shorter_and_longer_arrays_are_refused_or_in_bounds(example, cut):
    block = EXAMPLES[example]
    for name, array in block.arrays().items():
        short = array[: max(len(array) - cut, 0)].copy()
        with pytest.raises(ValueError, match="block|" + name):
            from_arrays(block, {**copies(block), name: short})
        with pytest.raises((ValueError, TypeError)):
            from_arrays(block, {key: a for key, a in copies(block).items() if key != name})
        with pytest.raises((ValueError, TypeError)):
            from_arrays(block, {**copies(block), name: array.astype(np.float64)})


@pytest.mark.parametrize("example", range(6))
def test_wrong_sizes_are_refused_or_in_bounds(example):
    block = EXAMPLES[example]
    changes = [{"n_documents": n} for n in (-1, 0, 1, 149, 151, 2**16, 2**16 + 1, 2**40)]
    changes += [{"num_words": n} for n in (-1, 0, 1, 19, 21, 2**32, 2**33)]
    changes += [{"step": step} for step in (np.nan, np.inf, -1.0, 0.0, 1e-45, 3e38)]
    changes += [{"storage": storage} for storage in (*STORAGES, "auto", "")]
    for change in changes:
        try:
            changed = from_arrays(block, copies(block), **change)
        except (ValueError, TypeError):
            continue
        assert changed.num_words <= 2**32
        if changed.num_words < 2**31:
            read_everything(changed)


# Ctrl-C


def test_ctrl_c_stops_a_build_and_a_merge(rng, threads):
    X = sp.random_array((60_000, 300), density=0.1, rng=rng, format="csr", dtype=np.float32)
    given_rows = arguments(X)
    blocks = _core.build_blocks(*given_rows, "auto", 0.0, 4, threads)

    def build_again():
        while True:
            _core.build_blocks(*given_rows, "auto", 0.0, 1, threads)

    def merge_again():
        while True:
            _core.merge_blocks(blocks, [None] * len(blocks))

    for call in (build_again, merge_again):
        assert interrupts.seconds_to_stop(call) < interrupts.LIMIT
