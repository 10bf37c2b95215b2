"""Machines: every rule of the parameters, and the files that come along."""

from collections.abc import Callable

import pytest

from sim.arch.machine import Machine, builtin_machines, load_machine
from sim.arch.ranges import RANGES
from sim.errors import InputError
from sim.io.yaml_model import parse
from sim.ir.arithmetic import Arithmetic

LEGAL = load_machine("tiny").model_dump(mode="json")


def refusal(**fields: object) -> str:
    """The message with which the tiny machine with these changes is refused."""
    text = "\n".join(f"{name}: {value}" for name, value in (LEGAL | fields).items() if value is not None)
    with pytest.raises(InputError) as caught:
        parse(Machine, text, "m")
    return str(caught.value).removeprefix("machine m: ")


@pytest.mark.parametrize("name", builtin_machines())
def test_built_in_machines_load(name: str) -> None:
    """Each comes under its own name and keeps its rules."""
    machine = load_machine(name)
    assert machine.name == name
    assert machine.requant_bits == machine.acc_bits + machine.window + 2


def test_the_arithmetic_of_a_machine_rounds_half_up_if_it_can() -> None:
    """It is the widest that the machine runs; a machine without that rounding gives its first."""
    tiny = load_machine("tiny")
    assert tiny.arithmetic == Arithmetic(acc_bits=24, window=10, terms=3, rounding="half_up")
    assert replaced(tiny, roundings=("floor", "half_up")).arithmetic.rounding == "half_up"
    assert replaced(tiny, roundings=("floor", "half_even")).arithmetic.rounding == "floor"


def replaced(machine: Machine, **parameters: object) -> Machine:
    """Another machine with some parameters of its own."""
    return Machine(**(machine.model_dump() | parameters))


def test_there_are_three_sizes() -> None:
    """For event-driven simulation, for networks at 224 x 224, and beyond."""
    assert builtin_machines() == ("edge", "large", "tiny")


@pytest.mark.parametrize(("fields", "message"), [
    ({"rows": 3}, "rows must be a power of two, not 3"),
    ({"lanes": 12}, "lanes must be a power of two, not 12"),
    ({"region_words": 100}, "region_words must be a power of two, not 100"),
    ({"rows": 16}, "rows must be at most lanes = 8, not 16"),
    ({"requantizers": 3}, "requantizers must divide rows = 4, not be 3"),
    ({"requantizers": 8}, "requantizers must divide rows = 4, not be 8"),
    ({"acc_bits": 32, "window": 20}, "acc_bits + window must be at most 51, not 32 + 20"),
    ({"stream_bits": 24}, "stream_bits must be lanes = 8 times or divided by a power of two, not 24"),
    ({"stream_bits": 3}, "stream_bits must be lanes = 8 times or divided by a power of two, not 3"),
    ({"stream_bits": 32}, "stream_bits must be at most 24, a word for each of min(rows, columns), not 32"),
    ({"lanes": 4, "stream_bits": 4, "table_bits": 1}, "table_bits needs lanes of at least 8, not 4"),
    ({"roundings": []}, "roundings must name at least one mode and each once, not ()"),
    ({"roundings": "[floor, floor]"}, "roundings must name at least one mode and each once, not (floor, floor)"),
    ({"roundings": "[up]"}, "roundings.0: Input should be 'half_up', 'half_even' or 'floor', not 'up'"),
    ({"rows": 0}, "rows: Input should be greater than or equal to 1, not 0"),
    ({"columns": 0}, "columns: Input should be greater than or equal to 1, not 0"),
    ({"columns": 1.5}, "columns: Input should be a valid integer, not 1.5"),
    ({"lanes": 2}, "lanes: Input should be greater than or equal to 4, not 2"),
    ({"max_bits_w": 9}, "max_bits_w: Input should be less than or equal to 8, not 9"),
    ({"max_bits_a": 0}, "max_bits_a: Input should be greater than or equal to 1, not 0"),
    ({"acc_bits": 7}, "acc_bits: Input should be greater than or equal to 8, not 7"),
    ({"acc_bits": 33}, "acc_bits: Input should be less than or equal to 32, not 33"),
    ({"terms": 0}, "terms: Input should be greater than or equal to 1, not 0"),
    ({"terms": 9}, "terms: Input should be less than or equal to 8, not 9"),
    ({"act_regions": 1}, "act_regions: Input should be greater than or equal to 2, not 1"),
    ({"clock_mhz": 0}, "clock_mhz: Input should be greater than 0, not 0"),
    ({"clock_mhz": ".inf"}, "clock_mhz: Input should be a finite number, not inf"),
    ({"acc_depth": None}, "acc_depth: Field required"),
    ({"colour": "red"}, "colour: Extra inputs are not permitted"),
])
def test_every_rule_is_named(fields: dict[str, object], message: str) -> None:
    """A parameter that breaks its rule is refused with its name, the limit, and for our own rules what came."""
    assert refusal(**fields) == message


