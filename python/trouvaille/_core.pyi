# SPDX-License-Identifier: Apache-2.0
from collections.abc import Sequence
from typing import Any, TypeAlias, TypeVar, overload

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Buffer

__version__: str

# core
def isas() -> list[str]: ...
def active_isa() -> str: ...
def use_isa(name: str) -> None: ...
def reset_isa() -> None: ...
def crc32c(data: Buffer, crc: int = 0) -> int: ...
def crc32c_of_blocks(data: Buffer, block: int, tag: Buffer, first: int) -> NDArray[np.uint32]: ...
def random_bytes(seed: int, item: int, words: int) -> bytes: ...
def random_keys(seed: int, item: int, first: int, count: int) -> NDArray[np.uint64]: ...
def top_k(scores: NDArray[np.float64], k: int) -> NDArray[np.int64]: ...
def parallel_probe(
    n: int, grain: int, threads: int, microseconds: int = 0, throw_at: int = -1
) -> NDArray[np.int32]: ...

# features
class ScaleSpace:
    @overload
    def __init__(self, photo: NDArray[np.uint8], first_octave: int, threads: int) -> None: ...
    @overload
    def __init__(self, photo: NDArray[np.float32], first_octave: int, threads: int) -> None: ...
    @property
    def width(self) -> int: ...
    @property
    def height(self) -> int: ...
    def octaves(self) -> list[list[tuple[NDArray[np.float32], float, float]]]: ...

def detect_dog(
    space: ScaleSpace, threshold: float, max_edge_ratio: float, threads: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]: ...
def select(
    frames: NDArray[np.float32],
    responses: NDArray[np.float32],
    width: int,
    height: int,
    max_features: int,
    mask: NDArray[np.uint8] | None,
    spread: bool,
) -> NDArray[np.uint32]: ...
def orient(
    space: ScaleSpace, frames: NDArray[np.float32], max_orientations: int, threads: int
) -> tuple[NDArray[np.float32], NDArray[np.uint32]]: ...
def describe_sift(
    space: ScaleSpace,
    frames: NDArray[np.float32],
    magnification: float,
    root: bool,
    threads: int,
) -> NDArray[np.uint8]: ...
def describe_cs_lbp(
    space: ScaleSpace,
    frames: NDArray[np.float32],
    magnification: float,
    root: bool,
    threads: int,
) -> NDArray[np.uint8]: ...
def detect_hessian(
    space: ScaleSpace, first_octave: int, threshold: float, threads: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]: ...
def detect_harris(
    space: ScaleSpace, first_octave: int, threshold: float, threads: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]: ...
def affine_shapes(
    space: ScaleSpace,
    frames: NDArray[np.float32],
    max_iterations: int,
    convergence: float,
    max_anisotropy: float,
    threads: int,
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]: ...

# neighbors
@overload
def aligned_rows(rows: NDArray[np.uint8]) -> NDArray[np.uint8]: ...
@overload
def aligned_rows(rows: NDArray[np.float32]) -> NDArray[np.float32]: ...
@overload
def extend_graph(
    points: NDArray[np.uint8],
    neighbors: NDArray[np.uint32],
    entry: int,
    copies: NDArray[np.uint64],
    degree: int,
    width: int,
    alpha: float,
    seed: int,
    threads: int,
) -> tuple[NDArray[np.uint32], int, NDArray[np.uint64]]: ...
@overload
def extend_graph(
    points: NDArray[np.float32],
    neighbors: NDArray[np.uint32],
    entry: int,
    copies: NDArray[np.uint64],
    degree: int,
    width: int,
    alpha: float,
    seed: int,
    threads: int,
) -> tuple[NDArray[np.uint32], int, NDArray[np.uint64]]: ...
@overload
def search_graph(
    points: NDArray[np.uint8],
    neighbors: NDArray[np.uint32],
    entry: int,
    copies: NDArray[np.uint64],
    queries: NDArray[np.uint8],
    k: int,
    width: int,
    alive: NDArray[np.uint64] | None,
    threads: int,
    starts: NDArray[np.uint32] | None = None,
) -> tuple[NDArray[np.int32], NDArray[np.int64]]: ...
@overload
def search_graph(
    points: NDArray[np.float32],
    neighbors: NDArray[np.uint32],
    entry: int,
    copies: NDArray[np.uint64],
    queries: NDArray[np.float32],
    k: int,
    width: int,
    alive: NDArray[np.uint64] | None,
    threads: int,
    starts: NDArray[np.uint32] | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.int64]]: ...
