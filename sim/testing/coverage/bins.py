"""The bins that tests of the hardware must meet, and those that nothing can meet, with the reason."""

from __future__ import annotations

from sim.arch.limits import LIMITS
from sim.ir.formats import MAX_PLANES
from sim.testing.coverage import layer_bins, table_bins, transfer_bins, value_bins
from sim.testing.coverage.tally import Group, Values

__all__ = ["CLAMPS", "GROUPS", "LAYER_GROUPS", "PADS", "TIES", "TRANSFER_GROUPS", "WIDTHS", "WINDOWS"]

BITS = range(1, MAX_PLANES + 1)
DENSE = ("dense", "depthwise")
ON_TWO = ("dense", "depthwise", "average", "add", "gate")
CONVS = (*ON_TWO, "copy")
SLIDING = ("dense", "depthwise", "average", "max")
LAYERS = (*CONVS, "max")
BROADCASTS = ("map", "channel")
PARTS = range(1, LIMITS.max_parts + 1)
STEPS = ("vertical stride", "horizontal stride", "vertical dilation", "horizontal dilation")
EDGES = ("one full", "one short", "many full", "many short")


def _signs(values: Values) -> str | None:
    return "bipolar weights are dense" if values[:2] == ("depthwise", "bipolar") else None


def _window(values: Values) -> str | None:
    return "a Pool has no dilation" if values[0] == "max" and values[3] != 1 else None


def _unequal(values: Values) -> str | None:
    return "a Pool has no dilation" if values[0] == "max" and values[1] in STEPS[2:] else None


def _kernel(values: Values) -> str | None:
    return "an average of one pixel is a copy" if values == ("average", "1 x 1") else None


def _packing(values: Values) -> str | None:
    _, taps, phases = values
    slow = (taps, phases) in ((8, 2), (8, 3), (8, 4), (4, 4))
    return "reads outlast 8 planes of weights, so half as many taps are never slower" if slow else None


def _parts(values: Values) -> str | None:
    kind, read, written = values
    return "a Pool writes the parts that it reads" if kind == "max" and read != written else None


def _residual(values: Values) -> str | None:
    return "a copy has no residual" if values[0] == "copy" else None


def _residual_time(values: Values) -> str | None:
    if values == ("gate", "residual planes"):
        return "a gate takes a cycle for each of them in every row"
    return _residual(values) if values[1] in ("residual planes", "its first residual") else None


def _clamp(values: Values) -> str | None:
    return "a ReLU cuts below" if values == ("above", "the zero point") else None


def _wrap(values: Values) -> str | None:
    kind, end = values
    return "one code is at least -128" if kind in ("add", "gate", "copy") and end == "bottom" else None


def _lane_bits(values: Values) -> str | None:
    bits, kind, _ = values
    if kind == "unit" and bits != 1:
        return "unit weights have one bit"
    return "unsigned weights have at most 7 bits" if kind == "unsigned" and bits == 8 else None


def _depthwise_groups(values: Values) -> str | None:
    return "a tile has at least one group" if values == ("one", True) else None


def _beside(values: Values) -> str | None:
    return "a stream carries one thing after another" if values[0] == values[1] else None


def _padded(values: Values) -> str | None:
    _, beat, padded = values
    return "whole words fill such beats" if padded and beat != "several words" else None


WIDTHS = Group("bits", {"kind": DENSE, "weight_bits": BITS, "activation_bits": BITS}, value_bins.bits,
               declared=value_bins.declared_bits)
WINDOWS = Group("window", {"kind": SLIDING, "stride": range(1, 5), "padding": (False, True), "dilation": (1, 2, 3)},
                layer_bins.window, _window)
PADS = Group("pads", {"kind": SLIDING, "side": ("top", "left", "bottom", "right"), "zero_point": (False, True)},
             layer_bins.sides)
TIES = Group("ties", {"rounding": ("half_up", "half_even", "floor"), "tie": value_bins.SIDES}, value_bins.ties,
             declared=value_bins.declared_ties)
