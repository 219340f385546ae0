# SPDX-License-Identifier: Apache-2.0
"""Extraction into a folder: what is written, what is skipped, and what a crash leaves."""

import io
import json
import signal
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest

import scenes
from trouvaille import features
from trouvaille._lock import Lock
from trouvaille.errors import CollectionLockedError, FormatVersionError, IndexCorruptError
from trouvaille.features import FolderFeatures, extract_folder

N = 8
OPTIONS = {"max_features": 80, "workers": 2}


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for i in range(N):
        scenes.write(folder / f"{'ab'[i % 2]}/scene{i}.png", scenes.scene(i))
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xffnothing")
    scenes.write(folder / "flat.png", np.full((50, 50), 9, np.uint8))
    return folder


@pytest.fixture(scope="module")
def written(photos, tmp_path_factory):
    path = tmp_path_factory.mktemp("written") / "features"
    return path, extract_folder(photos, path, **OPTIONS)


def content(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_features_come_back_as_they_were_extracted(photos, written):
    path, report = written
    folder = FolderFeatures.open(path)
    assert folder.fingerprint == features.FINGERPRINT
    assert len(folder) == N + 1
    assert list(folder) == sorted(folder.ids)
    assert [row.id for row in report.failed] == ["broken.jpg"]
    for row in report.rows:
        assert folder.row(row.id) == row
        if row.status == "ok":
            expected = features.extract(photos / row.id, max_features=80).features
            assert row.n_features == len(expected.frames)
            for one, other in zip(folder[row.id], expected, strict=True):
                np.testing.assert_array_equal(one, other)
                assert one.dtype == other.dtype
    assert folder["flat.png"].descriptors.shape == (0, 128)
    assert folder.row("a/scene0.png").size == (320, 240)
    assert "broken.jpg" in folder
    with pytest.raises(KeyError, match=r"has no features: .*broken"):
        folder["broken.jpg"]
    with pytest.raises(KeyError, match="no photo has the id 'other'"):
        folder["other"]


def test_arrays_are_readable_by_numpy_alone(written):
    path, _ = written
    (first, *_) = sorted(path.glob("*/*.npz"))
    with np.load(first) as arrays:
        assert "about" in arrays
        json.loads(bytes(arrays["about"]))


def test_a_second_run_skips_what_is_done(photos, written, tmp_path, monkeypatch):
    path, report = written
    before = content(path)
    calls = []
    again = extract_folder(photos, path, **OPTIONS, progress=lambda *call: calls.append(call))
    assert again.n_skipped == N + 2
    assert [row.id for row in again.rows] == [row.id for row in report.rows]
    assert [row.status for row in again.rows] == [row.status for row in report.rows]
    assert content(path) == before
    assert calls[0] == ("extracting", 0, N + 2)
    assert calls[-1] == ("extracting", N + 2, N + 2)


def test_changed_and_new_photos_are_extracted(tmp_path):
    folder, path = tmp_path / "photos", tmp_path / "features"
    for i in range(3):
        scenes.write(folder / f"{i}.png", scenes.scene(i))
    extract_folder(folder, path, **OPTIONS)
    scenes.write(folder / "1.png", scenes.scene(31))
    scenes.write(folder / "3.png", scenes.scene(3))
    report = extract_folder(folder, path, **OPTIONS)
    assert [row.skipped for row in report.rows] == [True, False, True, False]
    expected = features.extract(scenes.scene(31), max_features=80).features
    np.testing.assert_array_equal(FolderFeatures.open(path)["1.png"].frames, expected.frames)


def test_what_could_not_be_read_is_tried_again(tmp_path):
    path = tmp_path / "features"
    late = tmp_path / "late.png"
    report = extract_folder([late, tmp_path / "never.png"], path, **OPTIONS)
    assert [row.status for row in report.rows] == ["missing", "missing"]
    scenes.write(late, scenes.scene(0))
    report = extract_folder([late, tmp_path / "never.png"], path, **OPTIONS)
    assert [row.status for row in report.rows] == ["ok", "missing"]
    assert FolderFeatures.open(path).ids == ["late.png"]


def test_pixels_and_bytes_are_known_by_their_content(tmp_path, photos):
    path, pixels = tmp_path / "features", scenes.scene(0)
    data = (photos / "a/scene0.png").read_bytes()
    extract_folder([pixels, data], path, ids=["pixels", "bytes"], **OPTIONS)
    again = extract_folder([pixels.copy(), data], path, ids=["pixels", "bytes"], **OPTIONS)
    assert again.n_skipped == 2
    other = extract_folder([pixels[:-1], data[:-9]], path, ids=["pixels", "bytes"], **OPTIONS)
    assert other.n_skipped == 0


def test_names_that_are_no_ids_are_rows(tmp_path):
    folder, path = tmp_path / "photos", tmp_path / "features"
    scenes.write(folder / "good.png", scenes.scene(0))
    try:
        (folder / "caf\udce9.png").write_bytes((folder / "good.png").read_bytes())
    except (OSError, UnicodeError):
        pytest.skip("this file system takes no such name")
    report = extract_folder(folder, path, **OPTIONS)
    assert [(row.id, row.status) for row in report.rows] == [
        ("caf\\udce9.png", "unnameable"),
        ("good.png", "ok"),
    ]
    assert FolderFeatures.open(path).ids == ["good.png"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_features": 81}, "holds features of max_features=80, not 81; extract with those"),
        ({"max_features": 80, "max_size": None}, "max_size=1024, not None"),
        ({"max_features": 80, "orientation": "upright"}, "orientation='dominant', not 'upright'"),
        ({"max_features": 80, "root": False}, "root=True, not False"),
        ({"max_features": 80, "detector": "orb"}, "detector='dog', not 'orb'"),
    ],
)
def test_other_settings_are_refused(photos, written, options, message):
    path, _ = written
    before = content(path)
    with pytest.raises(ValueError, match=message):
        extract_folder(photos, path, **options)
    assert content(path) == before


