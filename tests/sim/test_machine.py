"""Machines: every rule of the parameters, and the files that come along."""

import pytest

from sim.described import parse
from sim.errors import InputError
from sim.machine import Machine, builtin_machines, load_machine

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
    ({"roundings": []}, "roundings must name at least one mode"),
    ({"roundings": "[up]"}, "roundings.0: Input should be 'half_up', 'half_even' or 'floor'"),
    ({"rows": 0}, "rows: Input should be greater than or equal to 1"),
    ({"columns": 0}, "columns: Input should be greater than or equal to 1"),
    ({"columns": 1.5}, "columns: Input should be a valid integer, got a number with a fractional part"),
    ({"lanes": 2}, "lanes: Input should be greater than or equal to 4"),
    ({"max_bits_w": 9}, "max_bits_w: Input should be less than or equal to 8"),
    ({"max_bits_a": 0}, "max_bits_a: Input should be greater than or equal to 1"),
    ({"acc_bits": 7}, "acc_bits: Input should be greater than or equal to 8"),
    ({"acc_bits": 33}, "acc_bits: Input should be less than or equal to 32"),
    ({"terms": 0}, "terms: Input should be greater than or equal to 1"),
    ({"terms": 9}, "terms: Input should be less than or equal to 8"),
    ({"act_regions": 1}, "act_regions: Input should be greater than or equal to 2"),
    ({"clock_mhz": 0}, "clock_mhz: Input should be greater than 0"),
    ({"clock_mhz": ".inf"}, "clock_mhz: Input should be a finite number"),
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
