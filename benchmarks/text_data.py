# SPDX-License-Identifier: Apache-2.0
"""A corpus of the documentation that is on this machine, and one that is generated.

Manual pages, /usr/share/doc, and the Markdown, reStructuredText and docstrings of this Python's
modules, in documents of 100 words. Nothing of it is kept.
"""

from __future__ import annotations

import gzip
import re
import site
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import scipy.sparse as sp

import sparse_data
from sparse_data import DOCUMENTS, Statistics

WORD = re.compile(r"[a-z][a-z0-9_]+")
DOCSTRING = re.compile(r'"""(.*?)"""', re.DOTALL)
MACRO = re.compile(r"^[.'].?\"?\S*|\\f.|\\\(..|\\[-&]", re.MULTILINE)  # of a manual page
WORDS_A_DOCUMENT = 100
DOCUMENTS_A_FILE = 20  # so that no single book is most of the corpus
SYNTHETIC = Statistics(1_000_000, 200_000, 1.0, mean=60.0, shortest=5, longest=400)


def _text(path: Path) -> str:
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError):
        return ""
    text = data.decode("utf-8", "replace")
    if path.suffix == ".py":
        return " ".join(DOCSTRING.findall(text))
    return MACRO.sub(" ", text) if "/man/" in str(path) else text


def _files() -> Iterator[Path]:
    roots = {sysconfig.get_path("stdlib"), *site.getsitepackages(), *sys.path}
    folders = [Path(root) for root in sorted(roots) if root and Path(root).is_dir()]
    seen: set[Path] = set()
    for folder in (Path("/usr/share/doc"), Path("/usr/share/man"), *folders):
        for suffix in ("gz", "txt", "rst", "md", "py"):
            for path in sorted(folder.rglob(f"*.{suffix}")):
                if (real := path.resolve()) not in seen:
                    seen.add(real)
                    yield real


def documentation(limit: int) -> tuple[sp.csr_array, int]:
    """Counts of `limit` different documents at most, drawn from all, and the number of files."""
    documents: set[tuple[str, ...]] = set()
    n_files = 0
    for path in _files():
        words = WORD.findall(_text(path).lower())[: WORDS_A_DOCUMENT * DOCUMENTS_A_FILE]
        parts = range(0, len(words) - WORDS_A_DOCUMENT + 1, WORDS_A_DOCUMENT)
        documents.update(tuple(words[i : i + WORDS_A_DOCUMENT]) for i in parts)
        n_files += bool(parts)
    chosen = sorted(documents)
    order = np.random.default_rng(0).permutation(len(chosen))[:limit]
    number: dict[str, int] = {}
    words = [number.setdefault(word, len(number)) for i in order for word in chosen[i]]
    ends = np.arange(0, len(words) + 1, WORDS_A_DOCUMENT)
    arrays = np.ones(len(words), np.float32), np.array(words, np.int32), ends.astype(np.int32)
    X = sp.csr_array(arrays, shape=(len(order), len(number)))
    X.sum_duplicates()
    return X, n_files


def synthetic(n: int) -> sp.csr_array:
    """Zipf's law as of text."""
    return sparse_data.counts(SYNTHETIC._replace(n=n), DOCUMENTS)


def short_queries(X: sp.csr_array, n: int, fewest: int = 3, most: int = 10) -> sp.csr_array:
    """Some distinct words of one document each: frequent ones, as they are in many documents."""
    rng = np.random.default_rng(7)
    rows = []
    while len(rows) < n:
        document = int(rng.integers(X.shape[0]))
        words = X.indices[X.indptr[document] : X.indptr[document + 1]]
        if len(words) >= most:
            rows.append(np.sort(rng.choice(words, int(rng.integers(fewest, most + 1)), False)))
    ends = np.cumsum([0, *map(len, rows)]).astype(np.int32)
    words = np.concatenate(rows)
    return sp.csr_array((np.ones(len(words), np.float32), words, ends), shape=(n, X.shape[1]))
