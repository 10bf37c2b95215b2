"""The command line as a user meets it: what is printed where, and with which exit status."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from typer.main import get_command

from bitwright.cli.app import app, main
from quant.bits.budgets import BUDGETS, stored_input
from sim.arch.machine import load_machine
from sim.energy.technology import load_technology
from sim.functional.kernels.isa import available
from sim.functional.kernels.kernel_cache import kernel_ids
from sim.functional.reference import simulate
from sim.ir.program import Program
from sim.ir.serialize import save_program
from sim.plan.plan import plan
from sim.testing import random_program

Run = Callable[..., tuple[int, str, str]]
TINY = load_machine("tiny")


@pytest.fixture(scope="module")
def program() -> Program:
    """A random Program that `tiny` holds."""
    return random_program(np.random.default_rng(11), TINY, layers=3, traits=("residual", "bipolar"))


@pytest.fixture
def path(program: Program, tmp_path: Path) -> Path:
    save_program(program, tmp_path / "p.safetensors")
    return tmp_path / "p.safetensors"


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    """Run a command; exit status, stdout and stderr. No exception may come out."""
    def run(*arguments: object) -> tuple[int, str, str]:
        status = main([str(argument) for argument in arguments])
        out, error = capfd.readouterr()
        assert "Traceback" not in out + error
        return status, out, error
    return run


def data_of(result: tuple[int, str, str]) -> dict:
    assert result[0] == 0, result
    return json.loads(result[1])


def test_simulate_writes_the_codes_of_every_tensor(run: Run, path: Path, program: Program, tmp_path: Path) -> None:
    """Given codes in a file, the archive written holds what the reference returns; JSON names every tensor."""
    inputs = {t.name: np.full((2, *t.shape), t.format.high) for t in program.inputs}
    np.savez(tmp_path / "in.npz", **inputs)
    data = data_of(run("simulate", path, "-i", tmp_path / "in.npz", "-o", tmp_path / "out.npz", "--json"))
    assert data["images"] == 2
    assert [row["tensor"] for row in data["tensors"]] == [t.name for t in program.tensors]
    expected = simulate(program, inputs)
    with np.load(tmp_path / "out.npz") as written:
        for name, codes in expected.items():
            np.testing.assert_array_equal(written[name], codes)


def test_simulate_shares_images_and_shows_bits(run: Run, path: Path, program: Program) -> None:
    """Threads change no code; a trace has shares of ones and changes for every bit of every tensor."""
    one, two = (data_of(run("simulate", path, "-n", "5", "--threads", threads, "--trace", "--json"))
                for threads in ("1", "2"))
    assert one["tensors"] == two["tensors"]
    for tensor, row in zip(program.tensors, one["tensors"], strict=True):
        assert len(row["ones"]) == len(row["toggles"]) == tensor.format.bits
        assert all(0 <= share <= 1 for share in row["ones"] + row["toggles"])


@pytest.mark.nightly
def test_warmup_compiles_once(run: Run) -> None:
    """Afterwards every kernel of this CPU is there, and nothing is compiled a second time."""
    first = data_of(run("warmup", "--json"))
    second = data_of(run("warmup", "--json"))
    assert first["isa"] == second["isa"] == available()[-1]
    assert {row["kernel"] for row in second["kernels"]} == set(map(str, kernel_ids(available()[-1])))
    assert not any(row["compiled"] for row in second["kernels"])


def test_an_unknown_rung_is_one_sentence(run: Run, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """BITWRIGHT_ISA of a CPU that is not there: status 1, and what there is."""
    monkeypatch.setenv("BITWRIGHT_ISA", "neon")
    status, _, error = run("simulate", path)
    assert status == 1
    assert error == f"bitwright: BITWRIGHT_ISA must be one of {', '.join(available())} on this CPU, not 'neon'\n"


def test_estimate_gives_the_cycles_of_the_timeline(run: Run, path: Path, program: Program) -> None:
    """Layers add up to the whole; energies come with a band and in order."""
    data = data_of(run("estimate", path, "-m", "tiny", "--json"))
    line = plan(program, TINY).timeline
    assert data["latency_cycles"] == line.total == sum(layer["latency_cycles"] for layer in data["layers"])
    assert 0 < data["energy"]["low_pj"] < data["energy"]["nominal_pj"] < data["energy"]["high_pj"]


def test_estimate_makes_programs_of_networks_by_name(run: Run) -> None:
    """A name and bits are enough; several choices are put in order, and each costs what it costs alone."""
    alone = data_of(run("estimate", "resnet8", "-b", "4/8", "--json"))
    both = data_of(run("estimate", "resnet8", "-b", "4/8", "-b", "2", "--json"))
    assert alone["bits"] == "4/8"
    assert list(both["choices"]) == ["4/8", "2/2"]
    assert both["choices"]["4/8"]["energy"] == alone["energy"]
    assert both["energy_order"] == {"names": ["2/2", "4/8"], "uncertain": []}
    assert alone["figures"]["fps"] == pytest.approx(500e6 / alone["latency_cycles"])
    strict = data_of(run("estimate", "resnet8", "-b", "2", "--digits", "1", "--first-last-bits", "4", "--json"))
    assert strict["latency_cycles"] < both["choices"]["2/2"]["latency_cycles"]


def test_area_adds_up_and_lists_every_memory(run: Run) -> None:
    """Blocks and memories make the total, in mm2 and gates; a technology without areas is refused in a sentence."""
    data = data_of(run("area", "tiny", "--json"))
    assert sum(part["nominal"] for part in data["by_part_mm2"].values()) == pytest.approx(
        data["total_mm2"]["nominal"])
    assert data["gate_equivalents"]["nominal"] == pytest.approx(data["total_mm2"]["nominal"] * 1e6 / 0.798)
    assert data["memories"]["activations"]["words"] == 256
    out = run("area", "tiny")[1]
    assert all(name in out for name in data["by_part_mm2"])


def test_an_estimate_takes_the_data_of_a_trace(run: Run, tmp_path: Path) -> None:
    """What `simulate --trace --json` prints changes energies and nothing else; another file is refused."""
    path = tmp_path / "p.safetensors"
    save_program(random_program(np.random.default_rng(17), TINY, layers=3, traits=("residual",)), path)
    (tmp_path / "trace.json").write_text(run("simulate", path, "--trace", "--json")[1])
    plain = data_of(run("estimate", path, "-m", "tiny", "--json"))
    traced = data_of(run("estimate", path, "-m", "tiny", "--trace", tmp_path / "trace.json", "--json"))
    assert traced["events"] == plain["events"]
    energy = traced["energy"]["nominal_pj"]
    assert energy != plain["energy"]["nominal_pj"]
    assert plain["over_data"]["low_pj"] < energy < plain["over_data"]["high_pj"]
    (tmp_path / "trace.json").write_text('{"tensors": [{"tensor": "x"}]}')
    assert run("estimate", path, "-m", "tiny", "--trace", tmp_path / "trace.json")[::2] == (
        1, f"bitwright: trace '{tmp_path}/trace.json': tensors.0.ones: Field required\n")


def test_estimate_says_that_gates_are_too_slow(run: Run) -> None:
    """A machine whose clock the technology does not reach gets one sentence; a slower machine none."""
    _, out, _ = run("estimate", "resnet8", "--technology", "sky130")
    assert "allows 74.68 MHz: times, rates and powers are those at 500 MHz" in " ".join(out.split())
    _, out, _ = run("estimate", "resnet8", "-m", "tiny", "--technology", "asap7")
    assert "allows" not in out


def test_area_needs_a_technology_with_areas(run: Run, tmp_path: Path) -> None:
    """Energies alone have no area."""
    data = load_technology("generic45").model_dump(mode="json", exclude_unset=True)
    (tmp_path / "t.yaml").write_text(yaml.safe_dump({k: v for k, v in data.items() if k not in ("ART", "leakage")}))
    assert run("area", "tiny", "--technology", tmp_path / "t.yaml")[::2] == (
        1, "bitwright: technology 'generic45' has no areas; an ART would hold them\n")


def test_estimate_reads_shapes_and_draws(run: Run, tmp_path: Path) -> None:
    """A file of shapes is a network like those by name; the figure names every layer and is the same every time."""
    shapes, figure = tmp_path / "n.yaml", tmp_path / "n.svg"
    shapes.write_text("{name: n, inputs: {x: {channels: 8, height: 6, width: 6, bits: 8}}, "
                      "layers: [{name: first, channels: 8}, {name: fc, channels: 4}]}")
    assert run("estimate", shapes, "--plot", figure)[0] == 0
    drawn = figure.read_text()
    assert all(f">{name}<" in drawn for name in ("load x", "first", "fc", "store fc", "host memory"))
    assert run("estimate", shapes, "--plot", figure)[0] == 0
    assert figure.read_text() == drawn


def test_estimate_says_what_its_prices_are_and_writes_them_for_accelergy(run: Run, tmp_path: Path) -> None:
    """Node, voltage and how many prices are inferred; energies times counts are the total."""
    data = data_of(run("estimate", "resnet8", "-b", "4", "--accelergy", tmp_path / "new" / "a", "--json"))
    assert data["prices"] == {"technology": "generic45", "node_nm": 45.0, "voltage_v": 0.9,
                              "bases": {"inferred": 37, "published": 2}, "highest_clock_mhz": None}
    ert, counts = (yaml.safe_load((tmp_path / "new" / "a" / name).read_text())
                   for name in ("ERT.yaml", "action_counts.yaml"))
    energies = {action["name"]: action["energy"] for table in ert["ERT"]["tables"] for action in table["actions"]}
    total = sum(energies[action["name"]] * action["counts"] for part in counts["action_counts"]["local"]
                for action in part["action_counts"])
    assert total == pytest.approx(data["energy"]["nominal_pj"])


@pytest.mark.parametrize(("options", "text"), [
    (["resnet8", "-b", "2", "-b", "3", "--accelergy", "a"],
     "tables for Accelergy are of one choice of bits, not of 2/2, 3/3"),
    (["resnet8", "--image", "3x9x9"], "the shape of an image is for models, *.onnx and *.pt2, not for 'resnet8'"),
    (["n.onnx", "--image", "3,9,9"],
     "the shape of an image is CHANNELSxHEIGHTxWIDTH, such as 3x224x224, not '3,9,9'"),
    (["resnet8", "-b", "9"], "bits must be in 1..8, not 9"),
    (["resnet8", "-b", "4", "-b", "4/4"], "bits must be given once each, not 4/4, 4/4"),
    (["resnet8", "-b", "4x4"], "bits are WEIGHTS/ACTIVATIONS, such as 4/4, not '4x4/4x4'"),
    (["resnet8", "-m", "tiny", "--digits", "4"], "digits must be in 1..3, as machine 'tiny' has, not 4"),
    (["resnet8", "--plot", "n.txt"], "a figure is *.svg, *.png, *.pdf, not 'n.txt'"),
    (["PROGRAM", "-b", "4"], "what is quantized has bits and digits of its own, so that none can be chosen"),
])
def test_estimate_refuses_what_it_cannot_choose(run: Run, path: Path, options: list[str], text: str) -> None:
    """One sentence says what is wrong, the limit and what came."""
    words = [str(path.rename(path.with_suffix(".safetensors"))) if word == "PROGRAM" else word for word in options]
    assert run("estimate", *words)[::2] == (1, f"bitwright: {text}\n")


@pytest.mark.parametrize("method", ["lp", "milp", "convex", "greedy"])
def test_allocate_keeps_every_kind_of_budget(run: Run, tmp_path: Path, method: str) -> None:
    """All budgets at once: each is listed within its limit, and loss, bound and gap fit together."""
    program, path = random_program(np.random.default_rng(17), TINY, layers=3, traits=("residual",)), tmp_path / "p"
    save_program(program, path)
    bits = list(range(1, 9))
    losses = {"bits": bits, "weight": {conv.name: [4.0**-b for b in bits] for conv in program.convs
                                       if conv.weight_format.kind != "unit"},
              "activation": {tensor: [4.0**-b for b in bits]
                             for tensor in {stored_input(program, conv) for conv in program.convs}
                             - {tensor.name for tensor in program.inputs}}}
    (tmp_path / "losses.json").write_text(json.dumps(losses))
    limits = {"latency_cycles": 1e7, "energy_pj": 1e9, "weight_bytes": 1e6, "peak_activation_bytes": 1e6, "bops": 1e9,
              "mean_weight_bits": 3.5, "mean_activation_bits": 4.5, "latency_ms": 1e3, "fps": 1e-3, "energy_mj": 1e3,
              "power_mw": 1e5, "edp_mj_ms": 1e5}
    assert set(limits) == set(BUDGETS)
    budgets = [text for name, limit in limits.items() for text in ("-b", f"{name}={limit}")]
    found = data_of(run("allocate", path, "-s", tmp_path / "losses.json", "-m", "tiny", *budgets, "--method", method,
                        "--json"))
    assert found["limits"] == limits
    assert all(found["used"][name] <= limit for name, limit in limits.items() if name != "fps")
    assert found["used"]["fps"] >= limits["fps"]
    assert 2 < found["used"]["mean_weight_bits"]
    assert 3 < found["used"]["mean_activation_bits"]
    assert found["gap"] == found["objective"] - found["lower_bound"] >= 0


def test_allocate_keeps_pins_and_writes_the_bits(run: Run, tmp_path: Path) -> None:
    """Pinned layers have their widths in the file; a budget that they cannot keep names what they can."""
    program, path = random_program(np.random.default_rng(17), TINY, layers=3, traits=("residual",)), tmp_path / "p"
    save_program(program, path)
    bits = sorted({2, 8, *(tensor.format.bits for tensor in program.inputs)})
    loss = [1.0 / width for width in bits]
    losses = {"bits": bits, "weight": {conv.name: loss for conv in program.convs if conv.weight_format.kind != "unit"},
              "activation": {tensor: loss for tensor in {stored_input(program, conv) for conv in program.convs}
                             - {tensor.name for tensor in program.inputs}}}
    (tmp_path / "losses.json").write_text(json.dumps(losses))
    first = next(conv for conv in program.convs if conv.weight_format.kind != "unit")
    words = ("allocate", path, "-s", tmp_path / "losses.json", "-m", "tiny", "--out", tmp_path / "bits.json")
    run(*words, "-b", "weight_bytes=100000", "--pin", f"{first.name}=2/*", "--digits", 1)
    written = json.loads((tmp_path / "bits.json").read_text())
    assert written["bits"][first.name][0] == 2
    assert max(w for w, _ in written["bits"].values()) == 8
    assert run(*words, "-b", "mean_weight_bits=7", "--pin", "*=8/*") == (
        1, "", "bitwright: budget mean_weight_bits: 7 cannot be met; the smallest achievable is 8\n")


def test_verify_finds_equal_bits_and_cycles_in_four_engines(run: Run, path: Path, program: Program) -> None:
    """Exit 0, no mismatch, predicted and counted cycles equal for every op."""
    data = data_of(run("verify", path, "-m", "tiny", "-n", 2, "--json"))
    assert data["ok"]
    assert data["mismatches"] == 0
    assert data["tensors_compared"] == 3 * len(program.tensors)
    assert [engines["engines"][0] for engines in data["comparisons"]] == ["torch", "ONNX Runtime", "RTL"]
    assert data["skipped"] is None
    assert [x["counted"] for x in data["layers"]] == list(plan(program, TINY).timeline.ends)


def test_verify_reports_the_first_difference_and_exits_1(
    run: Run, path: Path, program: Program, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An engine that is wrong in one code makes the command fail and name the place."""
    target = program.ops[0].output

    def wrong(program: Program, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        codes = simulate(program, inputs)
        codes[target][0, 0, 0, 0] ^= 1
        return codes

    monkeypatch.setattr("bitwright.codesign.verify.run_reference", wrong)
    status, out, _ = run("verify", path, "-m", "tiny")
    assert status == 1
    assert f"torch and simulator part at op '{program.ops[0].name}', tensor '{target}', image 0" in out
    assert out.endswith("NOT EQUAL\n")


def test_generate_writes_every_file_it_names(run: Run, tmp_path: Path) -> None:
    """The Verilog, its memory model, a file list and the parameters."""
    data = data_of(run("generate", "-m", "tiny", "-o", tmp_path / "v", "--json"))
    assert {Path(name).name for name in data["files"]} == {f.name for f in (tmp_path / "v").iterdir()}
    assert "module bitwright" in (tmp_path / "v" / "bitwright.sv").read_text()


MISUSE = [
    (), ("bogus",), ("simulate",), ("generate",), ("verify",), ("verify", "p", "--random-programs", "1"),
    ("estimate", "p", "--color"), ("allocate", "p", "-s", "s", "-b", "energy_pj=1", "--method", "guess"),
    *(("simulate", "p", "-n", word) for word in ("0", "-1", "1.5", "1e3", "1_0", "٣", "", "1000000001", "9" * 5000)),
    *(("simulate", "p", "--seed", word) for word in ("-1", str(2**32), str(2**70), "0x1", " 1")),
    ("simulate", "p", "-t", "1025"), ("quantize", "digits", "w", "-o", "x", "--iterations", "-1"),
    *(("train", "digits", "-o", "x", *words) for words in (
        ("--epochs", "0"), ("--batch", "0"), ("--lr", "-1"), ("--lr", "nan"), ("--lr", "1e999"), ("--lr", "1_0"),
        ("--kd-weight", "1.1"), ("--quantizer-lr-mult", "inf"), ("--first-last-bits", "9"),
        ("--first-last-bits", "0"))),
    *((*words, path) for path in ("", "a\0b") for words in (
        ("simulate", "p", "-o"), ("simulate", "p", "-i"), ("simulate",), ("demo", "-o"), ("generate", "-o"),
        ("assemble", "p", "-o"), ("train", "digits", "-o"), ("quantize", "digits", "w", "-o"), ("disassemble",),
        ("verify", "p", "--waves"), ("verify", "--random-programs", "1", "--failures-dir"),
        ("allocate", "p", "-b", "energy_pj=1", "-s"))),
]


@pytest.mark.parametrize("arguments", MISUSE, ids=range(len(MISUSE)))
def test_a_command_line_that_makes_no_sense_exits_2(run: Run, arguments: tuple[str, ...]) -> None:
    """Unknown commands and options, missing arguments and values out of range are explained on stderr."""
    status, out, error = run(*arguments)
    assert status == 2
    assert error if arguments else out


@pytest.mark.parametrize("words", [("train", "digits", "-o", "x"), ("quantize", "digits", "w", "-o", "x")])
def test_learning_rates_are_above_0(run: Run, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]) -> None:
    """The help says so, and 0 is refused with both limits."""
    monkeypatch.setenv("COLUMNS", "200")
    assert re.search("learning rate.*above 0", run(words[0], "--help")[1], re.IGNORECASE)
    status, _, error = run(*words, "--lr", "0")
    assert status == 2
    assert "Invalid value for '--lr' / '--rate': must be a number above 0 and at most 1e+06, not '0'" in error


