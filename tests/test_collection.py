# SPDX-License-Identifier: Apache-2.0
import copy
import multiprocessing
import os
import shutil
import threading
import zlib
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import scenes
from trouvaille import Collection, features, images
from trouvaille.collection.searcher import by_chance, log10_false_alarms, one_a_place
from trouvaille.errors import CollectionLockedError, IndexCorruptError
from trouvaille.words import Vocabulary, ready_vocabulary

N = 8
TURN = scenes.similarity(0.9, 20, 12, -8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Eight scenes, a photo without structure and one that is broken."""
    folder = tmp_path_factory.mktemp("photos")
    for i in range(N):
        scenes.write(folder / f"{'ab'[i % 2]}/scene{i}.png", scenes.scene(i))
    scenes.write(folder / "flat.png", np.full((50, 60), 90, np.uint8))
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0nothing")
    return folder


@pytest.fixture(scope="module")
def vocabulary(folder):
    rows = [features.sift(scenes.scene(i)).descriptors for i in range(N)]
    return Vocabulary.from_descriptors(np.concatenate(rows), 300, features.FINGERPRINT)


@pytest.fixture(scope="module")
def path(folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("collection") / "photos.tv"
    Collection.create(path, num_words=300).add(folder)
    return path


@pytest.fixture
def collection(path):
    with Collection.open(path) as collection:
        yield collection


def summary(hits):
    """Everything in a result, comparable."""
    return [
        (h.id, h.score, h.rank, h.n_inliers, h.query_box, h.box, h.matches.tolist())
        + (() if h.transform is None else tuple(h.transform.ravel().tolist()))
        for h in hits
    ]


def test_report_has_a_row_a_photo(folder, tmp_path):
    calls = []
    report = Collection.create(tmp_path / "c.tv", num_words=100).add(
        folder, progress=lambda *call: calls.append(call)
    )
    rows = {row.id: row for row in report}
    assert len(report) == N + 2
    assert report.n_added == N + 1
    assert [row.id for row in report.failed] == ["broken.jpg"]
    assert "broken.jpg" in rows["broken.jpg"].error
    assert rows["flat.png"].n_features == 0
    assert rows["a/scene0.png"].n_features > 100
    assert ("extracting", N + 2, N + 2) in calls
    assert any(stage == "learning words" for stage, _, _ in calls)


def test_ids_entries_and_statistics(collection, folder):
    assert len(collection) == N + 1
    assert sorted(collection.ids) == sorted(
        [*(f"{'ab'[i % 2]}/scene{i}.png" for i in range(N)), "flat.png"]
    )
    entry = collection.entry("a/scene0.png")
    assert entry.path == str(folder / "a/scene0.png")
    assert entry.size == (320, 240)
    assert "a/scene0.png" in collection
    assert "a/scene99.png" not in collection
    assert collection.num_words == 300
    stats = collection.stats()
    assert stats["photos"] == N + 1
    assert stats["bytes"] == sum(value for key, value in stats.items() if key.startswith("bytes_"))
    with pytest.raises(KeyError, match="no photo has the id 'x'"):
        collection.entry("x")


@pytest.mark.parametrize("number", range(N))
def test_a_view_finds_its_scene_and_where(collection, number):
    hits = collection.search(scenes.view(scenes.scene(number), TURN), k=3)
    best = hits[0]
    assert best.id == f"{'ab'[number % 2]}/scene{number}.png"
    assert best.n_inliers >= 15
    assert [hit.n_inliers for hit in hits[1:]] == [0, 0]
    # The transform takes the view's pixels back to the scene's.
    corners = np.array([[60, 60, 1], [260, 60, 1], [260, 180, 1], [60, 180, 1.0]]).T
    found, true = best.transform @ corners, np.linalg.inv(TURN) @ corners
    assert np.abs(found[:2] / found[2] - true[:2]).max() < 3
    # The matches are what the transform explains, and the boxes hold them.
    assert best.matches.shape == (best.n_inliers, 4)
    seen = np.column_stack([best.matches[:, :2], np.ones(best.n_inliers)]) @ best.transform.T
    assert np.linalg.norm(seen[:, :2] - best.matches[:, 2:], axis=1).max() < 8.01
    x1, y1, x2, y2 = best.query_box
    assert (best.matches[:, 0] >= x1 - 1e-3).all()
    assert (best.matches[:, 1] <= y2 + 1e-3).all()
    assert x1 < x2
    assert y1 < y2


def test_scores_never_rise_and_everything_is_ranked_once(collection):
    hits = collection.search(scenes.scene(2), k=10_000)
    assert len(hits) == len(collection)
    assert sorted(hit.id for hit in hits) == sorted(collection.ids)
    assert [hit.rank for hit in hits] == list(range(1, len(hits) + 1))
    scores = [hit.score for hit in hits]
    assert scores == sorted(scores, reverse=True)
    for hit in hits:
        assert (hit.n_inliers > 0) == (hit.score > 1) == (hit.transform is not None)


def test_without_verification_the_words_rank(collection):
    query = scenes.view(scenes.scene(5), TURN)
    by_words = collection.search(query, k=len(collection), verify=0)
    assert [hit.id for hit in by_words] == by_words.first_ranking
    assert all(0 <= hit.score <= 1 for hit in by_words)
    assert collection.search(query, k=3).first_ranking == by_words.first_ranking


def test_a_photo_that_fails_keeps_the_place_the_words_gave_it(collection):
    hits = collection.search(scenes.view(scenes.scene(5), TURN), k=len(collection))
    failed = [hit.id for hit in hits if not hit.n_inliers]
    assert failed == [id for id in hits.first_ranking if id in failed]


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_the_same_bits_for_any_number_of_threads(collection, threads):
    query = scenes.view(scenes.scene(1), TURN)
    expected = collection.search(query, k=5, threads=1)
    assert summary(collection.search(query, k=5, threads=threads)) == summary(expected)


def test_a_path_bytes_and_pixels_are_the_same_query(collection, tmp_path):
    pixels = scenes.view(scenes.scene(3), TURN)
    path = scenes.write(tmp_path / "query.png", pixels)
    expected = summary(collection.search(pixels))
    assert summary(collection.search(path)) == expected
    assert summary(collection.search(str(path))) == expected
    assert summary(collection.search(path.read_bytes())) == expected


def test_a_box_searches_with_a_part(collection):
    two = np.hstack([scenes.scene(0), scenes.scene(1)])
    both = collection.search(two, k=2)
    assert {hit.id for hit in both if hit.n_inliers} == {"a/scene0.png", "b/scene1.png"}
    right = collection.search(two, k=2, box=(320, 0, 640, 240))
    assert right[0].id == "b/scene1.png"
    assert right[1].n_inliers == 0
    # Coordinates are those of the whole query.
    np.testing.assert_allclose(right[0].transform[:2], [[1, 0, -320], [0, 1, 0]], atol=0.7)
    assert right[0].query_box[0] >= 320


@pytest.mark.parametrize(
    "box", [(5, 5, 5, 9), (10, 10, 5, 20), (400, 0, 500, 9), (0, 0, 9), (0, 0, np.nan, 9), "abcd"]
)
def test_a_box_outside_is_refused(collection, box):
    with pytest.raises((ValueError, TypeError), match="box"):
        collection.search(scenes.scene(0), box=box)


def test_excluded_photos_are_left_out(collection):
    hits = collection.search(scenes.scene(4), k=100, exclude=["a/scene4.png", "unknown"])
    assert len(hits) == len(collection) - 1
    assert "a/scene4.png" not in [hit.id for hit in hits]
    assert collection.search(scenes.scene(4), 1, exclude="a/scene4.png")[0].id != "a/scene4.png"


def test_excluding_what_is_not_there_changes_nothing(collection):
    hits = collection.search(scenes.scene(4), 3, verify=3, exclude=["x", "y", "z"])
    expected = collection.search(scenes.scene(4), 3, verify=3)
    assert hits.first_ranking == expected.first_ranking
    assert len(hits.first_ranking) == 3
    assert summary(hits) == summary(expected)


def test_results_go_to_other_processes(collection):
    hits = collection.search(scenes.view(scenes.scene(3), TURN), 3)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(list, hits).result()[0].id == hits[0].id
    copied = copy.copy(hits)
    assert summary(copied) == summary(hits)
    assert copied.first_ranking == hits.first_ranking


def test_ids_follow_every_commit(path, tmp_path, monkeypatch):
    monkeypatch.setattr("trouvaille.collection.pipeline.SEGMENT_PHOTOS", 2)
    collection = Collection.open(shutil.copytree(path, tmp_path / "c.tv"))
    seen = []
    more = [scenes.scene(80 + i, (120, 90)) for i in range(6)]
    collection.add(
        more,
        list("uvwxyz"),
        progress=lambda *_: seen.append((len(collection.ids), len(collection))),
    )
    assert all(ids == photos for ids, photos in seen)
    assert len({photos for _, photos in seen}) > 1


def test_large_photos_are_reduced_and_coordinates_are_theirs(tmp_path, vocabulary):
    big = scenes.scene(20, (1000, 640))
    with Collection.create(tmp_path / "c.tv", vocabulary, max_size=400) as collection:
        collection.add(big, "big")
        shifted = scenes.view(big, scenes.similarity(1, 0, 37, -21), (1000, 640))
        (hit,) = collection.search(shifted)
        assert hit.id == "big"
        np.testing.assert_allclose(hit.transform[:2], [[1, 0, -37], [0, 1, 21]], atol=2)


def test_adding_in_parts_changes_no_answer(tmp_path, vocabulary, folder):
    whole = Collection.create(tmp_path / "whole.tv", vocabulary)
    whole.add(folder)
    parts = Collection.create(tmp_path / "parts.tv", vocabulary)
    for photo in images.find_photos(folder):
        parts.add(photo, photo.relative_to(folder).as_posix())
    assert parts.ids == whole.ids
    for number in range(3):
        query = scenes.view(scenes.scene(number), TURN)
        assert summary(parts.search(query, 100)) == summary(whole.search(query, 100))


@pytest.mark.parametrize("ranking", ["hamming", "asmk", "tfidf"])
def test_signatures_or_words_alone_verify_too(tmp_path, vocabulary, folder, ranking):
    options = {"keep_descriptors": False, "ranking": ranking}
    collection = Collection.create(tmp_path / "c.tv", vocabulary, **options)
    collection.add(folder)
    assert "bytes_descriptors" not in collection.stats()
    hits = collection.search(scenes.view(scenes.scene(6), TURN), k=3)
    assert hits[0].id == "a/scene6.png"
    assert hits[0].n_inliers >= 8
    assert hits[1].n_inliers == 0


def test_an_id_again_is_refused_by_name_and_nothing_is_lost(path, tmp_path, folder):
    copy = shutil.copytree(path, tmp_path / "c.tv")
    with Collection.open(copy) as collection:
        before = summary(collection.search(scenes.scene(0), 100))
        with pytest.raises(ValueError, match=r"has a photo 'a/scene0.png' already"):
            collection.add(folder)
        with pytest.raises(ValueError, match="two photos have the id 'x'"):
            collection.add([scenes.scene(0), scenes.scene(1)], ["x", "x"])
        assert summary(collection.search(scenes.scene(0), 100)) == before
        collection.add(scenes.scene(30), "new")
        assert collection.search(scenes.scene(30), 1)[0].id == "new"


def test_an_interruption_leaves_what_was_committed(path, tmp_path, folder):
    copy = shutil.copytree(path, tmp_path / "c.tv")
    collection = Collection.open(copy)
    before = summary(collection.search(scenes.scene(0), 100))

    def interrupt(stage, done, total):
        if done == 2:
            raise KeyboardInterrupt

    more = [scenes.scene(i) for i in range(40, 44)]
    with pytest.raises(KeyboardInterrupt):
        collection.add(more, list("wxyz"), progress=interrupt)
    for again in (collection, Collection.open(copy, verify="full")):
        assert summary(again.search(scenes.scene(0), 100)) == before
    collection.add(more, list("wxyz"))
    assert len(Collection.open(copy)) == N + 5


def test_one_writer_at_a_time(path, tmp_path):
    copy = shutil.copytree(path, tmp_path / "c.tv")
    first, second = Collection.open(copy), Collection.open(copy)

    def meanwhile(stage, done, total):
        with pytest.raises(CollectionLockedError):
            second.add(scenes.scene(51), "other")

    first.add(scenes.scene(50), "new", progress=meanwhile)
    assert "new" not in second  # it sees what was committed when it was opened


def test_an_empty_collection_answers_nothing(tmp_path):
    collection = Collection.create(tmp_path / "c.tv")
    assert collection.search(scenes.scene(0)) == []
    assert len(Collection.open(tmp_path / "c.tv")) == 0


def test_a_query_without_features_finds_nothing_in_particular(collection):
    hits = collection.search(np.full((40, 40), 7, np.uint8), k=3)
    assert [hit.score for hit in hits] == [0, 0, 0]
    assert [hit.id for hit in hits] == collection.ids[:3]


def test_photos_without_features_teach_no_words(tmp_path):
    collection = Collection.create(tmp_path / "c.tv", "own")
    with pytest.raises(ValueError, match="no local features"):
        collection.add(np.zeros((20, 20), np.uint8), "flat")
    assert len(collection) == 0


def test_copies_of_one_photo_can_be_indexed(tmp_path):
    collection = Collection.create(tmp_path / "c.tv")
    collection.add([scenes.scene(0)] * 40, [str(i) for i in range(40)])
    hits = collection.search(scenes.scene(0), 40)
    assert [hit.id for hit in hits] == [str(i) for i in range(40)]  # equals keep their order
    assert all(hit.score > 1 for hit in hits)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"k": 0}, ValueError, "k must be between 1"),
        ({"k": 1.5}, TypeError, "k must be a whole number"),
        ({"verify": -1}, ValueError, "verify"),
        ({"threads": 0}, ValueError, "threads"),
    ],
)
def test_search_says_what_is_wrong(collection, options, error, message):
    with pytest.raises(error, match=message):
        collection.search(scenes.scene(0), **options)


def test_queries_that_cannot_be_read(collection, folder, tmp_path):
    with pytest.raises(FileNotFoundError):
        collection.search(tmp_path / "missing.jpg")
    with pytest.raises(images.ImageError):
        collection.search(folder / "broken.jpg")
    with pytest.raises(IsADirectoryError):
        collection.search(folder)
    with pytest.raises(TypeError, match="uint8"):
        collection.search(scenes.scene(0).astype(float))


def test_create_and_open_say_what_is_wrong(tmp_path, path, vocabulary):
    with pytest.raises(FileExistsError):
        Collection.create(path)
    with pytest.raises(FileNotFoundError):
        Collection.open(tmp_path / "nothing.tv")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ValueError, match="collection"):
        Collection.open(tmp_path / "folder")
    with pytest.raises(ValueError, match="belongs to descriptor 'orb'"):
        Collection.create(tmp_path / "c.tv", Vocabulary(vocabulary.words, "orb"))
    with pytest.raises(ValueError, match="num_words is 7"):
        Collection.create(tmp_path / "c.tv", vocabulary, num_words=7)
    with pytest.raises(ValueError, match="num_words is 10000000, but"):
        Collection.create(tmp_path / "d.tv", num_words=10_000_000).add(scenes.scene(0), "x")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"box": 5}, "box"),
        ({"box": "abcd"}, "box"),
        ({"exclude": 5}, "exclude"),
        ({"exclude": [5]}, "exclude"),
    ],
)
def test_what_is_no_box_or_id(collection, options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        collection.search(scenes.scene(0), **options)


@pytest.mark.parametrize(
    ("vocabulary", "error"),
    [("words.tvw", ValueError), (np.zeros((3, 128), np.uint8), TypeError), (5, TypeError)],
)
def test_what_is_no_vocabulary(tmp_path, vocabulary, error):
    with pytest.raises(error, match="must be a Vocabulary, 'ready' or 'own', got"):
        Collection.create(tmp_path / "c.tv", vocabulary)
    assert not (tmp_path / "c.tv").exists()


def test_the_vocabulary_that_comes_with_the_library(tmp_path):
    collection = Collection.create(tmp_path / "c.tv")
    np.testing.assert_array_equal(collection.vocabulary.words, ready_vocabulary().words)
    for i in range(4):  # one by one: nothing is learned of them
        collection.add(scenes.scene(i), str(i))
    assert collection.search(scenes.view(scenes.scene(2), TURN))[0].id == "2"
    assert Collection.create(tmp_path / "own.tv", "own").vocabulary is None
    assert Collection.create(tmp_path / "so many.tv", num_words=9).vocabulary is None
    assert Collection.create(tmp_path / "upright.tv", orientation="upright").vocabulary is None
    with pytest.raises(ValueError, match=r"no vocabulary of descriptor .*/upright"):
        Collection.create(tmp_path / "no.tv", "ready", orientation="upright")
    with pytest.raises(ValueError, match="vocabulary given has 16384 words"):
        Collection.create(tmp_path / "no.tv", "ready", num_words=9)
    assert not (tmp_path / "no.tv").exists()


def test_the_vocabulary_is_what_it_was():
    """Collections made with it keep a copy; but two of them should go together."""
    vocabulary = ready_vocabulary()
    assert vocabulary.words.shape == (16_384, 128)
    assert vocabulary.fingerprint == features.FINGERPRINT
    assert zlib.crc32(vocabulary.words.tobytes()) == 3612816228


def test_a_vocabulary_of_other_dimensions(tmp_path):
    words = Vocabulary(np.zeros((3, 64), np.uint8), features.FINGERPRINT)
    with pytest.raises(ValueError, match="words of 128 bytes"):
        Collection.create(tmp_path / "c.tv", words)
    assert not (tmp_path / "c.tv").exists()


def test_a_far_view_is_found_from_a_near_one(tmp_path):
    """Six times nearer: the query's strongest features are details that the photo lacks."""
    near = scenes.scene(60, (1200, 900))
    far = scenes.scene(61, (800, 600))
    far[200:350, 300:500] = scenes.view(near, scenes.similarity(1 / 6, 0, 0, 0, (0, 0)), (200, 150))
    with Collection.create(tmp_path / "c.tv", num_words=400, max_features=500) as collection:
        collection.add([far, *map(scenes.scene, range(5))], ["far", *"abcde"])
        best = collection.search(near)[0]
    assert best.id == "far"
    assert best.n_inliers >= 8
    np.testing.assert_allclose(best.transform[:2, :2], np.eye(2) / 6, atol=0.02)
    np.testing.assert_allclose(best.transform[:2, 2], (300, 200), atol=3)


def test_crowded_structure_is_no_witness():
    """Inliers that lie where matches are crowded may be an accident; spread ones are none."""
    rng = np.random.default_rng(0)
    spread = rng.uniform(0, 800, (100, 2)).astype(np.float32)
    inliers = np.arange(100) < 8
    assert not by_chance(spread, inliers, 800 * 800)
    crowded = spread.copy()
    crowded[:30] = rng.uniform(400, 440, (30, 2))
    assert by_chance(crowded, inliers, 800 * 800)
    repeated = np.repeat(spread[:1], 100, axis=0)  # one place, seen a hundred times
    assert by_chance(repeated, np.ones(100, bool), 800 * 800)
    assert by_chance(spread, np.arange(100) < 3, 800 * 800)


def test_neighbours_that_see_the_same_are_one_witness():
    rng = np.random.default_rng(0)
    far = rng.uniform(0, 800, (60, 2)).astype(np.float32)
    near = (rng.choice([100, 500], (12, 2)) + rng.uniform(0, 19, (12, 2))).astype(np.float32)
    points, inliers = np.concatenate([near, far]), np.arange(72) < 12
    assert not by_chance(points, inliers, 800 * 800)
    squares, held = one_a_place(points, inliers, 20)
    assert held.sum() == len(np.unique(np.floor(near / 20), axis=0)) == 4
    assert len(squares) == len(np.unique(np.floor(points / 20), axis=0))
    assert np.abs(squares[held][:, None] - near[None]).max(2).min(0).max() <= 10
    assert by_chance(squares, held, 800 * 800)


@given(st.integers(2, 60), st.integers(0, 60), st.floats(1e-5, 0.5))
def test_more_inliers_are_less_by_chance(n_inliers, others, probability):
    n_matches = n_inliers + others + 1
    fewer, more = (
        log10_false_alarms(n, n_matches, probability) for n in (n_inliers, n_inliers + 1)
    )
    tail = (n_matches - 2) * probability  # beyond the expected number
    if n_inliers - 2 > tail:
        assert more < fewer


def test_searching_while_another_thread_adds(path, tmp_path):
    collection = Collection.open(shutil.copytree(path, tmp_path / "c.tv"))
    query, failures, done = scenes.view(scenes.scene(1), TURN), [], threading.Event()

    def ask():
        while not done.is_set():
            try:
                if collection.search(query, 3, threads=1)[0].id != "b/scene1.png":
                    failures.append("another photo")
            except Exception as error:
                failures.append(repr(error))

    askers = [threading.Thread(target=ask) for _ in range(3)]
    for asker in askers:
        asker.start()
    for i in range(12):
        collection.add(scenes.scene(100 + i, (120, 90)), str(i))
    done.set()
    for asker in askers:
        asker.join()
    assert failures == []
    assert len(collection) == N + 13


def test_refresh_shows_what_others_committed(path, tmp_path):
    copy = shutil.copytree(path, tmp_path / "c.tv")
    first, second = Collection.open(copy), Collection.open(copy)
    first.add(scenes.scene(70), "new")
    assert "new" not in second
    second.refresh()
    assert second.search(scenes.scene(70), 1)[0].id == "new"
    first.add(scenes.scene(71), "newer")
    second.add(scenes.scene(72), "newest")  # adds to what there is now
    assert {"newer", "newest"} <= set(second.ids)


def test_two_that_open_an_empty_collection_may_both_add(tmp_path, vocabulary):
    first = Collection.create(tmp_path / "c.tv")
    second = Collection.open(tmp_path / "c.tv")
    first.add([scenes.scene(0), scenes.scene(1)], ["a", "b"])
    second.add(scenes.scene(2), "c")
    assert second.ids == ["a", "b", "c"]
    with pytest.raises(ValueError, match="has a photo 'a' already"):
        second.add(scenes.scene(0), "a")


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (8, 8)])
def test_odd_shapes_are_photos_without_features(collection, size, tmp_path):
    pixels = np.zeros(size, np.uint8)
    assert len(collection.search(pixels, 2)) == 2


