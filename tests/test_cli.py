# SPDX-License-Identifier: Apache-2.0
import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import scenes
from trouvaille import Collection, cli, demo_photos, errors, features, images
from trouvaille.cli.vocabulary import cost_in_words
from trouvaille.words import Vocabulary


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


@pytest.mark.parametrize("command", ["index", "search", "match", "evaluate", "demo"])
def test_help_has_an_example(run, command):
    code, out, _ = run(command, "--help")
    assert code == 0
    assert "Example" in out
    assert f"trouvaille {command}" in out


def test_version(run):
    code, out, _ = run("--version")
    assert code == 0
    assert out.strip()[0].isdigit()


def test_the_librarys_own_errors_have_one_base_and_pythons_kind():
    for own, kind in (
        (errors.IndexCorruptError, ValueError),
        (errors.FormatVersionError, ValueError),
        (errors.CollectionLockedError, RuntimeError),
        (demo_photos.DemoPhotosError, RuntimeError),
        (images.ImageError, ValueError),
    ):
        assert issubclass(own, errors.TrouvailleError)
        assert issubclass(own, kind)


def test_a_demo_without_network_is_one_line(run, tmp_path, monkeypatch):
    def offline(requirements, folder):
        raise demo_photos.DemoPhotosError("no network")

    monkeypatch.setattr(demo_photos, "_download_with_pip", offline)
    code, _, err = run("demo", "--folder", tmp_path / "demo")
    assert code == 1
    assert "error: no network" in err


STRANGE = ["[x]c.png", "[red]b.png", "d:smile:.png", "[bold]\x1b[31m.png"]


@pytest.fixture
def strange(tmp_path):
    folder = tmp_path / "[red]photos"
    try:
        for i, name in enumerate(STRANGE):
            scenes.write(folder / name, scenes.scene(i))
    except OSError:
        pytest.skip("this file system has no such names")
    return folder


def test_names_are_printed_as_they_are(run, strange, tmp_path):
    collection = tmp_path / ":smile:.tv"
    code, out, _ = run("index", strange, "-o", collection)
    assert code == 0
    assert ":smile:.tv" in out
    code, out, _ = run("search", collection, strange / STRANGE[0])
    assert code == 0
    for name in STRANGE[:3]:
        assert name in out
    assert out.startswith("[x]c.png")
    assert r"[bold]\x1b[31m.png" in out
    code, out, _ = run("search", collection, strange / STRANGE[1], "--json")
    answer = json.loads(out)
    assert answer["query"].endswith("[red]b.png")
    assert answer["results"][0]["id"] == "[red]b.png"
    assert np.shape(answer["results"][0]["region"]) == (4, 2)
    assert answer["results"][1]["region"] is None
    truth = {"name": "[/x]", "database": [], "queries": []}
    (strange / "gt.json").write_text(json.dumps(truth))
    code, out, _ = run("evaluate", collection, strange / "gt.json")
    assert code == 0
    assert "[/x]: 0 queries" in out
    code, out, _ = run("evaluate", collection, strange / "gt.json", "--json")
    assert json.loads(out)["first"]["mean_ap"] is None
    code, _, err = run("search", tmp_path / "[/no].tv", strange / STRANGE[0])
    assert code == 1
    assert "[/no].tv" in err.replace("\n", "")
    demo = ("demo", "--folder", tmp_path / "demo", "--photos", strange)
    code, out, _ = run(*demo, "--query", strange / STRANGE[0])
    assert code == 0
    assert "d:smile:.png" in out


def test_sources_are_printed_as_they_are(capsys):
    cli.demo._print_sources({"[/x]a.jpg": "p:smile:", "[red]b.jpg": "p:smile:"})
    printed = capsys.readouterr().out
    assert "p:smile:" in printed
    assert "[/x]a.jpg, [red]b.jpg" in printed


