# SPDX-License-Identifier: Apache-2.0
import doctest
import importlib

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import interrupts
import reference
from trouvaille import _core
from trouvaille._array_file import ArrayFile
from trouvaille.errors import FormatVersionError, IndexCorruptError
from trouvaille.index import InvertedFile
from trouvaille.words import VocabularyTree, assign
from trouvaille.words._tree_nodes import Nodes, of_unordered

KINDS = [np.uint8, np.float32]
FORMAT = ArrayFile("vocabulary_tree", 1, "a vocabulary tree")


def points(rng, n, dims, dtype):
    """Points in clusters of clusters."""
    blobs = rng.integers(0, 256, (8, dims)) + rng.integers(-30, 31, (6, 1, dims))
    blobs = blobs.reshape(-1, dims)
    x = blobs[rng.integers(0, len(blobs), n)] + rng.integers(-9, 10, (n, dims))
    return np.clip(x, 0, 255).astype(dtype)


def bits_tree(rng, n_dims):
    """A tree of bits whose leaves are at different levels."""
    children = np.uint32([0, 3, 5, 5, 9, 9, 11, 11, 11, 11, 11, 11, 11])
    centers = rng.integers(0, 256, (11, n_dims), np.uint8)
    leaves = rng.permutation([1, 3, 5, 6, 7, 8, 9, 10])
    return VocabularyTree()._set(Nodes.checked(centers, children, leaves), metric="hamming")


@pytest.fixture(params=KINDS)
def tree(request, rng):
    return VocabularyTree(4, 3).fit(points(rng, 500, 7, request.param))


# ---- training


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize(("branching", "depth", "dims"), [(2, 5, 3), (10, 2, 17), (40, 1, 4)])
def test_equals_reference(rng, threads, isa, dtype, branching, depth, dims):
    X = points(rng, 400, dims, dtype)
    X[100:150] = X[0]  # a node of one point
    tree = VocabularyTree(branching, depth, random_state=5, threads=threads).fit(X)
    centers, children = reference.vocabulary_tree(X, branching, depth, 10, 5)
    assert tree.centers_.dtype == dtype
    np.testing.assert_array_equal(tree.centers_, centers)
    np.testing.assert_array_equal(tree.children_, children)


@pytest.mark.parametrize("dtype", KINDS)
def test_same_bits_on_every_instruction_set_and_thread_count(rng, dtype):
    X = points(rng, 20_000, 20, dtype)
    found = []
    for name in _core.isas():
        _core.use_isa(name)
        for threads in (1, 2, 5):
            tree = VocabularyTree(12, 3, iterations=3, threads=threads).fit(X)
            found.append((tree.centers_.tobytes(), tree.children_.tobytes(), tree.inertia_))
    _core.reset_isa()
    assert all(one == found[0] for one in found)


def test_training_and_transform_agree(tree, rng):
    X = points(np.random.default_rng(0), 500, 7, tree.centers_.dtype)  # what it was trained on
    words = tree.transform(X)
    assert np.array_equal(np.unique(words), np.arange(tree.num_words))  # none is empty
    difference = tree.words[words].astype(float) - X
    assert tree.inertia_ == pytest.approx((difference**2).sum(), rel=1e-6)


def test_deeper_trees_are_nearer(rng):
    X = points(rng, 3000, 16, np.uint8)
    inertias = [VocabularyTree(5, depth).fit(X).inertia_ for depth in (1, 2, 3, 4)]
    assert inertias == sorted(inertias, reverse=True)
    assert inertias[3] < 0.5 * inertias[0]


@given(
    hnp.arrays(
        np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 3)), elements=st.integers(0, 9)
    ),
    st.integers(2, 6),
    st.integers(1, 4),
    st.integers(0, 2**63 - 1),
)
def test_laws(X, branching, depth, seed):
    tree = VocabularyTree(branching, depth, random_state=seed).fit(X)
    distinct = np.unique(X, axis=0)
    assert 1 <= tree.depth_ <= depth
    assert 1 <= tree.num_words <= min(branching**depth, len(distinct))
    assert np.diff(tree.children_.astype(int)).max() <= branching
    if len(distinct) <= branching:
        np.testing.assert_array_equal(np.unique(tree.words, axis=0), distinct)
        assert tree.inertia_ == 0
    path = tree.transform(X, levels=True)
    leaves = np.take_along_axis(path, (path >= 0).sum(axis=1, keepdims=True) - 1, axis=1)[:, 0]
    np.testing.assert_array_equal(tree.leaves_[tree.transform(X)], leaves)
    np.testing.assert_array_equal(np.unique(leaves), np.sort(tree.leaves_))
    expected = reference.descend(tree.centers_, tree.children_, X, "l2")
    assert [[node for node in nodes if node >= 0] for nodes in path.tolist()] == expected


