"""Reading descriptions: by name, by path, and what is said when neither leads anywhere."""

import os
from pathlib import Path

import pytest

from sim.arch.machine import load_machine
from sim.errors import InputError
from sim.io.yaml_model import built_in


def test_a_path_is_as_good_as_a_name(tmp_path: Path) -> None:
    """A file of one's own loads like a built-in one."""
    path = tmp_path / "mine.yaml"
    path.write_text(f"{load_machine('tiny').model_dump(mode='json') | {'name': 'mine'}}")
    assert load_machine(path).name == load_machine(str(path)).name == "mine"


def test_only_yaml_files_are_built_in() -> None:
    """Names come without their ending."""
    assert built_in("energy/technologies") == ("asap7", "generic45", "ihp130", "sky130")


@pytest.mark.parametrize(("content", "message"), [
    (b"- 1\n- 2", "expected a mapping of parameters, not a sequence"),
    (b"", "expected a mapping of parameters, not nothing"),
    (b"rows: [", "not YAML: while parsing a flow node expected the node content, but found '<stream end>'"),
    (b"- " * 9000, "line 1: nested more than 16 deep"),
    (b"[" * 9000, "line 1: nested more than 16 deep"),
    (b"rows", "expected a mapping of parameters, not rows"),
], ids=["list", "empty", "open bracket", "deep blocks", "deep brackets", "word"])
def test_files_without_a_mapping_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    """What is no YAML, or no mapping, is refused with the path."""
    path = tmp_path / "m.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        load_machine(path)
    assert str(caught.value).startswith(f"machine {path}: {message}")


def test_binary_files_are_refused(tmp_path: Path) -> None:
    """A file that is no text is refused with the path."""
    path = tmp_path / "m.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError) as caught:
        load_machine(path)
    assert str(caught.value) == f"cannot read machine '{path}': it is not UTF-8, byte 0 is 0xff"


def test_unknown_names_are_answered_with_the_known() -> None:
    """Neither a name nor a path: the message lists the names."""
    with pytest.raises(InputError, match=r"^no machine 'huge': give one of edge, large, tiny or a YAML file$"):
        load_machine("huge")


@pytest.mark.parametrize(("what", "reason"), [
    ("fifo", "it is not a regular file"), ("folder", "it is not a regular file"),
    ("large", "it is larger than 262,144 bytes")])
def test_what_is_no_small_regular_file_is_refused(tmp_path: Path, what: str, reason: str) -> None:
    """A description is a regular file of bounded size."""
    path = tmp_path / "m.yaml"
    if what == "large":
        path.write_bytes(b"#" * (2**18 + 1))
    else:
        os.mkfifo(path) if what == "fifo" else path.mkdir()
    with pytest.raises(InputError, match=f"^cannot read machine '{path}': {reason}$"):
        load_machine(path)
