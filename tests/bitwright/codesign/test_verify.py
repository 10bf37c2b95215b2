"""What `bitwright verify` says of a Program whose RTL is right, is wrong, leaves bits undefined or does not end."""

import json

import numpy as np
import pytest

from bitwright.cli.app import main
from bitwright.cli.parse_inputs import random_codes
from rtl.cosim.run import UNDEFINED, IncompleteRun, RtlResult
from rtl.cosim.scoreboard import expected_counters
from rtl.cosim.simulators import SimulationError
from sim.arch.machine import load_machine
from sim.functional.reference import simulate
from sim.ir.serialize import save_program
from sim.testing import random_program

TINY = load_machine("tiny")


def of_layers(count):
    """A Program of so many layers on `tiny`."""
    for seed in range(100):
        drawn = random_program(np.random.default_rng(seed), TINY, layers=count, kinds=["dense"], traits=[])
        if len(drawn.ops) == count:
            return drawn
    raise AssertionError(f"no seed gives {count} layers")


@pytest.fixture(scope="module")
def program():
    """Three layers on `tiny`."""
    return of_layers(3)


@pytest.fixture
def verify(program, tmp_path, monkeypatch, capsys):
    """Exit status, stdout and stderr of `bitwright verify` where the RTL's codes are changed by a function."""
    path = tmp_path / "program.safetensors"
    save_program(program, path)

    def run(change, *options):
        def on_rtl(engine, planned, inputs, wanted, note):
            codes = simulate(planned.program, inputs)
            change(codes)
            images = len(next(iter(inputs.values())))
            ends = np.array([planned.timeline.ends] * images)
            return RtlResult(codes, ends, (expected_counters(planned),) * images)

        monkeypatch.setattr("bitwright.codesign.verify.run_on_rtl", on_rtl)
        status = main(["verify", str(path), "-m", "tiny", "--simulator", "icarus", *options])
        out, error = capsys.readouterr()
        return status, out, error

    return run


def test_every_tensor_is_shown_with_its_mismatches(verify, program):
    """Equal: a row for every tensor and every two engines, no mismatch, exit 0."""
    status, out, _ = verify(lambda codes: None, "--json")
    report = json.loads(out)
    assert (status, report["ok"], report["failure"]) == (0, True, None)
    for comparison in report["comparisons"]:
        assert {one["name"] for one in comparison["by_tensor"]} == {tensor.name for tensor in program.tensors}
        assert comparison["codes"] == sum(one["codes"] for one in comparison["by_tensor"])
        assert {(one["mismatches"], one["undefined"]) for one in comparison["by_tensor"]} == {(0, 0)}


def test_undefined_bits_are_reported_with_all_comparisons(verify, program):
    """The first tensor with an undefined bit is named, before a later one that differs; every table is there."""
    first, second = program.ops[0].output, program.ops[1].output

    def undefined(codes):
        codes[first][0, 0, 0, 0] = UNDEFINED
        codes[second][0, 0, 0, 0] ^= 1

    status, out, _ = verify(undefined)
    assert status == 1
    assert (f"RTL and simulator part at op '{program.ops[0].name}', tensor '{first}', image 0, channel 0, "
            "pixel (0, 0): undefined bits against ") in out
    for title in ("codes", "end of every op", "counters of one image"):
        assert title in out
    assert out.endswith("NOT EQUAL\n")
    report = json.loads(verify(undefined, "--json")[1])
    rows = {one["name"]: (one["mismatches"], one["undefined"]) for one in report["comparisons"][-1]["by_tensor"]}
    assert rows == {tensor.name: (0, 0) for tensor in program.tensors} | {first: (1, 1), second: (1, 0)}
    assert report["mismatches"] == 2


def test_undefined_bits_on_both_sides_are_no_agreement(verify, program):
    """What is undefined equals nothing, not even itself."""
    from bitwright.codesign.compare import compare_codes

    codes = {tensor.name: np.full((1, *tensor.shape), UNDEFINED, np.int32) for tensor in program.tensors}
    compared = compare_codes(program, ("a", "b"), codes, codes)
    assert compared.mismatches == compared.codes


def test_what_was_compared_before_the_rtl_failed_is_shown(verify, program, monkeypatch):
    """A run that does not end costs the RTL's comparison, not torch's; its log is told; exit 1."""

    def fails(codes):
        raise SimulationError("still busy after 9 cycles\nlog")

    status, out, _ = verify(fails)
    assert status == 1
    assert f"torch = simulator: {len(program.tensors)} tensors" in out
    assert "the RTL did not end: still busy after 9 cycles\nlog\n" in out
    assert out.endswith("NOT EQUAL\n")
    report = json.loads(verify(fails, "--json")[1])
    assert (report["ok"], report["failure"], report["layers"]) == (False, "still busy after 9 cycles\nlog", [])


