"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from bitwright.cli.manner import MANNER
from bitwright.cli.parameter_types import Numbers, file_argument, integer, numbers, path_option, program_argument

__all__ = [
           "MAX_COUNT",
           "MAX_DIGITS",
           "MAX_RATE",
           "MAX_WORKERS",
           "PROGRAM_HELP",
           "AsJson",
           "Asymmetric",
           "DataName",
           "Deviation",
           "FirstLastBits",
           "FloatWeights",
           "Images",
           "InputFile",
           "MachineName",
           "Mean",
           "NetworkName",
           "PostTrainingScheme",
           "ProgramFile",
           "Ranges",
           "Resize",
           "RtlSimulator",
           "Seed",
           "Size",
           "TechnologyName",
]

MAX_COUNT, MAX_WORKERS, MAX_RATE, MAX_SEED, MAX_LENGTH = 10**9, 1024, 1e6, 2**32 - 1, 4096

MAX_DIGITS = 8

PROGRAM_HELP = "A Program, *.safetensors."
ProgramFile = Annotated[Path, program_argument(PROGRAM_HELP)]
MachineName = Annotated[
    str, typer.Option("--machine", "-m", help="A built-in machine (tiny, edge, large) or a YAML file.")]
TechnologyName = Annotated[
    str | None, typer.Option("--technology", help="A built-in technology or a YAML file; default: the machine's.")]
InputFile = Annotated[
    Path | None, path_option("Input codes, .npz or .npy, (N, C, H, W); default: random.", "--input", "-i")]
Images = Annotated[int, integer(1, MAX_COUNT, "How many images to run.", "--images", "-n")]
Seed = Annotated[int, integer(0, MAX_SEED, "Seed of all random numbers.", "--seed")]
RtlSimulator = Annotated[Literal["auto", "icarus", "verilator", "lean"], typer.Option(
    "--simulator", "--engine", help="icarus starts at once and alone knows undefined bits, verilator runs faster, lean "
    "fastest, for whole networks; auto picks the one expected to finish first.")]
NetworkName = Annotated[
    str, typer.Argument(help="A network by name, such as resnet8 or mobilenet_v2; a model of another tool, *.onnx or "
                        "*.pt2; or FILE.py:NAME or MODULE:NAME, your own nn.Module or what makes it: its code is run.")]
FloatWeights = Annotated[Path | None, file_argument(
    "Weights of the float network, *.safetensors; of an own network that has them already, none.")]
PostTrainingScheme = Annotated[
    Literal["power_of_two", "uniform"], typer.Option("--scheme", help="Power-of-two or real steps.")]
DataName = Annotated[str, typer.Option(
    "--data", "-d", help="glyphs or digits; a folder with train/ and val/, or with train.npz, ...; an .npz file; or "
    "FILE.py:NAME or MODULE:NAME of your own, whose code is run.")]
Size = Annotated[int | None, integer(
    1, MAX_LENGTH, "Height and width to which images of folders are cut; default: 224.", "--size")]
Resize = Annotated[int | None, integer(
    1, MAX_LENGTH, "Length of their short side before; default: 8/7 of the size, and images that have the size already "
    "stay as they are.", "--resize")]
Mean = Annotated[Numbers | None, numbers(
    "Mean of pixels of 0..1, such as 0.485,0.456,0.406; default: ImageNet's, or 0.5 if not of 3 channels.",
    "--mean")]
Deviation = Annotated[Numbers | None, numbers("Their standard deviation; default: ImageNet's, or 0.5.", "--std")]
FirstLastBits = Annotated[int, integer(1, 8, "Bits of the first and the last layer.")]
Asymmetric = Annotated[bool, typer.Option("--asymmetric", help="Give tensors of both signs zero points.")]
Ranges = Annotated[Literal["mse", "range", "percentile", "kl", "output"], typer.Option(
    "--ranges", help="What the step of a tensor is chosen by: least squared error, nothing clipped, at most 0.01 % "
    "clipped at either end, entropy, or what it does to the layers that read it.")]
AsJson = Annotated[bool, typer.Option(
    "--json", help="Print JSON instead of tables, also of what failed.", is_eager=True, callback=MANNER.say_json)]
