"""Build of the compiled parts; everything else about the package stands in pyproject.toml.

Every instruction set is one static library, because flags belong to objects and not to an extension:
`fr_avx2` is `csrc/isa_avx2_f32.c` and `csrc/isa_avx2_f64.c` compiled with `-mavx2 -mfma`, and so on.
`fastrnn._core.native` alone links these libraries, together with the run-time choice in `csrc/fr_dispatch.c`.

Environment
-----------
FASTRNN_OPENMP=0        build without OpenMP, single-threaded, even where the compiler has it.
FASTRNN_EXTENSIONS=0    compile nothing: for an editable install whose extensions are built in place
                        (`python setup.py build_clib build_ext --inplace`, what the Makefile does).
"""

import os
import sys
import sysconfig
import tempfile
from concurrent.futures import ThreadPoolExecutor
from glob import glob

from setuptools import Extension, setup
from setuptools.command.build_clib import build_clib
from setuptools.command.build_ext import build_ext
from setuptools.errors import BaseError, CCompilerError

# -ffp-contract=off: a fused operation happens only where the text says fma, whatever the compiler likes.
# Never -ffast-math (it makes a shared object flush denormals for the whole process), never -march=native.
CFLAGS = ["-O3", "-std=c11", "-g0", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off"]
CFLAGS += ["-fvisibility=hidden", "-Wall", "-Wextra", "-Wno-unused-function"]
# Cython writes code that these two complain about.
EXTENSION_CFLAGS = [*CFLAGS, "-Wno-unused-parameter", "-Wno-missing-field-initializers"]

ISA_FLAGS = {
    "scalar": [],
    "avx2": ["-mavx2", "-mfma"],
    "avx512": [
        *["-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mfma"],
        "-mprefer-vector-width=512",
    ],
    "neon": [],
}
ISAS_OF_MACHINE = {
    "x86_64": ["scalar", "avx2", "avx512"],
    "aarch64": ["scalar", "neon"],
}
MACHINE_ALIASES = {"amd64": "x86_64", "arm64": "aarch64"}

OPENMP_FLAGS = [
    (["-fopenmp"], ["-fopenmp"]),
    (["-Xpreprocessor", "-fopenmp"], ["-lomp"]),  # Apple clang with a libomp installed beside it
]
CYTHON_DIRECTIVES = {
    "language_level": 3,
    "boundscheck": False,
    "wraparound": False,
    "initializedcheck": False,
    "cdivision": True,
}

NO_COMPILER = """
fastrnn needs a C compiler (GCC or Clang), and none that works was found.
    Debian, Ubuntu    apt-get install gcc libc6-dev
    Fedora, RHEL      dnf install gcc
    Alpine            apk add gcc musl-dev
    macOS             xcode-select --install
    conda             conda install -c conda-forge c-compiler
A compiler in an unusual place is named by the environment variable CC. It said:
{error}
"""
NO_HEADERS = """
fastrnn needs the C headers of this Python (Python.h was not found).
    Debian, Ubuntu    apt-get install python3-dev
    Fedora, RHEL      dnf install python3-devel
It said:
{error}
"""
NO_OPENMP = """
******************************************************************************************
*  WARNING: fastrnn is being built WITHOUT OpenMP: {reason}
*  It will work, on ONE thread. fastrnn.show_versions() shows it.
*  GCC has OpenMP built in; Clang wants libomp (libomp-dev, or `brew install libomp`).
******************************************************************************************
"""

HELLO = "int main(void) { return 0; }\n"
HELLO_PYTHON = "#include <Python.h>\nint main(void) { return 0; }\n"
HELLO_OPENMP = """
#include <omp.h>
int main(void) {
    int n = 0;
#pragma omp parallel reduction(+ : n)
    n += 1;
    return n < 1 || omp_get_max_threads() < 1;
}
"""


def machine():
    """The processor that is built for, by the name that Linux gives it."""
    name = sysconfig.get_platform().replace("-", " ").replace("_", " ").split()[-1].lower()
    name = "x86_64" if name == "64" else name
    return MACHINE_ALIASES.get(name, name)


def isa_sources(isa):
    return [f"csrc/isa_{isa}_{dtype}.c" for dtype in ("f32", "f64")]


def isas():
    """The instruction sets that this machine's build contains."""
    candidates = ISAS_OF_MACHINE.get(machine(), ["scalar"])
    return [isa for isa in candidates if all(os.path.exists(path) for path in isa_sources(isa))]


def kernel_depends():
    """Files whose change makes every object stale."""
    return ["setup.py", *sorted(glob("csrc/*.inc")), *sorted(glob("csrc/*.h"))]


def kernel_libraries():
    build_info = {"include_dirs": ["csrc"], "obj_deps": {"": kernel_depends()}}
    return [
        (f"fr_{isa}", {**build_info, "sources": isa_sources(isa), "cflags": CFLAGS + ISA_FLAGS[isa]}) for isa in isas()
    ]


def extensions():
    """The Cython modules of `fastrnn._core`; only `native` holds kernels."""
    found = []
    names = ("native", "gradients", "loops", "directions", "recurrent", "backward", "stepping", "ctc", "row_products")
    for name in (*names, "_blas"):
        source = f"fastrnn/_core/{name}.pyx"
        if not os.path.exists(source):
            continue
        native = name == "native"
        dispatch = [path for path in ["csrc/fr_dispatch.c"] if native and os.path.exists(path)]
        found.append(
            Extension(
                f"fastrnn._core.{name}",
                sources=[source, *dispatch],
                include_dirs=["csrc"],
                define_macros=[
                    ("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION"),
                    *[(f"FR_HAVE_{isa.upper()}", "1") for isa in isas() if native],
                ],
                libraries=[*(f"fr_{isa}" for isa in isas()), "m"] if native else [],
                depends=[
                    *kernel_depends(),
                    *sorted(glob("fastrnn/_core/*.px[di]")),
                    *[path for isa in isas() for path in isa_sources(isa) if native],
                ],
                extra_compile_args=list(EXTENSION_CFLAGS),
            )
        )
    return found


def try_build(compiler, text, compile_flags=(), link_flags=None):
    """Compile `text`, and link it where `link_flags` is given; return None, or what went wrong."""
    with tempfile.TemporaryDirectory() as folder:
        source = os.path.join(folder, "probe.c")
        with open(source, "w") as file:
            file.write(text)
        try:
            objects = compiler.compile([source], output_dir=folder, extra_postargs=list(compile_flags))
            if link_flags is not None:
                compiler.link_executable(objects, "probe", output_dir=folder, extra_postargs=list(link_flags))
        except (BaseError, CCompilerError, OSError) as error:
            return f"{type(error).__name__}: {error}"
    return None


def check_compiler(compiler):
    """Stop the build, with advice, where nothing can be compiled."""
    if compiler.compiler_type == "msvc":
        raise SystemExit(NO_COMPILER.format(error="MSVC is not supported; use GCC or Clang"))
    if error := try_build(compiler, HELLO, link_flags=[]):
        raise SystemExit(NO_COMPILER.format(error=error))


def openmp_flags(compiler):
    """Compile and link flags that give OpenMP, or two empty lists after a loud warning."""
    reason = "no OpenMP program compiles and links here"
    if os.environ.get("FASTRNN_OPENMP", "1") == "0":
        reason = "FASTRNN_OPENMP=0 asks for that"
    else:
        for compile_flags, link_flags in OPENMP_FLAGS:
            if try_build(compiler, HELLO_OPENMP, compile_flags, link_flags) is None:
                return compile_flags, link_flags
    print(NO_OPENMP.format(reason=reason), file=sys.stderr, flush=True)
    return [], []


class BuildKernels(build_clib):
    """`build_clib` that explains a missing compiler and compiles the libraries side by side."""

    def build_libraries(self, libraries):
        check_compiler(self.compiler)
        parent = super().build_libraries
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(lambda library: parent([library]), libraries))