def check_graph(
    neighbors: NDArray[np.uint32], entry: int, copies: NDArray[np.uint64], points: int
) -> None: ...

# hamming
max_code_bytes: int

def hamming_neighbors(
    queries: NDArray[np.uint8],
    points: NDArray[np.uint8],
    k: int,
    threads: int,
    alive: NDArray[np.uint64] = ...,
) -> tuple[NDArray[np.int32], NDArray[np.int64]]: ...
def hamming_neighbors_in_lists(
    points: NDArray[np.uint8],
    starts: NDArray[np.int64],
    members: NDArray[np.uint32],
    queries: NDArray[np.uint8],
    lists: NDArray[np.int64],
    k: int,
    threads: int,
) -> tuple[NDArray[np.int32], NDArray[np.int64]]: ...
def hamming_neighbors_within(
    queries: NDArray[np.uint8],
    points: NDArray[np.uint8],
    radius: int,
    threads: int,
    alive: NDArray[np.uint64] = ...,
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64]]: ...
def advised_tables(bits: int, points: int) -> int: ...
def build_multi_index(
    points: NDArray[np.uint8], tables: int, threads: int
) -> tuple[NDArray[np.uint32], NDArray[np.uint8], NDArray[np.uint32]]: ...
def check_multi_index(
    points: NDArray[np.uint8],
    rows: NDArray[np.uint32],
    codes: NDArray[np.uint8],
    directories: NDArray[np.uint32],
) -> None: ...
def search_multi_index(
    points: NDArray[np.uint8],
    rows: NDArray[np.uint32],
    codes: NDArray[np.uint8],
    directories: NDArray[np.uint32],
    queries: NDArray[np.uint8],
    k: int,
    threads: int,
    alive: NDArray[np.uint64] = ...,
) -> tuple[NDArray[np.int32], NDArray[np.int64]]: ...
def search_multi_index_within(
    points: NDArray[np.uint8],
    rows: NDArray[np.uint32],
    codes: NDArray[np.uint8],
    directories: NDArray[np.uint32],
    queries: NDArray[np.uint8],
    radius: int,
    threads: int,
    alive: NDArray[np.uint64] = ...,
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64]]: ...
@overload
def project(
    x: NDArray[np.uint8], weights: NDArray[np.float32], offsets: NDArray[np.float32], threads: int
) -> NDArray[np.float32]: ...
@overload
def project(
    x: NDArray[np.float32],
    weights: NDArray[np.float32],
    offsets: NDArray[np.float32],
    threads: int,
) -> NDArray[np.float32]: ...

# exact
max_byte_dims: int

@overload
def exact_neighbors(
    queries: NDArray[np.uint8],
    database: NDArray[np.uint8],
    k: int,
    threads: int,
    metric: str = "l2",
) -> tuple[NDArray[np.int32], NDArray[np.int64]]: ...
@overload
def exact_neighbors(
    queries: NDArray[np.float32],
    database: NDArray[np.float32],
    k: int,
    threads: int,
    metric: str = "l2",
) -> tuple[NDArray[np.float32], NDArray[np.int64]]: ...
@overload
def exact_neighbors(
    queries: NDArray[np.float32],
    database: NDArray[np.uint16],
    k: int,
    threads: int,
    metric: str = "l2",
) -> tuple[NDArray[np.float32], NDArray[np.int64]]: ...
@overload
def exact_neighbors_within(
    queries: NDArray[np.uint8],
    database: NDArray[np.uint8],
    radius: float,
    threads: int,
    metric: str = "l2",
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64]]: ...
@overload
def exact_neighbors_within(
    queries: NDArray[np.float32],
    database: NDArray[np.float32],
    radius: float,
    threads: int,
    metric: str = "l2",
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]: ...
@overload
def exact_neighbors_within(
    queries: NDArray[np.float32],
    database: NDArray[np.uint16],
    radius: float,
    threads: int,
    metric: str = "l2",
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]: ...

