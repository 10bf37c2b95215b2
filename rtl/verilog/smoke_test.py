"""A smoke test for a machine's Verilog: a testbench in plain SystemVerilog, a small Program, and what it must give."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from rtl.encoding.program_image import beat_bits, program_image
from rtl.encoding.stream_bytes import tensor_bytes, word_bytes
from rtl.shell.csr_map import register
from sim.arch.machine import Machine
from sim.errors import InputError
from sim.functional.reference import simulate
from sim.ir.formats import Format
from sim.ir.ops import Conv, Pool, Tensor
from sim.ir.program import Program
from sim.plan.host_stream import RowTileItem, TableItem, TensorItem
from sim.plan.plan import Plan, plan

__all__ = ["TESTBENCH", "smoke_plan", "smoke_texts"]

TESTBENCH = Path(__file__).parent / "bitwright_smoke.sv"
SENT, EXPECTED, PARAMETERS = (f"{TESTBENCH.stem}{ending}" for ending in ("_sent.hex", "_expected.hex", ".svh"))
REGISTERS = "CONTROL", "INTERRUPT_ENABLE", "INTERRUPT", "CYCLES_LOW"
COMMANDS = ("CONTROL", "load"), ("CONTROL", "start"), ("INTERRUPT", "done"), ("INTERRUPT", "fault")
PATIENCE = 1000
"""Cycles beyond what is predicted until the testbench gives up."""

Beats = Iterator[tuple[bytes, bool]]


def smoke_texts(machine: Machine) -> dict[str, str]:
    """Testbench, parameters and the contents of its memories, by file name.

    Raises
    ------
    InputError
        If the machine cannot run the smallest of Programs.
    """
    planned = smoke_plan(machine)
    codes = simulate(planned.program, _inputs(planned.program))
    width = beat_bits(machine)
    image = list(_beats(program_image(planned), width))
    stream = [beat for packet in _sent(planned, codes) for beat in _beats(packet, width)]
    results = [pair for packet, care in _received(planned, codes)
               for pair in zip(_beats(packet, width), _beats(care, width), strict=True)]
    sent = [*image, *((data, last and number == len(stream) - 1) for number, (data, last) in enumerate(stream))]
    return {
        TESTBENCH.name: TESTBENCH.read_text(),
        PARAMETERS: _parameters(width, len(image), len(stream), len(results), planned.timeline.total),
        SENT: _hex(width + 1, (int(last) << width | _number(data) for data, last in sent)),
        EXPECTED: _hex(2 * width + 1, (int(last) << 2 * width | _number(care) << width | _number(data)
                                       for (data, last), (care, _) in results)),
    }


def smoke_plan(machine: Machine) -> Plan:
    """Plan a convolution and a pool that the machine can run: of 3 x 3 if its memories hold them, else of one pixel."""
    try:
        return plan(_program(machine, 5, 3), machine)
    except InputError:
        return plan(_program(machine, 1, 1), machine)


def _program(machine: Machine, side: int, kernel: int) -> Program:
    bits_w, bits_a = min(2, machine.max_bits_w), min(3, machine.max_bits_a)
    image = Tensor("image", side, side, (2,), Format(bits_a, "unsigned"))
    features = Tensor("features", side, side, (3,), Format(bits_a, "unsigned"))
    pooled = Tensor("pooled", side // 2 + 1, side // 2 + 1, (3,), features.format)
    weights = np.resize(np.array([0, -1, 1, 0, -1][: 2 + bits_w], np.int8), (3, 2, kernel, kernel))
    if bits_w == 1:
        weights = np.minimum(weights, 0).astype(np.int8)
    pad, window = kernel // 2, min(2, side)
    conv = Conv("convolve", "image", "features", weights, Format(bits_w, "signed"), np.ones((3, 1), np.int8),
                np.ones(3, np.int64), np.array([1, 3, 5]), 0, features.format.high, pads=(pad, pad, pad, pad))
    pool = Pool("pool", "features", "pooled", (window, window), (2, 2),
                (0, 0, window - 1, window - 1) if side > 1 else (0, 0, 0, 0))
    return Program((image, features, pooled), (conv, pool), machine.arithmetic)


def _inputs(program: Program) -> dict[str, np.ndarray]:
    (image,) = program.inputs
    codes = np.arange(np.prod(image.shape)).reshape(1, *image.shape) * 5 % (image.format.high + 1)
    return {image.name: codes.astype(np.int32)}


def _sent(planned: Plan, codes: dict[str, np.ndarray]) -> Iterator[bytes]:
    for item in planned.inward():
        if isinstance(item, RowTileItem | TableItem):
            yield word_bytes(item.words, planned.machine)
        else:
            yield tensor_bytes(item.view(codes[item.host])[0], item.tensor, planned.machine)


def _received(planned: Plan, codes: dict[str, np.ndarray]) -> Iterator[tuple[bytes, bytes]]:
    """Yield the results, with a one for each of their bits that belongs to a code."""
    for item in planned.outward():
        yield (tensor_bytes(item.view(codes[item.host])[0], item.tensor, planned.machine), _care(item, planned.machine))


def _care(item: TensorItem, machine: Machine) -> bytes:
    return tensor_bytes(np.full(item.tensor.shape, -1), item.tensor, machine)


def _beats(packet: bytes, width: int) -> Beats:
    """Beats, the last one marked."""
    size = width // 8
    for start in range(0, len(packet), size):
        yield packet[start:start + size], start + size >= len(packet)


def _number(data: bytes) -> int:
    return int.from_bytes(data, "little")


def _hex(bits: int, words: Iterator[int]) -> str:
    return "".join(f"{word:0{-(-bits // 4)}x}\n" for word in words)


def _parameters(width: int, image: int, stream: int, results: int, cycles: int) -> str:
    numbers = {"WIDTH": width, "IMAGE_BEATS": image, "STREAM_BEATS": stream, "RESULT_BEATS": results,
               "LIMIT": cycles + image + PATIENCE}
    lines = [f"localparam integer {name} = {value};" for name, value in numbers.items()]
    lines += [f"localparam [31:0] CYCLES = {cycles};"]
    lines += [f"localparam [11:0] {name} = 12'h{register(name).offset:03x};" for name in REGISTERS]
    lines += [f"localparam [31:0] {field.upper()} = 32'h{register(name).field(field).mask:x};"
              for name, field in COMMANDS]
    return "".join(f"{line}\n" for line in lines)
