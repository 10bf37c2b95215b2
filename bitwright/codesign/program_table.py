"""What is in a Program, op by op, for tables and JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from math import prod

from sim.ir.layer import Pads, Steps
from sim.ir.ops import Conv, Load, Op, Pool
from sim.ir.program import Program
from sim.ir.serialize import program_digest
from sim.ir.tensor import Run

__all__ = ["OpRow", "op_kind", "op_rows", "program_data", "steps_text"]


@dataclass(frozen=True)
class OpRow:
    """An op; what it does not have is None.

    Attributes
    ----------
    name, kind : str
    inputs : tuple of str
        Input and residual, with `[part]` or `[first:stop]` behind an input of which the op reads these parts.
    output : str
        With `[part]` behind it if the op writes one of several parts.
    shape : tuple of int
        (channels, height, width) of what it writes.
    input_format, output_format, weight_format : str
    kernel : (int, int)
    stride, dilation : (vertical, horizontal)
    groups : int
    pads : (top, left, bottom, right)
    digits, residual_digits : int
        Most digits of a channel's M and R.
    macs : int
        Multiplications of one image.
    first_row : int
        Of a Load or Store.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    output: str
    shape: tuple[int, int, int]
    input_format: str
    output_format: str
    weight_format: str | None = None
    kernel: tuple[int, int] | None = None
    stride: Steps | None = None
    dilation: Steps | None = None
    groups: int | None = None
    pads: Pads | None = None
    digits: int | None = None
    residual_digits: int | None = None
    macs: int = 0
    first_row: int | None = None


def program_data(program: Program) -> dict[str, object]:
    """Describe a whole Program as plain data: its hash, arithmetic, tensors, ops and totals of one image."""
    rows = op_rows(program)
    roles = {tensor.name: "input" for tensor in program.inputs} | {tensor.name: "output" for tensor in program.outputs}
    return {"sha256": program_digest(program), "arithmetic": asdict(program.arithmetic),
            "tensors": [{**asdict(tensor), "role": roles.get(tensor.name, "inner")} for tensor in program.tensors],
            "ops": rows, "macs": sum(row.macs for row in rows),
            "weight_bits": sum(conv.weights.size * conv.weight_format.bits for conv in program.convs
                               if conv.weight_format.kind != "unit")}


def op_rows(program: Program) -> list[OpRow]:
    """Describe every op of a Program, in order.

    Examples
    --------
    >>> from sim.ir.formats import Format
    >>> from sim.ir.tensor import Tensor
    >>> byte = Format(8, "unsigned")
    >>> tensors = Tensor("x", 4, 4, (3,), byte), Tensor("y", 2, 2, (3,), byte)
    >>> [row] = op_rows(Program(tensors, (Pool("pool", "x", "y", (2, 2), (2, 2)),)))
    >>> row.kind, row.shape, row.kernel, row.stride
    ('max pool', (3, 2, 2), (2, 2), (2, 2))
    """
    return [_row(program, op) for op in program.ops]


def steps_text(steps: Steps) -> str:
    """Write the steps of a window, as one number where both are the same.

    >>> steps_text((2, 2)), steps_text((2, 1))
    ('2', '2 x 1')
    """
    return " x ".join(map(str, steps if steps[0] != steps[1] else steps[:1]))


def op_kind(program: Program, op: Op) -> str:
    """Return what an op is called by what it computes: linear, add, product and average are Convs, too."""
    match op:
        case Pool():
            return "max pool"
        case Conv(gate=int()):
            return "product"
        case Conv(weight_format=fmt) if fmt.kind == "unit":
            return "average" if op.kernel != (1, 1) else "add" if op.residual else "copy"
        case Conv():
            source = program.tensor(op.input)
            whole = op.kernel == (source.height, source.width) and not any(op.pads)
            return "depthwise" if op.depthwise else "linear" if whole else "conv"
        case _:
            return op.kind


def _run_text(run: Run) -> str:
    first, stop = run
    return str(first) if stop == first + 1 else f"{first}:{stop}"


def _row(program: Program, op: Op) -> OpRow:
    source, target = program.tensor(op.input), program.tensor(op.output)
    part = None if isinstance(op, Pool | Load) else op.output_part
    channels = target.channels if part is None else target.parts[part]
    output = op.output if part is None or len(target.parts) == 1 else f"{op.output}[{part}]"
    reads = op.reads or (op.input,)
    if isinstance(op, Conv | Pool) and op.input_parts is not None:
        reads = (f"{op.input}[{_run_text(op.input_parts)}]", *reads[1:])
    row = OpRow(op.name, op_kind(program, op), reads, output,
                (channels, target.height, target.width), str(source.format), str(target.format))
    match op:
        case Conv():
            return replace(row, weight_format=str(op.weight_format), kernel=op.kernel, stride=op.stride,
                           dilation=op.dilation, groups=op.groups, pads=op.pads, digits=op.terms,
                           residual_digits=op.residual_terms, macs=op.weights.size * prod(op.map_size(source)))
        case Pool():
            return replace(row, kernel=op.kernel, stride=op.stride, pads=op.pads)
        case _:
            return replace(row, first_row=op.first_row)
