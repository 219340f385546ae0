# SPDX-License-Identifier: Apache-2.0
"""Collections whose photos are found by the vectors of a network, alone or besides features."""

import copy
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import scenes
from deep_cases import deep, small_network, torch
from trouvaille import Collection, cli
from trouvaille.aggregate import PCAWhitening
from trouvaille.collection import pipeline
from trouvaille.collection.ranker import interleaved
from trouvaille.collection.settings import Settings
from trouvaille.collection.storage import Storage
from trouvaille.errors import IndexCorruptError
from trouvaille.neighbors import Exact

pytest.importorskip("efficientnet_lite_pytorch", reason="a network that a collection can name")

N = 6
IDS = [f"scene{i}" for i in range(N)]
VIEW = scenes.similarity(0.9, 20, 12, -8)
BOTH = ["global", "local+global"]
SIZE = 160


@pytest.fixture(scope="module")
def photos():
    return [scenes.scene(i) for i in range(N)]


@pytest.fixture(scope="module")
def network():
    backbone = deep.Backbone("efficientnet_lite0", "block_2", weights=None)
    return deep.GlobalDescriptor(backbone, deep.RMAC(), scales=(1.0, 0.5))


@pytest.fixture(scope="module")
def paths(tmp_path_factory, photos, network):
    """A collection of each pipeline, of two segments."""
    made = {}
    for name in BOTH:
        made[name] = tmp_path_factory.mktemp("collection") / "photos.tv"
        collection = Collection.create(made[name], pipeline=name, network=network, max_size=SIZE)
        collection.add(photos[:4], IDS[:4])
        collection.add(photos[4:], IDS[4:])
    return made


def vectors(network, photos, **options):
    report = deep.extract(network, photos, image_size=SIZE, scales=None, **options)
    assert not report.failed
    return report.descriptors


def ranked(hits):
    return [(hit.id, hit.score) for hit in hits]


def test_global_ranks_by_the_cosine_of_vectors(paths, photos, network):
    collection = Collection.open(paths["global"], verify="full")
    assert len(collection._storage.snapshot.segments) == 2
    query = scenes.view(photos[3], VIEW)
    index = Exact("ip").build(vectors(network, photos))
    found = index.search(vectors(network, [query]), N)
    hits = collection.search(query, N)
    assert [hit.id for hit in hits] == [IDS[i] for i in found.ids[0]]
    scores = np.minimum(found.distances[0].astype(float), 1.0)
    np.testing.assert_allclose([hit.score for hit in hits], scores, atol=1e-6)
    assert all(hit.n_inliers == 0 and hit.transform is None for hit in hits)
    assert hits.first_ranking == [hit.id for hit in hits]
    assert {"describe", "search"} <= hits.seconds.keys()
    assert "words" not in hits.seconds
    first = [hit.id for hit in hits]
    assert [hit.id for hit in collection.search(query, 2, exclude=first[:1])] == first[1:3]
    assert [hit.id for hit in collection.search(query, 3, verify=0)] == first[:3]


@pytest.mark.parametrize("name", BOTH)
def test_a_photo_finds_itself(paths, photos, name):
    collection = Collection.open(paths[name])
    for i, photo in enumerate(photos):
        assert collection.search(photo, 1)[0].id == IDS[i]


def test_what_a_global_collection_says_of_itself(paths, photos):
    collection = Collection.open(paths["global"])
    assert collection.num_words == 0
    assert collection.vocabulary is None
    assert "vectors of" in repr(collection)
    assert "words" not in repr(collection)
    stats = collection.stats()
    assert stats["features"] == stats["words"] == 0
    assert stats["bytes_vectors"] > 4 * N * collection.settings.vector_dimensions
    entry = collection.entry(IDS[1])
    assert entry.size == photos[1].shape[1::-1]
    assert entry.n_features == 0


def test_both_rankings_in_turn_and_then_verification(paths, photos, network, tmp_path):
    collection = Collection.open(paths["local+global"])
    local = Collection.create(tmp_path / "local.tv", max_size=SIZE)
    local.add(photos, IDS)
    by_vectors = Collection.open(paths["global"])
    query = scenes.view(photos[2], VIEW)
    wanted = []
    lists = [by_vectors.search(query, N), local.search(query, N, verify=0)]
    for pair in zip(*lists, strict=True):
        wanted += [hit.id for hit in pair if hit.id not in wanted]
    hits = collection.search(query, N)
    assert hits.first_ranking == wanted
    assert hits[0].id == IDS[2]
    assert hits[0].n_inliers > 10
    confirmed = {hit.id for hit in hits if hit.n_inliers > 0}
    assert [hit.id for hit in hits if hit.n_inliers == 0] == [
        id for id in wanted if id not in confirmed
    ]
    scores = [hit.score for hit in hits]
    assert scores == sorted(scores, reverse=True)
    # What only one of the rankings puts first is verified, too.
    assert collection.search(query, 1, verify=2)[0].id == IDS[2]


