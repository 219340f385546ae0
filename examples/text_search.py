# SPDX-License-Identifier: Apache-2.0
"""Search text: a lecture's example, then the documentation found on this machine.

python examples/text_search.py                                # the lecture's example alone
python examples/text_search.py memory mapped array            # documentation on this machine
python examples/text_search.py --folder notes --metric cosine --save notes.index postings list
python examples/text_search.py --index notes.index a later question
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sysconfig
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from sklearn.feature_extraction.text import CountVectorizer

from trouvaille.index import InvertedFile

METRICS = {
    "bm25": {"metric": "dot", "weighting": "bm25"},
    "cosine": {"metric": "cosine", "weighting": "tfidf"},
    "l1": {"metric": "lp", "p": 1.0, "weighting": "tfidf", "norm": "l1"},
    "hellinger": {"metric": "hellinger", "weighting": "tfidf"},
    "intersection": {"metric": "intersection", "weighting": "tfidf"},
}
SUFFIXES = {".py", ".rst", ".txt", ".md"}
LONGEST = 2_000_000  # bytes; what is longer is data, not documentation
WORD = re.compile(r"\w\w")  # the shortest that CountVectorizer counts
DOCSTRING = re.compile(r'"""(.*?)"""', re.DOTALL)  # nearly: a table of SQL matches, too


def lecture() -> None:
    """Show term frequencies, and a search by them, in a collection of one sentence."""
    vocabulary = ["ville", "montagne", "vélo", "tramway", "neige", "grenoble"]
    sentence = "Grenoble est une belle ville. Je me déplace à vélo dans Grenoble"
    question = "Un vélo à la montagne"
    vectorizer = CountVectorizer(vocabulary=vocabulary)  # words that are not in it do not count
    index = InvertedFile.from_csr(vectorizer.transform([sentence]), norm="l1", forward=True)

    words, counts = index.document(0)
    print(f"Vocabulary:       {', '.join(vocabulary)}\nSentence:         {sentence}")
    counted = [f"{vocabulary[w]} {n:g}" for w, n in zip(words, counts, strict=True)]
    print(f"Counted:          {', '.join(counted)}")
    frequencies = index.search(np.eye(len(vocabulary)), k=1).scores[:, 0]  # a query of each word
    print(f"Term frequencies: {', '.join(f'{f:g}' for f in frequencies)}")
    score = index.search(vectorizer.transform([question]), k=1).scores[0, 0]
    print(f"Question:         {question}\nIts score:        {score:g} (the dot product)")


@dataclass
class Library:
    """An index of files, with what it takes to ask it and to show what it found."""

    index: InvertedFile
    vectorizer: CountVectorizer
    paths: list[str]  # of document i

    @classmethod
    def read(cls, folders: list[Path], **options) -> Library:
        """Index the text below `folders`; say what was left out."""
        paths, skipped, unreadable = [], [], []

        def texts() -> Iterator[str]:
            found = list(candidates(folders, unreadable))
            for path in track(found, "Reading and counting", console=Console(stderr=True)):
                if (text := text_of(path)) is None:
                    skipped.append(path)
                else:
                    paths.append(str(path))
                    yield text

        vectorizer = CountVectorizer()
        started = time.perf_counter()
        X = vectorizer.fit_transform(texts())
        counted = time.perf_counter()
        index = InvertedFile.from_csr(X, **options)
        indexed = time.perf_counter()
        print(f"Counted in {counted - started:.1f} s, indexed in {indexed - counted:.2f} s")
        print(f"Skipped: {len(skipped)} files without text, {len(unreadable)} unreadable folders")
        return cls(index, vectorizer, paths)

    def save(self, path: Path) -> None:
        """Write the index, and the paths and the vocabulary next to it."""
        self.index.save(path)
        vocabulary = self.vectorizer.get_feature_names_out().tolist()
        names = json.dumps({"paths": self.paths, "vocabulary": vocabulary})
        beside(path).write_text(names, encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Library:
        """Open what `save` wrote."""
        names = json.loads(beside(path).read_text(encoding="utf-8"))
        vectorizer = CountVectorizer(vocabulary=names["vocabulary"])
        return cls(InvertedFile.load(path), vectorizer, names["paths"])

    def describe(self) -> str:
        """Say how large the index is."""
        stats = self.index.stats()
        return (
            f"{stats.n_documents:,} files, {stats.num_words:,} words, "
            f"{stats.n_postings:,} postings, {stats.bytes_a_posting:.2f} bytes a posting"
        )

    def show(self, words: list[str], k: int) -> None:
        """Print the `k` best files for `words`, each with a line of context."""
        question = " ".join(words)
        query = self.vectorizer.transform([question])
        asked = sorted(set(self.vectorizer.build_analyzer()(question)))
        if unknown := [word for word in asked if word not in self.vectorizer.vocabulary_]:
            print(f"In no file: {', '.join(unknown)}")
        if query.nnz == 0:
            return
        self.index.search(query, k=k)  # the first search computes weights and norms
        started = time.perf_counter()
        found, ids = self.index.search(query, k=k)
        print(f"Searched in {1000 * (time.perf_counter() - started):.2f} ms\n")
        for score, document in zip(found[0], ids[0], strict=True):
            if document < 0 or (score == 0 and self.index.options.metric != "lp"):
                break  # the rest share no word with the question
            path = self.paths[document]
            print(f"{score:8.4f}  {path}\n          {context(text_of(Path(path)) or '', asked)}")


def candidates(folders: list[Path], unreadable: list[OSError]) -> Iterator[Path]:
    """Walk through `folders`, in the same order each time; collect those that cannot be read."""
    for folder in folders:
        for parent, children, names in os.walk(folder, onerror=unreadable.append):
            children.sort()
            paths = (Path(parent, name) for name in sorted(names))
            yield from (path for path in paths if path.suffix in SUFFIXES)


def text_of(path: Path) -> str | None:
    """Return what a file says (a Python file: its docstrings), None if it is no text."""
    try:
        if not path.is_file() or path.stat().st_size > LONGEST:
            return None
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    if path.suffix == ".py":
        text = "\n".join(DOCSTRING.findall(text))
    return text if WORD.search(text) and "\0" not in text else None


def context(text: str, words: list[str], width: int = 100) -> str:
    """Return the line with the most of `words`, marked by asterisks."""
    marked = re.compile(rf"\b({'|'.join(map(re.escape, words))})\b", re.IGNORECASE)
    lines = (" ".join(line.split()) for line in text.splitlines())
    best = max(lines, key=lambda line: len(set(map(str.lower, marked.findall(line)))), default="")
    if first := marked.search(best):
        start = max(0, min(first.start() - width // 3, len(best) - width))
        best = best[start : start + width]
    return marked.sub(r"*\1*", best[:width])


def beside(path: Path) -> Path:
    """Name the file of paths and vocabulary of the index at `path`."""
    return path.with_name(path.name + ".json")


def main() -> None:
    """Do what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "words", nargs="*", help="what to look for; without any, the lecture's example"
    )
    parser.add_argument(
        "--folder", type=Path, action="append", help="index this, with all below; may repeat"
    )
    parser.add_argument("--metric", choices=METRICS, help="bm25 if not given")
    parser.add_argument("--save", type=Path, metavar="FILE", help="keep the index")
    parser.add_argument("--index", type=Path, metavar="FILE", help="search what --save kept")
    parser.add_argument("-k", type=int, default=5, help="how many files to show")
    given = parser.parse_args()
    if given.index and (given.folder or given.metric or given.save):
        parser.error("--index goes without --folder, --metric and --save")
    if not (given.words or given.folder or given.index or given.save):
        lecture()
        return
    if given.index:
        library = Library.load(given.index)
    else:
        installed = [Path(sysconfig.get_path("purelib")), Path("/usr/share/doc")]
        try:
            library = Library.read(given.folder or installed, **METRICS[given.metric or "bm25"])
        except ValueError as error:  # scikit-learn's "empty vocabulary"
            parser.error(f"no text found: {error}")
    print(library.describe())
    if given.save:
        library.save(given.save)
    if given.words:
        library.show(given.words, given.k)


if __name__ == "__main__":
    main()
