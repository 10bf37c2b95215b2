"""What can go wrong at the buses: each test ends with a status code and a machine that runs right again."""

from __future__ import annotations

import random
from functools import partial
from typing import Any

import cocotb
from cocotb.triggers import ClockCycles, First, RisingEdge

from rtl.encoding.geometry import Geometry
from rtl.encoding.program_image import HEADER, encode, tables
from rtl.shell.csr_map import register
from rtl.shell.fault_codes import FaultCode
from rtl.verification.benches.top_session import (
    ABORT,
    CLEAR,
    JOBS,
    LIMIT_US,
    LOAD,
    ROUNDS,
    START,
    TIMEOUT,
    Session,
    fails,
    fault_of,
    image_of,
    inputs_of,
    session,
    with_field,
    with_header,
)
from sim.errors import EngineError

WRONG_HEADERS = [("magic", 1), ("version", 2), ("signature", 77), ("compute", 0), ("compute", 257), ("inward", 0),
                 ("inward", 770), ("outward", 0), ("outward", 258)]


@cocotb.test(timeout_time=LIMIT_US, timeout_unit="us")
async def wrong_images_are_refused(dut: Any) -> None:
    """Another header, another byte, a beat too few, a beat too many: a fault each, and nothing is loaded."""
    opened = await session(dut)
    program = JOBS[0]
    image, beat = image_of(program), opened.beat_bytes
    for name, value in WRONG_HEADERS:
        await opened.load_fails(with_header(name, value), FaultCode.HEADER)
    for place in (20, len(image) // 2, len(image) - 1):
        altered = bytearray(image)
        altered[place] ^= 1 << random.randrange(8)
        await opened.load_fails(bytes(altered), FaultCode.CHECKSUM)
    for length in (beat, HEADER.size // 8, len(image) // 2 // beat * beat, len(image) - beat):
        await opened.load_fails(image[:length], FaultCode.LENGTH)
    await opened.load_fails(image + bytes(beat), FaultCode.LENGTH)


@cocotb.test(timeout_time=LIMIT_US, timeout_unit="us")
async def a_refused_image_is_no_program(dut: Any) -> None:
    """After a fault the program that was there before is gone."""
    opened = await session(dut)
    await opened.run()
    program = JOBS[0]
    await fails(opened.host(program, with_header("magic", 0)).load(), FaultCode.HEADER)
    assert not await opened.status("program")
    await opened.command(START)
    await opened.stopped_with(FaultCode.COMMAND)
    await opened.run()


@cocotb.test(timeout_time=LIMIT_US, timeout_unit="us")
async def illegal_ops_are_named(dut: Any) -> None:
    """An op beyond the machine's limits stops the run, in every table."""
    opened = await session(dut)
    last_word = (1 << Geometry(JOBS[0].plan.machine).address_bits) - 1
    for table, index, name, value in [("compute", 0, "bits_out", 31), ("compute", 1, "terms", 9),
                                      ("compute", 1, "chunk_pixels", 100), ("compute", 0, "rounding", 3),
                                      ("inward", 0, "first", last_word), ("outward", 0, "first", last_word)]:
        fault = await opened.run_fails(FaultCode.ILLEGAL, with_field(table, index, name, value))
        assert f"in op '{opened.op_name(table, index)}'" in str(fault), str(fault)


@cocotb.test(timeout_time=LIMIT_US, timeout_unit="us")
async def ops_stay_in_their_places(dut: Any) -> None:
    """An op whose tensor ends early or begins late stops at the first access beyond it."""
    opened = await session(dut)
    for name, index in [("in_last", 0), ("out_last", 0), ("in_last", 1), ("out_last", 1), ("residual_last", 2)]:
        field = opened.field("compute", index, name)
        first = opened.field("compute", index, name.replace("last", "first"))
        fault = await opened.run_fails(FaultCode.ADDRESS, with_field("compute", index, name, max(first, field - 1)))
        assert f"in op '{opened.op_name('compute', index)}'" in str(fault), str(fault)


@cocotb.test(timeout_time=LIMIT_US, timeout_unit="us")
async def packets_must_end_with_items(dut: Any) -> None:
    """A tlast within an item, and none at the end of the run, stop the machine."""
    opened = await session(dut)
    lengths, beat = JOBS[0].facts["segments"][0], opened.beat_bytes
    for cut in {beat, lengths[0] - beat, lengths[0] + beat}:
        opened.port.split = partial(halves, cut)
        await opened.run_fails(FaultCode.LENGTH)
    rest = JOBS[0].facts["segments"][-1]
    opened.port.split = lambda packet: [packet + bytes(3 * beat) if len(packet) == sum(rest) else packet]
    await opened.run_fails(FaultCode.LENGTH)


def halves(cut: int, packet: bytes) -> list[bytes]:
    """Split a packet in two."""
    return [packet[:cut], packet[cut:]]


@cocotb.test(timeout_time=LIMIT_US, timeout_unit="us")
async def streams_that_stall_for_ever(dut: Any) -> None:
    """A load or run whose beats end too early, and results that nobody takes, end by the watchdog."""
    opened = await session(dut)
    host, inputs, beat = opened.hosts[0], inputs_of(JOBS[0]), opened.beat_bytes
    lengths = JOBS[0].facts["segments"][0]
    for kept in (0, 1, lengths[0] // beat, sum(lengths) // beat - 2):
        await host.load()
        cocotb.start_soon(opened.port.stall_after(kept))
        await fails(host.run(inputs), FaultCode.TIMEOUT)
        await opened.run()
    cocotb.start_soon(opened.port.stall_after(10))
    await fails(host.load(), FaultCode.TIMEOUT)
    await host.load()
    opened.port.sink.pause = True
    task = cocotb.start_soon(host.run(inputs))
    await RisingEdge(dut.irq)
    assert await opened.status("cut")
    opened.port.sink.pause = False
    await fails(task, FaultCode.TIMEOUT)
    await opened.run()


@cocotb.test(timeout_time=LIMIT_US, timeout_unit="us")
async def a_run_can_be_aborted_at_any_time(dut: Any) -> None:
    """After an abort in a random cycle of a run, with gaps on the streams, the next run is right."""
    opened = await session(dut)
    opened.port.pause_streams(0.3)
    program, host = JOBS[0], opened.hosts[0]
    for _ in range(ROUNDS):
        await host.load()
        task = cocotb.start_soon(host.run(inputs_of(program)))
        await ClockCycles(dut.clk, random.randrange(1, program.facts["cycles"] + 60))
        if task.done():
            break
        await opened.command(ABORT)
        await aborted(opened, task)
        await opened.run()


async def aborted(opened: Session, task: Any) -> None:
    """Check that a run ended with ABORTED, or had ended before, and clear the machine."""
    fault = await fault_of(task)
    if fault is None:
        await opened.stopped_with(FaultCode.ABORTED)
    else:
        assert fault.code is FaultCode.ABORTED, str(fault)


@cocotb.test(timeout_time=LIMIT_US, timeout_unit="us")
async def loading_and_doing_nothing_can_be_aborted(dut: Any) -> None:
    """An abort while an image is taken, and while nothing happens."""
    opened = await session(dut)
    await opened.command(ABORT)
    await opened.stopped_with(FaultCode.ABORTED)
    for _ in range(ROUNDS):
        task = cocotb.start_soon(opened.hosts[0].load())
        await RisingEdge(dut.s_axis_tready)
        await ClockCycles(dut.clk, random.randrange(1, 200))
        await opened.command(ABORT)
        await aborted(opened, task)
    await opened.run()


@cocotb.test(timeout_time=LIMIT_US, timeout_unit="us")
async def wrong_commands_stop_the_machine(dut: Any) -> None:
    """Start without a program, commands while busy, two at once; clear alone does nothing."""
    opened = await session(dut)
    host, inputs = opened.hosts[0], inputs_of(JOBS[0])
    for mask in (START, START | LOAD, LOAD | START | CLEAR):
        await opened.command(mask)
        await opened.stopped_with(FaultCode.COMMAND)
    for mask in (START, LOAD):
        await host.load()
        running = cocotb.start_soon(host.run(inputs))
        await RisingEdge(dut.trace_busy)
        await opened.command(mask)
        await fails(running, FaultCode.COMMAND)
        loading = cocotb.start_soon(host.load())
        await RisingEdge(dut.s_axis_tready)
        await opened.command(mask)
        await fails(loading, FaultCode.COMMAND)
    await host.load()
    await opened.command(CLEAR)
    await opened.run(load=False)


@cocotb.test(timeout_time=LIMIT_US, timeout_unit="us")
async def nothing_else_is_done_while_stopped(dut: Any) -> None:
    """Until it is cleared, a machine that has stopped keeps its first fault and takes no commands."""
    opened = await session(dut)
    await opened.command(START)
    for mask in (ABORT, LOAD, START):
        await opened.command(mask)
    await opened.stopped_with(FaultCode.COMMAND)
    assert not await opened.status("loading")
    await opened.run()


@cocotb.test(timeout_time=LIMIT_US, timeout_unit="us")
async def flipped_bits_never_hang(dut: Any) -> None:
    """Tables with random bits flipped, their checksum right: the run ends, by itself or by a fault."""
    opened = await session(dut)
    program = JOBS[0]
    geometry = Geometry(program.plan.machine)
    for _ in range(ROUNDS):
        words = {name: list(them) for name, them in program.facts["words"].items()}
        for _ in range(random.choice([1, 1, 2, 5])):
            table = random.choice([table for table in tables(geometry) for _ in words[table.name]])
            index = random.randrange(len(words[table.name]))
            words[table.name][index] ^= 1 << random.randrange(table.layout.size)
        host = opened.host(program, encode(words, geometry))
        await host.load()
        task = cocotb.start_soon(host.run(inputs_of(program)))
        await First(task.complete, ClockCycles(dut.clk, 40 * TIMEOUT))
        assert task.done(), "neither an end nor a fault"
        if task.exception() is not None:
            assert isinstance(task.exception(), EngineError), repr(task.exception())
            dut._log.info("flipped bits: %s", task.exception())
        await opened.port.settle()
        await opened.run()


@cocotb.test(timeout_time=LIMIT_US, timeout_unit="us")
async def noise_is_no_image(dut: Any) -> None:
    """Random beats are refused, with LENGTH if they end within the header."""
    opened = await session(dut)
    for _ in range(ROUNDS):
        size = random.randrange(1, 60) * opened.beat_bytes
        within = size <= HEADER.size // 8
        await opened.load_fails(random.randbytes(size), FaultCode.LENGTH if within else FaultCode.HEADER)


@cocotb.test(timeout_time=LIMIT_US, timeout_unit="us")
async def interrupts_follow_their_enables(dut: Any) -> None:
    """irq rises for enabled events alone, and falls when they are cleared."""
    opened = await session(dut)
    enable, event = register("INTERRUPT_ENABLE"), register("INTERRUPT")
    await opened.command(ABORT)
    assert not dut.irq.value
    for field in event.fields:
        await opened.port.write(enable.offset, field.mask)
        await ClockCycles(dut.clk, 2)
        assert bool(dut.irq.value) == (field.name == "fault")
    await opened.port.write(event.offset, event.field("done").mask)
    assert dut.irq.value
    await opened.port.write(event.offset, event.field("fault").mask)
    await ClockCycles(dut.clk, 2)
    assert not dut.irq.value
    await opened.stopped_with(FaultCode.ABORTED)
