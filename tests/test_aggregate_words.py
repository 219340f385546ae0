# SPDX-License-Identifier: Apache-2.0

import numpy as np
import pytest

import reference_aggregate as reference
from aggregate_cases import KINDS, joined, photos_of, same_on_every_isa
from trouvaille.aggregate import BagOfWords
from trouvaille.index import InvertedFile

OPTIONS = [
    {"norm": None},
    {},
    {"norm": "l1"},
    {"burstiness": "sqrt"},
    {"assignments": 3, "sigma": 25.0},
    {"assignments": 3, "sigma": 25.0, "burstiness": "sqrt", "norm": "l1"},
]


def check(actual, photos, words, **options):
    expected = [reference.bag_of_words(photo, words, **options) for photo in photos]
    assert actual.dtype == np.float32
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-6 * max(1, np.max(expected)))


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("options", OPTIONS)
def test_equals_the_formula(rng, dtype, options):
    photos, words = photos_of(rng, dtype), photos_of(rng, dtype, sizes=(11,))[0]
    bags = BagOfWords(words, **options)
    check(bags.transform(photos), photos, words, **options)
    sparse = BagOfWords(words, sparse=True, **options).transform(photos)
    np.testing.assert_array_equal(sparse.toarray(), bags.transform(photos))
    np.testing.assert_array_equal(bags.transform(joined(photos)), bags.transform(photos))


@pytest.mark.parametrize("weighting", ["tfidf", "tfidf_smooth"])
def test_scores_are_those_of_an_inverted_file(rng, weighting):
    photos = photos_of(rng, sizes=(40, 0, 3, 90, 20))
    bags = BagOfWords(8, weighting=weighting, burstiness="sqrt").fit(photos)
    check(bags.transform(photos), photos, bags.words_, idf=bags.idf_, burstiness="sqrt")
    vectors = bags.transform(photos)
    counts = BagOfWords(bags.words_, norm=None, sparse=True).transform(photos)
    index = InvertedFile(8, metric="cosine", weighting=weighting, burstiness="sqrt")
    index.add(counts)
    found = index.search(counts, k=5)
    scores = np.take_along_axis(vectors @ vectors.T, found.ids, axis=1)
    np.testing.assert_allclose(found.scores, scores, atol=1e-6)


def test_a_word_that_all_photos_have_weighs_nothing(rng):
    words = np.uint8([[0, 0], [100, 100]])
    photos = [words, words[:1]]
    bags = BagOfWords(words, weighting="tfidf").fit(photos)
    np.testing.assert_allclose(bags.idf_, [0, np.log(2)])
    np.testing.assert_allclose(bags.transform(photos), [[0, 1], [0, 0]])


def test_words_that_are_too_far_to_count_are_none_that_a_photo_has(rng):
    photos, words = photos_of(rng), photos_of(rng, sizes=(11,))[0]
    nearest = BagOfWords(words, weighting="tfidf", sparse=True).fit(photos)
    narrow = BagOfWords(words, weighting="tfidf", sparse=True, assignments=3, sigma=1e-3)
    np.testing.assert_array_equal(narrow.fit(photos).idf_, nearest.idf_)
    assert narrow.transform(photos).nnz == nearest.transform(photos).nnz


@pytest.mark.parametrize("sparse", [False, True])
def test_another_weighting_needs_another_fit(rng, tmp_path, sparse):
    photos, words = photos_of(rng), photos_of(rng, sizes=(9,))[0]
    path = tmp_path / "bags.tv"
    for first, second in [(None, "tfidf"), ("tfidf", "tfidf_smooth"), ("tfidf_smooth", "tfidf")]:
        bags = BagOfWords(words, weighting=first, sparse=sparse).fit(photos)
        expected = bags.transform([photos[0], photos[3]])
        bags.save(path)
        for fitted in (bags, BagOfWords.load(path)):
            fitted.set_params(weighting=second)
            for call in (fitted.transform, lambda _, fitted=fitted: fitted.save(path)):
                with pytest.raises(ValueError, match=f"weighting is '{second}'.*call fit again"):
                    call(photos)
            assert abs(fitted.set_params(weighting=first).transform(photos[:1]) - expected[:1]
                       ).max() == 0  # fmt: skip
            fitted.set_params(weighting=second).fit(photos)
            fresh = BagOfWords(words, weighting=second, sparse=sparse).fit(photos)
            assert abs(fitted.transform(photos) - fresh.transform(photos)).max() == 0
            assert abs(fitted.transform(photos[:1]) - expected[:1]).max() > 0


def test_counts_need_no_other_fit(rng):
    photos, words = photos_of(rng), photos_of(rng, sizes=(9,))[0]
    bags = BagOfWords(words, weighting="tfidf").fit(photos).set_params(weighting=None)
    np.testing.assert_array_equal(bags.transform(photos), BagOfWords(words).transform(photos))


def test_neither_threads_nor_instruction_sets_matter(rng, threads):
    photos, words = photos_of(rng, sizes=(40, 3, 0, 200)), photos_of(rng, sizes=(9,))[0]
    bags = BagOfWords(words, assignments=2, sigma=9.0, threads=threads)
    one = same_on_every_isa(lambda: bags.transform(photos))
    for photo, v in zip(photos, one, strict=True):
        np.testing.assert_array_equal(bags.transform([photo])[0], v)


def test_no_photos():
    words = np.zeros((3, 2), np.uint8)
    assert BagOfWords(words).transform([]).shape == (0, 3)
    assert BagOfWords(words, sparse=True).transform([]).shape == (0, 3)
    assert BagOfWords(words, sparse=True).transform([np.empty((0, 2))]).nnz == 0
