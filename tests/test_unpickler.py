"""Files of torch.save and safetensors of anybody: what is read, what is refused, and what damage does."""

import collections
import io
import json
import pickle
import struct
import zipfile

import numpy as np
import pytest
import robustness
from cases import assert_same_bits, run_script

from fastrnn.io import _pickle, from_torch
from fastrnn.io._torch_file import read_entries
from fastrnn.storage import FileFormatError


def read(data):
    return _pickle.read(io.BytesIO(data), len(data))[0]


@pytest.mark.parametrize("protocol", range(1, 6))
def test_plain_values_come_back(protocol):
    value = {"a": [1, -2.5, None, True, 2**70], "b": ("text", {"c": ()}), 3: {"deep": [[[]]]}, "é": False}
    assert read(pickle.dumps(value, protocol)) == value
    again = ["x" * 300]
    assert read(pickle.dumps([again, again], protocol)) == [again, again]
    ordered = collections.OrderedDict([("k", 1), ("l", [2])])
    assert read(pickle.dumps(ordered, protocol)) == dict(ordered)


class Evil:
    def __reduce__(self):
        return print, ("executed",)


@pytest.mark.parametrize("protocol", range(6))
def test_nothing_is_executed(protocol, capsys):
    for value in (Evil(), [{"k": Evil()}], print, np.float64(3), io.BytesIO, collections.Counter("ab")):
        with pytest.raises(ValueError, match="it holds |its pickle uses |expected tensors"):
            read(pickle.dumps(value, protocol))
    assert capsys.readouterr().out == ""


REFUSED = {
    "a name with an attribute": b"cos\nsystem\n.",
    "a call of what is none": b"]\x85R.",
    "a call of text": b"X\x01\x00\x00\x00a)R.",
    "an instance": b"(ios\nsystem\n.",
    "a state of no dict": b"\x80\x02]]b.",
    "a mark as a value": b"(.",
    "no mark": b"]e.",
    "two values": b"]].",
    "nothing": b".",
    "an unknown place": b"h\x05.",
    "a persistent id of text": b"\x80\x02X\x01\x00\x00\x00aQ.",
    "an extension": b"\x80\x02\x82\x01.",
    "a text longer than the file": b"X\xff\xff\xff\x7fa.",
    "bytes longer than the file": b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7fa.",
    "a long of 2 GB": b"\x8b\xff\xff\xff\x7f\x01.",
    "a key that stands twice": b"}(X\x01\x00\x00\x00aK\x01X\x01\x00\x00\x00aK\x02u.",
    "a key that is a list": b"}(]K\x01u.",
    "no end": b"]",
    "an unknown opcode": b"\xfe.",
    "an OrderedDict of text": b"ccollections\nOrderedDict\nX\x01\x00\x00\x00a\x85R.",
    "an OrderedDict of numbers": b"ccollections\nOrderedDict\n](K\x01e\x85R.",
}


@pytest.mark.parametrize("name", REFUSED)
def test_other_pickles_are_refused(name):
    with pytest.raises(ValueError):
        read(REFUSED[name])


def test_a_place_in_the_memo_may_be_far_without_taking_memory():
    assert read(b"]r\xff\xff\xff\x7f.") == []


def test_calls_cannot_make_more_than_the_file_has_bytes():
    pairs = b"](" + b"".join(b"K" + bytes([k]) + b"K\x00\x86" for k in range(200)) + b"eq\x01"
    many = b"](" + b"ccollections\nOrderedDict\nh\x01\x85R" * 100 + b"e."
    with pytest.raises(ValueError, match="its pickle makes more than it has bytes"):
        read(pairs + b"0" + many)


