# SPDX-License-Identifier: Apache-2.0
"""Photos on their way into collections with vectors: failures, interruptions, other threads."""

import io
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import collection_cases as cases
import scenes
from collection_cases import BOTH, IDS, VIEW, N, ranked, stored_vectors
from deep_cases import torch
from trouvaille import Collection
from trouvaille.collection import pipeline
from trouvaille.collection.searcher import Searcher


@pytest.fixture(scope="module")
def photos():
    return cases.photos()


@pytest.fixture(scope="module")
def network():
    return cases.network()


def encoded(pixels, kind, **options):
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, kind, **options)
    return data.getvalue()


def odd_photos():
    """Photos of every kind that is read in a way of its own."""
    colour, gray = cases.photos()[1], scenes.scene(7)
    turned = Image.Exif()
    turned[0x0112] = 6
    return {
        "jpeg": encoded(colour, "JPEG", quality=80),
        "turned": encoded(colour, "JPEG", quality=80, exif=turned),
        "rgba": encoded(np.dstack([colour, gray]), "PNG"),
        "16 bit": encoded(gray.astype(np.uint16) * 257, "PNG"),
        "gray": encoded(gray, "PNG"),
        "gray pixels": gray,
        "strip": encoded(np.ascontiguousarray(np.resize(colour, (1, 3000, 3))), "PNG"),
        "upright strip": np.ascontiguousarray(np.resize(colour, (3000, 1, 3))),
    }


@pytest.mark.parametrize("name", BOTH)
def test_a_photo_has_the_vector_of_the_query_that_it_is(tmp_path, monkeypatch, name):
    asked = []

    def rank(self, query, *arguments, rank=Searcher.rank):
        asked.append(query.vector)
        return rank(self, query, *arguments)

    monkeypatch.setattr(Searcher, "rank", rank)
    given = odd_photos()
    files = {id: photo for id, photo in given.items() if isinstance(photo, bytes)}
    for id, data in files.items():
        (tmp_path / id).write_bytes(data)
    added = [tmp_path / id if id in files else photo for id, photo in given.items()]
    with cases.empty(tmp_path / "c.tv", name) as collection:
        report = collection.add(added, list(given))
        assert [row.status for row in report] == ["ok"] * len(given)
        stored = stored_vectors(collection)
        for photos in (added, given.values()):
            for vector, photo in zip(stored, photos, strict=True):
                asked.clear()
                collection.search(photo, 1)
                assert asked
                assert all(each.tobytes() == vector.tobytes() for each in asked)
    assert len({vector.tobytes() for vector in stored}) == len(given) - 2  # gray, in three ways


def test_photos_that_cannot_be_described_are_rows(tmp_path, monkeypatch, photos, network):
    monkeypatch.setattr(pipeline, "DESCRIBED_PHOTOS", 2)
    monkeypatch.setattr(pipeline, "SEGMENT_PHOTOS", 2)
    folder = tmp_path / "photos"
    for i in range(3):
        scenes.write(folder / f"{i}.png", photos[i])
    for name, data in (("broken.jpg", b"\xff\xd8\xff\xe0nothing"), ("empty.png", b"")):
        (folder / name).write_bytes(data)
    # What a name in Latin-1 is where names are UTF-8.
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff.png")).write_bytes(b"")
    for name in BOTH:
        told = []
        collection = Collection.create(tmp_path / f"{name}.tv", pipeline=name, network=network)
        report = collection.add(folder, progress=lambda *stage, told=told: told.append(stage))
        status = {row.id: row.status for row in report}
        assert status == {
            **dict.fromkeys(["0.png", "1.png", "2.png"], "ok"),
            "broken.jpg": "truncated",
            "empty.png": "empty",
            r"\udcff.png": "unnameable",
        }
        assert all(row.error for row in report.failed)
        assert all(row.describe_seconds > 0 for row in report if row.status == "ok")
        assert collection.ids == ["0.png", "1.png", "2.png"]
        assert collection.search(photos[1], 1)[0].id == "1.png"
        described = [done for stage, done, _ in told if stage == "describing"]
        assert described == sorted(described)
        assert ("describing", 6, 6) in told


def test_what_the_network_makes_infinity_of_is_not_added(tmp_path, photos, network):
    collection = Collection.create(tmp_path / "c.tv", pipeline="local+global", network=network)
    describer = collection._current_describer()
    with torch.no_grad():
        for weights in describer._ready.parameters():
            weights.fill_(torch.inf)
    report = collection.add(photos[:2], IDS[:2])
    assert [row.status for row in report] == ["not_finite"] * 2
    assert len(collection) == 0


def test_a_network_that_fails_with_some_photos_ends_nothing(tmp_path, monkeypatch, photos):
    monkeypatch.setattr(pipeline, "DESCRIBED_PHOTOS", 4)
    collection = cases.empty(tmp_path / "c.tv", "global")

    def refuse(module, given):
        if given[0].shape[2] < 50:
            raise RuntimeError("too narrow")

    collection._current_describer()._ready.register_forward_pre_hook(refuse)
    narrow = [np.zeros((40, 150 + i), np.uint8) for i in range(5)]
    report = collection.add([*photos[:4], *narrow], [str(i) for i in range(9)])
    assert [row.status for row in report] == ["ok"] * 4 + ["failed"] * 5
    assert len(collection) == 4


