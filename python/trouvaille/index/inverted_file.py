# SPDX-License-Identifier: Apache-2.0
"""The inverted file: a growing collection of sparse rows, and the exact search of it."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _check, _ids, _sparse
from ..errors import IndexCorruptError
from . import _file, state, views
from .building import Progress
from .by_word import ByWord, frequencies
from .content import Content
from .options import Options
from .results import RangeDistances, RangeResult, SearchDistances, SearchResult, Stats
from .weights import checked_idf
from .writer import Writer

if TYPE_CHECKING:
    import scipy.sparse


class InvertedFile:
    """Exact search of a growing collection of sparse rows, one a document.

    Every document has a score for every query, as if both matrices were dense. With ``x`` a
    document and ``y`` a query, both rounded to float32, and what is explained below: ``g`` the
    weights of the words, ``h`` the square root or nothing, ``r`` one over a norm,

        d = r(x) * g * h(x),    q = r(y) * g * h(y)

    ============== ==========================================
    metric         score
    ============== ==========================================
    "dot"          sum of q * d
    "cosine"       the same of rows of length 1
    "hellinger"    sum of sqrt(q * d)
    "intersection" sum of min(q, d)
    "lp"           distance: (sum of abs(q - d)^p)^(1/p)
    ============== ==========================================

    Documents that share no word with the query have a score, too: 0, and with "lp" the distance
    ``(|q|^p + |d|^p)^(1/p)``. So they fill the last places where fewer than k share a word. A
    document without words is at distance ``|q|`` from every query: with "lp" and a norm, where
    other documents are up to ``2^(1/p)`` away, it may come first, so mask it. A norm belongs to
    both sides, with "dot", too: then the scale of a query does not matter.

    Parameters
    ----------
    num_words : int
        Columns of every matrix, up to 2^32.
    metric : {"dot", "cosine", "lp", "hellinger", "intersection"}
        See above. Nothing is negative with "hellinger" and "intersection".
    p : float
        The exponent of "lp", above 0 and finite; no other metric takes it. The maximum of the
        differences (p = infinity) is not a sum over the words that two rows share, so it is not
        supported.
    weighting : {None, "tfidf", "tfidf_smooth", "bm25"}
        What a word weighs which ``df`` of ``N`` documents have: 1; ``log(N / df)`` [1]_, 0 if no
        document has it; ``log((1 + N) / (1 + df)) + 1``, as scikit-learn's; or, as Lucene's,
        ``log(1 + (N - df + 0.5) / (df + 0.5))``. "bm25" [5]_ also compares the document's length
        ``l``, the sum of its row, with their mean: the score is the sum of
        ``y * g * x / (x + k1 * (1 - b + b * l / mean))``, with metric "dot", no norm and no
        burstiness.
    norm : {"auto", None, "l1", "l2"}
        Rows are divided by their sum of magnitudes or their length, after the weights; an empty
        one stays so. "auto" is "l2" for "cosine", which has no other, "l1" for "hellinger" and
        "intersection", else None.
    burstiness : {None, "sqrt", "intra"}
        "sqrt" takes the square root of all values, since a word comes in bursts; "intra" of the
        documents' only, as each of a query's features has one vote [4]_.
    idf : {"following", "frozen"} or array_like of float, shape (num_words,)
        Whether the weights of the words are those of the collection as it is, or stay those of
        the first rows that are added (a word that these lack weighs 0 with "tfidf"); or the
        weights themselves, not negative. Following costs the norms of all documents anew after a
        change.
    k1, b : float
        Of "bm25": how fast repetitions of a word stop to matter, and how much the length does.
    values : {"auto", "float32", "float16", "uint8"}
        How values are kept: "auto" as whole numbers while all are whole, from 1 to 65,535, else as
        float32; "float16" with a relative error of 2^-11, of magnitudes from 6.1e-5 to 65,504;
        "uint8" as multiples of a step, with an error of half a step (what is not more is absent),
        the greatest value of the first rows that are added being 255 of them (greater ones are
        refused from then on, and negative ones always).
    forward : bool
        Whether `document` works; it takes 4 to 8 bytes a posting.

    Attributes
    ----------
    num_words : int
        As given.
    options : Options
        All the other parameters, with the norm that "auto" stands for, and "given" for an `idf`
        that is an array.

    Raises
    ------
    TypeError
        If an option is of a wrong type.
    ValueError
        If an option is not supported, or does not go with another; the message says which do.

    Notes
    -----
    Scores are those of a dense computation on what is kept: dot products of counts to 2^-50 of the
    greatest sum that is possible; those of other values also to 2^-23 of the sum of their
    products' magnitudes, as these are rounded to float32; the p-th power of a distance also to
    2^-20 of the larger of ``|q|^p + |d|^p`` and ``|q - d|^p`` unless p is 1 or 2. Equal rows are
    at distance 0, and the nearest rows are found whatever p is: where sums of p-th powers do not
    tell rows apart, distances are computed from the rows' values. Results are the same bits for
    any number of threads, any batch of queries and any division of the collection into calls of
    `add`. Time is O(postings of the query's words + documents) a query, from compressed lists
    [2]_; an Lp distance comes from the words two rows share as well [3]_. Any number of threads
    may search while another adds or removes: what was added is made searchable, in blocks, when it
    is first asked for, and blocks are joined as they become many, so that a row is rewritten O(log
    documents) times.

    References
    ----------
    .. [1] J. Sivic, A. Zisserman, "Video Google: a text retrieval approach to object matching in
       videos", ICCV 2003.
    .. [2] J. Zobel, A. Moffat, "Inverted files for text search engines", ACM Computing Surveys
       38(2), 2006.
    .. [3] D. Nister, H. Stewenius, "Scalable recognition with a vocabulary tree", CVPR 2006.
    .. [4] H. Jegou, M. Douze, C. Schmid, "On the burstiness of visual elements", CVPR 2009.
    .. [5] S. Robertson, H. Zaragoza, "The probabilistic relevance framework: BM25 and beyond",
       Foundations and Trends in Information Retrieval 3(4), 2009.

    Examples
    --------
    >>> index = InvertedFile.from_csr(np.array([[1, 0, 2], [0, 3, 0]]))
    >>> index.search(np.array([[0, 1, 1]]), k=3)
    SearchResult(scores=array([[  3.,   2., -inf]]), ids=array([[ 1,  0, -1]]))
    >>> index = InvertedFile.from_csr(np.array([[1, 0, 2], [0, 3, 0]]), metric="lp", p=1)
    >>> index.search(([1], [2.0]), k=2)
    SearchDistances(distances=array([[1., 5.]]), ids=array([[1, 0]]))
    """

    def __init__(
        self,
        num_words: int,
        *,
        metric: str = "dot",
        p: float = 2.0,
        weighting: str | None = None,
        norm: str | None = "auto",
        burstiness: str | None = None,
        idf: str | ArrayLike = "following",
        k1: float = 1.5,
        b: float = 0.75,
        values: str = "auto",
        forward: bool = False,
    ) -> None:
        self.num_words = _check.count(num_words, "num_words", minimum=0, maximum=_sparse.MAX_WORDS)
        if isinstance(idf, str) and idf not in ("following", "frozen"):
            raise ValueError(f"idf must be 'following', 'frozen' or an array, got {idf!r}")
        mode = idf if isinstance(idf, str) else "given"
        self.options = Options(metric, p, weighting, norm, burstiness, mode, k1, b, values, forward)
        given = None if isinstance(idf, str) else ByWord(checked_idf(idf, self.num_words).copy())
        counts = None if self.options.steady else frequencies([], self.num_words)
        content = Content(frequencies=counts, idf=given)
        self._writer = Writer(content, self.num_words, self.options)

    @classmethod
    def from_csr(
        cls,
        X: Any,
        ids: ArrayLike | None = None,
        *,
        metric: str = "dot",
        p: float = 2.0,
        weighting: str | None = None,
        norm: str | None = "auto",
        burstiness: str | None = None,
        idf: str | ArrayLike = "following",
        k1: float = 1.5,
        b: float = 0.75,
        values: str = "auto",
        forward: bool = False,
        threads: int | None = None,
        progress: Progress | None = None,
    ) -> InvertedFile:
        """Make an index of the rows of `X`.

        Parameters
        ----------
        X, ids
            See `add`. Rows are converted block by block, so that beside a CSR of float32 little
            more memory is taken than the index needs.
        metric, p, weighting, norm, burstiness, idf, k1, b, values, forward
            See `InvertedFile`.
        threads : int, optional
            One for each core by default.
        progress : callable, optional
            Called with the rows that are done and with all, after every few blocks. What it
            raises ends the call.

        Returns
        -------
        InvertedFile
            It may grow like any other.
        """
        matrix = _sparse.matrix(X, "X")
        index = cls(
            matrix.num_words,
            metric=metric,
            p=p,
            weighting=weighting,
            norm=norm,
            burstiness=burstiness,
            idf=idf,
            k1=k1,
            b=b,
            values=values,
            forward=forward,
        )
        index._writer.append_blocks(matrix, ids, _check.threads(threads), progress)
        return index

    @property
    def metric(self) -> str:
        """What rows are compared by, as given."""
        return self.options.metric

    @property
    def p(self) -> float:
        """The exponent of the metric "lp", as given; 2 for others."""
        return self.options.p

    @property
    def weighting(self) -> str | None:
        """What words weigh, as given."""
        return self.options.weighting

    def __len__(self) -> int:
        """Return the number of documents."""
        return len(self._writer)

    @property
    def ids(self) -> NDArray[np.int64]:
        """The ids of all documents, in the order in which they came, shape (len(self),)."""
        return _ids.as_array(self._writer.content().ids()).copy()

    @property
    def document_frequencies(self) -> NDArray[np.int64]:
        """How many documents have each word, shape (num_words,)."""
        return self._writer.content().counted(self.num_words).dense(self.num_words, copy=True)

    def add(self, X: Any, ids: ArrayLike | None = None) -> None:
        """Add the rows of `X` to the collection.

        Parameters
        ----------
        X : sparse matrix or array_like, shape (n, num_words)
            Preferably CSR. Entries of one place add up, in float64; explicit zeros count as
            absent. It is not changed. Values are rounded to float32, by 6e-8 of them, and their
            magnitudes must be between 1e-37 and 3e38.
        ids : array_like of int, shape (n,), optional
            Distinct from each other and from those of the collection, and not negative. By
            default the row numbers in the whole collection; after a `remove`, those that follow
            the largest id there ever was.

        Raises
        ------
        TypeError
            If values are booleans, complex numbers or objects.
        ValueError
            If `X` has another number of columns, or holds NaN, infinity, or values that an option
            excludes; if an id is negative or taken. Nothing is added then.
        """
        self._writer.append(_sparse.matrix(X, "X", self.num_words), ids)

    def remove(self, ids: ArrayLike) -> None:
        """Remove documents from the collection: all of them, or none if there is an error.

        Parameters
        ----------
        ids : array_like of int, shape (n,)
            Distinct. They may be given to other documents later.

        Raises
        ------
        ValueError
            If there is no document of one of the ids; the message names it.
        """
        self._writer.remove(_ids.checked(ids))

    def optimize(self) -> None:
        """Join small blocks and drop what was removed: less memory, more speed, same answers."""
        self._writer.optimize()

    def search(
        self,
        Q: Any,
        k: int = 100,
        *,
        threads: int | None = None,
        mask: ArrayLike | None = None,
    ) -> SearchResult | SearchDistances:
        """Find the `k` best documents for each row of `Q`.

        Parameters
        ----------
        Q : sparse matrix or array_like, shape (n_queries, num_words), or a pair of arrays
            As `X` of `add`; or, for one query, a tuple of word numbers and values.
        k : int
            Places a query. It may be more than there are documents.
        threads : int, optional
            One for each core by default.
        mask : array_like of bool or int, optional
            What may be found: whether document i may, for every id i up to the largest; or the
            ids that may (others of them are ignored).

        Returns
        -------
        SearchResult, or with metric "lp" SearchDistances
            ``scores`` or ``distances`` float64, and ``ids`` int64, both of shape (n_queries, k),
            best first; among equals the smaller id. Missing places hold -infinity (distances
            infinity) and -1.

        Raises
        ------
        TypeError
            If values are booleans, complex numbers or objects, or `mask` holds other numbers.
        ValueError
            If `Q` has another number of columns, or holds NaN, infinity, or values that an option
            excludes; if `k` or `threads` is not positive, or `mask` too short.
        """
        k, threads = _check.count(k, "k"), _check.threads(threads)
        reader = self._writer.reader(threads)
        scores, found = reader.search(self._queries(Q), k, threads, mask)
        kind = SearchDistances if self.options.distances else SearchResult
        return kind(scores, found)

    def range_search(
        self,
        Q: Any,
        threshold: float,
        *,
        threads: int | None = None,
        mask: ArrayLike | None = None,
    ) -> RangeResult | RangeDistances:
        """Find all documents whose score is `threshold` or more, or whose distance is or less.

        Parameters
        ----------
        Q, threads, mask
            See `search`.
        threshold : float
            Any number but NaN.

        Returns
        -------
        RangeResult, or with metric "lp" RangeDistances
            ``offsets`` int64, ``scores`` or ``distances`` float64, and ``ids`` int64: query i has
            those from ``offsets[i]`` to ``offsets[i + 1]``, in the order of `search`.

        Raises
        ------
        TypeError, ValueError
            As `search`; and if `threshold` is no number.
        """
        threads = _check.threads(threads)
        least = _check.number(threshold, "threshold")
        if math.isnan(least):
            raise ValueError("threshold must be a number, got NaN")
        reader = self._writer.reader(threads)
        found = reader.range_search(self._queries(Q), least, threads, mask)
        kind = RangeDistances if self.options.distances else RangeResult
        return kind(*found)

    def stats(self) -> Stats:
        """Return how large the index is, and of what."""
        return views.stats(self._writer.content(), self.num_words)

    def postings(self, word: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return the list of a word.

        Parameters
        ----------
        word : int
            A column, from 0.

        Returns
        -------
        ids : ndarray of int64, shape (n,)
            The documents that have it, in the order of `InvertedFile.ids`.
        values : ndarray of float32, shape (n,)
            How much of it each has, before any weight.

        Raises
        ------
        ValueError
            If there is no such column.
        """
        if self.num_words == 0:
            raise ValueError(f"word must be a column, got {word!r}, but the index has no columns")
        word = _check.count(word, "word", minimum=0, maximum=self.num_words - 1)
        return views.postings(self._writer.content(), word)

    def document(self, id: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return the words of a document; the index must be made with ``forward=True``.

        Parameters
        ----------
        id : int
            Of the document.

        Returns
        -------
        words : ndarray of int64, shape (n,)
            Ascending.
        values : ndarray of float32, shape (n,)
            How much of each it has, before any weight.

        Raises
        ------
        ValueError
            If there is no such document, or the index keeps no rows.
        """
        if not self.options.forward:
            raise ValueError("document needs an index made with forward=True, which keeps the rows")
        id = _check.count(id, "id", minimum=0, maximum=_ids.MAX_ID)
        return views.document(self._writer.content(), id)

    def to_csr(self) -> scipy.sparse.csr_array:
        """Return the matrix of all documents as SciPy's CSR, rows in the order of `ids`.

        Returns
        -------
        scipy.sparse.csr_array of float32, shape (len(self), num_words)
            Values before any weight, words ascending in every row.
        """
        return views.csr(self._writer.content(), self.num_words)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the index to a file, in place of one that may be there.

        Parameters
        ----------
        path : str or path-like
            The file. It is replaced only when the new one is complete and on the disk: a crash
            leaves the old one or the new. Who has the old one loaded goes on with it.

        Raises
        ------
        OSError
            If the disk refuses. An old file is still there then.
        """
        _file.write(path, *self._state())

    @classmethod
    def load(cls, path: str | os.PathLike[str], mmap: bool = True) -> InvertedFile:
        """Return the index that `save` wrote.

        Parameters
        ----------
        path : str or path-like
            The file.
        mmap : bool
            Whether lists stay in the file and are mapped, shared by all processes that do so,
            rather than read. The file is never written to; what is added lives in memory. A file
            that is mapped must not be changed or cut short (`save` never does that).

        Returns
        -------
        InvertedFile
            It may grow like any other.

        Raises
        ------
        OSError
            If the file cannot be read.
        IndexCorruptError
            If it is not what `save` wrote; all of it is checked.
        FormatVersionError
            If a newer version of trouvaille wrote it.
        """
        metadata, arrays = _file.read(path, mmap)
        try:
            return cls._from_state(metadata, arrays)
        except ValueError as error:
            raise IndexCorruptError(path, "inverted_file", 0, str(error)) from None

    def _state(self) -> state.State:
        return state.state_of(self._writer.content(), self.num_words, self.options)

    @classmethod
    def _from_state(cls, metadata: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> InvertedFile:
        """Return an index of what `_state` returned, or a ValueError if it is anything else."""
        index = cls.__new__(cls)
        content, index.num_words, index.options = state.content_of(metadata, arrays)
        index._writer = Writer(content, index.num_words, index.options)
        return index

    def _queries(self, Q: Any) -> _sparse.Rows:
        is_pair = isinstance(Q, tuple) and len(Q) == 2 and all(np.ndim(part) == 1 for part in Q)
        rows = (_sparse.one_row if is_pair else _sparse.matrix)(Q, "Q", self.num_words).rows()
        self.options.check(rows, "Q")
        return rows
