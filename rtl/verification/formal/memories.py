"""Memories: no port of a macro has two users in a cycle, and no access leaves its tensor."""

from __future__ import annotations

from amaranth.hdl import Cat, Value

from rtl.core.control.bounds_guard import BoundsGuard
from rtl.core.memory.activation_memory import ActivationBank
from rtl.encoding.geometry import Geometry
from rtl.verification.formal.harness import Harness, after_reset, assume, check, drive_freely, past, probe, reach
from sim.arch.machine import Machine

__all__ = ["bounds", "ports"]

READERS, WRITERS = ("operand", "residual", "store"), ("write", "load")


def ports(machine: Machine) -> Harness:
    """Each macro of a bank sees the one access that is meant for it, if no two that touch a region come at once.

    The plan keeps the tensors of ops that run at the same time in regions of their own; addresses, data and all
    else are arbitrary.
    """
    m, geometry = after_reset(), Geometry(machine)
    m.submodules.dut = dut = ActivationBank(geometry)
    drive_freely(m, dut)
    offset, above = geometry.offset_bits, geometry.address_bits - geometry.offset_bits
    requests = {name: (getattr(dut, "write" if name == "write" else f"{name}_{'write' if name == 'load' else 'read'}"),
                       getattr(dut, f"{name}_address")) for name in (*READERS, *WRITERS)}
    regions = {name: address[offset:] for name, (_, address) in requests.items()}
    for users in (READERS, WRITERS):
        for i, one in enumerate(users):
            for other in users[:i]:
                both = requests[one][0] & requests[other][0]
                assume(m, ~both | (regions[one] != regions[other]))
    for index in range(machine.act_regions):
        signals = {name: probe(m, f"dut.region_{index}.{name}", shape) for name, shape in (
            ("ren", 1), ("raddr", offset), ("wen", 1), ("waddr", offset), ("wdata", geometry.lanes),
            ("wmask", geometry.lane_slices))}
        mine = {name: request & (regions[name] == index) if above else request
                for name, (request, _) in requests.items()}
        check(m, signals["ren"] == Cat(mine[name] for name in READERS).any(), f"region {index} is read when asked")
        check(m, signals["wen"] == Cat(mine[name] for name in WRITERS).any(), f"region {index} is written when asked")
        for name in READERS:
            check(m, ~mine[name] | (signals["raddr"] == requests[name][1][:offset]), f"region {index} reads for {name}")
        for name, groups in (("write", dut.write_slices), ("load", (1 << geometry.lane_slices) - 1)):
            right = ((signals["waddr"] == requests[name][1][:offset]) & (signals["wmask"] == groups)
                     & (signals["wdata"] == getattr(dut, f"{name}_data")))
            check(m, ~mine[name] | right, f"region {index} is written for {name}")
    return m


def bounds(machine: Machine) -> Harness:
    """An access passes when it lies in its tensor's place and nothing has failed before; one outside stops the core."""
    m, geometry = after_reset(), Geometry(machine)
    m.submodules.dut = dut = BoundsGuard(geometry)
    drive_freely(m, dut)
    d, outside = dut.running, list[Value]()
    places = {"operand": (d.in_first, d.in_last), "residual": (d.residual_first, d.residual_last),
              "write": (d.out_first, d.out_last)}
    for name, (first, last) in places.items():
        access, passed = getattr(dut, f"{name}_i"), getattr(dut, f"{name}_o")
        kind, address = "write" if name == "write" else "read", access.address
        asked, allowed = getattr(access, kind), getattr(passed, kind)
        for c in range(geometry.columns):
            at = address if name == "residual" else address[c]
            inside = (first <= at) & (at <= last)
            outside.append(asked[c] & ~inside)
            check(m, allowed[c] == (asked[c] & inside & ~dut.halt), f"{name} of column {c} passes when it is inside")
    most = geometry.bank_words - 1
    reach(m, {f"compute.{name}_{end}": (d[f"{name}_{end}"], most)
              for name in ("in", "residual", "out") for end in ("first", "last")})
    reach(m, {"compute.op": (d.op, 3 * geometry.limits.max_ops - 1)})
    strayed = past(m, Cat(outside).any() & ~dut.halt, cleared=True)
    check(m, ~strayed | (dut.violation.found & dut.halt & (dut.violation.op == past(m, d.op))),
          "an access outside stops the core, with its op")
    check(m, ~past(m, dut.halt, cleared=True) | dut.halt, "the core stays stopped")
    return m
