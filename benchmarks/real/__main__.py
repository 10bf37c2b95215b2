"""Measure integer Programs of networks with public weights on photographs, beside their own float networks.

    python -m benchmarks.real efficientnet --weights FILE --photos FILE --bits 4/8 --scheme uniform --half first
    python -m benchmarks.real resnet20 --weights FILE --train FILE --test FILE --method training --bits 2/2 --scheme lsq
    python -m benchmarks.real mobilenet --bits 2/4 --scheme power_of_two --seed 0
    python -m benchmarks.real summary

The data are no part of the project: `benchmarks/real/published.py` says where weights come from, `pictures.py` what
files of pictures hold. A configuration that is done is a JSON file in `--out` and is not run again; one that was
interrupted goes on from its last checkpoint by the same command. A record holds the answers of the Program in the
simulator on every picture, and is written only if another engine gave the same logits (`benchmarks/real/judge.py`).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
import torch

from benchmarks.real import efficientnet, mobilenet, resnet20, training
from benchmarks.real.paired import Paired
from benchmarks.real.post_training import PRESETS, PostTraining
from benchmarks.real.record import Settings, read_all
from benchmarks.real.summary import markdown, rows
from quant.schemes import SCHEMES
from sim.errors import InputError

OUT = Path("benchmarks/results/real")


def main(arguments: list[str] | None = None) -> int:
    """Run one configuration, or show all."""
    chosen = _parser().parse_args(arguments)
    torch.set_num_threads(chosen.threads)
    try:
        if chosen.network == "summary":
            records = read_all(chosen.out)
            print(json.dumps(rows(records), indent=1) + "\n" if chosen.json else markdown(records), end="")
        else:
            _show(_RUNS[chosen.network](chosen), chosen.json)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; the same command goes on", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.real", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    networks = parser.add_subparsers(dest="network", required=True)
    summary, lite, resnet, mobile = (networks.add_parser(name) for name in
                                     ("summary", "efficientnet", "resnet20", "mobilenet"))
    for each in (summary, lite, resnet, mobile):
        each.add_argument("--out", type=Path, default=OUT, help="folder of the records")
        each.add_argument("--threads", type=int, default=1)
        each.add_argument("--json", action="store_true", help="print JSON: a list of the table's rows, or the record")
    for each in (lite, resnet, mobile):
        each.add_argument("--bits", default="8/8", help="of weights and activations; first and last layers have 8/8")
        each.add_argument("--scheme", choices=sorted(SCHEMES), default="uniform")
        each.add_argument("--preset", choices=sorted(PRESETS), default="fast", help="how to reconstruct")
    lite.add_argument("--weights", type=Path, required=True)
    lite.add_argument("--photos", type=Path, required=True)
    lite.add_argument("--half", choices=efficientnet.HALVES, default="first", help="of the pictures, to calibrate with")
    lite.add_argument("--images", type=int, default=500, help="pictures in each half")
    lite.add_argument("--calibrate", type=int, default=500, help="pictures of the half that calibrate")
    lite.add_argument("--signed-bits", type=int, help="of tensors of both signs, such as linear bottlenecks")
    resnet.add_argument("--weights", type=Path, required=True)
    resnet.add_argument("--train", type=Path, required=True)
    resnet.add_argument("--test", type=Path, required=True)
    resnet.add_argument("--method", choices=("training", "budget", "post-training"), default="training",
                        help="budget: QBitOpt within the cycles of a network of --bits")
    resnet.add_argument("--epochs", type=int, default=10, help="of training with quantizers")
    resnet.add_argument("--float-epochs", type=int, default=6, help="of fine-tuning in float on the copies")
    resnet.add_argument("--bfloat16", action="store_true", help="convolutions of trainings, in float as well")
    resnet.add_argument("--outer-bits", type=int, default=8, help="of first and last layers, trained with fixed bits")
    resnet.add_argument("--seed", type=int, help="of a training with quantizers")
    mobile.add_argument("--seed", type=int, default=0)
    mobile.add_argument("--unmirrored", action="store_true", help="without a sign for each output channel")
    return parser


def _efficientnet(chosen: argparse.Namespace) -> Settings:
    return efficientnet.run(chosen.weights, chosen.photos, chosen.out,
                            replace(_how(chosen), signed_bits=chosen.signed_bits),
                            efficientnet.Photographs(chosen.half, chosen.images, chosen.calibrate))


def _resnet20(chosen: argparse.Namespace) -> Settings:
    data = resnet20.load_cifar(chosen.train, chosen.test)
    net = resnet20.fine_tune(chosen.weights, data, chosen.out, chosen.float_epochs, half=chosen.bfloat16)
    if chosen.method != "post-training":
        how = training.Training(chosen.scheme, chosen.bits, chosen.epochs, chosen.bfloat16, chosen.outer_bits,
                                chosen.method == "budget", chosen.seed)
        return (training.run_budget if how.budget else training.run_training)(net, data, chosen.out, how)
    return resnet20.run_post_training(net, data, chosen.out, _how(chosen))


def _mobilenet(chosen: argparse.Namespace) -> Settings:
    return mobilenet.run(chosen.out, replace(_how(chosen), mirrored=not chosen.unmirrored), seed=chosen.seed)


_RUNS = {"efficientnet": _efficientnet, "resnet20": _resnet20, "mobilenet": _mobilenet}


def _how(chosen: argparse.Namespace) -> PostTraining:
    return PostTraining(chosen.bits, chosen.scheme, chosen.preset)


def _show(record: Settings, as_json: bool) -> None:
    """Print what came out."""
    if as_json:
        print(json.dumps(record, indent=1))
        return
    found = Paired.from_json(record["answers"])
    print(f"float {found.float_accuracy:.2f} %, Program {found.accuracy:.2f} %: drop {found.drop:+.2f} "
          f"+- {found.standard_error:.2f} points; agrees with float on {found.agreement:.2f} % of {len(found.right)}")


if __name__ == "__main__":
    sys.exit(main())
