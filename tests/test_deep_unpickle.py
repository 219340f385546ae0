# SPDX-License-Identifier: Apache-2.0
"""Files of PyTorch are read as data: what they hold comes back, and nothing of them is run."""

import contextlib
import io
import os
import pickle
import struct
import sys
import tracemalloc
import types
import zipfile
from collections import OrderedDict, defaultdict

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="networks need PyTorch")

from trouvaille.deep._pickled_values import PickledObject  # noqa: E402
from trouvaille.deep._torch_file import load  # noqa: E402
from trouvaille.errors import CheckpointError  # noqa: E402


def fake_pca(monkeypatch, module="sklearn.decomposition.pca"):
    """An object that is pickled as scikit-learn's of that module, without scikit-learn."""
    fake = types.ModuleType(module)
    fake.PCA = type("PCA", (), {"__module__": module})
    monkeypatch.setitem(sys.modules, module, fake)
    pca = fake.PCA()
    pca.mean_ = np.arange(3.0)
    pca.components_ = np.asfortranarray(np.arange(6.0, dtype=np.float32).reshape(2, 3))
    pca.explained_variance_ = np.array([2.0, 1.0]).astype(">f8")
    pca.n_components_, pca.noise_variance_, pca.whiten = 2, np.float64(0.5), True
    return pca


def content():
    weight = torch.arange(12, dtype=torch.float32).reshape(3, 4)
    return {
        "epoch": 3,
        "meta": {"mean": [0.485, 0.5], "name": "a net", "none": None, "flag": True, "big": 1 << 70},
        "state_dict": OrderedDict(
            weight=weight,
            tied=weight,
            turned=weight.t(),
            part=weight[1:, 1],
            half=weight.half(),
            brain=weight.bfloat16(),
            count=torch.tensor(7),
            empty=torch.empty(0, 3),
            parameter=torch.nn.Parameter(torch.ones(2)),
        ),
        "size": weight.shape,
        "Lw": {"m": np.arange(3.0)[:, None], "P": np.eye(3, dtype=np.float32)},
        "loss": np.float64(0.25),
    }


@pytest.mark.parametrize("new", [True, False])
def test_what_torch_saved_comes_back(tmp_path, new):
    torch.save(content(), tmp_path / "net.pth", _use_new_zipfile_serialization=new)
    found, wanted = load(tmp_path / "net.pth"), content()
    assert list(found) == list(wanted)
    for key in ("epoch", "meta", "size", "loss"):
        assert found[key] == wanted[key]
    assert isinstance(found["state_dict"], OrderedDict)
    for name, tensor in wanted["state_dict"].items():
        assert found["state_dict"][name].dtype == tensor.dtype
        assert torch.equal(found["state_dict"][name], tensor)
    for name, array in wanted["Lw"].items():
        assert found["Lw"][name].dtype == array.dtype
        assert np.array_equal(found["Lw"][name], array)


def test_tied_tensors_share_memory(tmp_path):
    torch.save(content(), tmp_path / "net.pth")
    state = load(tmp_path / "net.pth")["state_dict"]
    assert state["weight"].data_ptr() == state["tied"].data_ptr()


def test_the_state_of_a_module_comes_back(tmp_path):
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    torch.save(module.state_dict(), tmp_path / "net.pth")
    found = load(tmp_path / "net.pth")
    assert all(torch.equal(found[name], value) for name, value in module.state_dict().items())


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_the_state_of_a_pca_is_read_as_data(tmp_path, monkeypatch, protocol):
    pca = fake_pca(monkeypatch)
    (tmp_path / "pca.pkl").write_bytes(pickle.dumps({"Landmarks_clean": pca}, protocol))
    monkeypatch.undo()  # scikit-learn need not be there
    found = load(tmp_path / "pca.pkl")["Landmarks_clean"]
    assert isinstance(found, PickledObject)
    assert found.kind == "PCA"
    for name, value in vars(pca).items():
        assert np.array_equal(found.state[name], value)
        wanted = np.asarray(value).dtype.newbyteorder("=")
        assert np.asarray(found.state[name]).dtype.newbyteorder("=") == wanted


def test_a_real_pca_is_read(tmp_path):
    decomposition = pytest.importorskip("sklearn.decomposition", reason="makes the file")
    X = np.random.default_rng(0).normal(size=(20, 5))
    pca = decomposition.PCA(3, whiten=True, svd_solver="full").fit(X)
    (tmp_path / "pca.pkl").write_bytes(pickle.dumps(pca))
    found = load(tmp_path / "pca.pkl")
    assert np.array_equal(found.state["components_"], pca.components_)
    assert np.array_equal(found.state["mean_"], pca.mean_)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("new", [True, False])
