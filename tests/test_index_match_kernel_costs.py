# SPDX-License-Identifier: Apache-2.0
"""What indexes of signatures must not do: sort, copy, compute or hold anything again and again."""

import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

from trouvaille import _core, _ids
from trouvaille.index import ASMK, SMK, HammingIndex, signature_content
from trouvaille.words import assign


def signed(rng, n, num_words=8, n_bytes=2):
    words = rng.integers(0, num_words, n)
    return words, rng.integers(0, 256, (n, n_bytes), dtype=np.uint8)


@pytest.mark.parametrize("kind", [SMK, ASMK])
@pytest.mark.parametrize("of_words", [np.uint8, np.float32])
def test_words_of_another_type_than_descriptors_are_not_all_copied(rng, kind, of_words):
    words = rng.integers(0, 256, (20_000, 64)).astype(of_words)
    words.flags.writeable = False  # so that the index takes them as they are
    of_photos = np.float32 if of_words == np.uint8 else np.uint8
    photos = [rng.integers(0, 256, (n, 64)).astype(of_photos) for n in (9, 0, 20)]
    nearest = assign(np.concatenate(photos), words, 3).ids
    index, expected = kind(words, idf=None), kind(words.astype(of_photos), idf=None)
    expected.add(photos, nearest=nearest[:, 0])
    tracemalloc.start()
    try:
        index.add(photos, nearest=nearest[:, 0])
        found = index.signatures(photos, nearest=nearest)
        assert tracemalloc.get_traced_memory()[1] < words.size  # bytes: a quarter of floats
    finally:
        tracemalloc.stop()
    assert found.words.dtype == np.uint32
    for a, b in zip(found, expected.signatures(photos, nearest=nearest), strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(index.search(photos, k=3), expected.search(photos, k=3), strict=True):
        np.testing.assert_array_equal(a, b)


def test_ids_are_sorted_once(rng, monkeypatch):
    index = HammingIndex(8, 16)
    index.add([signed(rng, 3) for _ in range(50)], ids=rng.permutation(100)[:50])
    taken, free = int(index.ids[0]), int(np.setdiff1d(np.arange(100), index.ids)[0])
    sorts = []
    plain = _ids.order
    monkeypatch.setattr(_ids, "order", lambda ids: sorts.append(len(ids)) or plain(ids))
    for _ in range(9):
        with pytest.raises(ValueError, match="is there already"):
            index.add([signed(rng, 3)], ids=[taken])
        with pytest.raises(ValueError, match="must be in the index"):
            index.remove([free])
    index.remove([taken])
    with pytest.raises(ValueError, match="must be in the index"):
        index.remove([taken])
    assert sorts == [50]


@pytest.mark.parametrize("idf", [None, "given", "following"])
def test_norms_of_given_weights_are_found_once(rng, monkeypatch, idf):
    def made():
        return HammingIndex(8, 16, idf=np.linspace(0.5, 2, 8) if idf == "given" else idf)

    photos = [signed(rng, 5) for _ in range(64)]
    index, seen = made(), []
    plain = _core.self_similarities
    monkeypatch.setattr(
        _core, "self_similarities", lambda *given: seen.append(len(given[0][2])) or plain(*given)
    )
    index.add(photos)
    index.search(photos[:1])
    index.remove([3])
    index.search(photos[:1])
    index.add(photos[:1], ids=[100])
    found = index.search(photos[:5])
    assert seen == ([320, 320, 320, 5] if idf == "following" else [320, 5])
    fresh = made()
    left = [i for i in range(64) if i != 3]
    fresh.add([photos[i] for i in [*left, 0]], [*left, 100])
    for a, b in zip(found, fresh.search(photos[:5]), strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_is_removed_leaves_large_lists_where_they_are(rng, monkeypatch):
    monkeypatch.setattr(signature_content, "_FEW_POSTINGS", 100)
    index, parts = HammingIndex(1, 8), []
    for _ in range(3):
        photos, rows = np.repeat(np.arange(40), 2), rng.integers(0, 256, (80, 1), dtype=np.uint8)
        parts.append(rows)
        index.add_lists([0, 80], photos, rows, 40)
    index.remove([1, 50, 100])
    blocks = index._content.blocks
    assert len(blocks) == 3
    for block, rows in zip(blocks, parts, strict=True):
        assert np.shares_memory(block.arrays[3], rows)
    index.remove(index.ids[5:])  # of two nothing is left, of one so little that it is written anew
    assert index.stats().n_postings == 10


MEASURE = """
import resource
import numpy as np
from trouvaille import _core
from trouvaille.index import HammingIndex
rng = np.random.default_rng(0)
photos = [(rng.integers(0, 9, 3), rng.integers(0, 4, (3, 1), dtype=np.uint8)) for _ in range(2000)]
index = HammingIndex(9, 8, idf=None)
index.add(photos)
[block] = index._read().blocks
blocks = [(*block[:6], block[6] + 2000 * i) for i in range(40)]
words = rng.integers(0, 9, 300).astype(np.uint32)
queries = (
    np.arange(301),
    np.ones(300),
    words,
    np.ones(300),
    np.zeros(300, np.uint32),
    rng.integers(0, 4, (300, 1), dtype=np.uint8),
)
def search(begin, end):
    parts = [part[begin:end] for part in queries[1:]]
    given = (np.arange(end - begin + 1), *parts)
    return _core.search_match_kernel(blocks, given, index._similarities(), True, True, 2000, 2)
search(0, 1)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = search(0, 300)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
for i in (0, 25, 26, 211, 299):
    for many, one in zip(found, search(i, i + 1)):
        np.testing.assert_array_equal(many[i], one[0])
"""


def test_candidates_of_many_queries_take_little_memory():
    """All at once would take 384 MB; results take 10."""
    run = subprocess.run(
        [sys.executable, "-c", MEASURE], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) < 60e6
