# SPDX-License-Identifier: Apache-2.0
"""What ranks the photos of a collection before geometry does."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import scenes
from trouvaille import Collection, features
from trouvaille.collection import pipeline, searcher
from trouvaille.collection.settings import RANKINGS, Settings
from trouvaille.collection.signing import new_embedding
from trouvaille.collection.storage import Storage
from trouvaille.errors import IndexCorruptError
from trouvaille.index import ASMK, HammingIndex
from trouvaille.words import HammingEmbedding, Vocabulary, assign

N = 7
IDS = [f"scene{i}" for i in range(N)]
VIEW = scenes.similarity(0.9, 20, 12, -8)


@pytest.fixture(scope="module")
def photos():
    return [*(scenes.scene(i) for i in range(N - 1)), np.full((60, 70), 90, np.uint8)]


@pytest.fixture(scope="module")
def vocabulary(photos):
    rows = [features.sift(photo).descriptors for photo in photos]
    return Vocabulary.from_descriptors(np.concatenate(rows), 150, features.FINGERPRINT)


def made(path, photos, vocabulary=None, **options):
    collection = Collection.create(path, vocabulary, **options)
    collection.add(photos, IDS[: len(photos)])
    return collection


def ranked(collection, query):
    return [(hit.id, hit.score) for hit in collection.search(query, N, verify=0)]


@pytest.mark.parametrize("ranking", RANKINGS)
@pytest.mark.parametrize("given", [True, False])
def test_each_finds_a_view_of_a_scene(tmp_path, photos, vocabulary, ranking, given):
    collection = made(tmp_path / "c.tv", photos, vocabulary if given else None, ranking=ranking)
    for number in (0, 3):
        hits = ranked(collection, scenes.view(photos[number], VIEW))
        assert hits[0][0] == IDS[number]
        assert sorted(id for id, _ in hits) == IDS
        scores = [score for _, score in hits]
        assert scores == sorted(scores, reverse=True)
        assert 0 <= scores[-1] <= scores[1] < scores[0] <= 1
        assert dict(hits)[IDS[-1]] == 0  # it has no features
    reopened = Collection.open(collection.path, verify="full")
    assert reopened.settings.ranking == ranking
    query = scenes.view(photos[1], VIEW)
    assert ranked(reopened, query) == ranked(collection, query)
    assert reopened.search(query)[0].n_inliers > 10


@pytest.mark.parametrize("ranking", RANKINGS)
def test_photos_added_one_by_one_or_together(tmp_path, monkeypatch, photos, vocabulary, ranking):
    together = made(tmp_path / "together.tv", photos, vocabulary, ranking=ranking)
    single = Collection.create(tmp_path / "single.tv", vocabulary, ranking=ranking)
    for photo, id in zip(photos, IDS, strict=True):
        single.add(photo, id)
    monkeypatch.setattr(pipeline, "SEGMENT_PHOTOS", 3)
    segments = made(tmp_path / "segments.tv", photos, vocabulary, ranking=ranking)
    assert len(segments._storage.snapshot.segments) == 3
    for number in range(3):
        query = scenes.view(photos[number], VIEW)
        expected = ranked(together, query)
        assert ranked(single, query) == expected
        assert ranked(segments, query) == expected
    frequencies = together._storage.snapshot.document_frequencies
    np.testing.assert_array_equal(single._storage.snapshot.document_frequencies, frequencies)
    words = [np.unique(vocabulary.assign(features.sift(p, max_features=2000).descriptors).ids)
             for p in photos]  # fmt: skip
    np.testing.assert_array_equal(frequencies, np.bincount(np.concatenate(words), minlength=150))


def described(photos):
    return [features.sift(photo, max_features=2000).descriptors for photo in photos]


def idf_of(own, num_words):
    frequencies = np.bincount(np.concatenate([np.unique(w) for w in own]), minlength=num_words)
    return np.maximum(np.log(len(own) / np.maximum(frequencies, 1)), 0.1)


@pytest.mark.parametrize("bits", [None, 64, 13])
def test_hamming_ranks_as_its_index_does(tmp_path, photos, vocabulary, bits):
    collection = made(tmp_path / "c.tv", photos, vocabulary, signature_bits=bits)
    n_bits = bits or 128
    assert collection.settings.signature_bits == n_bits
    words, rows = vocabulary.words, described(photos)
    embedding = HammingEmbedding.from_words(words, n_bits)
    own = [assign(one, words).ids[:, 0] for one in rows]
    index = HammingIndex(len(words), n_bits, idf=idf_of(own, len(words)))
    index.add([(w, embedding.transform(x, w)) for w, x in zip(own, rows, strict=True)])
    query = scenes.view(photos[2], VIEW)
    (asked,) = described([query])
    nearest = assign(asked, words, 5).ids
    scores, ids = index.search([(nearest, embedding.transform(asked, nearest))], N)
    expected = [(IDS[i], min(s, 1.0)) for i, s in zip(ids[0], scores[0].tolist(), strict=True)]
    assert ranked(collection, query) == expected


def test_asmk_ranks_as_its_index_does(tmp_path, photos, vocabulary):
    collection = made(tmp_path / "c.tv", photos, vocabulary, ranking="asmk")
    words, rows = vocabulary.words, described(photos)
    own = [assign(one, words).ids[:, 0] for one in rows]
    index = ASMK(words, idf=idf_of(own, len(words)))
    index.add(rows)
    query = scenes.view(photos[2], VIEW)
    scores, ids = index.search(described([query]), N)
    expected = [(IDS[i], min(s, 1.0)) for i, s in zip(ids[0], scores[0].tolist(), strict=True)]
    assert ranked(collection, query) == expected


def test_each_keeps_what_it_needs(tmp_path, photos, vocabulary):
    for ranking in RANKINGS:
        collection = made(tmp_path / ranking, photos, vocabulary, ranking=ranking)
        kinds = {key.removeprefix("bytes_") for key in collection.stats() if "bytes_" in key}
        assert ("postings" in kinds) == (ranking == "tfidf")
        assert ("signatures" in kinds) == (ranking != "tfidf")
        embeddings = list(collection.path.glob("embedding-*"))
        assert len(embeddings) == (ranking == "hamming")


def test_a_descriptor_of_few_dimensions_has_as_many_bits(tmp_path, photos):
    collection = made(tmp_path / "c.tv", photos, descriptor="cs_lbp")
    dimensions = collection.settings.dimensions
    assert collection.settings.signature_bits == min(128, dimensions)
    assert ranked(collection, scenes.view(photos[1], VIEW))[0][0] == IDS[1]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"ranking": "bm25"}, ValueError, "ranking must be one of 'hamming', 'asmk', 'tfidf'"),
        ({"ranking": None}, ValueError, "ranking must be one of"),
        ({"ranking": ["asmk"]}, ValueError, "ranking must be one of"),
        ({"ranking": "asmk", "signature_bits": 64}, ValueError, "goes with ranking='hamming'"),
        ({"signature_bits": 0}, ValueError, "signature_bits must be"),
        ({"signature_bits": 129}, ValueError, "signature_bits must be"),
        ({"signature_bits": "64"}, TypeError, "signature_bits"),
    ],
)
def test_create_refuses(tmp_path, options, error, message):
    with pytest.raises(error, match=message):
        Collection.create(tmp_path / "c.tv", **options)
    assert not (tmp_path / "c.tv").exists()


def arrays_of(segment):
    return {
        kind: {name: np.array(section.array(name)) for name in section.shapes}
        for kind, section in segment.sections.items()
        if kind != "checksums"
    }


def test_signatures_of_another_length_are_corrupt(tmp_path, photos, vocabulary):
    source = made(tmp_path / "64.tv", photos, vocabulary, signature_bits=64)
    segment = source._storage.snapshot.segments[0]
    sections = arrays_of(segment)
    settings = Settings(signature_bits=128)
    storage = Storage.create(tmp_path / "128.tv", settings.as_dict(), settings.fingerprint)
    with storage.writer() as writer:
        embedding = new_embedding(settings, vocabulary.words)
        writer.set_vocabulary(vocabulary.words, settings.fingerprint, embedding)
        writer.add_segment(sections, list(segment.catalogue.rows()))
        writer.commit()
    with pytest.raises(IndexCorruptError, match="must be of 128 bits"):
        Collection.open(tmp_path / "128.tv", verify="full")


def test_an_image_twice_in_a_list_of_asmk_is_corrupt(tmp_path, photos, vocabulary):
    """What a photo is like to itself takes the square of that."""
    source = made(tmp_path / "good.tv", photos, vocabulary, ranking="asmk")
    segment = source._storage.snapshot.segments[0]
    sections = arrays_of(segment)
    lists = sections["signatures"]
    lists["images"] = np.repeat(lists["images"], 2)
    lists["signatures"] = np.repeat(lists["signatures"], 2, axis=0)
    lists["offsets"] = lists["offsets"] * np.uint64(2)
    settings = source.settings
    storage = Storage.create(tmp_path / "twice.tv", settings.as_dict(), settings.fingerprint)
    with storage.writer() as writer:
        writer.set_vocabulary(vocabulary.words, settings.fingerprint)
        writer.add_segment(sections, list(segment.catalogue.rows()))
        writer.commit()
    with pytest.raises(IndexCorruptError, match="names an image twice"):
        Collection.open(tmp_path / "twice.tv").search(photos[0])


@pytest.mark.parametrize("ranking", ["hamming", "asmk"])
def test_signatures_tell_photos_apart_that_have_the_same_words(tmp_path, photos, ranking):
    """Of one word, or of photos that all have all words, idf would be 0."""
    collection = made(tmp_path / "c.tv", photos, num_words=1, ranking=ranking)
    for number in range(3):
        (first, score), *_ = ranked(collection, photos[number])
        assert first == IDS[number]
        assert score > 0
    single = made(tmp_path / "single.tv", photos[:1], ranking=ranking)
    assert ranked(single, photos[0])[0][1] > 0


def test_threads_that_search_first_make_one_index(tmp_path, monkeypatch, photos, vocabulary):
    collection = made(tmp_path / "c.tv", photos, vocabulary)
    count = []
    plain = searcher.ranker_of
    monkeypatch.setattr(searcher, "ranker_of", lambda *given: count.append(1) or plain(*given))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: ranked(collection, photos[1]), range(8)))
    assert all(one == found[0] for one in found)
    assert count == [1]