# words
@overload
def add_to_sums(
    points: NDArray[np.uint8],
    labels: NDArray[np.int64],
    sums: NDArray[np.uint64],
    counts: NDArray[np.int64],
    threads: int,
) -> None: ...
@overload
def add_to_sums(
    points: NDArray[np.float32],
    labels: NDArray[np.int64],
    sums: NDArray[np.float64],
    counts: NDArray[np.int64],
    threads: int,
) -> None: ...
def means(
    sums: NDArray[Any], counts: NDArray[np.int64], centers: NDArray[Any], threads: int
) -> NDArray[Any]: ...
def repair_empty(
    parts: list[NDArray[Any]],
    roots: bool,
    distances: NDArray[Any],
    clusters: int,
    labels: NDArray[np.int64],
) -> int: ...
def hellinger_roots(points: NDArray[_Point], threads: int) -> NDArray[_Point]: ...
def spread_rows(points: NDArray[Any], count: int, seed: int, threads: int) -> NDArray[np.int64]: ...

# vocabulary trees
# centers, children of each node, rows by child, starts, errors of each child
def split_nodes(
    points: NDArray[_Point],
    rows: NDArray[np.uint32],
    starts: NDArray[np.int64],
    branching: int,
    iterations: int,
    seed: int,
    first: int,
    threads: int,
) -> tuple[
    NDArray[_Point],
    NDArray[np.uint32],
    NDArray[np.uint32],
    NDArray[np.int64],
    NDArray[np.float64],
]: ...
def descend_vocabulary_tree(
    centers: NDArray[_Point],
    children: NDArray[np.uint32],
    queries: NDArray[_Point],
    hamming: bool,
    levels: int,
    threads: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]: ...
def check_vocabulary_tree(children: NDArray[np.uint32], nodes: int) -> int: ...

# aggregate
@overload
def vlad(
    x: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    words: NDArray[np.uint8],
    ids: NDArray[np.int64],
    weights: NDArray[np.float32],
    unit_residuals: bool,
    power: float,
    intra: bool,
    unit: bool,
    threads: int,
) -> NDArray[np.float32]: ...
@overload
def vlad(
    x: NDArray[np.float32],
    offsets: NDArray[np.int64],
    words: NDArray[np.float32],
    ids: NDArray[np.int64],
    weights: NDArray[np.float32],
    unit_residuals: bool,
    power: float,
    intra: bool,
    unit: bool,
    threads: int,
) -> NDArray[np.float32]: ...
def soft_weights(
    distances: NDArray[np.int32] | NDArray[np.float32], scale: float, threads: int
) -> NDArray[np.float32]: ...
def mixture_sums(
    x: NDArray[np.uint8] | NDArray[np.float32],
    offsets: NDArray[np.int64],
    weights: NDArray[np.float64],
    means: NDArray[np.float64],
    variances: NDArray[np.float64],
    threads: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]: ...
def fisher_vectors(
    x: NDArray[np.uint8] | NDArray[np.float32],
    offsets: NDArray[np.int64],
    weights: NDArray[np.float64],
    means: NDArray[np.float64],
    variances: NDArray[np.float64],
    power: float,
    unit: bool,
    threads: int,
) -> NDArray[np.float32]: ...
def whiten(
    x: NDArray[np.uint8] | NDArray[np.float32],
    mean: NDArray[np.float64],
    directions: NDArray[np.float32],
    scales: NDArray[np.float64],
    zeros_stay: bool,
    unit: bool,
    threads: int,
) -> NDArray[np.float32]: ...

