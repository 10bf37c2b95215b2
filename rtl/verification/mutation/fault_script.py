"""A script around one Program, and how a run of it breaks off."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from rtl.encoding.geometry import Geometry
from rtl.encoding.program_image import beat_bits, program_image
from rtl.shell.csr_map import register
from rtl.shell.fault_codes import FaultCode
from rtl.verification.mutation.pin_script import Script
from sim.arch.limits import LIMITS, HardwareLimits
from sim.plan.plan import Plan

__all__ = ["FaultScript", "Inputs"]

Inputs = Mapping[str, NDArray[np.int32]]


class FaultScript(Script):
    """A script around one Program."""

    def __init__(self, plan: Plan, inputs: Inputs, limits: HardwareLimits = LIMITS) -> None:
        super().__init__(limits)
        self.plan, self.inputs, self.geometry = plan, inputs, Geometry(plan.machine, limits)
        self.width = beat_bits(plan.machine) // 8

    def right(self) -> None:
        """Run the Program, and check its results."""
        self.load(self.plan)
        self.run(self.plan, self.inputs)

    def fault(self, code: FaultCode, *, op: int = 0) -> None:
        """Check that the machine has stopped, send beats, which it must take, and clear it."""
        self.status("fault")
        self.read(register("FAULT").offset, code | op << 16)
        self.lines += ["beat 1234 0 0", "beat ffff 1 0", "beat 0 0 0", "step 4", "quiet"]
        self.status("fault")
        self.read(register("FAULT").offset, code | op << 16)
        self.lines.append("loose 1")
        self.command("clear")
        self.forget()
        self.lines.append("loose 0")
        self.status()
        self.read(register("FAULT").offset, 0)
        for queue in ("COMPUTES", "LOADS", "STORES"):
            self.read(register(queue).offset, 0)

    def refused(self, image: bytes, code: FaultCode) -> None:
        """Load an image that must be refused."""
        self.image(image, self.width)
        self.fault(code)

    @property
    def until_irq(self) -> str:
        """Wait for the interrupt."""
        return f"wait irq 1 {4 * self.plan.timeline.total + 400}"

    def after_start(self) -> list[str]:
        """Return the lines that `start` adds."""
        other = FaultScript(self.plan, self.inputs, self.limits)
        before = len(other.lines)
        other.start(self.plan, self.inputs)
        return other.lines[before:]

    def breaks(self, code: FaultCode, wait: str, *, image: bytes | None = None, op: int = 0,
               edit: Callable[[list[str]], list[str]] = list, before: Sequence[str] = (), then: str = "") -> None:
        """Start a run that ends early; what it still sends is not compared.

        Parameters
        ----------
        code : FaultCode
        wait : str
            Line after the start, when it runs.
        image : bytes or None
            Other than the Program's.
        op : int
            That is to blame.
        edit : function
            Of the lines that feed and start the run.
        before : sequence of str
            Lines before the start.
        then : str
            Command after `wait`.
        """
        self.image(image or program_image(self.plan, self.limits), self.width)
        self.status("program")
        self.lines += ["loose 1", *before, *edit(self.after_start()), wait]
        if then:
            self.command(then)
        self.lines += ["gaps 0 0", "step 4", "forget", "step 8"]
        self.fault(code, op=op)
        self.write("INTERRUPT", 3)