@given(st.permutations(range(8)), st.permutations(range(8)), st.integers(0, 8), st.integers(0, 9))
def test_interleaving_takes_each_where_it_comes_first(first, second, short, n):
    second = second[:short]
    wanted = []
    for i in range(8):
        for each in (first, second):
            if i < len(each) and each[i] not in wanted:
                wanted.append(each[i])
    ranking = interleaved(np.array(first), np.array(second, np.int64), n)
    assert ranking.numbers.tolist() == wanted[:n]
    assert (np.diff(ranking.scores) < 0).all()


def test_a_part_of_a_photo(paths, photos, network):
    box = (40, 30, 200, 180)
    hits = Collection.open(paths["global"]).search(photos[5], N, box)
    part = vectors(network, [np.ascontiguousarray(photos[5][30:180, 40:200])])  # a photo of its own
    np.testing.assert_allclose(
        dict(ranked(hits))[IDS[5]], (part @ vectors(network, [photos[5]]).T).item(), atol=1e-6
    )


def test_the_network_is_part_of_the_collection(paths, network):
    stored = Collection.open(paths["global"]).network
    assert stored.scales == network.scales
    for name, weights in network.state_dict().items():
        torch.testing.assert_close(stored.state_dict()[name], weights, rtol=0, atol=0)


def test_a_saved_network_with_a_whitening(tmp_path, photos, network):
    whitening = PCAWhitening(4).fit(vectors(network, photos))
    whitened = deep.GlobalDescriptor(network.backbone, network.pooling, whitening)
    file = deep.save_network(whitened, tmp_path / "network")
    made = []
    for name, given_network in (("a", whitened), ("b", file), ("c", tmp_path / "network")):
        path = tmp_path / f"{name}.tv"
        with Collection.create(
            path, pipeline="global", network=given_network, max_size=SIZE
        ) as collection:
            collection.add(photos, IDS)
            assert collection.settings.vector_dimensions == 4
            made.append(ranked(collection.search(photos[0], N)))
    assert made[0] == made[1] == made[2]


def test_photos_that_cannot_be_described_are_rows(tmp_path, monkeypatch, photos, network):
    monkeypatch.setattr(pipeline, "DESCRIBED_PHOTOS", 2)
    monkeypatch.setattr(pipeline, "SEGMENT_PHOTOS", 2)
    folder = tmp_path / "photos"
    for i in range(3):
        scenes.write(folder / f"{i}.png", photos[i])
    for name, data in (("broken.jpg", b"\xff\xd8\xff\xe0nothing"), ("empty.png", b"")):
        (folder / name).write_bytes(data)
    # What a name in Latin-1 is where names are UTF-8.
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff.png")).write_bytes(b"")
    for name in BOTH:
        told = []
        collection = Collection.create(tmp_path / f"{name}.tv", pipeline=name, network=network)
        report = collection.add(folder, progress=lambda *stage, told=told: told.append(stage))
        status = {row.id: row.status for row in report}
        assert status == {
            **dict.fromkeys(["0.png", "1.png", "2.png"], "ok"),
            "broken.jpg": "truncated",
            "empty.png": "empty",
            r"\udcff.png": "unnameable",
        }
        assert all(row.error for row in report.failed)
        assert all(row.describe_seconds > 0 for row in report if row.status == "ok")
        assert collection.ids == ["0.png", "1.png", "2.png"]
        assert collection.search(photos[1], 1)[0].id == "1.png"
        described = [done for stage, done, _ in told if stage == "describing"]
        assert described == sorted(described)
        assert ("describing", 6, 6) in told


def test_what_the_network_makes_infinity_of_is_not_added(tmp_path, photos, network):
    collection = Collection.create(tmp_path / "c.tv", pipeline="local+global", network=network)
    describer = collection._current_describer()
    with torch.no_grad():
        for weights in describer._ready.parameters():
            weights.fill_(torch.inf)
    report = collection.add(photos[:2], IDS[:2])
    assert [row.status for row in report] == ["not_finite"] * 2
    assert len(collection) == 0


def test_an_empty_collection_finds_nothing(tmp_path, photos, network):
    collection = Collection.create(tmp_path / "c.tv", pipeline="global", network=network)
    assert collection.search(photos[0]) == []