# index
class InvertedBlock:
    @staticmethod
    def from_arrays(
        storage: str,
        num_words: int,
        n_documents: int,
        arrays: dict[str, NDArray[Any]],
        step: float = 0.0,
    ) -> InvertedBlock: ...
    @property
    def n_documents(self) -> int: ...
    @property
    def n_postings(self) -> int: ...
    @property
    def num_words(self) -> int: ...
    @property
    def storage(self) -> str: ...
    @property
    def step(self) -> float: ...
    @property
    def negative(self) -> bool: ...
    @property
    def smallest(self) -> float: ...
    @property
    def largest(self) -> float: ...
    @property
    def nbytes(self) -> int: ...
    def arrays(self) -> dict[str, NDArray[Any]]: ...
    def add_frequencies(
        self, frequencies: NDArray[np.int64], alive: NDArray[np.uint64] | None
    ) -> None: ...
    def frequencies(
        self, alive: NDArray[np.uint64] | None
    ) -> tuple[NDArray[np.uint32], NDArray[np.int64]]: ...
    def list(self, word: int) -> tuple[NDArray[np.uint32], NDArray[np.float32]]: ...
    def rows(self) -> tuple[NDArray[np.int64], NDArray[np.uint32], NDArray[np.float32]]: ...
    def norms(
        self,
        kind: str,
        word_weights: tuple[NDArray[np.float64], NDArray[np.uint32] | None, float] | None,
        roots: int,
    ) -> NDArray[np.float64]: ...

def rows_are_tidy(
    offsets: NDArray[np.int64],
    words: NDArray[Any],
    values: NDArray[Any],
    num_words: int,
    smallest: float,
    largest: float,
) -> bool: ...
def build_blocks(
    offsets: NDArray[np.int64],
    words: NDArray[np.uint32],
    values: NDArray[np.float32],
    num_words: int,
    storage: str,
    step: float,
    n_blocks: int,
    threads: int,
) -> list[InvertedBlock]: ...
def merge_blocks(
    blocks: Sequence[InvertedBlock],
    alive: Sequence[NDArray[np.uint64] | None],
) -> list[InvertedBlock]: ...

class InvertedReader:
    def __init__(
        self,
        blocks: Sequence[InvertedBlock],
        *,
        kernel: str,
        p: float,
        document_roots: int,
        query_roots: int,
        norm: str,
        hellinger: bool,
        word_weights: tuple[NDArray[np.float64], NDArray[np.uint32] | None, float] | None,
        factors: Sequence[NDArray[np.float64]] | None,
        alive: Sequence[NDArray[np.uint64] | None],
        ids: NDArray[np.int64] | None,
        num_words: int,
        smallest: float,
        largest: float,
        steady: bool,
        threads: int,
    ) -> None: ...
    def search(
        self,
        offsets: NDArray[np.int64],
        words: NDArray[np.uint32],
        values: NDArray[np.float32],
        k: int,
        threads: int,
        masks: Sequence[NDArray[np.uint64] | None] | None,
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]: ...
    def range_search(
        self,
        offsets: NDArray[np.int64],
        words: NDArray[np.uint32],
        values: NDArray[np.float32],
        threshold: float,
        threads: int,
        masks: Sequence[NDArray[np.uint64] | None] | None,
    ) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]: ...

# match kernels
# A block is words, starts, photos, signatures; with bitmap, factors and ids where it is searched.
# Queries are offsets, factors, words, weights, features, signatures.
max_signature_photos: int
max_signature_words: int

def build_signatures(
    words: NDArray[np.uint32],
    photos: NDArray[np.uint16],
    signatures: NDArray[np.uint8],
    num_words: int,
) -> tuple[NDArray[np.uint32], NDArray[np.uint64], NDArray[np.uint16], NDArray[np.uint8]]: ...
def check_signatures(
    block: tuple[NDArray[Any], ...], num_words: int, photos: int, bits: int
) -> None: ...
def signatures_of(
    block: tuple[NDArray[Any], ...], photo: int, words: NDArray[np.uint32]
) -> NDArray[np.uint8]: ...
def photo_counts(
    block: tuple[NDArray[Any], ...], alive: NDArray[np.uint64], num_words: int
) -> NDArray[np.int64]: ...
def self_similarities(
    block: tuple[NDArray[Any], ...],
    weights: NDArray[np.float64],
    similarities: NDArray[np.float64],
    photos: int,
) -> NDArray[np.float64]: ...
def self_similarities_of_rows(
    offsets: NDArray[np.int64],
    words: NDArray[np.uint32],
    signatures: NDArray[np.uint8],
    weights: NDArray[np.float64],
    similarities: NDArray[np.float64],
) -> NDArray[np.float64]: ...
def search_match_kernel(
    blocks: list[tuple[NDArray[Any], ...]],
    queries: tuple[NDArray[Any], ...],
    similarities: NDArray[np.float64],
    intra: bool,
    inter: bool,
    k: int,
    threads: int,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]: ...
