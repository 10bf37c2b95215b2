"""Finalists: their Programs, simulated against every limit and budget, and the files that other commands read."""

from __future__ import annotations

import json
import re
import shutil
from math import nextafter
from pathlib import Path

import pytest

import bitwright as bw
from bitwright.codesign.chosen_bits import load_bits
from bitwright.codesign.sensitivities import load_losses
from bitwright.explore.allocated import AllocatedNetwork
from bitwright.explore.explore import explore
from bitwright.explore.finalists import Finalist, chosen
from bitwright.explore.fixed_bits import BitPlaces, loss_of
from bitwright.farm.workers import Here
from quant.bits.budgets import stored_input
from quant.bits.qbitopt import QBitOpt
from sim.arch.machine import load_machine
from sim.energy.technology import load_technology
from sim.errors import InputError
from sim.ir.serialize import load_program
from sim.ir.shapes import ChosenBits, load_shapes

WEIGHTS = Path(__file__).parents[2] / "quant" / "weights" / "float.safetensors"
SPACE = """
networks:
- network: digits
  bits: [4/4]
  budgets: [{latency_ms: 0.15}, {latency_ms: 0.2, weight_bytes: 3000}]
  sensitivities: losses.json
machine: {base: tiny, rows: [4, 8]}
limits: {power_mw: 60}
objectives: [loss, latency_ms, area_mm2]
finalists: 3
"""


@pytest.fixture
def space(tmp_path: Path) -> Path:
    """A space in which bits are allocated by losses that are made up: wide tensors lose less."""
    shapes = load_shapes("digits")
    program = shapes.program(ChosenBits(weights=8, activations=8, digits=1))
    layers = [conv.name for conv in program.convs if conv.weight_format.kind == "signed"]
    stored = {stored_input(program, conv) for conv in program.convs} - {tensor.name for tensor in program.inputs}
    losses = {"bits": [2, 4, 8], "weight": {name: [1.0 + place, 0.1, 0.0] for place, name in enumerate(layers)},
              "activation": {name: [2.0 + place, 0.2, 0.0] for place, name in enumerate(sorted(stored))}}
    (tmp_path / "losses.json").write_text(json.dumps(losses))
    (tmp_path / "space.yaml").write_text(SPACE)
    return tmp_path / "space.yaml"


def test_allocated_bits_are_those_of_the_allocator(space, tmp_path):
    """They keep their budgets, which the simulation checks; other commands read the files of the finalists."""
    found = explore(space, tmp_path / "out", Here())
    shapes, losses = load_shapes("digits"), load_losses(tmp_path / "losses.json")
    allocated = 0
    for one in found.front:
        result, choice = one.networks["digits"], found.space.networks[0].choices[one.candidate.point.choices[0]]
        if "budgets" not in choice:
            continue
        allocated += 1
        machine = one.candidate.machine
        costs = AllocatedNetwork.on(shapes, losses, machine, load_technology("generic45"))
        wanted = costs.under(choice["budgets"], "lp")
        assert ({**result.bits}, result.figures["loss"][1]) == (
            {name: [*pair] for name, pair in wanted.bits.items()}, wanted.objective)
        program = BitPlaces.of(shapes).program(shapes, wanted.bits, machine.arithmetic, machine.terms)
        assert bw.estimate(program, machine).latency_ms == result.figures["latency_ms"][1]
        assert {conv.name: (conv.weight_format.bits, program.tensor(stored_input(program, conv)).format.bits)
                for conv in program.convs if conv.weight_format.kind == "signed"}.items() <= wanted.bits.items()
        folder = tmp_path / "out" / f"candidate-{one.candidate.number}"
        if folder.exists():
            read = load_machine(folder / "machine.yaml")
            assert read == machine
            chosen_bits = load_bits(folder / "digits-bits.json", read)
            assert (chosen_bits.bits, chosen_bits.limits) == (wanted.bits, choice["budgets"])
    assert allocated > 1
    budgets = [check.name for one in found.finalists for check in one.checks]
    assert {"power_mw.high", "latency_ms"} <= {*budgets}
    assert all(check.holds for one in found.finalists for check in one.checks)


