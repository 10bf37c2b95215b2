"""The three networks of facenet-pytorch, on photographs: PReLU, max pools in ceil_mode, linear layers."""

from __future__ import annotations

import sys
from importlib import util
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.models.cascade import THRESHOLDS, Network, find_faces, matched
from benchmarks.models.case import Case, Values, onnx_session, values_of_file
from benchmarks.models.measure import BITS, ProgramModel, Row
from benchmarks.real.pictures import load_pictures
from quant.convert import quantize
from quant.data.pixels import Pixels
from sim.arch.machine import Machine
from sim.cost.estimate import estimate
from sim.energy.technology import load_technology
from sim.plan.plan import plan

__all__ = ["FACE_NETWORKS", "Searched", "face_case", "face_networks", "faces_row"]

FACE_NETWORKS = {"pnet": "PNet", "rnet": "RNet", "onet": "ONet"}
PIXELS = Pixels((0.5,) * 3, (128 / 255,) * 3)
"""MTCNN reads (pixel - 127.5) / 128."""
SOURCE = "facenet-pytorch 2.6.0, PyTorch"
PHOTOS, CALIBRATION, TEST = 1000, 128, 300
"""Photos that are searched, and how many images of each network are taken at most."""
PYRAMID, SMALL = 68, 16
"""Height and width of the largest image that the first network gets, and of a small one [pixels]."""


def face_networks(package: Path) -> dict[str, nn.Module]:
    """Return the networks of an unpacked wheel, with their weights."""
    models = package / "facenet_pytorch" / "models"
    for name in ("bitwright_facenet", "bitwright_facenet.utils"):  # its search, which needs torchvision, is not used
        sys.modules[name] = ModuleType(name)
        sys.modules[name].__path__ = [str(models)]
    search = ModuleType("bitwright_facenet.utils.detect_face")
    search.detect_face = search.extract_face = None  # type: ignore[attr-defined]
    sys.modules[search.__name__] = search
    spec = util.spec_from_file_location("bitwright_facenet.mtcnn", models / "mtcnn.py")
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return {name: getattr(module, kind)().eval() for name, kind in FACE_NETWORKS.items()}


class Searched:
    """Photos in which the float networks find faces, and what each network has looked at there.

    Parameters
    ----------
    networks : dict of str to nn.Module
    photos : Path
        As `benchmarks.real` reads them.
    kept : Path
        File that says which photos have faces; it is made anew if it is missing.

    Attributes
    ----------
    calibration, judged : uint8 Tensors, shape (n, 3, H, W)
        Every second photo with a face, and the others.
    """

    def __init__(self, networks: dict[str, nn.Module], photos: Path, kept: Path) -> None:
        self.sessions = {name: onnx_session(model, torch.zeros(1, 3, size, size))
                         for (name, model), size in zip(networks.items(), (PYRAMID, 24, 48), strict=True)}
        self.real: dict[str, Network] = {
            name: lambda pixels, session=session: values_of_file(session, PIXELS.values(pixels))
            for name, (session, _) in self.sessions.items()}
        stored = load_pictures(photos).stored[:PHOTOS]
        if not kept.exists():
            np.save(kept, [index for index, photo in enumerate(stored) if len(find_faces(photo, self.real).boxes)])
        shown = stored[torch.from_numpy(np.load(kept))]
        self.calibration, self.judged = shown[::2], shown[1::2]

    def seen(self, name: str, photos: Tensor, count: int) -> Tensor:
        """Return images that a network looks at in these photos, in an order of chance."""
        if name == "pnet":
            return functional.adaptive_avg_pool2d(photos.float(), PYRAMID).round().to(torch.uint8)[:count]
        crops = [found.crops[name] for photo in photos if name in (found := find_faces(photo, self.real)).crops]
        images = torch.cat(crops)
        return images[torch.randperm(len(images), generator=torch.Generator().manual_seed(0))[:count]]


def face_case(name: str, package: Path, photos: Path, folder: Path) -> Case:
    """Return one of the three networks with its images."""
    networks = face_networks(package)
    searched = Searched(networks, photos, folder / "faces.npy")
    threshold = THRESHOLDS[[*FACE_NETWORKS].index(name)]

    def judge(wanted: Values, found: Values) -> dict[str, tuple[float | None, float]]:
        real, ours = (values[-1][:, 1] for values in (wanted, found))
        places = np.asarray(real > threshold)
        away = np.abs(np.moveaxis(wanted[0] - found[0], 1, -1)[places])
        return {"same side of the threshold": (None, float((places == (ours > threshold)).mean())),
                "mean distance of probabilities": (None, float(np.abs(real - ours).mean())),
                "mean distance of box corrections of faces": (None, float(away.mean()))}

    session, nodes = searched.sessions[name]
    images = searched.seen(name, searched.judged, TEST)
    small = images[:1, :, :SMALL, :SMALL] if name == "pnet" else None
    return Case(name, SOURCE, networks[name], session, nodes, searched.seen(name, searched.calibration, CALIBRATION),
                images, judge, pixels=PIXELS, small=small)


def faces_row(package: Path, photos: Path, folder: Path, machine: Machine) -> Row:
    """Return how the three Programs together find the faces that the float networks find, and what a photo takes."""
    networks = face_networks(package)
    searched = Searched(networks, photos, folder / "faces.npy")
    programs = {name: Programs(name, networks[name], searched, machine) for name in networks}
    real = [find_faces(photo, searched.real).boxes for photo in searched.judged]
    ours = [find_faces(photo, programs).boxes for photo in searched.judged]
    both, count = sum(map(matched, real, ours)), sum(map(len, real))
    costs = np.sum([each.costs for each in programs.values()], axis=0) / len(searched.judged)
    return Row("mtcnn", SOURCE, sum(nodes for _, nodes in searched.sessions.values()), images=len(searched.judged),
               calibration=len(searched.calibration), cycles=int(costs[0]),
               energy_uj=[round(float(pj) / 1e6, 3) for pj in costs[1:]],
               task={"faces": (float(count), float(sum(map(len, ours)))),
                     "matched faces (IoU 0.7)": (None, both / max(count, 1))})


class Programs:
    """A network as Programs, one for each size of its images; `costs` counts what all images have taken.

    Attributes
    ----------
    costs : float64 array, shape (4,)
        Cycles, and nominal, least and most energy [pJ].
    """

    def __init__(self, name: str, network: nn.Module, searched: Searched, machine: Machine) -> None:
        self.machine, self.costs = machine, np.zeros(4)
        self.quantized = quantize(network, searched.seen(name, searched.calibration, CALIBRATION), scheme="uniform",
                                  weight_bits=BITS, activation_bits=BITS, pixels=PIXELS)
        self.made: dict[tuple[int, ...], tuple[ProgramModel, NDArray[np.float64]]] = {}

    def __call__(self, pixels: Tensor) -> list[NDArray[np.float32]]:
        """Return the outputs for images, uint8, shape (n, 3, H, W)."""
        size = tuple(pixels.shape[2:])
        if size not in self.made:
            model = ProgramModel(self.quantized, PIXELS.values(pixels[:1]), self.machine)
            found = estimate(plan(model.lowered.program, self.machine), load_technology(self.machine.technology))
            energy = found.energy
            self.made[size] = model, np.array([found.latency_cycles, energy.nominal_pj, energy.low_pj, energy.high_pj])
        model, costs = self.made[size]
        self.costs += len(pixels) * costs
        return model(pixels)
