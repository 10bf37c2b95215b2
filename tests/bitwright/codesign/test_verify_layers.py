"""Networks without trained weights in all engines, and parts of their layers on the RTL."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bitwright.cli.app import main
from bitwright.cli.parse_inputs import random_codes
from bitwright.codesign.network_program import program_with_inputs
from bitwright.codesign.programs_at_bits import programs_at_bits
from bitwright.codesign.rtl_run import RtlOptions
from bitwright.codesign.verify_layers import layers_named, verify_layers
from rtl.cosim.simulators import LEAN
from sim.arch.machine import Machine, load_machine
from sim.errors import InputError
from sim.functional.reference import simulate
from sim.ir.serialize import save_program
from sim.ir.shapes import load_shapes
from sim.plan.plan import plan
from sim.testing.stimulus.cases import load_case

TINY = load_machine("tiny")


def made(name: str, bits: tuple[int, int], seed: int = 0, machine: Machine = TINY):
    """The Program of a built-in network with its inputs."""
    return program_with_inputs(load_shapes(name), machine, lambda program: random_codes(program, 2, seed), bits=bits,
                               seed=seed)


@pytest.fixture
def right_rtl(monkeypatch, simulated):
    """The simulator in place of the RTL, which says what it ran."""
    ran = []

    def run_all(jobs, engine=None):
        ran.append([(plan.program.convs[0].name, plan.timeline.total) for plan, _ in jobs])
        return simulated(jobs)

    monkeypatch.setattr("bitwright.codesign.random_cases.run_all", run_all)
    return ran


@pytest.fixture
def wrong_rtl(monkeypatch, simulated):
    """As the simulator, but for the largest code of layers with a residual."""

    def run_all(jobs, engine=None):
        results = simulated(jobs)
        for (planned, _), result in zip(jobs, results, strict=True):
            for conv in planned.program.convs:
                if conv.residual:
                    result.codes[conv.output].flat[result.codes[conv.output].argmax()] += 1
        return results

    monkeypatch.setattr("bitwright.codesign.random_cases.run_all", run_all)


@pytest.mark.parametrize(("name", "bits"), [("digits", (1, 1)), ("resnet8", (2, 2)), ("small_mobilenet", (4, 4)),
                                            ("glyph_mobilenet_v3", (8, 8))])
def test_made_up_numbers_use_their_range(name, bits):
    """Every layer writes several codes, of which none but that of a gate or table fills nine tenths; outputs differ."""
    program, inputs = made(name, bits, machine=load_machine("edge"))
    codes = simulate(program, inputs)
    for op in program.convs:
        _, counts = np.unique(codes[op.output], return_counts=True)
        assert len(counts) >= 2, op.name
        assert counts.max() <= 0.9 * counts.sum() or op.table or op.gate is not None, op.name
    (output,) = program.outputs
    assert len(np.unique(codes[output.name][0])) >= 5


@pytest.mark.parametrize("name", ["resnet8", "glyph_mobilenet_v3"])
def test_made_up_numbers_change_no_cycle(name):
    """A network takes the cycles that are estimated of its shapes, and another seed gives other weights."""
    (shapes,) = programs_at_bits(load_shapes(name), TINY, [(2, 4)]).values()
    program, _ = made(name, (2, 4))
    other, _ = made(name, (2, 4), seed=1)
    assert plan(program, TINY).timeline == plan(shapes, TINY).timeline
    assert not np.array_equal(program.convs[1].weights, other.convs[1].weights)


def test_a_sample_is_drawn_by_its_seed(right_rtl):
    """All layers come once before any comes again; another seed gives other tiles; jobs change nothing."""
    program, inputs = made("digits", (2, 2))
    layers = layers_named(program, None)

    def places(seed: int, jobs: int = 1) -> list[tuple[object, ...]]:
        found = verify_layers(program, TINY, inputs, layers, sample=len(layers) + 2, seed=seed, onnxruntime=False,
                              options=RtlOptions("icarus", jobs))
        assert found.ok
        return [(piece.op, piece.rows, piece.channels) for piece in found.pieces]

    first = places(1)
    assert {op for op, _, _ in first[:len(layers)]} == {op.name for op in layers}
    assert first == places(1, jobs=3) != places(2)
    assert all(0 < rows[1] - rows[0] <= TINY.columns and 0 < channels[1] - channels[0] <= TINY.rows
               for _, rows, channels in first)


def test_layers_run_whole_on_what_reaches_them(right_rtl, capsys):
    """--layers takes those of a pattern, and the RTL is asked for the cycles that each takes alone."""
    assert main(["verify", "digits", "--bits", "2", "--layers", "block1.conv*", "--json", "--no-onnxruntime"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [(piece["op"], piece["cycles"]) for piece in report["pieces"]] == right_rtl[0]
    assert [piece["op"] for piece in report["pieces"]] == ["block1.conv1", "block1.conv2"]
    assert report["network_cycles"] is None
    (shapes,) = programs_at_bits(load_shapes("digits"), TINY, [(2, 2)]).values()
    sizes = {tensor.name: tensor.channels * tensor.height * tensor.width for tensor in shapes.tensors}
    assert [piece["codes"] for piece in report["pieces"]] == [
        sizes[op.output] for op in shapes.convs if op.name.startswith("block1.conv")]


def test_all_layers_are_held_against_the_network(right_rtl):
    """Layers by themselves take longer than the network, whose cycles are told with theirs if none is left out."""
    program, inputs = made("digits", (2, 2))
    found = verify_layers(program, TINY, inputs, layers_named(program, None), onnxruntime=False)
    assert found.network_cycles == plan(program, TINY).timeline.total < sum(piece.cycles for piece in found.pieces)


def test_a_layer_that_differs_is_kept(wrong_rtl, tmp_path, capsys):
    """The exit status is 1; each tile with a residual is named, with a command for the case that was kept."""
    assert main(["verify", "digits", "--bits", "4/4", "--sample", "9", "--failures-dir", str(tmp_path),
                 "--no-onnxruntime"]) == 1
    out = capsys.readouterr().out
    assert out.endswith("NOT EQUAL\n")
    assert "layer 'block1.conv2' differs: " in out
    assert "layer 'stem' differs: " not in out
    kept = [load_case(place) for place in tmp_path.iterdir()]
    assert {case.program.convs[0].name for case in kept} == {"block1.conv2", "block2.conv2"}
    assert f"again: bitwright verify {tmp_path}" in out


def test_no_such_layer():
    """The pattern is named, and which layers there are."""
    program, _ = made("digits", (2, 2))
    with pytest.raises(InputError, match=r"^no layer matches 'conv9': there are stem, "):
        layers_named(program, "conv9")


@pytest.mark.parametrize(("words", "says"), [
    (["digits", "--sample", "2", "--from", "stem"], "--from goes with whole images, not with --layers or --sample"),
    (["--random-programs", "2", "--bits", "4/4"], "--bits goes with a Program, not with --random-programs"),
    (["--random-programs", "2", "--layers", "x"], "--layers goes with a Program, not with --random-programs")])
def test_what_does_not_go_together(words, says, capsys):
    """Exit 2, and which option is wrong."""
    assert main(["verify", *words]) == 2
    assert says in " ".join(capsys.readouterr().err.replace("│", "").split())


@pytest.mark.parametrize(("words", "says"), [
    (["resnet9"], "no network 'resnet9': give one of "),
    (["digits", "--bits", "9"], "bits must be in 1..8, not 9"),
    (["digits", "--images", "2", "--rtl-images", "3"], "images that run on the RTL must be 1..2, not 3"),
    (["PROGRAM", "--bits", "4/4"], "what is quantized has bits and digits of its own, so that none can be chosen")])
def test_what_cannot_be_verified(words, says, tmp_path, capsys):
    """Exit 1 and a sentence."""
    program, _ = made("digits", (2, 2))
    save_program(program, tmp_path / "program.safetensors")
    assert main(["verify", *(str(tmp_path / "program.safetensors") if word == "PROGRAM" else word
                             for word in words)]) == 1
    assert says in capsys.readouterr().err


def test_a_network_by_name_in_all_engines(capsys):
    """A tile of a layer of a network that nobody trained runs on the RTL of `tiny`, bits and cycles equal."""
    assert main(["verify", "digits", "--bits", "2/2", "--layers", "classifier", "--simulator", "icarus", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["ok"], report["simulator"], len(report["pieces"])) == (True, "icarus", 1)
    assert all(one["mismatches"] == 0 for one in report["comparisons"])


@pytest.mark.nightly
@pytest.mark.skipif(LEAN.missing() is not None, reason=f"{LEAN.missing()}")
def test_tiles_of_all_layers_of_a_large_network(tmp_path, capsys):
    """ResNet-18 for images of 224 at 2/2, which nobody has trained: tiles of all layers agree on the RTL of `edge`."""
    assert main(["verify", "resnet18", "--bits", "2/2", "-m", "edge", "--sample", "24", "--simulator", "lean", "--json",
                 "--failures-dir", str(tmp_path)]) == 0
    report = json.loads(capsys.readouterr().out)
    assert len({piece["op"] for piece in report["pieces"]}) == 23
    assert all(one["mismatches"] == 0 for one in report["comparisons"])
