"""The main job, whole: a real network, three engines, hard budgets."""

import io
import json
import re
from contextlib import redirect_stdout
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from bitwright.cli.app import main
from bitwright.cli.demo_report import demo_report
from bitwright.codesign.costs import estimate
from bitwright.codesign.demo import MIXED, Summary, cycles_of
from bitwright.codesign.verify import Verification
from quant.ptq.reconstruct import Reconstruction
from quant.training.recipe import FLOAT, QAT
from sim.arch.machine import load_machine
from sim.ir.serialize import load_program
from sim.plan.plan import plan
from sim.testing import random_program

README = Path(__file__).parents[3] / "README.md"


SHORT = {"FLOAT": replace(FLOAT, epochs=10), "QAT": replace(QAT, epochs=4), "MIXED": replace(MIXED, epochs=5),
         "Reconstruction": partial(Reconstruction, iterations=50)}
"""Trainings of a few seconds."""


@pytest.fixture(scope="module")
def printed() -> io.StringIO:
    """What one run prints, once `out` has made it."""
    return io.StringIO()


@pytest.fixture(scope="module", params=["short", pytest.param("whole", marks=pytest.mark.nightly)])
def out(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, printed: io.StringIO) -> Path:
    """Results of one run, as it is or with short trainings."""
    folder = tmp_path_factory.mktemp("demo") / "demo-out"
    printed.seek(0)
    printed.truncate()
    with redirect_stdout(printed), pytest.MonkeyPatch.context() as patch:
        for name, value in SHORT.items() if request.param == "short" else ():
            patch.setattr(f"bitwright.codesign.demo.{name}", value)
        assert main(["demo", "--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def summary(out: Path) -> dict:
    return json.loads((out / "summary.json").read_text())


@pytest.mark.trains
@pytest.mark.slow
def test_no_code_differs_and_cycles_are_equal(summary: dict) -> None:
    """Three Programs of nine tensors, each in torch and on the RTL against the simulator."""
    assert summary["mismatches"] == 0
    assert summary["tensors_compared"] == 3 * 3 * 9
    assert summary["cycles"]["predicted"] == summary["cycles"]["counted"] > 0
    for result in summary["verifications"].values():
        assert all(layer["predicted"] == layer["counted"] for layer in result["layers"])
        assert all(counted == result["predicted"] for counted in result["counted"])


@pytest.mark.trains
@pytest.mark.slow
def test_budgets_hold_in_the_final_program(out: Path, summary: dict) -> None:
    """Both limits are kept, and the saved mixed Program, planned again, has the cycles that the summary says."""
    assert set(summary["budgets"]) == {"latency_cycles", "energy_pj"}
    for budget in summary["budgets"].values():
        assert 0 < budget["used"] <= budget["limit"]
    program = load_program(out / "mixed.safetensors")
    assert plan(program, load_machine("tiny")).timeline.total == summary["budgets"]["latency_cycles"]["used"]
    for conv in program.convs:
        bits = [conv.weight_format.bits, program.tensor(conv.input).format.bits]
        assert summary["bits"][conv.name] == bits


@pytest.mark.trains
@pytest.mark.slow
def test_the_readme_shows_what_the_demo_prints(out: Path, printed: io.StringIO) -> None:
    """Every line in the README is printed, in the same order; numbers differ where training is not reproducible."""
    (shown,) = re.findall(r"^\$ make demo\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
    lines = iter(masked(printed.getvalue().replace(str(out), out.name)))
    assert [line for line in masked(shown) if line not in lines] == []


def masked(text: str) -> list[str]:
    """Return the lines without their numbers and the width of their columns."""
    numbers = re.compile(r"(?<![\w.])\d[\d.,]*")
    return [re.sub("─+", "─", " ".join(numbers.sub("#", line).split())) for line in text.splitlines()]


@pytest.mark.trains
@pytest.mark.slow
def test_integer_programs_know_what_the_network_knows(summary: dict) -> None:
    """Within 15 points of the float network on 500 images (seen: 2), which is far from a guess; what is lost by a
    collapse is 80."""
    accuracy = summary["accuracy"]
    assert set(accuracy) == {"float", "qil", "power_of_two", "mixed"}
    assert accuracy["float"] > 0.5
    assert min(accuracy.values()) > accuracy["float"] - 0.15


@pytest.mark.trains
@pytest.mark.slow
def test_what_the_demo_writes_can_be_used_again(out: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """`allocate` takes its Program and sensitivities; a budget that is too small is answered with the smallest."""
    arguments = ["allocate", str(out / "qil.safetensors"), "-s", str(out / "sensitivities.json"), "-m", "tiny"]
    assert main([*arguments, "-b", "latency_cycles=20000", "-b", "energy_pj=571000", "--json"]) == 0
    data = json.loads(capfd.readouterr().out)
    assert data["used"]["latency_cycles"] <= 20000
    assert data["used"]["energy_pj"] <= 571000
    assert main([*arguments, "-b", "latency_cycles=100"]) == 1
    error = capfd.readouterr().err
    assert error.startswith("bitwright: budget latency_cycles: 100 cannot be met; the smallest achievable is ")


def test_a_machine_that_is_too_small_is_refused_before_training(
        tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The layer and both numbers are named at once, and no folder is left behind."""
    machine = tmp_path / "small.yaml"
    text = load_machine("tiny").model_dump() | {"weight_words": 16}
    machine.write_text(json.dumps(text))
    assert main(["demo", "--out", str(tmp_path / "out"), "--machine", str(machine)]) == 1
    assert "needs 36 weight words per row for a row tile; machine 'tiny' has weight_words 16 (20 too few)" in (
        capfd.readouterr().err)
    assert not (tmp_path / "out").exists()


def test_more_images_than_there_are_is_one_sentence(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Before anything is trained, and no folder is left."""
    assert main(["demo", "-n", "501", "-o", str(tmp_path / "out")]) == 1
    assert capfd.readouterr() == ("", "bitwright: images must be in 1..500, the digits to test with, not 501\n")
    assert not (tmp_path / "out").exists()


def test_an_rtl_that_does_not_end_leaves_a_report() -> None:
    """A failed simulation has no cycles; the report says why instead of failing itself."""
    failed = Verification("icarus", "stopped", (), None, (), {"total": 9}, (), ())
    assert cycles_of(failed) == (0, 0)
    cost = estimate(random_program(np.random.default_rng(0), load_machine("tiny"), layers=1), "tiny")
    summary = Summary("tiny", 0, accuracy={"float": 1.0, "mixed": 0.5}, programs={"mixed": cost},
                      verifications={"mixed": failed})
    assert not summary.ok
    assert demo_report(summary, Path("out")).lines[-2:] == ["mixed: the RTL did not end: stopped",
                                                            "FAILED: see above"]
