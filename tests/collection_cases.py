# SPDX-License-Identifier: Apache-2.0
"""What tests of collections with vectors share: photos in colours, and a small network.

A test that imports this is skipped where PyTorch, or the network's package, is not installed.
"""

from functools import cache

import pytest

import scenes
from deep_cases import deep
from trouvaille import Collection

pytest.importorskip("efficientnet_lite_pytorch", reason="a network that a collection can name")

COLOURS = [
    (255, 90, 60),
    (90, 160, 255),
    (110, 230, 90),
    (235, 210, 60),
    (200, 100, 240),
    (170, 170, 170),
]
N = len(COLOURS)
IDS = [f"scene{i}" for i in range(N)]
VIEW = scenes.similarity(0.9, 20, 12, -8)
BOTH = ["global", "local+global"]
SIZE = 160


@cache
def photos():
    """A scene in each colour."""
    return [scenes.tinted(scenes.scene(i), colour) for i, colour in enumerate(COLOURS)]


@cache
def network():
    """A network that a collection can store, with random weights."""
    backbone = deep.Backbone("efficientnet_lite0", "block_2", weights=None)
    return deep.GlobalDescriptor(backbone, deep.RMAC(), scales=(1.0, 0.5))


def empty(path, pipeline):
    """A collection of that network without photos."""
    return Collection.create(path, pipeline=pipeline, network=network(), max_size=SIZE)


def filled(path, pipeline):
    """A collection of the photos, in two segments."""
    collection = empty(path, pipeline)
    collection.add(photos()[:4], IDS[:4])
    collection.add(photos()[4:], IDS[4:])
    return collection


def vectors(network, photos, **options):
    """The vectors of photos, as a collection should have them."""
    report = deep.extract(network, photos, image_size=SIZE, scales=None, **options)
    assert not report.failed
    return report.descriptors


def stored_vectors(collection):
    """The vectors that a collection keeps, a list of rows."""
    segments = collection._storage.snapshot.segments
    return [row for each in segments for row in each.sections["vectors"].array("vectors")]


def ranked(hits):
    """The ids and scores of a result."""
    return [(hit.id, hit.score) for hit in hits]
