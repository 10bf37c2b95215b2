"""Reading descriptions: by name, by path, and what is said when neither leads anywhere."""

from pathlib import Path

import pytest

from sim.described import built_in
from sim.errors import InputError
from sim.machine import load_machine


def test_a_path_is_as_good_as_a_name(tmp_path: Path) -> None:
    """A file of one's own loads like a built-in one."""
    path = tmp_path / "mine.yaml"
    path.write_text(f"{load_machine('tiny').model_dump(mode='json') | {'name': 'mine'}}")
    assert load_machine(path).name == load_machine(str(path)).name == "mine"


def test_only_yaml_files_are_built_in() -> None:
    """Names come without their ending."""
    assert built_in("technologies") == ("generic45",)


@pytest.mark.parametrize(("content", "message"), [
    (b"- 1\n- 2", "expected a mapping of parameters, not list"),
    (b"", "expected a mapping of parameters, not NoneType"),
    (b"rows: [", "not YAML: while parsing a flow node expected the node content, but found '<stream end>'"),
    (b"name: 2024-99-99", "not YAML: month must be in 1..12"),
    (b"[" * 9000, "not YAML: maximum recursion depth exceeded"),
], ids=["list", "empty", "open bracket", "no date", "deep"])
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
    assert str(caught.value) == (f"cannot read machine {path}: 'utf-8' codec can't decode byte 0xff in position 0: "
                                 "invalid start byte")


def test_unknown_names_are_answered_with_the_known() -> None:
    """Neither a name nor a path: the message lists the names."""
    with pytest.raises(InputError, match=r"^no machine 'huge': give one of edge, large, tiny or a YAML file$"):
        load_machine("huge")
