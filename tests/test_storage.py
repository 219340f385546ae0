# SPDX-License-Identifier: Apache-2.0
import dataclasses
import functools
import itertools
import os
import subprocess
import sys
import threading
from uuid import UUID

import numpy as np
import pytest

import storage_examples as examples
import storage_mutations as mutations
from trouvaille._sections.blocks import BLOCK
from trouvaille.collection.storage import CatalogueRow, Directory, Section, Storage, write_section
from trouvaille.collection.storage.kinds import KINDS, Column
from trouvaille.collection.storage.writer import publish
from trouvaille.errors import CollectionLockedError, FormatVersionError, IndexCorruptError


@pytest.fixture
def path(tmp_path):
    return tmp_path / "photos.tv"


def publish_changed(storage, **changes):
    """Commit a manifest that differs from the current one as told."""
    manifest = storage.snapshot.manifest
    publish(
        storage.directory,
        dataclasses.replace(manifest, generation=manifest.generation + 1, **changes),
    )


# Section files.


@pytest.mark.parametrize(
    "array",
    [
        np.zeros(0, np.uint32),
        np.zeros((0, 2, 3), np.float32),
        np.zeros((3, 0), np.uint8),
        np.arange(7, dtype=np.uint8),
        np.arange(24, dtype=np.int64).reshape(2, 3, 4),
        np.arange(24, dtype=">i4").reshape(4, 6).T[::-1],
        np.float16([[np.nan, np.inf, -0.0]]),
        np.arange(BLOCK - 1, dtype=np.uint16),
        np.arange(3 * BLOCK, dtype=np.uint8),
    ],
    ids=lambda a: f"{a.dtype.str}{a.shape}",
)
def test_an_array_comes_back_as_it_was(tmp_path, array):
    directory = Directory(tmp_path)
    arrays = {"first": array, "other": np.arange(5.0), "last": array}
    entry = write_section(directory, "file", "test", arrays, metadata={"a": [1, None, "ü"]})
    for verify in ("lazy", "full"):
        section = Section.open(directory, "file", "test", entry=entry, verify=verify)
        assert section.metadata == {"a": [1, None, "ü"]}
        assert section.uuid == entry.uuid
        for name, expected in arrays.items():
            actual = section.array(name)
            np.testing.assert_array_equal(actual, expected)
            assert actual.dtype == expected.dtype.newbyteorder("<")
            assert not actual.flags.writeable
            assert actual.ctypes.data % 64 == 0
            assert section.shapes[name] == expected.shape


def test_views_of_the_map_cannot_be_written(tmp_path):
    write_section(Directory(tmp_path), "file", "test", {"a": np.arange(9)})
    array = Section.open(Directory(tmp_path), "file", "test").array("a")
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1
    with pytest.raises(ValueError, match="WRITEABLE"):
        array.flags.writeable = True


def test_a_section_can_be_written_from_a_mapped_one(tmp_path):
    directory = Directory(tmp_path)
    write_section(directory, "one", "test", {"a": np.arange(BLOCK)})
    view = Section.open(directory, "one", "test").array("a")
    write_section(directory, "two", "test", {"a": view})
    np.testing.assert_array_equal(Section.open(directory, "two", "test").array("a"), view)


def test_same_arrays_and_uuid_give_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        write_section(Directory(tmp_path), name, "test", {"a": np.arange(9)}, UUID(int=7))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


@pytest.mark.parametrize(
    ("arrays", "error"),
    [
        ({"a": np.array([None])}, TypeError),
        ({"a": np.array([1j])}, TypeError),
        ({"a": np.array([True])}, TypeError),
        ({"a": np.array(3)}, TypeError),
        ({"A b": np.arange(3)}, ValueError),
        ({f"a{i}": np.arange(1) for i in range(2000)}, ValueError),
    ],
)
def test_what_cannot_be_stored_is_refused(tmp_path, arrays, error):
    with pytest.raises(error):
        write_section(Directory(tmp_path), "file", "test", arrays)
    assert not (tmp_path / "file").exists()


