"""A wrong op run once more: alone if it is wrong there, too, otherwise in its Program; with waveforms of one code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bitwright.divergence.ops import OpCheck
from bitwright.divergence.shrunk import cut_out
from bitwright.divergence.wave_files import gtkwave_file, signals_of, surfer_file, window_of
from rtl.cosim.requant_probe import Captured
from rtl.cosim.run import IncompleteRun, RtlResult, watch_op
from sim.errors import EngineError, InputError
from sim.inspect.explain import Explanation, explain_code
from sim.inspect.machine_place import MachinePlace
from sim.inspect.writers import Pixel
from sim.io.atomic_write import atomic_write_text
from sim.ir.ops import Layer
from sim.plan.plan import Plan
from sim.testing.stimulus.cases import Case

__all__ = ["Rerun"]

WAVES = "window.fst"


@dataclass
class Rerun:
    """Runs the op that is wrong again, in Icarus Verilog, and writes waveforms of its first wrong code.

    Attributes
    ----------
    plan : Plan
    inputs : mapping of str to int32 array, shape (N, channels, height, width)
    place : Path
        The build of the hardware.
    folder : Path
        For the waveforms.
    case : Case or None
        The smallest that shows the difference, once the op has run: the op alone, or the Program on one image.
    alone : bool
        The case is the op alone.
    again : bool
        The case has made the same codes again.
    window : (int, int) or None
        First and last cycle of the waveforms, in a run of the case.
    """

    plan: Plan
    inputs: Mapping[str, NDArray[np.int32]]
    place: Path
    folder: Path
    case: Case | None = None
    alone: bool = False
    again: bool = False
    window: tuple[int, int] | None = None

    def watch(self, check: OpCheck, image: int, explanation: Explanation) -> Captured | None:
        """Run the op again and return what its requantizers take and give, if it writes the same codes again."""
        captured = self._watch_alone(check, image, explanation)
        return captured if self.alone else self._watch_whole(check, image, explanation)

    def _watch_alone(self, check: OpCheck, image: int, explanation: Explanation) -> Captured | None:
        """Run the op by itself; None if it is right there, or another part of its codes is wrong."""
        if not isinstance(check.op, Layer):
            return None
        try:
            case = cut_out(self.plan, check, image)
            numbers = [i for i, op in enumerate(case.plan.program.ops) if op.name == check.op.name]
            own = explanation.own
            there = explain_code(case.plan, case.codes, check.op.output, 0, Pixel(own.channel, own.y, own.x)).place
        except InputError:
            return None
        if len(numbers) != 1:
            return None
        result = self._run(case.plan, case.inputs, numbers[0], there)
        written = None if result is None else result.codes.get(check.op.output)
        if result is None or written is None or not np.array_equal(written, check.found[image : image + 1]):
            return None
        self.case, self.alone, self.again = case, True, True
        return result.captured

    def _watch_whole(self, check: OpCheck, image: int, explanation: Explanation) -> Captured | None:
        inputs = {name: np.asarray(codes[image : image + 1], np.int32) for name, codes in self.inputs.items()}
        program = self.plan.program
        self.case = Case(program, self.plan.machine, inputs, {"op": check.op.name, "image": image})
        result = self._run(self.plan, inputs, check.number, explanation.place)
        self.again = result is not None and _same(result, check, image)
        return result.captured if result is not None and self.again else None

    def _run(self, plan: Plan, inputs: Mapping[str, NDArray[np.int32]], number: int,
             there: MachinePlace | None) -> RtlResult | None:
        """Run with waveforms of a code; None if the run fails."""
        self.window = None if there is None else window_of(there)
        waves = self.folder / WAVES
        result: RtlResult | None
        try:
            result = watch_op(plan, inputs, number, place=self.place, waves=waves, window=self.window)
        except IncompleteRun as error:
            result = error.result
        except EngineError:
            return None
        if there is not None:
            groups = signals_of(plan.program.ops[number], there, plan.machine)
            atomic_write_text(waves.with_suffix(".gtkw"), gtkwave_file(WAVES, groups))
            atomic_write_text(waves.with_suffix(".sucl"), surfer_file(WAVES, groups))
        return result


def _same(result: RtlResult, check: OpCheck, image: int) -> bool:
    """Return whether the op has written the same codes of an image again."""
    places = (slice(None), *check.places)
    codes = {**result.codes, **result.on_chip}.get(check.tensor)
    return codes is not None and np.array_equal(codes[places], check.found[image : image + 1])

