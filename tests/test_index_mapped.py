# SPDX-License-Identifier: Apache-2.0
"""A saved collection answers as before, and its file is never written to."""

import multiprocessing
import os
import stat

import numpy as np
import pytest
import scipy.sparse as sp

from index_cases import SELECTION, assert_same, counts, floats, options_id
from trouvaille.index import InvertedFile

each_selected = pytest.mark.parametrize("options", SELECTION, ids=options_id)
each_way = pytest.mark.parametrize("mmap", [True, False])


def files(path):
    """Return the bytes and times of a file, or of those of a folder."""
    all_files = [path] if path.is_file() else sorted(f for f in path.rglob("*") if f.is_file())
    assert all_files
    return {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in all_files}


def without_permission_to_write(path):
    for file in files(path):
        file.chmod(stat.S_IRUSR)


@pytest.fixture
def rows(rng):
    return sp.csr_array(np.concatenate([floats(rng, 200, 30), counts(rng, 200, 30)]))


@each_selected
@each_way
def test_a_loaded_collection_grows_shrinks_and_leaves_the_file(rows, tmp_path, options, mmap):
    X = rows
    path = tmp_path / "file"
    InvertedFile.from_csr(X[:300], **options).save(path)
    without_permission_to_write(path)
    before = files(path)
    loaded = InvertedFile.load(path, mmap=mmap)
    assert_same(loaded.search(X[:5]), InvertedFile.from_csr(X[:300], **options).search(X[:5]))
    loaded.add(X[300:])
    assert_same(loaded.search(X[:5]), InvertedFile.from_csr(X, **options).search(X[:5]))
    loaded.remove(np.arange(150))
    kept = InvertedFile.from_csr(X[150:], np.arange(150, 400), **options)
    assert_same(loaded.search(X[:5]), kept.search(X[:5]))
    loaded.optimize()
    assert_same(loaded.search(X[:5]), kept.search(X[:5]))
    loaded.save(tmp_path / "other")
    assert_same(InvertedFile.load(tmp_path / "other").search(X[:5]), kept.search(X[:5]))
    assert files(path) == before


@pytest.mark.parametrize("kind", ["auto", "float32", "float16", "uint8"])
@each_way
@pytest.mark.parametrize("forward", [False, True])
def test_everything_is_kept(rows, tmp_path, kind, mmap, forward):
    X = rows
    found = InvertedFile.from_csr(X[:250], values=kind, forward=forward, weighting="tfidf")
    found.add(X[250:], ids=np.arange(1000, 1150))
    found.remove([3, 1100])
    found.save(tmp_path / "file")
    loaded = InvertedFile.load(tmp_path / "file", mmap=mmap)
    assert_same(loaded.search(X[:5], k=400), found.search(X[:5], k=400))
    np.testing.assert_array_equal(loaded.ids, found.ids)
    np.testing.assert_array_equal(loaded.to_csr().toarray(), found.to_csr().toarray())
    np.testing.assert_array_equal(loaded.document_frequencies, found.document_frequencies)
    if forward:
        for actual, expected in zip(loaded.document(1101), found.document(1101), strict=True):
            np.testing.assert_array_equal(actual, expected)
    loaded.add(X[:1])
    found.add(X[:1])
    assert loaded.ids.tolist() == found.ids.tolist()


def test_an_empty_collection_is_saved(tmp_path):
    InvertedFile(7, metric="lp", p=1.5).save(tmp_path / "file")
    loaded = InvertedFile.load(tmp_path / "file")
    assert (len(loaded), loaded.num_words) == (0, 7)
    loaded.add(np.eye(7))
    assert loaded.search(np.eye(7), k=1).distances.tolist() == [[0]] * 7


def test_saving_over_the_file_that_is_mapped(rows, tmp_path):
    X = rows
    path = tmp_path / "file"
    InvertedFile.from_csr(X[:300]).save(path)
    first = InvertedFile.load(path)
    second = InvertedFile.load(path)
    expected = first.search(X[:5])
    second.add(X[300:])
    second.save(path)
    assert_same(first.search(X[:5]), expected)
    assert_same(InvertedFile.load(path).search(X[:5]), InvertedFile.from_csr(X).search(X[:5]))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no other process to share with")
def test_several_processes_share_a_file(rows, tmp_path):
    X = rows
    path = tmp_path / "file"
    InvertedFile.from_csr(X, metric="cosine").save(path)
    expected = InvertedFile.load(path).search(X[:5])
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        for ids in pool.starmap(ids_found, [(path, X[:5])] * 2):
            np.testing.assert_array_equal(ids, expected.ids)


def ids_found(path, Q):
    return InvertedFile.load(path).search(Q).ids
