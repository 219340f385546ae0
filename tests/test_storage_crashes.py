# SPDX-License-Identifier: Apache-2.0
"""Whatever a commit is interrupted by, and wherever, the collection is as before or as after."""

import contextlib
import errno
import os
import shutil

import pytest

import storage_examples as examples
from storage_examples import Crash, FaultyDirectory
from trouvaille.collection.storage import Directory, Storage

# Python warns of forking a process with threads; these children do nothing but file operations.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")


def change(directory):
    """Make two commits; a part of the script that every test here interrupts at every step."""
    storage = Storage.open(directory)
    with storage.writer() as writer:
        for batch in (8, 9):
            writer.add_segment(*batch_of(batch))
            writer.commit()


def batch_of(seed):
    sections, rows = examples.segment(f"batch{seed}", seed=seed)
    return {kind: sections[kind] for kind in ("postings", "words")}, rows


def states_of(path):
    """Return a collection's content before, between and after the commits of `change`."""
    examples.make(path, batches=1)
    states = [examples.content(Storage.open(path).snapshot)]
    work = path.with_name("states.tv")
    shutil.copytree(path, work)
    with Storage.open(work).writer() as writer:
        for batch in (8, 9):
            writer.add_segment(*batch_of(batch))
            states.append(examples.content(writer.commit()))
    return [arrays_of(state) for state in states]


def arrays_of(state):
    """Return what of a content does not depend on random uuids."""
    segments = [
        ({key: value for key, value in arrays.items() if key[0] != "checksums"}, rows, numbers)
        for arrays, rows, numbers in state["segments"]
    ]
    manifest = state["manifest"]
    return state["frequencies"], state["vocabulary"], segments, manifest.generation


def read(path):
    return arrays_of(examples.content(Storage.open(path, "full").snapshot))


def check_recovery(path, states):
    """Check that the state is one of `states`, and that the next writer finds all well."""
    position = states.index(read(path))
    with Storage.open(path).writer() as writer:
        assert read(path) == states[position]
        live = Storage.open(path).snapshot.manifest.names() | {"CURRENT", "LOCK"}
        assert {file.name for file in path.iterdir()} == live
        writer.add_segment(*examples.segment("after"))
        writer.commit()
    after = Storage.open(path).snapshot
    assert after.generation == states[position][3] + 1
    assert after.find("after/0.jpg") == (len(after.segments) - 1, 0)
    return position


def copies(tmp_path, path, methods=examples.STEPS):
    """Yield every step of `change`, with a fresh copy of the collection to interrupt there."""
    work = tmp_path / "work.tv"
    shutil.copytree(path, work)
    directory = FaultyDirectory(work)
    change(directory)
    shutil.rmtree(work)
    for step, method in enumerate(directory.steps):
        if method in methods:
            shutil.copytree(path, work)
            yield step, work
            shutil.rmtree(work)


def test_the_steps_of_a_commit(tmp_path):
    examples.make(tmp_path / "photos.tv", batches=1)
    directory = FaultyDirectory(tmp_path / "photos.tv")
    storage = Storage.open(directory)
    with storage.writer() as writer:
        writer.add_segment(*examples.segment("new"))
        before = len(directory.steps)
        writer.commit()
    steps = [step for step in directory.steps[before:] if step not in ("write", "close")]
    file = ["create", "fsync"]
    commit = [*file, *file, *file, "sync_folder", "rename", "sync_folder"]
    assert steps == [*commit, "unlink", "unlink"]  # statistics, manifest, CURRENT; the old ones go


def test_an_interrupted_process_leaves_the_state_before_or_after(tmp_path):
    """Once struck, nothing else is done to the disk: neither by handlers nor on leaving."""
    path = tmp_path / "photos.tv"
    states = states_of(path)
    seen = set()
    for step, work in copies(tmp_path, path):
        directory = FaultyDirectory(work, step)

        def dead(method, *args, directory=directory):
            directory.at = len(directory.steps)  # the next step as well, and so for ever
            if method == "close":
                os.close(*args)
            raise Crash

        directory.strike = dead
        with pytest.raises(Crash):
            change(directory)
        seen.add(check_recovery(work, states))
    assert seen == {0, 1, 2}


@needs_fork
def test_a_killed_process_leaves_the_state_before_or_after(tmp_path):
    path = tmp_path / "photos.tv"
    states = states_of(path)
    seen = set()
    for step, work in copies(tmp_path, path):
        child = os.fork()
        if child == 0:
            with contextlib.suppress(BaseException):
                change(FaultyDirectory(work, step, lambda *_: os._exit(7)))
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        seen.add(check_recovery(work, states))
    assert seen == {0, 1, 2}


@pytest.mark.parametrize(("number", "times"), [(errno.EIO, "once"), (errno.ENOSPC, "for ever")])
def test_a_disk_that_refuses_is_an_error_and_no_damage(tmp_path, number, times):
    path = tmp_path / "photos.tv"
    states = states_of(path)
    for step, work in copies(tmp_path, path):
        directory = FaultyDirectory(work, step)

        def refuse(method, *args, directory=directory):
            if times == "for ever":
                directory.at = len(directory.steps)
            if method == "close":
                os.close(*args)
            raise OSError(number, os.strerror(number))

        directory.strike = refuse
        failed = None
        try:
            change(directory)
        except OSError as error:
            failed = error.errno
        # Only tidying up may fail in silence.
        assert failed == number or directory.steps[step] in ("unlink", "remove_folder")
        assert failed == number or read(work) == states[2]
        check_recovery(work, states)


