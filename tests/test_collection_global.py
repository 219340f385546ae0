# SPDX-License-Identifier: Apache-2.0
"""Collections whose photos are found by the vectors of a network, alone or besides features."""

import copy
import hashlib
import json
import os
import shutil
import subprocess
import sys
from itertools import zip_longest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import collection_cases as cases
import scenes
from collection_cases import BOTH, IDS, SIZE, VIEW, N, ranked, vectors
from deep_cases import deep, small_network, torch
from trouvaille import Collection, cli
from trouvaille.aggregate import PCAWhitening
from trouvaille.collection.evaluate import evaluate
from trouvaille.collection.query import Query
from trouvaille.collection.ranker import interleaved
from trouvaille.collection.settings import Settings
from trouvaille.collection.show import write_page
from trouvaille.collection.storage import Storage
from trouvaille.errors import IndexCorruptError
from trouvaille.evaluation import GroundTruth
from trouvaille.neighbors import Exact

FLAT = np.full((150, 200, 3), (200, 60, 30), np.uint8)


@pytest.fixture(scope="module")
def photos():
    return cases.photos()


@pytest.fixture(scope="module")
def network():
    return cases.network()


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """A collection of each pipeline, of two segments."""
    made = {name: tmp_path_factory.mktemp("collection") / "photos.tv" for name in BOTH}
    for name, path in made.items():
        cases.filled(path, name)
    return made


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


@pytest.mark.parametrize("name", BOTH)
def test_colours_count(tmp_path, name):
    """One scene in several colours, which are all alike in gray."""
    photos = [scenes.tinted(scenes.scene(0), colour) for colour in cases.COLOURS]
    with cases.empty(tmp_path / "c.tv", name) as collection:
        collection.add(photos, IDS)
        for id, photo in zip(IDS, photos, strict=True):
            query = scenes.view(photo, scenes.similarity(1, 0, 6, 3))
            assert collection.search(query, 1, verify=0)[0].id == id


def test_a_score_is_never_above_1(tmp_path, paths, photos):
    """A vector may be longer than 1 by rounding; here all are, by more."""
    path = changed(paths["global"], tmp_path, factor=1.0005)
    hits = Collection.open(path, verify="full").search(photos[0], N)
    assert hits[0].id == IDS[0]
    assert hits[0].score == 1
    assert 0 < hits[1].score < 1


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
    first = [hit.id for hit in by_vectors.search(query, N)]
    second = [hit.id for hit in local.search(query, N, verify=0) if hit.score > 0]
    assert len(second) > 2
    assert first[1] != second[1]
    turns = [id for pair in zip_longest(first, second) for id in pair if id is not None]
    wanted = list(dict.fromkeys(turns))
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


def test_a_query_asked_again_at_a_third_keeps_its_vector(tmp_path, photos, rng):
    """Its strongest features are dots that are gone at a third; one photo a search is verified."""
    dots = np.kron(rng.choice([-40, 40], (240, 320)), np.ones((3, 3)))[..., None]
    near = scenes.view(photos[2], np.diag([3, 3, 1]), (960, 720))
    query = np.clip(near + dots, 0, 255).astype(np.uint8)
    path, network = tmp_path / "c.tv", cases.network()
    with Collection.create(
        path, pipeline="local+global", network=network, max_features=200
    ) as collection:
        collection.add(photos, IDS)
        best = collection.search(query, 1, verify=1)[0]
        assert best.id == IDS[2]
        assert best.n_inliers >= 8
        with pytest.MonkeyPatch.context() as patch:  # or it would say nothing of vectors
            patch.setattr(Query, "can_be_reduced", False)
            assert collection.search(query, 1, verify=1)[0].n_inliers == 0


@pytest.fixture(scope="module")
def flat_paths(tmp_path_factory, photos):
    """Collections as above, with a photo of one colour, of which there are no features."""
    made = {name: tmp_path_factory.mktemp("flat") / "photos.tv" for name in BOTH}
    for name, path in made.items():
        cases.empty(path, name).add([*photos, FLAT], [*IDS, "flat"])
    return made


def test_a_query_without_features(flat_paths):
    query = FLAT[:90, :120]
    hits = Collection.open(flat_paths["local+global"]).search(query, N + 1)
    assert hits.n_features == 0
    assert hits[0].id == "flat"
    assert sorted(hit.id for hit in hits) == sorted([*IDS, "flat"])
    assert all(hit.n_inliers == 0 and hit.transform is None for hit in hits)
    assert {"describe", "search"} <= hits.seconds.keys()