def test_one_point_is_a_word():
    tree = VocabularyTree().fit([[3.5, -1.0]] * 5)
    assert (tree.num_words, tree.num_nodes, tree.depth_, tree.inertia_) == (1, 1, 1, 0)
    np.testing.assert_array_equal(tree.transform([[0.0, 0.0]], levels=True), [[0]])


def test_zeros_of_either_sign_are_one_point():
    assert VocabularyTree().fit([[0.0], [-0.0]]).num_words == 1


def test_more_branching_than_a_hash_can_tell_apart(rng):
    X = np.unpackbits(rng.integers(0, 256, (3000, 2), np.uint8), axis=1)
    assert VocabularyTree(10_000, 1).fit(X).num_words == len(np.unique(X, axis=0))


def test_another_seed_begins_elsewhere(rng):
    X = points(rng, 500, 4, np.uint8)
    a, b = (VocabularyTree(5, 1, random_state=seed, iterations=0).fit(X) for seed in (0, 1))
    assert not np.array_equal(a.centers_, b.centers_)
    assert (a.centers_[:, None] == X).all(axis=2).any(axis=1).all()  # with no round: points


def test_says_how_far_it_is():
    calls = []
    points_of_three = np.uint8([[0], [1], [100]])
    VocabularyTree(2, 7).fit(points_of_three, progress=lambda *call: calls.append(call))
    assert calls == [(1, 7), (2, 7), (3, 7)]  # there is nothing below


# ---- descent


def test_transform_equals_reference(tree, isa, threads, rng):
    Q = points(rng, 300, 7, tree.centers_.dtype)
    paths = reference.descend(tree.centers_, tree.children_, Q, "l2")
    expected = np.full((len(Q), tree.depth_), -1)
    for row, path in zip(expected, paths, strict=True):
        row[: len(path)] = path
    np.testing.assert_array_equal(tree.transform(Q, levels=True, threads=threads), expected)
    last = [np.flatnonzero(tree.leaves_ == path[-1])[0] for path in paths]
    found = tree.transform(Q, threads=threads)
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, last)


@pytest.mark.parametrize("n_dims", [1, 8, 32, 61])
def test_bits_go_down_by_how_many_differ(rng, isa, threads, n_dims):
    tree, Q = bits_tree(rng, n_dims), rng.integers(0, 256, (600, n_dims), np.uint8)
    paths = reference.descend(tree.centers_, tree.children_, Q, "hamming")
    words = [np.flatnonzero(tree.leaves_ == path[-1])[0] for path in paths]
    np.testing.assert_array_equal(tree.transform(Q, threads=threads), words)
    distances, ids = tree.assign(Q, 2)
    expected = reference.nearest_neighbors(tree.words, Q, 2, "hamming")
    np.testing.assert_array_equal(distances, expected[0])
    np.testing.assert_array_equal(ids, expected[1])


