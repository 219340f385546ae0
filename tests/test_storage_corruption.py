# SPDX-License-Identifier: Apache-2.0
"""A damaged or forged collection gives an error that says where, or what it gave before."""

import dataclasses
import json
import shutil
import sqlite3
import struct
import tracemalloc
from contextlib import closing

import numpy as np
import pytest

import storage_examples as examples
import storage_mutations as mutations
from storage_mutations import resign_manifest, resigned
from trouvaille._sections import blocks
from trouvaille.collection.storage import CatalogueRow, Storage, write_section
from trouvaille.errors import FormatVersionError, IndexCorruptError

INTEGERS = [0, 1, -1, 2**31 - 1, 2**31, 2**32 - 1, 2**63]


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    path = tmp_path_factory.mktemp("original") / "photos.tv"
    examples.make(path)
    return path, examples.content(Storage.open(path, "full").snapshot)


@pytest.fixture
def work(original, tmp_path):
    path = tmp_path / "work.tv"
    shutil.copytree(original[0], path)
    return path


def files_of(path):
    """Return the files of a collection with one of its segments: the other is of the same kinds."""
    segments = sorted(path.glob("seg-*"))[1:]
    return [
        file
        for file in sorted(path.rglob("*"))
        if file.is_file() and file.parent not in segments and file.stat().st_size
    ]


def outcome(path, verify, expected):
    """Return "found", or "identical"; anything else fails the test."""
    found = None
    try:
        content = examples.content(Storage.open(path, verify).snapshot)
    except IndexCorruptError as error:
        found = error
    if found is None:
        assert content == expected
        return "identical"
    assert path in [found.path, *found.path.parents]
    assert str(found.path) in str(found)
    assert found.section
    assert found.offset >= 0
    return "found"


def flip(file, position, mask):
    with file.open("r+b") as stream:
        stream.seek(position)
        (byte,) = stream.read(1)
        stream.seek(position)
        stream.write(bytes([byte ^ mask]))


def check_flips(work, expected, flips):
    """Flip one byte after the other. Full verification finds each; lazy, what is read."""
    for file, position, mask in flips:
        flip(file, position, mask)
        where = (file.name, position, mask)
        assert outcome(work, "full", expected) == "found", where
        outcome(work, "lazy", expected)
        flip(file, position, mask)
    assert outcome(work, "full", expected) == "identical"


def all_flips(work):
    return [
        (file, position, mask)
        for file in files_of(work)
        for position in range(file.stat().st_size)
        for mask in (0x01, 0xFF)
    ]


def test_flipped_bytes_are_found(original, work, rng):
    flips = []
    for file in files_of(work):
        positions = rng.choice(file.stat().st_size, 40, replace=file.stat().st_size < 40)
        flips += [(file, int(position), rng.choice([0x01, 0xFF])) for position in positions]
    check_flips(work, original[1], flips)


@pytest.mark.slow
def test_every_flipped_byte_is_found(original, work):
    check_flips(work, original[1], all_flips(work))


def check_lengths(work, expected, file, lengths):
    data = file.read_bytes()
    for length in lengths:
        file.write_bytes(data[:length].ljust(length, b"\0"))
        for verify in ("full", "lazy"):
            assert outcome(work, verify, expected) == "found", (file.name, length, verify)
    file.write_bytes(data)


def boundaries(size):
    """Lengths around the parts of a file: header, arrays, table, pages, and one more than all."""
    steps = {0, 64, *range(0, size, 64), *range(0, size, 4096), size}
    near = {step + d for step in steps for d in (-1, 0, 1)}
    return sorted(n for n in near if 0 <= n <= size + 1 and n != size)


def test_another_length_is_found(original, work, rng):
    for file in files_of(work):
        size = file.stat().st_size
        lengths = boundaries(size)
        if len(lengths) > 40:
            inner = rng.choice(lengths[1:-2], 30, replace=False).tolist()
            lengths = [0, *inner, size - 1, size + 1]
        check_lengths(work, original[1], file, lengths)


@pytest.mark.slow
def test_every_other_length_is_found(original, work):
    for file in files_of(work):
        size = file.stat().st_size
        small = size < 4096
        check_lengths(
            work,
            original[1],
            file,
            [n for n in range(size) if n != size] if small else boundaries(size),
        )