def test_a_file_in_an_archive_is_read(tmp_path, compression, new):
    data = io.BytesIO()
    torch.save(content(), data, _use_new_zipfile_serialization=new)
    with zipfile.ZipFile(tmp_path / "net.pt.zip", "w", compression) as archive:
        archive.writestr("Resnet-101-AP-GeM.pt", data.getvalue())
    found = load(tmp_path / "net.pt.zip")
    assert torch.equal(found["state_dict"]["turned"], content()["state_dict"]["turned"])


def plain_values():
    counts = defaultdict(list)
    counts["a"].append(1)
    return {
        "dtypes": [torch.float32, torch.bfloat16, torch.uint8],
        "devices": [torch.device("cpu"), torch.device("cuda", 1), torch.device("cuda")],
        "size": torch.Size([2, 3]),
        "sets": [{"a", 1, 2.5, None}, set(), frozenset({"b", True}), frozenset()],
        "ordered": OrderedDict(b=1, a=2),
        "counts": counts,
        "of_dicts": defaultdict(dict),
    }


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_plain_values_come_back(tmp_path, protocol):
    wanted = plain_values()
    (tmp_path / "p.pkl").write_bytes(pickle.dumps(wanted, protocol))
    torch.save(wanted, tmp_path / "new.pth", pickle_protocol=protocol)
    for name in ("p.pkl", "new.pth"):
        found = load(tmp_path / name)
        assert found == wanted
        assert list(found["ordered"]) == ["b", "a"]
        assert type(found["counts"]) is type(found["of_dicts"]) is dict  # which makes nothing
        assert [type(given) for given in found["sets"]] == [set, set, frozenset, frozenset]


def test_a_value_that_is_not_read_is_not_called_code(tmp_path):
    (tmp_path / "p.pkl").write_bytes(pickle.dumps({"note": complex(1, 2)}, 2))
    with pytest.raises(CheckpointError, match=r"complex', which is not read here, since it may be"):
        load(tmp_path / "p.pkl")


# ---- Code is refused


class Reduced:
    def __init__(self, *parts):
        self.parts = parts

    def __reduce__(self):
        return self.parts

    def __call__(self):
        """Only what can be called may be pickled as a function."""


def armed(path):
    """What would make the folder `path`, each in its way, if it were run."""
    make = f"__import__('os').mkdir({str(path)!r})"
    yield "call of os", Reduced(os.system, (f"mkdir {path}",))
    yield "eval", Reduced(eval, (make,))
    yield "exec", Reduced(exec, (make,))
    yield "mkdir", Reduced(os.mkdir, (str(path),))
    yield "getattr", Reduced(getattr, (Reduced(__import__, ("os",)), "mkdir"))
    yield "chain", Reduced(Reduced(getattr, (Reduced(__import__, ("os",)), "mkdir")), (str(path),))
    yield "nested pickle", Reduced(pickle.loads, (pickle.dumps(Reduced(os.mkdir, (str(path),))),))
    yield "state", Reduced(OrderedDict, (), {"x": Reduced(os.mkdir, (str(path),))})
    yield "items", Reduced(OrderedDict, (), None, None, iter([("a", Reduced(eval, (make,)))]))
    yield "map", Reduced(map, (eval, [make]))
    yield "partial", Reduced(__import__("functools").partial, (eval, make))
    yield "torch", Reduced(torch.load, (str(path),))
    yield "hub", Reduced(torch.hub.load, (str(path), "x"))
    yield "numpy", Reduced(np.load, (str(path),))


@pytest.mark.parametrize("how", ["pickle", "new", "old", "archive"])
@pytest.mark.parametrize("protocol", [2, 4])
def test_code_is_refused_and_not_run(tmp_path, how, protocol):
    made, file = tmp_path / "made", tmp_path / "net.pth"
    for name, value in armed(made):
        value = {"state_dict": value}
        if how == "pickle":
            file.write_bytes(pickle.dumps(value, protocol))
        else:
            data = io.BytesIO()
            torch.save(
                value,
                data,
                pickle_protocol=protocol,
                _use_new_zipfile_serialization=how != "old",
            )
            file.write_bytes(data.getvalue())
            if how == "archive":
                with zipfile.ZipFile(file, "w") as archive:
                    archive.writestr("net.pt", data.getvalue())
        with pytest.raises(CheckpointError, match=r"code|instruction") as caught:
            load(file)
        assert not made.exists(), name
        assert caught.value.path == file


