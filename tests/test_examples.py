# SPDX-License-Identifier: Apache-2.0
"""The example of text search, run as from the command line, on a few made files."""

import runpy
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[1] / "examples" / "text_search.py"


@pytest.fixture
def search(monkeypatch, capsys):
    """Run the example with these arguments, and return what it prints."""
    pytest.importorskip("sklearn", reason="text is counted by scikit-learn")

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", [str(EXAMPLE), *map(str, arguments)])
        runpy.run_path(str(EXAMPLE), run_name="__main__")
        return capsys.readouterr().out

    return run


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "notes"
    (folder / "below").mkdir(parents=True)
    (folder / "lists.md").write_text("# Lists\n\nA posting list holds postings.\n", "utf-8")
    (folder / "below" / "bicycle.rst").write_text("À vélo dans Grenoble,\nà vélo.\n", "utf-8")
    code = '"""Tell of bicycles."""\n\nunseen = 1  # posting\n'
    (folder / "below" / "module.py").write_text(code, "utf-8")
    (folder / "photo.txt").write_bytes(b"\xff\xd8\xff\xe0 posting")
    (folder / "zeros.txt").write_bytes(b"posting\0posting")
    (folder / "empty.txt").write_bytes(b"")
    (folder / "numbers.txt").write_bytes(b"0 1 1 0\n")  # no word: an empty row is near to all by L1
    (folder / "table.csv").write_bytes(b"posting")
    return folder


def test_the_lecture(search):
    said = search()
    assert "Term frequencies: 0.25, 0, 0.25, 0, 0, 0.5\n" in said
    assert "Counted:          ville 1, vélo 1, grenoble 2\n" in said
    assert "Its score:        0.125 " in said


def test_what_is_indexed_and_what_is_skipped(search, folder):
    said = search("--folder", folder, "--folder", folder / "absent", "posting")
    assert "Skipped: 4 files without text, 1 unreadable folders" in said
    assert "3 files, 11 words, 11 postings" in said
    assert said.count(str(folder)) == 1, "one file has the word; the code of a module is not read"
    assert "A *posting* list holds postings." in said


@pytest.mark.parametrize("metric", ["bm25", "cosine", "l1", "hellinger", "intersection"])
def test_the_best_file_is_first(search, folder, metric):
    said = search("--folder", folder, "--metric", metric, "VÉLO", "dans", "nowhere")
    assert "In no file: nowhere\n" in said
    results = said[said.index("Searched in") :].splitlines()[2:]
    assert results[0].endswith(str(folder / "below" / "bicycle.rst"))
    assert results[1].strip() == "À *vélo* *dans* Grenoble,"


def test_a_saved_index_finds_the_same(search, folder, tmp_path):
    words = ["bicycles", "grenoble", "posting"]
    made = search("--folder", folder, "--save", tmp_path / "notes.index", *words)
    loaded = search("--index", tmp_path / "notes.index", *words)
    results = [said[said.index("Searched in") :].splitlines()[1:] for said in (made, loaded)]
    assert results[0] == results[1]
    assert len(results[0]) == 1 + 2 * 3


def test_words_that_no_file_has(search, folder):
    said = search("--folder", folder, "nowhere")
    assert "In no file: nowhere\n" in said
    assert str(folder) not in said


@pytest.mark.parametrize(
    "arguments", [["--folder", "absent", "x"], ["--index", "x", "--save", "y"]]
)
def test_what_cannot_be_done(search, tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="2"):
        search(*arguments)
