# SPDX-License-Identifier: Apache-2.0
"""What is in a collection: its lists, its documents, the whole of it, and how large it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .. import _ids as ids
from .content import Content
from .results import Stats
from .segment import Segment

if TYPE_CHECKING:
    import scipy.sparse


def stats(content: Content, num_words: int) -> Stats:
    """Return how large the collection is."""
    segments, counted = content.segments, content.counted(num_words)
    n_postings = int(counted.numbers.sum())
    postings_bytes = sum(segment.block.nbytes for segment in segments)
    return Stats(
        n_documents=content.n_documents,
        n_removed=sum(segment.n_documents - segment.n_alive for segment in segments),
        num_words=num_words,
        n_postings=n_postings,
        postings_bytes=postings_bytes,
        bytes_a_posting=postings_bytes / n_postings if n_postings > 0 else 0.0,
        forward_bytes=sum(s.forward.nbytes for s in segments if s.forward is not None),
        longest_list=int(counted.numbers.max(initial=0)),
        n_blocks=len(segments),
        document_frequencies=counted.dense(num_words, copy=True),
    )


def postings(content: Content, word: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the ids of the documents that have a word, and how much of it."""
    found, values = [np.empty(0, np.int64)], [np.empty(0, np.float32)]
    for segment in content.segments:
        documents, of_word = segment.block.list(word)
        if segment.alive is not None:
            alive = segment.members()[documents]
            documents, of_word = documents[alive], of_word[alive]
        found.append(ids.at(segment.ids, documents.astype(np.int64)))
        values.append(of_word)
    return np.concatenate(found), np.concatenate(values)


def document(content: Content, id: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the words of a document and their values."""
    for segment in content.segments:
        place = int(segment.find(np.array([id]))[0])
        if place >= 0:
            assert segment.forward is not None  # asked only of an index that keeps it
            return segment.forward.document(place)
    raise ValueError(f"id must be in the index, {id} is not")


def csr(content: Content, num_words: int) -> scipy.sparse.csr_array:
    """Return the matrix of the documents, in order."""
    import scipy.sparse

    parts = [_rows(segment) for segment in content.segments]
    lengths = [np.zeros(1, np.int64), *(part[0] for part in parts)]
    indptr = np.cumsum(np.concatenate(lengths))
    narrow = max(num_words, int(indptr[-1])) < 2**31
    indices = np.concatenate([np.empty(0, np.uint32), *(part[1] for part in parts)])
    data = np.concatenate([np.empty(0, np.float32), *(part[2] for part in parts)])
    dtype = np.int32 if narrow else np.int64
    matrix = data, indices.astype(dtype), indptr.astype(dtype)
    return scipy.sparse.csr_array(matrix, shape=(content.n_documents, num_words))


def _rows(
    segment: Segment,
) -> tuple[NDArray[np.int64], NDArray[np.uint32], NDArray[np.float32]]:
    """Return how many words each live document has, the words, and their values."""
    offsets, words, values = segment.block.rows()
    lengths = np.diff(offsets)
    if segment.alive is None:
        return lengths, words, values
    members = segment.members()
    kept = np.repeat(members, lengths)
    return lengths[members], words[kept], values[kept]
