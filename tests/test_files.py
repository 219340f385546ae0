# SPDX-License-Identifier: Apache-2.0
"""Files that are replaced whole or not at all."""

import errno
import os
import signal
import stat
import subprocess
import sys

import pytest

from trouvaille import _files

WRITER = """
import pathlib, sys, time
from trouvaille import _files

def parts():
    yield bytes(1 << 20)
    print("begun", flush=True)
    time.sleep(60)

_files.replace(pathlib.Path(sys.argv[1]), parts())
"""


@pytest.fixture(params=[True, False], ids=["unnamed", "named"])
def unnamed(request, monkeypatch):
    """Whether files have no name while they are written."""
    if not request.param:
        monkeypatch.setattr(_files, "_opened_without_name", lambda folder: None)
    return request.param


def test_a_file_is_replaced(tmp_path, unnamed):
    path = tmp_path / "file"
    for content in (b"", b"one", b"another"):
        _files.replace(path, [content[:2], content[2:]])
        assert path.read_bytes() == content
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_leaves_the_old_file_alone(tmp_path, unnamed):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def parts():
        yield b"new"
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        _files.replace(path, parts())
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(FileNotFoundError):
        _files.replace(tmp_path / "none" / "file", [b""])
    if os.geteuid() != 0:  # which no permission holds back
        tmp_path.chmod(0o500)
        with pytest.raises(PermissionError):
            _files.replace(path, [b"new"])
        tmp_path.chmod(0o700)


def test_a_file_is_replaced_where_links_are_forbidden(tmp_path, monkeypatch):
    def forbidden(*args, **options):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "link", forbidden)
    path = tmp_path / "file"
    for content in (b"", bytes(range(256)) * 1000):
        _files.replace(path, [content[:9], content[9:]])
        assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has files without a name")
def test_a_killed_writer_leaves_nothing(tmp_path):
    if (file := _files._opened_without_name(tmp_path)) is None:
        pytest.skip("this file system has no files without a name")
    os.close(file)
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout.readline() == b"begun\n"
        writer.send_signal(signal.SIGKILL)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