def test_settings_that_never_made_features_are_not_held_against_the_folder(tmp_path):
    photo, folder = scenes.scene(1), tmp_path / "f"
    with pytest.raises(ValueError, match="contrast_threshold"):
        extract_folder([photo], folder, ids=["a"], contrast_threshold=-1.0)
    assert extract_folder([photo], folder, ids=["a"], max_features=50).rows[0].n_features == 50
    for wrong in ({"workers": 0}, {"mask": np.ones(photo.shape, bool)}):
        with pytest.raises((TypeError, ValueError), match=r"workers|plain values"):
            extract_folder([photo], tmp_path / "g", ids=["a"], **wrong)
    assert not (tmp_path / "g").exists()


def test_what_is_something_else_is_refused(photos, tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ValueError, match=r"holds no features but 'notes.txt'"):
        extract_folder(photos, tmp_path)
    with pytest.raises(ValueError, match="no photo in"):
        extract_folder([], tmp_path / "f")
    with pytest.raises(TypeError, match="has no fingerprint"):
        extract_folder(photos, tmp_path / "f", lambda image: None)
    scales = np.ones(2)  # cannot be written down
    with pytest.raises(TypeError, match="options must be plain values"):
        extract_folder(photos, tmp_path / "f", "dense", orientation="upright", scales=scales)
    with pytest.raises(FileNotFoundError, match="holds no features"):
        FolderFeatures.open(tmp_path)


def test_one_extracts_at_a_time(photos, written):
    path, _ = written
    with Lock(path / "LOCK"), pytest.raises(CollectionLockedError):
        extract_folder(photos, path, **OPTIONS)


def test_an_interruption_leaves_what_is_done(photos, tmp_path):
    def stop(stage, done, total):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract_folder(photos, tmp_path / "f", **OPTIONS, progress=stop)
    assert len(FolderFeatures.open(tmp_path / "f").rows) >= 3
    assert extract_folder(photos, tmp_path / "f", **OPTIONS).n_skipped >= 3


SCRIPT = """
import sys
from trouvaille.features import extract_folder
extract_folder(sys.argv[1], sys.argv[2], max_features=80, workers=2)
"""