def test_a_budget_that_is_broken_by_the_least_does_not_hold(space, tmp_path):
    """Budgets from above and from below, at their limit and one step beyond it."""
    found = explore(space, tmp_path / "out", Here())
    one, network = found.front[0], found.space.networks[0]

    def holds(latency_ms: float, fps: float) -> dict[str, bool]:
        result = {"figures": one.networks["digits"].figures, "costs": {"latency_ms": latency_ms, "fps": fps},
                  "accuracy": None}
        choice = {"budgets": {"latency_ms": 0.2, "fps": 5000.0}}
        return {check.name: check.holds for check in Finalist.of(one, network, choice, result, found.space).checks}

    assert holds(0.2, 5000.0) == {"power_mw.high": True, "latency_ms": True, "fps": True}
    assert holds(nextafter(0.2, 1), nextafter(5000.0, 0)) == {"power_mw.high": True, "latency_ms": False, "fps": False}


def test_uniform_bits_are_those_of_the_shapes():
    """The Program at 4/4 for every layer is the one that shapes make."""
    for name in ("digits", "mobilenet_v2", "mobilenet_v3_small"):
        shapes = load_shapes(name)
        uniform = ChosenBits(weights=4, activations=4, first_last=4, digits=2)
        wanted = shapes.program(uniform)
        bits = {conv.name: (4, 4) for conv in wanted.convs}
        found = BitPlaces.of(shapes).program(shapes, bits, wanted.arithmetic, 2)
        assert [conv.weight_format for conv in found.convs] == [conv.weight_format for conv in wanted.convs]
        read = {stored_input(wanted, conv) for conv in wanted.convs} - {tensor.name for tensor in wanted.inputs}
        assert [found.tensor(tensor).format for tensor in read] == [wanted.tensor(tensor).format for tensor in read]


def test_the_loss_of_fixed_bits_is_a_sum_over_weights_and_tensors(space, tmp_path):
    """Each once; a width without a loss is refused."""
    losses, shapes = load_losses(tmp_path / "losses.json"), load_shapes("digits")
    program = shapes.program(ChosenBits(weights=4, activations=2, first_last=8, digits=1))
    inner = len(losses.weight) - 2
    found = loss_of(program, losses)
    assert 0.1 * inner < found == pytest.approx(0.1 * inner + sum(
        row[losses.bits.index(program.tensor(name).format.bits)] for name, row in losses.activation.items()))
    with pytest.raises(InputError, match=r"^sensitivities have no loss of the weights of layer '\S+' at 3 bits, but at "
                                         r"2, 4, 8$"):
        loss_of(shapes.program(ChosenBits(weights=3, activations=2, digits=1)), losses)


def test_finalists_of_a_trained_network_are_measured(space, tmp_path, monkeypatch):
    """The Program is quantized from the weights: no slower than of the shapes, and far more accurate than chance."""
    shutil.copy(WEIGHTS, tmp_path / "float.safetensors")
    text = SPACE.replace("  bits:", "  weights: float.safetensors\n  data: digits\n  bits:")
    space.write_text(text.replace("rows: [4, 8]", "rows: 4").replace("finalists: 3", "finalists: 1"))
    found = explore(space, tmp_path / "out", Here())
    (one,) = found.finalists
    assert one.quantized
    assert one.accuracy > 0.8
    evaluated = next(other for other in found.front if other.candidate.number == one.candidate)
    assert one.figures["latency_ms"][1] <= evaluated.figures["latency_ms"][1]
    (tmp_path / "float.safetensors").write_bytes(b"other")
    with pytest.raises(InputError, match=r"^candidate \d+ could not be simulated: .*"):
        explore(space, tmp_path / "out", Here())


