"""What the examples share: options, time, text tables and pictures."""

import argparse
import importlib
import sys
import time
import warnings
from contextlib import contextmanager
from pathlib import Path

from sklearn.exceptions import ConvergenceWarning


def parser(text, picture=None):
    """Return a parser of the options that all examples have.

    Parameters
    ----------
    text : str
        The docstring of the script; its first line is the description.
    picture : str, optional
        Where the picture goes by default.
    """
    made = argparse.ArgumentParser(description=text.splitlines()[0])
    made.add_argument("--small", action="store_true", help="less data and training: a few seconds, poor figures")
    if picture is not None:
        made.add_argument("--picture", default=picture, metavar="FILE", help="where to draw (default %(default)s)")
    return made


def benchmark(name):
    """Return a module of benchmarks/learning, which knows data that are in the repository but in no package."""
    root = Path(__file__).resolve().parents[1]
    if not (root / "benchmarks" / "learning" / f"{name}.py").is_file():
        sys.exit(f"this example reads the data of benchmarks/learning, which is not beside {Path(__file__).parent}")
    sys.path.append(str(root))
    try:
        return importlib.import_module(f"benchmarks.learning.{name}")
    finally:
        sys.path.remove(str(root))


@contextmanager
def timed(label):
    """Print how long something took; epochs that run out are no news."""
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield
    print(f"{label}: {time.perf_counter() - start:.1f} s\n")


def table(title, rows, form="{:.1%}"):
    """Print names and figures under each other, the model's first and trivial ones after it."""
    width = max(map(len, rows))
    print(title)
    for name, values in rows.items():
        values = values if isinstance(values, tuple) else (values,)
        print(f"  {name:<{width}}  {'  '.join(form.format(value) for value in values)}")
    print()


def subplots(*arguments, **options):
    """`matplotlib.pyplot.subplots` without a screen, and with a layout that leaves room for labels."""
    try:
        import matplotlib
    except ImportError as error:
        raise ImportError("pictures need matplotlib: pip install fastrnn[plot]") from error
    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot.subplots(*arguments, layout="constrained", **options)


def save(figure, path):
    """Save a picture, and say where."""
    figure.savefig(path, dpi=150)
    print(f"picture: {path}")
