"""Damaged files: cut short at every byte, and with headers changed at random. `python -m tests.robustness 10000`.

Each must end in a ValueError, or where the change touches nothing that counts, in the very same weights. A process that
crashes, hangs, or takes more memory than its limit fails.
"""

import collections
import random
import resource
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import fastrnn
from fastrnn.io import from_torch
from fastrnn.models import Network

SECONDS = 5  # a case may take
MEMORY = 2**30  # bytes beyond what the process has
NUMBERS = [
    b"\x00" * 8,
    b"\xff" * 8,
    b"\x7f" + b"\xff" * 7,
    b"\xff\xff\xff\x7f",
    b"\x00\x00\x00\x80",
    b"99999999999",
    b"-1",
]


def sources(folder):
    """Write one file of each form; return {form: (path, read, regions of its headers)}."""
    gru = fastrnn.GRU(5, 6, 2, bidirectional=True, random_state=0)
    ours = folder / "ours.safetensors"
    Network(gru).save(ours)
    found = {"fastrnn": (ours, Network.load, [(0, header_end(ours))])}
    theirs = folder / "theirs.safetensors"
    write_safetensors(theirs, gru.state_dict())
    found["safetensors"] = (theirs, from_torch, [(0, header_end(theirs))])
    try:
        import torch
    except ImportError:
        return found
    state = {name: torch.from_numpy(array) for name, array in gru.state_dict().items()}
    archive, legacy = folder / "archive.pt", folder / "legacy.pt"
    torch.save(state, archive)
    torch.save(state, legacy, _use_new_zipfile_serialization=False)
    data = archive.read_bytes()
    pickled, directory = data.index(b"FB") if b"FB" in data[:200] else 128, data.index(b"PK\x01\x02")
    found["archive"] = (archive, from_torch, [(0, 128), (0, pickled + 3000), (directory, len(data))])
    found["pickles"] = (legacy, from_torch, [(0, legacy.read_bytes().rindex(b"e.") + 2)])
    return found


def header_end(path):
    """Bytes of the header of a safetensors file."""
    return 8 + int.from_bytes(path.read_bytes()[:8], "little")


def write_safetensors(path, arrays):
    """Write what the safetensors package writes."""
    import safetensors.numpy

    safetensors.numpy.save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, path)


def cuts(data, regions, rng):
    """Beginnings of a file: up to every byte of its headers, and up to 200 random ones."""
    ends = {end for first, last in regions for end in range(first, min(last, len(data)))}
    ends |= {rng.randrange(len(data)) for _ in range(200)}
    return [data[:end] for end in sorted(ends)]


def mutation(data, regions, rng):
    """The file with one to four changes in its headers."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        first, last = rng.choice(regions)
        at = rng.randrange(first, min(last, len(changed)))
        kind = rng.randrange(6)
        if kind == 0:
            changed[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            changed[at] = rng.randrange(256)
        elif kind == 2:
            number = rng.choice(NUMBERS)
            changed[at : at + len(number)] = number
        elif kind == 3:
            changed[at:at] = bytes(rng.randrange(256) for _ in range(rng.randint(1, 9)))
        elif kind == 4:
            del changed[at : at + rng.randint(1, 9)]
        else:  # a part of the headers, elsewhere
            size = rng.randint(1, 40)
            other = rng.randrange(first, min(last, len(changed)))
            changed[at : at + size] = changed[other : other + size]
    return bytes(changed)


def outcome(read, path, data, expected):
    """Return "error", "same" or "other" of a damaged file; anything but a ValueError goes through."""
    path.write_bytes(data)
    try:
        network = read(path)
    except ValueError as error:
        assert len(str(error)) > 20, "an error must say what is wrong"
        return "error"
    params = network.params
    same = list(params) == list(expected) and all((params[k] == expected[k]).all() for k in expected)
    return "same" if same else "other"


def check(form, source, folder, count, seed=0, cuts_every=1):
    """Damage one file in all ways; return a Counter of outcomes for cuts and for mutations.

    `cuts_every` takes one of so many cuts.
    """
    path, read, regions = source
    data, expected, rng = path.read_bytes(), dict(read(path).params), random.Random(seed)
    target = folder / f"damaged-{form}"
    found = [collections.Counter(), collections.Counter()]
    cases = [(0, cut) for cut in cuts(data, regions, rng)[::cuts_every]]
    cases += [(1, mutation(data, regions, rng)) for _ in range(count)]
    for kind, case in cases:
        signal.alarm(SECONDS)
        found[kind][outcome(read, target, case, expected)] += 1
        signal.alarm(0)
    return found


def limit_memory():
    """Let this process take no more than MEMORY beyond what it has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, resource.getrlimit(resource.RLIMIT_AS)[1]))


def main(count):
    """Print what damaged files of each form lead to."""
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        for form, source in sources(folder).items():
            begin = time.perf_counter()
            limit_memory()
            cut, mutated = check(form, source, folder, count)
            print(f"{form}: cut {dict(cut)}, mutated {dict(mutated)}, {time.perf_counter() - begin:.0f} s", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