def test_assign_compares_all_words(tree, rng):
    Q = points(rng, 50, 7, tree.centers_.dtype)
    for ours, theirs in zip(tree.assign(Q, 3), assign(Q, tree.words, 3), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_no_descriptors(tree):
    nothing = np.zeros((0, 7), tree.centers_.dtype)
    assert tree.transform(nothing).shape == (0,)
    assert tree.transform(nothing, levels=True).shape == (0, tree.depth_)


def test_equally_near_children_are_in_the_order_of_their_numbers():
    nodes = Nodes.checked(np.uint8([[4], [2], [2]]), np.uint32([0, 3, 3, 3, 3]), np.arange(3))
    tree = VocabularyTree()._set(nodes)
    np.testing.assert_array_equal(tree.transform(np.uint8([[3], [2], [1]])), [0, 1, 1])


# ---- photos


def counted(tree, photos):
    """How often each photo has each node."""
    rows = np.zeros((len(photos), tree.num_nodes), int)
    for row, photo in zip(rows, photos, strict=True):
        for path in reference.descend(tree.centers_, tree.children_, photo, "l2"):
            row[path] += 1
    return rows


def photos_of(rng, dtype, sizes=(40, 0, 3, 90, 1)):
    return [points(rng, size, 7, dtype) for size in sizes]


def test_weights_and_bags_equal_the_formula(tree, rng, monkeypatch):
    monkeypatch.setattr("trouvaille.words._bags._PIECE", 50)  # in several parts
    photos = photos_of(rng, tree.centers_.dtype)
    counts = counted(tree, photos)
    np.testing.assert_array_equal(tree.bags(photos).toarray(), counts)
    assert tree.fit_weights(photos) is tree
    frequencies = (counts > 0).sum(axis=0)
    weights = np.where(frequencies > 0, np.log(5 / np.maximum(frequencies, 1)), 0)
    np.testing.assert_allclose(tree.weights_, weights, rtol=1e-15)
    bags = tree.bags(photos)
    assert isinstance(bags, scipy.sparse.csr_matrix)
    assert bags.has_canonical_format
    np.testing.assert_allclose(bags.toarray(), counts * weights, rtol=1e-15)
    words = tree.bags(photos, levels=False).toarray()
    np.testing.assert_allclose(words, (counts * weights)[:, tree.leaves_], rtol=1e-15)
    assert (bags.data != 0).all()


def test_values_and_offsets_are_photos_too(tree, rng):
    photos = photos_of(rng, tree.centers_.dtype)
    joined = np.concatenate(photos), np.cumsum([0, *map(len, photos)])
    assert (tree.bags(photos) != tree.bags(joined)).nnz == 0
    np.testing.assert_array_equal(
        tree.fit_weights(photos).weights_, tree.fit_weights(joined).weights_
    )
    assert tree.bags([]).shape == (0, tree.num_nodes)
    assert tree.bags([[], np.empty((0, 7))]).nnz == 0


def test_an_inverted_file_takes_bags(tree, rng):
    photos = photos_of(rng, tree.centers_.dtype, (30, 50, 70, 60))
    bags = tree.fit_weights(photos_of(rng, tree.centers_.dtype, (20,) * 9)).bags(photos)
    index = InvertedFile(tree.num_nodes, metric="lp", p=1, norm="l1")
    index.add(bags)
    found = index.search(bags[:1], k=4)
    rows = bags.toarray() / bags.toarray().sum(axis=1, keepdims=True)
    distances = np.abs(rows[0] - rows).sum(axis=1)
    np.testing.assert_array_equal(found.ids[0], np.argsort(distances, kind="stable"))
    np.testing.assert_allclose(found.distances[0], np.sort(distances), rtol=1e-5, atol=1e-6)


# ---- files


@pytest.mark.parametrize("mmap", [True, False])
def test_round_trip(tree, rng, tmp_path, mmap):
    path = tmp_path / "tree.tv"
    Q = points(rng, 50, 7, tree.centers_.dtype)
    for weights in (False, True):
        if weights:
            tree.fit_weights([Q, Q[:3]])
        tree.save(path)
        loaded = VocabularyTree.load(path, mmap=mmap)
        assert loaded.get_params() == tree.get_params()
        assert (loaded.inertia_, loaded.metric_, loaded.depth_) == (
            tree.inertia_,
            "l2",
            tree.depth_,
        )
        np.testing.assert_array_equal(loaded.transform(Q), tree.transform(Q))
        assert (loaded.bags([Q]) != tree.bags([Q])).nnz == 0
        assert (loaded.weights_ is None) is not weights


def test_a_tree_of_bits_comes_back(rng, tmp_path):
    tree, Q = bits_tree(rng, 8), rng.integers(0, 256, (30, 8), np.uint8)
    tree.source_["format"] = "mine"
    tree.save(tmp_path / "tree.tv")
    loaded = VocabularyTree.load(tmp_path / "tree.tv")
    np.testing.assert_array_equal(loaded.transform(Q), tree.transform(Q))
    assert np.isnan(loaded.inertia_)
    assert loaded.source_ == {"format": "mine"}


PARAMETERS = {"branching": 2, "depth": 2, "iterations": 1, "random_state": 0}


def saved(tmp_path, metadata=(), **arrays):
    """Write a small tree with some parts replaced; None leaves one out."""
    whole = {
        "centers": np.uint8([[1], [5], [9]]),
        "children": np.uint32([0, 2, 2, 3, 3]),
        "leaves": np.int64([0, 2]),
    } | arrays
    known = {
        "parameters": PARAMETERS,
        "metric": "l2",
        "inertia": 1.0,
        "source": {},
    }
    path = tmp_path / "tree.tv"
    FORMAT.write(path, known | dict(metadata), {k: v for k, v in whole.items() if v is not None})
    return path


def test_the_small_tree_is_one(tmp_path):
    tree = VocabularyTree.load(saved(tmp_path, weights=np.zeros(3)))
    np.testing.assert_array_equal(tree.transform(np.uint8([[0], [8]])), [0, 1])


@pytest.mark.parametrize(
    "arrays",
    [
        {"children": np.uint32([0, 2, 2, 3])},
        {"children": np.uint32([0, 2, 2, 4, 3])},
        {"children": np.uint32([0, 2, 1, 3, 3])},
        {"children": np.uint32([1, 2, 2, 3, 3])},
        {"children": np.uint32([0, 1, 1, 1, 3])},  # a node that is its own child
        {"children": np.uint32([0, 0, 2, 3, 3])},
        {"children": np.uint32([0, 2, 2, 2, 2])},
        {"children": np.uint32([0, 2, 2, 2**32 - 1, 3])},
        {"children": np.int64([0, 2, 2, 3, 3])},
        {"children": None},
        {"centers": np.zeros((0, 1), np.uint8), "children": np.uint32([0, 0])},
        {"centers": np.zeros((3, 0), np.uint8)},
        {"centers": np.zeros(3, np.uint8)},
        {"centers": np.float32([[0], [np.nan], [1]])},
        {"centers": np.zeros((3, 1))},
        {"leaves": np.int64([0, 1])},
        {"leaves": np.int64([0, 0])},
        {"leaves": np.int64([0, 2, 2])},
        {"leaves": np.int64([[0, 2]])},
        {"weights": np.zeros(2)},
        {"weights": np.float64([0, np.inf, 0])},
        {"more": np.zeros(1)},
    ],
)
def test_refuses_damaged_arrays(tmp_path, arrays):
    with pytest.raises(IndexCorruptError, match="vocabulary_tree"):
        VocabularyTree.load(saved(tmp_path, **arrays))


@pytest.mark.parametrize(
    "metadata",
    [
        {"metric": "cosine"},
        {"metric": ["l2"]},
        {"parameters": {}},
        {"parameters": PARAMETERS | {"random_state": "0"}},
        {"parameters": PARAMETERS | {"random_state": -1}},
        {"parameters": PARAMETERS | {"random_state": 2**63}},
        {"parameters": PARAMETERS | {"branching": 1}},
        {"parameters": PARAMETERS | {"branching": 2.0}},
        {"parameters": PARAMETERS | {"depth": -1}},
        {"parameters": PARAMETERS | {"depth": 65}},
        {"parameters": PARAMETERS | {"depth": True}},
        {"parameters": PARAMETERS | {"depth": None}},
        {"parameters": PARAMETERS | {"iterations": -1}},
        {"parameters": PARAMETERS | {"threads": 1}},
        {"parameters": 3},
        {"inertia": "1"},
        {"inertia": True},
        {"inertia": [1]},
        {"inertia": -1.0},
        {"inertia": 10**400},
        {"source": []},
        {"other": 1},
    ],
)
def test_refuses_damaged_metadata(tmp_path, metadata):
    with pytest.raises(IndexCorruptError):
        VocabularyTree.load(saved(tmp_path, metadata))


def test_does_not_write_what_it_would_not_read(tmp_path):
    tree = VocabularyTree.load(saved(tmp_path)).set_params(depth=65)
    with pytest.raises(ValueError, match="depth must be between 1 and 64, got 65"):
        tree.save(tmp_path / "other.tv")
    assert not (tmp_path / "other.tv").exists()
    tree.set_params(depth=np.int64(5)).save(tmp_path / "other.tv")
    assert VocabularyTree.load(tmp_path / "other.tv").depth == 5


def test_refuses_floats_as_bits_and_endless_trees(tmp_path):
    floats = np.float32([[1], [5], [9]])
    with pytest.raises(IndexCorruptError):
        VocabularyTree.load(saved(tmp_path, {"metric": "hamming"}, centers=floats))
    n = 70
    chain = {
        "centers": np.zeros((n, 1), np.uint8),
        "children": np.append(np.arange(n + 1), n).astype(np.uint32),
        "leaves": np.int64([n - 1]),
    }
    with pytest.raises(IndexCorruptError, match="at most 64 levels"):
        VocabularyTree.load(saved(tmp_path, **chain))


def test_refuses_other_files(tmp_path, tree):
    tree.save(tmp_path / "tree.tv")
    whole = (tmp_path / "tree.tv").read_bytes()
    damaged = tmp_path / "damaged.tv"
    for content in (whole[:-1], whole[: len(whole) // 2], whole + b"\0", b"", b"text"):
        damaged.write_bytes(content)
        with pytest.raises(IndexCorruptError):
            VocabularyTree.load(damaged)
    ArrayFile("vocabulary_tree", 2, "a vocabulary tree").write(damaged, {}, {})
    with pytest.raises(FormatVersionError):
        VocabularyTree.load(damaged)
    with pytest.raises(FileNotFoundError):
        VocabularyTree.load(tmp_path / "none.tv")
    with pytest.raises(TypeError, match="mmap must be True or False"):
        VocabularyTree.load(tmp_path / "tree.tv", mmap="no")


# ---- order of nodes


@given(st.lists(st.floats(0, 0.999), min_size=1, max_size=30), st.randoms())
def test_any_order_of_nodes_becomes_levels(draws, random):
    n = len(draws)
    parents = np.array([int(draw * (i + 1)) - 1 for i, draw in enumerate(draws)])
    names = np.array(random.sample(range(n), n))  # node i is called names[i]
    renamed = np.empty(n, np.int64)
    renamed[names] = np.where(parents < 0, -1, names[parents])
    order, children = of_unordered(renamed)
    assert sorted(order) == list(range(n))
    _core.check_vocabulary_tree(children, n)
    for node in range(-1, n):
        own = order[children[node + 1] : children[node + 2]]
        np.testing.assert_array_equal(
            own, np.flatnonzero(renamed == (order[node] if node >= 0 else -1))
        )


@pytest.mark.parametrize("parents", [[], [0], [-1, 2, 1], [-2], [-1, 5], [*range(-1, 64)]])
def test_what_is_no_tree_is_refused(parents):
    with pytest.raises(ValueError, match=r"node|levels"):
        of_unordered(np.array(parents, np.int64))


# ---- errors and parameters


def test_parameters_as_in_scikit_learn():
    tree = VocabularyTree(7, 2)
    assert tree.get_params() == {
        "branching": 7,
        "depth": 2,
        "iterations": 10,
        "random_state": 0,
        "threads": None,
    }
    assert tree.set_params(depth=3) is tree
    assert tree.depth == 3
    with pytest.raises(ValueError, match="no parameter 'levels'"):
        tree.set_params(levels=3)
    assert repr(tree) == (
        "VocabularyTree(branching=7, depth=3, iterations=10, random_state=0, threads=None)"
    )


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"branching": 1}, ValueError, "branching must be between"),
        ({"branching": 2.5}, TypeError, "branching must be a whole"),
        ({"depth": 0}, ValueError, "depth must be"),
        ({"depth": 65}, ValueError, "depth must be"),
        ({"iterations": -1}, ValueError, "iterations must be"),
        ({"random_state": -1}, ValueError, "random_state must be"),
        ({"threads": 0}, ValueError, "threads must be"),
    ],
)
def test_says_which_parameter_is_wrong(parameters, error, message):
    with pytest.raises(error, match=message):
        VocabularyTree(**parameters).fit(np.uint8([[1], [2]]))


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        (np.zeros((0, 3)), ValueError, r"at least one point.*\(0, 3\)"),
        (np.zeros((3, 0)), ValueError, "at least one point and one column"),
        ([1.0, 2.0], ValueError, "2-D"),
        ([[np.nan]], ValueError, "NaN"),
        ([[1e300]], ValueError, "float32"),
        ([["a"]], TypeError, "numbers"),
        (np.zeros((1, 40_000), np.uint8), ValueError, "32768"),
        (np.float32([[3e38], [-3e38]]), ValueError, r"within 9e[+]18, or distances overflow"),
        ([np.zeros((2, 2)), np.zeros((3, 2))], ValueError, "X must be"),
    ],
)
def test_says_what_is_wrong_with_points(X, error, message):
    with pytest.raises(error, match=message):
        VocabularyTree().fit(X)


