# SPDX-License-Identifier: Apache-2.0
"""What ranks the photos of a collection before geometry does."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import scenes
from trouvaille import Collection, _core, features
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


# ---- verified by signatures, where no descriptors are kept


@pytest.mark.parametrize("bits", [20, 128])
def test_a_photo_has_the_signatures_of_its_features(
    tmp_path, monkeypatch, photos, vocabulary, bits
):
    monkeypatch.setattr(pipeline, "SEGMENT_PHOTOS", 3)
    collection = made(tmp_path / "c.tv", photos, vocabulary, signature_bits=bits)
    found = collection._current()
    for number in range(N):
        segment, place = found._place(number)
        words = searcher._words(segment, place)
        expected = found._embedding.transform(searcher._descriptors(segment, place), words)
        signatures = searcher._signatures(segment, place)
        np.testing.assert_array_equal(signatures, expected)
        assert signatures.shape == (len(words), -(-bits // 8))
    assert (np.diff(searcher._words(*found._place(0))) == 0).any()  # several features of one word


def test_what_signatures_verify_is_what_descriptors_do(tmp_path, photos, vocabulary):
    kept = made(tmp_path / "kept.tv", photos, vocabulary)
    signed = made(tmp_path / "signed.tv", photos, vocabulary, keep_descriptors=False)
    words = made(tmp_path / "words.tv", photos, vocabulary, keep_descriptors=False, ranking="tfidf")
    sizes = [sum(file.stat().st_size for file in c.path.rglob("*")) for c in (kept, signed)]
    assert sizes[1] < 0.6 * sizes[0]
    for number in range(N - 1):
        query = scenes.view(photos[number], VIEW)
        by_descriptors, by_signatures, by_words = (c.search(query) for c in (kept, signed, words))
        assert by_signatures[0].id == by_descriptors[0].id == IDS[number]
        assert by_signatures[0].n_inliers > by_words[0].n_inliers
        np.testing.assert_allclose(
            by_signatures[0].transform, by_descriptors[0].transform, rtol=0.02, atol=2
        )
        assert [hit.n_inliers for hit in by_signatures[1:]] == [0] * (N - 1)


def test_signatures_of_other_features_are_noticed(tmp_path, monkeypatch, photos, vocabulary):
    collection = made(tmp_path / "c.tv", photos, vocabulary, keep_descriptors=False)
    words = searcher._words
    monkeypatch.setattr(searcher, "_words", lambda *place: np.sort(words(*place) // 2 * 2))
    with pytest.raises(IndexCorruptError, match=r"images.*the lists lack features of the photo"):
        collection.search(photos[0])


def test_signatures_are_taken_from_what_fits(rng):
    words = np.sort(rng.integers(0, 9, 200)).astype(np.uint32)
    photos = rng.integers(0, 6, 200).astype(np.uint16)
    order = np.lexsort((photos, words))
    rows = rng.integers(0, 256, (200, 5), dtype=np.uint8)
    for num_words in (9, 5000):  # lists of all words, or of those that have one
        block = _core.build_signatures(words[order], photos[order], rows, num_words)
        assert (len(block[0]) > 0) == (num_words == 5000)
        for photo in range(6):
            own = photos[order] == photo
            found = _core.signatures_of(block, photo, words[order][own])
            np.testing.assert_array_equal(found, rows[own])
        for other in (np.uint32([9]), np.uint32([2**32 - 1]), np.full(99, words[0], np.uint32)):
            with pytest.raises(ValueError, match="lack features"):
                _core.signatures_of(block, 0, other)
        with pytest.raises(ValueError, match="lack features"):
            _core.signatures_of(block, 6, words[:1])
        with pytest.raises(ValueError, match="must ascend"):
            _core.signatures_of(block, 0, words[::-1].copy())
        broken = (block[0], np.r_[block[1][:1], np.uint64(2**63), block[1][2:]], *block[2:])
        with pytest.raises(ValueError, match="lack features"):
            _core.signatures_of(broken, 0, words[:1])
