"""Sensitivities of a quantized network, from images without labels."""

from __future__ import annotations

from collections.abc import Sequence

from torch import fx

from bitwright.codesign.progress import SILENT, Progress
from quant.bits.sensitivities import Measurement, SensitivityMethod
from quant.calibration.images import Data

__all__ = ["measured", "sensitivities"]


def sensitivities(model: fx.GraphModule, data: Data, *, bits: Sequence[int] = tuple(range(2, 9)),
                  method: SensitivityMethod = "fisher", seed: int = 0) -> dict[str, object]:
    """Tell what each layer loses at each width, from images without labels and without training.

    Parameters
    ----------
    model : fx.GraphModule
        From `quantize`, at any bits; it is not changed.
    data : float Tensor, shape (n, C, H, W), uint8 if the input is pixels; or an iterable of such batches
        All classes mixed, as for `quantize`, such as a `DataLoader`; read once and kept as the host's codes.
    bits : sequence of int, 1..8
        Widths to tell the losses of, rising.
    method : {"fisher", "measured"}
        `fisher` foresees the divergence from the float network's predictions to second order; `measured` quantizes one
        tensor at a time and measures it, which takes longer.
    seed : int
        Of the random signs that stand for labels.

    Returns
    -------
    dict
        What `allocate` takes as `sensitivities`: `bits`, and a loss per width by layer (`weight`) and by stored tensor
        (`activation`) [nats].

    Raises
    ------
    InputError
        If the method is unknown, widths do not rise, or images or model cannot be used.
    """
    return measured(Measurement(model, data, bits, method=method, seed=seed))


def measured(measurement: Measurement, progress: Progress = SILENT) -> dict[str, object]:
    """Run a measurement, and return its losses as a sensitivities file holds them."""
    weight, activation = measurement.run(progress.done)
    return {"bits": list(measurement.bits), "weight": weight, "activation": activation}
