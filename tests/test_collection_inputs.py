# SPDX-License-Identifier: Apache-2.0
"""What a collection is given: names that are no text, stale objects, forged files."""

import os
import shutil

import numpy as np
import pytest

import scenes
from trouvaille import Collection, features
from trouvaille.collection import Settings, pipeline, show
from trouvaille.collection.evaluate import evaluate
from trouvaille.collection.segment import SegmentBuilder
from trouvaille.collection.settings import check_vocabulary
from trouvaille.collection.signing import new_embedding
from trouvaille.collection.storage import Storage
from trouvaille.errors import IndexCorruptError
from trouvaille.evaluation import GroundTruth
from trouvaille.words import Vocabulary

NOT_TEXT = os.fsdecode(b"caf\xe9.png")


@pytest.fixture(scope="module")
def vocabulary():
    rows = [features.sift(scenes.scene(i)).descriptors for i in range(3)]
    return Vocabulary.from_descriptors(np.concatenate(rows), 50, features.FINGERPRINT)


@pytest.fixture
def collection(vocabulary, tmp_path):
    return Collection.create(tmp_path / "c.tv", vocabulary)


@pytest.fixture
def misnamed(tmp_path):
    """A folder of two photos, of which one has a name that is not UTF-8."""
    folder = tmp_path / "photos"
    scenes.write(folder / "good.png", scenes.scene(0))
    try:
        scenes.write(folder / NOT_TEXT, scenes.scene(1))
    except OSError:
        pytest.skip("this file system has text names only")
    return folder


def test_a_name_that_is_not_utf8_is_a_row(misnamed, tmp_path):
    collection = Collection.create(tmp_path / "c.tv", num_words=20)
    report = collection.add(misnamed)
    assert collection.ids == ["good.png"]
    (row,) = report.failed
    assert row.status == "unnameable"
    assert row.id == r"caf\udce9.png"
    assert "rename" in row.error
    assert "ids=" in row.error
    assert row.error.isprintable()
    assert [row.status for row in report] == ["unnameable", "ok"]  # in the order given


def test_nothing_but_names_that_are_not_utf8(misnamed, tmp_path):
    collection = Collection.create(tmp_path / "c.tv")
    report = collection.add(misnamed / NOT_TEXT)
    assert [row.status for row in report] == ["unnameable"]
    assert len(collection) == 0


def test_a_good_id_for_a_path_that_is_not_utf8(misnamed, collection):
    collection.add([misnamed / NOT_TEXT, misnamed / "good.png"], ["a", "b"])
    assert collection.entry("a").path is None
    assert collection.entry("b").path == str(misnamed / "good.png")


def test_a_path_with_a_nul_is_a_row(collection):
    report = collection.add(["a\0b", scenes.scene(0)], ["x", "y"])
    assert [row.status for row in report] == ["missing", "ok"]
    assert "NUL" in report[0].error
    with pytest.raises(ValueError, match="ids must be given"):
        collection.add(["a\0b", scenes.scene(0)])
    report = collection.add(["a\0b"])
    assert [(row.id, row.status) for row in report] == [(r"a\x00b", "unnameable")]


