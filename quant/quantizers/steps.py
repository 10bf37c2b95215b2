"""Steps of least squared error, by trying them.

All searches run in units of a power of two near the data's largest magnitude, so that data 2**k times as large gets
steps 2**k times as large, to the bit, wherever both are ordinary floats.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from sim.errors import InputError
from sim.ir.formats import Format

__all__ = ["SMALLEST_STEP", "Fit", "best_signs", "best_steps", "check_rows", "fitted_steps", "largest_magnitudes",
           "least_errors", "octaves", "range_steps"]

Fit = Literal["error", "range"]
"""How a step is chosen: by the squared error, or so that nothing is clipped."""
CANDIDATES = 64
"""Steps tried: finer ones change the squared error by less than 1 % at 2 to 4 bits, by 8 % at 8 bits."""
SMALLEST_STEP = 2.0**-110
"""Where float32 ends: what smaller steps divide, and their 64 candidates, would lose bits."""
SMALLEST_SHARE = 2.0**-8
"""Share of the largest magnitude in the data that rows of zeros are taken to reach."""


def fitted_steps(rows: Tensor, fmt: Format, fit: Fit) -> Tensor:
    """Return a step for each row of `rows`; bipolar codes have no range, so that theirs always is the best."""
    if fit == "error" or fmt.kind == "bipolar":
        return least_errors(rows, fmt)[0]
    return range_steps(rows, fmt.low, fmt.high)


def least_errors(rows: Tensor, fmt: Format) -> tuple[Tensor, Tensor]:
    """Return the step of least squared error and that error [per element], for each row of `rows`."""
    return best_signs(rows) if fmt.kind == "bipolar" else best_steps(rows, fmt.low, fmt.high)


def check_rows(rows: Tensor) -> None:
    """Refuse data that no step can be fitted to: none at all, or not finite."""
    if not rows.numel():
        raise InputError("a step cannot be fitted to an empty tensor")
    if not bool(rows.isfinite().all()):
        raise InputError("a step cannot be fitted to values that are not finite")


def largest_magnitudes(rows: Tensor) -> Tensor:
    """Return the largest magnitude of each row; a row of zeros gets a share of the largest, and 1 if all are 0.

    >>> largest_magnitudes(torch.tensor([[3.0, -4.0], [0.0, 0.0]])), largest_magnitudes(torch.zeros(1, 2))
    (tensor([4.0000, 0.0156]), tensor([1.]))
    """
    largest = rows.abs().amax(1)
    most = largest.max()
    if float(most) == 0:
        return torch.ones_like(largest)
    return torch.where(largest == 0, most * SMALLEST_SHARE, largest)


def octaves(magnitudes: Tensor) -> Tensor:
    """Return the exponents k, int64, with 2**(k - 1) <= magnitude < 2**k.

    >>> octaves(torch.tensor([0.25, 1.0, 1.5, 3.0]))
    tensor([-1,  1,  1,  2])
    """
    return torch.frexp(magnitudes).exponent.to(torch.int64)


def range_steps(rows: Tensor, low: int, high: int) -> Tensor:
    """Return the smallest step at which no element of a row is clipped, for each row.

    Examples
    --------
    >>> range_steps(torch.tensor([[-4.0, 3.0], [0.5, 1.5]]), -4, 3)
    tensor([1.0000, 0.5000])
    """
    check_rows(rows)
    largest, smallest = rows.amax(1), rows.amin(1)
    ends = [end / code for end, code in ((largest, high), (smallest, low)) if code]
    steps = torch.stack(ends).amax(0)
    return torch.where(steps <= 0, largest_magnitudes(rows) / max(high, 1), steps).clamp(min=SMALLEST_STEP)


def best_steps(rows: Tensor, low: int, high: int) -> tuple[Tensor, Tensor]:
    """Return the step of least squared error and that error [per element], for each row of `rows`; codes are low..high.

    Examples
    --------
    >>> steps, errors = best_steps(torch.tensor([[-2.0, 0.0, 2.0]]), -2, 1)
    >>> steps, errors
    (tensor([2.]), tensor([0.]))
    """
    check_rows(rows)
    reach = max(high, 1)
    largest = largest_magnitudes(rows).clamp(min=SMALLEST_STEP * CANDIDATES * reach)
    unit = octaves(largest)
    rows, widest = torch.ldexp(rows, -unit[:, None]), torch.ldexp(largest, -unit) / reach
    best, least, values = widest, torch.full_like(widest, torch.inf), torch.empty_like(rows)
    for candidate in range(CANDIDATES, 0, -1):
        steps = widest * (candidate / CANDIDATES)
        values = torch.div(rows, steps[:, None], out=values).add_(0.5).floor_().clamp_(low, high).mul_(steps[:, None])
        errors = values.sub_(rows).square_().mean(1)
        best, least = torch.where(errors < least, steps, best), torch.minimum(errors, least)
    return torch.ldexp(best, unit), torch.ldexp(least, 2 * unit)


def best_signs(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return the scale of least squared error of codes -1 and 1, and that error [per element], for each row of `rows`.

    That scale is the mean magnitude (Rastegari et al., "XNOR-Net", ECCV 2016, arXiv 1603.05279, equation 6).

    Examples
    --------
    >>> best_signs(torch.tensor([[-2.0, 1.0, 3.0]]))
    (tensor([2.]), tensor([0.6667]))
    """
    check_rows(rows)
    largest = largest_magnitudes(rows).clamp(min=SMALLEST_STEP)
    unit = octaves(largest)
    rows = torch.ldexp(rows, -unit[:, None])
    scales = rows.abs().mean(1)
    scales = torch.where(scales == 0, torch.ldexp(largest, -unit), scales)
    errors = (rows.abs() - scales[:, None]).square().mean(1)
    return torch.ldexp(scales, unit).clamp(min=SMALLEST_STEP), torch.ldexp(errors, 2 * unit)
