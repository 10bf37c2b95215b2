"""From sensitivities to a Program whose bits keep a budget, by three commands."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from bitwright.cli.app import main
from sim.arch.machine import load_machine
from sim.cost.estimate import estimate
from sim.energy.technology import load_technology
from sim.ir.serialize import load_program
from sim.plan.plan import plan

WEIGHTS = Path(__file__).parents[2] / "quant" / "weights" / "float.safetensors"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def command(*words: object) -> tuple[int, str, str]:
        status = main([str(word) for word in words])
        return status, *capsys.readouterr()

    return command


def test_sensitivities_lead_to_a_program_within_its_budget(run: Run, tmp_path: Path) -> None:
    """Sensitivities, allocation and quantization give a Program of those bits, whose simulated cost is as allowed."""
    digits = ("digits", WEIGHTS, "-d", "digits")
    made = run("quantize", *digits, "-o", tmp_path / "wide", "--iterations", 0, "-m", "tiny", "-b", "8/8", "--json")
    assert made[0] == 0
    found = run("sensitivities", *digits, "-o", tmp_path / "s.json", "--json")
    assert found[0] == 0
    told = json.loads(found[1])
    assert told.pop("provenance")["command"].startswith("bitwright sensitivities digits ")
    assert told == json.loads((tmp_path / "s.json").read_text())
    machine, technology = load_machine("tiny"), load_technology("generic45")
    wide = load_program(tmp_path / "wide" / "program.safetensors")
    limit = 0.6 * plan(wide, machine).timeline.total
    chosen = run("allocate", tmp_path / "wide" / "program.safetensors", "-s", tmp_path / "s.json", "-m", "tiny", "-b",
                 f"latency_cycles={limit}", "--pin", "classifier=8/*", "--digits", 1, "--out", tmp_path / "bits.json")
    assert chosen[0] == 0, chosen
    words = ("quantize", *digits, "-o", tmp_path / "mixed", "--iterations", 0, "--bits-file", tmp_path / "bits.json")
    made = run(*words, "-m", "tiny", "--json")
    assert made[0] == 0, made
    program = load_program(tmp_path / "mixed" / "program.safetensors")
    cost = estimate(plan(program, machine), technology)
    assert cost.latency_cycles <= limit
    bits = json.loads((tmp_path / "bits.json").read_text())["bits"]
    for conv in program.convs:
        if conv.weight_format.kind != "unit":
            assert conv.weight_format.bits == bits[conv.name][0]
        assert program.tensor(conv.input).format.bits == bits[conv.name][1]
    assert len({pair[0] for pair in bits.values()}) > 1
    assert bits["classifier"][0] == 8
    assert run(*words, "-m", "edge")[2].endswith("they are for machine 'tiny', not 'edge'\n")
    assert run(*words, "-b", "4/4") == (1, "", "bitwright: give --bits or --bits-file, not both\n")
    broken = json.loads((tmp_path / "bits.json").read_text())
    broken["limits"]["latency_cycles"] = cost.latency_cycles - 1
    (tmp_path / "bits.json").write_text(json.dumps(broken))
    status, _, error = run(*words, "-m", "tiny")
    assert status == 1
    assert re.search(rf"^bitwright: budget latency_cycles: the Program takes {cost.latency_cycles}, above "
                     rf"{cost.latency_cycles - 1}: allocate with more --digits$", error, re.MULTILINE)
