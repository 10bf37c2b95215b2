"""From a Program, its cost table and losses to an allocation problem."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from bitwright.budgets import Losses, load_losses, parse_budgets, problem_of
from sim.cost_table import CostTable
from sim.digits import no_digits
from sim.errors import InputError
from sim.formats import Format
from sim.program import Conv, Program, Tensor

BITS = (2, 3, 4)


def conv(name: str, source: str, target: str, residual: str | None = None) -> Conv:
    return Conv(name, source, target, np.zeros((2, 2, 1, 1), np.int8), Format(2, "signed"), no_digits(2),
                np.zeros(2, np.int64), np.zeros(2, np.int64), 0, 3, residual=residual,
                residual_multiplier=no_digits(2) if residual else np.zeros((0, 0), np.int8))


def network() -> Program:
    """x -> a; a -> b and a -> c; b + c -> y."""
    tensors = tuple(Tensor(name, 2, 2, (2,), Format(3 if name == "x" else 2, "unsigned")) for name in "xabcy")
    return Program(tensors, (conv("first", "x", "a"), conv("left", "a", "b"), conv("right", "a", "c"),
                             conv("last", "b", "y", residual="c")), acc_bits=16, window=8)


def table(program: Program) -> CostTable:
    shape = (len(program.convs), 3, 3)
    cycles = np.arange(np.prod(shape)).reshape(shape)
    return CostTable(tuple(c.name for c in program.convs), BITS, BITS, cycles, cycles * 2.0, cycles, 7, 3.0)


LOSSES = Losses(bits=list(BITS), weight={n: [3.0, 2.0, 1.0] for n in ("first", "left", "right", "last")},
                activation={n: [0.3, 0.2, 0.1] for n in ("left", "last")})


def test_readers_of_one_tensor_are_tied_and_inputs_keep_their_bits() -> None:
    """`left` and `right` read `a`; `first` reads the input of 3 bits; fixed layers come off the limit."""
    program = network()
    problem = problem_of(program, table(program), LOSSES, {"latency_cycles": 100, "energy_pj": 50})
    assert problem.ties == ((1, 2),)
    assert dict(problem.fixed_activations) == {0: 3}
    assert dict(problem.limits) == {"latency_cycles": 93, "energy_pj": 47.0}
    np.testing.assert_array_equal(problem.costs["energy_pj"], table(program).energy_pj)
    assert problem.activation_loss[:, 0].tolist() == [0.0, 0.3, 0.0, 0.3]


def test_losses_must_cover_the_widths_and_the_layers() -> None:
    """Other widths, a missing layer and a short row are each refused with what is missing."""
    program = network()
    for losses, message in (
        (LOSSES.model_copy(update={"bits": [2, 3]}), "sensitivities must be given for [2, 3, 4] bits, not [2, 3]"),
        (LOSSES.model_copy(update={"weight": {}}), "sensitivities: weight losses of layer 'first' are missing"),
        (LOSSES.model_copy(update={"activation": LOSSES.activation | {"last": [1.0]}}),
         "sensitivities: layer 'last' needs 3 activation losses, not 1"),
    ):
        with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
            problem_of(program, table(program), losses, {"latency_cycles": 1})


@pytest.mark.parametrize(("text", "message"), [
    ("cycles=1", "a budget is NAME=LIMIT with NAME one of latency_cycles, energy_pj, weight_bytes, not 'cycles=1'"),
    ("energy_pj=much", "budget energy_pj: the limit must be a number, not 'much'"),
])
def test_bad_budgets_are_explained(text: str, message: str) -> None:
    """The form, the names there are, and what came."""
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        parse_budgets([text])


@pytest.mark.parametrize("content", ["", "[1]", "{", '{"bits": [2], "weight": {}}', '{"bits": 1}'])
def test_a_bad_sensitivities_file_is_one_sentence(tmp_path: Path, content: str) -> None:
    """Not JSON, not an object, or a field missing: the path and the reason."""
    path = tmp_path / "s.json"
    path.write_text(content)
    with pytest.raises(InputError, match=f"^sensitivities '{re.escape(str(path))}'.*"):
        load_losses(path)


def test_a_sensitivities_file_round_trips(tmp_path: Path) -> None:
    """What is written as JSON is read back equal."""
    path = tmp_path / "s.json"
    path.write_text(json.dumps(LOSSES.model_dump()))
    assert load_losses(path) == LOSSES