def test_killed_and_resumed_is_as_if_it_had_not_been(photos, written, tmp_path):
    """Whenever it is killed: with SIGKILL, at another number of photos each time."""
    uninterrupted, path = content(written[0]), tmp_path / "features"
    for enough in (1, 3, 5, 7):
        command = [sys.executable, "-c", SCRIPT, str(photos), str(path)]
        run = subprocess.Popen(command)
        while run.poll() is None and len(list(path.glob("*/*.npz"))) < enough:
            time.sleep(0.0005)
        run.send_signal(signal.SIGKILL)
        run.wait()
        for name, written_before in content(path).items():
            if not name.split("/")[-1].startswith("."):
                assert uninterrupted[name] == written_before  # whole, or not there
    (path / ".0123456789abcdef0123456789abcdef.part").touch()  # what a kill may leave
    (next(path.glob("??")) / ".0123456789abcdef0123456789abcdef.part").write_bytes(b"half")
    report = extract_folder(photos, path, **OPTIONS)
    assert report.n_skipped >= 7
    assert content(path) == uninterrupted


def test_damage_is_found_and_mended(photos, written, tmp_path):
    """Every byte that holds features is covered by the archive's checksums."""
    path = tmp_path / "features"
    extract_folder(photos / "a", path, **OPTIONS)
    good = content(path)
    name = next(name for name in good if name.endswith(".npz"))
    rows = FolderFeatures.open(path).rows
    id = next(row.id for row in rows if features.folder_files.file_of(path, row.id) == path / name)
    expected = features.extract(photos / "a" / id, max_features=80).features
    for at in range(0, len(good[name]), len(good[name]) // 40):
        damaged = bytearray(good[name])
        damaged[at] ^= 0x40
        (path / name).write_bytes(damaged)
        problem = None
        try:
            found = FolderFeatures.open(path)[id]
        except IndexCorruptError as error:
            problem = str(error)
        if problem is None:  # a byte that means nothing: a date, a version
            for one, other in zip(found, expected, strict=True):
                np.testing.assert_array_equal(one, other)
        else:
            assert name in problem
    (path / name).write_bytes(good[name][:-100])
    assert extract_folder(photos / "a", path, **OPTIONS).n_skipped == N // 2 - 1
    assert content(path) == good


def test_crafted_files_are_refused(written, photos, tmp_path):
    path = tmp_path / "features"
    extract_folder(photos / "a", path, **OPTIONS)
    folder = FolderFeatures.open(path)
    id = folder.ids[0]
    file = features.folder_files.file_of(path, id)
    with np.load(file) as arrays:
        parts = dict(arrays)

    def refused(message, **changes):
        np.savez(file, **{**parts, **changes})
        with pytest.raises(IndexCorruptError, match=message):
            FolderFeatures.open(path)[id]

    refused("which is not", descriptors=parts["descriptors"][:, :64])
    refused("which is not", descriptors=parts["descriptors"].astype(float))
    refused("which is not", frames=np.float32(5))
    refused("different lengths", scales=parts["scales"][1:])
    refused("cannot be read", descriptors=np.array([object()] * 80))
    refused("not an array of float32", frames=np.asfortranarray(parts["frames"]))
    refused("about.*cannot be read", about=np.zeros(3, np.uint8))
    about = json.loads(bytes(parts["about"])) | {"id": "another"}
    refused("is of the photo 'another'", about=np.frombuffer(json.dumps(about).encode(), np.uint8))
    header = io.BytesIO()  # of an array of a terabyte, which must not be asked for
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f4", "fortran_order": False, "shape": (2**38,)}
    )
    np.savez(file, about=parts["about"])
    with zipfile.ZipFile(file, "a") as archive:
        for name in ("frames", "descriptors", "responses", "scales"):
            archive.writestr(f"{name}.npy", header.getvalue())
    with pytest.raises(IndexCorruptError, match=r"'frames'.* is not an array of float32"):
        FolderFeatures.open(path)[id]
    np.savez_compressed(file, **parts)
    with pytest.raises(IndexCorruptError, match="compressed"):
        FolderFeatures.open(path)[id]
    with zipfile.ZipFile(file, "w"):
        pass
    with pytest.raises(IndexCorruptError, match="about"):
        FolderFeatures.open(path)[id]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", IndexCorruptError),
        ("[]", IndexCorruptError),
        ('{"format": 1, "fingerprint": "x", "settings": {}}', IndexCorruptError),
        ('{"format": 1, "fingerprint": "a/b/uint8/9", "settings": 5}', IndexCorruptError),
        ("[" * 100_000, IndexCorruptError),
        ('{"format": 2}', FormatVersionError),
    ],
)
def test_manifests_of_another_kind(tmp_path, text, error):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(error):
        FolderFeatures.open(tmp_path)
