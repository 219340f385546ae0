# SPDX-License-Identifier: Apache-2.0
import json
import stat
import subprocess
import sys
import zipfile
from pathlib import PurePosixPath

import pytest

from trouvaille import demo_photos
from trouvaille.demo_photos import DemoPhotosError, fetch, load

JPEG, PNG = b"\xff\xd8\xff\xe0 a photo of ", b"\x89PNG\r\n\x1a\n a photo of "
METADATA = {
    "vismatch": "Metadata-Version: 2.4\nLicense: BSD 3-Clause License\n        \n        Text\n\n",
    "scikit-image": "Metadata-Version: 2.1\nLicense: Files: *\n         License: BSD-3-Clause\n\n",
}


def content_of(member):
    return (JPEG if member.endswith(".jpg") else PNG) + member.encode()


def wheel_path(folder, wheel):
    return folder / f"{wheel.distribution.replace('-', '_')}-{wheel.version}-py3-none-any.whl"


class FakeIndex:
    """Stands for pip: writes wheels that hold what the table names, changed as a test says."""

    def __init__(self):
        self.calls = 0
        self.without, self.changed, self.extra = set(), {}, []
        self.damage = None

    def __call__(self, requirements, folder):
        self.calls += 1
        assert list(requirements) == ["vismatch==1.4.0", "scikit-image==0.26.0"]
        for wheel in demo_photos._WHEELS:
            path = wheel_path(folder, wheel)
            with zipfile.ZipFile(path, "w") as archive:
                name = demo_photos._metadata_name(wheel)
                members = {name: METADATA[wheel.distribution].encode()}
                members |= {member: content_of(member) for member, _ in wheel.members()}
                for member, content in members.items():
                    if member not in self.without:
                        archive.writestr(member, self.changed.get(member, content))
                for extra in self.extra:
                    archive.writestr(extra, content_of("extra.jpg"))
            if self.damage is not None:
                self.damage(path)


@pytest.fixture
def index():
    return FakeIndex()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "made" / "demo"


def refuse(requirements, folder):
    raise AssertionError("nothing was to be downloaded")


def nothing_left(folder):
    return not folder.exists() and not list(folder.parent.iterdir())


def test_lays_out_queries_and_database_and_says_where_each_came_from(folder, index):
    said = []
    photos = fetch(folder, progress=lambda *step: said.append(step), download=index)
    assert set(photos.queries) == set((folder / "queries").iterdir())
    database = {photo.name for photo in photos.photos if photo.role == "database"}
    assert database == {path.name for path in photos.database.iterdir()}
    assert photos.sources["gcs_far.jpg"] == "vismatch 1.4.0"
    for photo in photos.photos:
        assert photos.path(photo).read_bytes() == content_of(photo.member)
    by_name = {photo.name: photo.origin for photo in photos.photos}
    assert by_name["gcs_far.jpg"] == (
        "vismatch 1.4.0: vismatch/assets/example_pairs/indoor/gcs_far.jpg "
        "(licence: BSD 3-Clause License)"
    )
    assert by_name["camera.png"].endswith("(licence: BSD-3-Clause)")
    assert said == [("downloading the demo photos, about 47 MB", done, 2) for done in (0, 2)]
    manifest = json.loads((folder / demo_photos.MANIFEST).read_text("utf-8"))
    assert len(manifest["photos"]) == len(photos.photos)
    assert [entry.name for entry in folder.parent.iterdir()] == ["demo"]


def test_the_table_is_consistent(folder, index):
    photos = fetch(folder, download=index)
    names = [photo.name for photo in photos.photos]
    assert len(set(names)) == len(names)
    database = {photo.name for photo in photos.photos if photo.role == "database"}
    assert {path.name for path in photos.queries} == set(demo_photos.EXPECTED)
    assert all(set(partners) <= database and partners for partners in photos.queries.values())
    assert not set(demo_photos.SKIPPED) & {photo.member for photo in photos.photos}
    assert {PurePosixPath(name).suffix for name in names} <= set(demo_photos._IMAGE_SIGNATURES)


