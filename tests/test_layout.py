"""The architecture that the folders show: no circle between files or folders, in the order that is documented.

Every import counts, also one inside a function or for type checkers alone. An import of a name belongs to the file that
it is taken from; a folder's `__init__.py` is a file of this folder.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("sim", "rtl", "quant", "bitwright")
DEVELOPMENT = ROOT / "docs" / "development.md"

Graph = Mapping[str, set[str]]
"""What each file or folder imports."""


def module_name(path: Path) -> str:
    """Return the dotted name of a file, that of its folder for an `__init__.py`."""
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def imports_of(source: str, modules: Mapping[str, Path]) -> Iterator[str]:
    """Yield the modules of ours that a source imports, wherever in it the import stands."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "relative imports are not used"
            names = [whole if (whole := f"{node.module}.{alias.name}") in modules else f"{node.module}"
                     for alias in node.names]
        else:
            continue
        yield from (name for name in names if name in modules)


def file_graph(root: Path, package: str) -> dict[str, set[str]]:
    """Return what each file of a package imports of the same package, by dotted names."""
    modules = {module_name(path.relative_to(root)): path for path in sorted((root / package).rglob("*.py"))}
    return {name: {*imports_of(path.read_text(), modules)} for name, path in modules.items()}


def folder_graph(root: Path, package: str) -> dict[str, set[str]]:
    """Return what each folder of a package imports of the others, by paths from the root."""
    files = file_graph(root, package)
    folders = {name: (Path(*name.split(".")) if (root / Path(*name.split("."))).is_dir()
                      else Path(*name.split(".")).parent).as_posix() for name in files}
    graph: dict[str, set[str]] = {folder: set() for folder in folders.values()}
    for name, imported in files.items():
        graph[folders[name]] |= {folders[other] for other in imported} - {folders[name]}
    return graph


def circle(graph: Graph) -> list[str]:
    """Return a circle of a graph, from a node back to itself, or an empty list if there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        found: list[str] = error.args[1]
        return found[::-1]
    return []


def listed_folders(package: str) -> list[str]:
    """Return the folders that docs/development.md lists, from those that others rest on to those that rest on them."""
    section = DEVELOPMENT.read_text().partition("\n## Folders\n")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    folders = [folder for cell in cells for folder in re.findall(r"`([\w/]+)/`", cell)]
    return [folder for folder in folders if folder.partition("/")[0] == package]


@pytest.mark.parametrize("package", PACKAGES)
def test_there_is_no_circle_between_files(package: str) -> None:
    """Each file can be read after those that it imports."""
    assert circle(file_graph(ROOT, package)) == []


@pytest.mark.parametrize("package", PACKAGES)
def test_there_is_no_circle_between_folders(package: str) -> None:
    """Each folder can be understood after those that it rests on."""
    assert circle(folder_graph(ROOT, package)) == []


@pytest.mark.parametrize("package", PACKAGES)
def test_folders_rest_on_those_that_are_listed_before_them(package: str) -> None:
    """The lists of docs/development.md hold every folder that imports or is imported, in an order that all keep."""
    graph, listed = folder_graph(ROOT, package), listed_folders(package)
    assert len(listed) == len({*listed})
    assert {*listed} <= {*graph}
    connected = {folder for folder, imported in graph.items() if imported}.union(*graph.values())
    assert connected - {*listed} == set()
    later = {f"{folder} imports {other}, which is listed after it" for folder in listed for other in graph[folder]
             if listed.index(other) > listed.index(folder)}
    assert later == set()


@pytest.mark.parametrize("statement", [
    "from p.b import B", "from p import b", "import p.b", "import p.b as b", "def f():\n    from p.b import B",
    "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from p.b import B",
    "class A:\n    def f(self):\n        import p.b", "try:\n    import p.b\nexcept ImportError:\n    pass"])
def test_no_import_hides_a_circle(tmp_path: Path, statement: str) -> None:
    """Wherever an import stands and however it is written, it closes the circle."""
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "__init__.py").touch()
    (tmp_path / "p" / "a.py").write_text(statement)
    (tmp_path / "p" / "b.py").write_text("B = 1")
    assert circle(file_graph(tmp_path, "p")) == []
    (tmp_path / "p" / "b.py").write_text("from p.a import A")
    assert circle(file_graph(tmp_path, "p")) in (["p.a", "p.b", "p.a"], ["p.b", "p.a", "p.b"])


def test_folders_can_have_a_circle_that_files_do_not_have(tmp_path: Path) -> None:
    """Each of two folders has a file that imports one of the other's; an `__init__.py` is a file of its folder."""
    for folder, files in {"p": {"__init__": ""}, "p/low": {"__init__": "from p.high.top import x", "base": ""},
                          "p/high": {"__init__": "", "top": "", "user": "from p.low.base import y"}}.items():
        (tmp_path / folder).mkdir()
        for name, text in files.items():
            (tmp_path / folder / f"{name}.py").write_text(text)
    assert circle(file_graph(tmp_path, "p")) == []
    assert circle(folder_graph(tmp_path, "p")) in (["p/low", "p/high", "p/low"], ["p/high", "p/low", "p/high"])
