# SPDX-License-Identifier: Apache-2.0
"""One HTML page of search results that opens offline: photos, outlines and lines in one file.

Each distinct photo is inlined once, as an SVG image that every card refers to; cards, outlines and
numbers need no script. The detail view does, and reads its data from a JSON block.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from io import BytesIO
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _files

__all__ = ["PageQuery", "PageResult", "render", "write"]

PHOTO_SIDE = 800  # longest side of an inlined photo, for the cards and the detail view
SMALLEST_SIDE = 320
FULL_SIZE_PHOTOS = 60  # with more photos than this on a page, each gets smaller
JPEG_QUALITY = 80
MAX_LINES = 250  # drawn for one result; more would hide the photos

Photo = str | os.PathLike[str] | NDArray[np.uint8] | None


def _no_lines() -> NDArray[np.float64]:
    return np.empty((0, 4))


@dataclass(frozen=True, eq=False)
class PageResult:
    """One result of a query, as the page shows it.

    Attributes
    ----------
    name
        Shown as it is; any text, such as a file name.
    image
        A path, an RGB array of shape (height, width, 3) uint8, or None if there is no photo.
    size
        Width and height in pixels that the coordinates refer to: x, y, with (0, 0) the centre of
        the top-left pixel. The photo itself may be stored smaller.
    rank, score
        Place, from 1, and the score that gave it; higher is better.
    n_inliers
        Number of correspondences that agree on one transformation.
    verified
        Whether these are enough to call it the same object.
    query_polygon, polygon
        The matched region in the query and in this photo, shape (m, 2), or None.
    lines
        Correspondences, shape (n, 4): x and y in the query, x and y in this photo.
    note
        Where the photo came from, say.
    """

    name: str
    image: Photo
    size: tuple[int, int]
    rank: int
    score: float
    n_inliers: int
    verified: bool
    query_polygon: NDArray[Any] | None = None
    polygon: NDArray[Any] | None = None
    lines: NDArray[Any] = field(default_factory=_no_lines)
    note: str = ""


@dataclass(frozen=True, eq=False)
class PageQuery:
    """One query and its ranked results, as the page shows them.

    Attributes
    ----------
    name, image, size, note
        As of `PageResult`.
    results
        In the order in which they are shown.
    times
        Seconds by step, such as ``{"extract": 0.21, "search": 0.004, "verify": 0.03}``.
    """

    name: str
    image: Photo
    size: tuple[int, int]
    results: Sequence[PageResult] = ()
    times: Mapping[str, float] = field(default_factory=dict)
    note: str = ""


def write(
    path: str | os.PathLike[str],
    queries: Sequence[PageQuery],
    *,
    title: str,
    subtitle: str = "",
) -> None:
    """Write the page to `path`: aside, and then renamed, so that no half page is ever seen.

    Parameters
    ----------
    path
        The file to write; it is replaced if it exists.
    queries, title, subtitle
        As of `render`.
    """
    content = render(queries, title=title, subtitle=subtitle).encode()
    _files.replace(Path(path), [content])


def render(queries: Sequence[PageQuery], *, title: str, subtitle: str = "") -> str:
    """Return a self-contained HTML page of queries and their results.

    Parameters
    ----------
    queries
        What to show, in order. A photo that is None or cannot be read is drawn as a placeholder.
    title, subtitle
        The heading of the page, and a line under it.

    Returns
    -------
    str
        The page. It refers to nothing outside itself. In its address, ``#q1`` is the first query
        and ``#q1-r2`` opens its second result.

    Raises
    ------
    ValueError, TypeError
        If a size, a polygon, lines or an image array has the wrong shape, type or values.
    """
    queries = list(queries)
    for query in queries:
        _check(query)
    photos = _Photos(queries)
    sections = [_section(number, query, photos) for number, query in enumerate(queries, 1)]
    if not sections:
        sections = ['<p class="empty">There are no queries to show.</p>']
    data = [_data(query, photos) for query in queries]
    source = resources.files(__package__).joinpath("page.html").read_text("utf-8")
    return Template(source).substitute(
        script_hash=_script_hash(source),
        title=_text(title),
        photos="\n".join(photos.definitions),
        header=_header(queries, subtitle, photos),
        sections="\n".join(sections),
        data=_json(data),
    )


# ---- What is outside is checked here, and clean below ------------------------------------------


def _check(query: PageQuery) -> None:
    _check_photo(query, f"query {query.name!r}")
    for result in query.results:
        where = f"result {result.name!r} of query {query.name!r}"
        _check_photo(result, where)
        for name, columns in (("query_polygon", 2), ("polygon", 2), ("lines", 4)):
            value = getattr(result, name)
            if value is None and name != "lines":
                continue
            given = np.asarray(value)
            if given.ndim != 2 or given.shape[1] != columns:
                raise ValueError(
                    f"{name} of {where} must have shape (n, {columns}), got {given.shape}"
                )
            if given.dtype.kind not in "uif" or not np.isfinite(given).all():
                raise ValueError(f"{name} of {where} must hold finite numbers, in pixels")


def _check_photo(item: PageQuery | PageResult, where: str) -> None:
    if len(item.size) != 2 or not all(side >= 1 for side in item.size):
        raise ValueError(f"size of {where} must be (width, height) in pixels, got {item.size}")
    image = item.image
    if image is None or isinstance(image, (str, os.PathLike)):
        return
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        kind = image.dtype if isinstance(image, np.ndarray) else type(image).__name__
        raise TypeError(f"image of {where} must be a path, a uint8 array or None, got {kind}")
    if image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ValueError(
            f"image of {where} must be RGB of shape (height, width, 3), got {image.shape}"
        )


def _clean(text: str) -> str:
    """Return `text` without what a page should not hold.

    Control characters and undecodable bytes are not HTML; marks that reverse the direction of
    writing would let one name disguise itself, or what follows it, as another.
    """
    encodable = str(text).encode("utf-8", "replace").decode()
    return re.sub(
        r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufffe\uffff]", "\ufffd", encodable
    )


def _text(text: str) -> str:
    return html.escape(_clean(text), quote=True)


def _json(value: Any) -> str:
    # Inside a script element only `<` can end it; `&` and the line separators are escaped as well,
    # so that the block may be pasted anywhere.
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _script_hash(source: str) -> str:
    # The policy of the page allows this one script, so that nothing slipped into it could run.
    script = source.split("<script>", 1)[1].split("</script>", 1)[0]
    digest = hashlib.sha256(script.encode()).digest()
    return "sha256-" + base64.b64encode(digest).decode()


# ---- Photos ------------------------------------------------------------------------------------


class _Photos:
    """The photos of a page, each defined once and referred to by a name such as ``p3``."""

    def __init__(self, queries: Sequence[PageQuery]) -> None:
        self.definitions: list[str] = []
        self._names: dict[tuple[str, tuple[int, int]], str] = {}
        items: list[PageQuery | PageResult] = []
        for query in queries:
            items += [query, *query.results]
        self._items = items  # keeps the arrays, so that an id() below stays that of one of them
        distinct = len({self._source(item) for item in items})
        shrink = min(1.0, (FULL_SIZE_PHOTOS / max(distinct, 1)) ** 0.5)
        self._side = max(SMALLEST_SIDE, int(PHOTO_SIDE * shrink))
        self._encoded: dict[str, bytes | None] = {}

    def name(self, item: PageQuery | PageResult) -> str:
        """Return the name of the item's photo, after defining it if it is new."""
        source = self._source(item)
        if source not in self._encoded:
            self._encoded[source] = _jpeg(item.image, self._side)
        jpeg = self._encoded[source]
        # Two files of the same content are one photo; two missing ones differ by their names.
        content = _clean(item.name) if jpeg is None else hashlib.sha256(jpeg).hexdigest()
        size = (int(item.size[0]), int(item.size[1]))
        key = (content, size)
        if key not in self._names:
            name = self._names[key] = f"p{len(self._names) + 1}"
            self.definitions.append(_definition(name, item.name, size, jpeg))
        return self._names[key]

    @staticmethod
    def _source(item: PageQuery | PageResult) -> str:
        if item.image is None:
            return "missing"
        if isinstance(item.image, np.ndarray):
            return f"array {id(item.image)}"
        return f"path {os.fspath(item.image)}"


