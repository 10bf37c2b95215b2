"""Tensors that take long to compute, kept in the user's cache."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from sim.errors import InputError
from sim.io.build_cache import cache_directory, get_or_build, prune

__all__ = ["kept"]

FILE = "tensors.safetensors"
KEPT_BYTES = 1 << 28
"""That the cache holds; all glyphs of the default take 40 MB."""


def kept(what: str, sources: Sequence[Path], packages: Sequence[str], make: Callable[[], dict[str, Tensor]]
         ) -> dict[str, Tensor]:
    """Return what `make` gives for `what`, read from the cache or else made and, if possible, written to it.

    A cache that cannot be read or written costs time, nothing else.

    Parameters
    ----------
    what : str
        All arguments that the tensors depend on.
    sources : sequence of Path
        Files of the code that makes them.
    packages : sequence of str
        Distributions whose versions they depend on.
    make : callable
        Gives at least one tensor; called at most once.
    """
    tensors: dict[str, Tensor] = {}

    def write(folder: Path) -> None:
        tensors.update(make())
        save_file(tensors, folder / FILE)

    versions = [f"{name} {version(name)}" for name in packages]
    key = sha256("\n".join([what, *versions, *(path.read_text('utf-8') for path in sources)]).encode()).hexdigest()[:32]
    with suppress(InputError, OSError, SafetensorError):
        folder = cache_directory("data")
        place = get_or_build(folder / key, write)
        if not tensors:
            return load_file(place / FILE)
        prune(folder, KEPT_BYTES)
    return tensors or make()
