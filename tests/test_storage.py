"""Files of arrays: what comes back, what damage does, what other files say, and what a kill leaves behind."""

import json
import os
import pickle
import random
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from storage_cases import assert_same_layer

import fastrnn
from fastrnn import storage
from fastrnn.storage import FileFormatError, read_arrays, write_arrays

ROOT = Path(fastrnn.__file__).parent.parent


@pytest.fixture
def path(tmp_path):
    return tmp_path / "saved.safetensors"


def test_arrays_of_every_dtype_shape_and_order_come_back(path):
    arrays = {
        "scalar": np.array(3, np.int8),
        "empty": np.zeros((2, 0, 3)),
        "flags": np.array([True, False]),
        "strided": np.arange(12, dtype=np.uint16).reshape(3, 4)[::2, ::-1],
        "big-endian": np.array([1.5, -2.0], ">f8"),
        "half": np.array([[0.5]], np.float16),
        'naïve \\ "name"': np.array([2**63 + 1], np.uint64),
    }
    write_arrays(path, arrays, {"key": "text \u0000 é"})
    found, metadata = read_arrays(path)
    assert metadata == {"key": "text \u0000 é"}
    assert {k: (v.dtype.name, v.tolist()) for k, v in found.items()} == {
        k: (v.dtype.name, v.tolist()) for k, v in arrays.items()
    }
    assert all(array.flags.writeable for array in found.values())


def test_the_safetensors_package_reads_the_file(path):
    gru = fastrnn.GRU(3, 4, random_state=0)
    fastrnn.save(gru, path)
    found = safetensors.numpy.load_file(path)
    assert {name: array.tolist() for name, array in found.items()} == {k: v.tolist() for k, v in gru.params.items()}


def test_the_same_layer_gives_the_same_bytes(path):
    fastrnn.save(fastrnn.GRU(3, 4, random_state=0), path)
    first = path.read_bytes()
    fastrnn.save(fastrnn.load(path), path)
    assert path.read_bytes() == first


def test_a_header_is_bounded_when_written(path, monkeypatch):
    monkeypatch.setattr(storage, "MAX_HEADER_BYTES", 1000)
    with pytest.raises(ValueError, match="expected at most 1000"):
        write_arrays(path, {}, {"text": "x" * 2000})
    assert not path.exists()


# writing


def test_links_and_permissions_are_kept(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    fastrnn.save(fastrnn.Dropout(0.25), target)
    target.chmod(0o640)
    link.symlink_to(target)
    fastrnn.save(fastrnn.Dropout(0.75), link)
    assert link.is_symlink()
    assert target.stat().st_mode & 0o777 == 0o640
    assert fastrnn.load(target).p == 0.75


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(path, monkeypatch):
    fastrnn.save(fastrnn.Dropout(0.25), path)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        fastrnn.save(fastrnn.Dropout(0.75), path)
    assert list(path.parent.iterdir()) == [path]
    assert fastrnn.load(path).p == 0.25


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no-such-folder"):
        fastrnn.save(fastrnn.Dropout(), tmp_path / "no-such-folder" / "file")


SAVER = """
import sys, fastrnn
a, b = fastrnn.Dense(400, 400, random_state=0), fastrnn.Dense(400, 401, random_state=1)
print("ready", flush=True)
while True:
    fastrnn.save(a, sys.argv[1])
    fastrnn.save(b, sys.argv[1])
"""


def test_a_kill_at_any_moment_leaves_a_whole_file(path):
    whole = [fastrnn.Dense(400, 400, random_state=0), fastrnn.Dense(400, 401, random_state=1)]
    fastrnn.save(whole[0], path)
    rng = random.Random(0)
    for _ in range(12):
        command = [sys.executable, "-c", SAVER, str(path)]
        process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE)
        try:
            assert process.stdout.readline() == b"ready\n"
            process.stdout.close()
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(rng.uniform(0.0, 0.1))
        finally:
            process.kill()
            process.wait()
        found = fastrnn.load(path)
        assert_same_layer(found, whole[found.output_size - 400])


# damaged files


@pytest.fixture
def small():
    network = fastrnn.Sequential(fastrnn.RNN(1, 2, dropout=0.5, random_state=0), fastrnn.Pool("last"))
    return network


def test_every_truncation_is_an_error_that_names_the_file(small, path):
    fastrnn.save(small, path)
    data = path.read_bytes()
    for size in range(len(data)):
        path.write_bytes(data[:size])
        with pytest.raises(FileFormatError, match=re.escape(path.name)):
            fastrnn.load(path)


def test_every_flipped_bit_is_an_error_or_changes_nothing(small, path):
    fastrnn.save(small, path)
    data, harmless = path.read_bytes(), 0
    for position in range(len(data)):
        for bit in range(8):
            damaged = bytearray(data)
            damaged[position] ^= 1 << bit
            path.write_bytes(damaged)
            try:
                found = fastrnn.load(path)
            except FileFormatError as error:
                assert path.name in str(error)
            else:
                harmless += 1
                assert_same_layer(found, small)
    assert harmless < len(data) // 8  # blanks for blanks