def test_a_query_that_cannot_be_described_says_so(paths, photos):
    collection = Collection.open(paths["global"])
    for weights in collection._current_describer()._ready.parameters():
        weights.fill_(torch.nan)
    with pytest.raises(ValueError, match="photo cannot be described by the network"):
        collection.search(photos[0])


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"num_words": 100}, "num_words is of local features"),
        ({"detector": "delf"}, "detector is of local features"),
        ({"ranking": "asmk"}, "ranking is of local features"),
        ({"keep_descriptors": False}, "keep_descriptors is of local features"),
        ({"vocabulary": "ready"}, "vocabulary is of local features"),
        ({"pipeline": "Global"}, "pipeline must be one of 'local', 'global', 'local\\+global'"),
        ({"pipeline": None}, "pipeline must be one of"),
        ({"pipeline": "local"}, "network goes with pipeline='global' or 'local\\+global'"),
        ({"max_size": 3}, "max_size"),
    ],
)
def test_options_that_do_not_go_together(tmp_path, network, options, match):
    options = {"pipeline": "global", "network": network, **options}
    with pytest.raises(ValueError, match=match):
        Collection.create(tmp_path / "c.tv", **options)
    assert not (tmp_path / "c.tv").exists()


def test_networks_that_cannot_be_stored(tmp_path):
    delf = deep.DELF(deep.Backbone("efficientnet_lite0", "block_2", weights=None))
    own = deep.GlobalDescriptor(deep.Backbone(small_network()), deep.MAC())
    for given_network, error, match in (
        (own, ValueError, "cannot be part of a collection: has a backbone of its own"),
        (small_network(), TypeError, "GlobalDescriptor"),
        (delf, TypeError, "must be a GlobalDescriptor or the file of one, got DELF"),
        (tmp_path / "none", FileNotFoundError, "none.safetensors"),
    ):
        with pytest.raises(error, match=match):
            Collection.create(tmp_path / "c.tv", pipeline="global", network=given_network)
    assert not (tmp_path / "c.tv").exists()


def changed(path, tmp_path, **settings):
    """A collection as `path` is, with other settings, and whatever network is given."""
    old = Storage.open(path).snapshot
    network = settings.pop("file", old.network.array("file").tobytes())
    merged = Settings.from_dict({**old.settings, **settings})
    storage = Storage.create(tmp_path / "changed.tv", merged.as_dict(), merged.fingerprint)
    with storage.writer() as writer:
        if network is not None:
            writer.set_network(network)
        for segment in old.segments:
            vectors_ = {"vectors": segment.sections["vectors"].array("vectors")}
            rows = [segment.catalogue.row(i) for i in range(segment.n_images)]
            writer.add_segment({"vectors": vectors_}, rows)
        writer.commit()
    return tmp_path / "changed.tv"


def test_another_network_than_the_settings_say(tmp_path, paths, photos, network):
    collection = Collection.open(changed(paths["global"], tmp_path, network="0" * 64))
    assert len(collection) == N  # until a photo is to be described
    for work in (
        lambda: collection.search(photos[0]),
        lambda: collection.add(photos[0], "more"),
        lambda: collection.network,
    ):
        with pytest.raises(IndexCorruptError, match="another network than the one in the settings"):
            work()


def test_a_file_that_is_no_network(tmp_path, paths, photos):
    file = b"no network at all"
    name = hashlib.sha256(file).hexdigest()
    path = changed(paths["global"], tmp_path, network=name, file=file)
    with pytest.raises(IndexCorruptError, match=r"network\.file.* cannot be read"):
        Collection.open(path).search(photos[0])


def test_no_network_or_vectors_of_another_width(tmp_path, paths):
    path = changed(paths["global"], tmp_path, file=None)
    with pytest.raises(IndexCorruptError, match="names no file of the kind 'network'"):
        Collection.open(path)
    (tmp_path / "more").mkdir()
    path = changed(paths["global"], tmp_path / "more", vector_dimensions=3)
    with pytest.raises(IndexCorruptError, match="must have 3 columns, as the settings say"):
        Collection.open(path)


def test_a_collection_made_before_there_were_networks():
    settings = Settings.from_dict({"max_features": 100})
    assert (settings.pipeline, settings.network) == ("local", None)


def test_without_pytorch_a_collection_opens_and_says_what_to_install(paths, tmp_path, photos):
    query = scenes.write(tmp_path / "query.png", photos[0])
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "from trouvaille import Collection\n"
        f"collection = Collection.open({str(paths['global'])!r})\n"
        "print(len(collection), collection.stats()['photos'])\n"
        "try:\n"
        f"    collection.search({str(query)!r})\n"
        "except ImportError as error:\n"
        "    print(error)\n"
    )
    out = without_pytorch(program).stdout
    assert out.startswith(f"{N} {N}\n")
    assert "pip install 'trouvaille[deep]'" in out