def test_what_is_wrong_is_told(verify, program):
    """The op that is wrong by itself, its first code and what of it is wrong stand in the report and in JSON."""
    middle = program.ops[1].output

    def wrong(codes):
        codes[middle][0, 0, 0, 0] ^= 1

    status, out, _ = verify(wrong)
    assert status == 1
    assert f"op '{program.ops[1].name}' is wrong by itself: 1 of " in out
    assert "first: image 0, channel 0, pixel (0, 0), plane 0: RTL " in out
    assert "--divergence DIR writes the case, its explanation and waveforms\n" in out
    divergence = json.loads(verify(wrong, "--json")[1])["divergence"]
    assert (divergence["findings"]["first"]["op"], divergence["folder"]) == (program.ops[1].name, None)
    assert json.loads(verify(lambda codes: None, "--json")[1])["divergence"] is None


@pytest.mark.nightly
def test_what_does_not_come_again_is_said(verify, program, tmp_path):
    """Codes that only one run had are reported with the Program on that image, and with waveforms of the other run."""
    last = program.ops[-1].output

    def wrong(codes):
        codes[last][0, 0, 0, 0] ^= 1

    status, out, _ = verify(wrong, "--divergence", str(tmp_path / "found"))
    assert status == 1
    assert "the same codes did not come again, see report.txt\n" in out
    report = json.loads((tmp_path / "found" / "report.json").read_text())
    assert (report["again"], report["alone"], report["findings"]["stages"]) == (False, False, None)
    assert "it did not make the same codes again" in (tmp_path / "found" / "report.txt").read_text()
    assert {path.name for path in (tmp_path / "found").iterdir()} >= {"window.fst", "window.gtkw", "window.sucl"}


def test_what_was_complete_before_a_run_stopped_is_compared(verify, program):
    """Tensors that the RTL had completed are compared, also with the search for what is wrong, and the rest is not."""
    first, second = (op.output for op in program.ops[:2])

    def stops(codes):
        codes[first][0, 0, 0, 0] ^= 1
        done = {tensor.name: codes[tensor.name] for tensor in (*program.inputs, program.tensor(first))}
        raise IncompleteRun("still busy after 9 cycles", RtlResult(done, np.zeros((1, 1), np.int64), ()))

    status, out, _ = verify(stops)
    assert status == 1
    assert f"RTL = simulator: {len(program.inputs) + 1} tensors" in out
    assert f"op '{program.ops[0].name}' is wrong by itself" in out
    assert "the RTL did not end: still busy after 9 cycles\n" in out
    tensors = {one["name"] for one in json.loads(verify(stops, "--json")[1])["comparisons"][-1]["by_tensor"]}
    assert first in tensors
    assert second not in tensors


def test_what_no_image_met_is_told(verify, program, tmp_path):
    """An image of zeros reaches no high bit: that is counted, said by name with --coverage, and listed in JSON."""
    conv = program.convs[0]
    source = program.tensor(conv.input)
    np.savez(tmp_path / "zeros.npz", **{one.name: np.zeros((1, *one.shape), np.int32) for one in program.inputs})
    zeros = "-i", str(tmp_path / "zeros.npz")
    unmet = json.loads(verify(lambda codes: None, *zeros, "--json")[1])["unmet"]
    assert f"bits: kind dense, weight_bits {conv.weight_format.bits}, activation_bits {source.format.bits}" in unmet
    _, out, _ = verify(lambda codes: None, *zeros)
    assert f"{len(unmet)} situations that this Program can meet were met by no image: --coverage names them\n" in out
    _, out, _ = verify(lambda codes: None, *zeros, "--coverage")
    assert [line for line in out.splitlines() if line.startswith("no image met ")] == [
        f"no image met {text}" for text in unmet]


def test_what_the_program_has_not_is_told(verify, program):
    """Sides without pads, sums that do not wrap and stalls are absent where a Program has none; what is met is not."""
    told = json.loads(verify(lambda codes: None, "--json")[1])["exercised"]
    sides = ("top", "left", "bottom", "right")
    sources = [(conv, bool(program.tensor(conv.input).format.zero_point)) for conv in program.convs]
    padded = {(side, zero) for conv, zero in sources for side, pads in zip(sides, conv.pads, strict=True) if pads}
    for side in sides:
        for zero in {zero for _, zero in sources}:
            assert (f"pads: kind dense, side {side}, zero_point {zero}" in told["absent"]) == (
                (side, zero) not in padded)
    assert program.arithmetic.wrap or "wraps: kind dense, wraps at the top" in told["absent"]
    assert "memory waits: stream of Load, waits True" in told["absent"]
    assert not {*told["absent"]} & {*told["unmet"]}
    _, out, _ = verify(lambda codes: None, "--coverage")
    assert [line for line in out.splitlines() if line.startswith("this Program has no ")] == [
        f"this Program has no {text}" for text in told["absent"]]