@pytest.fixture(scope="module")
def queries(tmp_path_factory, photos):
    """Views of three photos, and a part of the one of one colour."""
    folder = tmp_path_factory.mktemp("queries")
    for i in range(3):
        scenes.write(folder / f"{IDS[i]}.png", scenes.view(photos[i], VIEW))
    scenes.write(folder / "flat.png", FLAT[:90, :120])
    return folder


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("order", [1, -1])
def test_evaluate(flat_paths, queries, name, order):
    """A query without features, which nothing is matched or verified of, is the last or first."""
    ids = [*IDS[:3], "flat"][::order]
    questions = [{"image": f"{id}.png", "positives": [id]} for id in ids]
    questions[1]["positives"].append(IDS[5])
    path = queries / "gt.json"
    path.write_text(json.dumps({"database": [*IDS, "flat"], "queries": questions}))
    collection = Collection.open(flat_paths[name])
    found = evaluate(collection, GroundTruth.load(path), queries)
    assert (found.n_queries, found.n_photos) == (4, N + 1)
    other = ids[1]  # its second answer is found where it is found
    place = [hit.id for hit in collection.search(queries / f"{other}.png", N + 1)].index(IDS[5])
    assert place > 0
    assert found.verified.precision_at_1 == 1
    # By the trapezoid, between 1 before it and (1 / place, 2 / (place + 1)) at the second answer.
    second = (1 / place + 2 / (place + 1)) / 2
    assert found.verified.mean_ap == pytest.approx((3 + (1 + second) / 2) / 4)
    assert found.first.precision_at_1 == 1
    stages = {"describe", "search", *(["match", "verify"] if "local" in name else [])}
    assert stages <= found.milliseconds.keys()


@pytest.mark.parametrize("name", BOTH)
def test_a_page(flat_paths, queries, tmp_path, name):
    collection = Collection.open(flat_paths[name])
    asked = [queries / f"{id}.png" for id in (IDS[1], "flat")]
    results = [(path, collection.search(path, 3)) for path in asked]
    write_page(tmp_path / "page.html", collection, results, title="Found")
    text = (tmp_path / "page.html").read_text("utf-8")
    verified = "1" if name == "local+global" else "none"
    assert f"3 results, {verified} verified" in text
    assert text.count("3 results, none verified") == (1 if verified == "1" else 2)
    assert collection.summary in text
    assert all(hit.id in text for _, hits in results for hit in hits)


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


def changed(path, tmp_path, factor=1, **settings):
    """A collection as `path` is, with other settings or vectors, and whatever network is given."""
    old = Storage.open(path).snapshot
    network = settings.pop("file", old.network.array("file").tobytes())
    merged = Settings.from_dict({**old.settings, **settings})
    storage = Storage.create(tmp_path / "changed.tv", merged.as_dict(), merged.fingerprint)
    with storage.writer() as writer:
        if network is not None:
            writer.set_network(network)
        for segment in old.segments:
            stored = segment.sections["vectors"].array("vectors")
            rows = [segment.catalogue.row(i) for i in range(segment.n_images)]
            writer.add_segment({"vectors": {"vectors": stored * np.float32(factor)}}, rows)
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
    def main(*arguments):
        monkeypatch.setattr(sys, "argv", ["trouvaille", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code == 0
        return capsys.readouterr().out

    folder, path = tmp_path / "photos", tmp_path / "c.tv"
    for i, photo in enumerate(photos):
        scenes.write(folder / f"{i}.png", photo)
    query = scenes.write(tmp_path / "query.png", scenes.view(photos[3], VIEW))
    file = deep.save_network(network, tmp_path / "network")
    main("index", folder, "-o", path, "--pipeline", "global", "--network", file, "--size", SIZE)
    results = json.loads(main("search", path, query, "--json"))["results"]
    index = Exact("ip").build(vectors(network, photos))
    found = index.search(vectors(network, query), N)
    assert [row["id"] for row in results] == [f"{i}.png" for i in found.ids[0]]
    np.testing.assert_allclose([row["score"] for row in results], found.distances[0], atol=1e-6)
    assert all(row["verified_matches"] == 0 and row["box"] is None for row in results)


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


def test_a_network_that_describes_nothing_is_refused(tmp_path, network):
    broken = copy.deepcopy(network)
    with torch.no_grad():
        for weights in broken.parameters():
            weights.fill_(torch.nan)
    with pytest.raises(ValueError, match="network describes no photo: the network makes NaN"):
        Collection.create(tmp_path / "c.tv", pipeline="global", network=broken)
