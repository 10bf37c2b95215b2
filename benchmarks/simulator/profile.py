"""Show where the time of a network goes: operation by operation, and in sum by what they do."""

from __future__ import annotations

import sys
from collections import defaultdict
from math import prod
from typing import Any

from benchmarks.simulator.programs import network_case
from sim.functional.engine.simulator import Simulator
from sim.functional.kernels.isa import chosen

__all__ = ["profile_of", "report_profiles"]

KINDS = {"copy": "input, output, tables", "max_pool": "pooling", "depthwise": "depthwise",
         "winograd": "Winograd's convolution", "bitplane_conv": "bit planes"}
"""What families of kernels are for; the others compute products of bytes."""
PRODUCTS, BESIDE = "products of bytes", "requantization and memory beside them"

Profile = dict[str, Any]


def profile_of(name: str, bits: str, size: int, isa: str | None) -> Profile:
    """Time every operation of a network on one thread."""
    print(f"{name} {bits}, {isa or 'highest rung'}: measuring", file=sys.stderr)
    case = network_case(name, bits, size, 1)
    program = case.program
    times = Simulator(program, isa=isa).profile({program.inputs[0].name: case.codes})
    macs = {conv.name: conv.weights.size * prod(conv.map_size(program.tensor(conv.input))) for conv in program.convs}
    shares: dict[str, float] = defaultdict(float)
    for row in times:
        kind = KINDS.get(row.kernel.partition(".")[0], PRODUCTS)
        beside = min(row.beside_products or 0, row.seconds)
        shares[kind] += row.seconds - beside
        shares[BESIDE] += beside
    whole = sum(shares.values())
    rows = [{"op": row.op, "kernel": row.kernel, "us": row.seconds * 1e6, "share": row.seconds / whole,
             "beside_products_us": None if row.beside_products is None else row.beside_products * 1e6,
             "gmacs": None if row.op not in macs or row.kernel.startswith("copy") else macs[row.op] / row.seconds / 1e9}
            for row in times]
    return {"network": name, "bits": "W{}A{}".format(*bits.split("/")), "isa": chosen(isa), "us": whole * 1e6,
            "shares": {kind: seconds / whole for kind, seconds in shares.items() if seconds}, "operations": rows}


def report_profiles(profiles: list[Profile]) -> None:
    """Print a table for each network."""
    for profile in profiles:
        print(f"{profile['network']} {profile['bits']}, {profile['isa']}, one thread: {profile['us']:.0f} us; beside: "
              "with 16 products of each sum alone")
        for row in profile["operations"]:
            beside, gmacs = row["beside_products_us"], row["gmacs"]
            print(f"  {row['op']:26}{row['kernel']:44}{row['us']:8.1f} us{row['share']:7.1%}"
                  f"{f'{beside:8.1f} us' if beside is not None else '':>12}"
                  f"{f'{gmacs:8.0f} GMAC/s' if gmacs is not None else ''}")
        for kind, share in sorted(profile["shares"].items(), key=lambda item: -item[1]):
            print(f"  {share:6.1%} {kind}")
