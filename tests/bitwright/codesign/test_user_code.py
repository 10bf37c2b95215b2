"""Networks and data that are the user's own Python code."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from torch import nn

from bitwright.codesign.networks import load_network
from bitwright.codesign.user_code import load_object
from quant.data.registry import load_data
from sim.errors import InputError

NETS = """
import blocks
from torch import nn

print("noise")
made = nn.Linear(3, 2)
CLASSES = 10

class Net(nn.Module):
    def __init__(self, classes=7):
        super().__init__()
        self.body = blocks.body(classes)

class Holder:
    @staticmethod
    def make(channels):
        return nn.Conv2d(channels, 5, 1)

def both(channels, *, classes):
    return nn.Conv2d(channels, classes, 1)

def anything(**others):
    return nn.Identity()

def wider(classes, width):
    return nn.Identity()

def fails():
    raise ValueError("no\\nluck")

def leaves():
    raise SystemExit(0)

def within():
    return nn.Conv2d(1, 2, kernel_size="x", groups=3)
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A present folder with a module, a package and a file that only works beside its neighbour."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    (tmp_path / "own_nets.py").write_text("from torch import nn\n\ndef make():\n    return nn.Linear(4, 4)\n")
    (tmp_path / "own_package").mkdir()
    (tmp_path / "own_package" / "__init__.py").write_text("")
    (tmp_path / "own_package" / "nets.py").write_text("import no_such_thing\n")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "blocks.py").write_text(
        "from torch import nn\n\ndef body(classes):\n    return nn.Linear(1, classes)\n")
    (tmp_path / "sub" / "nets.py").write_text(NETS)
    (tmp_path / "typo.py").write_text("x = 1\ndef make(:\n")
    (tmp_path / "json.py").write_text("raise RuntimeError('this must not run')\n")
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith(("own_", "blocks", str(tmp_path))):
            del sys.modules[name]


def test_a_network_is_a_module_a_class_or_a_function(here: Path) -> None:
    """From a file with its neighbours, or from a module in the present folder; it gets what it has parameters for."""
    data = load_data("digits")
    for place, shape in (("sub/nets.py:made", (2, 3)), ("sub/nets.py:Holder.make", (5, 1, 1, 1)),
                         ("sub/nets.py:both", (10, 1, 1, 1)), ("own_nets:make", (4, 4)),
                         (f"{here}/sub/nets.py:made", (2, 3))):
        weight = load_network(place, data, None).weight
        assert isinstance(weight, nn.Parameter)
        assert weight.shape == shape
    assert load_network("sub/nets.py:Net", data, None).get_parameter("body.weight").shape == (10, 1)
    assert isinstance(load_network("sub/nets.py:anything", data, None), nn.Identity)


@pytest.mark.usefixtures("here")
def test_what_the_code_prints_is_no_result(capsys: pytest.CaptureFixture[str]) -> None:
    """It goes to stderr; a file runs once however often it is asked."""
    load_object("sub/nets.py:made")
    load_object("sub/nets.py:both")
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "noise\n")


@pytest.mark.parametrize(("place", "message"), [
    ("sub/none.py:make", r"no Python file 'sub/none\.py'"),
    ("own_none:make", "no module 'own_none' here or among what is installed"),
    ("own_package.none:make", r"no module 'own_package\.none' here or among what is installed"),
    ("own_package.nets:make", r"module 'own_package\.nets' raised ModuleNotFoundError in line 1 of .*/nets\.py: No .*"),
    ("sub/nets:made", r"'sub/nets' is neither a Python file, \*\.py, nor the name of a module"),
    ("sub/nets.py:make", r"sub/nets\.py has no 'make'"),
    ("sub/nets.py:Holder.none", r"sub/nets\.py has no 'Holder\.none'"),
    ("json:make", r"json \(.*/json/__init__\.py\) has no 'make'"),
    (":make", r"':make' must be FILE\.py:NAME or MODULE:NAME"),
    ("sub/nets.py:", r"'sub/nets\.py:' must be FILE\.py:NAME or MODULE:NAME"),
    ("sub/nets.py:CLASSES", r"'sub/nets\.py:CLASSES' must be a torch\.nn\.Module or make one, not int"),
    ("sub/nets.py:wider", r"'sub/nets\.py:wider' may take classes and channels, but needs 'width'"),
    ("sub/nets.py:fails", r"'sub/nets\.py:fails' raised ValueError in line 29 of .*/sub/nets\.py: no luck"),
    ("sub/nets.py:leaves", r"'sub/nets\.py:leaves' raised SystemExit in line 32 of .*/sub/nets\.py: 0"),
    ("sub/nets.py:within", r"'sub/nets\.py:within' raised ValueError in line 35 of .*/sub/nets\.py: in_ch.* groups"),
    ("typo.py:make", r"'typo\.py' raised SyntaxError in line 2 of .*typo\.py: invalid syntax.*")])
@pytest.mark.usefixtures("here")
def test_what_is_no_network_is_one_sentence(place: str, message: str) -> None:
    """With the line of the user's code where it failed; a module here never takes the place of an installed one."""
    with pytest.raises(InputError, match=f"^{message}$"):
        load_network(place, load_data("digits"), None)


def test_a_broken_file_is_tried_again(here: Path) -> None:
    """Once it is mended, it is loaded."""
    with pytest.raises(InputError, match=re.escape("'typo.py' raised SyntaxError")):
        load_object("typo.py:x")
    (here / "typo.py").write_text("x = 1\n")
    assert load_object("typo.py:x") == 1