def _jpeg(image: Photo, side: int) -> bytes | None:
    from PIL import Image

    from . import images

    if image is None:
        return None
    if isinstance(image, np.ndarray):
        pixels = image
    else:
        try:
            pixels = images.decode(image, mode="rgb")
        except (OSError, images.ImageError):
            return None  # a photo that was moved since does not cost the page
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    encoded = BytesIO()
    picture.save(encoded, "JPEG", quality=JPEG_QUALITY, optimize=True, progressive=True)
    return encoded.getvalue()


def _definition(name: str, title: str, size: tuple[int, int], jpeg: bytes | None) -> str:
    width, height = size
    # Coordinates have (0, 0) in the centre of a pixel, so a photo begins half a pixel before it.
    if jpeg is not None:
        data = base64.b64encode(jpeg).decode()
        return (
            f'<image id="{name}" x="-0.5" y="-0.5" width="{width}" height="{height}" '
            f'preserveAspectRatio="none" href="data:image/jpeg;base64,{data}"/>'
        )
    unit = min(width, height)
    middle = f'x="{(width - 1) / 2:.1f}" text-anchor="middle" font-family="system-ui, sans-serif"'
    inset = 0.05 * unit
    label = _clean(title).replace("\n", " ")
    label = label if len(label) <= 30 else f"{label[:18]}\u2026{label[-11:]}"
    font = min(0.09 * unit, 1.5 * width / max(len(label), 1))
    return (
        f'<g id="{name}" fill="#8b8982">'
        f'<rect x="-0.5" y="-0.5" width="{width}" height="{height}" fill="#8b8982" '
        'fill-opacity=".12"/>'
        f'<rect x="{inset - 0.5:.1f}" y="{inset - 0.5:.1f}" width="{width - 2 * inset:.1f}" '
        f'height="{height - 2 * inset:.1f}" rx="{0.03 * unit:.1f}" fill="none" stroke="#8b8982" '
        f'stroke-width="{0.008 * unit:.2f}" stroke-dasharray="{0.04 * unit:.1f}"/>'
        f'<text {middle} y="{0.48 * height:.1f}" font-size="{font:.1f}" font-weight="600">'
        f"{html.escape(label)}</text>"
        f'<text {middle} y="{0.48 * height + 0.11 * unit:.1f}" font-size="{0.065 * unit:.1f}">'
        "the photo is not there</text></g>"
    )