@overload
def binary_residuals(
    x: NDArray[np.uint8],
    words: NDArray[np.uint8],
    nearest: NDArray[np.int64],
    offsets: NDArray[np.int64],
    aggregated: bool,
    threads: int,
) -> tuple[NDArray[np.int64], NDArray[np.uint32], NDArray[np.uint8]]: ...
@overload
def binary_residuals(
    x: NDArray[np.float32],
    words: NDArray[np.float32],
    nearest: NDArray[np.int64],
    offsets: NDArray[np.int64],
    aggregated: bool,
    threads: int,
) -> tuple[NDArray[np.int64], NDArray[np.uint32], NDArray[np.uint8]]: ...

# geometry
def verify(
    query_frames: NDArray[np.float32],
    candidate_frames: NDArray[np.float32],
    frame_offsets: NDArray[np.int64],
    matches: NDArray[np.int32],
    match_offsets: NDArray[np.int64],
    model: int,
    weights: NDArray[np.float64],
    residual_threshold: float,
    min_inliers: int,
    threads: int,
) -> tuple[
    NDArray[np.int64],
    NDArray[np.float64],
    NDArray[np.float64],
    NDArray[np.bool_],
    NDArray[np.float64],
]: ...
@overload
def match_pair(
    queries: NDArray[np.uint8],
    database: NDArray[np.uint8],
    max_ratio: float,
    squared: bool,
    mutual: bool,
    max_distance: float,
    threads: int,
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]: ...
@overload
def match_pair(
    queries: NDArray[np.float32],
    database: NDArray[np.float32],
    max_ratio: float,
    squared: bool,
    mutual: bool,
    max_distance: float,
    threads: int,
) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.float32]]: ...
def estimate(
    model: str,
    x1: NDArray[np.float64],
    x2: NDArray[np.float64],
    quality: NDArray[np.float64],
    magsac: bool,
    residual_threshold: float,
    max_trials: int,
    confidence: float,
    seed: int,
) -> tuple[NDArray[np.float64], NDArray[np.bool_], int, float, int, str]: ...
def match_shortlist(
    descriptors: NDArray[np.uint8],
    words: NDArray[np.uint32],
    max_distances: NDArray[np.int32],
    candidates: Sequence[tuple[NDArray[np.uint32], NDArray[np.uint8]]],
    max_matches: int,
    threads: int,
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int64]]: ...
def match_signatures(
    words: NDArray[np.uint32],
    signatures: NDArray[np.uint8],
    max_distance: int,
    candidates: Sequence[tuple[NDArray[np.uint32], NDArray[np.uint8]]],
    max_matches: int,
    threads: int,
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int64]]: ...
def match_words(
    words: NDArray[np.uint32],
    weights: NDArray[np.float64],
    candidate_words: NDArray[np.uint32],
    offsets: NDArray[np.int64],
    max_matches_per_feature: int,
    threads: int,
) -> tuple[NDArray[np.int32], NDArray[np.float64], NDArray[np.int64]]: ...

# k-d forest
_Point = TypeVar("_Point", np.uint8, np.float32)
# points, rows, panels, nodes, roots, orders, center, directions, (step, reach)
_KDForest: TypeAlias = tuple[
    NDArray[_Point],
    NDArray[np.uint32],
    NDArray[np.uint8],
    NDArray[np.uint32],
    NDArray[np.uint32],
    NDArray[np.uint32],
    NDArray[np.float32],
    NDArray[np.float32],
    NDArray[np.float32],
]

