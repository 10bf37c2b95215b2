"""Arrays of callers: however they lie in memory, and what is no array of codes."""

from __future__ import annotations

import re
from collections import UserDict
from collections.abc import Callable

import numpy as np
import pytest

from sim.functional.engine.simulator import Simulator
from sim.functional.reference import simulate
from sim.ir.formats import Format
from sim.ir.ops import Conv, Tensor
from sim.ir.program import Program

Engine = Callable[[Program, dict[str, np.ndarray]], dict[str, np.ndarray]]
ENGINES: dict[str, Engine] = {
    "simulate": simulate,
    "Simulator": lambda program, inputs: Simulator(program, capture=["x"]).run(inputs),
}


def lies_otherwise(codes: np.ndarray) -> dict[str, np.ndarray]:
    """The same codes in arrays of all kinds; read only, all of them."""
    wide = np.repeat(codes, 2, axis=3)
    found = {
        "backwards": np.ascontiguousarray(codes[:, ::-1, ::-1, ::-1])[:, ::-1, ::-1, ::-1],
        "steps": wide[..., ::2], "Fortran": np.asfortranarray(codes), "big-endian": codes.astype(">i4"),
        "uint64": codes.astype(np.uint64), "int8": codes.astype(np.int8),
        "uint8 steps": wide.astype(np.uint8)[..., ::2],
        "subclass": codes.view(np.recarray), "unaligned": np.frombuffer(b"\0" + codes.tobytes(), np.uint8)[1:]
        .view(codes.dtype).reshape(codes.shape)}
    for array in found.values():
        array.flags.writeable = False
    return found


def one_layer() -> tuple[Program, np.ndarray]:
    rng, fmt = np.random.default_rng(0), Format(4, "unsigned")
    conv = Conv("conv", "x", "y", rng.integers(-4, 4, (5, 3, 3, 3)).astype(np.int8), Format(3, "signed"),
                np.ones((5, 1), np.int8), np.full(5, 3), np.zeros(5, np.int64), 0, 15, pads=(1, 1, 1, 1))
    program = Program((Tensor("x", 4, 6, (3,), fmt), Tensor("y", 4, 6, (5,), fmt)), (conv,))
    return program, rng.integers(0, 16, (2, 3, 4, 6))


@pytest.mark.parametrize("engine", ENGINES.values(), ids=ENGINES)
def test_codes_may_lie_anyhow(engine: Engine) -> None:
    """Strides, orders, widths, ends and subclasses of an array change nothing; what comes back is a plain int32 one."""
    program, codes = one_layer()
    right = simulate(program, {"x": codes})
    for kind, array in lies_otherwise(codes).items():
        for name, found in engine(program, {"x": array}).items():
            assert (type(found), found.dtype) == (np.ndarray, np.int32)
            np.testing.assert_array_equal(found, right[name], kind)


@pytest.mark.parametrize("engine", ENGINES.values(), ids=ENGINES)
@pytest.mark.parametrize(("inputs", "text"), [
    (lambda x: {"x": x.tolist()}, "input 'x' must be an integer array, not list"),
    (lambda x: {"x": None}, "input 'x' must be an integer array, not NoneType"),
    (lambda x: {"x": memoryview(x)}, "input 'x' must be an integer array, not memoryview"),
    (lambda x: {"x": x > 3}, "input 'x': codes must be integers, not bool"),
    (lambda x: {"x": x.astype(object)}, "input 'x': codes must be integers, not object"),
    (lambda x: {"x": x.astype(np.float16)}, "input 'x': codes must be integers, not float16"),
    (lambda x: {"x": x.astype("m8[s]")}, "input 'x': codes must be integers, not timedelta64[s]"),
    (lambda x: x, "inputs must be a mapping of names to integer arrays, not ndarray"),
    (lambda x: None, "inputs must be a mapping of names to integer arrays, not NoneType"),
], ids=["list", "None", "buffer", "bool", "object", "float16", "timedelta", "array", "nothing"])
def test_what_is_no_array_of_integers_is_refused(engine: Engine, inputs: Callable[[np.ndarray], object],
                                                 text: str) -> None:
    """The type that came is named, and nothing is rounded or guessed."""
    program, codes = one_layer()
    with pytest.raises(TypeError, match=f"^{re.escape(text)}$"):
        engine(program, inputs(codes))


@pytest.mark.parametrize("engine", ENGINES.values(), ids=ENGINES)
def test_inputs_are_read_once(engine: Engine) -> None:
    """What a mapping gives is checked and run on: that it would give another array the next time does not matter."""
    program, codes = one_layer()

    class Changing(UserDict[str, np.ndarray]):
        def __getitem__(self, name: str) -> np.ndarray:
            array = super().__getitem__(name)
            self.data[name] = array[:0, :, :1]
            return array

    found = engine(program, Changing(x=codes))["y"]
    np.testing.assert_array_equal(found, simulate(program, {"x": codes})["y"])


@pytest.mark.parametrize("engine", ENGINES.values(), ids=ENGINES)
def test_results_belong_to_the_caller(engine: Engine) -> None:
    """Results can be written to, and writing changes neither the inputs nor later results."""
    program, codes = one_layer()
    given = codes.astype(np.uint8)
    first = engine(program, {"x": given})
    for array in first.values():
        array[:] = -1
    np.testing.assert_array_equal(given, codes)
    np.testing.assert_array_equal(engine(program, {"x": given})["y"], simulate(program, {"x": codes})["y"])