def test_after_fork_the_child_searches(collection):
    query = scenes.view(scenes.scene(3), TURN)
    expected = summary(collection.search(query, 3))
    child = os.fork()
    if child == 0:
        again = Collection.open(collection.path)
        os._exit(0 if summary(again.search(query, 3)) == expected else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_moved_collection_is_searched(path, tmp_path):
    moved = shutil.copytree(path, tmp_path / "elsewhere.tv")
    assert Collection.open(moved).search(scenes.scene(0), 1)[0].id == "a/scene0.png"


def test_an_empty_folder_is_named(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty"):
        Collection.create(tmp_path / "c.tv").add(tmp_path / "empty")


@pytest.mark.skipif(
    os.name == "nt" or not hasattr(os, "geteuid") or os.geteuid() == 0,
    reason="needs a user whom permissions bind",
)
def test_a_folder_without_permission(tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0)
    with pytest.raises(PermissionError):
        Collection.create(tmp_path / "c.tv").add(closed)


@pytest.mark.parametrize("kind", ["signatures", "words", "frames", "descriptors", "images.sqlite"])
def test_a_damaged_section_is_named_and_never_answers(path, tmp_path, kind):
    copy = shutil.copytree(path, tmp_path / "c.tv")
    (file,) = copy.glob(f"seg-*/{kind}*")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0x40
    file.chmod(0o644)
    file.write_bytes(content)
    with pytest.raises(IndexCorruptError, match=kind):
        Collection.open(copy, verify="full")
    with pytest.raises(IndexCorruptError, match=kind), Collection.open(copy) as collection:
        collection.search(scenes.scene(0), k=len(collection))