GADGETS = {  # pickles that Python cannot be made to write
    "instance": b"(S'mkdir made'\nios\nsystem\n.",
    "object": b"(cos\nsystem\nS'mkdir made'\no.",
    "extension": b"\x82\x01.",
    "attribute of a name": b"\x80\x04\x8c\x05torch\x8c\x0b_utils.exec\x93.",
    "name by no text": b"\x80\x04K\x01K\x02\x93.",
    "set of arrays": b"\x80\x04\x8f(}\x90.",
    "items of a list": b"\x80\x04](K\x01\x90.",
    "set of text": b"\x80\x02c__builtin__\nset\nX\x02\0\0\0ab\x85R.",
    "frozen set of lists": b"\x80\x04(]\x91.",
    "list by its name": b"\x80\x02c__builtin__\nlist\n)R.",
    "dict with code": b"\x80\x02ccollections\ndefaultdict\nc__builtin__\nset\n)R\x85R.",
    "device of no type": b"\x80\x02ctorch\ndevice\nK\x01\x85R.",
    "device with a call": b"\x80\x02ctorch\ndevice\nX\x03\0\0\0cpuctorch\nSize\n\x86R.",
    "state of a function": b"ctorch._utils\n_rebuild_tensor_v2\n}S'__code__'\nK\x01sb.",
    "slots of a class": b"ccollections\nOrderedDict\nN}S'update'\nK\x01s\x86b.",
    "object of a class": b"\x80\x02ccollections\nOrderedDict\n)\x81.",
    "array of a class": b"\x80\x02cnumpy\nndarray\n)R.",
    "call of a tensor": b"\x80\x02K\x01)R.",
    "append to a dict": b"}K\x01a.",
    "set of a list": b"]K\x01K\x02s.",
    "key that is no text": b"})K\x02s.",
    "reference to nothing": b"h\x05.",
    "end without a value": b".",
    "no end": b"K\x01",
    "nothing": b"",
    "storage without a file": b"\x80\x02(X\x07\0\0\0storagectorch\nFloatStorage\n"
    b"X\x01\0\0\x000X\x03\0\0\0cpuM\xff\xfftQ.",
    "endless text": b"X\xff\xff\xff\x7fabc.",
    "endless bytes": b"\x8e" + struct.pack("<Q", 1 << 62) + b"a.",
    "far memo": b"K\x01r\xff\xff\xff\xff.",
    "endless number": b"I" + b"9" * 10_000 + b"\n.",
}


@pytest.mark.parametrize("data", GADGETS.values(), ids=GADGETS.keys())
def test_what_no_honest_file_holds_is_an_error(tmp_path, data, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "net.pth"
    file.write_bytes(data)
    if data == GADGETS["far memo"]:
        assert load(file) == 1
    else:
        with pytest.raises(CheckpointError):
            load(file)
    assert not (tmp_path / "made").exists()


def test_many_tensors_of_one_storage_do_not_take_more_memory_than_the_file(tmp_path):
    weight = torch.zeros(1000)
    torch.save([weight.view(10, 100).narrow(1, 0, 100 - i) for i in range(99)], tmp_path / "n.pth")
    with pytest.raises(CheckpointError, match="far more"):
        load(tmp_path / "n.pth")


_EMPTY_TENSOR = (
    b"ctorch._utils\n_rebuild_tensor_v2\nq\0"
    b"((X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\x000X\3\0\0\0cpuK\0tQ"
    b"K\0K\0\x85K\1\x85\x89)tq\1"
)
MANY = {  # what a byte or two can make a thing of, again and again
    "lists": b"]",
    "dicts": b"}",
    "sets": b"\x8f",
    "marks": b"(",
    "memory": b"N\x94",
    "tuples": b"N\x85",
    "numbers": b"M\xff\xff",
    "names": b"ctorch\nSize\n",
    "texts": b"\x8c\0",
    "items": b"h\0",
    "tensors": b"h\0h\1R",
    "nothing": b"\x80\2",
}


def peak_of(file):
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError) as caught:
            load(file)
        return tracemalloc.get_traced_memory()[1], str(caught.value)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("part", MANY.values(), ids=MANY.keys())
