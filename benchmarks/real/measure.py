"""Make a quantized network, unless that was done before, judge its Program, and write down what came out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from torch import fx, nn

from benchmarks.real.judge import classes_of, cost_of, exactness, logits_of, paired
from benchmarks.real.record import Clock, Settings, done, name_of, write
from quant.data.images import Images
from quant.lowering.lower import lower_with_report
from quant.lowering.strict import check_powers_of_two
from quant.schemes import scheme_of
from quant.training.checkpoint import save_weights
from sim.arch.machine import load_machine

__all__ = ["MACHINE", "Files", "measure"]

MACHINE = "edge"


@dataclass(frozen=True)
class Files:
    """Where a configuration keeps what it does.

    Attributes
    ----------
    out : Path
        Folder of the records.
    name : str
        Of the configuration.
    """

    out: Path
    name: str

    @property
    def checkpoint(self) -> Path:
        """What the configuration goes on from after an interruption."""
        return self.out / "unfinished" / f"{self.name}.safetensors"

    @property
    def clock(self) -> Path:
        """Seconds so far."""
        return self.out / "unfinished" / f"{self.name}.clock"

    @property
    def weights(self) -> Path:
        """The quantized network."""
        return self.out / "weights" / f"{self.name}.safetensors"


def measure(out: Path, settings: Settings, net: nn.Module, test: Images,
            make: Callable[[Files, Clock], fx.GraphModule]) -> dict[str, Any]:
    """Return the record of a configuration, made now if there is none.

    Parameters
    ----------
    out : Path
    settings : mapping
        With `scheme`; what the record is known by.
    net : nn.Module
        The float network.
    test : Images
        None of them may have been looked at before.
    make : callable
        Makes the quantized network.

    Raises
    ------
    InputError
        If a strict network takes more than one exact shift for a multiplication.
    EngineError
        If another engine gives other logits.
    """
    known = done(out, settings)
    if known is not None:
        return known
    files = Files(out, name_of(settings))
    clock = Clock(files.clock)
    model = make(files, clock)
    files.weights.parent.mkdir(parents=True, exist_ok=True)
    save_weights(model, files.weights)
    machine = load_machine(MACHINE)
    with clock.stage("lower"):
        lowered = lower_with_report(model, test.values(slice(1)), machine.arithmetic)
    if scheme_of(settings["scheme"]).strict:
        check_powers_of_two(lowered)
    with clock.stage("float"):
        real = _kept_classes(net, test, out / "unfinished")
    with clock.stage("simulate"):
        logits = logits_of(lowered, test)
    found = paired(test, real, logits)
    with clock.stage("compare"):
        exact = exactness(model, lowered, test, logits)
    record = write(out, settings, {
        "answers": found.to_json(), "exact": exact, "machine": MACHINE, "cost": cost_of(lowered, machine),
        "digits": max(lowered.digits.values())}, clock)
    files.checkpoint.unlink(missing_ok=True)
    return record


def _kept_classes(net: nn.Module, images: Images, folder: Path) -> NDArray[np.int64]:
    """Return the float network's classes, from a file if it gave them before."""
    key = crc32(images.codes(slice(None)).numpy().tobytes())
    for tensor in net.state_dict().values():
        key = crc32(tensor.contiguous().numpy().tobytes(), key)
    path = folder / f"float-{key:08x}.npy"
    if not path.exists():
        found = classes_of(net, images)
        np.save(path, found)
        return found
    return np.load(path, allow_pickle=False)
