# SPDX-License-Identifier: Apache-2.0
import sys

import numpy as np
import pytest

from trouvaille.neighbors import (
    LSH,
    Exact,
    Graph,
    Hamming,
    KDForest,
    KMeansTree,
    from_faiss,
    to_faiss,
)


@pytest.fixture(scope="module")
def faiss():
    return pytest.importorskip("faiss", reason="faiss is not installed")


def random_points(rng, n, dtype):
    if dtype == np.uint8:
        return rng.integers(0, 256, (n, 12), dtype=np.uint8)
    return rng.integers(-100, 100, (n, 12)).astype(dtype)  # whole: sums are exact in any order


CASES = [
    ("l2", np.uint8),
    ("l2", np.float32),
    ("l2", np.float16),
    ("ip", np.uint8),
    ("ip", np.float32),
    ("l1", np.float32),
    ("hamming", np.uint8),
]


@pytest.mark.parametrize("with_ids", [False, True], ids=["rows", "ids"])
@pytest.mark.parametrize(("metric", "dtype"), CASES)
def test_faiss_finds_the_same(faiss, rng, metric, dtype, with_ids):
    ids = rng.permutation(500)[:200] + 2**40 if with_ids else None
    index = Exact(metric).build(random_points(rng, 200, dtype), ids)
    queries = random_points(rng, 15, dtype)
    in_faiss = to_faiss(index)
    asked = queries if metric == "hamming" else queries.astype(np.float32)
    distances, found = in_faiss.search(asked, 5)
    ours = index.search(queries, 5)
    np.testing.assert_array_equal(distances, ours.distances)
    same = in_place(ours.distances)
    np.testing.assert_array_equal(found[same], ours.ids[same])


def in_place(distances):
    """Places whose distance no other has, so that every search agrees on them."""
    same = np.ones(distances.shape, bool)
    same[:, 1:] &= distances[:, 1:] != distances[:, :-1]
    same[:, :-1] &= distances[:, 1:] != distances[:, :-1]
    same[:, -1] = False  # the next one may be as near
    return same