CLAMPS = Group("clamps", {"clamp": ("below", "above"), "at": ("the format's end", "the zero point", "a limit")},
               value_bins.clamps, _clamp, value_bins.declared_clamps)
"""These need no machine."""

LAYER_GROUPS = (
    WIDTHS,
    Group("plain bits", {"kind": ("average", "add", "gate", "copy", "max"), "activation_bits": BITS},
          value_bins.plain_bits, declared=value_bins.declared_plain_bits),
    Group("signs", {"kind": DENSE, "weights": ("signed", "unsigned", "bipolar"),
                    "activation_kind": ("unsigned", "signed")}, value_bins.signs, _signs, value_bins.declared_signs),
    Group("bipolar", {"bipolar_activation_bits": BITS}, value_bins.bipolar_bits,
          declared=value_bins.declared_bipolar_bits),
    Group("input parts", {"kind": LAYERS, "parts of the input": ("the first", "inner", "the last")},
          layer_bins.input_parts),
    Group("bipolar parts", {"bipolar_parts": PARTS}, layer_bins.bipolar_parts),
    WINDOWS,
    Group("unequal steps", {"kind": SLIDING, "longer step": STEPS}, layer_bins.unequal_steps, _unequal),
    Group("kernel", {"kind": SLIDING, "shape": ("1 x 1", "1 x k", "k x 1", "k x k", "whole map")},
          layer_bins.kernel, _kernel),
    PADS,
    Group("packing", {"kind": DENSE, "taps": (1, 2, 4, 8), "phases": range(1, 5)}, layer_bins.packing, _packing),
    Group("tap groups", {"kind": DENSE, "packed taps": EDGES}, layer_bins.tap_groups),
    Group("row tiles", {"kind": CONVS, "written channels": EDGES}, layer_bins.row_tiles),
    Group("group windows", {"blocks of a window": ("one", "several"), "late": (False, True)},
          layer_bins.group_window),
    Group("chunks", {"kind": CONVS, "pixels": ("one", "many full", "many short")}, layer_bins.chunks),
    Group("row groups", {"kind": LAYERS, "rows": EDGES}, layer_bins.row_groups),
    Group("lane blocks", {"kind": LAYERS, "lanes": EDGES}, layer_bins.lane_blocks),
    Group("digits", {"digits": range(1, 5), "residual_digits": range(5)}, value_bins.digits,
          declared=value_bins.declared_digits),
    TIES,
    Group("wraps", {"kind": CONVS, "wraps at the": ("top", "bottom")}, value_bins.wraps, _wrap,
          value_bins.declared_wraps),
    CLAMPS,
    Group("channels", {"channel": ("constant", "no shift", "wide output", "output with a zero point")},
          value_bins.channels, declared=value_bins.declared_channels),
    Group("residuals", {"kind": CONVS, "codes": ("unsigned", "signed"),
                        "origin": ("the host", "computed", "a later part")}, value_bins.residual, _residual,
          value_bins.declared_residual),
    Group("residual bits", {"than the output": ("narrower", "equal", "wider")}, value_bins.residual_bits,
          declared=value_bins.declared_residual_bits),
    Group("tables", {"kind": CONVS, "index_bits": BITS}, table_bins.index_bits,
          declared=table_bins.declared_index_bits),
    Group("outputs of tables", {"codes of the table": ("unsigned", "signed"), "after a residual": (False, True)},
          table_bins.outputs, declared=table_bins.declared_outputs),
    Group("words of tables", {"table": ("part of a word", "a word", "several words")}, table_bins.words),
    Group("slots of tables", {"table waits for": ("nothing", "a layer that has its slot")}, table_bins.slots,
          declared=table_bins.slots_may_wait),
    Group("broadcast", {"kind": ON_TWO, "broadcast": BROADCASTS}, value_bins.broadcast,
          declared=value_bins.declared_broadcast),
    Group("broadcast shapes", {"broadcast": BROADCASTS, "row tiles with it": ("one", "many"),
                               "row groups with it": ("one", "many")}, layer_bins.broadcast_shapes),
    Group("lattices", {"columns in a bank": range(1, 5), "pixels apart": (False, True)}, layer_bins.lattices),
    Group("stacked maps", {"maps": ("interleaved", "stacked"), "with row groups": ("one", "many")},
          layer_bins.stacked_maps),
    Group("gates", {"gate codes": ("unsigned", "signed"), "gate bits": BITS}, value_bins.gates,
          declared=value_bins.declared_gates),
    Group("gate digits", {"gate with digits of": ("nothing", "M", "R", "M and R"), "raised": (False, True)},
          value_bins.gate_digits, declared=value_bins.declared_gate_digits),
    Group("parts", {"kind": ("dense", "max"), "read": PARTS, "written": PARTS}, layer_bins.parts, _parts),
    Group("requantizer", {"kind": CONVS, "busy with": ("digits", "output planes", "residual planes")},
          layer_bins.requantizer, _residual_time),
    Group("waiting", {"kind": CONVS, "for": ("nothing", "weights", "accumulators", "weights and accumulators")},
          layer_bins.stall),
    Group("bound", {"kind": CONVS, "by": ("computing", "requantizing", "either", "its first residual")},
          layer_bins.regime, _residual_time),
    Group("engine", {"kind": ("depthwise", "average", "add", "gate", "copy"), "on depthwise lanes": (False, True)},
          layer_bins.engine),
    Group("depthwise lanes", {"lane_weight_bits": BITS, "weights": ("signed", "unsigned", "unit"),
                              "activation_kind": ("unsigned", "signed")}, value_bins.lane_bits, _lane_bits,
          value_bins.declared_lane_bits),
    Group("depthwise groups", {"groups": ("one", "many"), "last tile shorter": (False, True)},
          layer_bins.depthwise_groups, _depthwise_groups),
    Group("place", {"role": ("read", "written"), "behind others": (False, True), "in several regions": (False, True)},
          layer_bins.place),
)
"""What Convs and Pools can meet."""

