# SPDX-License-Identifier: Apache-2.0
"""Files of encoders and whitenings that are whole, but hold what none of these wrote."""

import numpy as np
import pytest

from aggregate_cases import photos_of
from trouvaille._array_file import ArrayFile
from trouvaille.aggregate import (
    VLAD,
    BagOfWords,
    FisherVector,
    GaussianMixture,
    LearnedWhitening,
    PCAWhitening,
)
from trouvaille.errors import IndexCorruptError
from trouvaille.words import KMeans

PHOTOS = photos_of(np.random.default_rng(0))
VECTORS = np.random.default_rng(1).normal(size=(30, 6)).astype(np.float32)
LEARNED = {
    "bags": lambda: BagOfWords(3, weighting="tfidf").fit(PHOTOS),
    "bags of given words": lambda: BagOfWords(PHOTOS[0][:3]),
    "vlad": lambda: VLAD(KMeans(3), assignments=2, power=0.5).fit(PHOTOS),
    "vlad of floats": lambda: VLAD(3, pca=4).fit(PHOTOS),
    "fisher": lambda: FisherVector(3).fit(PHOTOS),
    "fisher with pca": lambda: FisherVector(GaussianMixture(2), pca=4).fit(PHOTOS),
    "mixture": lambda: GaussianMixture(2).fit(VECTORS),
    "pca": lambda: PCAWhitening(3, whitening_power=0.25).fit(VECTORS),
    "pairs": lambda: LearnedWhitening(3).fit(VECTORS, [[0, 1], [2, 3], [4, 9]]),
}


def put(value):
    def change(array):
        array = array.copy()
        array.flat[array.size // 2] = value
        return array

    return change


# What is refused whatever array it is, and what may be one.
REFUSED = {
    "NaN": put(np.nan),
    "infinity": put(np.inf),
    "an axis more": lambda a: a[None],
    "int64": lambda a: a.astype(np.int64),
    "float16": lambda a: a.astype(np.float16),
    "complex": lambda a: a.astype(np.complex128),
    "none": lambda a: a[:0],
    "a number": lambda a: a.ravel()[0],
}
CHANGED = {
    "flat": np.ravel,
    "transposed": np.transpose,
    "one row": lambda a: a[:1],
    "a row more": lambda a: np.concatenate([a, a[:1]]),
    "no columns": lambda a: a[..., :0],
    "a column less": lambda a: a[..., :-1],
    "a column more": lambda a: np.concatenate([a, a[..., :1]], axis=-1),
    "uint8": lambda a: np.abs(a).astype(np.uint8),
    "float32": lambda a: a.astype(np.float32),
    "float64": lambda a: a.astype(np.float64),
    "zeros": np.zeros_like,
    "negative": lambda a: -a,
    "1e38": lambda a: put(1e38)(a) if a.dtype.kind == "f" else put(255)(a),
    "1e300": lambda a: put(1e300)(a) if a.dtype == np.float64 else put(7)(a),
    "tiny": lambda a: put(1e-300)(a) if a.dtype == np.float64 else put(0)(a),
}
PARAMETERS = [
    *(None, True, -1, 0, 2, 0.5, 1e300, -1e300, 2**40, "x", "l1", "tfidf_smooth", [], [[1]], {}),
    {"model": "KMeans", "parameters": {}},
    {"model": "KMeans", "parameters": {"num_words": -1}},
    {"model": "GaussianMixture", "parameters": {"n_components": "x"}},
    {"model": "VLAD", "parameters": {}},
]


@pytest.fixture(params=list(LEARNED))
def written(request, monkeypatch, tmp_path):
    """Give a class, parameters and arrays of a file, and a function that opens others."""
    learned = LEARNED[request.param]()
    learned.save(tmp_path / "whole.tv")
    metadata, arrays = learned._format.read(tmp_path / "whole.tv")
    arrays = {name: array.copy() for name, array in arrays.items()}

    def opened(parameters, arrays):
        found = {"parameters": parameters}, arrays
        monkeypatch.setattr(ArrayFile, "read", lambda *_, **__: found)
        return type(learned).load("lie.tv")

    return learned, metadata["parameters"], arrays, opened


def refused_or_used(opened, parameters, arrays):
    """Open what may be no encoder, and use it; True if it was opened."""
    try:
        found = opened(parameters, arrays)
    except IndexCorruptError:
        return False
    if isinstance(found, GaussianMixture):
        assert np.isfinite(found.weights_).all()
        return True
    X = VECTORS if isinstance(found, PCAWhitening | LearnedWhitening) else PHOTOS
    try:
        with np.errstate(all="ignore"):
            vectors = found.transform(X)
    except (TypeError, ValueError):
        return True
    assert vectors.shape[0] == len(X)
    return True


def test_the_file_itself_is_opened(written):
    learned, parameters, arrays, opened = written
    assert refused_or_used(opened, parameters, arrays)
    assert repr(opened(parameters, arrays)).startswith(type(learned).__name__)


def test_arrays_that_are_none_of_its_own_are_refused(written):
    _, parameters, arrays, opened = written
    for name, array in arrays.items():
        for change in REFUSED.values():
            if array.dtype == np.uint8 and change in (REFUSED["NaN"], REFUSED["infinity"]):
                continue
            with pytest.raises(IndexCorruptError, match=r"lie\.tv"):
                opened(parameters, arrays | {name: change(array)})
        if name != "sigma":
            with pytest.raises(IndexCorruptError, match=r"lie\.tv"):
                opened(parameters, {other: arrays[other] for other in arrays if other != name})
        with pytest.raises(IndexCorruptError, match=r"lie\.tv"):
            opened(parameters, {f"{other}s": arrays[other] for other in arrays})
    with pytest.raises(IndexCorruptError, match=r"lie\.tv"):
        opened(parameters, arrays | {"more": np.zeros(1)})
    with pytest.raises(IndexCorruptError, match=r"lie\.tv"):
        opened(parameters, {})


def test_changed_arrays_are_refused_or_harmless(written):
    _, parameters, arrays, opened = written
    n_opened = 0
    for name, array in arrays.items():
        for change in CHANGED.values():
            n_opened += refused_or_used(opened, parameters, arrays | {name: change(array)})
        for other in arrays.values():
            n_opened += refused_or_used(opened, parameters, arrays | {name: other})
    assert 0 < n_opened < len(arrays) * (len(CHANGED) + len(arrays))


def test_changed_parameters_are_refused_or_harmless(written):
    _, parameters, arrays, opened = written
    for name in parameters:
        for value in PARAMETERS:
            refused_or_used(opened, parameters | {name: value}, arrays)
        refused_or_used(opened, {own: parameters[own] for own in parameters if own != name}, arrays)
    for wrong in ([], None, {"clusters": 3} | parameters, {"parameters": parameters}):
        with pytest.raises(IndexCorruptError, match=r"lie\.tv"):
            opened(wrong, arrays)