def archive(path, pickled, parts=(), *, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr("a/data.pkl", pickled)
        for name, content in parts:
            file.writestr(f"a/{name}", content)


def pickled_tensor(key=b"0", size=6, offset=0, shape=(2, 3), strides=(3, 1), kind=b"FloatStorage", name=b"w"):
    """The pickle of {name: tensor} as torch writes it."""

    def number(n):
        return b"\x8a\x09" + int(n).to_bytes(9, "little", signed=True)

    def text(t):
        return b"X" + struct.pack("<I", len(t)) + t

    def sizes(values):
        return b"(" + b"".join(map(number, values)) + b"t"

    storage = b"(" + text(b"storage") + b"ctorch\n" + kind + b"\n" + text(key) + text(b"cpu") + number(size) + b"tQ"
    arguments = b"(" + storage + number(offset) + sizes(shape) + sizes(strides) + b"\x89ccollections\nOrderedDict\n)Rt"
    return b"\x80\x02}" + text(name) + b"ctorch._utils\n_rebuild_tensor_v2\n" + arguments + b"Rs."


NUMBERS = np.arange(6, dtype="<f4")


def test_a_tensor_is_a_view_of_its_storage(tmp_path):
    archive(tmp_path / "a.pt", pickled_tensor(offset=1, shape=(2, 2), strides=(1, 3)), [("data/0", NUMBERS.tobytes())])
    entries, _ = read_entries(tmp_path / "a.pt")
    assert (entries["w"].dtype, entries["w"].shape, entries["w"].nbytes) == ("float32", (2, 2), 16)
    assert entries["w"].read().tolist() == [[1, 4], [2, 5]]
    big = [("data/0", NUMBERS.astype(">f4").tobytes()), ("byteorder", b"big")]
    archive(tmp_path / "b.pt", pickled_tensor(), big)
    assert read_entries(tmp_path / "b.pt")[0]["w"].read().tolist() == [[0, 1, 2], [3, 4, 5]]
    archive(tmp_path / "c.pt", pickled_tensor(size=0, shape=(0, 3)), [("data/0", b"")])
    assert read_entries(tmp_path / "c.pt")[0]["w"].read().shape == (0, 3)


@pytest.mark.parametrize(
    "wrong",
    [
        {"offset": 1},
        {"offset": -1},
        {"shape": (3, 3)},
        {"shape": (2**40, 3), "strides": (0, 0)},
        {"shape": (-2, -3)},
        {"shape": (2, 3, 1)},
        {"strides": (4, 1)},
        {"strides": (-3, 1)},
        {"size": 2**61},
        {"size": -1},
        {"size": 7},
        {"kind": b"ComplexFloatStorage"},
        {"key": b"1"},
        {"key": b"../../data.pkl"},
        {"shape": (1,) * 40, "strides": (1,) * 40},
    ],
    ids=str,
)
def test_tensors_that_do_not_fit_are_refused(wrong, tmp_path):
    archive(tmp_path / "a.pt", pickled_tensor(**wrong), [("data/0", NUMBERS.tobytes())])
    with pytest.raises(FileFormatError, match="a.pt"):
        read_entries(tmp_path / "a.pt")


def test_other_archives_are_refused_by_name(tmp_path):
    path, data = tmp_path / "a.pt", [("data/0", NUMBERS.tobytes())]
    cases = {
        "TorchScript archive, which is a program": lambda: archive(path, pickled_tensor(), [("code/x.py", b"")]),
        "compressed": lambda: archive(path, pickled_tensor(), data, compression=zipfile.ZIP_DEFLATED),
        "zip archive without the data.pkl": lambda: zipfile.ZipFile(path, "w").writestr("config.json", b"{}"),
        "it is empty": lambda: path.write_bytes(b""),
        "it is a pickle, but not one of torch.save": lambda: path.write_bytes(pickle.dumps(list(range(9)))),
        "no regular file": lambda: (path.unlink(), path.mkdir()),
    }
    for message, write in cases.items():
        write()
        with pytest.raises(FileFormatError, match=message):
            from_torch(path)
    with pytest.raises(FileNotFoundError):
        from_torch(tmp_path / "none.pt")


def test_a_flipped_bit_of_an_archive_is_found(tmp_path):
    path = tmp_path / "a.pt"
    archive(path, pickled_tensor(), [("data/0", NUMBERS.tobytes())])
    data = bytearray(path.read_bytes())
    data[data.index(NUMBERS.tobytes()) + 5] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match="'a/data/0' does not give its checksum: it is damaged"):
        read_entries(path)[0]["w"].read()


def test_whole_modules_and_scripts_are_refused_by_name(tmp_path):
    torch = pytest.importorskip("torch", reason="torch is not installed: pip install fastrnn[peers]")
    torch.save(torch.nn.GRU(3, 4), tmp_path / "a.pt")
    with pytest.raises(FileFormatError, match=r"it holds torch.nn.modules.rnn.GRU, .*torch.save\(module.state_dict"):
        from_torch(tmp_path / "a.pt")


def test_containers_without_an_end_are_refused(tmp_path):
    endless: list = []
    endless.append(endless)
    bomb: list = []
    for _ in range(60):
        bomb = [bomb, bomb, bomb]
    for value in (endless, bomb):
        archive(tmp_path / "a.pt", pickle.dumps(value))
        with pytest.raises(FileFormatError, match="nested too deep"):
            read_entries(tmp_path / "a.pt")


