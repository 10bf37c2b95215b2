"""`python -m rtl.verification.formal [NAME ...]`: prove, plant the faults, and print a table."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence

from rtl.verification.formal.proof import Proof
from rtl.verification.formal.proofs import PROOFS
from rtl.verification.formal.prove import Refuted

HEAD = ("proof", "sizes", "runs of", "seconds", "faults found")


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 1 if a proof fails or a fault is not found."""
    parser = argparse.ArgumentParser(prog="python -m rtl.verification.formal", description=__doc__)
    parser.add_argument("names", nargs="*", help="beginnings of the names of proofs; none: all")
    names = tuple(parser.parse_args(arguments).names) or ("",)
    failed = False
    print(_row(HEAD), _row("---" for _ in HEAD), sep="\n", flush=True)
    for proof in PROOFS:
        if proof.name.startswith(names):
            row = _attempt(proof)
            failed |= row is None
            print(_row(row or (proof.name, proof.sizes, "", "", "**failed**")), flush=True)
    return int(failed)


def _attempt(proof: Proof) -> tuple[str, ...] | None:
    """Return the row of a proof, None if it fails or misses a fault."""
    try:
        result = proof.run()
    except Refuted as refuted:
        print(f"{proof.name}: {refuted}", file=sys.stderr)
        return None
    if missed := list(_missed(proof)):
        print(f"{proof.name}: holds also with {'; '.join(missed)}", file=sys.stderr)
        return None
    runs = "any length" if result.induction else f"{result.depth} cycles"
    return proof.name, proof.sizes, runs, f"{result.seconds:.1f}", str(len(proof.faults))


def _missed(proof: Proof) -> Iterator[str]:
    for fault in proof.faults:
        try:
            proof.run(fault)
        except Refuted:
            continue
        yield f"'{fault.new}' in {fault.module}"


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
