# SPDX-License-Identifier: Apache-2.0
"""One vector a photo: time beside NumPy and scikit-image, and what is found with it.

Speed: photos of 1,000 real RootSIFT descriptors (sift_data.py), one thread. Quality: each labelled
set of $TROUVAILLE_DATA plus all distractors, every encoder learned on the distractors and the
*other* sets, as bench_collection.py has it; whole rankings by inner product.
"""

from __future__ import annotations

import argparse
import os
from functools import partial
from pathlib import Path

from harness import compare, record, single_thread

single_thread()

import numpy as np  # noqa: E402

import sift_data  # noqa: E402
from trouvaille import features, images  # noqa: E402
from trouvaille.aggregate import (  # noqa: E402
    VLAD,
    BagOfWords,
    FisherVector,
    LearnedWhitening,
    PCAWhitening,
)
from trouvaille.evaluation import GroundTruth  # noqa: E402
from trouvaille.neighbors import Exact  # noqa: E402

SETS = ("smvs_books", "smvs_landmarks", "grocery_packages")
MAX_FEATURES, MAX_SIZE = 1000, 800
N_PHOTOS, N_FEATURES = 50, 1000
LONGEST_WHITENED = 8192


# ---- speed


def numpy_vlad(photos, words):
    """Every step one NumPy call: nearest words and sums by matrix products in float32."""
    half_norms = np.square(words).sum(axis=1) / 2
    vectors = np.empty((len(photos), words.size), np.float32)
    for i, photo in enumerate(photos):
        x = photo.astype(np.float32)
        ids = (x @ words.T - half_norms).argmax(axis=1)
        has = np.zeros((len(x), len(words)), np.float32)
        has[np.arange(len(x)), ids] = 1
        v = has.T @ x - has.sum(axis=0)[:, None] * words
        v /= np.maximum(np.linalg.norm(v, axis=1, keepdims=True), 1e-12)
        vectors[i] = v.reshape(-1) / max(np.linalg.norm(v), 1e-12)
    return vectors


def vlad_speed(photos, num_words):
    ours = VLAD(num_words, threads=1).fit(photos)
    words = ours.words_.astype(np.float32)
    expected = numpy_vlad([photo.astype(np.float64) for photo in photos], words.astype(np.float64))
    compare(
        f"VLAD, {num_words} words, photos of 1,000 SIFT in bytes",
        {"ours": partial(ours.transform, photos), "NumPy": partial(numpy_vlad, photos, words)},
        items=len(photos),
        unit="us/photo",
        quality=lambda _, v: {"largest error": float(np.abs(v - expected).max())},
        notes="NumPy: matrix products in float32, a photo at a time",
    )


def fisher_speed(photos, n_components, dims):
    from skimage.feature import fisher_vector
    from sklearn.mixture import GaussianMixture

    ours = FisherVector(n_components, pca=dims, threads=1).fit(photos)
    reduced = [ours.pca_.transform(photo) for photo in photos]
    learned = ours.mixture_
    theirs = GaussianMixture(n_components, covariance_type="diag")
    theirs.weights_, theirs.means_ = learned.weights_, learned.means_
    theirs.covariances_ = learned.covariances_
    theirs.precisions_cholesky_ = learned.covariances_**-0.5
    encoder = FisherVector(learned, threads=1)

    def peer(given):
        return [fisher_vector(photo, theirs, improved=True) for photo in given]

    def quality(name, vectors):
        """The angle between both, without the weights, which scikit-image keeps."""
        v = np.asarray(vectors, np.float64)
        if name != "ours":
            v = v[:, n_components:] * np.repeat([1, -1], n_components * dims)
            v /= np.linalg.norm(v, axis=1, keepdims=True)
        return {"largest difference": float(np.abs(v - expected).max())}

    expected = encoder.transform(reduced).astype(np.float64)
    compare(
        f"Fisher vector, {n_components} Gaussians, photos of 1,000 descriptors of {dims} numbers",
        {
            "ours": partial(encoder.transform, reduced),
            "scikit-image": partial(peer, reduced),
        },
        items=len(photos),
        unit="us/photo",
        quality=quality,
        notes="a photo at a time in scikit-image; after the PCA, which is not timed",
    )


def mixture_speed(photos, n_components, dims):
    from sklearn.mixture import GaussianMixture

    from trouvaille.aggregate import GaussianMixture as Ours

    X = PCAWhitening(dims, whitening_power=0, norm=None).fit_transform(np.concatenate(photos))
    first = Ours(n_components, iterations=1).fit(X)

    def ours():
        return Ours(n_components, iterations=10, tol=0, threads=1).fit(X).lower_bound_

    def theirs():
        model = GaussianMixture(
            n_components,
            covariance_type="diag",
            max_iter=10,
            tol=0,
            weights_init=first.weights_,
            means_init=first.means_,
            precisions_init=1 / first.covariances_,
        )
        return model.fit(X.astype(np.float64)).score(X)

    import warnings

    warnings.filterwarnings("ignore", module="sklearn")
    compare(
        f"mixture of {n_components} Gaussians, {len(X):,} points of {dims} numbers, 10 rounds",
        {"ours": ours, "scikit-learn": theirs},
        unit="s/run",
        quality=lambda _, bound: {"mean log-likelihood": float(bound)},
        repeats=3,
        warmup=0,
        notes="ours includes k-means; scikit-learn is given our beginning",
    )


