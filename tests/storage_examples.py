# SPDX-License-Identifier: Apache-2.0
"""Small collections on disk, all that can be read from one, and a folder that fails on demand."""

import numpy as np

from trouvaille.collection.storage import CatalogueRow, Directory, Storage

FINGERPRINT = "rootsift-128"
SETTINGS = {"max_features": 2000, "root": True, "longest_side": None, "scales": [1, 0.5]}
NUM_WORDS = 7
NETWORK = b"a network, which is bytes to the storage"


def vocabulary():
    return np.random.default_rng(1).integers(0, 256, (NUM_WORDS, 8), dtype=np.uint8)


def embedding():
    return {"means": vocabulary()[::-1], "projection": np.eye(8, 5, dtype=np.float32)}


def segment(prefix, features=(3, 0, 4), num_words=NUM_WORDS, seed=0, descriptors=True):
    """Return sections and rows of a segment whose image i has features[i] features."""
    rng = np.random.default_rng(seed)
    n_images, n_features = len(features), sum(features)
    offsets = np.concatenate([[0], np.cumsum(features)]).astype(np.uint64)
    words = [np.sort(rng.integers(0, num_words, n)) for n in features]
    table = np.array([np.bincount(w, minlength=num_words) for w in words]).reshape(-1, num_words)
    word, image = np.nonzero(table.T)
    starts = np.concatenate([[0], np.cumsum((table > 0).sum(axis=0))]).astype(np.uint64)
    sections = {
        "postings": {
            "offsets": starts,
            "images": image.astype(np.uint32),
            "counts": table[image, word].astype(np.uint16),
        },
        "signatures": {
            "offsets": np.concatenate([[0], np.cumsum(table.sum(axis=0))]).astype(np.uint64),
            "images": np.repeat(image, table[image, word].astype(np.int64)).astype(np.uint16),
            "signatures": rng.integers(0, 256, (n_features, 2), dtype=np.uint8),
        },
        "words": {
            "feature_offsets": offsets,
            "words": np.concatenate([*words, []]).astype(np.uint32),
        },
        "frames": {"frames": rng.normal(size=(n_features, 2, 3)).astype(np.float32)},
        "vectors": {"vectors": rng.uniform(-1, 1, (n_images, 4)).astype(np.float32)},
    }
    if descriptors:
        data = rng.integers(0, 256, (n_features, 16), dtype=np.uint8)
        sections["descriptors"] = {"descriptors": data}
    rows = [
        CatalogueRow(f"{prefix}/{i}.jpg", None if i == 1 else f"/photos/{i} ü.jpg", 640, 480, 320,
                     240, features[i], "ok", {"camera": prefix, "turns": [i]})
        for i in range(n_images)
    ]  # fmt: skip
    return sections, rows


def make(path, batches=2):
    """Make a collection with a vocabulary and some segments, each committed alone."""
    storage = Storage.create(path, SETTINGS, FINGERPRINT)
    with storage.writer() as writer:
        writer.set_vocabulary(vocabulary(), FINGERPRINT, embedding())
        writer.set_network(NETWORK)
        writer.commit()
        for batch in range(batches):
            writer.add_segment(*segment(f"batch{batch}", seed=batch))
            writer.commit()
    return storage


def content(snapshot):
    """Return everything that can be read from a snapshot, comparable with ==."""
    return {
        "manifest": snapshot.manifest,
        "settings": snapshot.settings,
        "vocabulary": None if snapshot.vocabulary is None else snapshot.vocabulary.tolist(),
        "embedding": None
        if snapshot.embedding is None
        else [array.tolist() for array in snapshot.embedding],
        "network": None if snapshot.network is None else snapshot.network.array("file").tobytes(),
        "frequencies": snapshot.document_frequencies.tolist(),
        "segments": [segment_content(s) for s in snapshot.segments],
    }


def segment_content(segment):
    arrays = {
        (kind, name): section.array(name).tobytes()
        for kind, section in segment.sections.items()
        for name in section.shapes
    }
    rows = list(segment.catalogue.rows())
    return arrays, rows, [segment.catalogue.number(row.id) for row in rows]


class Crash(BaseException):
    """The process is no more."""


STEPS = [
    *("make_folder", "create", "write", "fsync", "close"),
    *("rename", "unlink", "remove_folder", "sync_folder", "sync_parent"),
]


class FaultyDirectory(Directory):
    """A folder in which `strike(name of the step)` is called at step number `at`, before it."""

    def __init__(self, path, at=None, strike=None):
        super().__init__(path)
        self.at = at
        self.strike = strike
        self.steps = []

    def _step(self, method, *args):
        self.steps.append(method)
        if len(self.steps) - 1 == self.at:
            self.strike(method, *args)


def _fault(method):
    def step(self, *args):
        self._step(method, *args)
        return getattr(Directory, method)(self, *args)

    return step


for _method in STEPS:
    setattr(FaultyDirectory, _method, _fault(_method))
