"""`import bitwright as bw`: quick to import, complete, and enough for the way from a model to verified hardware."""

import ast
import inspect
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import bitwright as bw
from sim.arch.machine import load_machine

HEAVY = ("amaranth", "cocotb", "cvxpy", "llvmlite", "matplotlib", "numba", "numpy", "onnx", "pydantic", "rich",
         "scipy", "torch", "typer")
IMPERATIVES = {"Choose", "Compare", "Compute", "Count", "Explain", "Give", "Learn", "Make", "Place", "Read", "Return",
               "Tell", "Train", "Write"}


def imported_by(*statements: str) -> list[set[str]]:
    """Return which heavy packages one fresh process has imported after each of some statements."""
    report = f"print(*({set(HEAVY)} & set(sys.modules)))"
    code = "\n".join(["import sys", *(f"{statement}\n{report}" for statement in statements)])
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    return [set(line.split()) for line in done.stdout.splitlines()]


def test_a_name_imports_only_what_it_needs() -> None:
    """The package imports nothing, costs neither torch nor a compiler, values no torch, and networks no hardware."""
    package, program, costs, values, bits, networks, data, everything = imported_by(
        "import bitwright as bw; assert 'plan' in dir(bw); assert not hasattr(bw, 'plans')",
        "bw.Program, bw.Arithmetic, bw.Conv, bw.Tensor, bw.Format, bw.InputError",
        "bw.load_machine, bw.plan, bw.estimate, bw.load_program, bw.save_program",
        "bw.simulate, bw.Simulator", "bw.allocate", "bw.quantize, bw.reconstruct, bw.lower, bw.train",
        "bw.load_data, bw.evaluate", "bw.verify")
    hardware, compilers = {"amaranth", "cocotb"}, {"numba", "llvmlite"}
    assert package == set()
    assert program == {"numpy"}
    assert costs & (hardware | compilers | {"torch", "typer", "rich", "scipy"}) == set()
    assert values & (hardware | {"torch", "typer", "rich"}) == set()
    assert bits & (hardware | {"torch", "typer", "rich"}) == set()
    assert networks & (hardware | {"typer", "rich"}) == set()
    assert data & (hardware | {"typer"}) == set()  # scikit-learn, which has the digits, imports rich
    assert "amaranth" in everything


@pytest.mark.parametrize("name", bw.__all__)
def test_every_name_says_what_it_does(name: str) -> None:
    """It is what its home calls so; a function's docstring starts with a verb, a class's is a sentence or more."""
    value = getattr(bw, name)
    assert value.__name__ == name
    first = str(inspect.getdoc(value)).partition("\n\n")[0]
    assert re.fullmatch(r"[A-Z].*[.:]", first, re.DOTALL), first
    assert inspect.isclass(value) or first.split()[0] in IMPERATIVES, first


def test_the_docstring_lists_every_name() -> None:
    """`help(bitwright)` has a line for each name, and for no other."""
    assert bw.__doc__ is not None
    lines = re.findall(r"^    ([\w, ]+) : ", bw.__doc__, re.MULTILINE)
    assert sorted(name for line in lines for name in line.split(", ")) == sorted(bw.__all__)


