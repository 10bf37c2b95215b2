"""Quantize PyTorch networks to few bits, and run, cost and verify them on a shift-and-accumulate accelerator.

Each name is imported from its own module when it is first used, so that importing the package takes milliseconds.

From PyTorch to a Program
    load_data : read a data set by name, from files or from memory
    load_model : read a network from an ONNX file or one of torch.export
    train, Recipe : train a model, in float or with quantizers; how
    save_weights, load_weights : write and read the weights of a model
    quantize : give a model quantizers wherever the accelerator stores codes
    reconstruct, Reconstruction : learn the rounding of its weights from unlabelled images; how
    lower : make the integer Program of a quantized model
    lower_with_report : make it with what its codes mean and what the host does to images
    evaluate : measure the accuracy of a model or a Program

Programs
    Program, Tensor, Conv, Format, Arithmetic : describe a network of integers by hand
    load_program, save_program : read and write a Program file
    batch : make one Program for several images, whose last layers read their weights once
    import_model : make the Program of a model that another tool has quantized
    export_onnx : write a Program as an ONNX or QONNX model whose tensors hold the same codes

Values
    simulate : compute the codes of every tensor by plain loops
    Simulator : compute the codes of the outputs at full speed

Costs
    load_machine : read the parameters of an accelerator
    plan : place a Program on a machine
    estimate : count cycles, energy and bytes of every layer
    area : count the area of every block and memory of a machine
    compare : put Programs and machines side by side, and tell which differences are certain
    sensitivities : tell what every layer loses at every width, from unlabelled images
    allocate : choose the bits of every layer under budgets
    with_bits : give a quantized model the bits that were chosen

Agreement
    verify : compare PyTorch, the simulator, ONNX Runtime and the RTL
    explain : tell what one code is made of, and where and when the machine makes it

Errors
    InputError : what every function raises when it cannot use its input

Examples
--------
>>> import bitwright as bw
>>> import numpy as np
>>> codes = bw.Format(4, "unsigned")
>>> two, one, zero = np.full((1, 1, 1, 1), 2, np.int8), np.ones((1, 1), np.int8), np.zeros(1, np.int64)
>>> double = bw.Conv("double", "x", "y", two, bw.Format(3, "signed"), one, shift=zero, offset=zero, low=0, high=15)
>>> program = bw.Program((bw.Tensor("x", 1, 3, (1,), codes), bw.Tensor("y", 1, 3, (1,), codes)), (double,))
>>> bw.simulate(program, {"x": np.array([[[[1, 5, 9]]]])})["y"]
array([[[[ 2, 10, 15]]]], dtype=int32)
>>> bw.estimate(program, "edge").latency_cycles
193
"""

from importlib import import_module
from typing import TYPE_CHECKING

__all__ = [
    "Arithmetic", "Conv", "Format", "InputError", "Program", "Recipe", "Reconstruction", "Simulator", "Tensor",
    "allocate", "area", "batch", "compare", "estimate", "evaluate", "explain", "export_onnx", "import_model",
    "load_data", "load_machine", "load_model", "load_program", "load_weights", "lower", "lower_with_report", "plan",
    "quantize", "reconstruct", "save_program", "save_weights", "sensitivities", "simulate", "train", "verify",
    "with_bits"]

_HOMES = {
    "Arithmetic": "sim.ir.arithmetic",
    "Conv": "sim.ir.ops",
    "Format": "sim.ir.formats",
    "InputError": "sim.errors",
    "Program": "sim.ir.program",
    "Recipe": "quant.training.recipe",
    "Reconstruction": "quant.ptq.reconstruct",
    "Simulator": "sim.functional.engine.simulator",
    "Tensor": "sim.ir.ops",
    "allocate": "bitwright.codesign.allocation",
    "area": "bitwright.codesign.costs",
    "batch": "sim.ir.batch",
    "compare": "bitwright.report.compared",
    "estimate": "bitwright.codesign.costs",
    "evaluate": "bitwright.codesign.evaluation",
    "explain": "bitwright.codesign.explain",
    "export_onnx": "bitwright.codesign.export",
    "import_model": "bitwright.codesign.import_model",
    "load_data": "bitwright.codesign.data",
    "load_machine": "sim.arch.machine",
    "load_model": "bitwright.codesign.model_files",
    "load_program": "sim.ir.serialize",
    "load_weights": "quant.training.checkpoint",
    "lower": "bitwright.codesign.lowering",
    "lower_with_report": "bitwright.codesign.lowering",
    "plan": "bitwright.codesign.costs",
    "quantize": "quant.convert",
    "reconstruct": "quant.ptq.reconstruct",
    "save_program": "sim.ir.serialize",
    "save_weights": "quant.training.checkpoint",
    "sensitivities": "bitwright.codesign.measured_sensitivities",
    "simulate": "sim.functional.reference",
    "train": "quant.training.loop",
    "verify": "bitwright.codesign.verify",
    "with_bits": "quant.bits.with_bits",
}

if TYPE_CHECKING:
    from bitwright.codesign.allocation import allocate
    from bitwright.codesign.costs import area, estimate, plan
    from bitwright.codesign.data import load_data
    from bitwright.codesign.evaluation import evaluate
    from bitwright.codesign.explain import explain
    from bitwright.codesign.export import export_onnx
    from bitwright.codesign.import_model import import_model
    from bitwright.codesign.lowering import lower, lower_with_report
    from bitwright.codesign.measured_sensitivities import sensitivities
    from bitwright.codesign.model_files import load_model
    from bitwright.codesign.verify import verify
    from bitwright.report.compared import compare
    from quant.bits.with_bits import with_bits
    from quant.convert import quantize
    from quant.ptq.reconstruct import Reconstruction, reconstruct
    from quant.training.checkpoint import load_weights, save_weights
    from quant.training.loop import train
    from quant.training.recipe import Recipe
    from sim.arch.machine import load_machine
    from sim.errors import InputError
    from sim.functional.engine.simulator import Simulator
    from sim.functional.reference import simulate
    from sim.ir.arithmetic import Arithmetic
    from sim.ir.batch import batch
    from sim.ir.formats import Format
    from sim.ir.ops import Conv, Tensor
    from sim.ir.program import Program
    from sim.ir.serialize import load_program, save_program
else:  # type checkers know the names above, and find that any other is a mistake

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module 'bitwright' has no attribute '{name}'")
        value = globals()[name] = getattr(import_module(_HOMES[name]), name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
