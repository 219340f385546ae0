# SPDX-License-Identifier: Apache-2.0
"""Vocabularies of other programs, from small files that are written here by their layouts."""

import gzip
import struct

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import reference
from trouvaille.words import HammingEmbedding, from_colmap, from_dbow, from_fbow
from trouvaille.words.importers import colmap

# A tree whose leaves are at different levels. Of each node its parent (0 is the root, as in DBoW),
# and whether it is a leaf.
PARENTS = [0, 0, 0, 1, 1, 3, 3, 3, 6, 6]
LEAVES = [2, 4, 5, 7, 8, 9, 10]


def centers_of(rng, kind, n_dims=32):
    centers = rng.integers(0, 256, (len(PARENTS), n_dims))
    return centers.astype(np.uint8) if kind == "bits" else centers.astype(np.float32) + 0.25


def weights_of():
    return [0.25 * node if node in LEAVES else 0 for node in range(1, len(PARENTS) + 1)]


def numbers(row):
    return " ".join(f"{number:g}" for number in row.tolist()) + " "


def write_text(path, centers, header="10 6  0 0"):
    lines = [header]
    for node, (parent, row, weight) in enumerate(zip(PARENTS, centers, weights_of(), strict=True)):
        lines.append(f"{parent} {int(node + 1 in LEAVES)} {numbers(row)} {weight:g}")
    path.write_text("\n".join(lines) + "\n")
    return path


def write_yaml(path, centers, prefix="", words=None):
    nodes = "".join(
        f"      - {{ nodeId:{node}, parentId:{PARENTS[node - 1]},"
        f" weight:{weights_of()[node - 1]},\n"
        f'          descriptor:"{prefix}{numbers(centers[node - 1])}" }}\n'
        for node in (1, 2, 3, 6, 7, 8, 9, 10, 4, 5)  # as DBoW goes through them
    )
    pairs = enumerate(LEAVES if words is None else words)
    listed = "".join(f"      - {{ wordId:{i}, nodeId:{node} }}\n" for i, node in pairs)
    text = (
        "%YAML:1.0\n---\nvocabulary:\n   k: 9\n   L: 3\n   scoringType: 5\n   weightingType: 2\n"
        f"   nodes:\n{nodes}   words:\n{listed}"
    )
    write = gzip.open if path.suffix == ".gz" else open
    with write(path, "wt") as file:
        file.write(text)
    return path


def expected_words(centers, Q, metric, names=LEAVES):
    """Go down by the parents: the word that each query finds, and the weights of the words."""
    words = []
    for q in Q:
        node = 0
        while node not in LEAVES:
            below = [i + 1 for i, parent in enumerate(PARENTS) if parent == node]
            own = centers[np.array(below) - 1]
            node = below[int(np.argmin(reference.neighbor_distances(q[None], own, metric)[0]))]
        words.append(names.index(node))
    return words


def check_tree(tree, centers, rng, names=LEAVES):
    metric = "hamming" if centers.dtype == np.uint8 else "l2"
    assert tree.metric_ == metric
    Q = rng.integers(0, 256, (200, centers.shape[1])).astype(centers.dtype)
    expected = expected_words(centers, Q, metric, names)
    assert len(set(expected)) > 3
    np.testing.assert_array_equal(tree.transform(Q), expected)
    nodes = np.array(names) - 1
    np.testing.assert_array_equal(tree.words, centers[nodes])
    np.testing.assert_allclose(tree.weights_[tree.leaves_], np.array(weights_of())[nodes])
    assert np.count_nonzero(tree.weights_) == len(LEAVES)
    assert tree.depth_ == 3
    nearest = reference.nearest_neighbors(tree.words, Q, 1, metric)[1]
    np.testing.assert_array_equal(tree.assign(Q).ids, nearest)


KINDS = ["bits", "floats"]


# ---- DBoW


@pytest.mark.parametrize("kind", KINDS)
def test_text_of_dbow(rng, tmp_path, kind):
    centers = centers_of(rng, kind)
    tree = from_dbow(write_text(tmp_path / "words.txt", centers))
    check_tree(tree, centers, rng)
    assert tree.source_ == {
        "format": "DBoW",
        "branching": 10,
        "levels": 6,
        "scoring": "L1_NORM",
        "weighting": "TF_IDF",
    }
    photos = [centers[:4], centers[4:]]
    bags = tree.bags(photos, levels=False).toarray()
    counts = [np.bincount(tree.transform(photo), minlength=7) for photo in photos]
    np.testing.assert_allclose(bags, counts * tree.weights_[tree.leaves_])
    tree.save(tmp_path / "words.tv")  # as one of ours
    check_tree(type(tree).load(tmp_path / "words.tv"), centers, rng)


