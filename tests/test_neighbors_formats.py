# SPDX-License-Identifier: Apache-2.0

import struct

import numpy as np
import pytest

from trouvaille.neighbors import read_vectors, write_vectors

KINDS = {
    "fvecs": np.float32,
    "ivecs": np.int32,
    "bvecs": np.uint8,
    "fbin": np.float32,
    "ibin": np.int32,
    "u8bin": np.uint8,
    "i8bin": np.int8,
}


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (300, 128)])
def test_what_is_written_is_read(rng, tmp_path, kind, shape, mmap):
    X = rng.integers(0, 127, shape).astype(KINDS[kind])
    write_vectors(tmp_path / f"x.{kind}", X.astype(float))  # of another dtype: converted
    found = read_vectors(tmp_path / f"x.{kind}", mmap=mmap)
    assert found.dtype == KINDS[kind]
    np.testing.assert_array_equal(found, X)


def test_bytes_are_those_of_the_formats(tmp_path):
    X = np.array([[1, 2], [3, 4]])
    write_vectors(tmp_path / "x.fvecs", X)
    assert (tmp_path / "x.fvecs").read_bytes() == struct.pack("<iffiff", 2, 1, 2, 2, 3, 4)
    write_vectors(tmp_path / "x.bvecs", X)
    assert (tmp_path / "x.bvecs").read_bytes() == struct.pack("<iBBiBB", 2, 1, 2, 2, 3, 4)
    write_vectors(tmp_path / "x.u8bin", X)
    assert (tmp_path / "x.u8bin").read_bytes() == struct.pack("<IIBBBB", 2, 2, 1, 2, 3, 4)


def test_no_rows(tmp_path):
    with pytest.raises(ValueError, match="a row or more"):
        write_vectors(tmp_path / "x.fvecs", np.empty((0, 4)))
    write_vectors(tmp_path / "x.fbin", np.empty((0, 4)))
    assert read_vectors(tmp_path / "x.fbin").shape == (0, 4)


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_file_that_is_cut_short_is_refused(rng, tmp_path, kind):
    path = tmp_path / f"x.{kind}"
    write_vectors(path, rng.integers(0, 127, (4, 3)))
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        if kind.endswith("vecs") and size and size % (len(whole) // 4) == 0:
            assert len(read_vectors(path)) == size // (len(whole) // 4)  # whole rows
        else:
            with pytest.raises(ValueError, match=r"x\."):
                read_vectors(path)


def test_rows_of_other_lengths_are_refused(tmp_path):
    path = tmp_path / "x.bvecs"
    path.write_bytes(struct.pack("<iBBiB", 2, 1, 2, 1, 3) + b"\0")
    with pytest.raises(ValueError, match="row 1"):
        read_vectors(path)
    path.write_bytes(struct.pack("<i", -1))
    with pytest.raises(ValueError, match="cut short"):
        read_vectors(path)


def test_other_names_and_numbers_are_refused(tmp_path):
    with pytest.raises(ValueError, match="must end in"):
        read_vectors(tmp_path / "x.npy")
    with pytest.raises(FileNotFoundError):
        read_vectors(tmp_path / "x.fvecs")
    with pytest.raises(ValueError, match="X"):
        write_vectors(tmp_path / "x.bvecs", [[256]])
    with pytest.raises(ValueError, match="column"):
        write_vectors(tmp_path / "x.fvecs", np.empty((3, 0)))
    assert list(tmp_path.iterdir()) == []