def test_rows_and_ranges(tmp_path, rng):
    directory = Directory(tmp_path)
    array = rng.integers(0, 256, (5000, 2, 30), dtype=np.uint8)  # a row crosses blocks
    write_section(directory, "file", "test", {"a": np.arange(11), "b": array})
    section = Section.open(directory, "file", "test")
    begins = rng.integers(0, 5001, 50)
    ends = np.minimum(begins + rng.integers(0, 1500, 50), 5000)
    for begin, end in zip(begins, ends, strict=True):
        np.testing.assert_array_equal(section.rows("b", int(begin), int(end)), array[begin:end])
    expected = np.concatenate([array[b:e] for b, e in zip(begins, ends, strict=True)])
    np.testing.assert_array_equal(section.take("b", begins, ends), expected)
    assert section.take("b", [], []).shape == (0, 2, 30)
    for begin, end in [(-1, 2), (3, 2), (0, 5001)]:
        with pytest.raises(IndexError, match="5000 rows"):
            section.rows("b", begin, end)


def test_lazily_only_what_is_touched_is_verified(tmp_path):
    array = np.arange(20 * BLOCK, dtype=np.uint8)
    write_section(Directory(tmp_path), "file", "test", {"a": array, "b": array})
    with (tmp_path / "file").open("r+b") as file:
        file.seek(10 * BLOCK + 5)
        file.write(b"\xff")
    section = Section.open(Directory(tmp_path), "file", "test")
    section.array("b")
    section.rows("a", 0, 9 * BLOCK)
    section.rows("a", 11 * BLOCK, 20 * BLOCK)
    for _ in range(2):  # what failed is not remembered as verified
        with pytest.raises(IndexCorruptError, match=r"test\.a', offset 655360: .*checksum") as e:
            section.rows("a", 10 * BLOCK, 10 * BLOCK + 1)
    assert (e.value.path, e.value.offset) == (tmp_path / "file", 10 * BLOCK)
    with pytest.raises(IndexCorruptError):
        section.array("a")
    with pytest.raises(IndexCorruptError, match=r"test\.a"):
        Section.open(Directory(tmp_path), "file", "test", verify="full")


def test_many_threads_may_read(tmp_path):
    array = np.arange(40 * BLOCK, dtype=np.uint8)
    write_section(Directory(tmp_path), "file", "test", {"a": array})
    section = Section.open(Directory(tmp_path), "file", "test")
    equal = []

    def read():
        rows = [section.rows("a", i * BLOCK, (i + 2) * BLOCK) for i in range(38)]
        equal.append(all((r == array[i * BLOCK :][: r.size]).all() for i, r in enumerate(rows)))

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert equal == [True] * 8


# Collections.


@pytest.mark.parametrize("verify", ["lazy", "full"])
def test_a_collection_comes_back_as_it_was(path, verify):
    written = examples.make(path)
    snapshot = Storage.open(path, verify).snapshot
    assert examples.content(snapshot) == examples.content(written.snapshot)
    assert (snapshot.n_images, snapshot.n_features, snapshot.generation) == (6, 14, 3)
    assert snapshot.settings == examples.SETTINGS
    assert snapshot.bases == (0, 3)
    np.testing.assert_array_equal(snapshot.vocabulary, examples.vocabulary())
    for batch, segment in enumerate(snapshot.segments):
        sections, rows = examples.segment(f"batch{batch}", seed=batch)
        assert list(segment.catalogue.rows()) == rows
        assert [segment.catalogue.row(i) for i in range(3)] == rows
        for kind, arrays in sections.items():
            for name, array in arrays.items():
                np.testing.assert_array_equal(segment.sections[kind].array(name), array)


def test_document_frequencies_are_a_recount(path):
    snapshot = examples.make(path, batches=3).snapshot
    counted = np.zeros(examples.NUM_WORDS, np.int64)
    for segment in snapshot.segments:
        words = segment.sections["words"]
        offsets = words.array("feature_offsets").astype(int)
        for begin, end in itertools.pairwise(offsets):
            counted[np.unique(words.array("words")[begin:end])] += 1
    np.testing.assert_array_equal(snapshot.document_frequencies, counted)


def test_an_image_is_found_by_its_id(path):
    snapshot = examples.make(path).snapshot
    assert snapshot.find("batch1/2.jpg") == (1, 2)
    assert snapshot.find("batch0/0.jpg") == (0, 0)
    for unknown in ("", "batch1", "'; DROP TABLE images; --", "\udcff", "a\0b"):
        assert snapshot.find(unknown) is None
    with pytest.raises(IndexError, match="3 images"):
        snapshot.segments[0].catalogue.row(3)