def test_zeroed_pages_and_swapped_blocks_are_found(original, tmp_path):
    path = tmp_path / "large.tv"
    storage = Storage.create(path, {}, examples.FINGERPRINT)
    with storage.writer() as writer:
        writer.set_vocabulary(examples.vocabulary(), examples.FINGERPRINT)
        writer.add_segment(*examples.segment("a", features=(20_000, 20_000)))
        writer.commit()
    expected = examples.content(Storage.open(path).snapshot)
    frames = next(path.rglob("frames"))
    data = frames.read_bytes()
    size, page = blocks.BLOCK, 4096
    for at in range(0, len(data), 37 * page):
        frames.write_bytes(data[:at] + bytes(len(data[at : at + page])) + data[at + page :])
        assert outcome(path, "lazy", expected) == "found"
    swapped = data[:size] + data[2 * size : 3 * size] + data[size : 2 * size] + data[3 * size :]
    frames.write_bytes(swapped)
    with pytest.raises(IndexCorruptError, match=rf"frames\.frames', offset {size}"):
        Storage.open(path, "full")


def test_swapped_files_are_found(original, work):
    one, two = sorted(work.glob("seg-*"))
    for file in sorted(one.iterdir()):
        swap(file, two / file.name)
        for verify in ("full", "lazy"):
            assert outcome(work, verify, original[1]) == "found", file.name
        swap(file, two / file.name)
    swap(one, two)
    assert outcome(work, "lazy", original[1]) == "found"


def swap(one, two):
    aside = one.with_name("aside")
    one.rename(aside)
    two.rename(one)
    aside.rename(two)


def test_files_of_another_collection_or_an_earlier_state_are_found(original, work, tmp_path):
    other = tmp_path / "other.tv"
    examples.make(other)
    kinds = ("postings", "signatures", "words", "frames", "descriptors")
    for kind in (*kinds, "images.sqlite", "images.crc"):
        file = next(work.rglob(kind))
        data, foreign = file.read_bytes(), next(other.rglob(kind)).read_bytes()
        file.write_bytes(foreign)
        # A catalogue holds nothing but its rows: that of the same rows is the same file.
        same = kind == "images.sqlite" and foreign == data
        assert outcome(work, "lazy", original[1]) == ("identical" if same else "found"), kind
        file.write_bytes(data)
    earlier = tmp_path / "earlier.tv"
    examples.make(earlier, batches=1)
    pointer = (earlier / "CURRENT").read_bytes()
    with Storage.open(earlier).writer() as writer:
        writer.add_segment(*examples.segment("new"))
        writer.commit()
    (earlier / "CURRENT").write_bytes(pointer)  # its manifest is gone: no return to that state
    with pytest.raises(IndexCorruptError, match=r"manifest-000002\.json.*missing"):
        Storage.open(earlier)


def test_a_missing_file_is_found(original, work):
    for file in files_of(work):
        file.rename(file.with_name("aside"))
        with pytest.raises(IndexCorruptError, match="missing") as error:
            Storage.open(work)
        assert error.value.path == file
        file.with_name("aside").rename(file)
    shutil.rmtree(next(work.glob("seg-*")))
    assert outcome(work, "lazy", original[1]) == "found"


# Someone who recomputes the checksums: no longer the same content, but in bounds, or an error.


def check_in_bounds(path):
    """Read everything. What does not raise keeps the promises that kernels rely on."""
    refused = (IndexCorruptError, FormatVersionError)
    try:
        snapshot = Storage.open(path).snapshot
        examples.content(snapshot)
    except refused:
        return
    for segment in snapshot.segments:
        arrays = {
            name: section.array(name)
            for kind, section in segment.sections.items()
            for name in section.shapes
            if kind not in ("postings", "signatures")
        }
        for kind, values in (("postings", "counts"), ("signatures", "signatures")):
            section = segment.sections[kind]
            offsets, images = section.array("offsets"), section.array("images")
            assert (images < segment.n_images).all()
            assert offsets[-1] == images.size == len(section.array(values))
            assert offsets.size == snapshot.n_words + 1
            assert (np.diff(offsets.astype(np.int64)) >= 0).all()
        assert arrays["feature_offsets"][-1] == arrays["words"].size == segment.n_features
        assert (np.diff(arrays["feature_offsets"].astype(np.int64)) >= 0).all()
        assert (arrays["words"] < snapshot.n_words).all()
        assert arrays["frames"].shape == (segment.n_features, 2, 3)
        assert len(list(segment.catalogue.rows())) == segment.n_images