def test_a_second_call_does_nothing(folder, index):
    first = fetch(folder, download=index)
    times = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert fetch(folder, download=refuse) == first == load(folder)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == times


def test_a_lost_or_changed_photo_is_put_back_and_other_files_are_kept(folder, index):
    first = fetch(folder, download=index)
    (folder / "database" / "moon.png").unlink()
    (folder / "queries" / "fsm.jpg").write_bytes(b"something else")
    (folder / "database" / "mine.jpg").write_bytes(b"mine")
    assert load(folder) is None
    assert fetch(folder, download=index) == first == load(folder)
    assert index.calls == 2
    assert (folder / "database" / "mine.jpg").read_bytes() == b"mine"


def test_an_empty_folder_is_used(folder, index):
    folder.mkdir(parents=True)
    assert fetch(folder, download=index) == load(folder)


def test_a_folder_of_other_files_is_refused_untouched(folder, index):
    folder.mkdir(parents=True)
    (folder / "holiday.jpg").write_bytes(b"mine")
    with pytest.raises(FileExistsError, match="holds files that are not the demo's"):
        fetch(folder, download=index)
    assert [entry.name for entry in folder.iterdir()] == ["holiday.jpg"]
    with pytest.raises(FileExistsError, match="is not a folder"):
        fetch(folder / "holiday.jpg", download=index)
    assert index.calls == 0


@pytest.mark.parametrize("damaged", [b"", b"[]", b'{"photos": [{}]}', b"\xff", b"[" * 100_000])
def test_a_damaged_manifest_is_not_believed(folder, index, damaged):
    first = fetch(folder, download=index)
    (folder / demo_photos.MANIFEST).write_bytes(damaged)
    assert load(folder) is None
    assert fetch(folder, download=index) == first


def test_a_manifest_of_another_version_is_not_believed(folder, index):
    fetch(folder, download=index)
    path = folder / demo_photos.MANIFEST
    path.write_text(path.read_text("utf-8").replace("1.4.0", "1.3.0"), "utf-8")
    assert load(folder) is None


@pytest.mark.parametrize(
    "name",
    [
        "../evil.jpg",
        "vismatch/assets/../../../evil.jpg",
        "/evil.jpg",
        "C:/evil.jpg",
        "..\\evil.jpg",
    ],
)
def test_a_wheel_that_leads_outside_is_not_unpacked(folder, index, name, tmp_path):
    index.extra = [name]
    with pytest.raises(DemoPhotosError, match="unsafe member"):
        fetch(folder, download=index)
    assert nothing_left(folder)
    assert not list(tmp_path.rglob("evil*"))


def test_a_link_is_refused(folder, index):
    link = zipfile.ZipInfo("vismatch/assets/link.jpg")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    index.extra = [link]
    with pytest.raises(DemoPhotosError, match="unsafe member"):
        fetch(folder, download=index)
    assert nothing_left(folder)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name_are_refused(folder, index):
    index.extra = ["skimage/data/moon.png", "skimage/data/moon.png"]
    with pytest.raises(DemoPhotosError, match="each file once"):
        fetch(folder, download=index)
    assert nothing_left(folder)


@pytest.mark.parametrize(
    "member", ["skimage/data/rocket.jpg", "scikit_image-0.26.0.dist-info/METADATA"]
)
def test_a_missing_member_is_named(folder, index, member):
    index.without = {member}
    with pytest.raises(DemoPhotosError, match=member) as raised:
        fetch(folder, download=index)
    assert "trouvaille index FOLDER" in str(raised.value)
    assert nothing_left(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<svg onload='alert(1)'/>", "is not a jpg image"),
        (JPEG + bytes(demo_photos.MAX_PHOTO_BYTES), "more than the 4194304 bytes"),
    ],
)
def test_a_member_that_is_no_photo_is_refused(folder, index, content, message):
    index.changed = {"skimage/data/rocket.jpg": content}
    with pytest.raises(DemoPhotosError, match=message):
        fetch(folder, download=index)
    assert nothing_left(folder)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-200])