@pytest.mark.parametrize("with_ids", [False, True], ids=["rows", "ids"])
@pytest.mark.parametrize(("metric", "dtype"), CASES)
def test_there_and_back_is_the_same(faiss, rng, tmp_path, metric, dtype, with_ids):
    ids = rng.permutation(500)[:200] if with_ids else None
    index = Exact(metric).build(random_points(rng, 200, dtype), ids)
    queries = random_points(rng, 15, dtype)
    written, read = faiss.write_index, faiss.read_index
    if metric == "hamming":
        written, read = faiss.write_index_binary, faiss.read_index_binary
    written(to_faiss(index), str(tmp_path / "index"))
    back = from_faiss(read(str(tmp_path / "index")), dtype=dtype)
    assert (back.metric, back.stats()) == (index.metric, index.stats())
    for a, b in zip(back.search(queries, 20), index.search(queries, 20), strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_was_removed_is_not_exported(faiss, rng):
    index = Exact().build(random_points(rng, 30, np.uint8))
    index.remove(range(10))
    in_faiss = to_faiss(index)
    assert in_faiss.ntotal == 20
    assert in_faiss.search(np.zeros((1, 12), np.float32), 20)[1].min() == 10


@pytest.mark.parametrize("metric", ["l2", "ip"])
def test_an_inverted_file_has_all_points_with_their_ids(faiss, rng, tmp_path, metric):
    X, ids = random_points(rng, 300, np.float32), rng.permutation(900)[:300]
    index = Exact(metric).build(X, ids)
    inverted = to_faiss(index, n_lists=7)
    assert inverted.nlist == 7
    inverted.nprobe = 7  # all lists: exact
    queries = random_points(rng, 15, np.float32)
    ours = index.search(queries, 5)
    distances, found = inverted.search(queries, 5)
    np.testing.assert_array_equal(distances, ours.distances)
    same = in_place(ours.distances)
    np.testing.assert_array_equal(found[same], ours.ids[same])

    faiss.write_index(inverted, str(tmp_path / "index"))
    back = from_faiss(faiss.read_index(str(tmp_path / "index")))
    np.testing.assert_array_equal(back.search(X, 1).ids, index.search(X, 1).ids)
    np.testing.assert_array_equal(back.search(queries, 5).distances, ours.distances)


def test_an_inverted_file_within_a_map_keeps_the_outer_ids(faiss, rng):
    X = random_points(rng, 50, np.uint8)
    inner = faiss.IndexIVFFlat(faiss.IndexFlatL2(12), 12, 3)
    inner.cp.min_points_per_centroid = 1
    inner.train(X.astype(np.float32))
    mapped = faiss.IndexIDMap(inner)
    mapped.add_with_ids(X.astype(np.float32), np.arange(50) * 10 + 4)
    back = from_faiss(mapped, dtype=np.uint8)
    np.testing.assert_array_equal(back.search(X, 1).ids[:, 0], np.arange(50) * 10 + 4)


@pytest.mark.parametrize("levels", [1, 2])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_a_tree_of_clusters_becomes_an_inverted_file_with_its_lists(faiss, rng, dtype, levels):
    X, ids = random_points(rng, 900, dtype), rng.permutation(2000)[:900]
    tree = KMeansTree(6, levels=levels).build(X, ids)
    tree.remove(ids[:100])
    inverted = to_faiss(tree)
    assert isinstance(inverted, faiss.IndexIVFFlat)
    assert inverted.ntotal == 800
    assert 3 <= inverted.nlist <= 6**levels + 16
    queries = random_points(rng, 20, dtype)
    expected = tree.search(queries, 5, checks=None)
    inverted.nprobe = inverted.nlist  # all lists: exact
    distances, found = inverted.search(queries.astype(np.float32), 5)
    np.testing.assert_array_equal(distances, expected.distances)
    same = in_place(expected.distances)
    np.testing.assert_array_equal(found[same], expected.ids[same])

    centers = inverted.quantizer.reconstruct_n(0, inverted.nlist)
    lists = inverted.invlists
    alive = dict(zip(ids[100:].tolist(), X[100:], strict=True))
    for i in range(inverted.nlist):
        members = faiss.rev_swig_ptr(lists.get_ids(i), lists.list_size(i))
        mean = np.mean([alive.pop(m) for m in members.tolist()], axis=0, dtype=np.float64)
        np.testing.assert_allclose(centers[i], mean, rtol=1e-5, atol=1e-4)
    assert not alive
    inverted.nprobe = 1
    found = inverted.search(X[100:].astype(np.float32), 1)[1][:, 0]
    assert (found == ids[100:]).mean() > 0.85  # most are in the list of the nearest center

    back = from_faiss(inverted, into=KMeansTree(6), dtype=dtype)
    np.testing.assert_array_equal(
        back.search(queries, 5, checks=None).distances, expected.distances
    )


def test_codes_of_a_hamming_index_are_bits(faiss, rng):
    X = random_points(rng, 200, np.uint8)
    in_faiss = to_faiss(Hamming().build(X))
    np.testing.assert_array_equal(
        in_faiss.search(X[:9], 5)[0], Hamming().build(X).search(X[:9], 5).distances
    )
    back = from_faiss(in_faiss, into=Hamming())
    np.testing.assert_array_equal(back.search(X, 1).ids, Hamming().build(X).search(X, 1).ids)


def test_other_structures_give_their_points_and_take_them(faiss, rng):
    X, ids = random_points(rng, 300, np.uint8), rng.permutation(900)[:300]
    forest = KDForest(leaf_size=8).build(X, ids)
    forest.remove(ids[:20])
    graph = from_faiss(to_faiss(forest), into=Graph(8), dtype=np.uint8)
    assert isinstance(graph, Graph)
    expected = forest.search(X, 3, checks=None)
    found = graph.search(X, 3, width=None)
    np.testing.assert_array_equal(found.distances, expected.distances)
    same = in_place(expected.distances)
    np.testing.assert_array_equal(found.ids[same], expected.ids[same])


def test_what_does_not_fit_is_refused(faiss, rng):
    index = Exact("l1").build(random_points(rng, 30, np.float32))
    with pytest.raises(ValueError, match="n_lists is for"):
        to_faiss(index, n_lists=2)
    with pytest.raises(ValueError, match=r"into must have the metric of index, 'l1', got 'l2'"):
        from_faiss(to_faiss(index), into=Graph())
    with pytest.raises(TypeError, match=r"into must be one of .* got ABCMeta"):
        from_faiss(to_faiss(index), into=Exact)
    with pytest.raises(ValueError, match="n_lists"):
        to_faiss(Exact().build(random_points(rng, 30, np.uint8)), n_lists=31)


def test_no_points_and_one(faiss):
    for n in (0, 1):
        index = Exact().build(np.zeros((n, 3), np.uint8))
        assert to_faiss(index).ntotal == n
        assert len(from_faiss(to_faiss(index))) == n


def test_points_that_are_no_bytes_are_refused_as_bytes(faiss):
    index = faiss.IndexFlatL2(2)
    index.add(np.float32([[1, 2.5]]))
    assert from_faiss(index).search([[1, 2]], 1).distances == 0.25
    with pytest.raises(ValueError, match="index"):
        from_faiss(index, dtype=np.uint8)
    with pytest.raises(ValueError, match="dtype must be float32, uint8 or float16, got int64"):
        from_faiss(index, dtype=np.int64)


def test_other_indexes_are_refused_by_name(faiss, rng):
    with pytest.raises(TypeError, match=r"one of trouvaille.neighbors, got ndarray"):
        to_faiss(np.zeros((2, 2)))
    with pytest.raises(ValueError, match="the index is empty"):
        to_faiss(Exact())
    with pytest.raises(ValueError, match="index must have points"):
        to_faiss(Exact().build(np.zeros((0, 2), np.uint8)), n_lists=1)
    with pytest.raises(TypeError, match="flat one of FAISS, or an IndexIVFFlat, got IndexHNSWFlat"):
        from_faiss(faiss.IndexIDMap2(faiss.IndexHNSWFlat(4, 8)))
    with pytest.raises(TypeError, match="one of FAISS, got ndarray"):
        from_faiss(np.zeros((2, 2)))
    with pytest.raises(ValueError, match="metric of index must be L2, inner product or L1"):
        from_faiss(faiss.IndexFlat(4, faiss.METRIC_Linf))


def test_ids_given_twice_are_refused(faiss):
    index = faiss.IndexIDMap(faiss.IndexFlatL2(2))
    index.add_with_ids(np.zeros((2, 2), np.float32), np.array([3, 3]))
    with pytest.raises(ValueError, match="ids must be distinct, got 3 twice"):
        from_faiss(index)


def test_without_faiss_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ImportError, match="pip install faiss-cpu"):
        to_faiss(Exact().build(np.zeros((1, 2), np.uint8)))
    with pytest.raises(ImportError, match="pip install faiss-cpu"):
        from_faiss(object())