def section_files(work):
    return [file for file in files_of(work) if file.name != "images.sqlite" and "." not in file.name
            and file.name not in ("CURRENT", "LOCK")]  # fmt: skip


def trust(work, file):
    """Let the manifest name `file` as it is now, and CURRENT that manifest."""
    data = file.read_bytes()
    name = (work / "CURRENT").read_text().split()[0]
    manifest = json.loads(mutations.manifest_body((work / name).read_bytes()))
    entries = manifest["files"] + [f for s in manifest["segments"] for f in s["files"]]
    folders = [""] * len(manifest["files"]) + [
        f"seg-{s['uuid']}" for s in manifest["segments"] for _ in s["files"]
    ]
    for entry, folder in zip(entries, folders, strict=True):
        if work / folder / entry["name"] == file:
            entry["size"] = len(data)
            (entry["checksum"],) = struct.unpack("<I", data[-4:])
    resign_manifest(work, json.dumps(manifest).encode())


def test_forged_header_numbers_stay_in_bounds(original, work):
    for file in section_files(work):
        for offset, size in [(8, 4), (12, 4), (32, 8), (40, 8), (48, 4)]:
            for value in INTEGERS:
                data = file.read_bytes()
                forge(file, data, offset, (value % 2 ** (8 * size)).to_bytes(size, "little"))
                trust(work, file)
                check_in_bounds(work)
                file.write_bytes(data)
        trust(work, file)
    assert outcome(work, "full", original[1] | {"manifest": Storage.open(work).snapshot.manifest})


def forge(file, data, offset, replacement):
    """Replace bytes of a header; sign where the forged numbers leave a place to."""
    forged = bytearray(data)
    forged[offset : offset + len(replacement)] = replacement
    file.write_bytes(forged)
    (data_end,) = struct.unpack_from("<Q", forged, 40)
    if data_end < len(data):
        with resigned(file):
            pass


def descriptions(data):
    """Yield the description of a section with each of its numbers replaced by each of the list."""
    (size,) = struct.unpack_from("<I", data, 48)
    members = json.loads(data[64 : 64 + size])
    for array in members["arrays"]:
        for i in range(len(array["shape"])):
            old = array["shape"][i]
            for value in INTEGERS:
                array["shape"][i] = value
                yield json.dumps(members, separators=(",", ":"), sort_keys=True).encode()
            array["shape"][i] = old
        for key, values in {
            "offset": [*INTEGERS, 64, 128],
            "dtype": ["object", "uint64", "float64", "uint8", "", "<u4", None],
            "shape": [[], [1] * 9, [0, 2**62, 2**62], [True], [1.0], None, 3],
            "name": ["x", "", 3, "a/b", "images"],
        }.items():
            old = array[key]
            for value in values:
                array[key] = value
                yield json.dumps(members, separators=(",", ":"), sort_keys=True).encode()
            array[key] = old
    yield from (b"", b"[]", b"{", b"\xff", b"[" * 5000, b'{"kind":1,"kind":2}', b"9" * 5000)