# ---- Parts of the page -------------------------------------------------------------------------


def _header(queries: Sequence[PageQuery], subtitle: str, photos: _Photos) -> str:
    parts = [f'<p class="subtitle">{_text(subtitle)}</p>'] if subtitle else []
    if len(queries) > 1:
        links = [
            f'<a href="#q{number}">{_svg(query, photos.name(query), "", crop=True)}'
            f'<span class="name">{_text(query.name)}</span></a>'
            for number, query in enumerate(queries, 1)
        ]
        parts.append(f'<nav aria-label="Queries">{"".join(links)}</nav>')
    if any(query.results for query in queries):
        parts.append(
            '<p class="key"><span class="of-query">the region in the query</span>'
            "<span>the same region in the result</span>"
            '<span class="hint">Choose a result to see its matches; '
            "arrow keys go through them, Escape closes.</span></p>"
        )
    return "\n".join(parts)


def _section(number: int, query: PageQuery, photos: _Photos) -> str:
    regions = _regions(number, query)
    cards = [
        f"<li>{_card(f'q{number}-r{place}', result, photos.name(result))}</li>"
        for place, result in enumerate(query.results, 1)
    ]
    verified = sum(result.verified for result in query.results)
    found = ""
    if cards:
        found = (
            f'<p class="found quiet">{len(cards)} result{"s" * (len(cards) != 1)}, '
            f"{verified or 'none'} verified</p>"
        )
    listing = (
        f'<ol class="results">{"".join(cards)}</ol>'
        if cards
        else '<p class="empty">Nothing was found for this query.</p>'
    )
    steps = "".join(
        f"<li>{_text(step)} <b>{_duration(seconds)}</b></li>"
        for step, seconds in query.times.items()
    )
    times = f'<ul class="times" aria-label="Times">{steps}</ul>' if steps else ""
    return (
        f'<section id="q{number}" aria-labelledby="q{number}-name"><div class="asked">'
        f'<p class="over">Query {number}</p>'
        f'<div class="photo">{_svg(query, photos.name(query), regions)}</div>'
        f'<h2 class="name" id="q{number}-name">{_text(query.name)}</h2>'
        f"{_note(query.note)}"
        f"{found}"
        f"{times}</div>"
        f"{listing}</section>"
    )