ROWS = ("all", "the first", "later ones")

TRANSFER_GROUPS = (
    Group("loads", {"loaded": ROWS, "written by": ("the host", "Stores")}, transfer_bins.loaded),
    Group("stores", {"stored": ROWS, "of parts": ("all", "the first", "a later one")}, transfer_bins.stored),
    Group("Loads wait", {"load waits for": ("nothing", "a layer on its place", "a Store from its place",
                                            "a Store of its rows")}, transfer_bins.load_waits,
          declared=transfer_bins.load_may_wait),
    Group("layers wait", {"kind": LAYERS, "layer waits for": ("nothing", "loads", "stores")}, transfer_bins.layer_waits,
          declared=transfer_bins.layer_may_wait),
    Group("beside", {"transfer": ("Load", "Store"), "runs beside": ("Conv", "Pool", "Load", "Store")},
          transfer_bins.beside, _beside),
    Group("beats", {"transfer": ("Load", "Store"), "beat": ("part of a word", "a word", "several words"),
                    "padded": (False, True)}, transfer_bins.alignment, _padded),
    Group("memory", {"memory": ("ideal", "late", "slots", "late slots")}, transfer_bins.memory),
    Group("memory waits", {"stream of": ("Conv", "Load", "Store"), "waits": (False, True)}, transfer_bins.slots),
    Group("bands", {"kind": LAYERS, "band": ("first", "inner", "last")}, transfer_bins.band),
    Group("residuals of bands", {"band with residual": (False, True)}, transfer_bins.band_residual),
    Group("broadcasts of bands", {"band with broadcast": BROADCASTS}, transfer_bins.band_broadcast),
)
"""What Loads, Stores and row bands can meet."""

GROUPS = LAYER_GROUPS + TRANSFER_GROUPS
"""Everything."""
