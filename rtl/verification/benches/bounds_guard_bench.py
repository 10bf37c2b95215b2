"""The bounds guard: which accesses pass, what counts as a fault, and what is remembered."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import product
from typing import Any

import cocotb
from cocotb.triggers import Timer

from rtl.encoding.descriptors import pack
from rtl.encoding.geometry import Geometry
from rtl.verification.benches.unit_harness import geometry, reset, step
from sim.functional.requantize import ROUNDING_MODES
from sim.ir.formats import MAX_PLANES

PORTS = {"operand": "read", "residual": "read", "write": "write"}
"""Accesses, and what asks for them."""
ASKED = {port: f"{port}_i_{access}" for port, access in PORTS.items()}
PASSED = {port: f"{port}_o_{access}" for port, access in PORTS.items()}
INPUTS = ("head", "fresh", "running", *ASKED.values(), "residual_i_address",
          "inward_found", "inward_op", "outward_found", "outward_op")
BY_BANK = ("operand", "write")
"""Accesses with an address for each bank."""
OP = 77


@cocotb.test()
async def lets_accesses_inside_pass(dut: Any) -> None:
    """Accesses pass from the first to the last word of their tensor; the first one beside it stops everything."""
    shape = geometry()
    rng = await reset(dut, inputs(shape))
    for _ in range(300):
        places = {port: sorted(rng.choices(range(shape.bank_words), k=2)) for port in PORTS}
        dut.running.value = pack({"op": OP, **place_fields(places)}, shape.descriptor, "bench")
        outside = rng.choice([None, *PORTS])
        addresses = {port: near(rng, places[port], port == outside, shape) for port in PORTS}
        masks = {port: rng.getrandbits(shape.columns) for port in PORTS}
        odd = rng.randrange(shape.columns)
        for c, port in product(range(shape.columns), BY_BANK):
            inside = c != odd and outside == port
            address = near(rng, places[port], False, shape) if inside else addresses[port]
            getattr(dut, f"{port}_i_address_{c}").value = address
        for port in PORTS:
            getattr(dut, ASKED[port]).value = masks[port]
        dut.residual_i_address.value = addresses["residual"]
        await Timer(1, "ns")
        beside = {port: 0 for port in PORTS} | ({outside: (1 << shape.columns) - 1} if outside else {})
        for port in BY_BANK:
            beside[port] &= 1 << odd
        passed = {port: masks[port] & ~beside[port] for port in PORTS}
        assert {port: int(getattr(dut, PASSED[port]).value) for port in PORTS} == passed
        violated = any(masks[port] & beside[port] for port in PORTS)
        await step(dut, {})
        assert int(dut.halt.value) == violated
        assert (int(dut.violation_found.value), int(dut.illegal_found.value)) == (violated, 0)
        if violated:
            await stays(dut, shape, {"violation_op": OP})


def inputs(shape: Geometry) -> tuple[str, ...]:
    """Return the inputs of the guard that the bench drives."""
    return *INPUTS, *(f"{port}_i_address_{c}" for port, c in product(BY_BANK, range(shape.columns)))


def place_fields(places: dict[str, list[int]]) -> dict[str, int]:
    """Return the fields of a descriptor for the places of its tensors."""
    prefixes = {"operand": "in_", "residual": "residual_", "write": "out_"}
    return {f"{prefixes[port]}{end}": value for port, place in places.items()
            for end, value in zip(("first", "last"), place, strict=True)}


def near(rng: random.Random, place: list[int], outside: bool, shape: Geometry) -> int:
    """Draw an address at an end of a place, between its ends, or just outside it."""
    beside = [address for address in (place[0] - 1, place[1] + 1) if 0 <= address < 1 << shape.address_bits]
    return rng.choice(beside) if outside else rng.choice([*place, rng.randint(*place)])


async def stays(dut: Any, shape: Geometry, ops: dict[str, int]) -> None:
    """A fault stays whatever follows, and lets nothing pass, until reset."""
    dut.running.value = pack({"op": OP + 1, "in_first": 1, "out_first": 1}, shape.descriptor, "bench")
    for port in ASKED.values():
        getattr(dut, port).value = 1
    await step(dut, {"inward_found": 1, "inward_op": OP + 1})
    for name, op in ops.items():
        assert int(getattr(dut, name).value) == op
    assert int(dut.halt.value) == 1
    assert [int(getattr(dut, port).value) for port in PASSED.values()] == [0, 0, 0]
    await step(dut, {"rst": 1, "inward_found": 0, **dict.fromkeys(ASKED.values(), 0)})
    await step(dut, {"rst": 0})
    assert int(dut.halt.value) == 0


@cocotb.test()
async def refuses_what_cannot_run(dut: Any) -> None:
    """A descriptor at every limit is legal; one beyond a single limit is not, and the op is named."""
    shape = geometry()
    await reset(dut, inputs(shape))
    for pool in (0, 1):
        legal = limits(shape, pool)
        for fields in (legal, *tight_slots(shape, legal), legal | {"has_residual": 0, "residual_bits": 7},
                       legal | {"terms": 0}, legal | {"gate_terms": 0}):
            assert not await refused(dut, shape, fields)
        for change, matters in beyond(shape, legal):
            assert await refused(dut, shape, legal | change) == (matters or not pool), (change, pool)
    for engine in ("inward", "outward"):
        await step(dut, {f"{engine}_found": 1, f"{engine}_op": OP})
        assert (int(dut.illegal_found.value), int(dut.illegal_op.value)) == (1, OP)
        await step(dut, {f"{engine}_found": 0})
        await stays(dut, shape, {"illegal_op": OP})


def limits(shape: Geometry, pool: int) -> dict[str, int]:
    """Return a descriptor whose numbers are as large as they may be."""
    machine = shape.machine
    terms, last = machine.terms, shape.bank_words - 1
    return {"op": OP, "pool": pool, "bits_a": machine.max_bits_a - 1, "bits_w": machine.max_bits_w - 1,
            "in_last": last, "out_last": last, "residual_last": last, "has_residual": 1,
            "chunk_pixels": machine.acc_depth - 1, "last_chunk_pixels": machine.acc_depth - 1,
            "bipolar": int(machine.bipolar), "launch_at": 20, "step_cycles": 20,
            "weights_from": 20 - (machine.max_bits_w - 1), "terms": terms, "residual_terms": terms,
            "gate_terms": MAX_PLANES, "requant_cycles": machine.acc_bits * shape.columns + 99,
            "bits_out": machine.acc_bits - 1, "out_phases": shape.columns - 1,
            "residual_bits": machine.max_bits_a - 1,
            "rounding": max(ROUNDING_MODES[mode] for mode in machine.roundings)}


def tight_slots(shape: Geometry, legal: dict[str, int]) -> list[dict[str, int]]:
    """Descriptors whose slots have just the cycles for all terms, for the output, and for the residual."""
    narrow = legal | {"terms": 1, "residual_terms": 0, "gate_terms": 0, "residual_bits": 0, "bits_out": 0,
                      "out_phases": 0}
    digits = ("terms", "residual_terms", "gate_terms")
    terms = sum(legal[name] for name in digits)
    longest = max(shape.rows_per_unit - 1, legal["residual_bits"])
    return [narrow | {name: legal[name] for name in digits} | {"requant_cycles": terms * shape.rows_per_unit - 1},
            narrow | {"bits_out": legal["bits_out"], "requant_cycles": legal["bits_out"]},
            narrow | {"bits_out": 1, "out_phases": shape.columns - 1, "requant_cycles": 2 * shape.columns - 1},
            narrow | {"residual_bits": longest, "requant_cycles": longest}]


def beyond(shape: Geometry, legal: dict[str, int]) -> Iterator[tuple[dict[str, int], bool]]:
    """Changes that break a single limit, and whether a Pool has the limit too."""
    machine = shape.machine
    for field, value, matters in [
            ("bits_a", machine.max_bits_a, True), ("in_last", shape.bank_words, True),
            ("out_last", shape.bank_words, True), ("residual_last", shape.bank_words, False),
            ("bits_w", machine.max_bits_w, False), ("chunk_pixels", machine.acc_depth, False),
            ("last_chunk_pixels", machine.acc_depth, False), ("launch_at", 21, False), ("step_cycles", 19, False),
            ("weights_from", legal["weights_from"] + 1, False), ("weights_from", legal["weights_from"] - 1, False),
            ("terms", machine.terms + 1, False), ("residual_terms", machine.terms + 1, False),
            ("gate_terms", MAX_PLANES + 1, False),
            ("bits_out", machine.acc_bits, False), ("residual_bits", machine.max_bits_a, False),
            ("rounding", 3, False)]:
        if value < 1 << shape.descriptor[field].width:
            yield {field: value}, matters
    yield {"terms": 0, "gate_terms": 0}, False
    if not machine.bipolar:
        yield {"bipolar": 1}, False
    for slot in tight_slots(shape, legal):
        yield slot | {"requant_cycles": slot["requant_cycles"] - 1}, False


async def refused(dut: Any, shape: Geometry, fields: dict[str, int]) -> bool:
    """Tell whether a fresh descriptor is a fault, and reset the machine."""
    dut.head.value = pack(fields, shape.descriptor, "bench")
    await step(dut, {"fresh": 0})
    assert int(dut.illegal_found.value) == 0
    await step(dut, {"fresh": 1})
    await step(dut, {"fresh": 0})
    found = bool(dut.illegal_found.value)
    assert int(dut.violation_found.value) == 0
    assert not found or int(dut.illegal_op.value) == OP
    await step(dut, {"rst": 1})
    await step(dut, {"rst": 0})
    return found