def test_nothing_is_a_collection_too(path):
    storage = Storage.create(path, {}, "none")
    with storage.writer() as writer:
        assert writer.commit() is writer.commit()
    for snapshot in (Storage.open(path, "full").snapshot, storage.snapshot):
        assert (snapshot.n_images, snapshot.n_words, snapshot.generation) == (0, 0, 0)
        assert snapshot.vocabulary is None
        assert snapshot.document_frequencies.size == 0


def test_empty_segments_and_missing_sections(path):
    storage = Storage.create(path, {}, examples.FINGERPRINT)
    with storage.writer() as writer:
        writer.add_segment({}, [])
        writer.add_segment({}, [CatalogueRow("a")])
        writer.commit()
    storage = Storage.create(path.with_name("2.tv"), {}, examples.FINGERPRINT)
    with storage.writer() as writer:
        writer.set_vocabulary(examples.vocabulary(), examples.FINGERPRINT)
        writer.add_segment(*examples.segment("none", features=()))
        writer.add_segment(*examples.segment("bare", features=(0, 0), descriptors=False))
        writer.commit()
    for name in ("photos.tv", "2.tv"):
        snapshot = Storage.open(path.with_name(name), "full").snapshot
        examples.content(snapshot)
        assert snapshot.n_features == 0
    assert "descriptors" not in snapshot.segments[1].sections
    assert not snapshot.document_frequencies.any()


def test_a_reader_keeps_its_state_and_refreshes_when_told(path):
    examples.make(path, batches=1)
    reader = Storage.open(path)
    before = reader.snapshot
    writing = Storage.open(path)
    with writing.writer() as writer:
        writer.add_segment(*examples.segment("new", seed=9))
        writer.commit()
    assert writing.snapshot.n_images == 6
    assert reader.snapshot.n_images == 3
    assert len(examples.content(before)["segments"]) == 1
    after = reader.refresh()
    assert after.n_images == 6
    assert after.segments[0] is before.segments[0]  # verified blocks stay verified
    assert reader.refresh().generation == after.generation


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps a mapped file from being removed")
def test_a_snapshot_outlives_its_files(path):
    storage = examples.make(path)
    reader = Storage.open(path)
    for file in storage.directory.path.rglob("*"):
        if file.is_file():
            file.unlink()
    assert examples.content(reader.snapshot) == examples.content(storage.snapshot)


def test_several_commits_of_one_writer(path):
    storage = Storage.create(path, {}, examples.FINGERPRINT)
    with storage.writer() as writer:
        writer.set_vocabulary(examples.vocabulary(), examples.FINGERPRINT)
        for i in range(3):
            writer.add_segment(*examples.segment(f"a{i}", seed=i))
            writer.add_segment(*examples.segment(f"b{i}", seed=i))
            assert writer.commit().n_images == 6 * (i + 1)
    files = sorted(p.name.partition("-")[0] for p in path.iterdir())
    assert files == ["CURRENT", "LOCK", "manifest", *["seg"] * 6, "statistics", "vocabulary"]
    with pytest.raises(RuntimeError, match="open another"):
        writer.commit()


def test_what_is_not_committed_is_not_there(path):
    storage = examples.make(path)
    before = sorted(path.rglob("*"))
    with storage.writer() as writer:
        writer.add_segment(*examples.segment("new"))
    assert sorted(path.rglob("*")) == before
    assert Storage.open(path).snapshot.n_images == 6


# What a writer refuses.


def test_an_id_is_refused_when_it_is_there_already(path):
    storage = examples.make(path)
    with storage.writer() as writer:
        for rows in ([CatalogueRow("batch0/1.jpg")], [CatalogueRow("new")] * 2):
            with pytest.raises(ValueError, match="already"):
                writer.add_segment({}, rows)
        writer.add_segment({}, [CatalogueRow("new")])
        with pytest.raises(ValueError, match="'new' already"):
            writer.add_segment({}, [CatalogueRow("new")])
        assert writer.commit().n_images == 7