def test_whole_numbers_are_bits_unless_said_otherwise(rng, tmp_path):
    centers = centers_of(rng, "bits")
    path = write_text(tmp_path / "words.txt", centers)
    check_tree(from_dbow(path, bits=False), centers.astype(np.float32), rng)
    other = write_text(tmp_path / "other.txt", centers.astype(np.float32) + 0.5)
    with pytest.raises(ValueError, match="whole numbers from 0 to 255"):
        from_dbow(other, bits=True)
    with pytest.raises(TypeError, match="bits"):
        from_dbow(path, bits="no")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["words.yml", "words.yml.gz"])
@pytest.mark.parametrize("version", [2, 3])
def test_yaml_of_dbow(rng, tmp_path, kind, name, version):
    centers = centers_of(rng, kind)
    prefix = f"dbw3 {0 if kind == 'bits' else 5} 32 " if version == 3 else ""
    names = LEAVES[::-1]  # words need not be in the order of nodes
    tree = from_dbow(write_yaml(tmp_path / name, centers, prefix, names))
    check_tree(tree, centers, rng, names)
    assert (tree.branching, tree.depth) == (9, 3)
    assert (tree.source_["scoring"], tree.source_["weighting"]) == ("DOT_PRODUCT", "IDF")


@pytest.mark.parametrize("prefix", ["", "dbw3 0 32 "])
@pytest.mark.parametrize("name", ["words.yml", "words.yml.gz"])
def test_yaml_as_opencv_writes_it(rng, tmp_path, prefix, name):
    centers = centers_of(rng, "bits")
    file = cv2.FileStorage(str(tmp_path / name), cv2.FILE_STORAGE_WRITE)
    file.startWriteStruct("vocabulary", cv2.FileNode_MAP)
    for key, value in {"k": 9, "L": 3, "scoringType": 5, "weightingType": 2}.items():
        file.write(key, value)
    nodes = [
        {
            "nodeId": node,
            "parentId": PARENTS[node - 1],
            "weight": float(weights_of()[node - 1]),
            "descriptor": prefix + numbers(centers[node - 1]),
        }
        for node in range(1, len(PARENTS) + 1)
    ]
    listed = [{"wordId": i, "nodeId": node} for i, node in enumerate(LEAVES)]
    for list_name, items in {"nodes": nodes, "words": listed}.items():
        file.startWriteStruct(list_name, cv2.FileNode_SEQ)
        for item in items:
            file.startWriteStruct("", cv2.FileNode_MAP | cv2.FileNode_FLOW)
            for key, value in item.items():
                file.write(key, value)
            file.endWriteStruct()
        file.endWriteStruct()
    file.endWriteStruct()
    file.release()
    check_tree(from_dbow(tmp_path / name), centers, rng)


def text(**changes):
    """Give a small text in bytes, with some lines (by number) replaced or left out (None)."""
    lines = ["3 2 0 0", "0 0 1 2 0", "0 1 5 5 1", "1 1 1 1 2", "1 1 1 3 3"]
    for name, line in changes.items():
        lines[int(name[1:])] = line
    return "\n".join(line for line in lines if line is not None) + "\n"


