# SPDX-License-Identifier: Apache-2.0
import json
import subprocess
import sys

import numpy as np
import pytest

import scenes
from trouvaille import cli


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for i in range(4):
        scenes.write(folder / f"scene{i}.png", scenes.scene(i))
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xffnothing")
    queries = folder.parent / f"{folder.name}-queries"
    for i in range(2):
        turned = scenes.view(scenes.scene(i), scenes.similarity(1, 10, 5, 5))
        scenes.write(queries / f"view{i}.png", turned)
    return folder


@pytest.fixture(scope="module")
def queries(folder):
    return folder.parent / f"{folder.name}-queries"


@pytest.fixture
def run(monkeypatch, capsys):
    def run(*arguments):
        """Run the command line; return its exit code, what it printed, and its errors."""
        monkeypatch.setattr(sys, "argv", ["trouvaille", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err
        return ended.value.code or 0, printed.out, printed.err

    return run


@pytest.fixture(scope="module")
def collection(folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("collection") / "photos.tv"
    command = [sys.executable, "-m", "trouvaille", "index", str(folder), "-o", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "4 photos indexed" in done.stdout
    assert "broken.jpg" in done.stderr
    return path


def test_search_prints_ranked_photos_and_times(run, collection, queries):
    code, out, _ = run("search", collection, queries / "view1.png", "-k", 2)
    assert code == 0
    lines = out.splitlines()
    assert "scene1.png" in lines[2]
    assert "verify" in out
    assert "scene" in lines[3]


def test_search_prints_json(run, collection, queries):
    code, out, _ = run("search", collection, queries / "view0.png", "--json", "--threads", 1)
    assert code == 0
    answer = json.loads(out)
    first, second = answer["results"][:2]
    assert first["id"] == "scene0.png"
    assert first["verified_matches"] > 10
    assert np.shape(first["transform"]) == (3, 3)
    assert second["transform"] is None
    assert set(answer["seconds"]) == {"extract", "words", "search", "match", "verify", "collect"}


def test_search_writes_a_page(run, collection, queries, tmp_path):
    page = tmp_path / "found.html"
    code, out, _ = run("search", collection, queries / "view0.png", "--html", page)
    assert code == 0
    assert str(page) in out.replace("\n", "")
    assert "scene0.png" in page.read_text()


def test_search_with_a_box(run, collection, queries):
    code, out, _ = run(
        "search", collection, queries / "view0.png", "--box", "10,10,300,200", "--json"
    )
    assert code == 0
    assert json.loads(out)["results"][0]["id"] == "scene0.png"
    code, _, err = run("search", collection, queries / "view0.png", "--box", "10,10,300")
    assert code == 2
    assert "x1,y1,x2,y2" in err
    code, _, err = run("search", collection, queries / "view0.png", "--box", "900,0,950,9")
    assert code == 1
    assert "box must be" in err


def test_evaluate(run, folder, queries, collection, tmp_path):
    truth = {
        "name": "made",
        "database": [f"scene{i}.png" for i in range(4)],
        "queries": [
            {"image": f"view{i}.png", "positives": [f"scene{i}.png"], "junk": []} for i in range(2)
        ],
    }
    path = queries / "gt.json"
    path.write_text(json.dumps(truth))
    code, out, _ = run("evaluate", collection, path)
    assert code == 0
    assert "made: 2 queries, 4 photos" in out
    code, out, _ = run("evaluate", collection, path, "--json")
    assert json.loads(out)["verified"] == {"mean_ap": 1.0, "precision_at_1": 1.0}
    truth["database"].append("elsewhere.png")
    truth["queries"][0]["positives"].append("elsewhere.png")
    path.write_text(json.dumps(truth))
    code, _, err = run("evaluate", collection, path)
    assert code == 1
    assert "elsewhere.png" in err


def test_index_again_and_add(run, folder, collection, tmp_path):
    code, _, err = run("index", folder, "-o", collection)
    assert code == 1
    assert str(collection) in err.replace("\n", "")
    code, _, err = run("index", folder, "-o", collection, "--add")
    assert code == 1
    assert "already" in err
    more = scenes.write(tmp_path / "more" / "new.png", scenes.scene(9)).parent
    code, out, _ = run("index", more, "-o", collection, "--add")
    assert code == 0
    assert "1 photos indexed" in out


def test_demo_on_own_photos(run, folder, queries, tmp_path):
    photos, query = folder, queries / "view1.png"
    arguments = ("demo", "--folder", tmp_path / "demo", "--photos", photos, "--query", query)
    for _ in range(2):  # a second run starts anew
        code, out, _ = run(*arguments)
        assert code == 0
        assert "scene1.png" in out
    assert (tmp_path / "demo" / "results.html").stat().st_size > 10_000
    code, _, err = run("demo", "--photos", photos)
    assert code == 2
    assert "go together" in err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("search", "nothing.tv", "query.jpg"), "nothing.tv"),
        (("index", "nothing", "-o", "x.tv"), "nothing"),
        (("evaluate", "nothing.tv", "gt.json"), "gt.json"),
    ],
)
def test_a_mistake_is_one_line_and_a_code(run, tmp_path, monkeypatch, arguments, expected):
    monkeypatch.chdir(tmp_path)
    code, _, err = run(*arguments)
    assert code == 1
    assert err.startswith("error:")
    assert expected in err


def test_an_empty_folder(run, tmp_path):
    code, _, err = run("index", tmp_path, "-o", tmp_path / "x.tv")
    assert code == 1
    assert ".jpg" in err
    assert not (tmp_path / "x.tv").exists()


def test_a_query_that_is_no_photo(run, collection, folder):
    code, _, err = run("search", collection, folder / "broken.jpg")
    assert code == 1
    assert "broken.jpg" in err.replace("\n", "")


@pytest.mark.parametrize("command", ["index", "search", "evaluate", "demo"])
def test_help_has_an_example(run, command):
    code, out, _ = run(command, "--help")
    assert code == 0
    assert "Example" in out
    assert f"trouvaille {command}" in out


def test_version(run):
    code, out, _ = run("--version")
    assert code == 0
    assert out.strip()[0].isdigit()