COMMANDS = ["demo", "train", "quantize", "simulate", "warmup", "verify", "explain", "estimate", "compare", "report",
            "area", "sensitivities", "allocate", "explore", "calibrate", "generate", "assemble", "disassemble", "show",
            "diff", "batch", "export", "vectors", "doctor", "import"]


def test_help_lists_the_commands(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each command has its file and its line, and none has two names."""
    monkeypatch.setenv("COLUMNS", "200")
    status, out, _ = run("--help")
    assert status == 0
    assert re.findall(r"^\W*([a-z]+)  +[A-Z]", out.partition("Commands")[2], re.MULTILINE) == COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_and_json(run: Run, command: str) -> None:
    """--help exits 0 and lists --json."""
    status, out, _ = run(command, "--help")
    assert status == 0
    assert "--json" in out


FORMER_NAMES = {
    ("train", "lr"): ("--lr", "--rate"), ("train", "quantizer_lr_mult"): ("--quantizer-lr-mult", "--interval-rate"),
    ("train", "kd_weight"): ("--kd-weight", "--distillation"), ("train", "bf16"): ("--bf16", "--half"),
    ("quantize", "lr"): ("--lr", "--rate"), ("verify", "random_programs"): ("--random-programs", "--random"),
    ("verify", "failures_dir"): ("--failures-dir", "--keep")}


@pytest.mark.parametrize(("command", "parameter"), FORMER_NAMES)
def test_former_names_of_options_are_further_names(command: str, parameter: str) -> None:
    """Scripts that were written for them go on running: each sets the same parameter as the name of today."""
    group = get_command(app)
    options = {option.name: option for option in group.commands[command].params}
    assert tuple(options[parameter].opts) == FORMER_NAMES[command, parameter]
    assert [option.name for option in options.values() if {*FORMER_NAMES[command, parameter]} & {*option.opts}] == [
        parameter]


def test_disasm_is_disassemble(run: Run) -> None:
    """The former name of the command goes on working, and is not listed."""
    former, today = (run(name, "--help")[1].partition("[OPTIONS]")[2].split() for name in ("disasm", "disassemble"))
    assert former == today != []
    assert get_command(app).commands["disasm"].hidden


HEAVY = {"amaranth", "cocotb", "cvxpy", "llvmlite", "matplotlib", "numba", "scipy", "sklearn", "torch"}


@pytest.mark.parametrize(("arguments", "missing"), [
    (["--help"], HEAVY | {"numpy"}), (["train", "--help"], HEAVY | {"numpy"}),
    (["estimate", "PROGRAM", "--json"], HEAVY)])
def test_help_and_estimates_wait_for_no_heavy_package(path: Path, arguments: list[str], missing: set[str]) -> None:
    """In a fresh process, help imports no arrays, and an estimate neither torch nor a compiler nor the hardware."""
    words = [str(path) if word == "PROGRAM" else word for word in arguments]
    code = ("import sys; from bitwright.cli.app import main; status = main(sys.argv[1:]); "
            "print(*sys.modules, file=sys.stderr); sys.exit(status)")
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout
    assert set(done.stderr.split()) & missing == set()


def test_bad_input_is_one_sentence_and_exit_1(run: Run, path: Path, tmp_path: Path) -> None:
    """A truncated Program, an unknown machine, a code out of range: what, the limit, and what came; no output."""
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(path.read_bytes()[:200])
    np.savez(tmp_path / "big.npz", wrong=np.zeros((1, 1, 1, 1), np.int8))
    for arguments, expected in (
        (("estimate", broken), f"bitwright: program {broken}: "),
        (("estimate", tmp_path / "none.safetensors"), f"bitwright: no program '{tmp_path}/none.safetensors'"),
        (("estimate", path, "-m", "huge"), "bitwright: no machine 'huge': give one of edge, large, tiny or a "),
        (("simulate", path, "-i", tmp_path / "none.npz"), f"bitwright: no input codes '{tmp_path}/none.npz'"),
        (("simulate", path, "-i", tmp_path / "big.npz"), f"bitwright: cannot read input codes '{tmp_path}/big.npz': "),
        (("simulate", path, "-o", tmp_path / "no" / "out.npz"), "bitwright: "),
        (("generate", "-m", "tiny", "-o", path), "bitwright: "),
        (("demo", "-o", path), f"bitwright: cannot create the folder {path}: "),
        (("allocate", path, "-s", tmp_path, "-b", "energy_pj=1"), "bitwright: cannot read sensitivities "),
    ):
        status, out, error = run(*arguments)
        assert (status, out) == (1, ""), arguments
        assert error.startswith(expected)
        assert error.count("\n") == 1


@pytest.mark.parametrize("link", [None, Path.symlink_to, Path.hardlink_to])
@pytest.mark.parametrize(("name", "command"), [
    ("p.safetensors", ("simulate", "{}", "-o", "{}")), ("p.safetensors", ("verify", "{}", "--waves", "{}")),
    ("in.npz", ("simulate", "p.safetensors", "-i", "{}", "-o", "{}")),
    ("m.yaml", ("verify", "p.safetensors", "-m", "{}", "--waves", "{}")),
    ("program.bin", ("assemble", "{}", "-o", ".")), ("model.safetensors", ("quantize", "resnet8", "{}", "-o", ".")),
    ("program.safetensors", ("train", "resnet8", "-o", ".", "--weights", "{}")),
    ("summary.json", ("train", "resnet8", "-o", ".", "-m", "{}")),
    ("in.npz", ("sensitivities", "resnet8", "w", "-d", "{}", "-o", "{}"))])
def test_no_command_writes_over_what_it_reads(run: Run, path: Path, monkeypatch: pytest.MonkeyPatch, name: str,
                                              command: tuple[str, ...], link: Callable[..., None] | None) -> None:
    """Whichever name or link leads to it: what is read stays as it was, and the message names what would be lost."""
    monkeypatch.chdir(path.parent)
    target, source = Path(name), Path("elsewhere" if link else name)
    if not target.exists():
        target.write_bytes(b"precious")
    before = target.read_bytes()
    if link is not None:
        link(source, target)
    words = [source if word == "{}" and command[at - 1] not in ("-o", "--waves") else
             target if word == "{}" else word for at, word in enumerate(command)]
    text = f"bitwright: '{name}' is read by this command and would be written over: write somewhere else\n"
    assert run(*words) == (1, "", text)
    assert target.read_bytes() == before


@pytest.mark.parametrize(("name", "command"), [
    ("net.py", ("sensitivities", "net.py:Net", "-o", "net.py")),
    ("net.py", ("quantize", "net.py:Net", "-o", "x", "--checkpoint", "net.py")),
    ("data.py", ("sensitivities", "net.py:Net", "-d", "data.py:make", "-o", "data.py")),
    ("d/val.npz", ("sensitivities", "net.py:Net", "-d", "d", "-o", "d/val.npz")),
    ("w", ("quantize", "resnet8", "w", "-o", "x", "--checkpoint", "w"))])
def test_no_command_writes_over_code_or_data(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str,
                                             command: tuple[str, ...]) -> None:
    """The user's own network, data and weights stay as they were, also where a name follows that of the file."""
    monkeypatch.chdir(tmp_path)
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_text("precious")
    text = f"bitwright: '{name}' is read by this command and would be written over: write somewhere else\n"
    assert run(*command) == (1, "", text)
    assert Path(name).read_text() == "precious"


def test_a_missing_simulator_is_named(run: Run, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Icarus Verilog on the path, `verify` says what to install."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(shutil, "which", lambda name: None)
    status, out, error = run("verify", path, "-m", "tiny")
    assert (status, out) == (1, "")
    assert "Icarus Verilog (iverilog) was not found; install it with 'apt-get install iverilog'" in error


def test_verify_names_its_simulator(run: Run, path: Path) -> None:
    """The simulator that was asked for is in the result; waveforms and several processes exclude one another."""
    data = data_of(run("verify", path, "-m", "tiny", "--simulator", "icarus", "--json"))
    assert data["simulator"] == "icarus"
    status, _, error = run("verify", path, "-m", "tiny", "-n", 2, "-j", 2, "--waves", "all.fst")
    assert (status, error.strip().splitlines()[-1]) == (1, "bitwright: waveforms come from one process, not 2")


def test_doctor_lists_the_tools(run: Run) -> None:
    """Exit 0 where the tests run: whatever is needed is there."""
    tools = {finding["tool"] for finding in data_of(run("doctor", "--json"))["findings"]}
    assert tools >= {"Python", "torch", "Icarus Verilog"}


def test_a_huge_machine_is_announced(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before any work on Verilog that takes long, `generate` says so; for a machine of usual size it says nothing."""
    monkeypatch.setattr("rtl.verilog.export.generate", lambda machine, out: ())
    fields = load_machine("large").model_dump(mode="json") | {"columns": 64}
    (tmp_path / "huge.yaml").write_text(json.dumps(fields))
    status, _, error = run("generate", "-m", tmp_path / "huge.yaml", "-o", tmp_path)
    assert status == 0
    assert error == ("machine 'large' has 262,144 one-bit products, 9.1 times those of the largest built-in one: its "
                     "Verilog takes long\n")
    assert run("generate", "-m", "large", "-o", tmp_path)[2] == ""