def test_the_small_text_is_one(tmp_path):
    (tmp_path / "words.txt").write_text(text())
    assert from_dbow(tmp_path / "words.txt").num_words == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "first line"),
        ("\n", "first line"),
        ("hello world\n", "first line"),
        ("3 2 0\n", "first line"),
        ("3 2 0 0 0\n", "first line"),
        ("3 2 0 0\n", "0 lines"),
        ("3 2 0 0\n\n\n", "0 lines"),
        ("9" * 300, "first line"),
        (text(_0="3 2 0 0".ljust(256) + "0 1 9 9 9"), "first line"),  # the rest is like a node
        ("3 2 0 0", "first line"),
        (text(_0="3 99 0 0"), "99 levels"),
        (text(_0="0 2 0 0"), "branching 0"),
        (text(_0="2147483648 2 0 0"), "branching 2147483648"),
        (text(_0="3 2 6 0"), "scoring 6"),
        (text(_0="3 2 0 -1"), "weighting -1"),
        (text(_0="1e3 2 0 0"), "first line"),
        (text(_1="0 0 1 2"), "columns"),
        (text(_2="0 1 5 x 1"), "'x'"),
        (text(_2="0 1 5 nan 1"), "finite"),
        (text(_2="0 1 5 5 1e999"), "finite"),
        (text(_2="0 1 5 1e300 1"), "float32"),
        (text(_2="0 2 5 5 1"), "second number"),
        (text(_2="9 1 5 5 1"), "parent"),
        (text(_2="-1 1 5 5 1"), "parent"),
        (text(_2="0.5 1 5 5 1"), "parent"),
        (text(_2="2 1 5 5 1"), "below the root"),  # its own child
        (text(_3="1 0 1 1 2"), "leaves"),  # neither leaf nor parent
        (text(_1="0 1 1 2 0"), "leaves"),  # both
        (text(_3=None, _4=None), "leaves"),  # cut short
        ("3 2 0 0\n" + "0 1 7\n" * 3, "4|3 lines of 3"),
    ],
)
def test_refuses_other_text(tmp_path, content, message):
    path = tmp_path / "words.txt"
    path.write_text(content)
    with pytest.raises(ValueError, match=rf"words\.txt: .*({message})"):
        from_dbow(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("vocabulary:", "words_of:", "must have vocabulary"),
        ("nodes:", "nodos:", "must have vocabulary"),
        ("   k: 9\n", "", "whole number k"),
        ("L: 3", "L: three", "whole number L"),
        ("scoringType: 5", "scoringType: 9", "scoring 9"),
        ("nodeId:3, parentId:0", "nodeId:3, parentId:11", "parent"),
        ("nodeId:3, parentId:0", "nodeId:3, parentId:9", "below the root"),
        ("nodeId:3,", "nodeId:4,", "each once"),
        ("nodeId:3,", "nodeId:99999999999,", "of 10 nodes 9"),
        ("weight:0.5,", "weight:1e999,", "finite"),
        ("weight:0.5,", "weight:0.5.5,", "float"),
        ("weight:0.5,", "", "of 10 nodes 9"),
        ("dbw3 0 32", "dbw3 5 32", "one type"),
        ("dbw3 0 32 1", "dbw3 0 32 x", "x"),
        ("wordId:0, nodeId:2", "wordId:1, nodeId:2", "numbered from 0"),
        ("wordId:0, nodeId:2", "wordId:0, nodeId:1", "leaves"),
        ("wordId:0, nodeId:2", "wordId:0, nodeId:4", "each a word once"),
        ("wordId:0, nodeId:2", "wordId:0, nodeId:0", "each a word once"),
        ("wordId:0, nodeId:2", "wordId:zero", "of 7 words 6"),
    ],
)
def test_refuses_other_yaml(tmp_path, old, new, message):
    centers = np.full((len(PARENTS), 32), 1, np.uint8)
    path = write_yaml(tmp_path / "words.yml", centers, "dbw3 0 32 ")
    whole = path.read_text()
    assert old in whole
    path.write_text(whole.replace(old, new, 1))
    with pytest.raises(ValueError, match=rf"words\.yml: .*{message}"):
        from_dbow(path)


DESCRIPTOR = "{ nodeId:1, parentId:0, weight:0., descriptor:"


