"""What a code of each tensor means, as `bitwright train` and `quantize` write it beside a Program."""

from __future__ import annotations

from pathlib import Path

from bitwright.codesign.json_file import read_json
from sim.errors import InputError
from sim.io.bounds import shown, shown_path

__all__ = ["load_scales"]


def load_scales(path: str | Path) -> dict[str, float]:
    """Read the value of one code of each tensor from the entry `scales` of a JSON file.

    Raises
    ------
    InputError
        If the file cannot be read, is not JSON, or has no `scales` that are numbers by the names of tensors.
    """
    found = read_json(path, "scales")
    scales = found.get("scales") if isinstance(found, dict) else None
    if not isinstance(scales, dict):
        raise InputError(f"scales '{shown_path(path)}': must be an object with an entry 'scales', an object of numbers")
    for name, scale in scales.items():
        if isinstance(scale, bool) or not isinstance(scale, int | float):
            raise InputError(f"scales '{shown_path(path)}': the scale of tensor '{shown(name)}' must be a number, "
                             f"not {shown(scale)}")
    return {name: float(scale) for name, scale in scales.items()}
