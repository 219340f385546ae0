# SPDX-License-Identifier: Apache-2.0
"""An index in a file: the same bits back, or an error that says where the file is wrong."""

import contextlib
import json
import os
import struct
import subprocess
import sys
import textwrap
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest

from storage_mutations import resigned
from trouvaille._sections import Encoding, blocks
from trouvaille.errors import FormatVersionError, IndexCorruptError
from trouvaille.index import InvertedFile, _file

METADATA = {"p": 0.1, "blocks": [{"storage": "counts"}], "first_id": None, "name": "é"}
MASKS = (0x01, 0x80, 0xFF)
NUMBERS = (0, 1, -1, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1)


def some_arrays():
    return {
        "block_000001_stream": np.arange(100, dtype=np.uint16),
        "block_000001_starts": np.array([0, 3, 100], np.uint32),
        "block_000002_stream": np.empty(0, np.uint16),
        "idf": np.array([0.1, np.inf, -0.0]),
        "rows": np.arange(6, dtype=np.int64).reshape(2, 3),
    }


def assert_same(found, expected):
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes()
        assert not found[name].flags.writeable
        assert found[name].ctypes.data % 64 == 0


@pytest.fixture(params=[True, False], ids=["mapped", "copied"])
def mmap(request):
    return request.param


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "small.index"
    _file.write(path, METADATA, some_arrays())
    return path


def test_what_is_written_is_read(small, mmap):
    metadata, arrays = _file.read(small, mmap)
    assert metadata == METADATA
    assert_same(arrays, some_arrays())


def test_nothing_is_written_and_read(tmp_path, mmap):
    _file.write(tmp_path / "x", {}, {})
    assert _file.read(tmp_path / "x", mmap) == ({}, {})


def test_more_arrays_than_a_description_holds(tmp_path, mmap, rng):
    arrays = {
        f"block_{i:06}_{name}": rng.integers(0, 2**16, i, dtype=np.uint16)
        for i in range(400)
        for name in ("stream", "starts", "words")
    }
    _file.write(tmp_path / "x", METADATA, arrays)
    metadata, found = _file.read(str(tmp_path / "x"), mmap)
    assert metadata == METADATA
    assert_same(found, arrays)
    assert (tmp_path / "x").stat().st_size > 2 * blocks.BLOCK


def test_arrays_of_any_layout(tmp_path, mmap):
    matrix = np.arange(12, dtype=np.int32).reshape(3, 4)
    given = {"turned": matrix.T, "strided": matrix[::2, ::-1], "swapped": matrix.astype(">i4")}
    _file.write(tmp_path / "x", {}, given)
    for name, array in _file.read(tmp_path / "x", mmap)[1].items():
        np.testing.assert_array_equal(array, given[name])
        assert array.flags.c_contiguous


def test_mapped_arrays_are_views_of_the_file(small):
    _, arrays = _file.read(small)
    base = arrays["idf"].base
    assert all(array.base is base for array in arrays.values())
    assert base[:] == small.read_bytes()


def test_what_cannot_be_written_leaves_nothing(tmp_path):
    for metadata, arrays, error in [
        ({"x": np.nan}, {}, ValueError),
        ({"x": (1,)}, {}, ValueError),
        ({1: 1}, {}, ValueError),
        ({}, {"Name": np.zeros(1)}, ValueError),
        ({}, {"x": np.zeros(1, bool)}, TypeError),
        ({}, {"x": np.zeros(())}, TypeError),
        ({}, {"x": np.array(["a"])}, TypeError),
        ({"x": "x" * _file.MAX_CONTENTS}, {}, ValueError),
    ]:
        with pytest.raises(error):
            _file.write(tmp_path / "x", metadata, arrays)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_file(small, monkeypatch):
    before = small.read_bytes()

    def fail(*_):
        raise OSError(28, "No space left on device")

    for owner, name in ((os, "fsync"), (Path, "replace")):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, fail)
            with pytest.raises(OSError, match="No space"):
                _file.write(small, {}, {})
        assert small.read_bytes() == before
        assert list(small.parent.iterdir()) == [small]


