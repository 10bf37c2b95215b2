"""Tensors in the user's cache."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from quant.data.tensor_cache import kept


@pytest.fixture
def counting() -> tuple[Callable[[], dict[str, Tensor]], list[int]]:
    """Something to keep, different each time it is made, and how often it was made."""
    calls: list[int] = []

    def make() -> dict[str, Tensor]:
        calls.append(len(calls))
        return {"number": torch.tensor(len(calls))}

    return make, calls


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def test_only_what_changes_is_made_again(home, counting) -> None:
    """The second call reads; other arguments or other code make anew, and what is back is read again."""
    (make, calls), source = counting, home / "source.py"
    source.write_text("a")
    assert [int(kept("x", [source], ["torch"], make)["number"]) for _ in range(2)] == [1, 1]
    assert int(kept("y", [source], ["torch"], make)["number"]) == 2
    assert int(kept("x", [source], ["torch", "numpy"], make)["number"]) == 3
    source.write_text("b")
    assert int(kept("x", [source], ["torch"], make)["number"]) == 4
    source.write_text("a")
    assert int(kept("x", [source], ["torch"], make)["number"]) == 1
    assert len(calls) == 4


def test_without_a_cache_it_is_made(home, counting, monkeypatch) -> None:
    """No folder can be written: nobody notices."""
    make, calls = counting
    (home / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "file"))
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(home / "file"))
    assert [int(kept("x", [], [], make)["number"]) for _ in range(2)] == [1, 2]
    assert len(calls) == 2


def test_a_full_disk_costs_nothing_but_the_cache(home, counting, monkeypatch) -> None:
    """What was made is given even if it cannot be written, and made once only."""
    def full(tensors: object, path: Path) -> None:
        raise OSError(28, "No space left on device")

    make, calls = counting
    monkeypatch.setattr("quant.data.tensor_cache.save_file", full)
    assert int(kept("x", [], [], make)["number"]) == 1
    assert len(calls) == 1


@pytest.mark.parametrize("damage", [b"", b"not a tensor file", None], ids=["empty", "other", "missing"])
def test_a_damaged_file_is_not_believed(home, counting, damage) -> None:
    """It is made again."""
    make, _ = counting
    kept("x", [], [], make)
    (file,) = (home / "cache" / "bitwright" / "data").glob("*/*.safetensors")
    if damage is None:
        file.unlink()
    else:
        file.write_bytes(damage)
    assert int(kept("x", [], [], make)["number"]) == 2