def test_is_a_step_of_a_pipeline(rng):
    pipeline = pytest.importorskip("sklearn.pipeline", reason="scikit-learn is not installed")
    X = points(rng, 200, 4, np.uint8)
    words = VocabularyTree(3, 2).fit(X).transform(X)
    steps = pipeline.make_pipeline(VocabularyTree(3, 2))
    np.testing.assert_array_equal(steps.fit(X, np.zeros(200)).transform(X), words)
    np.testing.assert_array_equal(steps.fit_transform(X, np.zeros(200)), words)


def test_says_what_is_wrong_with_descriptors(tree):
    for call in (tree.transform, lambda X: tree.bags([X]), lambda X: tree.fit_weights([X])):
        with pytest.raises(ValueError, match="7 columns"):
            call(np.zeros((2, 6), np.uint8))
        with pytest.raises(ValueError, match="NaN"):
            call(np.full((2, 7), np.nan))
    with pytest.raises(ValueError, match="at least one photo"):
        tree.fit_weights([])
    with pytest.raises(ValueError, match=r"photos must be a list.*For one photo pass"):
        tree.bags(np.zeros((2, 7), np.uint8))
    with pytest.raises(ValueError, match=r"photos\[1\] must go from 0 to 2"):
        tree.bags((np.zeros((2, 7), np.uint8), [0, 1]))
    with pytest.raises(TypeError, match="levels"):
        tree.transform(np.zeros((2, 7), np.uint8), levels=1)
    for call in (lambda t: t.num_words, lambda t: t.transform([[1]]), lambda t: t.bags([])):
        with pytest.raises(ValueError, match="call fit first"):
            call(VocabularyTree())