def test_limits_themselves_are_legal() -> None:
    """The machine on the edge of every rule is accepted."""
    Machine(name="m", rows=4, columns=1, lanes=4, acc_bits=32, acc_depth=1, requantizers=4, terms=8, window=19,
            weight_words=1, act_regions=2, region_words=1, stream_bits=4, clock_mhz=0.001)
    Machine.model_validate(LEGAL | {"stream_bits": 16})
    Machine.model_validate(LEGAL | {"stream_bits": 1})


def test_a_machine_does_not_change() -> None:
    """Every engine derives everything from it, so it is frozen."""
    with pytest.raises(ValueError, match="frozen"):
        load_machine("tiny").rows = 8


@pytest.mark.parametrize("field", RANGES)
@pytest.mark.parametrize("number", [2**12, 10**5, 10**9, 2**31, 2**63, 10**30, 10**99, -1, -10**30])
def test_every_number_has_a_range(field: str, number: int) -> None:
    """Whatever a description says, what is too large or too small is refused by its name, without work."""
    low, high = RANGES[field]
    if not low <= number <= high:
        assert refusal(**{field: number}).startswith(f"{field}: Input should be ")


SMALL = LEGAL | {"rows": 1, "columns": 1, "requantizers": 1, "lanes": 4, "stream_bits": 4, "acc_bits": 8,
                 "table_bits": 0}
NEEDS: dict[str, dict[str, int]] = {
    "rows": {"lanes": 128, "stream_bits": 128}, "lanes": {"stream_bits": 1024},
    "requantizers": {"rows": 128, "lanes": 128, "stream_bits": 128},
    "stream_bits": {"rows": 32, "columns": 32, "lanes": 1024}, "table_bits": {"lanes": 8, "stream_bits": 8},
    "depthwise_lanes": {"rows": 8, "lanes": 1024, "stream_bits": 1024, "acc_depth": 128}}
"""What a parameter at its upper end needs of others."""


@pytest.mark.parametrize("field", RANGES)
def test_upper_ends_are_legal(field: str, reaches: Callable[[str, int], None]) -> None:
    """The largest value of every range is that of some machine."""
    machine = Machine.model_validate(SMALL | NEEDS.get(field, {}) | {field: RANGES[field][1]})
    reaches(f"machine.{field}", getattr(machine, field))


@pytest.mark.parametrize("field", RANGES)
def test_numbers_are_integers(field: str) -> None:
    """Neither a string, a float, a truth value nor a word that looks like a number is one."""
    for text in ("'4'", "4.0", "true", "1_000", "010", "0x4", "yes", "[4]", "{a: 4}", "null"):
        assert refusal(**{field: text}).startswith(f"{field}: Input should be a valid integer, not ")


@pytest.mark.parametrize("name", ["\\e[2J", "a\\nb", "\\u202ea", "\\0", "..", "../x", "/x", "n" * 201, "", "a\\\\b"])
def test_names_have_a_grammar(name: str) -> None:
    """A machine's name goes into tables, paths and Verilog."""
    assert refusal(name=f'"{name}"').startswith("name: must ")


def test_duplicate_parameters_are_refused() -> None:
    """Two values for one parameter are a mistake, whichever is meant."""
    with pytest.raises(InputError, match=r"^machine m: line 2: key 'rows' is there twice$"):
        parse(Machine, "rows: 4\nrows: 8", "m")


@pytest.mark.parametrize("memory", [
    "{latency_cycles: 1000000000000}", "{beats: 2}", "{beats: 0}", "{period_cycles: 100000000}", "{latency: 1}", "[]",
    "3"])
def test_the_memory_is_checked_too(memory: str) -> None:
    """Its numbers have ranges like those of the machine."""
    assert refusal(memory=memory).startswith("memory")