def test_a_code_that_onnx_runtime_has_otherwise_is_found(verify, program, monkeypatch):
    """It is one mismatch between ONNX Runtime and the simulator, and none elsewhere."""
    last = program.ops[-1].output

    def wrong(model, inputs):
        codes = simulate(program, inputs)
        codes[last][0, 0, 0, 0] ^= 1
        return codes

    monkeypatch.setattr("bitwright.codesign.onnx_engine.run_onnx", wrong)
    status, out, _ = verify(lambda codes: None, "--no-onnxruntime", "--json")
    assert (status, json.loads(out)["skipped"]) == (0, "ONNX Runtime was not wanted")
    status, out, _ = verify(lambda codes: None, "--json")
    assert status == 1
    assert {tuple(x["engines"]): x["mismatches"] for x in json.loads(out)["comparisons"]} == {
        ("torch", "simulator"): 0, ("ONNX Runtime", "simulator"): 1, ("RTL", "simulator"): 0}
    assert (f"ONNX Runtime and simulator part at op '{program.ops[-1].name}', tensor '{last}', image 0, channel 0, "
            "pixel (0, 0), plane 0: ") in verify(lambda codes: None)[1]


def test_onnx_runtime_may_be_missing_unless_it_is_asked_for(verify, monkeypatch):
    """Missing, it is skipped and the report says so; asked for, that is an error with advice."""
    advice = "ONNX Runtime is not installed; install it with 'pip install onnxruntime'"
    monkeypatch.setattr("bitwright.interop.onnx_run.find_spec", lambda name: None)
    status, out, _ = verify(lambda codes: None)
    assert (status, f"not compared: {advice}\n" in out) == (0, True)
    status, out, error = verify(lambda codes: None, "--onnxruntime")
    assert (status, out, error) == (1, "", f"bitwright: {advice}\n")


@pytest.mark.parametrize("index", [0, 1])
def test_some_ops_are_compared_on_what_reaches_them(verify, program, index):
    """Engines get the codes that the ops before make of the inputs, and run no other op."""
    seen, op, whole = {}, program.ops[index], simulate(program, random_codes(program, 1, 0))
    status, out, _ = verify(seen.update, "--from", op.name, "--to", op.name, "--json")
    timed = [layer["name"] for layer in json.loads(out)["layers"]]
    assert (status, [one.name for one in program.ops if one.name in timed]) == (0, [op.name])
    assert seen.keys() == {*op.reads, op.output}
    for name, codes in seen.items():
        np.testing.assert_array_equal(codes, whole[name])


def test_an_op_to_begin_with_must_exist(verify, program):
    """A name that the Program does not have is answered with those that it has."""
    status, out, error = verify(lambda codes: None, "--from", "nothing")
    assert (status, out) == (1, "")
    assert error == f"bitwright: no op named 'nothing'; there are {', '.join(op.name for op in program.ops)}\n"


@pytest.mark.parametrize("option", [("--onnxruntime",), ("--from", "a"), ("--to", "a")])
def test_random_programs_run_whole_on_the_rtl_alone(option, capsys):
    """What asks for another engine or for some ops there is misuse."""
    assert main(["verify", "--random-programs", "1", *option]) == 2
    assert f"{option[0]} goes with a Program, not with --random-programs" in capsys.readouterr().err


def test_waveforms_are_announced(tmp_path, capsys):
    """Where they lie is said on stderr, in any language; where they cannot lie, nothing is run and the exit is 1."""
    path, place = tmp_path / "program.safetensors", tmp_path / "Wellenförmig"
    save_program(of_layers(1), path)
    place.mkdir()
    assert main(["verify", str(path), "-m", "tiny", "--waves", str(place / "all.fst")]) == 0
    assert f"wrote the waveforms to {place / 'all.fst'}" in capsys.readouterr().err
    assert (place / "all.fst").stat().st_size > 1000
    assert main(["verify", str(path), "-m", "tiny", "--waves", str(tmp_path / "no" / "all.fst")]) == 1
    assert capsys.readouterr().err.endswith("all.fst: No such file or directory\n")