def test_photos_that_cannot_be_read_teach_no_words_and_are_rows(tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xffnothing")
    collection = Collection.create(tmp_path / "c.tv", "own")
    report = collection.add([tmp_path / "broken.jpg", tmp_path / "missing.jpg"])
    assert len(report.failed) == 2
    assert collection.num_words == 0


def test_unreadable_photos_do_not_count_as_lessons(tmp_path, monkeypatch):
    """The first photos cannot be read; the words come from those after them."""
    monkeypatch.setattr(pipeline, "LEARNING_PHOTOS", 2)
    collection = Collection.create(tmp_path / "c.tv", "own")
    photos = [tmp_path / f"{i}.jpg" for i in range(3)] + [scenes.scene(0), scenes.scene(1)]
    report = collection.add(photos, list("abcde"))
    assert [row.status for row in report] == ["missing"] * 3 + ["ok"] * 2


@pytest.mark.parametrize("id", [NOT_TEXT, "a\0b", "x" * 4097])
def test_ids_that_no_collection_holds(collection, id):
    collection.add(scenes.scene(0), "x" * 4096)
    with pytest.raises(ValueError, match="ids: ") as refused:
        collection.add(scenes.scene(1), id)
    assert len(str(refused.value)) < 200
    assert str(refused.value).isprintable()
    assert id not in collection
    assert "x" * 10_000_000 not in collection  # longer than the catalogue


def test_an_object_opened_before_another_one_added(tmp_path):
    """It learned of no vocabulary and no photos; its `add` builds on those all the same."""
    stale = Collection.create(tmp_path / "c.tv", num_words=40)
    Collection.open(tmp_path / "c.tv").add([scenes.scene(0), scenes.scene(1)], ["a", "b"])
    with pytest.raises(ValueError, match="a photo 'a' already"):
        stale.add(scenes.scene(5), "a")
    stale.add([scenes.scene(2)], ["c"])
    assert stale.ids == ["a", "b", "c"]
    assert stale.num_words == 40
    for number, id in enumerate("abc"):
        assert stale.search(scenes.scene(number), 1)[0].id == id
    Collection.open(tmp_path / "c.tv", verify="full")


def test_many_features_are_committed_before_many_photos(vocabulary, tmp_path, monkeypatch):
    monkeypatch.setattr(pipeline, "SEGMENT_FEATURES", 500)
    collection = Collection.create(tmp_path / "c.tv", vocabulary, max_features=300)
    collection.add([scenes.scene(i) for i in range(5)], list("abcde"))
    sizes = [segment.n_features for segment in Storage.open(collection.path).snapshot.segments]
    assert len(sizes) == 3
    assert all(500 <= size < 800 for size in sizes[:-1])


def test_words_are_learned_from_a_limited_number_of_features(tmp_path, monkeypatch):
    learned = []
    monkeypatch.setattr(pipeline, "LEARNING_FEATURES", 150)
    from_descriptors = Vocabulary.from_descriptors
    monkeypatch.setattr(
        Vocabulary,
        "from_descriptors",
        lambda X, *args, **options: learned.append(len(X)) or from_descriptors(X, *args, **options),
    )
    collection = Collection.create(tmp_path / "c.tv", num_words=20, max_features=100)
    collection.add([scenes.scene(i) for i in range(5)], list("abcde"))
    assert learned == [200]
    assert len(collection) == 5


def test_words_are_committed_once_learned(tmp_path, monkeypatch):
    collection = Collection.create(tmp_path / "c.tv", num_words=20)

    def after_learning(stage, done, total):
        seen.append(stage)
        if stage == "extracting" and "learning words" in seen:
            raise KeyboardInterrupt

    seen = []
    monkeypatch.setattr(pipeline, "LEARNING_PHOTOS", 1)
    with pytest.raises(KeyboardInterrupt):
        collection.add([scenes.scene(0), scenes.scene(1)], ["a", "b"], progress=after_learning)
    assert len(collection) == 0
    assert Collection.open(collection.path).num_words == 20


def test_a_segment_builder_lays_photos_out_by_word(rng):
    builder = SegmentBuilder(keep_descriptors=True, dimensions=128, signer=None)
    photo = scenes.scene(0)
    extraction = features.extract(photo, max_features=50)
    words = [rng.integers(0, 9, 50) for _ in range(2)]
    for id, chosen in zip("ab", words, strict=True):
        builder.add(id, None, extraction, extraction.features, chosen)
    assert builder.n_features == 100
    sections = builder.sections(9)
    order = [np.argsort(chosen, kind="stable") for chosen in words]
    for name, array in (
        ("frames", extraction.features.frames),
        ("descriptors", extraction.features.descriptors),
    ):
        expected = np.concatenate([array[one] for one in order])
        np.testing.assert_array_equal(sections[name][name], expected)
    expected = np.concatenate([np.sort(one) for one in words])
    np.testing.assert_array_equal(sections["words"]["words"], expected)


@pytest.mark.parametrize(
    "stored",
    [{"max_features": "x"}, {"max_features": None}, {"keep_descriptors": 1}, {"num_words": [3]}],
)
def test_settings_that_were_forged(stored, tmp_path):
    with pytest.raises(ValueError, match=next(iter(stored))):
        Settings.from_dict(stored)
    Storage.create(tmp_path / "c.tv", stored, features.FINGERPRINT)
    with pytest.raises(ValueError, match="settings"):
        Collection.open(tmp_path / "c.tv")


def test_a_vocabulary_of_other_dimensions(tmp_path):
    check_vocabulary(np.zeros((3, 128), np.uint8), Settings())
    with pytest.raises(ValueError, match=r"128 bytes, .* got float32"):
        check_vocabulary(np.zeros((3, 128), np.float32), Settings())
    storage = Storage.create(tmp_path / "c.tv", Settings().as_dict(), features.FINGERPRINT)
    with storage.writer() as writer:
        writer.set_vocabulary(np.zeros((3, 64), np.uint8), features.FINGERPRINT)
        writer.commit()
    with pytest.raises(IndexCorruptError, match=r"'vocabulary.words'.* 128 bytes"):
        Collection.open(tmp_path / "c.tv")


def test_a_segment_without_what_a_search_needs(tmp_path, collection, vocabulary):
    collection.add(scenes.scene(0), "a")
    segment = Storage.open(collection.path).snapshot.segments[0]
    made = new_embedding(Settings(), vocabulary.words)
    short = made | {"projection": made["projection"][:, :64]}
    for ranking, embedding, missing in (
        ("tfidf", None, "postings"),
        ("asmk", None, "signatures"),
        ("hamming", made, "signatures"),
        ("hamming", None, "embedding"),
        ("hamming", short, "128 bits"),
    ):
        settings = Settings(ranking=ranking)
        path = tmp_path / f"{ranking} without {missing}.tv"
        storage = Storage.create(path, settings.as_dict(), features.FINGERPRINT)
        with storage.writer() as writer:
            writer.set_vocabulary(vocabulary.words, features.FINGERPRINT, embedding)
            writer.add_segment({}, list(segment.catalogue.rows()))
            writer.commit()
        for verify in ("lazy", "full"):
            with pytest.raises(IndexCorruptError, match=missing):
                Collection.open(path, verify=verify)


def test_the_quality_of_no_queries_is_null_in_json(collection, tmp_path):
    collection.add(scenes.scene(0), "a")
    path = tmp_path / "gt.json"
    path.write_text('{"name": "none", "database": ["a"], "queries": []}')
    result = evaluate(collection, GroundTruth.load(path), tmp_path).as_dict()
    assert result["first"] == result["verified"] == {"mean_ap": None, "precision_at_1": None}


def test_the_region_of_a_hit_is_the_query_box_moved(collection):
    collection.add(scenes.scene(0), "a")
    (hit,) = collection.search(scenes.view(scenes.scene(0), scenes.similarity(1, 30, 0, 0)))
    corners = show.region(hit)
    x1, y1, x2, y2 = hit.query_box
    first, third = hit.transform @ [x1, y1, 1], hit.transform @ [x2, y2, 1]
    np.testing.assert_allclose(corners[[0, 2]], [first[:2], third[:2]])
    x1, y1, x2, y2 = hit.box  # upright, and close around the same features
    assert (corners.min(axis=0) <= np.array([x1, y1]) + 1e-3).all()
    assert (corners.max(axis=0) >= np.array([x2, y2]) - 1e-3).all()


def test_discarding_a_collection(tmp_path, vocabulary):
    collection = Collection.create(tmp_path / "c.tv", vocabulary)
    assert Storage.open(collection.path).discard(keep_folder=True)
    assert list(collection.path.iterdir()) == []
    collection = Collection.create(tmp_path / "c.tv", vocabulary)
    (collection.path / "notes.txt").touch()  # another's, which stays, and so does the folder
    assert Storage.open(collection.path).discard()
    assert [path.name for path in collection.path.iterdir()] == ["notes.txt"]
    shutil.rmtree(collection.path)
    collection = Collection.create(tmp_path / "c.tv", vocabulary)
    stale = Storage.open(collection.path)
    collection.add(scenes.scene(0), "a")
    assert not stale.discard()
    assert Collection.open(collection.path).ids == ["a"]
    collection = Collection.create(tmp_path / "d.tv", vocabulary)
    assert Storage.open(collection.path).discard()
    assert not collection.path.exists()


def test_the_ids_of_a_snapshot(collection):
    collection.add([scenes.scene(0), scenes.scene(1)], ["a", "b"])
    collection.add(scenes.scene(2), "c")
    snapshot = Storage.open(collection.path).snapshot
    assert snapshot.ids() == {"a", "b", "c"}
    assert snapshot.ids() is snapshot.ids()
    assert snapshot.segments[0].catalogue.ids() == ("a", "b")