class BuildExtensions(build_ext):
    """`build_ext` that builds the kernels first, probes for OpenMP, and keeps generated C out of the tree."""

    def initialize_options(self):
        super().initialize_options()
        self.cython_c_in_temp = True
        self.cython_directives = dict(CYTHON_DIRECTIVES)

    def run(self):
        if self.distribution.has_c_libraries():
            self.run_command("build_clib")
        super().run()

    def build_extensions(self):
        check_compiler(self.compiler)
        if error := try_build(self.compiler, HELLO_PYTHON):
            raise SystemExit(NO_HEADERS.format(error=error))
        import numpy  # a build requirement; not needed by `setup.py sdist`

        compile_flags, link_flags = openmp_flags(self.compiler)
        for extension in self.extensions:
            extension.include_dirs = [*extension.include_dirs, numpy.get_include()]
            extension.extra_compile_args = [*extension.extra_compile_args, *compile_flags]
            extension.extra_link_args = [*extension.extra_link_args, *link_flags]
        super().build_extensions()


COMPILE = os.environ.get("FASTRNN_EXTENSIONS", "1") != "0"

setup(
    ext_modules=extensions() if COMPILE else [],
    libraries=kernel_libraries() if COMPILE else [],
    cmdclass={"build_clib": BuildKernels, "build_ext": BuildExtensions},
)
