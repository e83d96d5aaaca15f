"""check_contents.py SDIST WHEEL: what is packed is what should be, and a wheel stays a few megabytes."""

import os
import sys
import tarfile
import zipfile

MAX_WHEEL_BYTES = 8_000_000
IN_SDIST = ["setup.py", "LICENSE", "csrc/fr_dispatch.c", "csrc/fr_simd.h", "fastrnn/_core/native.pyx"]
IN_WHEEL = ["fastrnn/__init__.py", "fastrnn/py.typed", "fastrnn/layers/__init__.py"]
EXTENSIONS = {"native", "gradients", "loops", "directions", "recurrent", "backward", "stepping", "ctc"}
EXTENSIONS |= {"row_products", "_blas"}
NOT_IN_WHEEL = (".c", ".h", ".inc", ".pyx", ".pxd", ".o", ".a")


def problems(sdist, wheel):
    with tarfile.open(sdist) as archive:
        sources = {name.partition("/")[2] for name in archive.getnames()}
    with zipfile.ZipFile(wheel) as archive:
        installed = set(archive.namelist())
    generated = {name for name in sources if name.startswith("fastrnn/") and name.endswith((".c", ".so", ".pyc"))}
    extensions = {name.rpartition("/")[2].partition(".")[0] for name in installed if name.endswith((".so", ".pyd"))}
    yield from (f"the sdist lacks {name}" for name in IN_SDIST if name not in sources)
    yield from (f"the sdist contains {name}" for name in sorted(generated))
    yield from (f"the wheel lacks {name}" for name in IN_WHEEL if name not in installed)
    yield from (f"the wheel contains {name}" for name in sorted(installed) if name.endswith(NOT_IN_WHEEL))
    yield from (f"the wheel contains {name}" for name in sorted(installed) if name.startswith(("tests/", "csrc/")))
    yield from (f"the wheel lacks the extension {name}" for name in EXTENSIONS - extensions)
    if not any(name.startswith("fastrnn/datasets/data/") for name in installed):
        yield "the wheel lacks the data sets"
    if (size := os.path.getsize(wheel)) > MAX_WHEEL_BYTES:
        yield f"the wheel has {size} bytes, expected at most {MAX_WHEEL_BYTES}"


if __name__ == "__main__":
    found = list(problems(*sys.argv[1:]))
    print(f"wheel: {os.path.getsize(sys.argv[2]) / 1e6:.2f} MB", *found, sep="\n")
    sys.exit(bool(found))