def whitening_speed(photos):
    X = np.tile(VLAD(64).fit(photos).transform(photos), (8, 1))
    X += np.random.default_rng(0).normal(0, 0.01, X.shape).astype(np.float32)
    ours = PCAWhitening(128, threads=1).fit(X)
    mean = ours.mean_.astype(np.float32)
    scales = ours.explained_variance_**-ours.whitening_power
    weights = np.ascontiguousarray((ours.components_.T * scales).astype(np.float32))

    def peer():
        y = (X - mean) @ weights
        return y / np.linalg.norm(y, axis=1, keepdims=True)

    compare(
        "PCA whitening, 8,192 numbers to 128",
        {"ours": partial(ours.transform, X), "NumPy": peer},
        items=len(X),
        unit="us/vector",
    )


def speed():
    rows = sift_data.load(100_000).base
    photos = list(rows[: N_PHOTOS * N_FEATURES].reshape(N_PHOTOS, N_FEATURES, -1))
    for num_words in (64, 256):
        vlad_speed(photos, num_words)
    for n_components, dims in ((64, 64), (256, 64), (64, 128)):
        fisher_speed(photos, n_components, dims)
    mixture_speed(photos, 64, 64)
    whitening_speed(photos)


# ---- quality


class Photos:
    """Descriptors of all photos of all sets, by set and file name."""

    def __init__(self, data: Path) -> None:
        self.truths = {name: GroundTruth.load(data / name / "gt.json") for name in SETS}
        self.found: dict[str, dict[str, np.ndarray]] = {}
        for name in (*SETS, "distractors"):
            paths = images.find_photos(data / name)
            extracted = features.extract_all(paths, max_features=MAX_FEATURES, max_size=MAX_SIZE)
            self.found[name] = {
                path.relative_to(data / name).as_posix(): one.features.descriptors
                for path, one in zip(paths, extracted, strict=True)
            }

    def others(self, tested: str) -> tuple[list[np.ndarray], np.ndarray]:
        """Photos to learn from, and which of them show the same."""
        photos, pairs, first = [], [], 0
        for name in (*SETS, "distractors"):
            if name == tested:
                continue
            place = {photo: first + i for i, photo in enumerate(self.found[name])}
            photos += self.found[name].values()
            first = len(photos)
            for query in self.truths[name].queries if name in self.truths else ():
                pairs += [(place[query.image], place[p]) for p in sorted(query.positives)]
        return photos, np.array(pairs)


def quality(data: Path, sets: list[str]) -> None:
    photos = Photos(data)
    for tested in sets:
        learned_from, pairs = photos.others(tested)
        truth = photos.truths[tested]
        own, distractors = photos.found[tested], photos.found["distractors"]
        database = [*truth.database, *distractors]
        indexed = [*(own[name] for name in truth.database), *distractors.values()]
        asked = [own[query.image] for query in truth.queries]
        scored = partial(_scored, truth, database)
        values: dict[str, float] = {}
        bags = BagOfWords(
            20_000, weighting="tfidf", burstiness="sqrt", sparse=True, max_descriptors=200_000
        ).fit(learned_from)
        values["tf-idf, 20,000 words"] = scored(
            bags.transform(indexed).toarray(), bags.transform(asked).toarray()
        )
        for name, encoder in encoders().items():
            vectors = encoder.fit_transform(learned_from)
            both = [encoder.transform(part) for part in (indexed, asked)]
            values[f"{name} ({vectors.shape[1]:,})"] = scored(*both)
            if vectors.shape[1] > LONGEST_WHITENED:
                continue
            for how, project in whitenings(vectors, pairs).items():
                values[f"{name}, {how}"] = scored(*map(project, both))
        for name, value in values.items():
            # A name of its own for each set: the report shows the newest row of a name.
            record(f"{tested} + distractors, {name}", {"mAP": value}, table="one vector a photo")


def whitenings(vectors, pairs):
    """Ways to shorten vectors, learned from these and from which of them show the same."""
    shorter = PCAWhitening(256, whitening_power=0, norm=None).fit(vectors)
    learned = LearnedWhitening(128, regularization=0.1).fit(shorter.transform(vectors), pairs)
    return {
        "PCA whitening (128)": PCAWhitening(128).fit(vectors).transform,
        "PCA whitening (512)": PCAWhitening(512).fit(vectors).transform,
        "half whitening (512)": PCAWhitening(512, whitening_power=0.25).fit(vectors).transform,
        "learned whitening (128)": lambda v: learned.transform(shorter.transform(v)),
    }


def encoders():
    return {
        "VLAD 64": VLAD(64),
        "VLAD 64, unit residuals, root": VLAD(64, unit_residuals=True, power=0.5, intra=False),
        "VLAD 256": VLAD(256),
        "VLAD 256, 5 words": VLAD(256, assignments=5),
        "Fisher 64 of 64": FisherVector(64, pca=64),
        "Fisher 256 of 64": FisherVector(256, pca=64),
    }


def _scored(truth, database, vectors, queries):
    found = Exact("ip").build(np.ascontiguousarray(vectors, np.float32))
    ids = found.search(np.ascontiguousarray(queries, np.float32), len(database)).ids
    return truth.mean_average_precision([[database[i] for i in row] for row in ids])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="*", default=list(SETS), help="labelled sets")
    parser.add_argument("--only", choices=["speed", "quality"])
    arguments = parser.parse_args()
    if not os.environ.get("TROUVAILLE_DATA"):
        print("skipped: TROUVAILLE_DATA names no folder of labelled photos")
    else:
        if arguments.only != "quality":
            speed()
        if arguments.only != "speed":
            quality(Path(os.environ["TROUVAILLE_DATA"]), arguments.sets)