def test_a_vocabulary_is_refused_where_it_does_not_belong(path):
    storage = Storage.create(path, {}, "this")
    words = examples.vocabulary()
    with storage.writer() as writer:
        with pytest.raises(ValueError, match=r"'that'.*'this'"):
            writer.set_vocabulary(words, "that")
        with pytest.raises(ValueError, match=r"vocabulary\.words.*float64"):
            writer.set_vocabulary(words.astype(float), "this")
        embedding = examples.embedding()
        for name, problem in (("means", "must have 7 rows"), ("projection", "must have 8 rows")):
            less = embedding | {name: embedding[name][1:]}
            with pytest.raises(ValueError, match=rf"embedding\.{name}.*{problem}"):
                writer.set_vocabulary(words, "this", less)
        with pytest.raises(ValueError, match=r"embedding\.projection.*must be \['means'"):
            writer.set_vocabulary(words, "this", {"means": words})
        writer.set_vocabulary(words, "this", embedding)
        with pytest.raises(ValueError, match="already"):
            writer.set_vocabulary(words, "this")


def test_a_network_is_given_once_and_before_the_images(path):
    def rows(prefix):
        return [CatalogueRow(f"{prefix}{i}") for i in range(3)]

    storage = Storage.create(path, {}, "this")
    with storage.writer() as writer:
        writer.set_network(examples.NETWORK)
        with pytest.raises(ValueError, match="has a network, or images, already"):
            writer.set_network(b"another")
        assert writer.commit().network.array("file").tobytes() == examples.NETWORK
        with pytest.raises(ValueError, match="already"):
            writer.set_network(examples.NETWORK)
        vectors = np.eye(3, 2, dtype=np.float32)
        writer.add_segment({"vectors": {"vectors": vectors}}, rows("a"))
        for wrong_ones in (vectors[1:], np.full_like(vectors, np.nan), vectors.astype(float)):
            with pytest.raises(ValueError, match=r"vectors\.vectors"):
                writer.add_segment({"vectors": {"vectors": wrong_ones}}, rows("b"))
        writer.commit()
    with Storage.open(path, "full").writer() as writer, pytest.raises(ValueError, match="already"):
        writer.set_network(examples.NETWORK)


def wrong(kind, name, change):
    def spoil(sections):
        sections[kind][name] = change(sections[kind][name])

    return pytest.param(spoil, f"{kind}.{name}", id=f"{kind}.{name}-{change.__name__}")


def one_less(a):
    return a[:-1]


def wider(a):
    return a.astype(np.uint64 if a.dtype.kind == "u" else np.float64)


def too_large(a):
    return a + np.array(100, a.dtype)


def descending(a):
    return np.sort(a)[::-1].copy()


def falling(a):
    return (np.arange(len(a))[::-1] % 3).astype(a.dtype)


def zero(a):
    return a * 0


def infinite(a):
    return a * np.float32(np.inf)


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        wrong("postings", "offsets", one_less),
        wrong("postings", "offsets", too_large),
        wrong("postings", "offsets", descending),
        wrong("postings", "offsets", zero),
        wrong("postings", "images", too_large),
        wrong("postings", "images", descending),
        wrong("postings", "images", wider),
        wrong("postings", "counts", zero),
        wrong("postings", "counts", one_less),
        wrong("signatures", "offsets", one_less),
        wrong("signatures", "offsets", zero),
        wrong("signatures", "images", too_large),
        wrong("signatures", "images", falling),
        wrong("signatures", "images", wider),
        wrong("signatures", "signatures", one_less),
        wrong("words", "words", too_large),
        wrong("words", "words", descending),
        wrong("words", "words", one_less),
        wrong("words", "feature_offsets", one_less),
        wrong("frames", "frames", one_less),
        wrong("frames", "frames", wider),
        wrong("frames", "frames", infinite),
        wrong("descriptors", "descriptors", one_less),
    ],
)
def test_arrays_that_do_not_agree_are_refused(path, spoil, named):
    storage = examples.make(path, batches=0)
    sections, rows = examples.segment("new", features=(9, 0, 9))
    spoil(sections)
    with storage.writer() as writer, pytest.raises(ValueError, match=named):
        writer.add_segment(sections, rows)
    assert not list(path.glob("seg-*"))


@pytest.mark.parametrize(
    "row",
    [
        CatalogueRow(""),
        CatalogueRow("a\0b"),
        CatalogueRow("\udcff"),
        CatalogueRow("a", path="\udcff"),
        CatalogueRow("a", width=-1),
        CatalogueRow("a", n_features=1 << 63),
        CatalogueRow("a", metadata={"x": float("nan")}),
        CatalogueRow("a", metadata={"x": (1, 2)}),
        CatalogueRow("a", metadata={1: 2}),
    ],
)
def test_rows_that_cannot_be_stored_are_refused(path, row):
    storage = Storage.create(path, {}, "")
    with storage.writer() as writer, pytest.raises(ValueError, match=r"rows\[1\]"):
        writer.add_segment({}, [CatalogueRow("first"), row])


