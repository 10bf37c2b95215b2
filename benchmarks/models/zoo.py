"""All networks by name, and how each is measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.models.case import Case
from benchmarks.models.classifiers import CLASSIFIERS, classifier
from benchmarks.models.faces import FACE_NETWORKS, face_case, faces_row
from benchmarks.models.maps import detection, segmentation
from benchmarks.models.measure import Row, measure
from benchmarks.models.notes import notes
from benchmarks.models.ocr import detector, direction
from sim.arch.machine import Machine
from sim.errors import InputError

__all__ = ["NETWORKS", "Places"]


@dataclass(frozen=True)
class Places:
    """Where files lie.

    Attributes
    ----------
    folder : Path
        What is kept between runs.
    packages : Path or None
        Wheels, unpacked in folders of their names.
    photos : Path or None
    """

    folder: Path
    packages: Path | None
    photos: Path | None

    def package(self, name: str) -> Path:
        """Return the folder of an unpacked wheel."""
        if self.packages is None or not (self.packages / name).exists():
            raise InputError(f"--packages must name a folder in which '{name}' lies, a wheel from PyPI, unpacked")
        return self.packages / name

    def pictures(self) -> Path:
        """Return the file of photographs."""
        if self.photos is None:
            raise InputError("--photos must name a file of photographs")
        return self.photos


def _face(name: str, places: Places) -> Case:
    return face_case(name, places.package("facenet_pytorch"), places.pictures(), places.folder)


def _classifier(name: str, places: Places) -> Case:
    return classifier(name, places.folder)


def _whole_search(places: Places, machine: Machine) -> Row:
    return faces_row(places.package("facenet_pytorch"), places.pictures(), places.folder, machine)


def _measured(make: Callable[[Places], Case], places: Places, machine: Machine) -> Row:
    return measure(make(places), machine, places.folder)


CASES: Mapping[str, Callable[[Places], Case]] = {
    "ppocr_direction": lambda places: direction(places.package("rapidocr_onnxruntime")),
    "ppocr_detector": lambda places: detector(places.package("rapidocr_onnxruntime")),
    **{name: partial(_face, name) for name in FACE_NETWORKS},
    "basic_pitch": lambda places: notes(places.package("basic_pitch"), places.folder),
    **{name: partial(_classifier, name) for name in CLASSIFIERS},
    "yolo": lambda places: detection(places.folder),
    "unet": lambda places: segmentation(places.folder),
}
"""Makers of what is measured by itself."""
NETWORKS: Mapping[str, Callable[[Places, Machine], Row]] = {
    name: made for each, make in CASES.items() for name, made in (
        (each, partial(_measured, make)), *([("mtcnn", _whole_search)] if each == "onet" else []))}
"""What measures each, in the order of the table."""