@pytest.mark.parametrize(
    "filler",
    ["\n", " ", "{", '"', "{ nodeId:1,", '{ wordId:0 "', DESCRIPTOR, DESCRIPTOR + " " * 99],
)
@pytest.mark.parametrize("after", ["vocabulary:\n", "nodes:\n", "words:\n"])
def test_long_nonsense_in_yaml_is_refused_in_linear_time(tmp_path, after, filler):
    path = write_yaml(tmp_path / "words.yml", np.full((len(PARENTS), 32), 1, np.uint8))
    whole = path.read_text().replace("   k: 9\n", "")
    long = filler * (300_000 // len(filler)) + " " * 300_000
    path.write_text(whole.replace(after, after + long, 1))
    with pytest.raises(ValueError, match=r"words\.yml"):
        from_dbow(path)


def test_refuses_what_is_cut_short_or_expands_too_far(rng, tmp_path):
    path = write_yaml(tmp_path / "words.yml.gz", centers_of(rng, "bits"), "dbw3 0 32 ")
    whole = path.read_bytes()
    for end in range(2, len(whole), 7):
        path.write_bytes(whole[:end])
        with pytest.raises(ValueError, match="cut short"):
            from_dbow(path)
    path.write_bytes(whole[:20] + b"\xff" * 40 + whole[60:])
    with pytest.raises(ValueError, match=r"words\.yml\.gz"):
        from_dbow(path)
    path.write_bytes(gzip.compress(b"0" * 10_000_000))
    with pytest.raises(ValueError, match="expands to more"):
        from_dbow(path)


def test_gzip_members_are_one_text(tmp_path):
    path, whole = tmp_path / "words.txt.gz", text().encode()
    members = [gzip.compress(whole[:20]), gzip.compress(b""), gzip.compress(whole[20:])]
    path.write_bytes(b"".join(members))
    assert from_dbow(path).num_words == 3
    path.write_bytes(b"".join(members)[:-1])
    with pytest.raises(ValueError, match="cut short"):
        from_dbow(path)
    for rest in (b"no member", b"\0" * 20, members[0][:-4] + b"none"):
        path.write_bytes(b"".join(members) + rest)
        offset = sum(map(len, members))
        with pytest.raises(ValueError, match=f"not what gzip wrote, .* offset {offset}"):
            from_dbow(path)
    path.write_bytes(gzip.compress(b" " * 50_000) * 100)
    with pytest.raises(ValueError, match="expands to more"):
        from_dbow(path)


def test_a_member_longer_than_a_piece(rng, tmp_path):
    lines = [" ".join(map(str, (0, 1, *rng.integers(0, 256, 32), 1))) for _ in range(500)]
    path = tmp_path / "words.txt.gz"
    content = gzip.compress("\n".join(["500 1 0 0", *lines[:400], ""]).encode())
    assert len(content) > 16_000
    path.write_bytes(content + gzip.compress("\n".join(lines[400:]).encode()))
    assert from_dbow(path).num_words == 500


def test_says_how_to_convert_binary_files(tmp_path):
    path = tmp_path / "words.dbow3"
    path.write_bytes((88877711233).to_bytes(8, "little") + bytes(100))
    with pytest.raises(ValueError, match="Save it as YAML"):
        from_dbow(path)
    with pytest.raises(FileNotFoundError):
        from_dbow(tmp_path / "none.txt")


# ---- fbow

BLOCKS = [0, 1, 3, 6]  # the nodes that have children, the root first


def fbow_file(centers, *, names=LEAVES, changes=(), cut=None, blocks=None):
    """Give the bytes of a file; `changes` are pairs of an offset and the bytes there."""
    alignment = 8 if centers.dtype == np.uint8 else 32
    size, branching = centers[0].nbytes, 4
    padded = -(-size // alignment) * alignment
    children = alignment + branching * padded
    block_size = -(-(children + 8 * branching) // alignment) * alignment
    out = b""
    for parent in BLOCKS:
        below = [i + 1 for i, p in enumerate(PARENTS) if p == parent]
        block = struct.pack("<HHI", len(below), 0, parent).ljust(alignment, b"\0")
        block += b"".join(centers[node - 1].tobytes().ljust(padded, b"\0") for node in below)
        block = block.ljust(children, b"\xee")  # what is not there may be anything
        for node in below:
            number = names.index(node) | 1 << 31 if node in LEAVES else BLOCKS.index(node)
            block += struct.pack("<If", number, weights_of()[node - 1])
        out += block.ljust(block_size, b"\xee")
    n = len(BLOCKS) if blocks is None else blocks
    header = struct.pack(
        "<50s2xII4xQQQQQiiI4x", b"orb", alignment, n, padded, block_size, alignment, children,
        block_size * n, 0 if centers.dtype == np.uint8 else 5, size, branching,
    )  # fmt: skip
    assert len(header) == 120
    whole = bytearray(struct.pack("<Q", 55824124) + header + out)
    for offset, new in changes:
        whole[offset : offset + len(new)] = new
    return bytes(whole[:cut])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_dims", [32, 61])
def test_fbow(rng, tmp_path, kind, n_dims):
    centers = centers_of(rng, kind, n_dims)
    names = [9, 2, 4, 10, 5, 7, 8]
    (tmp_path / "words.fbow").write_bytes(fbow_file(centers, names=names))
    tree = from_fbow(tmp_path / "words.fbow")
    check_tree(tree, centers, rng, names)
    assert tree.source_ == {"format": "fbow", "descriptor": "orb"}


def test_words_of_fbow_with_equal_numbers_are_in_the_order_of_the_file(rng, tmp_path):
    centers = centers_of(rng, "bits")
    whole = fbow_file(centers, names=[2, 4, 5, 7, 8, 9, 10])
    first = whole.index(struct.pack("<I", 1 << 31))
    damaged = whole[:first] + struct.pack("<I", 1 << 31 | 3) + whole[first + 4 :]
    (tmp_path / "words.fbow").write_bytes(damaged)
    check_tree(from_fbow(tmp_path / "words.fbow"), centers, rng)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([(0, b"\1")], "signature"),
        ([(8 + 56, struct.pack("<I", 5))], "fit together"),
        ([(8 + 56, struct.pack("<I", 0))], "no size"),
        ([(8 + 64, struct.pack("<Q", 2**63))], "fit together"),
        ([(8 + 72, struct.pack("<Q", 2**63))], "fit together"),
        ([(8 + 80, struct.pack("<Q", 0))], "fit together"),
        ([(8 + 88, struct.pack("<Q", 0))], "fit together"),
        ([(8 + 96, struct.pack("<Q", 2**62))], "fit together"),
        ([(8 + 104, struct.pack("<i", 6))], "type 6"),
        ([(8 + 108, struct.pack("<i", -4))], "no size"),
        ([(8 + 108, struct.pack("<i", 33))], "fit together"),
        ([(8 + 112, struct.pack("<I", 2**31))], "fit together"),
        ([(128, struct.pack("<H", 0))], "from 1 to 4"),
        ([(128, struct.pack("<H", 5))], "from 1 to 4"),
        ([(128, struct.pack("<H", 2))], "every block"),
        ([(128 + 8 + 128, struct.pack("<I", 0))], "every block"),  # its own parent
        ([(128 + 8 + 128, struct.pack("<I", 99))], "every block"),
        ([(128 + 8 + 128 + 12, struct.pack("<f", np.nan))], "finite"),
    ],
)
def test_refuses_other_fbow(rng, tmp_path, changes, message):
    path = tmp_path / "words.fbow"
    path.write_bytes(fbow_file(centers_of(rng, "bits"), changes=changes))
    with pytest.raises(ValueError, match=rf"words\.fbow: .*{message}"):
        from_fbow(path)


def test_refuses_fbow_of_another_size(rng, tmp_path):
    whole, path = fbow_file(centers_of(rng, "bits")), tmp_path / "words.fbow"
    for end in range(0, len(whole), 13):
        path.write_bytes(whole[:end])
        with pytest.raises(ValueError, match="do not fit at offset"):
            from_fbow(path)
    path.write_bytes(whole + b"\0")
    with pytest.raises(ValueError, match="1 bytes follow"):
        from_fbow(path)
    path.write_bytes(fbow_file(centers_of(rng, "bits"), blocks=2**31))
    with pytest.raises(ValueError, match="fit"):
        from_fbow(path)


# ---- COLMAP


def vector(values, dtype="<f4"):
    values = np.asarray(values, dtype)
    return struct.pack("<Q", values.size) + values.tobytes()


def index_header(n_dims, count):
    return struct.pack("<iqqqBi", n_dims, count, 1 << 20, 1 << 20, 1, 1)


class Colmap:
    """A small vocabulary of COLMAP, and its file."""

    def __init__(self, rng, n_lists=5, num_words=40, n_dims=16, n_bits=8, of_lists=False):
        self.n_lists, self.num_words, self.n_dims, self.n_bits = n_lists, num_words, n_dims, n_bits
        self.centers = rng.integers(0, 256, (n_lists, n_dims)).astype(np.float32)
        self.words = rng.integers(0, 256, (num_words, n_dims)).astype(np.float32)
        self.mean = self.words.mean(axis=0)
        self.rotation = np.linalg.qr(rng.standard_normal((n_dims, n_dims)))[0][:n_bits]
        self.rotation = self.rotation.astype(np.float32)
        self.thresholds = rng.normal(0, 0.1, (n_lists, n_bits)).astype(np.float32)
        if not of_lists:
            self.thresholds[:] = 0
        self.of_lists, self.period = of_lists, -1e10
        self.list_of_word = reference.squared_distances(self.words, self.centers).argmin(axis=1)
        self.codes = np.array([self.code(word, i) for word, i in
                               zip(self.words, self.list_of_word, strict=True)])  # fmt: skip
        self.idf = rng.random(num_words).astype(np.float32)
        self.projection = rng.standard_normal((n_bits, n_dims)).astype(np.float32)
        self.medians = rng.standard_normal((num_words, n_bits)).astype(np.float32)
        self.entries = [0] * num_words
        self.photos = 0
        self.order = np.arange(num_words)
        self.status = [3 if word % 2 else 2 for word in range(num_words)]

    def code(self, x, which):
        centered = x - self.mean
        return self.rotation @ (centered / np.linalg.norm(centered)) > self.thresholds[which]

    def index(self, sparse=False):
        out = b"IwSh" + index_header(self.n_dims, self.num_words)
        out += struct.pack("<QQ", self.n_lists, 1)
        out += b"IxF2" + index_header(self.n_dims, self.n_lists) + vector(self.centers)
        out += b"\0" + vector([], "<i8")
        out += b"Viqt" + vector(self.mean) + b"\1"
        turn = vector(np.eye(self.n_bits)) + vector([])
        sizes = struct.pack("<iiB", self.n_bits, self.n_bits, 1)
        out += b"Viqm" + struct.pack("<ii", 50, 123) + b"\0" + turn + sizes
        sizes = struct.pack("<iiB", self.n_dims, self.n_bits, 1)
        out += b"LTra" + b"\0" + vector(self.rotation) + vector([]) + sizes + sizes
        out += struct.pack("<ifi", self.n_bits, self.period, int(self.of_lists))
        out += vector(self.thresholds if self.of_lists else [])
        out += b"ilar" + struct.pack("<QQ", self.n_lists, -(-self.n_bits // 8))
        of_list = self.list_of_word[self.order]
        lists = [self.order[of_list == i] for i in range(self.n_lists)]
        sizes = [len(words) for words in lists]
        if sparse:
            pairs = [(i, size) for i, size in enumerate(sizes) if size]
            out += b"sprs" + vector(np.array(pairs).ravel(), "<u8")
        else:
            out += b"full" + vector(sizes, "<u8")
        for words in lists:
            codes = np.packbits(self.codes[words], axis=1, bitorder="little")
            out += codes.tobytes() + words.astype("<i8").tobytes()
        return out

    def file(self, version=1, feature_type=0, **index):
        out = struct.pack("<iii", version, self.n_dims, self.n_bits)
        out += struct.pack("<i", feature_type) if version == 2 else b""
        out += self.index(**index)
        out += struct.pack("<ii", self.num_words, self.n_bits) + self.projection.tobytes()
        for word in range(self.num_words):
            out += struct.pack("<Bf", self.status[word], self.idf[word])
            out += self.medians[word].tobytes() + struct.pack("<I", self.entries[word])
            out += bytes(32 * self.entries[word])
        return out + struct.pack("<i", self.photos) + bytes(8 * self.photos)

    def assigned(self, X, k, checks):
        """Distances and words, by the definition."""
        distances = np.full((len(X), k), np.iinfo(np.int32).max)
        ids = np.full((len(X), k), -1)
        near = reference.nearest(reference.squared_distances(X, self.centers), checks)[1]
        for i, x in enumerate(X):
            found = [
                (int((self.code(x, which) != self.codes[word]).sum()), word)
                for which in near[i]
                for word in np.flatnonzero(self.list_of_word == which)
            ]
            best = sorted(found)[:k]
            distances[i, : len(best)] = [distance for distance, _ in best]
            ids[i, : len(best)] = [word for _, word in best]
        return distances, ids


@pytest.mark.parametrize("of_lists", [False, True])
@pytest.mark.parametrize("n_bits", [8, 13])
def test_colmap(rng, tmp_path, of_lists, n_bits):
    made = Colmap(rng, of_lists=of_lists, n_bits=n_bits)
    path = tmp_path / "words.bin"
    path.write_bytes(made.file())
    words = from_colmap(path)
    assert (words.num_words, words.n_dims) == (40, 16)
    assert repr(words) == "ColmapVocabulary(num_words=40, n_dims=16)"
    np.testing.assert_array_equal(words.weights, made.idf)
    np.testing.assert_array_equal(words.projection, made.projection)
    np.testing.assert_array_equal(words.thresholds, made.medians)
    np.testing.assert_array_equal(words.has_embedding, np.arange(40) % 2 == 1)
    X = rng.integers(0, 256, (60, 16), np.uint8)
    for k, checks in ((1, 1), (3, 2), (50, 5)):
        found, expected = words.assign(X, k, checks=checks), made.assigned(X, k, checks)
        np.testing.assert_array_equal(found.distances, expected[0])
        np.testing.assert_array_equal(found.ids, expected[1])
    assert words.assign(X[:0]).ids.shape == (0, 1)


def test_colmap_with_few_lists_in_use_and_photos(rng, tmp_path):
    made = Colmap(rng, n_lists=9, num_words=3)
    made.entries, made.photos = [0, 2, 5], 4
    (tmp_path / "words.bin").write_bytes(made.file(sparse=True))
    words = from_colmap(tmp_path / "words.bin")
    X = made.words + 1
    np.testing.assert_array_equal(words.assign(X, 2, checks=9).ids, made.assigned(X, 2, 9)[1])
    with pytest.raises(ValueError, match="16 columns"):
        words.assign(X[:, 1:])
    with pytest.raises(ValueError, match="checks"):
        words.assign(X, checks=0)


def test_colmap_takes_descriptors_in_parts(rng, tmp_path, monkeypatch):
    made = Colmap(rng)
    (tmp_path / "words.bin").write_bytes(made.file())
    words = from_colmap(tmp_path / "words.bin")
    X = rng.integers(0, 256, (50, 16), np.uint8)
    whole = words.assign(X, 3, checks=4)
    for most in (1, 200):
        monkeypatch.setattr(colmap, "_MOST_BITS", most)
        for a, b in zip(words.assign(X, 3, checks=4), whole, strict=True):
            np.testing.assert_array_equal(a, b)


def test_of_equally_near_words_of_colmap_the_smaller_comes_first(rng, tmp_path):
    made = Colmap(rng, n_lists=3, num_words=30)
    made.codes[:] = made.codes[0]
    made.order = rng.permutation(30)  # of words in lists
    (tmp_path / "words.bin").write_bytes(made.file())
    words = from_colmap(tmp_path / "words.bin")
    X = made.words[:9]
    for k in (1, 4, 30):
        np.testing.assert_array_equal(words.assign(X, k).ids, np.tile(np.arange(k), (9, 1)))


@pytest.mark.parametrize("n_bits", [8, 13])
def test_the_hamming_embedding_of_colmap(rng, tmp_path, n_bits):
    made = Colmap(rng, n_bits=n_bits)
    (tmp_path / "words.bin").write_bytes(made.file())
    embedding = from_colmap(tmp_path / "words.bin").hamming_embedding()
    X, own = rng.integers(0, 256, (60, 16), np.uint8), rng.integers(0, 40, 60)
    numbers = X.astype(float) @ made.projection.T - made.medians[own]
    assert np.abs(numbers).min() > 1e-3
    expected = np.packbits(numbers > 0, axis=1, bitorder="little")
    np.testing.assert_array_equal(embedding.transform(X, own), expected)
    embedding.save(tmp_path / "embedding.tv")
    opened = HammingEmbedding.load(tmp_path / "embedding.tv")
    np.testing.assert_array_equal(opened.transform(X, own), expected)
    made.status = [2] * 40
    (tmp_path / "words.bin").write_bytes(made.file())
    with pytest.raises(ValueError, match="must have words with an embedding"):
        from_colmap(tmp_path / "words.bin").hamming_embedding()


def test_colmap_as_faiss_writes_it(rng, tmp_path):
    faiss = pytest.importorskip("faiss", reason="compares with FAISS, whose format it is")
    made = Colmap(rng, n_dims=16, n_bits=8, num_words=600)
    index = faiss.index_factory(16, "IVF20,ITQ8,SH")
    index.train(made.words)
    index.add(made.words)
    made.index = lambda: faiss.serialize_index(index).tobytes()
    (tmp_path / "words.bin").write_bytes(made.file())
    words = from_colmap(tmp_path / "words.bin")
    X = rng.integers(0, 256, (200, 16)).astype(np.float32)
    faiss.extract_index_ivf(index).nprobe = 6
    theirs = index.search(X, 3)
    ours = words.assign(X, 3, checks=6)
    np.testing.assert_array_equal(ours.distances, theirs[0])
    # Which words, where no others are as near: FAISS's order among equals is that of its lists.
    near = theirs[0][:, :2] < theirs[0][:, 1:]
    clear = near & np.column_stack([np.ones(200, bool), near[:, 0]])
    assert clear[:, 0].sum() > 20
    np.testing.assert_array_equal(ours.ids[:, :2][clear], theirs[1][:, :2][clear])


@pytest.mark.parametrize(
    ("number", "name"), [(-1, None), (0, "SIFT"), (2, "ALIKED_N32"), (99, "99"), (-7, "-7")]
)
def test_colmap_says_what_features_it_is_of(rng, tmp_path, number, name):
    (tmp_path / "words.bin").write_bytes(Colmap(rng).file(version=2, feature_type=number))
    assert from_colmap(tmp_path / "words.bin").feature_type == name
    (tmp_path / "words.bin").write_bytes(Colmap(rng).file())
    assert from_colmap(tmp_path / "words.bin").feature_type is None


def test_colmap_as_colmap_writes_it(rng, tmp_path):
    pycolmap = pytest.importorskip("pycolmap", reason="compares with COLMAP, whose format it is")
    if not hasattr(pycolmap, "VisualIndex"):
        pytest.skip("this COLMAP offers no vocabularies to Python")
    options = pycolmap.VisualIndex.BuildOptions()
    options.num_visual_words, options.num_iterations, options.num_rounds = 64, 2, 1
    X = rng.integers(0, 256, (1500, 128)).astype(np.float32)
    sift = pycolmap.FeatureExtractorType.SIFT
    index = pycolmap.VisualIndex.create(128, 64)
    index.build(options, pycolmap.FeatureDescriptorsFloat(sift, X))
    photo = pycolmap.FeatureKeypoints([pycolmap.FeatureKeypoint() for _ in range(20)])
    options = pycolmap.VisualIndex.IndexOptions()
    for indexed in (False, True):
        if indexed:
            descriptors = pycolmap.FeatureDescriptorsFloat(sift, X[:20])
            index.add(options, 1, photo, descriptors)
            index.prepare()
        index.write(tmp_path / f"{indexed}.bin")
        words = from_colmap(tmp_path / f"{indexed}.bin")
        assert (words.num_words, words.n_dims, words.feature_type) == (64, 128, "SIFT")
        assert words.has_embedding.any()
        np.testing.assert_allclose(words.projection @ words.projection.T, np.eye(64), atol=1e-5)
        assert words.assign(X[:5]).ids.min() >= 0
        assert words.hamming_embedding().transform(X[:5], [0, 1, 2, 3, 4]).shape == (5, 8)


@pytest.mark.parametrize("first", [65_536, 256, -1, 0])
def test_says_how_to_convert_older_files_of_colmap(tmp_path, first):
    (tmp_path / "words.bin").write_bytes(struct.pack("<iQ", first, 128) + bytes(200))
    with pytest.raises(ValueError, match="index of FLANN, convert it"):
        from_colmap(tmp_path / "words.bin")


def test_refuses_other_versions_of_colmap(rng, tmp_path):
    (tmp_path / "words.bin").write_bytes(Colmap(rng).index())
    with pytest.raises(ValueError, match="no version"):
        from_colmap(tmp_path / "words.bin")
    (tmp_path / "words.bin").write_bytes(struct.pack("<iii", 3, 128, 64))
    with pytest.raises(ValueError, match="version 3"):
        from_colmap(tmp_path / "words.bin")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"IwSh", b"IwFl", "'IwSh', got 'IwFl'"),
        (b"IxF2", b"IxFI", "'IxF2'"),
        (b"Viqt", b"Pcam", "'Viqt'"),
        (b"Viqm", b"LTra", "'Viqm'"),
        (b"LTra", b"rrot", "'LTra'"),
        (b"ilar", b"il00", "'ilar'"),
        (b"full", b"none", "'none'"),
        (index_header(16, 40), index_header(15, 40), "dimensions"),
        (index_header(16, 40), index_header(16, 41), "40 words, not 41"),
        (index_header(16, 40), index_header(16, 2**62), "40 words"),
        (index_header(16, 5), index_header(16, -1), "differ in number"),
        (struct.pack("<QQ", 5, 1), struct.pack("<QQ", 2**63, 1), "differ in number"),
        (struct.pack("<Q", 80), struct.pack("<Q", 2**61), "must be 80"),
        (struct.pack("<Q", 128), struct.pack("<Q", 2**62), "do not fit"),
        (struct.pack("<iiB", 16, 8, 1), struct.pack("<iiB", 16, 9, 1), "16|9"),
        (struct.pack("<ifi", 8, -1e10, 0), struct.pack("<ifi", 8, 0, 0), "period"),
        (struct.pack("<ifi", 8, -1e10, 0), struct.pack("<ifi", 8, np.nan, 0), "finite"),
        (struct.pack("<ifi", 8, -1e10, 0), struct.pack("<ifi", 9, -1e10, 0), "bits"),
        (struct.pack("<QQ", 5, 1) + b"full", struct.pack("<QQ", 5, 2) + b"full", "bytes of a code"),
        (struct.pack("<ii", 40, 8), struct.pack("<ii", 39, 8), "number of words"),
        (struct.pack("<ii", 40, 8), struct.pack("<ii", 40, 7), "bits of the embedding"),
    ],
)
def test_refuses_other_files_of_colmap(rng, tmp_path, old, new, message):
    whole, path = Colmap(rng).file(), tmp_path / "words.bin"
    assert old in whole
    path.write_bytes(whole.replace(old, new, 1))
    with pytest.raises(ValueError, match=rf"words\.bin: .*{message}"):
        from_colmap(path)