def test_type_checkers_see_the_same_names() -> None:
    """The imports that only type checkers follow lead to the homes that names are imported from when they are used."""
    tree = ast.parse(Path(str(bw.__file__)).read_text())
    typed = {alias.name: node.module for block in tree.body if isinstance(block, ast.If)
             for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    (table,) = (node.value for node in tree.body if isinstance(node, ast.Assign)
                and ast.unparse(node.targets[0]) == "_HOMES")
    assert typed == ast.literal_eval(table)
    assert sorted(typed) == sorted(bw.__all__) == bw.__all__


def test_an_unknown_name_is_an_attribute_error() -> None:
    """As with any module."""
    with pytest.raises(AttributeError, match=r"^module 'bitwright' has no attribute 'quantise'$"):
        _ = bw.quantise  # type: ignore[attr-defined]


class Small(nn.Module):
    """Two convolutions and a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.body = nn.Sequential(nn.Conv2d(4, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.head = nn.Linear(8 * 4 * 4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(self.stem(x)).flatten(1))


@pytest.fixture(scope="module")
def codes() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 16, (32, 1, 8, 8))


@pytest.fixture(scope="module")
def images(codes: np.ndarray) -> torch.Tensor:
    return torch.tensor(codes, dtype=torch.float32) / 16


def program_of(images: torch.Tensor, machine: str) -> bw.Program:
    torch.manual_seed(0)
    model = bw.quantize(Small().eval(), images, scheme="lsq", input_format=bw.Format(4, "unsigned"), input_exponent=-4)
    return bw.lower(model, images[:1], machine)


def test_from_a_model_to_verified_hardware(images: torch.Tensor, codes: np.ndarray, tmp_path: Path) -> None:
    """Quantize, reconstruct, lower, save, load, run, cost, allocate and verify with nothing but the public names."""
    torch.manual_seed(0)
    model = Small().eval()
    quantized = bw.quantize(model, images, scheme="uniform", input_format=bw.Format(4, "unsigned"), input_exponent=-4)
    program = bw.lower(quantized, images[:1], "tiny")
    bw.save_program(program, tmp_path / "small.safetensors")
    program = bw.load_program(tmp_path / "small.safetensors")
    machine = bw.load_machine("tiny")
    assert program.arithmetic == machine.arithmetic

    (source,), (target,) = program.inputs, program.outputs
    inputs = {source.name: codes[:2]}
    np.testing.assert_array_equal(bw.Simulator(program).run(inputs)[target.name],
                                  bw.simulate(program, inputs)[target.name])

    cost = bw.estimate(program, "tiny")
    assert cost == bw.estimate(program, machine, technology=machine.technology)
    assert cost.latency_cycles == bw.plan(program, "tiny").timeline.total

    losses = {"bits": [2, 4], "weight": {conv.name: [1.0, 0.1] for conv in program.convs},
              "activation": {conv.input: [1.0, 0.1] for conv in program.convs if conv.input != source.name}}
    found = bw.allocate(program, "tiny", losses, {"mean_weight_bits": 3})
    assert found.used["mean_weight_bits"] <= 3
    assert {bits for bits, _ in found.bits.values()} == {2, 4}

    verification = bw.verify(program, "tiny", inputs, rtl_images=1)
    assert verification
    assert verification.ok
    assert verification.predicted["total"] == cost.latency_cycles
    assert len(verification.counted) == 1


def test_a_verification_that_finds_a_difference_is_false(
        images: torch.Tensor, codes: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a condition it stands for equality, not for having been made."""
    program = program_of(images, "tiny")

    def wrong(program: bw.Program, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        values = bw.simulate(program, inputs)
        values[program.outputs[0].name][0, 0] ^= 1
        return values

    monkeypatch.setattr("bitwright.codesign.verify.run_reference", wrong)
    verification = bw.verify(program, "tiny", {program.inputs[0].name: codes[:1]})
    assert not verification
    assert verification.mismatches == 1


def test_the_program_gets_the_arithmetic_of_the_machine(images: torch.Tensor) -> None:
    """A machine by name or by file, and the Program that fits it exactly."""
    for name in ("tiny", "edge"):
        assert program_of(images, name).arithmetic == load_machine(name).arithmetic


WRONG: list[tuple[str, str, Callable[[bw.Program, dict[str, np.ndarray]], object]]] = [
    ("no machine of this name", r"no machine 'huge': give one of edge, large, tiny or a YAML file",
     lambda program, inputs: bw.plan(program, "huge")),
    ("no machine at all", r"a machine must be a Machine, a name or a path, not int",
     lambda program, inputs: bw.estimate(program, 3)),  # type: ignore[arg-type]
    ("no technology at all", r"a technology must be a Technology, a name or a path, not float",
     lambda program, inputs: bw.estimate(program, "tiny", technology=4.5)),  # type: ignore[arg-type]
    ("a path to plan", r"a program must be a Program, not str; load_program reads one",
     lambda program, inputs: bw.plan("small.safetensors", "tiny")),  # type: ignore[arg-type]
    ("a path to allocate for", r"a program must be a Program, not str; load_program reads one",
     lambda program, inputs: bw.allocate("small.safetensors", "tiny", {}, {})),  # type: ignore[arg-type]
    ("a budget of nothing", r"a budget must be one of latency_cycles, .*, not 'cycles'",
     lambda program, inputs: bw.allocate(program, "tiny", {
         "bits": [4], "weight": {conv.name: [0.0] for conv in program.convs},
         "activation": {conv.input: [0.0] for conv in program.convs if conv.input not in inputs}}, {"cycles": 1.0})),
    ("no losses", r"sensitivities: weight: Field required",
     lambda program, inputs: bw.allocate(program, "tiny", {"bits": [2]}, {"bops": 1e9})),
    ("losses of nothing", r"sensitivities: Input should be a valid dictionary or instance of Losses, not nothing",
     lambda program, inputs: bw.allocate(program, "tiny", None, {"bops": 1e9})),  # type: ignore[arg-type]
    ("no input", r"inputs must be 'x', not none",
     lambda program, inputs: bw.verify(program, "tiny", {})),
    ("no image", r"there must be at least one image, not 0",
     lambda program, inputs: bw.verify(program, "tiny", {name: codes[:0] for name, codes in inputs.items()})),
    ("more images than there are", r"images that run on the RTL must be 1\.\.32, not 33",
     lambda program, inputs: bw.verify(program, "tiny", inputs, rtl_images=33)),
    ("no process", r"jobs must be at least 1, not 0",
     lambda program, inputs: bw.verify(program, "tiny", inputs, jobs=0)),
    ("no such simulator", r"simulator must be icarus, verilator or lean, not spice",
     lambda program, inputs: bw.verify(program, "tiny", inputs, simulator="spice")),
]


@pytest.mark.parametrize(("message", "call"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_wrong_input_is_one_sentence(images: torch.Tensor, codes: np.ndarray, message: str,
                                     call: Callable[[bw.Program, dict[str, np.ndarray]], object]) -> None:
    """What was given, and what could be."""
    program = program_of(images, "tiny")
    with pytest.raises(bw.InputError, match=f"^{message}$"):
        call(program, {program.inputs[0].name: codes})


def test_a_missing_simulator_is_named_before_any_work(
        images: torch.Tensor, codes: np.ndarray, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without a simulator of the RTL there is nothing to compare with: the message says what to install."""
    program = program_of(images, "tiny")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setattr("bitwright.codesign.verify.run_reference", None)
    with pytest.raises(bw.InputError, match=r"^Icarus Verilog \(iverilog\) was not found; install it with 'apt-get "
                                            r"install iverilog'.*$"):
        bw.verify(program, "tiny", {program.inputs[0].name: codes[:1]})