def test_bytes_are_not_compared_with_other_numbers(rng):
    tree = VocabularyTree(2, 2).fit(points(rng, 50, 3, np.uint8))
    Q = points(rng, 5, 3, np.uint8)
    np.testing.assert_array_equal(tree.transform(Q.astype(float)), tree.transform(Q))
    with pytest.raises(ValueError, match="uint8"):
        tree.transform(Q + 0.5)


def test_the_kernel_refuses_what_would_be_unsafe():
    X, rows, starts = np.zeros((3, 2), np.uint8), np.arange(3, dtype=np.uint32), np.array([0, 3])
    options = (2, 1, 0, 0, 1)
    with pytest.raises(ValueError, match="no point"):
        _core.split_nodes(X, rows + 1, starts, *options)
    for wrong in ([0, 2], [0, 4], [1, 3], [0, 3, 3], [0], [0, 2, 1, 3]):
        with pytest.raises(ValueError, match=r"starts|node must"):
            _core.split_nodes(X, rows, np.array(wrong), *options)
    children = np.uint32([0, 3, 3, 3, 3])
    with pytest.raises(ValueError, match="columns"):
        _core.descend_vocabulary_tree(X, children, X[:, :1].copy(), False, 0, 1)
    with pytest.raises(ValueError, match="not those of a tree"):
        _core.descend_vocabulary_tree(X, children[:4], X, False, 0, 1)
    floats = X.astype(np.float32)
    with pytest.raises(ValueError, match="bits"):
        _core.descend_vocabulary_tree(floats, children, floats, True, 0, 1)


def test_ctrl_c_stops_it(rng):
    X = rng.integers(0, 256, (200_000, 64), np.uint8)
    fit = VocabularyTree(200, 2, iterations=50, threads=1).fit  # seconds
    assert interrupts.seconds_to_stop(lambda: fit(X)) < interrupts.LIMIT


def test_examples():
    module = importlib.import_module("trouvaille.words.vocabulary_tree")
    failed, attempted = doctest.testmod(module, extraglobs={"np": np})
    assert (failed, attempted > 0) == (0, True)
