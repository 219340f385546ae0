# SPDX-License-Identifier: Apache-2.0
"""Visual words to ranked photos: an inverted file over a sparse matrix of documents by words."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _check, _core, _sparse
from ._ids import MAX_DOCUMENTS, Ids

METRICS = ("dot", "cosine")
WEIGHTINGS = (None, "tfidf")


class SearchResult(NamedTuple):
    """What `InvertedFile.search` found, best first."""

    scores: NDArray[np.float64]
    """Shape (n_queries, k); higher is better, -infinity where there is no document."""
    ids: NDArray[np.int64]
    """Shape (n_queries, k); -1 where there is no document."""


class Postings(NamedTuple):
    """A collection by words: list w is the places ``offsets[w]`` to ``offsets[w + 1]``."""

    offsets: NDArray[np.uint64]
    """Shape (num_words + 1,)."""
    documents: NDArray[np.uint32]
    """Row numbers, ascending within a list."""
    values: NDArray[Any]
    """How much of the word is in the document: uint16, float32 or float64; never zero."""


class InvertedFile:
    """Exact search of a growing collection of sparse rows, one a document.

    Every document has a score for every query, as if both matrices were dense: the product of
    ``Q`` and ``X.T``, after weighting. Documents that share no word with the query score 0.

    Parameters
    ----------
    num_words : int
        Columns of every matrix, up to 2^32.
    metric : {"dot", "cosine"}
        The dot product of two rows, or that divided by their lengths (L2). The cosine with an
        empty row is 0.
    p : float
        The exponent of the metric "lp", which is not supported yet.
    weighting : {None, "tfidf"}
        "tfidf" multiplies word w by ``log(N / df_w)`` on both sides, where ``df_w`` of the ``N``
        documents have the word; words that none has weigh 0. The weights follow the collection as
        it grows.

    Raises
    ------
    ValueError
        If an option is not supported; the message lists those that are.

    Notes
    -----
    Values are kept exactly, as uint16, float32 or float64, whichever is the smallest that holds
    them all; sums are float64. Time O(postings of the query's words + documents) a query; memory
    4 bytes a posting and 2, 4 or 8 for its value. Results are the same bits for any number of
    threads, any batch of queries and any division of the collection into calls of `add`. Any
    number of threads may search while another adds.

    References
    ----------
    .. [1] J. Sivic, A. Zisserman, "Video Google: a text retrieval approach to object matching in
       videos", ICCV 2003.
    .. [2] J. Zobel, A. Moffat, "Inverted files for text search engines", ACM Computing Surveys
       38(2), 2006.

    Examples
    --------
    >>> index = InvertedFile.from_csr(np.array([[1, 0, 2], [0, 3, 0]]))
    >>> index.search(np.array([[0, 1, 1]]), k=3)
    SearchResult(scores=array([[  3.,   2., -inf]]), ids=array([[ 1,  0, -1]]))
    """

    def __init__(
        self,
        num_words: int,
        *,
        metric: str = "dot",
        p: float = 2.0,
        weighting: str | None = None,
    ) -> None:
        if metric not in METRICS:
            raise ValueError(f"metric must be {_one_of(METRICS)}, got {metric!r}")
        if weighting not in WEIGHTINGS:
            raise ValueError(f"weighting must be {_one_of(WEIGHTINGS)}, got {weighting!r}")
        if p != 2.0:
            raise ValueError(f"p belongs to no supported metric ({_one_of(METRICS)}), got {p!r}")
        self.num_words = _check.count(num_words, "num_words", minimum=0, maximum=_sparse.MAX_WORDS)
        self.metric = metric
        self.p = p
        self.weighting = weighting
        self._lock = threading.Lock()
        self._pending: list[_sparse.Rows] = []  # rows that no reader has yet
        self._ids = Ids()
        self._fixed = False
        empty = np.empty(0, np.uint32)
        offsets = np.zeros(self.num_words + 1, np.uint64)
        self._reader = self._reader_of(Postings(offsets, empty, empty.astype(np.uint16)))

    @classmethod
    def from_csr(
        cls,
        X: Any,
        ids: ArrayLike | None = None,
        *,
        metric: str = "dot",
        p: float = 2.0,
        weighting: str | None = None,
    ) -> InvertedFile:
        """Make an index of the rows of `X`; see `InvertedFile` and `add`."""
        rows = _sparse.rows(X, "X")
        index = cls(rows.num_words, metric=metric, p=p, weighting=weighting)
        index._append(rows, ids)
        index._current()
        return index

    @classmethod
    def _from_postings(
        cls,
        postings: Postings,
        n_documents: int,
        ids: ArrayLike | None = None,
        *,
        metric: str = "dot",
        word_weights: ArrayLike | None = None,
        document_weights: ArrayLike | None = None,
    ) -> InvertedFile:
        """Make an index that cannot grow of postings as they are, memory-mapped ones say.

        With a part of a collection (a segment), `word_weights` are the idf of the whole, and
        `document_weights` the inverses of the norms under them; these are computed if the metric
        needs them and they are not given. Everything is checked, so that any bytes are safe.
        """
        n_documents = _check.count(n_documents, "n_documents", 0, MAX_DOCUMENTS)
        postings = _checked_postings(postings, n_documents)
        index = cls(len(postings.offsets) - 1, metric=metric)
        index._ids.add(ids, n_documents)
        index._fixed = True
        words = _weights(word_weights, "word_weights", index.num_words)
        documents = _weights(document_weights, "document_weights", n_documents)
        index._reader = index._reader_of(postings, words, documents)
        return index

    def __len__(self) -> int:
        """Return the number of documents."""
        return len(self._ids)

    @property
    def postings(self) -> Postings:
        """The collection by words, read-only. Documents are numbered in the order of `add`."""
        offsets, documents, values = self._current().postings
        return Postings(_read_only(offsets), _read_only(documents), _read_only(values))

    @property
    def document_frequencies(self) -> NDArray[np.int64]:
        """How many documents have each word, shape (num_words,)."""
        return _frequencies(self.postings).astype(np.int64)

    def add(self, X: Any, ids: ArrayLike | None = None) -> None:
        """Add the rows of `X` to the collection.

        Parameters
        ----------
        X : sparse matrix or array_like, shape (n, num_words)
            Preferably CSR. Entries of one place add up, in float64; explicit zeros count as
            absent. It is not changed. Magnitudes must be between 1e-100 and 1e100.
        ids : array_like of int, shape (n,), optional
            Distinct from each other and from those of the collection, and not negative. By
            default the row numbers in the whole collection.

        Raises
        ------
        TypeError
            If values are booleans, complex numbers or objects.
        ValueError
            If `X` has another number of columns, or holds NaN or infinity; if an id is negative
            or taken. Nothing is added then.
        """
        if self._fixed:
            raise ValueError("an index made of given postings cannot grow")
        rows = _sparse.rows(X, "X", self.num_words)
        # They wait until a search: what may be the caller's own memory is copied.
        rows = rows._replace(offsets=rows.offsets.copy(), values=rows.values.copy())
        self._append(rows, ids)

    def search(self, Q: Any, k: int = 100, *, threads: int | None = None) -> SearchResult:
        """Find the `k` best documents for each row of `Q`.

        Parameters
        ----------
        Q : sparse matrix or array_like, shape (n_queries, num_words), or a pair of arrays
            As `X` of `add`; or, for one query, a tuple of word numbers and values.
        k : int
            Places a query. It may be more than there are documents.
        threads : int, optional
            One for each core by default.

        Returns
        -------
        SearchResult
            ``scores`` float64 and ``ids`` int64, both of shape (n_queries, k), best first; among
            equal scores the smaller id. Missing places hold -infinity and -1.

        Raises
        ------
        TypeError
            If values are booleans, complex numbers or objects.
        ValueError
            If `Q` has another number of columns, or holds NaN or infinity; if `k` or `threads`
            is not positive.
        """
        is_pair = isinstance(Q, tuple) and len(Q) == 2 and all(np.ndim(part) == 1 for part in Q)
        rows = (_sparse.one_row if is_pair else _sparse.rows)(Q, "Q", self.num_words)
        k, threads = _check.count(k, "k"), _check.threads(threads)
        return self._current().search(rows, k, threads, normalize=self.metric == "cosine")

    def _append(self, rows: _sparse.Rows, ids: ArrayLike | None) -> None:
        with self._lock:
            self._ids.add(ids, len(rows.offsets) - 1)
            self._pending.append(rows)

    def _current(self) -> _Reader:
        # Rows are only joined to the postings when somebody asks: adding one by one stays linear.
        with self._lock:
            if self._pending:
                new = _transposed(_sparse.stack(self._pending))
                self._reader = self._reader_of(self._reader.joined(new))
                self._pending = []
            return self._reader

    def _reader_of(
        self,
        postings: Postings,
        words: NDArray[np.float64] | None = None,
        documents: NDArray[np.float64] | None = None,
    ) -> _Reader:
        n_documents = len(self._ids)
        if self.weighting == "tfidf":
            words = _inverse_document_frequencies(postings, n_documents)
        if self.metric == "cosine" and documents is None:
            norms = _core.document_norms(*postings, n_documents, words)
            documents = np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 0)
        ids, ascending = self._ids.array(), self._ids.ascending
        return _Reader(postings, n_documents, ids, ascending, words, documents)


@dataclass(frozen=True)
class _Reader:
    """A collection that stays as it is, with the weights that belong to it."""

    postings: Postings
    n_documents: int
    ids: NDArray[np.int64] | None  # None: the row numbers
    ascending: bool  # are the ids, so that the smaller row number has the smaller id?
    word_weights: NDArray[np.float64] | None
    document_weights: NDArray[np.float64] | None

    def search(self, rows: _sparse.Rows, k: int, threads: int, normalize: bool) -> SearchResult:
        scores, found = _core.search_inverted_file(
            *self.postings,
            self.n_documents,
            self.word_weights,
            self.document_weights,
            normalize,
            None if self.ascending else self.ids,
            rows.offsets,
            rows.words,
            rows.values,
            k,
            threads,
        )
        if self.ascending and self.ids is not None and self.n_documents > 0:
            found = np.where(found < 0, -1, self.ids[found])
        return SearchResult(scores, found)

    def joined(self, new: Postings) -> Postings:
        if self.n_documents == 0:
            return new
        old = self.postings
        dtype = np.promote_types(old.values.dtype, new.values.dtype)
        return Postings(
            *_core.join_postings(
                old.offsets,
                old.documents,
                old.values.astype(dtype, copy=False),
                new.offsets,
                new.documents,
                new.values.astype(dtype, copy=False),
                self.n_documents,
            )
        )


def _weights(weights: ArrayLike | None, name: str, n: int) -> NDArray[np.float64] | None:
    if weights is None:
        return None
    values = _sparse.checked_values(weights, name)
    if len(values) != n:
        raise ValueError(f"{name} must be {n}, got {len(values)}")
    if n > 0 and values.min() < 0:
        raise ValueError(f"{name} must not be negative, got {values.min()}")
    return values


def _checked_postings(postings: Postings, n_documents: int) -> Postings:
    offsets = _check.array(postings.offsets, "offsets", np.uint64, ndim=1)
    documents = _check.array(postings.documents, "documents", np.uint32, ndim=1)
    values = np.asarray(postings.values)
    if values.dtype in (np.uint16, np.float32):  # neither holds a number of extreme magnitude
        values = _check.array(values, "values", values.dtype, ndim=1)
    else:
        values = _sparse.checked_values(values, "values")
    if len(offsets) == 0 or offsets[0] != 0 or (offsets[1:] < offsets[:-1]).any():
        raise ValueError("offsets must rise from 0")
    if not offsets[-1] == len(documents) == len(values):
        raise ValueError(
            f"offsets end at {offsets[-1]}, but there are {len(documents)} documents "
            f"and {len(values)} values"
        )
    if len(documents) and documents.max() >= n_documents:
        raise ValueError(f"documents must be below {n_documents}, got {documents.max()}")
    starts = np.zeros(len(documents) + 1, bool)
    starts[offsets] = True
    if not ((documents[1:] > documents[:-1]) | starts[1:-1]).all():
        raise ValueError("documents must ascend within a list")
    return Postings(offsets, documents, values)


def _transposed(rows: _sparse.Rows) -> Postings:
    offsets, documents, values = _core.transpose(*rows)
    return Postings(offsets, documents, _narrowed(values))


def _narrowed(values: NDArray[np.float64]) -> NDArray[Any]:
    """Return `values` in the smallest of the dtypes that hold them all exactly."""
    if len(values) == 0 or (values.min() >= 0 and values.max() < 2**16):
        counts = values.astype(np.uint16)
        if np.array_equal(counts, values):
            return counts
    with np.errstate(over="ignore", under="ignore"):
        singles = values.astype(np.float32)
    return singles if np.array_equal(singles, values) else values


def _inverse_document_frequencies(postings: Postings, n_documents: int) -> NDArray[np.float64]:
    frequencies = _frequencies(postings).astype(np.float64)
    rest = n_documents - frequencies
    ratio = np.divide(rest, frequencies, out=np.zeros_like(rest), where=frequencies > 0)
    weights: NDArray[np.float64] = np.log1p(ratio)  # log(N / df), exact where df is nearly N too
    return weights


def _frequencies(postings: Postings) -> NDArray[np.uint64]:
    return postings.offsets[1:] - postings.offsets[:-1]


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    view = array.view()
    view.flags.writeable = False
    return view


def _one_of(options: tuple[str | None, ...]) -> str:
    return " or ".join(repr(option) for option in options)
