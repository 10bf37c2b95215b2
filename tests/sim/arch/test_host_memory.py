"""The memory behind the streams, against a walk through the cycles."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sim.arch.host_memory import IDEAL, Memory
from sim.arch.machine import load_machine
from sim.errors import InputError


@st.composite
def memories(draw: st.DrawFn) -> Memory:
    period = draw(st.integers(1, 12))
    return Memory(latency_cycles=draw(st.integers(0, 20)), beats=draw(st.integers(1, period)), period_cycles=period)


@given(memories(), st.integers(0, 60), st.integers(1, 40))
def test_finish_equals_a_walk_through_the_cycles(memory: Memory, start: int, beats: int) -> None:
    """Beats pass in the first cycles from `start` on that let one pass; the end is the cycle after the last."""
    cycle = start - 1
    for _ in range(beats):
        cycle += 1
        while not memory.passes(cycle):
            cycle += 1
    assert memory.finish(start, beats) == cycle + 1


@given(memories(), st.integers(1, 40))
def test_longest_is_the_most_over_all_starts(memory: Memory, beats: int) -> None:
    """Once the latency is over, every start in a period is covered, and the bound is met by one of them."""
    starts = range(memory.latency_cycles, memory.latency_cycles + memory.period_cycles)
    assert memory.longest(beats) == max(memory.finish(start, beats) - start for start in starts)


@given(st.integers(0, 60), st.integers(1, 40))
def test_an_ideal_memory_takes_a_cycle_for_a_beat(start: int, beats: int) -> None:
    """No latency, no slots."""
    assert IDEAL.finish(start, beats) == start + beats


@pytest.mark.parametrize(("fields", "message"), [
    ({"beats": 3, "period_cycles": 2}, "Value error, beats must be at most period_cycles = 2, not 3"),
    ({"latency_cycles": -1}, "Input should be greater than or equal to 0"),
    ({"beats": 0}, "Input should be greater than or equal to 1"),
])
def test_impossible_memories_are_refused(fields: dict[str, int], message: str) -> None:
    """Each field has its limit."""
    with pytest.raises(ValidationError, match=re.escape(message)):
        Memory(**fields)


def test_a_machine_file_may_describe_its_memory(tmp_path: pytest.TempPathFactory) -> None:
    """The fields stand below `memory`; a wrong one is named with its place."""
    path = tmp_path / "m.yaml"
    tiny = load_machine("tiny").model_dump_json(exclude={"memory"})
    path.write_text(tiny[:-1] + ', "memory": {"latency_cycles": 30, "beats": 1, "period_cycles": 4}}')
    assert load_machine(path).memory == Memory(latency_cycles=30, beats=1, period_cycles=4)
    path.write_text(tiny[:-1] + ', "memory": {"beats": 2}}')
    message = f"machine {path}: memory: beats must be at most period_cycles = 1, not 2"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        load_machine(path)