@pytest.mark.parametrize("row", [CatalogueRow(7), CatalogueRow("a", path=b"a")])
def test_rows_of_another_type_are_refused(path, row):
    storage = Storage.create(path, {}, "")
    with storage.writer() as writer, pytest.raises(TypeError, match=r"rows\[0\]"):
        writer.add_segment({}, [row])


def test_feature_counts_must_agree(path):
    storage = examples.make(path, batches=0)
    sections, rows = examples.segment("new", features=(3, 1))
    rows = [dataclasses.replace(row, n_features=n) for row, n in zip(rows, (2, 2), strict=True)]
    with storage.writer() as writer:
        with pytest.raises(ValueError, match="n_features"):
            writer.add_segment(sections, rows)
        with pytest.raises(ValueError, match="among"):
            writer.add_segment({"colours": {}}, rows)


# Creating and opening.


def test_creating_over_something_is_refused(path):
    examples.make(path)
    with pytest.raises(FileExistsError, match="open it"):
        Storage.create(path, {}, "")
    file = path.with_name("file")
    file.write_text("mine")
    with pytest.raises(FileExistsError, match="another path"):
        Storage.create(file, {}, "")
    folder = path.with_name("folder")
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError):
        Storage.create(folder, {}, "")
    assert [p.name for p in folder.iterdir()] == ["notes.txt"]


def test_creating_in_an_empty_folder(path):
    path.mkdir()
    Storage.create(path, {}, "x")
    assert Storage.open(path).snapshot.fingerprint == "x"


@pytest.mark.parametrize("settings", [{"a": (1,)}, {"a": float("nan")}, {1: 2}, {"a": {1, 2}}])
def test_settings_must_be_plain(path, settings):
    with pytest.raises(ValueError, match="settings must be plain"):
        Storage.create(path, settings, "")
    assert not path.exists()


def test_settings_cannot_be_changed_through_a_copy(path):
    storage = Storage.create(path, {"a": [1]}, "")
    storage.snapshot.settings["a"].append(2)
    assert storage.snapshot.settings == {"a": [1]}


def test_what_is_no_collection_is_said_to_be_none(tmp_path):
    with pytest.raises(FileNotFoundError, match="create one"):
        Storage.open(tmp_path / "missing")
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="is a folder"):
        Storage.open(tmp_path / "file")
    with pytest.raises(ValueError, match="not a collection"):
        Storage.open(tmp_path)
    with pytest.raises(ValueError, match="lazy"):
        Storage.open(tmp_path, "sometimes")
    with pytest.raises(FileNotFoundError):
        Storage.create(tmp_path / "no" / "folder", {}, "")


@pytest.mark.parametrize("step", ["make_folder", "lock", "create"])
def test_without_permission_it_says_what_to_do(path, step, monkeypatch):
    def refuse(self, *_):
        raise PermissionError(13, "Permission denied", str(self.path))

    if step == "lock":
        examples.make(path)
        attempt = Storage.open(path).writer().__enter__
    else:
        attempt = functools.partial(Storage.create, path, {}, "")
    monkeypatch.setattr(Directory, step, refuse)
    with pytest.raises(PermissionError, match=r"chmod.*photos\.tv"):
        attempt()


def test_reading_needs_no_lock_and_no_right_to_write(path, monkeypatch):
    before = examples.content(examples.make(path).snapshot)
    (path / "LOCK").unlink()
    for step in (*examples.STEPS, "lock"):
        monkeypatch.setattr(Directory, step, None)
    assert examples.content(Storage.open(path, "full").snapshot) == before