def test_random_bytes_in_a_file_are_an_error_or_change_nothing(small, path):
    fastrnn.save(small, path)
    data, rng = path.read_bytes(), random.Random(0)
    for _ in range(2000):
        damaged, begin = bytearray(data), rng.randrange(len(data))
        part = rng.choice([rng.randbytes(8), b'"', b"[" * 20, b"{}", b"9" * 30, b"\\u0000", b"-", b"null", b"1e999"])
        damaged[begin : begin + rng.choice([0, 1, len(part)])] = part
        path.write_bytes(damaged)
        try:
            assert_same_layer(fastrnn.load(path), small)
        except FileFormatError:
            pass


def test_the_digest_is_of_the_whole_file(path):
    fastrnn.save(fastrnn.Dropout(0.25), path)
    data = path.read_bytes()
    path.write_bytes(data.replace(b"0.25", b"0.75"))
    with pytest.raises(FileFormatError, match="SHA-256"):
        fastrnn.load(path)


# other files


def raw(header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def entry(begin, end, dtype="F32", shape=None):
    return {"dtype": dtype, "shape": [(end - begin) // 4] if shape is None else shape, "data_offsets": [begin, end]}


FILES = {
    "empty": (b"", "0 bytes"),
    "pickle": (pickle.dumps({"weight": list(range(50))}, protocol=4), "pickle, which is never loaded"),
    "zip": (b"PK\x03\x04" + bytes(100), "zip archive"),
    "npy": (b"\x93NUMPY\x01\x00" + bytes(100), "npy file"),
    "text": (b"weights = [1, 2, 3]\n" * 9, "truncated or no safetensors file"),
    "header longer than the file": (raw({}, length=2**63), "9223372036854775808"),
    "header longer than any": (raw(b"{}", bytes(100), length=2**64 - 1), "18446744073709551615"),
    "no object": (raw([1]), "no JSON object"),
    "no JSON": (raw(b"{'a': 1}"), "not valid JSON"),
    "no UTF-8": (raw(b'{"\xff": 1}'), "utf-8"),
    "deep": (raw(b'{"a":' + b"[" * 200_000), "nested 200001 deep"),
    "open string": (raw(b'{"a": "' + b'\\"' * 200_000), "not valid JSON"),
    "not a number": (raw(b'{"a": NaN}'), "not a finite number"),
    "too large a number": (raw(b'{"a": 1e999}'), "not a finite number"),
    "digits without end": (raw(b'{"a": ' + b"9" * 10_000 + b"}"), "not valid JSON"),
    "repeated array": (raw(b'{"a": {}, "b": {}, "a": {}}'), "'a' stands twice"),
    "metadata of numbers": (raw({"__metadata__": {"a": 1}}), "no mapping of text to text"),
    "no metadata": (raw({"a": entry(0, 8)}, bytes(8)), "sha256"),
    "overlap": (raw({"a": entry(0, 8), "b": entry(4, 12)}, bytes(12)), "cannot be loaded"),
    "hole": (raw({"a": entry(0, 4), "b": entry(8, 12)}, bytes(12)), "cannot be loaded"),
    "beyond the end": (raw({"a": entry(0, 400)}, bytes(8)), "cannot be loaded"),
    "backwards": (raw({"a": {"dtype": "F32", "shape": [0], "data_offsets": [8, 0]}}, bytes(8)), "cannot be loaded"),
    "behind the arrays": (raw({"a": entry(0, 4)}, bytes(5)), "cannot be loaded"),
    "shape that overflows": (raw({"a": entry(0, 4, shape=[2**62, 4, 2])}, bytes(4)), "cannot be loaded"),
    "shape of many axes": (raw({"a": entry(0, 4, shape=[1] * 90)}, bytes(4)), "cannot be loaded"),
    "shape of no memory": (raw({"a": entry(0, 0, shape=[0, 2**63 - 1, 2**62])}), "cannot be loaded"),
    "negative shape": (raw({"a": entry(0, 4, shape=[-1])}, bytes(4)), "cannot be loaded"),
    "dtype without NumPy": (raw({"a": entry(0, 4, "BF16", [2])}, bytes(4)), "'a' has dtype 'BF16'"),
    "dtype of no kind": (raw({"a": entry(0, 4, ["F32"])}, bytes(4)), "'a' has dtype"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_another_kind_is_an_error_that_says_so(name, path):
    data, words = FILES[name]
    path.write_bytes(data)
    with pytest.raises(FileFormatError, match=words) as error:
        fastrnn.load(path)
    assert path.name in str(error.value)


def test_a_foreign_safetensors_file_is_refused(path):
    safetensors.numpy.save_file({"weight": np.ones((2, 2), np.float32)}, path, {"format": "pt"})
    with pytest.raises(FileFormatError, match="fastrnn did not write"):
        fastrnn.load(path)


def test_a_pipe_and_a_folder_are_refused_and_a_missing_file_is_missing(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", ""):
        with pytest.raises(FileFormatError, match="no regular file"):
            fastrnn.load(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        fastrnn.load(tmp_path / "nothing")
