# SPDX-License-Identifier: Apache-2.0
import base64
import hashlib
import json
import re
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest

from trouvaille import page
from trouvaille.page import PageQuery, PageResult, render, write

VOID = {"meta", "br", "img", "link", "input", "hr"}
ATTACKS = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror='alert(1)'>",
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "a\nb\tc",
    "& &amp; &lt;",
    "日本語 é \u2028\u2029",
    "$title ${data} $$",
]


class Page(HTMLParser):
    """Reads a page, strictly: each element is closed, in order."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self.texts, self.open = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        assert len(dict(attrs)) == len(attrs)
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append((self.open[-1] if self.open else "", data))

    def all(self, tag, **attributes):
        return [a for t, a in self.elements if t == tag and attributes.items() <= a.items()]

    def all_of_class(self, tag, name):
        return [a for t, a in self.elements if t == tag and name in a.get("class", "").split()]

    @property
    def data(self):
        script = re.search(
            r'<script type="application/json" id="data">(.*?)</script>', self.rawdata_
        )
        return json.loads(script.group(1))


def read(text):
    parsed = Page(text)
    parsed.rawdata_ = text
    return parsed


@pytest.fixture
def photo(rng):
    return rng.integers(0, 256, (60, 80, 3), np.uint8)


BOX = np.array([[10.0, 5], [50, 5], [50, 40], [10, 40]])


def result(image=None, name="found.jpg", rank=1, **changes):
    values = {
        "name": name,
        "image": image,
        "size": (80, 60),
        "rank": rank,
        "score": 0.25,
        "n_inliers": 20,
        "verified": True,
        "query_polygon": BOX,
        "polygon": BOX + 3.25,
        "lines": np.array([[11.0, 6, 14.25, 9.25], [49, 39, 52.04, 42]]),
    }
    return PageResult(**(values | changes))


def query(image=None, results=(), name="asked.jpg", **changes):
    return PageQuery(name, image, (80, 60), list(results), **changes)


def test_is_well_formed_and_refers_to_nothing_outside(photo):
    text = render([query(photo, [result(photo), result(None, "lost.jpg", 2)])], title="Title")
    parsed = read(text)
    for tag, attributes in parsed.elements:
        assert tag not in {"link", "iframe", "img", "object", "embed", "base"}
        assert not {name for name in attributes if name.startswith("on")}
        for name in ("src", "href", "action", "srcset"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:image/jpeg;base64,"))
    styles = "".join(data for tag, data in parsed.texts if tag == "style")
    assert "url(" not in styles
    assert "@import" not in styles


def test_every_reference_has_its_target_once(photo):
    text = render([query(photo, [result(None)]), query(None, [result(photo)])], title="t")
    parsed = read(text)
    ids = [a["id"] for _, a in parsed.elements if "id" in a]
    assert len(set(ids)) == len(ids)
    links = [a["href"][1:] for a in parsed.all("use") + parsed.all("a")]
    # The address of a result is not the id of its card, so that opening it does not scroll.
    assert {f"card-{link}" if "-" in link else link for link in links} <= set(ids)
    named = [q["photo"] for q in parsed.data] + [
        r["photo"] for q in parsed.data for r in q["results"]
    ]
    assert set(named) <= set(ids)


def test_the_policy_allows_the_script_of_the_page_and_no_other():
    text = render([query()], title="t")
    script = re.search(r"<script>(.*?)</script>", text, re.DOTALL).group(1)
    expected = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = read(text).all("meta", **{"http-equiv": "Content-Security-Policy"})[0]["content"]
    assert f"script-src 'sha256-{expected}'" in policy
    assert "default-src 'none'" in policy


@pytest.mark.parametrize("attack", ATTACKS)
def test_text_from_outside_stays_text(attack, photo):
    plain = read(
        render([query(photo, [result(photo, note="n")], note="n")], title="t", subtitle="s")
    )
    asked = query(photo, [result(photo, attack, note=attack)], attack, note=attack)
    asked = PageQuery(attack, photo, (80, 60), asked.results, {attack: 0.5}, attack)
    text = render([asked], title=attack, subtitle=attack)
    parsed = read(text)
    extra = [tag for tag, _ in parsed.elements if tag in ("ul", "li", "b")]
    tags = [tag for tag, _ in parsed.elements]
    # The same elements as a harmless page, but for the list of times.
    assert len(extra) == len([t for t, _ in plain.elements if t in ("ul", "li", "b")]) + 3
    assert [t for t in tags if t not in extra] == [t for t, _ in plain.elements if t not in extra]
    assert ("h2", attack) in parsed.texts
    assert ("h3", attack) in parsed.texts
    assert parsed.data[0]["name"] == attack
    assert parsed.data[0]["results"][0]["note"] == attack
    assert parsed.all_of_class("h3", "name")[0]["title"] == attack


def test_names_that_no_page_can_hold_are_made_harmless(tmp_path):
    undecodable = b"caf\xe9.jpg".decode("utf-8", "surrogateescape")
    disguised = "photo\u202egpj.exe\x00\x1b[31m"
    path = tmp_path / "page.html"
    write(path, [query(None, [result(None, undecodable)], disguised)], title="t")
    parsed = read(path.read_text("utf-8"))
    assert parsed.data[0]["name"] == "photo\ufffdgpj.exe\ufffd\ufffd[31m"
    assert parsed.data[0]["results"][0]["name"] == "caf?.jpg"


def test_a_missing_photo_is_a_placeholder_with_its_name(tmp_path, photo):
    damaged = tmp_path / "damaged.jpg"
    damaged.write_bytes(b"\xff\xd8\xff not a photo")
    missing = [None, tmp_path / "moved.jpg", str(damaged)]
    results = [result(image, f"lost <{i}>.jpg", i) for i, image in enumerate(missing, 1)]
    parsed = read(render([query(photo, results)], title="t"))
    shown = [data for tag, data in parsed.texts if tag == "text"]
    assert [name for name in shown if name.startswith("lost")] == [
        "lost <1>.jpg", "lost <2>.jpg", "lost <3>.jpg",
    ]  # fmt: skip
    assert len(parsed.all("image")) == 1


def test_each_photo_is_inlined_once(tmp_path, photo, rng):
    from PIL import Image

    path = tmp_path / "same.png"
    Image.fromarray(photo).save(path)
    other = rng.integers(0, 256, (60, 80, 3), np.uint8)
    results = [result(image, rank=i) for i, image in enumerate([photo, path, str(path), other])]
    parsed = read(render([query(path, results), query(photo.copy(), results)], title="t"))
    assert len(parsed.all("image")) == 2
    uses = [a["href"] for a in parsed.all("use")]
    assert len(uses) == 2 * 5 + 2  # and the two small ones of the navigation
    assert len(set(uses)) == 2


def test_photos_are_shrunk_and_coordinates_are_not():
    from io import BytesIO

    from PIL import Image

    large = np.zeros((1500, 3000, 3), np.uint8)
    found = result(large, size=(3000, 1500), polygon=BOX * 50)
    parsed = read(render([query(None, [found])], title="t"))
    (image,) = parsed.all("image")
    # (0, 0) is the centre of a pixel: the photo begins half a pixel before it.
    assert (image["x"], image["y"]) == ("-0.5", "-0.5")
    assert (image["width"], image["height"]) == ("3000", "1500")
    jpeg = base64.b64decode(image["href"].split(",")[1])
    assert Image.open(BytesIO(jpeg)).size == (800, 400)
    assert parsed.data[0]["results"][0]["polygon"] == (BOX * 50).tolist()


def test_the_region_is_outlined_in_both_photos(photo):
    parsed = read(render([query(photo, [result(photo)])], title="t"))
    lines = parsed.all_of_class("polygon", "line")
    assert lines == [
        {"class": "outline line query", "points": "10.0,5.0 50.0,5.0 50.0,40.0 10.0,40.0"},
        {"class": "outline line", "points": "13.2,8.2 53.2,8.2 53.2,43.2 13.2,43.2"},
    ]
    views = [a["viewbox"] for a in parsed.all("svg") if a.get("role") == "img"]
    assert views == ["-0.5 -0.5 80 60"] * 2
    assert parsed.data[0]["results"][0]["lines"] == [[11, 6, 14.2, 9.2], [49, 39, 52, 42]]


def test_the_first_verified_region_of_a_query_is_shown_first(photo):
    results = [
        result(photo, rank=1, verified=False),
        result(photo, rank=2),
        result(photo, rank=3),
        result(photo, rank=4, query_polygon=None, polygon=None),
    ]
    parsed = read(render([query(photo, results)], title="t"))
    regions = parsed.all_of_class("g", "region")
    assert [r["data-region"] for r in regions] == ["q1-r1", "q1-r2", "q1-r3"]
    assert [r["class"] for r in regions] == ["region", "region shown", "region"]


def test_cards_say_rank_score_and_matches(photo):
    results = [
        result(photo, "first", 1, score=12.34567, n_inliers=41),
        result(photo, "second", 2, n_inliers=1, verified=False, note="from a wheel"),
    ]
    parsed = read(render([query(photo, results)], title="t"))
    cards = parsed.all_of_class("a", "card")
    assert [card["href"] for card in cards] == ["#q1-r1", "#q1-r2"]
    assert [card["class"] for card in cards] == ["card verified", "card"]
    texts = [data for _, data in parsed.texts]
    for text in ("41 matches", "\u2713 verified", "1 match", "not verified", "score 12.35"):
        assert text in texts
    assert "2 results, 1 verified" in texts
    assert "from a wheel" in texts


def test_times_are_readable():
    times = {"extract": 0.2123, "search": 0.00431, "verify": 12.345, "hash": 0.0000123}
    parsed = read(render([query(times=times)], title="t"))
    shown = [data for tag, data in parsed.texts if tag == "b"]
    assert shown == ["212 ms", "4.3 ms", "12.3 s", "0.012 ms"]


def test_many_lines_are_thinned_and_the_page_says_so(rng):
    parsed = read(render([query(None, [result(lines=rng.random((1000, 4)))])], title="t"))
    (data,) = parsed.data[0]["results"]
    assert len(data["lines"]) == page.MAX_LINES
    assert data["drawn"] == f", {page.MAX_LINES} of 1000 matches drawn"


def test_many_photos_get_smaller(rng):
    results = [result(f"/nowhere/{i}.jpg", f"{i}", i) for i in range(239)]
    assert page._Photos([query(None, results)])._side == 400
    assert page._Photos([query(None, results[:50])])._side == 800


def test_no_results_and_no_queries(photo):
    parsed = read(render([query(photo)], title="t"))
    assert ("p", "Nothing was found for this query.") in parsed.texts
    parsed = read(render([], title="t"))
    assert ("p", "There are no queries to show.") in parsed.texts
    assert parsed.data == []


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"size": (0, 10)}, ValueError, "size of result 'found.jpg' of query 'asked.jpg'"),
        ({"polygon": np.zeros((4, 3))}, ValueError, r"polygon .* must have shape \(n, 2\)"),
        ({"query_polygon": np.array([[np.nan, 1]])}, ValueError, "finite numbers"),
        ({"lines": np.zeros((2, 2))}, ValueError, r"lines .* must have shape \(n, 4\)"),
        ({"lines": np.array([["a", "b", "c", "d"]])}, ValueError, "finite numbers"),
        ({"image": np.zeros((5, 5, 3))}, TypeError, "a uint8 array or None, got float64"),
        ({"image": np.zeros((5, 5), np.uint8)}, ValueError, r"RGB of shape .* got \(5, 5\)"),
        ({"image": 7}, TypeError, "got int"),
    ],
)
def test_what_cannot_be_drawn_is_named(changes, error, message):
    with pytest.raises(error, match=message):
        render([query(None, [result(**changes)])], title="t")


def test_write_replaces_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "page.html"
    write(path, [query()], title="first")
    assert path.read_text("utf-8") == render([query()], title="first")

    def fail(self, target):
        raise OSError("the disk is full")

    monkeypatch.setattr(page.Path, "replace", fail)
    with pytest.raises(OSError, match="full"):
        write(path, [query()], title="second")
    assert "<title>first</title>" in path.read_text("utf-8")
    assert [entry.name for entry in tmp_path.iterdir()] == ["page.html"]


def test_importing_it_imports_no_image_library():
    code = "import sys, trouvaille.page; sys.exit(bool({'PIL', 'cv2'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], check=True)