def test_a_name_that_is_not_utf8_is_a_row(run, tmp_path):
    folder = tmp_path / "photos"
    scenes.write(folder / "good.png", scenes.scene(0))
    query = folder / os.fsdecode(b"caf\xe9.png")
    try:
        scenes.write(query, scenes.scene(1))
    except OSError:
        pytest.skip("this file system has text names only")
    code, out, err = run("index", folder, "-o", tmp_path / "c.tv")
    assert code == 0
    assert "1 photos indexed" in out
    assert r"unnameable caf\udce9.png: its name" in err
    code, out, _ = run("search", tmp_path / "c.tv", query)
    assert code == 0
    assert r"caf\udce9.png" in out
    code, out, _ = run("search", tmp_path / "c.tv", query, "--json")
    assert os.fsencode(json.loads(out)["query"]).endswith(b"caf\xe9.png")
    (folder / "good.png").unlink()
    code, _, err = run("index", folder, "-o", tmp_path / "d.tv")
    assert code == 1
    assert "unnameable" in err
    assert not (tmp_path / "d.tv").exists()


def test_an_index_that_failed_leaves_nothing_in_the_way(run, tmp_path):
    scenes.write(tmp_path / "flat" / "a.png", np.full((40, 40), 9, np.uint8))
    (tmp_path / "there.tv").mkdir()
    for name in ("new.tv", "there.tv"):
        for _ in range(2):
            code, _, err = run(
                *("index", tmp_path / "flat", "-o", tmp_path / name, "--vocabulary", "own")
            )
            assert code == 1
            assert "no local features" in err
    assert not (tmp_path / "new.tv").exists()
    assert list((tmp_path / "there.tv").iterdir()) == []
    empty = Collection.create(tmp_path / "empty.tv").path  # someone else's: it stays
    for option in ("--size", "3"), ("--words", "0"), ("--vocabulary", "no"), ():
        code, _, _ = run("index", tmp_path / "flat", "-o", empty, *option)
        assert code == 1
        assert len(Collection.open(empty)) == 0


def test_a_collection_that_another_process_is_filling_stays(run, folder, tmp_path, monkeypatch):
    path = tmp_path / "c.tv"

    def locked(self, *args, **options):
        raise errors.CollectionLockedError(path)

    monkeypatch.setattr(Collection, "add", locked)
    code, _, err = run("index", folder, "-o", path)
    assert code == 1
    assert "being written" in err.replace("\n", " ")
    assert len(Collection.open(path)) == 0


@pytest.mark.parametrize("committed", [0, 1])
def test_an_interruption_says_what_was_committed(run, folder, tmp_path, monkeypatch, committed):
    add = Collection.add

    def interrupted(self, photos, ids, **options):
        if committed:
            add(self, [scenes.scene(0)], ["first"])
        raise KeyboardInterrupt

    monkeypatch.setattr(Collection, "add", interrupted)
    path = tmp_path / "c.tv"
    code, _, err = run("index", folder, "-o", path)
    assert code == 130
    assert f"Interrupted; {'1 photo was' if committed else 'no photos were'} committed." in err
    assert path.exists() == bool(committed)


