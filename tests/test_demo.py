# SPDX-License-Identifier: Apache-2.0
"""The whole way on the demo's real photos: what must be found, and what must not."""

import pytest

from trouvaille import Collection
from trouvaille.demo_photos import LOOKALIKES, fetch

pytestmark = pytest.mark.network


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return fetch(tmp_path_factory.mktemp("demo") / "photos")


@pytest.fixture(scope="module")
def collection(photos, tmp_path_factory):
    collection = Collection.create(tmp_path_factory.mktemp("collection") / "photos.tv")
    report = collection.add(photos.database)
    assert report.failed == []
    return collection


def test_every_second_view_is_found_and_nothing_else(photos, collection):
    assert len(photos.queries) == 5
    for query, expected in photos.queries.items():
        hits = collection.search(query)
        assert hits[0].id in expected, query.name
        assert {hit.id for hit in hits if hit.n_inliers} <= set(expected), query.name
        assert expected[0] in {hit.id for hit in hits if hit.n_inliers}, query.name


@pytest.mark.parametrize(
    ("query", "other"), [pair for one in LOOKALIKES.items() for pair in (one, one[::-1])]
)
def test_two_cathedrals_are_kept_apart(photos, collection, query, other):
    hits = collection.search(photos.database / query, len(collection), exclude=[query])
    assert [hit.id for hit in hits if hit.n_inliers] == []
    assert other in [hit.id for hit in hits]