@pytest.mark.parametrize("step", ["fsync", "rename"])
def test_a_killed_process_leaves_the_old_file(small, step):
    before = small.read_bytes()
    script = f"""
        import os, pathlib, signal
        import numpy as np
        from trouvaille.index import _file

        def killed(*_):
            os.kill(os.getpid(), signal.SIGKILL)

        if {step == "fsync"}:
            os.fsync = killed
        else:
            pathlib.Path.replace = killed
        _file.write({str(small)!r}, {{}}, {{"x": np.zeros(100000)}})
    """
    assert run(script).returncode == -9
    assert small.read_bytes() == before
    _file.write(small, {"new": 1}, {})
    assert _file.read(small)[0] == {"new": 1}


def run(script, **options):
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=120,
        **options,
    )


# Damage.


def outcome(path, mmap):
    with pytest.raises(IndexCorruptError) as caught:
        _file.read(path, mmap)
    error = caught.value
    assert error.path == path
    assert error.section.startswith("inverted_file.")
    assert 0 <= error.offset <= max(path.stat().st_size, 1)
    return error


def test_every_flipped_byte_is_found(small, mmap):
    data = small.read_bytes()
    for position in range(len(data)):
        for mask in MASKS:
            small.write_bytes(changed(data, position, mask))
            outcome(small, mmap)


def changed(data, position, mask):
    return data[:position] + bytes([data[position] ^ mask]) + data[position + 1 :]


def test_every_other_length_is_found(small, mmap):
    data = small.read_bytes()
    for length in range(len(data)):
        small.write_bytes(data[:length])
        outcome(small, mmap)
    for more in (b"\0", b"\0" * 64, data):
        small.write_bytes(data + more)
        outcome(small, mmap)


@pytest.fixture
def large(tmp_path, rng):
    path = tmp_path / "large.index"
    arrays = {
        f"block_00000{i}_stream": rng.integers(0, 2**16, 3 * 2**15, dtype=np.uint16)
        for i in range(3)
    }
    _file.write(path, METADATA, arrays)
    return path


def test_the_error_names_the_array_and_the_place(large, mmap, rng):
    data = large.read_bytes()
    _, arrays = _file.read(large)
    start = data.index(arrays["block_000000_stream"].tobytes())
    for i in range(3):
        position = start + i * 3 * 2**16 + 2**17 - 64  # within the array's second or third block
        large.write_bytes(changed(data, position, 1))
        error = outcome(large, mmap)
        assert error.section == f"inverted_file.block_00000{i}_stream"
        assert error.offset == position // blocks.BLOCK * blocks.BLOCK


def test_moved_blocks_are_found(large, mmap):
    data = large.read_bytes()
    n = blocks.n_blocks(len(data)) - 2
    for first in range(n):
        for second in range(first + 1, n):
            one, two = (slice(i * blocks.BLOCK, (i + 1) * blocks.BLOCK) for i in (first, second))
            swapped = bytearray(data)
            swapped[one], swapped[two] = data[two], data[one]
            large.write_bytes(swapped)
            outcome(large, mmap)


def test_zeroed_pages_and_another_files_are_found(large, mmap, tmp_path):
    data = large.read_bytes()
    _file.write(tmp_path / "twin", METADATA, _file.read(large)[1])
    twin = (tmp_path / "twin").read_bytes()
    assert len(twin) == len(data)
    for page in range(0, len(data) - 4096, 4096):
        for other in (bytes(4096), twin[page : page + 4096]):
            if other != data[page : page + 4096]:
                large.write_bytes(data[:page] + other + data[page + 4096 :])
                outcome(large, mmap)
                break


def test_no_other_kind_of_file_is_read(tmp_path, mmap):
    path = tmp_path / "x"
    write_sections(path, "postings", {"contents": np.zeros(2, np.uint8)}, {"version": 1})
    assert "of kind 'postings'" in outcome(path, mmap).reason
    for content in (b"", b"TVWORDS\n" + bytes(100), b"x" * 10_000):
        path.write_bytes(content)
        outcome(path, mmap)
    with pytest.raises(IndexCorruptError, match="regular"):
        _file.read(tmp_path, mmap)
    with pytest.raises(FileNotFoundError):
        _file.read(tmp_path / "nothing", mmap)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names")
