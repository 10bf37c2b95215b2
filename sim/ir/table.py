"""`Table`: a function of one code, written out, that a Conv may end in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.io.bounds import require
from sim.ir.formats import MAX_PLANES, Format, check_codes

__all__ = ["Table"]


@dataclass(frozen=True, eq=False)
class Table:
    """A code of the output for every code of an index format.

    It keeps a copy of its codes that nobody can write to.

    Parameters
    ----------
    index : Format
        Unsigned, at most 8 bits; its zero point is the one that the requantizer adds.
    codes : int16 array, shape (2**index.bits,)
        Codes of the output format, which has at most 8 bits.

    Examples
    --------
    >>> table = Table(Format(2, "unsigned", zero_point=1), np.array([0, 0, 3, 15], np.int16))
    >>> table.check(Format(4, "unsigned"), "op 'act'")
    """

    index: Format
    codes: NDArray[np.int16]

    def __post_init__(self) -> None:
        own = self.codes.copy()
        own.flags.writeable = False
        object.__setattr__(self, "codes", own)

    def __reduce__(self) -> tuple[type[Table], tuple[Any, ...]]:
        """Make it anew when it is unpickled or copied, so that its codes stay unwritable."""
        return Table, (self.index, self.codes)

    def check(self, output: Format, where: str) -> None:
        """Refuse a table that does not lead from an index to codes of `output`.

        Raises
        ------
        InputError
            If the index format is not unsigned or too wide, the output too wide, the array of another type or shape,
            or one of its entries no code of the output.
        """
        require(self.index.kind == "unsigned", where, f"a table has an unsigned index, not {self.index.kind}")
        for what, bits in (("a table's index", self.index.bits), ("the output of a table", output.bits)):
            require(bits <= MAX_PLANES, where, f"{what} has at most {MAX_PLANES} bits, not {bits}")
        shape = (1 << self.index.bits,)
        require(self.codes.dtype == np.int16 and self.codes.shape == shape, where,
                f"table must be int16 of shape {shape}, not {self.codes.dtype} {self.codes.shape}")
        check_codes(self.codes, output, f"{where}: table")
