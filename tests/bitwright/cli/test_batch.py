"""`bitwright batch` makes a Program for several images and says what that saves."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import bitwright as bw
from bitwright.cli.app import main

Run = Callable[..., tuple[int, str, str]]
BYTE = bw.Format(8, "unsigned")


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    """Run a command; exit status, stdout and stderr."""
    def run(*arguments: object) -> tuple[int, str, str]:
        status = main([str(argument) for argument in arguments])
        return status, *capfd.readouterr()
    return run


def layer(name: str, source: str, target: str, shape: tuple[int, ...], pad: int = 0) -> bw.Conv:
    """A layer of random 4-bit weights for the digits of `tiny`."""
    weights = np.random.default_rng(0).integers(-8, 8, shape).astype(np.int8)
    return bw.Conv(name, source, target, weights, bw.Format(4, "signed"), np.ones((shape[0], 1), np.int8),
                   shift=np.full(shape[0], 5), offset=np.zeros(shape[0], np.int64), low=0, high=255, pads=(pad,) * 4)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A convolution and a linear layer."""
    tensors = bw.Tensor("x", 3, 3, (2,), BYTE), bw.Tensor("map", 3, 3, (8,), BYTE), bw.Tensor("y", 1, 1, (16,), BYTE)
    layers = layer("conv", "x", "map", (8, 2, 3, 3), pad=1), layer("linear", "map", "y", (16, 8, 3, 3))
    program = bw.Program(tensors, layers, bw.Arithmetic(acc_bits=24, window=10, terms=3))
    bw.save_program(program, tmp_path / "p.safetensors")
    return tmp_path / "p.safetensors"


def test_what_is_written_is_exact_on_the_hardware(run: Run, path: Path, tmp_path: Path) -> None:
    """All engines agree on the bits and the RTL on the cycles, of which an image takes fewer, with fewer weights."""
    made = tmp_path / "batch.safetensors"
    status, out, _ = run("batch", path, made, "--images", 3, "--machine", "tiny", "--json")
    data = json.loads(out)
    costs = data["costs_of_an_image"]
    one, three = costs["one after the other"], costs["in a batch"]
    assert status == 0
    assert data["stacked"] == ["map", "y"]
    assert three["latency_cycles"] == bw.estimate(bw.load_program(made), "tiny").latency_cycles / 3
    assert three["latency_cycles"] < one["latency_cycles"]
    assert three["weight_bytes"] < one["weight_bytes"]
    rng = np.random.default_rng(1)
    codes = {f"image {image}/x": rng.integers(0, 256, (1, 2, 3, 3)) for image in range(3)}
    result = bw.verify(bw.load_program(made), "tiny", codes, rtl_images=1)
    assert result.mismatches == 0
    assert result.layers[-1].counted == three["latency_cycles"] * 3


def test_people_see_what_runs_for_all(run: Run, path: Path, tmp_path: Path) -> None:
    """The tensors of all images are named."""
    status, out, _ = run("batch", path, tmp_path / "batch.safetensors", "-n", 2, "-m", "tiny")
    assert status == 0
    assert "tensors of all images: map, y" in out


def test_the_source_is_not_written_over(run: Run, path: Path) -> None:
    """Nor is anything else written then."""
    status, _, error = run("batch", path, path, "-n", 2)
    assert status == 1
    assert error.count("\n") == 1
    assert "p.safetensors" in error
