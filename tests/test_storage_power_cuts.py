# SPDX-License-Identifier: Apache-2.0
"""A power cut keeps what was waited for; of all else, each part may be lost, kept, or torn."""

import itertools
import shutil

import pytest

import test_storage_crashes as crashes
from trouvaille.collection.storage import Directory


class Disk(Directory):
    """A folder that knows what of it is on the disk, and what only in memory.

    A file is a number (its inode); a folder holds names of files. `fsync` puts a file's content on
    the disk, `sync_folder` the names in a folder: creation, renaming and removal are nothing but
    changes to those names, and not even a file's own `fsync` makes its name last.
    """

    def __init__(self, path):
        super().__init__(path)
        self.numbers = itertools.count()
        self.content = {}  # of a file: what was written, and how much of it is on the disk
        self.names = {}  # on the disk: of a folder, what file each name means
        self.pending = {}  # of a folder: the changes of its names since
        self.open = {}
        self.history = []
        for folder in ["", *(f.name for f in self.path.iterdir() if f.is_dir())]:
            self.names[folder] = {
                file.name: self._add(file.read_bytes())
                for file in (self.path / folder).iterdir()
                if file.is_file()
            }
        self.live = {folder: dict(names) for folder, names in self.names.items()}

    def _add(self, content=b""):
        number = next(self.numbers)
        self.content[number] = (content, len(content))
        return number

    def _change(self, name, number):
        folder, _, leaf = name.rpartition("/")
        self.pending.setdefault(folder, []).append((leaf, number))
        self.live[folder][leaf] = number

    def _remember(self):
        state = [{k: dict(v) for k, v in self.names.items()}, {k: list(v) for k, v in
                 self.pending.items()}, dict(self.content)]  # fmt: skip
        self.history.append(state)

    def make_folder(self, name=""):
        super().make_folder(name)
        self.names[name] = {}  # a name of no file, which is there as soon as one in it is
        self.live[name] = {}
        self._remember()

    def create(self, name):
        file = super().create(name)
        self.open[file] = self._add()
        self._change(name, self.open[file])
        self._remember()
        return file

    def write(self, file, data):
        super().write(file, data)
        content, synced = self.content[self.open[file]]
        self.content[self.open[file]] = (content + bytes(data), synced)
        self._remember()

    def fsync(self, file):
        super().fsync(file)
        content, _ = self.content[self.open[file]]
        self.content[self.open[file]] = (content, len(content))
        self._remember()

    def rename(self, old, new):
        super().rename(old, new)
        self._change(new, self.live[""][old])
        self._change(old, None)
        self._remember()

    def unlink(self, name):
        super().unlink(name)
        self._change(name, None)
        self._remember()

    def sync_folder(self, name=""):
        super().sync_folder(name)
        for leaf, number in self.pending.pop(name, []):
            self.names[name][leaf] = number
        self._remember()


def cut(state, path, rng):
    """Make the folder that a power cut leaves of a state."""
    names, pending, content = state
    path.mkdir()
    for folder, entries in names.items():
        kept = dict(entries)
        for leaf, number in pending.get(folder, []):
            if rng.random() < 0.5:
                kept[leaf] = number
        (path / folder).mkdir(exist_ok=True)
        for leaf, number in kept.items():
            if number is not None:
                data, synced = content[number]
                end = int(rng.integers(synced, len(data) + 1))
                tail = rng.choice([0, len(data) - end])  # cut short, or pages of zeros
                (path / folder / leaf).write_bytes(data[:end] + bytes(tail))


def check_power_cuts(tmp_path, rng, times):
    path = tmp_path / "photos.tv"
    states = crashes.states_of(path)
    disk = Disk(path)
    crashes.change(disk)
    seen = set()
    for state in disk.history:
        for _ in range(times):
            work = tmp_path / "work.tv"
            cut(state, work, rng)
            seen.add(crashes.check_recovery(work, states))
            shutil.rmtree(work)
    assert seen == {0, 1, 2}


def test_a_power_cut_leaves_the_state_before_or_after(tmp_path, rng):
    check_power_cuts(tmp_path, rng, 1)


@pytest.mark.slow
def test_many_power_cuts_leave_the_state_before_or_after(tmp_path, rng):
    check_power_cuts(tmp_path, rng, 20)


def test_the_disk_forgets_what_is_not_waited_for(tmp_path, rng):
    """Without the waiting, the same cuts do damage: the tests above can fail."""

    class Careless(Disk):
        def fsync(self, file):
            pass

        def sync_folder(self, name=""):
            pass

    path = tmp_path / "photos.tv"
    states = crashes.states_of(path)
    disk = Careless(path)
    crashes.change(disk)
    damaged = 0
    for state in disk.history[-30:]:
        cut(state, tmp_path / "work.tv", rng)
        try:
            damaged += crashes.read(tmp_path / "work.tv") not in states
        except ValueError:
            damaged += 1
        shutil.rmtree(tmp_path / "work.tv")
    assert damaged > 10