def test_a_torn_write_is_no_damage(tmp_path):
    path = tmp_path / "photos.tv"
    states = states_of(path)
    for step, work in copies(tmp_path, path, ["write"]):
        directory = FaultyDirectory(work, step)

        def tear(method, *args, directory=directory):
            directory.at = len(directory.steps)
            if method == "write":
                os.write(args[0], args[1][: len(args[1]) // 2])
            if method == "close":
                os.close(*args)
            raise Crash

        directory.strike = tear
        with pytest.raises(Crash):
            change(directory)
        check_recovery(work, states)


def test_recovery_itself_may_be_interrupted(tmp_path):
    path = tmp_path / "photos.tv"
    states = states_of(path)
    shutil.copytree(path, tmp_path / "work.tv")
    whole = FaultyDirectory(tmp_path / "work.tv")
    change(whole)

    def dead(*_):
        directory.at = len(directory.steps)
        raise Crash

    directory = FaultyDirectory(path, whole.steps.index("rename"), dead)  # when all is written
    with pytest.raises(Crash):
        change(directory)
    position = states.index(read(path))
    for step in range(100):
        directory = FaultyDirectory(path, step, dead)
        try:
            with Storage.open(directory).writer():
                pass
            break
        except Crash:
            assert read(path) == states[position]
    assert step > 3  # each attempt removes some more
    check_recovery(path, states)


def test_after_a_failed_commit_a_writer_is_of_no_use(tmp_path):
    path = tmp_path / "photos.tv"
    examples.make(path, batches=0)

    def refuse(*_):
        raise OSError(errno.EIO, "worn out")

    directory = FaultyDirectory(path)
    with Storage.open(directory).writer() as writer:
        writer.add_segment(*examples.segment("new"))
        directory.at, directory.strike = len(directory.steps), refuse
        with pytest.raises(OSError, match="worn out"):
            writer.commit()
        for use in (writer.commit, lambda: writer.add_segment({}, [])):
            with pytest.raises(RuntimeError, match="open another"):
                use()


def test_a_failed_segment_does_not_spoil_the_commit(tmp_path):
    path = tmp_path / "photos.tv"
    examples.make(path, batches=0)

    def refuse(*_):
        raise OSError(errno.ENOSPC, "full")

    directory = FaultyDirectory(path)
    with Storage.open(directory).writer() as writer:
        directory.at, directory.strike = len(directory.steps) + 5, refuse
        with pytest.raises(OSError, match="full"):
            writer.add_segment(*examples.segment("new"))
        writer.add_segment(*examples.segment("new"))
        writer.commit()
    snapshot = Storage.open(path, "full").snapshot
    assert snapshot.n_images == 3
    assert len(list(path.glob("seg-*"))) == 1


@pytest.mark.parametrize("kill", [False, pytest.param(True, marks=needs_fork)])
def test_an_interrupted_creation_can_be_done_again(tmp_path, kill):
    path = tmp_path / "photos.tv"
    steps = FaultyDirectory(path)
    Storage.create(steps, examples.SETTINGS, "x")
    shutil.rmtree(path)
    for step in range(len(steps.steps)):
        create_until(path, step, kill)
        if (path / "CURRENT").exists():
            assert Storage.open(path, "full").snapshot.settings == examples.SETTINGS
            with pytest.raises(FileExistsError):
                Storage.create(path, {}, "y")
        else:
            with (
                pytest.raises(ValueError, match=r"no collection|not a collection|CURRENT")
                if (path.exists())
                else pytest.raises(FileNotFoundError)
            ):
                Storage.open(path)
            Storage.create(path, examples.SETTINGS, "x")
        assert {p.name for p in path.iterdir()} == {"CURRENT", "LOCK", "manifest-000000.json"}
        shutil.rmtree(path)


def create_until(path, step, kill):
    def dead(*_):
        if kill:
            os._exit(7)
        raise Crash

    if not kill:
        with pytest.raises(Crash):
            Storage.create(FaultyDirectory(path, step, dead), examples.SETTINGS, "x")
        return
    child = os.fork()
    if child == 0:
        Storage.create(FaultyDirectory(path, step, dead), examples.SETTINGS, "x")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_cleaning_leaves_what_is_not_ours(tmp_path):
    path = tmp_path / "photos.tv"
    storage = examples.make(path, batches=1)
    orphan = "seg-00000000-0000-0000-0000-000000000000"
    for folder in ("seg-mine", orphan, "album"):
        (path / folder).mkdir()
        (path / folder / "My Photo.jpg").write_text("mine")
        (path / folder / "frames").write_text("a section, by its name")
    foreign = ["notes.txt", "vocabulary.bin", "CURRENT.bak", "manifest-old.json", ".hidden"]
    for name in foreign:
        (path / name).write_text("mine")
    (path / "outside").write_text("mine")
    links = [f"vocabulary-{orphan[4:]}", "manifest-000099.json"]
    for name in links:
        (path / name).symlink_to(path / "outside")
    (path / "manifest-000001.json").write_text("ours")
    (path / f"statistics-{orphan[4:]}").write_text("ours")
    with storage.writer():
        pass
    left = {file.name for file in path.iterdir()}
    assert {*foreign, *links, "outside", "seg-mine", orphan, "album"} <= left
    assert not {"manifest-000001.json", f"statistics-{orphan[4:]}"} & left
    assert [file.name for file in (path / orphan).iterdir()] == ["My Photo.jpg"]
    assert (path / "seg-mine" / "frames").exists()
    Storage.open(Directory(path), "full")