@pytest.mark.parametrize("new", [Exact, Graph, KDForest, KMeansTree, LSH, Hamming])
@pytest.mark.parametrize("how", ["built of none", "all removed"])
def test_an_empty_index_becomes_an_empty_one(faiss, rng, new, how):
    X = random_points(rng, 20, np.uint8)
    index = new().build(X if how == "all removed" else X[:0])
    if how == "all removed":
        index.remove(np.arange(20))
    in_faiss = to_faiss(index)
    assert in_faiss.ntotal == 0
    assert len(from_faiss(in_faiss)) == 0


def test_indexes_that_keep_points_in_another_way_are_refused(faiss, rng):
    X = random_points(rng, 300, np.float32)
    for name, arguments in (("IndexIVFFlatDedup", (4,)), ("IndexIVFFlatPanorama", (4, 4))):
        if not hasattr(faiss, name):
            continue
        centers = faiss.IndexFlatL2(12)
        index = getattr(faiss, name)(centers, 12, *arguments)
        index.cp.min_points_per_centroid = 1
        index.train(X)
        within_map = faiss.IndexIDMap2(index)
        within_map.add_with_ids(X, np.arange(300))
        for given in (index, within_map):
            with pytest.raises(TypeError, match="index must be"):
                from_faiss(given)


def test_into_must_keep_points_of_the_dtype(faiss):
    with pytest.raises(ValueError, match="KDForest keeps no points in float16: give another"):
        from_faiss(faiss.IndexFlatL2(12), into=KDForest(), dtype="float16")