def test_forged_descriptions_stay_in_bounds(original, work):
    for file in section_files(work):
        data = file.read_bytes()
        (size,) = struct.unpack_from("<I", data, 48)
        room = -(-(64 + size) // 64) * 64 - 64
        for description in descriptions(data):
            if len(description) <= room:
                file.write_bytes(data)
                with resigned(file) as forged:
                    forged[48:52] = len(description).to_bytes(4, "little")
                    forged[64 : 64 + room] = description.ljust(room, b"\0")
                trust(work, file)
                check_in_bounds(work)
        file.write_bytes(data)
        trust(work, file)


def test_forged_values_are_found(original, work):
    """A number that a kernel would use as an index, out of bounds behind a valid checksum."""
    segment = Storage.open(work).snapshot.segments[0]
    folder = work / segment.entry.folder
    for kind, name in [
        ("postings", "offsets"), ("postings", "images"), ("postings", "counts"),
        ("signatures", "offsets"), ("signatures", "images"),
        ("words", "feature_offsets"), ("words", "words"), ("frames", "frames"),
    ]:  # fmt: skip
        file = folder / kind
        data = file.read_bytes()
        spec = segment.sections[kind].specs[name]
        width = spec.dtype.itemsize
        forged = {"counts": b"\0" * width, "frames": np.float32(np.nan).tobytes()}
        for at in range(spec.begin, spec.end, width):
            file.write_bytes(data)
            with resigned(file) as changed:
                changed[at : at + width] = forged.get(name, b"\xff" * width)
            trust(work, file)
            for verify in ("full", "lazy"):
                with pytest.raises(IndexCorruptError, match=rf"{kind}\.{name}"):
                    examples.content(Storage.open(work, verify).snapshot)
            section = Storage.open(work).snapshot.segments[0].sections[kind]
            if name in ("images", "counts", "words"):
                row = (at - spec.begin) // width
                with pytest.raises(IndexCorruptError, match=rf"offset {at}:"):
                    section.rows(name, row, row + 1)
        file.write_bytes(data)
        trust(work, file)


def manifests(body):
    """Yield a manifest with each of its numbers, and other values, replaced."""
    manifest = json.loads(body)
    places = [manifest]
    while places:
        place = places.pop()
        keys = list(place) if isinstance(place, dict) else range(len(place))
        for key in keys:
            old = place[key]
            if isinstance(old, (dict, list)) and key != "settings":
                places.append(old)
            others = [*INTEGERS, None, "", [], {}, 1.5, True, "x" * 100, [0], "../CURRENT"]
            for value in others:
                place[key] = value
                yield json.dumps(manifest).encode()
            place[key] = old
        if isinstance(place, list) and place:
            place.append(place[0])
            yield json.dumps(manifest).encode()
            place.pop()
    yield from (b"", b"[]", b"{", b"\xff", b"[" * 100_000, b'{"format":1,"format":1}', b"NaN")
    yield from (b'{"format":%s}' % (b"9" * 5000), body.replace(b'"format":1', b'"format":-1'))


def check_manifests(work, bodies):
    for body in bodies:
        resign_manifest(work, body)
        check_in_bounds(work)


def all_manifests(work):
    manifest = Storage.open(work).snapshot.manifest
    return list(manifests(mutations.manifest_body(manifest.encode())))


def test_forged_manifests_stay_in_bounds(original, work, rng):
    bodies = all_manifests(work)
    chosen = rng.choice(len(bodies) - 9, 500, replace=False)
    check_manifests(work, [bodies[i] for i in chosen] + bodies[-9:])


def test_forged_counts_allocate_nothing(work):
    """A segment without sections may claim any number of images: believe its catalogue."""
    storage = Storage.open(work)
    with storage.writer() as writer:
        writer.add_segment({}, [CatalogueRow("alone")])
        manifest = writer.commit().manifest
    segments = list(manifest.segments)
    segments[-1] = dataclasses.replace(segments[-1], n_images=2**32 - 1)
    n_images = sum(segment.n_images for segment in segments)
    forged = dataclasses.replace(manifest, segments=tuple(segments), n_images=n_images)
    resign_manifest(work, mutations.manifest_body(forged.encode()))
    tracemalloc.start()
    with pytest.raises(IndexCorruptError, match="images 0 to 4294967294"):
        Storage.open(work, "full")
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


@pytest.mark.slow
def test_all_forged_manifests_stay_in_bounds(original, work):
    check_manifests(work, all_manifests(work))


# Forged catalogues.


def forge_catalogue(work, change):
    """Change the first segment's catalogue, and sign it and its checksums."""
    storage = Storage.open(work)
    entry = storage.snapshot.segments[0].entry
    folder = work / entry.folder
    file = folder / "images.sqlite"
    change(file)
    data = file.read_bytes()
    images = next(f for f in entry.files if f.kind == "images")
    table = blocks.table_of(memoryview(data), images.uuid)
    (folder / "images.crc").unlink()
    checksums = write_section(
        storage.directory, f"{entry.folder}/images.crc", "checksums", {"crc": table}
    )
    manifest = json.loads(mutations.manifest_body(storage.snapshot.manifest.encode()))
    for forged in manifest["segments"][0]["files"]:
        if forged["kind"] == "images":
            forged["size"] = len(data)
            forged["checksum"] = blocks.root(table.tobytes(), images.uuid)
        if forged["kind"] == "checksums":
            forged.update(checksums.to_json())
    resign_manifest(work, json.dumps(manifest).encode())


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE VIEW v AS SELECT 1",
        "CREATE TRIGGER t AFTER INSERT ON images BEGIN SELECT 1; END",
        "CREATE TABLE other (x)",
        "CREATE INDEX i ON images (path)",
        "DROP TABLE images",
        "ALTER TABLE images ADD COLUMN x",
        "DELETE FROM images WHERE number = 1",
        "INSERT INTO images VALUES (3, 'x', NULL, 1, 1, 1, 1, 0, 'ok', '{}')",
        "INSERT INTO images VALUES (-1, 'x', NULL, 1, 1, 1, 1, 0, 'ok', '{}')",
        "UPDATE images SET number = number + 10",
        "UPDATE images SET n_features = n_features + 1",
        "UPDATE images SET n_features = 4 - n_features",
        "UPDATE images SET n_features = -1",
        "UPDATE images SET n_features = 9223372036854775807",
        "UPDATE images SET n_features = 'many'",
        "UPDATE images SET width = 1.5",
        "UPDATE images SET height = -1",
        "UPDATE images SET id = x'ff' || number",
        "UPDATE images SET id = CAST(x'ff' || number AS TEXT)",
        "UPDATE images SET path = x'00'",
        "UPDATE images SET metadata = '{'",
        "UPDATE images SET metadata = '[]'",
        "UPDATE images SET metadata = replace(hex(zeroblob(50000)), '0', '[')",
        "UPDATE images SET metadata = '{\"a\":NaN}'",
    ],
)
def test_a_forged_catalogue_is_found(work, sql):
    def change(file):
        with closing(sqlite3.connect(file)) as connection:
            connection.execute(sql)
            connection.commit()

    forge_catalogue(work, change)
    for verify in ("lazy", "full"):
        with pytest.raises(IndexCorruptError, match="images"):
            examples.content(Storage.open(work, verify).snapshot)


