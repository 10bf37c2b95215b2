"""How far each op of an imported Program is from the model by itself, and how far with all ops before it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import bitwright
from benchmarks.others.measure import given_to, wanted_codes
from benchmarks.others.references import reference_of
from quant.lowering.imported import InputCodes
from sim.functional.engine.simulator import Simulator
from sim.ir.cut import cut

__all__ = ["Distance", "apart", "table_of"]


@dataclass(frozen=True)
class Distance:
    """How far codes are from those of the reference.

    Attributes
    ----------
    share : float
        Share of differing codes.
    mean, largest : float
        Of all distances [codes].
    """

    share: float
    mean: float
    largest: float

    @classmethod
    def of(cls, found: NDArray[np.integer], wanted: NDArray[np.integer]) -> Distance:
        """Return the distance of codes."""
        away = np.abs(found.astype(np.int64) - wanted)
        return cls(float((away > 0).mean()), float(away.mean()), float(away.max()))


def apart(path: Path, images: NDArray[np.float32], machine: str,
          inputs: InputCodes | None = None) -> Iterator[tuple[str, Distance, Distance]]:
    """Yield the name of each tensor that can be compared, its distance, and that of its op by itself.

    By itself an op reads the codes of the model's own tool. Left out are ops that read or write what the tool does not
    hold.
    """
    imported = bitwright.import_model(path, machine, inputs=inputs)
    program, given = imported.lowered.program, given_to(imported, images)
    _, wanted = wanted_codes(imported, reference_of(path), images)
    together, held = imported.program_codes(given), dict(imported.input_codes(given))
    held |= {name: imported.placed(codes, name) for name, codes in wanted.items()}
    for op in program.ops:
        name = op.output
        alone = cut(program, op.name, op.name)
        if name in wanted and all(tensor.name in held for tensor in alone.inputs) and len(
                program.tensor(name).parts) == 1:
            found = Simulator(alone, capture=[name]).run({tensor.name: held[tensor.name] for tensor in alone.inputs})
            yield name, Distance.of(together[name], wanted[name]), Distance.of(found[name], held[name])


def table_of(rows: Iterator[tuple[str, Distance, Distance]]) -> str:
    """Return the distances as a table."""
    lines = ["| tensor | differ | mean | largest | op alone: differ | largest |", "|---|--:|--:|--:|--:|--:|"]
    lines += [f"| {name} | {100 * whole.share:.2g} % | {whole.mean:.3f} | {whole.largest:.0f} | "
              f"{100 * alone.share:.2g} % | {alone.largest:.0f} |" for name, whole, alone in rows]
    return "\n".join(lines) + "\n"