def test_finalists_are_spread_over_the_front():
    """Both ends among them."""
    assert [chosen([*range(10)], count) for count in (0, 1, 2, 4, 20)] == [
        [], [0], [0, 9], [0, 3, 6, 9], [*range(10)]]


def test_code_is_no_data_of_a_space(space):
    """A space is a file that may come from others."""
    space.write_text(SPACE.replace("  bits:", "  weights: a.safetensors\n  data: mine.py:data\n  bits:"))
    with pytest.raises(InputError, match=rf"^space {re.escape(str(space))}: networks.0: data of a space are a name or "
                                         r"files, not code, 'mine.py:data'$"):
        explore(space, space.parent, Here())


@pytest.mark.trains
def test_finalists_are_trained_within_their_budgets(space, tmp_path):
    """QBitOpt moves the bits of one within its budgets, which the simulation of its own Program holds it to."""
    shutil.copy(WEIGHTS, tmp_path / "float.safetensors")
    text = SPACE.replace("  bits: [4/4]\n", "  weights: float.safetensors\n  data: digits\n  epochs: 1\n")
    space.write_text(text.replace("rows: [4, 8]", "rows: 4"))
    found = explore(space, tmp_path / "out", Here())
    assert found.finalists
    for one in found.finalists:
        assert one.quantized
        assert one.accuracy > 0.5
        assert {"latency_ms"} <= {check.name for check in one.checks if check.holds}
        assert all(check.holds for check in one.checks)
        program = load_program(tmp_path / "out" / f"candidate-{one.candidate}" / "digits.safetensors")
        machine = load_machine(tmp_path / "out" / f"candidate-{one.candidate}" / "machine.yaml")
        assert bw.estimate(program, machine).latency_ms == one.figures["latency_ms"][1]
    again = explore(space, tmp_path / "out", Here())
    assert again.finalists == found.finalists
    assert not [*(tmp_path / "out" / "trainings").iterdir()]


@pytest.mark.trains
def test_an_interrupted_training_of_a_finalist_goes_on(space, tmp_path, monkeypatch):
    """From its last epoch, to the Program of a training that was not interrupted."""
    shutil.copy(WEIGHTS, tmp_path / "float.safetensors")
    text = SPACE.replace("  bits: [4/4]\n", "  weights: float.safetensors\n  data: digits\n  epochs: 2\n")
    text = text.replace("{latency_ms: 0.15}, ", "").replace("rows: [4, 8]", "rows: 4")
    space.write_text(text)
    whole = explore(space, tmp_path / "whole", Here())
    finish, left = QBitOpt.finish, []

    def die(controller, images):
        left.append([path.name for path in (tmp_path / "out" / "trainings").rglob("*.checkpoint")])
        raise KeyboardInterrupt

    monkeypatch.setattr(QBitOpt, "finish", die)
    with pytest.raises(KeyboardInterrupt):
        explore(space, tmp_path / "out", Here())
    assert left == [["budgets.checkpoint"]]
    monkeypatch.setattr(QBitOpt, "finish", finish)
    monkeypatch.setattr("quant.training.loop._Training._step", None)
    assert explore(space, tmp_path / "out", Here()).finalists == whole.finalists


@pytest.mark.parametrize(("lines", "sentence"), [
    ("epochs: 2", "finalists are trained from weights with data: give both"),
    ("weights: a.safetensors\n  data: digits\n  scheme: lsq", "steps of lsq are learnt: give epochs"),
    ("weights: a.safetensors\n  data: digits\n  epochs: 1\n  scheme: uniform",
     "steps of uniform are not learnt: give no epochs, or lsq or qil"),
])
def test_training_that_makes_no_sense_is_refused(space, lines, sentence):
    """Before anything is evaluated."""
    space.write_text(SPACE.replace("  bits:", f"  {lines}\n  bits:"))
    with pytest.raises(InputError, match=rf"^space {re.escape(str(space))}: networks.0: {re.escape(sentence)}$"):
        explore(space, space.parent, Here())