@pytest.mark.parametrize("content", [b"", b"\0" * 4096, b"SQLite format 3\0", b"x" * 12288])
def test_what_is_no_database_is_found(work, content):
    forge_catalogue(work, lambda file: file.write_bytes(content or b"\n"))
    with pytest.raises(IndexCorruptError, match="images"):
        examples.content(Storage.open(work).snapshot)


def test_a_schema_that_runs_code_is_found(work):
    """A definition that names a virtual table is refused by its text; nothing of it is run."""

    def change(file):
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("PRAGMA writable_schema = ON")
            connection.execute(
                "UPDATE sqlite_master SET sql = 'CREATE VIRTUAL TABLE images USING fts5(x)' "
                "WHERE type = 'table'"
            )
            connection.commit()

    forge_catalogue(work, change)
    with pytest.raises(IndexCorruptError, match="images"):
        examples.content(Storage.open(work).snapshot)


def check_damaged_databases(original, tmp_path, rng, trials):
    for _ in range(trials):
        work = tmp_path / "damaged.tv"
        shutil.copytree(original[0], work)
        n = int(rng.integers(1, 20))

        def change(file, n=n):
            data = np.frombuffer(file.read_bytes(), np.uint8).copy()
            # Where SQLite keeps its structure: the heads of its pages, and the cells at their ends.
            page = rng.integers(0, data.size // 4096, n) * 4096
            within = np.where(
                rng.random(n) < 0.5, rng.integers(0, 120, n), rng.integers(3700, 4096, n)
            )
            data[page + within] = rng.integers(0, 256, n)
            file.write_bytes(data.tobytes())

        forge_catalogue(work, change)
        check_in_bounds(work)
        shutil.rmtree(work)


def test_damaged_databases_stay_in_bounds(original, tmp_path, rng):
    check_damaged_databases(original, tmp_path, rng, 200)


@pytest.mark.slow
def test_many_damaged_databases_stay_in_bounds(original, tmp_path, rng):
    check_damaged_databases(original, tmp_path, rng, 2000)