def test_an_interruption_elsewhere(run, collection, queries, monkeypatch):
    def interrupted(self, *args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(Collection, "search", interrupted)
    code, _, err = run("search", collection, queries / "view0.png")
    assert code == 130
    assert err.strip() == "Interrupted."


@pytest.mark.skipif(os.name == "nt", reason="there it is another event")
def test_a_signal_ends_index(tmp_path):
    photo = scenes.write(tmp_path / "photos" / "0.png", scenes.scene(0, (1600, 1200)))
    for i in range(1, 400):
        os.link(photo, photo.with_name(f"{i}.png"))
    path = tmp_path / "c.tv"
    command = [sys.executable, "-m", "trouvaille", "index", str(photo.parent), "-o", str(path)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while not (path / "CURRENT").exists():
        assert process.poll() is None
        time.sleep(0.02)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Interrupted" in err
    assert not path.exists()


@pytest.mark.parametrize("option", ["--size", "--words", "--features", "--vocabulary"])
def test_what_is_fixed_does_not_go_with_add(run, folder, collection, option):
    code, _, err = run("index", folder, "-o", collection, "--add", option, 100)
    assert code == 2
    assert option in err
    assert "--add" in err


def test_a_prefix_tells_photos_of_one_name_apart(run, folder, tmp_path):
    path = tmp_path / "c.tv"
    code, _, _ = run("index", folder, "-o", path, "--words", 50)
    assert code == 0
    code, _, err = run("index", folder, "-o", path, "--add")
    assert code == 1
    assert "'broken.jpg' already" not in err  # it is not in there
    assert "'scene0.png' already" in err
    assert "--prefix" in err
    assert "ids=" not in err
    code, _, _ = run("index", folder, "-o", path, "--add", "--prefix", "more/")
    assert code == 0
    ids = [f"{prefix}scene{i}.png" for prefix in ("", "more/") for i in range(4)]
    assert Collection.open(path).ids == ids


def test_index_with_a_vocabulary_of_before(run, folder, tmp_path):
    code, _, _ = run("index", folder, "-o", tmp_path / "a.tv", "--words", 50)
    assert code == 0
    Collection.open(tmp_path / "a.tv").vocabulary.save(tmp_path / "words.tvw")
    code, _, _ = run(
        "index", folder, "-o", tmp_path / "b.tv", "--vocabulary", tmp_path / "words.tvw"
    )
    assert code == 0
    assert Collection.open(tmp_path / "b.tv").num_words == 50


def test_index_keeps_no_descriptors_if_told_so(run, folder, queries, tmp_path):
    path = tmp_path / "c.tv"
    code, _, _ = run("index", folder, "-o", path, "--words", 50, "--no-descriptors")
    assert code == 0
    with Collection.open(path) as collection:
        assert not collection.settings.keep_descriptors
    code, out, _ = run("search", path, queries / "view1.png", "--json")
    assert code == 0
    best = json.loads(out)["results"][0]
    assert best["id"] == "scene1.png"
    assert best["verified_matches"] > 10
    code, _, err = run("index", folder, "-o", path, "--add", "--no-descriptors")
    assert code == 2
    assert "--keep-descriptors cannot go with --add" in " ".join(err.split())


def test_vocabulary_is_learned_of_photos_or_their_features(run, folder, tmp_path):
    words, checkpoint = tmp_path / "words.tv", tmp_path / "checkpoint"
    code, out, err = run("vocabulary", folder, "-o", words, "--words", 40, "--features", 50)
    assert code == 0
    said = r"take (a second or so|some \d+ seconds), and \d+ MiB beside the descriptors"
    assert re.search(said, " ".join(err.split()))
    assert re.search(r"^40 words in .* s: .*words.tv", out)
    learned = Vocabulary.load(words)
    code, _, _ = run("extract", folder, "-o", tmp_path / "f", "--features", 50)
    assert code == 0
    more = "--words", 40, "--checkpoint", checkpoint
    code, _, _ = run("vocabulary", tmp_path / "f", "-o", tmp_path / "again.tv", *more)
    assert code == 0
    np.testing.assert_array_equal(Vocabulary.load(tmp_path / "again.tv").words, learned.words)
    assert not checkpoint.exists()
    code, _, _ = run("index", folder, "-o", tmp_path / "c.tv", "--vocabulary", words)
    assert code == 0
    for arguments, expected, message in [
        ((tmp_path / "f", "-o", words, "--features", 9), 2, "--features cannot go with"),
        ((folder, "-o", tmp_path), 1, "is a folder"),
        ((folder, "-o", tmp_path / "none" / "w.tv"), 1, "no such folder"),
        ((folder, "-o", words, "--checkpoint", tmp_path / "none" / "part"), 1, "no such folder"),
        ((folder, "-o", words, "--checkpoint", tmp_path), 1, "is a folder"),
        ((folder, "-o", words, "--checkpoint", words), 2, "another file than --output"),
        ((folder, "-o", words, "--words", 100_000), 1, "num_words=100000 distinct points"),
        ((folder, "-o", words, "--detector", "orb"), 1, "is of bits"),
    ]:
        code, _, err = run("vocabulary", *arguments)
        assert (code, message in " ".join(err.split())) == (expected, True), err
    np.testing.assert_array_equal(Vocabulary.load(words).words, learned.words)


def test_an_interrupted_vocabulary_says_whether_it_goes_on(run, folder, tmp_path, monkeypatch):
    checkpoint = tmp_path / "checkpoint"
    arguments = "vocabulary", folder, "-o", tmp_path / "w.tv", "--checkpoint", checkpoint

    def interrupted(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(Vocabulary, "learn", interrupted)
    for kept, message in ((False, "Interrupted."), (True, "the same command goes on")):
        if kept:
            checkpoint.write_bytes(b"of a round")
        code, _, err = run(*arguments)
        assert (code, message in err, "goes on" in err) == (130, True, kept)


def test_the_cost_is_said_in_words():
    said = "take a second or so, and 5 MiB beside the descriptors."
    assert cost_in_words(0.2, 5 << 20).endswith(said)
    assert "some 99 seconds, and 2,048 MiB" in cost_in_words(99, 2 << 30)
    assert "some 10 minutes" in cost_in_words(600, 0)
    assert "some 2.5 hours" in cost_in_words(9000, 0)


def test_extract_writes_and_goes_on(run, folder, tmp_path):
    code, out, err = run("extract", folder, "-o", tmp_path / "f", "--features", 50)
    assert code == 0
    assert re.search(r"200 features of 4 photos in .* s, 0 photos done before, 1 refused", out)
    assert "broken.jpg" in err
    code, out, _ = run("extract", folder, "-o", tmp_path / "f", "--features", 50)
    assert code == 0
    assert "5 photos done before" in out
    assert features.FolderFeatures.open(tmp_path / "f")["scene0.png"].frames.shape == (50, 2, 3)
    code, _, err = run("extract", folder, "-o", tmp_path / "f", "--detector", "orb")
    assert code == 1
    assert "not 'orb'; extract with those settings, or into another folder" in err
    code, _, err = run("extract", folder, "-o", tmp_path / "g", "--detector", "surf")
    assert code == 1
    assert "detector 'surf' is unknown; there are" in err
    code, _, err = run("extract", folder / "broken.jpg", "-o", tmp_path / "h")
    assert code == 1


def test_draw_writes_a_picture(run, folder, tmp_path):
    picture = tmp_path / "out.png"
    code, out, _ = run("draw", folder / "scene0.png", "-o", picture, "--features", 30)
    assert code == 0
    assert "30 features" in out
    assert images.decode(picture, mode="rgb").shape == (240, 320, 3)
    code, out, _ = run("draw", folder / "scene0.png", "-o", picture, "--detector", "orb")
    assert code == 0
    code, _, err = run("draw", folder / "scene0.png", "-o", tmp_path / "out.txt")
    assert code == 1
    assert "must end in .png" in err
    code, _, err = run("draw", folder / "none.png", "-o", picture)
    assert code == 1


def test_match_prints_the_model_and_writes_a_picture(run, folder, queries, tmp_path):
    photos = folder / "scene0.png", queries / "view0.png"
    code, out, _ = run("match", *photos, "-o", tmp_path / "matches.png")
    assert code == 0
    lines = out.splitlines()
    assert re.search(r"scene0\.png: [1-9]\d* features", lines[0])
    assert re.search(r"view0\.png: [1-9]\d* features", lines[1])
    assert re.fullmatch(r"\d+ matches, [1-9]\d+ inliers of this homography:", lines[2])
    model = np.float64([line.split() for line in lines[3:6]])
    np.testing.assert_allclose(model, scenes.similarity(1, 10, 5, 5), atol=0.5)
    assert lines[6].startswith("Picture: ")
    assert images.decode(tmp_path / "matches.png", mode="rgb").shape == (240, 648, 3)
    code, out, _ = run("match", *photos, "--json", "--features", 300, "--threads", 1)
    answer = json.loads(out)
    assert code == 0
    assert answer["features"] == [300, 300]
    assert 100 < answer["inliers"] <= answer["matches"] <= 300
    np.testing.assert_allclose(answer["matrix"], scenes.similarity(1, 10, 5, 5), atol=0.5)
    assert answer["reason"] == ""


@pytest.mark.parametrize("model", ["similarity", "affine", "fundamental"])
def test_match_with_its_options(run, folder, queries, tmp_path, model):
    photos = folder / "scene1.png", queries / "view1.png"
    options = ("--model", model, "--ratio", 0.9, "--threshold", 2, "--size", 300, "--json")
    own = ("--detector", "hessian", "--descriptor", "cs_lbp", "--orientation", "dominant")
    code, out, _ = run("match", *photos, *options, *own, "--out", tmp_path / "out.jpg")
    assert code == 0
    answer = json.loads(out)
    assert answer["photos"] == [str(photo) for photo in photos]
    assert answer["model"] == model
    assert np.shape(answer["matrix"]) == (3, 3)
    assert answer["inliers"] > 30
    assert images.decode(tmp_path / "out.jpg").shape == (240, 648)


def test_match_finds_nothing(run, folder, tmp_path):
    photos = folder / "scene0.png", folder / "scene1.png"
    code, out, err = run("match", *photos, "-o", tmp_path / "out.png")
    assert code == 1
    assert re.search(r"^\d+ matches, no homography: .*\S$", out, re.MULTILINE)
    assert err == ""
    assert (tmp_path / "out.png").exists()
    code, out, _ = run("match", *photos, "--json")
    answer = json.loads(out)
    assert code == 1
    assert answer["matrix"] is None
    assert answer["inliers"] == 0
    assert answer["reason"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--model", "essential"), "model must be one of"),
        (("--ratio", 2), "ratio must be"),
        (("--threshold", 0), "residual_threshold must be positive"),
        (("--detector", "surf"), "detector 'surf' is unknown"),
        (("--output", "out.bmp"), "must end in .png"),
    ],
)
def test_match_says_what_is_wrong(run, folder, arguments, expected):
    photo = folder / "scene0.png"
    code, _, err = run("match", photo, photo, *arguments)
    assert code == 1
    assert err.startswith("error: ")
    assert expected in err.replace("\n", " ")
    code, _, err = run("match", photo, folder / "broken.jpg")
    assert code == 1
    assert "broken.jpg" in err.replace("\n", "")


def test_index_with_a_detector(run, folder, queries, tmp_path):
    path = tmp_path / "c.tv"
    options = ["--detector", "dense", "--orientation", "upright", "--features", 300]
    code, out, _ = run("index", folder, "-o", path, *options)
    assert code == 0
    with Collection.open(path) as collection:
        assert collection.settings.fingerprint.endswith("/dense/upright")
    code, out, _ = run("search", path, folder / "scene2.png")
    assert "scene2.png" in out.splitlines()[2]
    code, _, err = run("index", folder, "-o", path, "--add", "--orientation", "upright")
    assert code == 2
    assert "--orientation cannot go with --add" in err.replace("\n", " ")
    code, _, err = run("index", folder, "-o", tmp_path / "d.tv", "--detector", "orb")
    assert code == 1
    assert "is of bits" in err
    assert not (tmp_path / "d.tv").exists()
