"""The shapes of a Program: what `sim.ir.shapes` makes Programs of other bits from."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from sim.errors import InputError
from sim.io.bounds import shown
from sim.ir.ops import Conv, Pool, Transfer
from sim.ir.program import Program
from sim.ir.shapes import ChosenBits, Shapes

__all__ = ["shapes_of", "shapes_yaml"]


def shapes_of(program: Program, name: str, marks: ChosenBits) -> Shapes:
    """Return the shapes of a Program, with the widths that `marks` gives left open.

    Parameters
    ----------
    program : Program
        Without Loads and Stores.
    name : str
        Of the network.
    marks : ChosenBits
        Widths that the Program has where bits are chosen, and nowhere else. Its digits do not matter.

    Raises
    ------
    InputError
        If the Program has Loads or Stores.
    """
    inputs = {tensor.name: {"channels": tensor.channels, "height": tensor.height, "width": tensor.width,
                            "bits": tensor.format.bits, "signed": tensor.format.kind == "signed",
                            "parts": tensor.parts if len(tensor.parts) > 1 else ()}
              for tensor in program.inputs}
    layers, last = list[dict[str, Any]](), next(iter(inputs))
    for op in program.ops:
        if isinstance(op, Transfer):
            raise InputError(f"shapes are of a Program without Loads and Stores, which op '{shown(op.name)}' is")
        row = _conv(program, op, marks) if isinstance(op, Conv) else _pool(op)
        row["input_parts"] = op.input_parts
        row |= {} if op.input == last else {"input": op.input}
        layers.append(row | ({} if op.output == op.name else {"output": op.output}))
        last = op.output
    return Shapes.model_validate({"name": name, "inputs": inputs, "layers": layers})


def shapes_yaml(shapes: Shapes) -> str:
    """Return the text of a file that `sim.ir.shapes.load_shapes` reads: a line for each input and layer."""
    inputs = [f"  {json.dumps(name)}: {json.dumps(one.model_dump(exclude_defaults=True))}\n"
              for name, one in shapes.inputs.items()]
    layers = [f"- {json.dumps(layer.model_dump(exclude_defaults=True))}\n" for layer in shapes.layers]
    return f"name: {json.dumps(shapes.name)}\ninputs:\n{''.join(inputs)}layers:\n{''.join(layers)}"


def _pool(op: Pool) -> dict[str, Any]:
    return {"name": op.name, "pool": True, "kernel": op.kernel, "stride": op.stride, "pads": op.pads}


def _conv(program: Program, op: Conv, marks: ChosenBits) -> dict[str, Any]:
    target = program.tensor(op.output)
    row = {"name": op.name, "channels": op.channels, "kernel": op.kernel, "stride": op.stride, "dilation": op.dilation,
           "pads": op.pads, "weights": _weights(op, marks), "residual": op.residual, "residual_part": op.residual_part,
           "residual_broadcast": op.residual_broadcast, "gate": op.gate is not None, "part": op.output_part,
           "depthwise": op.prefer_depthwise,
           "table": 0 if op.table is None else op.table.index.bits,
           "bits": {marks.activations: "activations", marks.first_last: "first_last"}.get(target.format.bits,
                                                                                        target.format.bits),
           "signed": target.format.kind == "signed"}
    if op.weight_format.kind != "unit":
        row["groups"] = op.groups
    if len(target.parts) > 1:
        row["parts"] = target.parts
    if op.gate is not None or row["weights"] == "ones":
        row["digits"] = op.terms
    if op.groups == 1 and op.weight_format.kind == "signed":
        used = int(np.count_nonzero(op.weights.any(axis=0)))
        row |= {"used": used} if used < op.weights[0].size else {}
    return row


def _weights(op: Conv, marks: ChosenBits) -> int | str:
    if op.weight_format.kind == "unit":
        return "unit"
    if op.weight_format.kind == "unsigned":
        return "ones"
    bits = op.weight_format.bits
    return {marks.weights: "weights", marks.first_last: "first_last"}.get(bits, bits)