def test_refuses_files_of_colmap_of_another_size(rng, tmp_path):
    whole, path = Colmap(rng).file(), tmp_path / "words.bin"
    for end in range(0, len(whole), 29):
        path.write_bytes(whole[:end])
        with pytest.raises(ValueError, match="do not fit at offset"):
            from_colmap(path)
    path.write_bytes(whole + b"\0\0")
    with pytest.raises(ValueError, match="2 bytes follow"):
        from_colmap(path)


# ---- anything

READERS = {"dbow": from_dbow, "fbow": from_fbow, "colmap": from_colmap}


@pytest.fixture(scope="module")
def whole_files(tmp_path_factory):
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("whole")
    centers = centers_of(rng, "bits")
    return {
        "dbow": [
            write_text(folder / "a.txt", centers).read_bytes(),
            write_yaml(folder / "a.yml", centers, "dbw3 0 32 ").read_bytes(),
        ],
        "fbow": [fbow_file(centers), fbow_file(centers_of(rng, "floats"))],
        "colmap": [Colmap(rng).file(), Colmap(rng, of_lists=True).file(version=2, sparse=True)],
    }


@pytest.mark.parametrize("name", list(READERS))
@given(data=st.data())
def test_damaged_files_give_a_value_error_or_a_vocabulary(whole_files, tmp_path, name, data):
    content = bytearray(data.draw(st.sampled_from(whole_files[name])))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        new = data.draw(
            st.binary(min_size=1, max_size=9)
            | st.sampled_from([b"\xff" * 8, b"\0" * 8, b"\xff\xff\xff\x7f", b"-1 ", b"1e9 ", b"\n"])
        )
        content[at : at + len(new)] = new
    path = tmp_path / "words"
    path.write_bytes(content)
    try:
        found = READERS[name](path)
    except ValueError as error:
        assert str(path) in str(error)  # noqa: PT017 - it may as well not be refused
        return
    if name == "colmap":
        found.assign(np.zeros((2, found.n_dims)), 2)
    else:
        found.transform(np.zeros((2, found.centers_.shape[1])))