def test_a_pipe_is_refused_at_once(tmp_path, mmap):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(IndexCorruptError, match="regular"):
        _file.read(tmp_path / "pipe", mmap)


def test_newer_versions_are_refused_as_such(small, mmap, tmp_path):
    both = {"contents": np.zeros(0, np.uint8), "data": np.zeros(0, np.uint8)}
    write_sections(tmp_path / "newer", "inverted_file", both, {"version": 2, "more": []})
    with pytest.raises(FormatVersionError, match="version 2"):
        _file.read(tmp_path / "newer", mmap)
    with resigned(small) as data:
        struct.pack_into("<I", data, 8, 2)
    with pytest.raises(FormatVersionError, match="format 2"):
        _file.read(small, mmap)


def write_sections(path, kind, arrays, metadata):
    uuid = UUID(int=1)
    path.write_bytes(b"".join(Encoding(kind, arrays, metadata, uuid).parts()))


# What an attacker signs.


@pytest.mark.parametrize(
    "metadata", [{}, {"version": 0}, {"version": None}, {"version": "1"}, {"version": [2]}]
)
def test_versions_that_are_none(tmp_path, mmap, metadata):
    both = {"contents": np.zeros(0, np.uint8), "data": np.zeros(0, np.uint8)}
    write_sections(tmp_path / "x", "inverted_file", both, metadata)
    assert outcome(tmp_path / "x", mmap).section == "inverted_file.header"


@pytest.mark.parametrize(
    "arrays",
    [
        {},
        {"contents": np.zeros(1, np.uint8)},
        {"contents": np.zeros(1, np.uint8), "data": np.zeros(64, np.uint16)},
        {"contents": np.zeros(1, np.int8), "data": np.zeros(64, np.uint8)},
        {"contents": np.zeros((1, 1), np.uint8), "data": np.zeros(64, np.uint8)},
        {"data": np.zeros(64, np.uint8), "contents": np.zeros(1, np.uint8)},
        {"contents": np.zeros(1, np.uint8), "data": np.zeros(64, np.uint8), "x": np.zeros(1)},
    ],
)
def test_other_arrays_are_refused(tmp_path, mmap, arrays):
    write_sections(tmp_path / "x", "inverted_file", arrays, {"version": 1})
    assert outcome(tmp_path / "x", mmap).section == "inverted_file.header"


def forged(path, contents, size=256):
    both = {"contents": np.frombuffer(contents, np.uint8), "data": np.zeros(size, np.uint8)}
    write_sections(path, "inverted_file", both, {"version": 1})


@pytest.mark.parametrize(
    "contents",
    [
        *(b"", b"\xff", b"[]", b"{}", b"null", b"[" * 100_000, b'{"metadata":{},"arrays":{}}'),
        *(b'{"metadata":[],"arrays":[]}', b'{"metadata":{"x":NaN},"arrays":[]}'),
        *(b'{"metadata":{},"arrays":[],"x":1}', b'{"metadata":{},"arrays":[],"arrays":[]}'),
        b'{"metadata":{"x":' + b"9" * 5000 + b'},"arrays":[]}',
    ],
)
def test_contents_that_are_none(tmp_path, mmap, contents):
    forged(tmp_path / "x", contents)
    assert outcome(tmp_path / "x", mmap).section == "inverted_file.contents"


def array(name="x", dtype="uint16", shape=(4,), offset=0):
    return {"name": name, "dtype": dtype, "shape": list(shape), "offset": offset}