def flip(path):
    content = bytearray(path.read_bytes())
    content[content.index(b"a photo of")] ^= 1
    path.write_bytes(content)


def replace_with_page(path):
    path.write_text("<html>a proxy's sign-in page</html>")


@pytest.mark.parametrize("damage", [truncate, flip, replace_with_page])
def test_a_damaged_wheel_is_named(folder, index, damage):
    index.damage = damage
    with pytest.raises(DemoPhotosError, match=r"vismatch 1\.4\.0 is damaged"):
        fetch(folder, download=index)
    assert nothing_left(folder)


def test_a_wheel_that_did_not_come_is_named(folder):
    with pytest.raises(DemoPhotosError, match=r"one wheel of vismatch 1\.4\.0, and holds nothing"):
        fetch(folder, download=lambda requirements, folder: None)
    assert nothing_left(folder)


@pytest.mark.parametrize("after", [0, 1, 7, 34])
def test_an_interruption_leaves_nothing_half_made(folder, index, monkeypatch, after):
    write, written = demo_photos._write, []

    def interrupted(path, content):
        if len(written) == after:
            raise KeyboardInterrupt
        written.append(path)
        write(path, content)

    monkeypatch.setattr(demo_photos, "_write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fetch(folder, download=index)
    assert nothing_left(folder)
    monkeypatch.undo()
    assert fetch(folder, download=index) == load(folder)


def test_two_processes_may_fetch_at_once(folder, index):
    def download(requirements, wheels):
        fetch(folder, download=index)  # the other process, which is first
        index(requirements, wheels)

    assert fetch(folder, download=download) == load(folder)
    assert [entry.name for entry in folder.parent.iterdir()] == ["demo"]


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("/usr/bin/python: No module named pip", "ensurepip"),
        ("ERROR: No matching distribution found", "No matching distribution found"),
        ("", "said: nothing"),
    ],
)
def test_a_failure_of_pip_says_what_to_do(folder, monkeypatch, said, message):
    commands = []

    def run(command, **options):
        commands.append(command)
        return subprocess.CompletedProcess(command, 1, "", said)

    monkeypatch.setattr(demo_photos.subprocess, "run", run)
    with pytest.raises(DemoPhotosError, match=message) as raised:
        fetch(folder)
    assert "`trouvaille index FOLDER` works with photos of your own" in str(raised.value)
    assert commands[0][:4] == [sys.executable, "-m", "pip", "download"]
    assert "--no-deps" in commands[0]
    assert nothing_left(folder)


@pytest.mark.parametrize(
    ("metadata", "licence"),
    [
        ("License-Expression: MIT AND BSD-3-Clause\nLicense: other\n\n", "MIT AND BSD-3-Clause"),
        ("Classifier: License :: OSI Approved :: BSD License\n\n", "BSD License"),
        ("Name: x\n\n", "not stated"),
    ],
)
def test_licence(metadata, licence):
    assert demo_photos._licence(metadata) == licence


@pytest.mark.network
def test_the_published_wheels_hold_what_the_table_says(tmp_path):
    wheels = []

    def download(requirements, folder):
        demo_photos._download_with_pip(requirements, folder)
        for path in folder.iterdir():
            with zipfile.ZipFile(path) as archive:
                wheels.extend(archive.namelist())

    photos = fetch(tmp_path / "demo", download=download)
    folders = ("vismatch/assets/example_pairs/", "vismatch/assets/example_test/", "skimage/data/")
    there = {
        name
        for name in wheels
        if name.startswith(folders) and name.endswith((".jpg", ".jpeg", ".png", ".tif"))
    }
    assert there == {photo.member for photo in photos.photos} | set(demo_photos.SKIPPED)
