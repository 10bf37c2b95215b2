"""Programs with the arithmetic of a machine."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from bitwright.codesign.resolve import resolve_machine
from quant.lowering.lower import Lowered
from quant.lowering.lower import lower_with_report as lower_with_arithmetic
from sim.arch.machine import Machine
from sim.ir.program import Program

__all__ = ["lower", "lower_with_report"]


def lower(model: nn.Module, example: Tensor, machine: Machine | str | Path, *, fold: bool = False,
          tolerance: float | None = None) -> Program:
    """Make the integer Program of a quantized model, with the arithmetic of a machine.

    Convolution, BatchNorm, residual add, ReLU and quantizer become one op. The real output of the model becomes one
    signed tensor with the same scale in all channels, so that the largest code is the largest output.

    Parameters
    ----------
    model : nn.Module
        From `quantize`, in eval mode.
    example : float Tensor, shape (N, C, H, W)
        Fixes the shapes of all tensors.
    machine : Machine, str or Path
        A built-in machine by its name (tiny, edge, large), or a YAML file that describes one.
    fold : bool
        Fold the first layer (`quant.lowering.space_to_depth`): the codes are the same, but the input of the Program is
        the image that `fold_image` has folded.
    tolerance : float, at least 0, optional
        Error of the requantizers that their digits must not exceed [codes]. With less than usual, more codes are those
        of the model, at more digits and cycles; 0 spends all digits that the machine has.

    Raises
    ------
    InputError
        If the model is in training mode, a part of it has no counterpart on the accelerator or lacks a quantizer, or
        the first layer cannot be folded; the message says where.
    """
    return lower_with_report(model, example, machine, fold=fold, tolerance=tolerance).program


def lower_with_report(model: nn.Module, example: Tensor, machine: Machine | str | Path, *,
                      fold: bool = False, tolerance: float | None = None) -> Lowered:
    """Make the integer Program of a quantized model, with what its codes mean and what the host does to images.

    Parameters and errors are those of `lower`.

    Returns
    -------
    Lowered
        `program`; `scales`, the value of one code of each tensor; `errors` of each layer in codes; and `prepare`, which
        makes the Program's input of images as a data set gives them: it pads and folds them where that is left to the
        host.
    """
    return lower_with_arithmetic(model, example, resolve_machine(machine).arithmetic, fold=fold, tolerance=tolerance)