def test_files_are_read_without_torch(tmp_path):
    archive(tmp_path / "a.pt", pickled_tensor(name=b"weight"), [("data/0", NUMBERS.tobytes())])
    printed = run_script(
        "import sys, fastrnn\nfrom fastrnn.io import from_torch\n"
        f"net = from_torch({str(tmp_path / 'a.pt')!r}, layers=[('', fastrnn.Dense(3, 2, bias=False))])\n"
        "print(net.params['weight'].tolist())\n"
        "assert not {'torch', 'scipy', 'sklearn', 'safetensors'} & set(sys.modules)"
    )
    assert printed.strip() == "[[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]"


# safetensors


def tensors_file(path, header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + data)


def test_safetensors_of_the_package_come_back(tmp_path):
    import safetensors.numpy

    arrays = {"a": np.arange(6.0).reshape(2, 3), "b": np.ones((0, 2), np.float16), "c": np.array([True]), "d": NUMBERS}
    safetensors.numpy.save_file(arrays, tmp_path / "file", {"made": "here"})
    entries, metadata = read_entries(tmp_path / "file")
    assert metadata == {"made": "here"}
    for name, array in arrays.items():
        assert entries[name].read().dtype == array.dtype
        np.testing.assert_array_equal(entries[name].read(), array)


def entry(dtype="F32", shape=(2, 3), offsets=(0, 24)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"w": entry(offsets=(0, 28))}, "cut short or damaged"),
        ({"w": entry(shape=(2, 4), offsets=(0, 32))}, "cut short or damaged"),
        ({"w": entry(shape=(2**60, 2**60))}, "cut short or damaged"),
        ({"w": entry(shape=(2.0, 3))}, "no lists of sizes"),
        ({"w": entry(shape=(True, 6))}, "no lists of sizes"),
        ({"w": entry(shape=(-2, -3))}, "no lists of sizes"),
        ({"w": entry("F8_E4M3")}, "has dtype 'F8_E4M3', expected one of F64"),
        ({"w": entry(["F32"])}, "has dtype"),
        ({"w": entry(shape=(2, 2), offsets=(0, 16))}, "its arrays end at byte 16 of 24"),
        ({"w": entry(shape=(4,), offsets=(8, 24))}, "bytes 0 to 8 belong to no array"),
        ({"v": entry(), "w": entry()}, "belong to no array, or to two"),
        ({"w": {"dtype": "F32", "shape": [6]}}, "has no dtype, shape and data_offsets"),
        ({"w": 3}, "has no dtype, shape and data_offsets"),
        ({"__metadata__": {"a": 1}, "w": entry()}, "metadata is no mapping"),
        ([], "its header is no JSON object"),
        (b'{"w": 1, "w": 2}', "the key 'w' stands twice"),
        (b"\xff\xfe", "utf-8"),
        (b"[" * 200, "nested 200 deep"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_headers_that_do_not_fit_are_refused(header, message, tmp_path):
    tensors_file(tmp_path / "file", header, NUMBERS.tobytes())
    with pytest.raises(FileFormatError, match=message):
        read_entries(tmp_path / "file")


def test_lengths_beyond_the_file_are_refused(tmp_path):
    for length in (2**63, 2**64 - 1, 200, 10**8 + 1):
        tensors_file(tmp_path / "file", {"w": entry()}, b"", length)
        with pytest.raises(FileFormatError, match="it has .* bytes, expected 8 and"):
            read_entries(tmp_path / "file")


def test_values_stay_valid_after_the_file_is_gone(tmp_path):
    tensors_file(tmp_path / "file", {"w": entry()}, NUMBERS.tobytes())
    array = read_entries(tmp_path / "file")[0]["w"].read()
    (tmp_path / "file").unlink()
    assert_same_bits(array, NUMBERS.reshape(2, 3))
    assert not array.flags.writeable


# damage


@pytest.mark.parametrize("form", ["fastrnn", "safetensors", "archive", "pickles"])
def test_damaged_files_give_an_error_or_the_same_weights(form, tmp_path):
    sources = robustness.sources(tmp_path)
    if form not in sources:
        pytest.skip("torch is not installed: pip install fastrnn[peers]")
    cut, mutated = robustness.check(form, sources[form], tmp_path, 300, cuts_every=5)
    assert set(cut) == {"error"}
    assert set(mutated) <= {"error", "same"}
    assert mutated["error"] > 200