def test_a_relative_path_with_odd_characters(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    examples.make("ph%20o?tos#ü.tv")
    examples.content(Storage.open("ph%20o?tos#ü.tv", "full").snapshot)


def test_a_commit_during_opening_is_no_damage(path, monkeypatch):
    storage = examples.make(path)
    read = Directory.read
    names = []

    def read_late(self, name, at_most):
        if name.startswith("manifest") and not names:
            names.append(name)
            monkeypatch.setattr(Directory, "read", read)
            with storage.writer() as writer:  # removes the manifest about to be read
                writer.add_segment({}, [CatalogueRow("new")])
                writer.commit()
        return read(self, name, at_most)

    monkeypatch.setattr(Directory, "read", read_late)
    assert Storage.open(path).snapshot.n_images == 7
    assert names == ["manifest-000003.json"]


# Links and names.


@pytest.mark.skipif(os.name == "nt", reason="making a link needs a privilege")
def test_links_and_pipes_are_not_followed(path):
    storage = examples.make(path)
    folder = storage.snapshot.segments[0].entry.folder
    outside = path.with_name("outside")
    for name in (f"{folder}/frames", f"{folder}/images.sqlite", "CURRENT", "manifest-000003.json"):
        file = path / name
        file.rename(outside)
        file.symlink_to(outside)
        with pytest.raises(IndexCorruptError, match="symbolic link"):
            Storage.open(path)
        file.unlink()
        os.mkfifo(file)
        with pytest.raises(IndexCorruptError, match="not a regular file"):
            Storage.open(path)
        file.unlink()
        outside.rename(file)
    (path / folder).rename(outside)
    (path / folder).symlink_to(outside)
    with pytest.raises(IndexCorruptError, match="link"):
        Storage.open(path)


NAMES = ["../outside", "/etc/passwd", "a/b", "..", ".", "", "a\\b", "C:x", "a\0b", "a" * 200, ".x"]


@pytest.mark.parametrize("name", NAMES)
def test_names_in_a_manifest_do_not_lead_out(path, name):
    storage = examples.make(path)
    manifest = storage.snapshot.manifest
    entry = manifest.segments[0]
    bad = (dataclasses.replace(entry.files[0], name=name), *entry.files[1:])
    publish_changed(storage, segments=(dataclasses.replace(entry, files=bad), manifest.segments[1]))
    with pytest.raises(IndexCorruptError, match="not a plain file name"):
        Storage.open(path)
    with pytest.raises(ValueError, match="inside"):
        storage.directory.path_of(f"a/{name}" if name else "a/")


# Versions.


def test_a_newer_manifest_is_refused(path):
    storage = examples.make(path)
    body = mutations.manifest_body(storage.snapshot.manifest.encode())
    mutations.resign_manifest(path, body.replace(b'"format":1', b'"format":2'))
    with pytest.raises(FormatVersionError, match=r"manifest-000003.*format 2.*pip install"):
        Storage.open(path)


def test_a_newer_section_is_refused(tmp_path):
    write_section(Directory(tmp_path), "file", "test", {"a": np.arange(3)})
    with mutations.resigned(tmp_path / "file") as data:
        data[8] = 2
    with pytest.raises(FormatVersionError, match=r"file has format 2.*knows 1"):
        Section.open(Directory(tmp_path), "file", "test")


@pytest.mark.parametrize("member", [b'"format":1', b'"generation":3', b'"required":true'])
def test_an_unknown_member_is_refused(path, member):
    storage = examples.make(path)
    body = mutations.manifest_body(storage.snapshot.manifest.encode())
    mutations.resign_manifest(path, body.replace(member, member + b',"colours":[]', 1))
    with pytest.raises(FormatVersionError, match="colours"):
        Storage.open(path)


def test_deletions_are_refused(path):
    storage = examples.make(path)
    segments = storage.snapshot.manifest.segments
    tombstones = (segments[0].files[0],)
    publish_changed(
        storage, segments=(dataclasses.replace(segments[0], tombstones=tombstones), segments[1])
    )
    with pytest.raises(FormatVersionError, match="deleted images"):
        Storage.open(path)


@pytest.mark.parametrize("required", [True, False])
@pytest.mark.parametrize("place", ["segment", "collection"])
def test_unknown_sections_are_skipped_unless_required(path, monkeypatch, required, place):
    storage = examples.make(path, batches=1)
    before = examples.content(storage.snapshot)
    monkeypatch.setitem(KINDS, "colours", {"colours": Column(("uint8",), "images", (3,))})
    manifest = storage.snapshot.manifest
    entry = manifest.segments[0]
    folder = f"{entry.folder}/" if place == "segment" else ""
    file = write_section(
        storage.directory,
        f"{folder}colours",
        "colours",
        {"colours": np.zeros((3, 3), np.uint8)},
        required=required,
    )
    if place == "segment":
        entry = dataclasses.replace(entry, files=(*entry.files, file))
        publish_changed(storage, segments=(entry,))
        newer = Storage.open(path, "full").snapshot
        assert newer.segments[0].sections["colours"].array("colours").shape == (3, 3)
    else:
        publish_changed(storage, files=(*manifest.files, file))
    monkeypatch.delitem(KINDS, "colours")
    if required:
        with pytest.raises(FormatVersionError, match="'colours'"):
            Storage.open(path)
        return
    after = examples.content(Storage.open(path, "full").snapshot)
    assert after["segments"] == before["segments"]
    with Storage.open(path).writer() as writer:  # what it does not know stays with its segment
        writer.add_segment(*examples.segment("new"))
        writer.commit()
    kept = Storage.open(path).snapshot.manifest
    assert (file in kept.segments[0].files) == (place == "segment")
    assert file not in kept.files


# One writer.

HOLD = """
import sys
from trouvaille.collection.storage import Storage
with Storage.open(sys.argv[1]).writer() as writer:
    print("locked", flush=True)
    sys.stdin.read()
"""


def hold(path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"locked\n"
    return process


def test_a_second_writer_is_refused_and_a_dead_one_forgotten(path):
    storage = examples.make(path)
    process = hold(path)
    try:
        with pytest.raises(CollectionLockedError, match=r"photos\.tv"), storage.writer():
            pass
        assert Storage.open(path, "full").snapshot.n_images == 6  # readers do not mind
    finally:
        process.kill()
        process.communicate()
    with storage.writer() as writer:
        assert writer.commit().n_images == 6
        with pytest.raises(CollectionLockedError), Storage.open(path).writer():
            pass
    with storage.writer():
        pass


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_does_not_keep_the_lock(path):
    storage = examples.make(path)
    ours, theirs = os.pipe()
    with storage.writer():
        child = os.fork()
        if child == 0:
            os.close(theirs)
            os.read(ours, 1)  # lives on until the parent is done with it
            os._exit(0)
        with pytest.raises(CollectionLockedError), storage.writer():
            pass  # the child's exit from the lock leaves the parent's
    os.close(ours)
    with storage.writer():
        pass
    os.close(theirs)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize(
    "error",
    [
        IndexCorruptError("a", "b.c", 3, "d"),
        FormatVersionError("a", "format 2", "1"),
        CollectionLockedError("a"),
    ],
)
def test_errors_cross_processes(error):
    make, arguments, *state = error.__reduce__()  # what a process pool sends
    copy = make(*arguments)
    vars(copy).update(state[0] if state else {})
    assert (type(copy), str(copy), vars(copy)) == (type(error), str(error), vars(error))


def test_a_huge_manifest_is_not_read(path):
    examples.make(path)
    os.truncate(path / "manifest-000003.json", 1 << 40)  # sparse
    with pytest.raises(IndexCorruptError, match="is larger than"):
        Storage.open(path)


def test_a_writer_begins_with_the_last_commit(tmp_path):
    """Whoever opened the collection before another one wrote to it writes on top of that."""
    stale = Storage.create(tmp_path / "photos.tv", {}, "made")
    with Storage.open(stale.directory.path).writer() as writer:
        writer.set_vocabulary(np.zeros((2, 4), np.uint8), "made")
        writer.add_segment({}, [CatalogueRow("a")])
        writer.commit()
    assert stale.snapshot.ids() == frozenset()
    with stale.writer() as writer:
        assert writer.base is stale.snapshot
        assert writer.base.n_words == 2
        assert writer.base.ids() == {"a"}
        with pytest.raises(ValueError, match="'a' already"):
            writer.add_segment({}, [CatalogueRow("a")])
        writer.add_segment({}, [CatalogueRow("b")])
        with pytest.raises(ValueError, match="'b' already"):
            writer.add_segment({}, [CatalogueRow("b")])
        writer.commit()
        with pytest.raises(ValueError, match="'b' already"):
            writer.add_segment({}, [CatalogueRow("b")])
    with pytest.raises(RuntimeError, match="closed"):
        _ = writer.base
    assert stale.snapshot.bases == (0, 1)


@pytest.mark.parametrize("image_id", ["\udce9", "a\0b", "x" * 1_000_000])
def test_an_id_that_no_catalogue_holds_is_not_found(tmp_path, image_id):
    storage = Storage.create(tmp_path / "photos.tv", {}, "made")
    with storage.writer() as writer:
        writer.add_segment({}, [CatalogueRow("a")])
        writer.commit()
    assert storage.snapshot.segments[0].catalogue.number(image_id) is None
    assert storage.snapshot.find(image_id) is None
