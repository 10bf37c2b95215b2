"""Targets that training and allocation read: weights, checkpoints, images, input codes, losses and budgets."""

from __future__ import annotations

import io
import json
import warnings
import zipfile
from pathlib import Path
from random import Random
from zlib import crc32

import numpy as np
import torch
from PIL import Image
from torch import nn

from bitwright.cli.parse_budgets import parse_budgets
from bitwright.cli.parse_inputs import load_codes
from bitwright.codesign.sensitivities import load_losses
from bitwright.fuzz.containers import Parts, changed_parts, packed, tensors_digest, unpacked
from bitwright.fuzz.mutations import EXTREMES, NAMES, changed_bytes, changed_text, changed_tree
from bitwright.fuzz.target import Target
from quant.bits.budgets import BUDGETS
from quant.data.folder import FolderImages
from quant.data.image_options import ImageOptions
from quant.training.checkpoint import load_checkpoint, load_weights, save_checkpoint, save_weights
from quant.training.history import Epoch
from sim.ir.formats import Format
from sim.ir.ops import Pool, Tensor
from sim.ir.program import Program

__all__ = ["Budgets", "Checkpoints", "Codes", "Losses", "Pictures", "Weights"]

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")


class Network(nn.Module):
    """A convolution, a BatchNorm and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Linear(2, 3)


class Weights(Target):
    """Weights of a network."""

    name = "weights"

    def prepare(self, folder: Path) -> None:
        torch.manual_seed(0)
        self._model = Network()
        save_weights(self._model, folder / "seed.safetensors")
        self._corpus = (folder / "seed.safetensors").read_bytes()

    def make(self, random: Random) -> bytes:
        if random.random() < 0.2:
            return changed_bytes(random, self._corpus)
        return changed_parts(random, unpacked(self._corpus), _sealed)

    def read(self, path: Path) -> None:
        load_weights(self._model, path)


class Checkpoints(Target):
    """Checkpoints of a training after one epoch."""

    name = "checkpoint"

    def prepare(self, folder: Path) -> None:
        torch.manual_seed(0)
        self._model, self._run = Network(), {"epochs": 3, "rate": 0.1, "images": 8, "labels": 1, "model": 2, "start": 3}
        self._optimizer = torch.optim.SGD(self._model.parameters(), 0.1, momentum=0.9)
        for parameter in self._model.parameters():
            self._optimizer.state[parameter]["momentum_buffer"] = torch.ones_like(parameter)
        self._generators = {"order": torch.Generator().get_state(), "cpu": torch.get_rng_state()}
        history = [Epoch(1, 2.0, 0.5, 0.25, 0.1, 3.0)]
        save_checkpoint(folder / "seed", self._run, history, self._model, self._optimizer, self._generators,
                        {"bits": [4, 4]}, self._model.state_dict())
        self._corpus = (folder / "seed").read_bytes()

    def make(self, random: Random) -> bytes:
        parts = unpacked(self._corpus)
        if random.random() < 0.1:
            return changed_bytes(random, self._corpus)
        if random.random() < 0.5:
            return changed_parts(random, parts, _sealed)
        metadata = parts[0]["__metadata__"]
        field = random.choice(("run", "history", "hook", "version"))
        if random.random() < 0.7:
            metadata[field] = json.dumps(changed_tree(random, [json.loads(metadata[field])])[:1][0:1] or [None])[1:-1]
        else:
            metadata[field] = changed_text(random, metadata[field])
        _sealed(parts)
        return packed(parts)

    def read(self, path: Path) -> None:
        generators = load_checkpoint(path, self._run, self._model, self._optimizer, self._generators).generators
        torch.Generator().set_state(generators["order"])
        torch.Generator().set_state(generators["cpu"])


class Pictures(Target):
    """Images of a folder, in all the formats that are read."""

    name = "picture"

    def prepare(self, folder: Path) -> None:
        rng, self._corpus = np.random.default_rng(0), list[bytes]()
        picture = Image.fromarray(rng.integers(0, 256, (20, 30, 3), np.uint8))
        for kind in FORMATS:
            for mode in ("RGB", "L", *(("P",) if kind in ("PNG", "BMP", "GIF", "TIFF") else ())):
                stream = io.BytesIO()
                picture.convert(mode).save(stream, kind)
                self._corpus.append(stream.getvalue())
        deep = io.BytesIO()
        Image.fromarray(rng.integers(0, 65536, (20, 30), np.uint16)).save(deep, "PNG")
        self._corpus.append(deep.getvalue())

    def make(self, random: Random) -> bytes:
        data = random.choice(self._corpus)
        if data.startswith(b"\x89PNG") and random.random() < 0.5:
            return _changed_png(random, data)
        return changed_bytes(random, data, self._corpus)

    def read(self, path: Path) -> None:
        images = FolderImages((str(path),), torch.zeros(1, dtype=torch.int64), ("a",), ImageOptions(16, 24))
        images.values(slice(None))
        images.drawn(torch.zeros(1, dtype=torch.int64), torch.Generator())


class Codes(Target):
    """Input codes, .npy and .npz, of a Program with one input and of one with two."""

    name = "codes"

    def prepare(self, folder: Path) -> None:
        fmt = Format(4, "unsigned")
        tensors = [Tensor(name, 3, 2, (2,), fmt) for name in "abcd"]
        pools = Pool("p", "a", "b", (1, 1)), Pool("q", "c", "d", (1, 1))
        self._one, self._two = Program(tuple(tensors[:2]), pools[:1]), Program(tuple(tensors), pools)
        self._codes = np.arange(24, dtype=np.int32).reshape(2, 2, 3, 2) % 16
        self._corpus = [_npy(self._codes.astype(kind)) for kind in (np.int8, np.uint8, np.int32, np.int64)]
        members = [("a.npy", self._corpus[0]), ("c.npy", self._corpus[2])]
        self._zips = [_zip(members[:1]), _zip(members)]

    def make(self, random: Random) -> bytes:
        match random.randrange(6):
            case 0:
                return changed_bytes(random, random.choice(self._corpus), self._corpus)
            case 1:
                return changed_bytes(random, random.choice(self._zips), self._zips)
            case 2 | 3:
                return _changed_npy(random, random.choice(self._corpus))
        members = [(name, random.choice(self._corpus)) for name in random.choice((("a.npy",), ("a.npy", "c.npy")))]
        at = random.randrange(len(members))
        change = random.randrange(5)
        if change == 0:
            members[at] = random.choice((*NAMES, "a", "README.txt", "../a.npy")).replace("\0", "0"), members[at][1]
        elif change == 1:
            members.append(members[at])
        elif change == 2:
            members[at] = members[at][0], _changed_npy(random, members[at][1])
        elif change == 3:
            members[at] = members[at][0], changed_bytes(random, members[at][1], self._corpus)
        else:
            members[at] = members[at][0], members[at][1] + bytes(random.choice((1, 10**4, 10**7)))
        return _zip(members)

    def read(self, path: Path) -> None:
        load_codes(path, self._two if path.read_bytes()[:200].count(b"c.npy") else self._one)


class Losses(Target):
    """Sensitivities: losses of layers at widths."""

    name = "losses"

    def prepare(self, folder: Path) -> None:
        self._tree = {"bits": [2, 4, 8], "weight": {"conv1": [0.5, 0.25, 0.0], "head": [1.5, 0.5, 1e-9]},
                      "activation": {"input": [0.0, 0.0, 0.0], "conv1.out": [3, 1, 0.125]}}
        self._text = json.dumps(self._tree, indent=1)

    def make(self, random: Random) -> bytes:
        match random.randrange(5):
            case 0:
                return changed_bytes(random, self._text.encode())
            case 1:
                return changed_text(random, self._text).encode("utf-8", "surrogatepass")
        return json.dumps(changed_tree(random, self._tree)).encode()

    def read(self, path: Path) -> None:
        load_losses(path)


class Budgets(Target):
    """Budgets of a command line, a line for each."""

    name = "budgets"

    def prepare(self, folder: Path) -> None:
        self._corpus = [f"{name}={limit}" for name in BUDGETS for limit in ("20000", "1.5e6", "0.5")]

    def make(self, random: Random) -> bytes:
        lines = random.choices(self._corpus, k=random.choice((1, 2, 3)))
        if random.random() < 0.5:
            at = random.randrange(len(lines))
            lines[at] = f"{lines[at].partition('=')[0]}={_as_text(random.choice(EXTREMES))}"
        return changed_text(random, "\n".join(lines)).encode("utf-8", "surrogatepass")

    def read(self, path: Path) -> None:
        parse_budgets(path.read_bytes().decode("utf-8", "surrogatepass").split("\n"))


def _as_text(value: object) -> str:
    if isinstance(value, int) and value.bit_length() > 4000:
        return f"{value:#x}"
    return str(value)


def _sealed(parts: Parts) -> None:
    """Give a file of tensors the checksum that it must carry."""
    parts[0]["__metadata__"]["sha256"] = tensors_digest(parts)


def _npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, allow_pickle=False)
    return stream.getvalue()


def _zip(members: list[tuple[str, bytes]]) -> bytes:
    stream = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        warnings.simplefilter("ignore")  # names that are there twice are meant
        for name, content in members:
            info = zipfile.ZipInfo(name.encode("utf-8", "replace").decode()[:1000] or "x")
            info.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(info, "w") as member:
                member.write(content)
    return stream.getvalue()


def _changed_npy(random: Random, data: bytes) -> bytes:
    """Give an array another header of the right length."""
    length = int.from_bytes(data[8:10], "little")
    header, body = data[10 : 10 + length].decode("latin1"), data[10 + length :]
    if random.random() < 0.5:
        shapes = ("(2, 2, 3, 2)", "()", "(0, 2, 3, 2)", "(2, 2, 3)", "(-1, 2, 3, 2)", f"({2**40}, 2, 3, 2)",
                  f"({2**63},)", f"({10**30}, 2, 3, 2)", "(True, 2, 3, 2)", "(2.0, 2, 3, 2)", "((2,), 2)",
                  f"({'1,' * 71})")
        header = header.replace("(2, 2, 3, 2)", random.choice(shapes))
    else:
        kinds = ("O", "|O", "<f4", "<M8[s]", "<U9", "|S0", "|V0", "<c16", ">i4", "?", "<i9", "<U999999999", "i4,i4")
        header = header.replace(header.split("'descr': '")[-1].split("'")[0], random.choice(kinds))
    if random.random() < 0.3:
        header = changed_text(random, header)
    text = header.encode("latin1", "replace")
    return data[:8] + (len(text) % 65536).to_bytes(2, "little") + text + body * random.choice((1, 1, 1, 0, 2))


def _changed_png(random: Random, data: bytes) -> bytes:
    """Give chunks other sizes, kinds or contents, with valid checksums."""
    chunks, at = [], 8
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    which = random.randrange(len(chunks))
    kind, content = chunks[which]
    match random.randrange(5):
        case 0:
            sizes = [random.choice((0, 1, 20, 30, 4000, 65_000, 10**6, 2**31 - 1, 2**31, 2**32 - 1)) for _ in range(2)]
            chunks[0] = b"IHDR", sizes[0].to_bytes(4, "big") + sizes[1].to_bytes(4, "big") + chunks[0][1][8:]
        case 1:
            chunks[0] = b"IHDR", changed_bytes(random, chunks[0][1])
        case 2:
            chunks[which] = random.choice((b"tRNS", b"PLTE", b"iCCP", b"zTXt", b"eXIf", b"acTL", b"fcTL")), content
        case 3:
            chunks.insert(which, chunks[which])
        case _:
            chunks[which] = kind, changed_bytes(random, content)
    return data[:8] + b"".join(
        len(content).to_bytes(4, "big") + kind + content + crc32(kind + content).to_bytes(4, "big")
        for kind, content in chunks)