@pytest.mark.parametrize("number", [*NUMBERS, True, 0.5, "1", None, 64, 65, 128, 192, 256, 10**30])
def test_forged_places_stay_in_bounds(tmp_path, mmap, number):
    for first in (array(offset=number), array(shape=[number]), array(shape=[0, number])):
        for others in ([], [array("y", offset=64)]):
            members = {"metadata": {}, "arrays": [first, *others]}
            forged(tmp_path / "x", json.dumps(members).encode())
            with contextlib.suppress(IndexCorruptError):
                _, arrays = _file.read(tmp_path / "x", mmap)
                assert sum(found.nbytes for found in arrays.values()) <= 256
                assert not any(found.any() for found in arrays.values())


def test_forged_arrays_are_refused(tmp_path, mmap):
    for arrays in (
        [array(), array()],
        [array(shape=[100]), array("y", offset=64)],
        [array("y", offset=64), array()],
        [array(dtype="object")],
        [array(dtype=">u2")],
        [array("../x")],
        [array(shape=[1] * 9)],
        [array(shape=[])],
        [[]],
        [{"name": "x"}],
    ):
        forged(tmp_path / "x", json.dumps({"metadata": {}, "arrays": arrays}).encode())
        outcome(tmp_path / "x", mmap)


def test_forged_heads_stay_in_bounds(small, mmap):
    original = small.read_bytes()
    for offset, form in ((12, "<I"), (32, "<Q"), (40, "<Q"), (48, "<I")):
        for number in {
            n % 256 ** struct.calcsize(form) for n in (*NUMBERS, 64, 128, len(original))
        }:
            head = bytearray(original)
            struct.pack_into(form, head, offset, number % 256 ** struct.calcsize(form))
            if head != original:
                small.write_bytes(signed(bytes(head), len(original) - 8))
                outcome(small, mmap)


def signed(data, end):
    """Return the file of one block, with the checksums of its data, which end there."""
    uuid = UUID(bytes=data[16:32])
    table = blocks.table_of(memoryview(data[:end]), uuid).tobytes()
    return data[:end] + table + struct.pack("<I", blocks.root(table, uuid))


# The index itself.

OPTIONS = [
    {},
    {"metric": "cosine", "weighting": "tfidf", "forward": True},
    {"weighting": "bm25", "idf": "frozen", "k1": 1.2},
    {"metric": "lp", "p": 0.7, "norm": "l1", "values": "float32"},
    {"metric": "hellinger", "burstiness": "sqrt", "values": "float16"},
    {"values": "uint8", "norm": "l2"},
    {"metric": "intersection", "weighting": "tfidf_smooth", "idf": np.linspace(0, 2, 30)},
]


def counts(rng, n=40, num_words=30):
    return rng.poisson(0.3, (n, num_words)).astype(float)


def an_index(rng, **options):
    """Return an index of two blocks at least, with removed documents."""
    index = InvertedFile(30, **options)
    index.add(counts(rng))
    index.search(counts(rng, 1))
    index.add(counts(rng, 9), ids=range(100, 109))
    index.remove([3, 105])
    return index


def assert_equal(one, other, queries):
    for options in ({}, {"mask": np.arange(0, 110, 2)}):
        for found, expected in zip(
            one.search(queries, 60, **options), other.search(queries, 60, **options), strict=True
        ):
            np.testing.assert_array_equal(found, expected)
    for found, expected in zip(
        one.range_search(queries, 0.5), other.range_search(queries, 0.5), strict=True
    ):
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(one.ids, other.ids)
    np.testing.assert_array_equal(one.document_frequencies, other.document_frequencies)
    assert one.options == other.options
    assert (one.to_csr() != other.to_csr()).nnz == 0


def lists_of(block, arrays, number):
    """Yield the words of a block and their postings, as docs/format.md says and no other code."""
    n, step = block["n_documents"], block["step"]
    starts, stream = (arrays[f"block_{number:06}_{name}"] for name in ("starts", "stream"))
    words = arrays.get(f"block_{number:06}_words", range(len(starts) - 1))
    assert not stream[starts[-1] :].any()
    assert len(stream) - starts[-1] == 32
    for i, word in enumerate(words):
        units = stream[starts[i] : starts[i + 1]]
        if len(units):
            decode = count_list if block["storage"] == "counts" else value_list
            documents, values = decode(units, n, block["storage"], step)
            order = np.argsort(documents, kind="stable")
            yield int(word), documents[order], values[order].astype(np.float32)