def test_without_pytorch_the_shell_says_what_to_install(paths, tmp_path, photos):
    query = scenes.write(tmp_path / "photos" / "query.png", photos[0])
    made = str(tmp_path / "c.tv")
    for arguments in (
        ["search", str(paths["global"]), str(query)],
        ["index", str(query.parent), "-o", made, "--pipeline", "local+global"],
    ):
        done = without_pytorch(
            f"import sys; sys.modules['torch'] = None; sys.argv = {['trouvaille', *arguments]!r}\n"
            "from trouvaille.cli import main\n"
            "main()\n"
        )
        assert done.returncode == 1
        assert "error: trouvaille.deep needs PyTorch" in done.stderr.replace("\n", " ")
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "c.tv").exists()


def without_pytorch(program):
    return subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True, env=os.environ
    )


def test_from_the_shell(tmp_path, photos, network, capsys, monkeypatch):
    def main(arguments):
        monkeypatch.setattr(sys, "argv", ["trouvaille", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code

    folder = tmp_path / "photos"
    for i, photo in enumerate(photos[:3]):
        scenes.write(folder / f"{i}.png", photo)
    file = deep.save_network(network, tmp_path / "network")
    path = str(tmp_path / "c.tv")
    arguments = ["index", str(folder), "-o", path, "--pipeline", "global", "--network", str(file)]
    assert main([*arguments, "--size", str(SIZE)]) == 0
    assert main(["search", path, str(folder / "1.png"), "--json"]) == 0
    assert '"1.png"' in capsys.readouterr().out


def test_another_collection_in_its_place(tmp_path, photos):
    def made(seed):
        backbone = deep.Backbone("efficientnet_lite0", "block_1", None, random_state=seed)
        network = deep.GlobalDescriptor(backbone, deep.MAC())
        collection = Collection.create(
            tmp_path / "c.tv", pipeline="global", network=network, max_size=SIZE
        )
        collection.add(photos, IDS)
        return collection

    old = made(0)
    before = ranked(old.search(photos[0]))
    shutil.rmtree(tmp_path / "c.tv")
    made(1)
    assert ranked(old.search(photos[0])) == before  # all of it is open still
    for work in (old.refresh, lambda: old.add(photos[0], "more")):
        with pytest.raises(ValueError, match="is another collection than the one that was opened"):
            work()
    assert ranked(old.search(photos[0])) == before
    assert len(Collection.open(tmp_path / "c.tv")) == N


def test_photos_of_which_words_know_nothing_keep_the_order_of_vectors(paths):
    flat = np.full((120, 160, 3), (30, 90, 160), np.uint8)  # it has no features
    both, alone = (Collection.open(paths[name]).search(flat, N) for name in reversed(BOTH))
    assert [hit.id for hit in both] == [hit.id for hit in alone]


def test_a_collection_that_was_not_made_to_its_end(tmp_path, paths):
    settings = Collection.open(paths["global"]).settings
    Storage.create(tmp_path / "c.tv", settings.as_dict(), settings.fingerprint)
    with pytest.raises(IndexCorruptError, match="was not made to its end; remove it"):
        Collection.open(tmp_path / "c.tv")


def test_a_network_that_fails_with_some_photos_ends_nothing(tmp_path, monkeypatch, photos, network):
    monkeypatch.setattr(pipeline, "DESCRIBED_PHOTOS", 4)
    collection = Collection.create(
        tmp_path / "c.tv", pipeline="global", network=network, max_size=SIZE
    )

    def refuse(module, given):
        if given[0].shape[2] < 50:
            raise RuntimeError("too narrow")

    collection._current_describer()._ready.register_forward_pre_hook(refuse)
    narrow = [np.zeros((40, 150 + i), np.uint8) for i in range(5)]
    report = collection.add([*photos[:4], *narrow], [str(i) for i in range(9)])
    assert [row.status for row in report] == ["ok"] * 4 + ["failed"] * 5
    assert len(collection) == 4


def test_a_network_that_describes_nothing_is_refused(tmp_path, network):
    broken = copy.deepcopy(network)
    with torch.no_grad():
        for weights in broken.parameters():
            weights.fill_(torch.nan)
    with pytest.raises(ValueError, match="network describes no photo: the network makes NaN"):
        Collection.create(tmp_path / "c.tv", pipeline="global", network=broken)


def test_photos_are_committed_from_time_to_time(tmp_path, monkeypatch, photos, network):
    monkeypatch.setattr(pipeline, "SEGMENT_SECONDS", 0.0)
    collection = Collection.create(
        tmp_path / "c.tv", pipeline="global", network=network, max_size=SIZE
    )
    report = collection.add(photos[:3], IDS[:3])
    assert len(collection._storage.snapshot.segments) == 3
    assert report.notes[0].startswith("described on cpu: ")