def test_many_small_things_take_memory_in_proportion_to_the_file(tmp_path, part, monkeypatch):
    monkeypatch.setattr("trouvaille.deep._torch_file._SPARE", 1 << 12)
    monkeypatch.setattr("trouvaille.deep._torch_file._OVERHEAD", 4)
    file, size = tmp_path / "n.pkl", 1 << 17
    begin = b"\x80\2" + _EMPTY_TENSOR
    file.write_bytes(begin + part * ((size - len(begin)) // len(part)) + b".")
    peak, said = peak_of(file)
    assert "far more lists, dicts and plain values" in said
    assert peak < 6 * size + (1 << 17)


def test_long_lists_of_a_network_are_read(tmp_path):
    wanted = {"losses": [i / 7 for i in range(50_000)], "names": [str(i) for i in range(20_000)]}
    wanted["by_name"] = dict.fromkeys(wanted["names"], 3)
    (tmp_path / "n.pkl").write_bytes(pickle.dumps(wanted))
    assert load(tmp_path / "n.pkl") == wanted


def test_tensors_of_a_few_numbers_each_are_read(tmp_path):
    wanted = {f"layer.{i}.count": torch.tensor(i) for i in range(3000)}
    for new in (True, False):
        torch.save(wanted, tmp_path / "n.pth", _use_new_zipfile_serialization=new)
        assert load(tmp_path / "n.pth") == wanted


def test_a_tensor_that_repeats_its_storage_is_refused(tmp_path):
    torch.save(torch.zeros(1).expand(1000), tmp_path / "n.pth")
    with pytest.raises(CheckpointError, match="does not fit into its storage"):
        load(tmp_path / "n.pth")


def test_an_archive_that_expands_too_much_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "n.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("net.pt", bytes(1 << 22))
    with pytest.raises(CheckpointError, match="would take 4194304 bytes"):
        load(tmp_path / "n.zip")


def test_an_archive_that_says_less_than_it_expands_to_is_not_expanded(tmp_path):
    size, said = 0x1234567, 1000
    with zipfile.ZipFile(tmp_path / "n.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("net.pt", bytes(size))
    data = (tmp_path / "n.zip").read_bytes()
    assert data.count(struct.pack("<L", size)) == 2
    (tmp_path / "n.zip").write_bytes(data.replace(*(struct.pack("<L", n) for n in (size, said))))
    peak, _ = peak_of(tmp_path / "n.zip")
    assert peak < 1 << 22


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_an_archive_whose_expansion_is_not_bounded_is_refused(tmp_path, compression):
    with zipfile.ZipFile(tmp_path / "n.zip", "w", compression) as archive:
        archive.writestr("net.pt", pickle.dumps(3))
    with pytest.raises(CheckpointError, match="use deflate"):
        load(tmp_path / "n.zip")


def test_an_archive_in_an_archive_does_not_list_endlessly(tmp_path):
    with zipfile.ZipFile(tmp_path / "n.zip", "w") as archive:
        archive.writestr("net.pt", b"PK\3\4" + b"PK\1\2" * 70_000)
    with pytest.raises(CheckpointError, match="of more than 65536 files"):
        load(tmp_path / "n.zip")


def test_a_pickle_that_expands_to_more_than_the_file_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("trouvaille.deep._torch_file._SPARE", 0)
    data = io.BytesIO()
    torch.save({"x": b"a" * 100_000, "w": torch.rand(5000)}, data)
    with zipfile.ZipFile(tmp_path / "n.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("net.pt", data.getvalue())
    with pytest.raises(CheckpointError, match="a pickle that is larger than the file"):
        load(tmp_path / "n.zip")


def test_an_archive_without_a_network_says_so(tmp_path):
    with zipfile.ZipFile(tmp_path / "n.zip", "w") as archive:
        archive.writestr("readme.txt", b"")
    with pytest.raises(CheckpointError, match="with 0 networks"):
        load(tmp_path / "n.zip")


def test_what_is_no_file_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "n.pth")
    with pytest.raises(CheckpointError, match="not a regular file"):
        load(tmp_path)


def seeds():
    small = {"meta": {"a": [0.5, None]}, "state_dict": OrderedDict(w=torch.ones(2, 3))}
    small["Lw"] = np.arange(3.0)
    for new in (True, False):
        data = io.BytesIO()
        torch.save(small, data, _use_new_zipfile_serialization=new)
        yield data.getvalue()
    yield pickle.dumps({"w": np.arange(4.0), "x": np.float32(2)}, 2)
    yield pickle.dumps({"w": np.arange(4.0), "x": np.float32(2)}, 4)


SEEDS = list(seeds())


@settings(max_examples=400)
@given(
    st.integers(0, len(SEEDS) - 1),
    st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=4)), max_size=4),
    st.floats(0, 1),
)
@example(0, [], 1.0)
def test_changed_bytes_are_data_or_an_error(tmp_path, seed, changes, cut):
    data = bytearray(SEEDS[seed])
    for where, put in changes:
        place = int(where * (len(data) - 1))
        data[place : place + len(put)] = put
    file = tmp_path / "net.pth"
    file.write_bytes(data[: int(cut * len(data))] if cut < 0.3 else data)
    with contextlib.suppress(CheckpointError):
        load(file)