def test_photos_are_committed_from_time_to_time(tmp_path, monkeypatch, photos):
    monkeypatch.setattr(pipeline, "SEGMENT_SECONDS", 0.0)
    collection = cases.empty(tmp_path / "c.tv", "global")
    report = collection.add(photos[:3], IDS[:3])
    assert len(collection._storage.snapshot.segments) == 3
    assert report.notes[0].startswith("described on ")


def test_every_photo_of_a_group_is_told(tmp_path, photos):
    told = []
    with cases.empty(tmp_path / "c.tv", "local+global") as collection:
        collection.add(photos, IDS, progress=lambda *call: told.append(call))
    described = [done for stage, done, total in told if (stage, total) == ("describing", N)]
    assert described == sorted(described)
    assert set(described) == set(range(N + 1))


@pytest.mark.parametrize("name", BOTH)
def test_refresh_shows_what_others_committed(tmp_path, photos, name):
    first = cases.empty(tmp_path / "c.tv", name)
    first.add(photos[:3], IDS[:3])
    second = Collection.open(tmp_path / "c.tv")
    assert second.search(photos[4], 1)[0].id != IDS[4]
    first.add(photos[3:], IDS[3:])
    assert IDS[4] not in second
    assert second.search(photos[4], 1)[0].id != IDS[4]
    second.refresh()
    assert second.ids == IDS
    assert second.search(photos[4], 1)[0].id == IDS[4]


@pytest.mark.parametrize("name", BOTH)
def test_an_interruption_leaves_what_was_committed(tmp_path, monkeypatch, photos, name):
    monkeypatch.setattr(pipeline, "DESCRIBED_PHOTOS", 2)
    monkeypatch.setattr(pipeline, "SEGMENT_PHOTOS", 2)
    path = tmp_path / "c.tv"
    collection = cases.empty(path, name)

    def interrupt(stage, done, total):
        if (stage, done) == ("describing", 3):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        collection.add(photos, IDS, progress=interrupt)
    for again in (collection, Collection.open(path, verify="full")):
        assert again.ids == IDS[:2]
        assert again.search(photos[1], 1)[0].id == IDS[1]
    collection.add(photos[2:], IDS[2:])
    assert collection.ids == IDS
    wanted = cases.vectors(cases.network(), photos)
    np.testing.assert_allclose(stored_vectors(collection), wanted, atol=1e-6)
    assert collection.search(scenes.view(photos[4], VIEW), 1)[0].id == IDS[4]


SCRIPT = """
import sys
from trouvaille import Collection
from trouvaille.collection import pipeline
pipeline.DESCRIBED_PHOTOS = pipeline.SEGMENT_PHOTOS = 4

def told(stage, done, total):
    print(stage, done, flush=True)

Collection.open(sys.argv[1]).add(sys.argv[2], progress=told)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="kills by a signal")
@pytest.mark.parametrize(("name", "number"), [("global", "SIGKILL"), ("local+global", "SIGINT")])
def test_a_signal_while_photos_are_described(tmp_path, photos, name, number):
    folder, path = tmp_path / "photos", tmp_path / "c.tv"
    first = scenes.write(folder / "000.png", photos[0])
    for i in range(1, 300):
        os.link(first, folder / f"{i:03}.png")
    cases.empty(path, name)
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(path), str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    with process:
        for line in process.stdout:
            if line == b"describing 6\n":
                process.send_signal(getattr(signal, number))
        assert process.wait(60) != 0
    with Collection.open(path, verify="full") as collection:
        ids = [photo.name for photo in sorted(folder.iterdir())]
        n = len(collection)
        assert 4 <= n < 300
        assert n % 4 == 0
        assert collection.ids == ids[:n]
        assert collection.search(photos[0], 1)[0].id == "000.png"
        collection.add(photos[1], "more")
        assert collection.search(photos[1], 1)[0].id == "more"
        held = collection._storage.snapshot.segments
        assert len(list(path.glob("seg-*"))) == len(held)  # nothing is left of what was cut short


@pytest.mark.parametrize("name", BOTH)
def test_searching_while_another_thread_adds(tmp_path, photos, name):
    cases.empty(tmp_path / "c.tv", name).add(photos[:3], IDS[:3])
    collection = Collection.open(tmp_path / "c.tv")  # none has made its network yet
    query, failures, done = scenes.view(photos[1], VIEW), [], threading.Event()
    asked = [0] * 3

    def ask(i):
        while not done.is_set():
            try:
                hits = collection.search(query, N, threads=1)
                asked[i] += 1
                if hits[0].id != IDS[1] or len(hits) not in range(3, 10):
                    failures.append([hit.id for hit in hits])
            except Exception as error:
                failures.append(repr(error))

    askers = [threading.Thread(target=ask, args=(i,)) for i in range(3)]
    for asker in askers:
        asker.start()
    try:
        for i in range(6):
            collection.add(scenes.tinted(scenes.scene(100 + i, (120, 90)), (90, 90, 255)), str(i))
    finally:
        done.set()
        for asker in askers:
            asker.join()
    assert failures == []
    assert all(asked)
    assert collection.ids == [*IDS[:3], *map(str, range(6))]
    again = Collection.open(tmp_path / "c.tv")
    assert ranked(again.search(query, 9)) == ranked(collection.search(query, 9))
