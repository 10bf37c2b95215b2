"""Scripts of runs that stop: time-outs, aborts, packets cut short, wrong commands, interrupts, wrong places."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np

from rtl.encoding.descriptors import pack
from rtl.encoding.program_image import encode, program_image, program_words, unpack
from rtl.shell.csr_map import register
from rtl.shell.fault_codes import FaultCode
from rtl.verification.mutation.directed_programs import many_ops, single_word
from rtl.verification.mutation.fault_script import FaultScript
from sim.plan.plan import plan
from sim.testing import corner_inputs

__all__ = ["aborts", "commands", "cut_packet", "interrupts", "late_op", "places", "timeouts"]

ABORTS = 12
"""Cycles of a run in which it is aborted."""
CUTS = 6
"""Beats of a packet at which it is cut."""
LONG_LIMITS = (1000, 0x2AAA, 0x5555, 0xAAAA)
"""Of the watchdog: every bit of its counter below 16."""


def timeouts(script: FaultScript) -> None:
    """Let streams stall: the run ends after TIMEOUT cycles and not before; 0 waits for ever."""
    script.write("INTERRUPT_ENABLE", 2)
    for limit in (64, 96, 128, 255, 0x100):
        script.write("TIMEOUT", limit)
        for gaps in ("gaps 1000 0", "gaps 0 1000"):
            total = script.plan.timeline.total
            script.breaks(FaultCode.TIMEOUT, f"wait irq 1 {total + limit + 60}", before=[gaps])
        script.command("load")
        script.lines += [f"step {limit - 8}", "expect irq 0 1", f"wait irq 1 {16}", "step 2"]
        script.fault(FaultCode.TIMEOUT)
        script.write("INTERRUPT", 3)
    for limit in LONG_LIMITS:
        script.write("TIMEOUT", limit)
        script.command("load")
        script.lines += [f"step {limit - 8}", "expect irq 0 1", "wait irq 1 16", "step 2"]
        script.fault(FaultCode.TIMEOUT)
        script.write("INTERRUPT", 3)
    for limit in (*(1 << bit for bit in range(10, 32)), 0):
        script.write("TIMEOUT", limit)
        script.command("load")
        script.lines += ["step 300", "expect irq 0 1"]
        script.status("loading")
        script.command("abort")
        script.fault(FaultCode.ABORTED)
        script.write("INTERRUPT", 3)
    script.write("TIMEOUT", 400)
    script.right()
    script.write("TIMEOUT", 0)
    script.write("INTERRUPT_ENABLE", 0)
    script.right()


def aborts(script: FaultScript) -> None:
    """Abort while nothing happens, while an image is taken, and in many cycles of a run, the sink paused or not."""
    script.command("abort")
    script.fault(FaultCode.ABORTED)
    script.command("load")
    script.command("abort")
    script.fault(FaultCode.ABORTED)
    script.right()
    total = script.plan.timeline.total
    for number in range(ABORTS):
        script.breaks(FaultCode.ABORTED, f"step {1 + number * total // ABORTS}", before=[f"gaps 0 {number % 2 * 500}"],
                      then="abort")
        script.right()


def cut_packet(script: FaultScript) -> None:
    """Stop the machine in a packet: an offered beat stays, then a beat of zeros closes the packet."""
    takes = [line.split()[1:] for line in script.after_start() if line.startswith("take")]
    total = script.plan.timeline.total
    assert all(last == "0" for *_, last in takes[:CUTS])
    for taken in range(CUTS):
        value, mask, _ = takes[taken]
        _until_beat(script, taken)
        script.lines.append("gaps 0 1000" if taken else "step 1")
        script.lines += ["step 1", "loose 1"]
        script.command("abort")
        script.lines += ["forget", "loose 0"]
        script.status("fault", "cut")
        offered = [f"expect m_axis_tdata {value} {mask}", "expect m_axis_tvalid 1 1", "expect m_axis_tlast 0 1"]
        script.lines += [*offered, "step 9", *offered]
        if taken % 2:
            script.lines.append("loose 1")
            script.command("clear")
            script.lines.append("loose 0")
            script.status("cut")
            script.command("abort")
            script.status("fault", "cut")
            script.lines += [*offered, "step 8", *offered]
        script.lines += [f"take {value} {mask} 0", "take 0 ffff 1", "gaps 0 0", "step 4", "quiet",
                         "expect m_axis_tvalid 0 1"]
        script.fault(FaultCode.ABORTED)
        script.write("INTERRUPT", 3)
        script.right()
        _cut_behind_a_beat(script, taken)
    _cut_before_a_run(script, takes[0], total)


def _until_beat(script: FaultScript, taken: int) -> None:
    """Run until the beat is offered that follows on `taken` beats; then no beat is taken."""
    script.image(program_image(script.plan, script.limits), script.width)
    if not taken:
        script.lines.append("gaps 0 1000")
    script.start(script.plan, script.inputs)
    script.lines.append(f"wait m_axis_tvalid 1 {script.plan.timeline.total}")
    if taken:
        script.lines.append(f"step {taken}")


def _cut_behind_a_beat(script: FaultScript, waited: int) -> None:
    """Check that the packet is closed in the cycle after the command, while beats are taken."""
    _until_beat(script, 1 + waited)
    script.lines += ["loose 1", f"set s_axil_awaddr {register('CONTROL').offset:x}",
                     f"set s_axil_wdata {register('CONTROL').field('abort').mask:x}", "set s_axil_wstrb f",
                     "set s_axil_bready 1", "offer s_axil_awvalid s_axil_awready", "offer s_axil_wvalid s_axil_wready",
                     "wait s_axil_bvalid 1 8", "expect m_axis_tvalid 1 1", "expect m_axis_tlast 1 1",
                     "expect m_axis_tdata 0 ffff", "step 1", "expect m_axis_tvalid 0 1", "set s_axil_bready 0"]
    script.forget()
    script.lines.append("loose 0")
    script.fault(FaultCode.ABORTED)
    script.write("INTERRUPT", 3)
    script.right()


def _cut_before_a_run(script: FaultScript, first: Sequence[str], total: int) -> None:
    """Check that what is left of a packet goes before the beats of the next run, which wait for it."""
    _until_beat(script, 0)
    script.lines += ["step 2", "loose 1"]
    script.command("abort")
    script.command("clear")
    script.write("INTERRUPT", 3)
    script.forget()
    script.lines.append("loose 0")
    script.status("cut")
    script.image(program_image(script.plan, script.limits), script.width)
    script.lines += [f"take {first[0]} {first[1]} 0", "take 0 ffff 1"]
    script.taken += 2
    script.start(script.plan, script.inputs, exact=False)
    script.lines += [f"step {total}", "gaps 0 0", "wait trace_busy 0 4000", "step 2", "quiet"]
    script.status("program")
    script.lines.append("forget")
    script.taken, script.ended = 0, dict.fromkeys(script.ended, len(script.plan.program.ops))


def commands(script: FaultScript) -> None:
    """Commands that cannot be followed, clear when nothing is wrong, and everything while stopped."""
    for names in (("start",), ("start", "load"), ("start", "load", "clear")):
        script.command(*names)
        script.fault(FaultCode.COMMAND)
    script.command("clear")
    for name in ("start", "load"):
        script.breaks(FaultCode.COMMAND, "step 40", then=name)
        script.right()
        script.command("load")
        script.command(name)
        script.fault(FaultCode.COMMAND)
    script.right()
    script.command("clear")
    script.run(script.plan, script.inputs)
    script.command("load")
    script.command("start")
    for name in ("abort", "load", "start"):
        script.command(name)
    script.fault(FaultCode.COMMAND)
    script.right()


def interrupts(script: FaultScript) -> None:
    """Events stand until they are cleared, irq follows their enables."""
    event, enable = register("INTERRUPT").offset, "INTERRUPT_ENABLE"
    script.read(event, 0)
    script.image(program_image(script.plan, script.limits), script.width)
    script.read(event, 1)
    for value in (0, 1, 2, 3):
        script.write(enable, value)
        script.lines.append(f"expect irq {value & 1} 1")
    script.write("INTERRUPT", 2)
    script.read(event, 1)
    script.write("INTERRUPT", 1, strobe=14)
    script.read(event, 1)
    script.write("INTERRUPT", 1)
    script.read(event, 0)
    script.lines.append("expect irq 0 1")
    script.run(script.plan, script.inputs)
    script.read(event, 1)
    script.lines.append("expect irq 1 1")
    script.command("abort")
    script.read(event, 3)
    script.write("INTERRUPT", 1)
    script.read(event, 2)
    script.fault(FaultCode.ABORTED)
    for value in (0, 1, 2, 3):
        script.write(enable, value)
        script.lines.append(f"expect irq {value >> 1} 1")
    script.write("INTERRUPT", 3)
    script.lines.append("expect irq 0 1")
    script.right()


def places(script: FaultScript) -> None:
    """Places that end by powers of two before or behind the one word that is read in one column, and of outputs."""
    machine = script.plan.machine
    for column, word in product(range(machine.columns), (0, 5, 9)):
        script.plan = plan(single_word(column, word), machine)
        script.inputs = corner_inputs(np.random.default_rng(column), script.plan.program, 1)
        words = program_words(script.plan, script.geometry)
        entry: dict[str, Any] = unpack(words["compute"][1], script.geometry.descriptor)
        read = entry["in_first"] + word
        for shift in range(script.geometry.address_bits):
            step = 1 << shift
            for name, value, code in (
                    ("in_first", read + step, FaultCode.ADDRESS), ("in_last", read - step, FaultCode.ADDRESS),
                    ("out_first", entry["out_last"] + step, FaultCode.ADDRESS),
                    ("out_last", entry["out_first"] - step, FaultCode.ADDRESS),
                    ("in_first", read - step, FaultCode.NONE), ("in_last", read + step, FaultCode.NONE),
                    ("out_first", entry["out_first"] - step, FaultCode.NONE),
                    ("out_last", entry["out_last"] + step, FaultCode.NONE)):
                if 0 <= value < script.geometry.bank_words:
                    altered = pack({**entry, name: value}, script.geometry.descriptor, name)
                    _run_altered(script, encode({**words, "compute": [words["compute"][0], altered]}, script.geometry),
                                 code, entry["op"])


def _run_altered(script: FaultScript, image: bytes, code: FaultCode, op: int) -> None:
    """Run an image with another place than the Program's: it ends in a fault or with the same results."""
    if code:
        script.breaks(code, f"step {2 * script.plan.timeline.total}", image=image, op=op)
    else:
        script.image(image, script.width)
        script.run(script.plan, script.inputs)


def late_op(script: FaultScript) -> None:
    """Check the index of the last of as many ops as the hardware takes."""
    program = many_ops(np.random.default_rng(0))
    script.plan = plan(program, script.plan.machine)
    script.inputs = corner_inputs(np.random.default_rng(0), program, 1)
    words = program_words(script.plan, script.geometry)
    entry: dict[str, Any] = unpack(words["outward"][-2], script.geometry.outward)
    words["outward"][-2] = pack({**entry, "first": entry["last"] + 1}, script.geometry.outward, "late")
    script.breaks(FaultCode.ILLEGAL, f"step {2 * script.plan.timeline.total}", image=encode(words, script.geometry),
                  op=entry["op"])
