"""basic-pitch from its first convolution in two axes on, on tones that are added up here.

What comes before, a transform of constant Q of 2 s of sound and its logarithm, is the host's: ONNX Runtime computes it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper
from onnx.utils import Extractor

from benchmarks.models.case import Case, Values, codes_of, onnx_session
from bitwright.codesign.model_files import load_model
from sim.ir.formats import Format

__all__ = ["notes"]

SOURCE = "basic-pitch 0.4.0, ONNX"
MAP = (8, 172, 264)
"""Harmonics, steps of time, thirds of semitones from 27.5 Hz on."""
FORM, EXPONENT = Format(8, "signed"), -6
SAMPLES, RATE, LOWEST = 43844, 22050, 27.5
CALIBRATION, TEST, HARMONICS = 8, 12, 6
NOTE, ONSET = 0.3, 0.5
"""Probabilities from which basic-pitch takes a cell for a note, and for its start."""


def notes(package: Path, folder: Path) -> Case:
    """Return the network, which says of each step and pitch whether a note sounds, starts, and where it lies."""
    host, path = _parts(package / "basic_pitch" / "saved_models" / "icassp_2022" / "nmp.onnx",
                        folder / "basic_pitch.onnx")
    (given,), rng = host.get_inputs(), np.random.default_rng(0)
    played = [_chords(rng) for _ in range(CALIBRATION + TEST)]
    maps = np.concatenate([host.run(None, {given.name: sound})[0] for sound, _ in played])
    codes = codes_of(torch.from_numpy(maps), FORM, EXPONENT)
    truth = [chords for _, chords in played[CALIBRATION:]]

    def judge(wanted: Values, found: Values) -> dict[str, tuple[float | None, float]]:
        real, ours = (values[1] > NOTE for values in (wanted, found))
        same = 2 * float((real & ours).sum()) / max(float(real.sum() + ours.sum()), 1)
        return {"notes heard": (_heard(wanted[1], truth), _heard(found[1], truth)),
                "cells with a note, F1 against float": (None, same),
                "starts on the same side": (None, float(((wanted[0] > ONSET) == (found[0] > ONSET)).mean()))}

    session, nodes = onnx_session(path)
    return Case("basic_pitch", SOURCE, load_model(path, MAP), session, nodes, codes[:CALIBRATION], codes[CALIBRATION:],
                judge, input_format=FORM, input_exponent=EXPONENT)


def _parts(source: Path, tail: Path) -> tuple[onnxruntime.InferenceSession, Path]:
    """Return what comes before the first convolution with a kernel in both axes, and write the rest."""
    model = onnx.load(source)
    first = next(node for node in model.graph.node if node.op_type == "Conv" and _kernel(node)[0] > 1).input[0]
    model.graph.value_info.append(helper.make_tensor_value_info(first, TensorProto.FLOAT, ["n", *MAP]))
    extractor = Extractor(model)
    onnx.save(extractor.extract_model([first], [output.name for output in model.graph.output]), tail)
    before = extractor.extract_model([model.graph.input[0].name], [first])
    return onnxruntime.InferenceSession(before.SerializeToString()), tail


def _kernel(node: onnx.NodeProto) -> list[int]:
    return next(list(each.ints) for each in node.attribute if each.name == "kernel_shape")


def _chords(rng: np.random.Generator) -> tuple[NDArray[np.float32], list[tuple[int, int, int]]]:
    """Return a sound, shape (1, samples, 1), and its notes: key, first and last step of time."""
    time, sound, played = np.arange(SAMPLES) / RATE, np.zeros(SAMPLES), []
    for start in np.sort(rng.uniform(0, 1.4, 4)):
        for key in rng.integers(20, 70, size=rng.integers(1, 4)):
            since = time - start
            envelope = np.where(since > 0, np.exp(-np.clip(since, 0, None) * rng.uniform(1, 4)), 0)
            envelope *= np.clip(since / 0.01, 0, 1)
            pitch = LOWEST * 2 ** (key / 12)
            for harmonic in range(1, HARMONICS + 1):
                sound += envelope * np.sin(2 * np.pi * pitch * harmonic * since) / harmonic ** rng.uniform(1, 2)
            frame = int(start * MAP[1] / time[-1])
            played.append((int(key), frame + 2, min(frame + 20, MAP[1])))
    sound = 0.5 * sound / np.abs(sound).max() + rng.normal(0, 0.002, SAMPLES)
    return sound.astype(np.float32)[None, :, None], played


def _heard(found: NDArray[np.float32], truth: list[list[tuple[int, int, int]]]) -> float:
    """Return the share of notes that are heard for most of the time in which they must be."""
    heard = [np.median(cells[first:last, key]) > NOTE for cells, chords in zip(found, truth, strict=True)
             for key, first, last in chords]
    return float(np.mean(heard))
