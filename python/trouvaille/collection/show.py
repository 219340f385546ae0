# SPDX-License-Identifier: Apache-2.0
"""Search results as a page to look at: what matched, where, and why."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .. import page
from .collection import Collection
from .results import Hit, Hits

Box = tuple[float, float, float, float]


def write_page(
    path: str | os.PathLike[str],
    collection: Collection,
    results: Sequence[tuple[str | os.PathLike[str], Hits]],
    *,
    title: str,
    sources: Mapping[str, str] | None = None,
) -> None:
    """Write one self-contained HTML page of queries beside their results.

    The outline in a query is `Hit.query_box`, and that in a result is `region` of the hit.

    Parameters
    ----------
    path : path
        The page; replaced if it exists.
    collection : Collection
        The collection searched; says where its photos are. One that has moved since is shown as a
        placeholder.
    results : sequence of (query photo's path, hits)
        As `Collection.search` returned them.
    title : str
        The page's title.
    sources : mapping of photo name to text, optional
        Where each photo comes from.
    """
    sources = sources or {}
    queries = [
        page.PageQuery(
            name=Path(query).name,
            image=Path(query),
            size=hits.query_size,
            results=tuple(_result(collection, hit, sources) for hit in hits),
            times=dict(hits.seconds),
            note=sources.get(Path(query).name, ""),
        )
        for query, hits in results
    ]
    page.write(Path(path), queries, title=title, subtitle=collection.summary)


def _result(collection: Collection, hit: Hit, sources: Mapping[str, str]) -> page.PageResult:
    entry = collection.entry(hit.id)
    outline = None if hit.query_box is None else _corners(hit.query_box)
    return page.PageResult(
        name=hit.id,
        image=Path(entry.path) if entry.path else None,
        size=entry.size,
        rank=hit.rank,
        score=hit.score,
        n_inliers=hit.n_inliers,
        verified=hit.n_inliers > 0,
        query_polygon=outline,
        polygon=region(hit),
        lines=hit.matches,
        note=sources.get(hit.id, ""),
    )


def region(hit: Hit) -> NDArray[np.float64] | None:
    """Return where the region that matched is in a photo found: four corners, shape (4, 2).

    They are the corners of `hit.query_box`, clockwise from the top left, after `hit.transform`:
    turned as the object is, which the upright `hit.box` cannot be. That one bounds the same
    features more closely, and lies within the bounds of these corners. None if the photo is not
    verified.
    """
    if hit.query_box is None or hit.transform is None:
        return None
    return _transformed(_corners(hit.query_box), hit.transform)


def _corners(box: Box) -> NDArray[np.float64]:
    x1, y1, x2, y2 = box
    return np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]])


def _transformed(
    points: NDArray[np.float64], transform: NDArray[np.float64]
) -> NDArray[np.float64]:
    mapped = np.column_stack([points, np.ones(len(points))]) @ transform.T
    return mapped[:, :2] / mapped[:, 2:]