def documents_of(units, n, size, limit=1):
    """Return the documents of the set that begins the units, and the units after it."""
    u = 4 * -(-n // 64)
    if size <= limit * u:
        return units[:size].astype(int), units[size:]
    bits = np.unpackbits(units[:u].view(np.uint8), bitorder="little")
    return np.flatnonzero(bits), units[u:]


def count_list(units, n, *_):
    r, units = int(units[0]), units[1:]
    if r == 0:
        return units.astype(int), np.ones(len(units))
    pairs, units = units[: 2 * r].reshape(r, 2), units[2 * r :]
    documents, values = [], []
    for value, size in pairs.astype(int):
        found, units = documents_of(units, n, size + 1)
        documents.append(found)
        values.append(np.full(size + 1, value))
    assert len(units) == 0
    return np.concatenate(documents), np.concatenate(values)


def value_list(units, n, storage, step):
    flags, rest, u = int(units[0]), len(units) - 1, 4 * -(-n // 64)
    half_units = {"float32": 4, "float16": 2, "uint8": 1}[storage]
    size = (2 * (rest - u) // half_units) if flags & 1 else 2 * rest // (2 + half_units)
    size -= size % 2 != flags >> 1
    documents, units = documents_of(units[1:], n, 8 * u + 1 if flags & 1 else size, limit=8)
    dtype = {"float32": "<f4", "float16": "<f2", "uint8": "u1"}[storage]
    values = np.frombuffer(units.tobytes(), dtype)[:size].astype(np.float32)
    return documents, values * np.float32(step) if storage == "uint8" else values


@pytest.mark.parametrize("num_words", [30, 5000])
@pytest.mark.parametrize("values", ["auto", "float32", "float16", "uint8"])
def test_the_file_is_as_documented(tmp_path, rng, values, num_words):
    X = np.zeros((300, num_words))
    X[:, rng.choice(num_words, 30, replace=False)] = rng.poisson(np.linspace(0, 3, 30), (300, 30))
    index = InvertedFile.from_csr(X, values=values)
    index.save(tmp_path / "x")
    metadata, arrays = _file.read(tmp_path / "x")
    begin, seen = 0, np.zeros(X.shape, np.float32)
    for number, block in enumerate(metadata["blocks"], start=1):
        for word, documents, amounts in lists_of(block, arrays, number):
            seen[begin + documents, word] = amounts
        begin += block["n_documents"]
    assert begin == 300
    np.testing.assert_array_equal(seen, index.to_csr().toarray())
    assert ("block_000001_words" in arrays) == (num_words == 5000)


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "-".join(options) or "plain")
def test_a_loaded_index_answers_alike(tmp_path, mmap, rng, options):
    index, path = an_index(rng, **options), tmp_path / "x.index"
    index.save(path)
    loaded = InvertedFile.load(path, mmap=mmap)
    queries = counts(rng, 5)
    assert_equal(loaded, index, queries)
    before = path.read_bytes()
    more = counts(rng, 7)
    for each in (index, loaded):
        each.add(more)
        each.remove([0, 101])
    assert_equal(loaded, index, queries)
    for each in (index, loaded):
        each.optimize()
    assert_equal(loaded, index, queries)
    assert path.read_bytes() == before
    loaded.save(path)  # over the file that it has mapped
    assert_equal(InvertedFile.load(path, mmap=mmap), loaded, queries)


def test_an_empty_index(tmp_path, mmap, rng):
    InvertedFile(30, weighting="tfidf", idf="frozen").save(tmp_path / "x")
    loaded = InvertedFile.load(tmp_path / "x", mmap=mmap)
    assert len(loaded) == 0
    rows = counts(rng)
    loaded.add(rows)
    index = InvertedFile.from_csr(rows, weighting="tfidf", idf="frozen")
    assert_equal(loaded, index, rows[:3])


def test_searching_leaves_the_file_alone(tmp_path, rng):
    path = tmp_path / "x"
    an_index(rng, weighting="tfidf").save(path)
    path.chmod(0o444)
    before, status = path.read_bytes(), path.stat()
    loaded = InvertedFile.load(path)
    loaded.search(counts(rng, 5))
    loaded.postings(1)
    loaded.add(counts(rng, 2))
    loaded.search(counts(rng, 5))
    assert path.read_bytes() == before
    assert path.stat().st_mtime_ns == status.st_mtime_ns
    assert list(tmp_path.iterdir()) == [path]


def test_a_removed_or_replaced_file_stays_mapped(tmp_path, rng):
    path = tmp_path / "x"
    index, queries = an_index(rng), counts(rng, 3)
    index.save(path)
    loaded = InvertedFile.load(path)
    an_index(rng).save(path)
    assert_equal(loaded, index, queries)
    path.unlink()
    assert_equal(loaded, index, queries)


def test_two_processes_read_the_same_map(tmp_path, rng):
    path = tmp_path / "x"
    index = an_index(rng, metric="cosine", weighting="tfidf")
    index.save(path)
    queries = counts(rng, 4)
    np.save(tmp_path / "queries.npy", queries)
    script = f"""
        import sys
        import numpy as np
        from trouvaille.index import InvertedFile

        index = InvertedFile.load({str(path)!r})
        found = index.search(np.load({str(tmp_path / "queries.npy")!r}), 60)
        sys.stdout.write(found.scores.tobytes().hex() + " " + found.ids.tobytes().hex())
    """
    loaded = InvertedFile.load(path)
    expected = loaded.search(queries, 60)
    result = run(script)
    assert result.returncode == 0, result.stderr
    scores, ids = (bytes.fromhex(part) for part in result.stdout.split())
    assert scores == expected.scores.tobytes()
    assert ids == expected.ids.tobytes()
    assert_equal(loaded, index, queries)


def test_flips_in_a_saved_index_are_found(tmp_path, mmap, rng):
    path = tmp_path / "x"
    an_index(rng).save(path)
    data = path.read_bytes()
    for position in rng.choice(len(data), 300):
        path.write_bytes(changed(data, int(position), int(rng.choice(MASKS))))
        with pytest.raises(IndexCorruptError):
            InvertedFile.load(path, mmap=mmap)


def use(index, rng):
    """Do all that reads the arrays of an index."""
    queries = counts(rng, 3, index.num_words)
    index.search(queries, 60)
    index.search(queries, 3, mask=np.arange(0, 40, 2))
    index.range_search(queries, 0.5)
    for word in range(index.num_words):
        index.postings(word)
    index.to_csr()
    index.stats()
    index.add(np.minimum(counts(rng, 2, index.num_words), 1), ids=[1000, 1001])
    index.remove(index.ids[:1])
    index.optimize()
    index.search(queries, 60)


def check_forged(path, metadata, arrays, rng):
    """Write what an attacker may sign; it is refused as corrupt, or used without harm."""
    _file.write(path, metadata, arrays)
    try:
        index = InvertedFile.load(path)
    except IndexCorruptError:
        return "refused"
    use(index, rng)
    return "used"


@pytest.mark.parametrize("options", OPTIONS[:6], ids=lambda options: "-".join(options) or "plain")
def test_forged_numbers_are_refused_or_in_bounds(tmp_path, rng, options):
    an_index(rng, **options).save(tmp_path / "x")
    metadata, arrays = _file.read(tmp_path / "x", mmap=False)
    seen = set()
    for name, array in arrays.items():
        for place in {0, 1, len(array) // 2, len(array) - 1} & set(range(len(array))):
            for number in NUMBERS:
                forged = array.copy()
                forged.view(f"u{array.itemsize}")[place] = number % 256**array.itemsize
                seen.add(check_forged(tmp_path / "y", metadata, arrays | {name: forged}, rng))
    assert "refused" in seen


@pytest.mark.parametrize(
    "runs",
    [
        [(1, [5]), (2, [5])],
        [(1, [5, 6]), (2, [7]), (9, [6])],
        [(1, range(20)), (2, [39, 19])],
        [(1, [3]), (2, range(2, 20))],
        [(count, range(40)) for count in range(1, 1000)],
    ],
)
def test_a_document_with_two_counts_of_a_word_is_refused(tmp_path, rng, runs):
    index = InvertedFile.from_csr(counts(rng))
    index.save(tmp_path / "x")
    metadata, _ = _file.read(tmp_path / "x", mmap=False)
    listed = [len(runs), *(n for count, set_ in runs for n in (count, len(set_) - 1))]
    for _, documents in runs:
        bitmap = sum(1 << document for document in documents).to_bytes(8, "little")
        listed += np.frombuffer(bitmap, "<u2").tolist() if len(documents) > 4 else documents
    starts = np.full(31, len(listed), np.uint32)
    starts[0] = 0  # the first word has the list, the others have none
    forged = {
        "block_000001_starts": starts,
        "block_000001_stream": np.array([*listed, *[0] * 32], np.uint16),
    }
    metadata["largest"] = 1000.0
    assert check_forged(tmp_path / "y", metadata, forged, rng) == "refused"


def test_forged_arrays_of_an_index_are_refused(tmp_path, rng):
    an_index(rng, forward=True, weighting="tfidf", idf="frozen").save(tmp_path / "x")
    metadata, arrays = _file.read(tmp_path / "x", mmap=False)
    for name, array in arrays.items():
        rest = {key: other for key, other in arrays.items() if key != name}
        for other in (array[:-1], array[:0], np.append(array, array[-1:]), array[:, None]):
            assert check_forged(tmp_path / "y", metadata, rest | {name: other}, rng) == "refused"
        for dtype in ("uint8", "float32", "float64", "int64", "uint16"):
            if dtype != array.dtype:
                wrong = rest | {name: array.astype(dtype)}
                assert check_forged(tmp_path / "y", metadata, wrong, rng) == "refused"
        # Whether a document was removed is the only thing that may be left out.
        missing = check_forged(tmp_path / "y", metadata, rest, rng)
        assert missing == ("used" if name.startswith("alive") else "refused")
    unknown = arrays | {"block_000099_stream": np.zeros(1, np.uint16)}
    assert check_forged(tmp_path / "y", metadata, unknown, rng) == "refused"


def variants(value):
    """Yield plain values that are not quite `value`."""
    yield from (None, True, "", [], {}, 0.5, *NUMBERS, 10**30)
    if isinstance(value, dict):
        for key in value:
            yield {name: other for name, other in value.items() if name != key}
            for other in variants(value[key]):
                yield value | {key: other}
        yield value | {"more": 1}
    if isinstance(value, list):
        yield value[:-1]
        yield [*value, *value]
        for i, member in enumerate(value):
            for other in variants(member):
                yield [*value[:i], other, *value[i + 1 :]]


def test_forged_metadata_are_refused_or_in_bounds(tmp_path, rng):
    # Not "following": that takes 8 bytes for each of up to 2^32 words, whoever says so.
    an_index(rng, weighting="tfidf", idf="frozen").save(tmp_path / "x")
    metadata, arrays = _file.read(tmp_path / "x", mmap=False)
    outcomes = [
        check_forged(tmp_path / "y", forged, arrays, rng)
        for forged in variants(metadata)
        if isinstance(forged, dict)
    ]
    assert outcomes.count("refused") > len(outcomes) / 2


@pytest.mark.parametrize(
    "forged",
    [
        {"metric": "hellinger", "norm": "l1"},
        {"metric": "intersection", "norm": "l1"},
        {"weighting": "bm25"},
        {"burstiness": "sqrt"},
        {"burstiness": "intra"},
    ],
)
def test_forged_options_that_exclude_the_values_are_refused(tmp_path, rng, forged):
    InvertedFile.from_csr(-rng.random((9, 30))).save(tmp_path / "x")
    metadata, arrays = _file.read(tmp_path / "x", mmap=False)
    metadata["options"] |= forged
    assert check_forged(tmp_path / "y", metadata, arrays, rng) == "refused"