def build_kd_forest(
    points: NDArray[_Point],
    trees: int,
    leaf_size: int,
    drawn_from: int,
    seed: int,
    threads: int,
) -> _KDForest[_Point]: ...
def check_kd_forest(forest: _KDForest[_Point]) -> None: ...
@overload
def search_kd_forest(
    forest: _KDForest[np.uint8],
    queries: NDArray[np.uint8],
    k: int,
    checks: int,
    alive: NDArray[np.uint64] | None,
    threads: int,
) -> tuple[NDArray[np.int32], NDArray[np.int64]]: ...
@overload
def search_kd_forest(
    forest: _KDForest[np.float32],
    queries: NDArray[np.float32],
    k: int,
    checks: int,
    alive: NDArray[np.uint64] | None,
    threads: int,
) -> tuple[NDArray[np.float32], NDArray[np.int64]]: ...
@overload
def search_kd_forest_within(
    forest: _KDForest[np.uint8],
    queries: NDArray[np.uint8],
    radius: int,
    checks: int,
    alive: NDArray[np.uint64] | None,
    threads: int,
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64]]: ...
@overload
def search_kd_forest_within(
    forest: _KDForest[np.float32],
    queries: NDArray[np.float32],
    radius: float,
    checks: int,
    alive: NDArray[np.uint64] | None,
    threads: int,
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]: ...

# k-means tree
# points, rows, panels, starts, children, centers, blocks, sketches, middle, directions, steps
_KMeansTree: TypeAlias = tuple[
    NDArray[_Point],
    NDArray[np.uint32],
    NDArray[np.uint32],
    NDArray[np.uint32],
    NDArray[np.uint32],
    NDArray[np.uint8],
    NDArray[np.uint32],
    NDArray[np.uint8],
    NDArray[np.float32],
    NDArray[np.float32],
    NDArray[np.float32],
]

def build_kmeans_tree(
    points: NDArray[_Point],
    branching: int,
    levels: int,
    iterations: int,
    seed: int,
    threads: int,
) -> _KMeansTree[_Point]: ...
def grow_kmeans_tree(
    tree: _KMeansTree[_Point], added: NDArray[_Point], threads: int
) -> _KMeansTree[_Point]: ...
def check_kmeans_tree(tree: _KMeansTree[_Point]) -> None: ...
@overload
def search_kmeans_tree(
    tree: _KMeansTree[np.uint8],
    queries: NDArray[np.uint8],
    k: int,
    checks: int,
    alive: NDArray[np.uint64] | None,
    threads: int,
) -> tuple[NDArray[np.int32], NDArray[np.int64]]: ...
@overload
def search_kmeans_tree(
    tree: _KMeansTree[np.float32],
    queries: NDArray[np.float32],
    k: int,
    checks: int,
    alive: NDArray[np.uint64] | None,
    threads: int,
) -> tuple[NDArray[np.float32], NDArray[np.int64]]: ...

# LSH
# points, rows, slots, orders, panels, center, directions, offsets, multipliers,
# (sketch_bits, reach, packed_bits)
_LSH: TypeAlias = tuple[
    NDArray[_Point],
    NDArray[np.uint32],
    NDArray[np.uint32],
    NDArray[np.uint32],
    NDArray[np.uint8],
    NDArray[np.float32],
    NDArray[np.float32],
    NDArray[np.float32],
    NDArray[np.uint32],
    NDArray[np.int32],
]

def build_lsh(
    points: NDArray[_Point],
    tables: int,
    functions: int,
    sketch_bytes: int,
    family: str,
    width: float,
    packed_bits: bool,
    seed: int,
    threads: int,
) -> _LSH[_Point]: ...
def check_lsh(lsh: _LSH[_Point]) -> None: ...
@overload
def search_lsh(
    lsh: _LSH[np.uint8],
    queries: NDArray[np.uint8],
    k: int,
    checks: int,
    probes: int,
    comparisons: int,
    alive: NDArray[np.uint64] | None,
    threads: int,
) -> tuple[NDArray[np.int32], NDArray[np.int64]]: ...
@overload
def search_lsh(
    lsh: _LSH[np.float32],
    queries: NDArray[np.float32],
    k: int,
    checks: int,
    probes: int,
    comparisons: int,
    alive: NDArray[np.uint64] | None,
    threads: int,
) -> tuple[NDArray[np.float32], NDArray[np.int64]]: ...
