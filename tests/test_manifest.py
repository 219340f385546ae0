# SPDX-License-Identifier: Apache-2.0
"""Folders of features and of descriptors have manifests of one kind."""

import json
import subprocess
import sys

import pytest

from trouvaille import _files
from trouvaille._manifest import LOCK, MANIFEST, Manifests
from trouvaille.errors import FormatVersionError, IndexCorruptError

GOOD = {"format": 2, "fingerprint": "f", "settings": {"size": 3, "turned": False}, "count": 4}


def check(manifest):
    if manifest["count"] < 0:
        raise ValueError


STAMPS = Manifests("stamps", 2, check)


def test_a_manifest_is_written_once_and_read(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"holds no stamps: it has no manifest\.json"):
        STAMPS.read(tmp_path)
    (tmp_path / LOCK).touch()
    (tmp_path / f".{'0' * 32}.part").touch()  # of a run that was killed
    STAMPS.begin(tmp_path, json.dumps(GOOD))
    assert STAMPS.read(tmp_path) == GOOD
    STAMPS.begin(tmp_path, "another")
    assert STAMPS.read(tmp_path) == GOOD


@pytest.mark.parametrize("name", ["a.jpg", "a.part", f".{'0' * 31}.part"])
def test_a_folder_of_anything_else_is_left_alone(tmp_path, name):
    (tmp_path / name).touch()
    with pytest.raises(ValueError, match=f"holds no stamps but '{name}'; name a new folder"):
        STAMPS.begin(tmp_path, json.dumps(GOOD))
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "3",
        "\xff",
        "[" * 100_000,
        *(json.dumps({n: v for n, v in GOOD.items() if n != name}) for name in GOOD),
        *(
            json.dumps({**GOOD, **change})
            for change in (
                {"format": 1},
                {"format": "2"},
                {"fingerprint": 3},
                {"settings": []},
                {"count": -1},
                {"count": None},
            )
        ),
    ],
)
def test_a_manifest_that_is_none_is_an_error(tmp_path, text):
    (tmp_path / MANIFEST).write_text(text, "latin-1")
    with pytest.raises(IndexCorruptError, match="is no manifest of stamps") as caught:
        STAMPS.read(tmp_path)
    assert caught.value.path == tmp_path / MANIFEST


def test_a_manifest_of_a_newer_version_is_said_to_be(tmp_path):
    (tmp_path / MANIFEST).write_text(json.dumps({"format": 3}))
    with pytest.raises(FormatVersionError, match="has format 3"):
        STAMPS.read(tmp_path)


def test_the_setting_that_differs_is_named():
    settings = GOOD["settings"]
    for changed, wanted in (({"size": 4}, "size=3, not 4"), ({"new": 1}, "new=None, not 1")):
        other = {**GOOD, "settings": {**settings, **changed}}
        assert STAMPS.difference(GOOD, other) == f"holds stamps of {wanted}"
    assert STAMPS.difference(GOOD, {**GOOD, "fingerprint": "g"}) is None


def test_what_replace_leaves_behind_is_known(tmp_path, monkeypatch):
    monkeypatch.setattr(_files.Path, "replace", lambda *_: None)
    _files.replace(tmp_path / "a", [b"x"])
    (left,) = tmp_path.iterdir()
    assert _files.is_part(left.name)


def test_features_need_no_pytorch_for_it():
    modules = "trouvaille._manifest, trouvaille.features.folder"
    command = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", command]).returncode == 0
