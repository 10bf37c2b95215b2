"""Every benchmark starts under the name that the documentation gives."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BENCHMARKS = sorted({path.parent.name if path.name == "__main__.py" else path.stem
                     for path in (ROOT / "benchmarks").rglob("*.py") if '__name__ == "__main__"' in path.read_text()}
                    - {"sides"})


def test_the_benchmarks_are_found() -> None:
    """The list that the other test goes through has those that the documentation names."""
    named = {"accuracy", "cost_table", "depthwise", "networks", "rtl_speed", "simulator", "throughput"}
    assert named <= set(BENCHMARKS)


@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")
@pytest.mark.parametrize("name", BENCHMARKS)
def test_help_says_what_it_measures(name: str, monkeypatch: pytest.MonkeyPatch,
                                    capsys: pytest.CaptureFixture[str]) -> None:
    """`python -m benchmarks.<name> --help` imports all it needs, prints its own call, and measures nothing."""
    monkeypatch.setattr("sys.argv", [name, "--help"])
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with pytest.raises(SystemExit) as left:
        runpy.run_module(f"benchmarks.{name}", run_name="__main__", alter_sys=True)
    assert left.value.code == 0
    assert f"python -m benchmarks.{name}" in capsys.readouterr().out