def _regions(number: int, query: PageQuery) -> str:
    """Return the outlines of all results in the query; the first verified one's is shown."""
    outlined = [
        (place, result)
        for place, result in enumerate(query.results, 1)
        if result.query_polygon is not None
    ]
    first = next((place for place, result in outlined if result.verified), None)
    parts = []
    for place, result in outlined:
        shown = " shown" if place == first else ""
        marks = f'data-query="{number - 1}" data-region="q{number}-r{place}"'
        marks += " data-first" if shown else ""
        outline = _outline(result.query_polygon, " query")
        parts.append(f'<g class="region{shown}" {marks}>{outline}</g>')
    return "".join(parts)


def _card(name: str, result: PageResult, photo: str) -> str:
    badge = (
        '<span class="badge verified">\u2713 verified</span>'
        if result.verified
        else '<span class="badge">not verified</span>'
    )
    return (
        f'<a class="card{" verified" if result.verified else ""}" id="card-{name}" href="#{name}">'
        f'<div class="photo">{_svg(result, photo, _outline(result.polygon))}'
        f'<span class="rank" aria-hidden="true">{result.rank}</span>{badge}</div>'
        f'<div class="text"><h3 class="name" title="{_text(result.name)}">'
        f"{_text(result.name)}</h3>{_note(result.note)}"
        f'<p class="facts"><b>{_matches(result)}</b>'
        f'<span class="quiet">score {result.score:.4g}</span></p></div></a>'
    )


def _svg(item: PageQuery | PageResult, photo: str, outlines: str, *, crop: bool = False) -> str:
    width, height = item.size
    fit = ' preserveAspectRatio="xMidYMid slice"' if crop else ""
    seen = 'aria-hidden="true"' if crop else f'role="img" aria-label="{_text(item.name)}"'
    return (
        f'<svg viewBox="-0.5 -0.5 {width} {height}"{fit} {seen}><use href="#{photo}"/>'
        f"{outlines}</svg>"
    )


def _outline(polygon: NDArray[Any] | None, kind: str = "") -> str:
    if polygon is None or len(polygon) == 0:
        return ""
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in _rounded(polygon))
    # Twice, dark under bright, so that it is seen on any photo.
    return (
        f'<polygon class="outline halo" points="{points}"/>'
        f'<polygon class="outline line{kind}" points="{points}"/>'
    )


def _rounded(coordinates: NDArray[Any]) -> list[list[float]]:
    # A tenth of a pixel is finer than any screen shows; adding 0 turns -0.0 into 0.
    rounded: list[list[float]] = (np.asarray(coordinates, np.float64).round(1) + 0.0).tolist()
    return rounded


def _note(note: str) -> str:
    return f'<p class="note">{_text(note)}</p>' if note else ""


def _matches(result: PageResult) -> str:
    return f"{result.n_inliers} match{'es' * (result.n_inliers != 1)}"


def _duration(seconds: float) -> str:
    if seconds < 0.0995:
        return f"{seconds * 1000:.2g} ms"
    return f"{seconds * 1000:.0f} ms" if seconds < 0.9995 else f"{seconds:.3g} s"


def _data(query: PageQuery, photos: _Photos) -> dict[str, Any]:
    return {
        "name": _clean(query.name),
        "photo": photos.name(query),
        "size": [int(side) for side in query.size],
        "results": [_result_data(result, photos) for result in query.results],
    }


def _result_data(result: PageResult, photos: _Photos) -> dict[str, Any]:
    lines = np.asarray(result.lines)
    drawn = ""
    if len(lines) > MAX_LINES:
        drawn = f", {MAX_LINES} of {len(lines)} matches drawn"
        lines = lines[np.linspace(0, len(lines) - 1, MAX_LINES).astype(np.int64)]
    polygons = (result.query_polygon, result.polygon)
    query_polygon, polygon = (None if p is None else _rounded(p) for p in polygons)
    return {
        "name": _clean(result.name),
        "photo": photos.name(result),
        "size": [int(side) for side in result.size],
        "rank": int(result.rank),
        "score": f"{result.score:.4g}",
        "summary": f"{_matches(result)}, {'' if result.verified else 'not '}verified",
        "verified": bool(result.verified),
        "note": _clean(result.note),
        "drawn": drawn,
        "queryPolygon": query_polygon,
        "polygon": polygon,
        "lines": _rounded(lines),
    }
