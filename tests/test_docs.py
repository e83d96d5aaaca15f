"""Every public name says what it does, what it takes, and shows itself at work; examples run as doctests."""

import dataclasses
import inspect
import pkgutil
import re
from importlib import import_module
from pathlib import Path

import pytest

import fastrnn


def public_objects():
    """All public classes and functions, by the module and the name under which they are public."""
    found = {f"fastrnn.{name}": getattr(fastrnn, name) for name in fastrnn.__all__}
    for module in pkgutil.iter_modules(fastrnn.__path__):
        if not module.name.startswith("_"):
            home = import_module(f"fastrnn.{module.name}")
            found |= {f"fastrnn.{module.name}.{name}": getattr(home, name) for name in public_names(home)}
    kinds = {name: value for name, value in found.items() if inspect.isclass(value) or inspect.isroutine(value)}
    return {value: name for name, value in sorted(kinds.items(), reverse=True)}  # one name, the shortest, for each


def public_names(module):
    """Those of ``__all__``, or where there is none, those that the module itself defines."""
    own = (name for name, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__)
    return getattr(module, "__all__", None) or [name for name in own if not name.startswith("_")]


OBJECTS = public_objects()
# their examples need other packages, and so need not run
OPTIONAL = (
    "fastrnn.bridges.",
    "fastrnn.io.",
    "fastrnn.onnx.",
    "fastrnn.accelerate",
    "fastrnn.from_",
    "fastrnn.to_onnx",
)
CLASSES = [value for value in OBJECTS if inspect.isclass(value)]


def sections(text):
    """The sections of a numpydoc docstring, by title."""
    parts = re.split(r"^(\w[\w ]*)\n-{3,}\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def documented(text, *titles):
    """The names that these sections explain."""
    lines = "\n".join(sections(text).get(title, "") for title in titles).splitlines()
    heads = [line.partition(" : ")[0] for line in lines if line and not line.startswith(" ")]
    return [name.strip("* ") for head in heads for name in head.split(",")]


def parameters(value):
    """The names of what a function or class takes."""
    try:
        found = inspect.signature(value).parameters.values()
    except ValueError:  # a class of C has none
        return []
    return [p.name for p in found if p.name != "self"]


def is_alias(value):
    """Whether a class is another one with other defaults, and says so."""
    return inspect.isclass(value) and f":class:`{value.__mro__[1].__name__}`" in inspect.getdoc(value)


def has_to_show_itself(value):
    return not (inspect.isclass(value) and issubclass(value, BaseException)) and not is_alias(value)


@pytest.mark.parametrize("value", OBJECTS, ids=OBJECTS.get)
def test_public_name_has_a_docstring_with_a_summary(value):
    assert value.__doc__ and value.__doc__.strip().split("\n")[0].endswith((".", "?"))


@pytest.mark.parametrize("value", list(filter(has_to_show_itself, OBJECTS)), ids=OBJECTS.get)
def test_public_name_has_an_example(value):
    marks = (">>> ", "::\n") if OBJECTS[value].startswith(OPTIONAL) else (">>> ",)
    assert any(mark in sections(inspect.getdoc(value)).get("Examples", "") for mark in marks)


@pytest.mark.parametrize("value", list(filter(has_to_show_itself, OBJECTS)), ids=OBJECTS.get)
def test_documented_parameters_are_those_of_the_signature(value):
    titles = ("Parameters", "Attributes") if dataclasses.is_dataclass(value) else ("Parameters",)
    taken = [] if "Made by ``" in inspect.getdoc(value) else parameters(value)  # such a class is not called by users
    assert sorted(documented(inspect.getdoc(value), *titles)) == sorted(taken)


@pytest.mark.parametrize("value", CLASSES, ids=OBJECTS.get)
def test_public_methods_have_docstrings(value):
    members = inspect.getmembers(value, lambda member: inspect.isroutine(member) or isinstance(member, property))
    own = [(name, member) for name, member in members if is_own(getattr(member, "fget", member))]
    assert [name for name, member in own if not name.startswith("_") and not inspect.getdoc(member)] == []


def is_own(function):
    return (getattr(function, "__module__", None) or "").startswith("fastrnn")


# pages

FOLDER = Path(__file__).parent.parent / "docs"
PAGES = sorted(FOLDER.rglob("*.md"))


@pytest.mark.skipif(not PAGES, reason="the pages are not beside the tests")
def test_links_between_pages_lead_somewhere():
    broken = [
        f"{page.name}: {link}"
        for page in PAGES
        for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
        if not link.startswith("http") and not leads_somewhere(page, link)
    ]
    assert broken == []


def leads_somewhere(page, link):
    name, _, anchor = link.partition("#")
    target = page.parent / name if name else page
    return target.exists() and (not anchor or anchor in anchors(target.read_text(encoding="utf-8")))


def anchors(text):
    """The anchors that a page's headings get."""
    titles = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return [re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles]


@pytest.mark.skipif(not PAGES, reason="the pages are not beside the tests")
def test_index_lists_every_page():
    index = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert [page.name for page in PAGES if page.parent == FOLDER and f"({page.name})" not in index] == ["README.md"]
