"""A Program file may say only what is bounded, and takes work and memory in proportion to its size."""

from __future__ import annotations

import hashlib
import json
import re
import struct
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sim.errors import InputError
from sim.ir.serialize import load_program, save_program, save_vectors

Graph = dict[str, Any]
Arrays = dict[str, np.ndarray]

U4 = {"bits": 4, "kind": "unsigned", "zero_point": 0}
HUGE = [2**31, 2**63, 2**64, 10**30, 10**4200]
DTYPES = {"int8": "I8", "int64": "I64"}


def tensor(name: str, height: int = 1, parts: tuple[int, ...] = (1,)) -> Graph:
    return {"name": name, "height": height, "width": 1, "parts": list(parts), "format": dict(U4)}


def pool(name: str, source: str, target: str) -> Graph:
    return {"record": "pool", "name": name, "input": source, "output": target, "kernel": [1, 1], "stride": 1,
            "pads": [0, 0, 0, 0]}


def transfer(kind: str, name: str, source: str, target: str, row: int) -> Graph:
    part = {"output_part": None} if kind == "store" else {}
    return {"record": kind, "name": name, "input": source, "output": target, "first_row": row, **part}


def graph_of(tensors: list[Graph], ops: list[Graph]) -> Graph:
    return {"schema_version": 2, "rounding": "half_up", "acc_bits": 24, "window": 10, "terms": 4, "wrap": False,
            "tensors": tensors, "records": ops}


def network() -> tuple[Graph, Arrays]:
    """A convolution of 3 x 3 to 2 x 2 and a Pool of 1 x 1."""
    conv = {"record": "conv", "name": "c", "input": "a", "output": "b",
            "weight_format": {"bits": 2, "kind": "signed", "zero_point": 0}, "low": 0, "high": 15, "depthwise": False,
            "stride": 1, "dilation": 1, "pads": [0, 0, 0, 0], "output_part": 0, "residual": None, "residual_part": 0}
    tensors = [tensor("a", 3) | {"width": 3}, tensor("b", 2) | {"width": 2}, tensor("d", 2) | {"width": 2}]
    arrays = {"weights": np.ones((1, 1, 2, 2), np.int8), "multiplier": np.ones((1, 1), np.int8),
              "residual_multiplier": np.zeros((0, 0), np.int8), "shift": np.zeros(1, np.int64),
              "offset": np.zeros(1, np.int64)}
    return graph_of(tensors, [conv, pool("p", "b", "d")]), {f"records.0.{name}": a for name, a in arrays.items()}


def write(path: Path, graph: Graph, arrays: Arrays, shapes: dict[str, list[int]] | None = None,
          metadata: Callable[[Graph], Any] = lambda metadata: metadata) -> Path:
    """Write a Program file with a right checksum without the package's writer; `shapes` and `metadata` may lie."""
    text = json.dumps(graph)
    digest = hashlib.sha256(text.encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"{name}{array.shape}".encode() + array.tobytes())
    header: Graph = {"__metadata__": metadata({"graph": text, "sha256": digest.hexdigest()})}
    body = b""
    for name, array in sorted(arrays.items(), key=lambda item: -item[1].itemsize):
        header[name] = {"dtype": DTYPES[array.dtype.name], "shape": (shapes or {}).get(name, list(array.shape)),
                        "data_offsets": [len(body), len(body) + array.nbytes]}
        body += array.tobytes()
    content = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(content)) + content + body)
    return path


def numbers(node: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where the numbers of a tree are."""
    if isinstance(node, dict | list):
        pairs = node.items() if isinstance(node, dict) else enumerate(node)
        return [found for key, child in pairs for found in numbers(child, (*place, key))]
    return [place] if type(node) is int else []


def changed(graph: Graph, place: tuple[Any, ...], value: object) -> Graph:
    """A copy of a tree with another value at a place."""
    copy: Any = json.loads(json.dumps(graph))
    node = copy
    for key in place[:-1]:
        node = node[key]
    node[place[-1]] = value
    return copy


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        load_program(path)
    text = str(caught.value)
    assert text.isprintable()
    assert len(text) < 1000
    return text.removeprefix(f"program {path}: ")


def test_the_network_that_the_others_break_is_legal(tmp_path: Path) -> None:
    """What follows is refused for the number or name that was changed."""
    assert [op.name for op in load_program(write(tmp_path / "p", *network())).ops] == ["c", "p"]


@pytest.mark.parametrize("place", numbers(network()[0]), ids=lambda place: ".".join(map(str, place)))
def test_every_number_of_the_graph_has_a_bound(place: tuple[Any, ...], tmp_path: Path) -> None:
    """A number of any size, of either sign, in any field is refused in one short sentence, at once."""
    graph, arrays = network()
    for number in HUGE:
        for value in (number, -number):
            text = refusal(write(tmp_path / "p", changed(graph, place, value), arrays))
            assert re.search(r"must (be|lie|stay)|has 1 bit", text), text


@pytest.mark.parametrize(("field", "shape"), [
    ("weights", [1] * 71 + [4]), ("weights", [4]), ("residual_multiplier", [0, 2**63]),
    ("residual_multiplier", [0, 2**62, 8]), ("residual_multiplier", [2**31, 0]), ("shift", [1, 1])])
def test_shapes_of_arrays_have_bounds(field: str, shape: list[int], tmp_path: Path) -> None:
    """Neither the number of dimensions nor an extent is taken as it comes, even where the array is empty."""
    graph, arrays = network()
    text = refusal(write(tmp_path / "p", graph, arrays, {f"records.0.{field}": shape}))
    assert re.match(rf"array 'records\.0\.{field}'(: an extent must be in 0\.\.16777216|"
                    r" must have \d dimensions, not \d+$)", text), text


@pytest.mark.parametrize("metadata", [None, {}], ids=["null", "empty"])
def test_metadata_without_a_graph_is_no_program(metadata: object, tmp_path: Path) -> None:
    """`null` counts as none."""
    assert refusal(write(tmp_path / "p", *network(), metadata=lambda _: metadata)) == (
        "metadata 'graph' is missing; this is no Bitwright program")


@pytest.mark.parametrize("name", ["", "a\x1b[2J", "a\nb", "\u202ea", "a\0b", "..", "/a", "a/../b", "a\\b", "n" * 10**6])
def test_names_of_tensors_and_ops_have_a_grammar(name: str, tmp_path: Path) -> None:
    """What a terminal obeys, what hides and what leads out of a folder is no name."""
    graph, arrays = network()
    graph["tensors"][0]["name"] = graph["records"][0]["input"] = name
    assert refusal(write(tmp_path / "p", graph, arrays)).startswith("a tensor's name must ")
    graph, arrays = network()
    graph["records"][0]["name"] = name
    assert refusal(write(tmp_path / "p", graph, arrays)).startswith("an op's name must ")


def test_unknown_fields_are_shown_escaped(tmp_path: Path) -> None:
    """A key of the file stands in the message without what a terminal obeys."""
    graph, arrays = network()
    graph["\x1b[2J"] = 1
    assert refusal(write(tmp_path / "p", graph, arrays)) == "graph.\\x1b[2J: Extra inputs are not permitted"


def test_unknown_kinds_of_ops_are_shown_escaped(tmp_path: Path) -> None:
    """So is a value that pydantic puts into its own message, however long it is."""
    for name, text in (("a\x1b", "a\\x1b' found using 'record' does not"), ("n" * 10**5, "n" * 100)):
        graph, arrays = network()
        graph["records"][0]["record"] = name
        assert refusal(write(tmp_path / "p", graph, arrays)).startswith(f"graph.records.0: Input tag '{text}")


@pytest.mark.parametrize(("changes", "message"), [
    ({"pads": [10**5] * 4, "stride": 10**6},
     "'a' with its pads must have at most 268435456 codes, not 40001200009 in (1, 200003, 200003)"),
    ({"pads": [16777217, 0, 0, 0]}, "a pad must be in 0..16777216, not 16777217"),
])
def test_pads_count_as_codes(changes: Graph, message: str, tmp_path: Path) -> None:
    """A small map with large pads is a large map."""
    graph, arrays = network()
    graph["records"][0] |= changes
    assert refusal(write(tmp_path / "p", graph, arrays)) == f"op 'c': {message}"


def test_a_tensor_has_a_largest_size(tmp_path: Path) -> None:
    """Neither the channels of all parts together nor the codes of a tensor may pass their bounds."""
    graph, arrays = network()
    graph["tensors"].append(tensor("z", 1, (2**23, 2**23, 1)))
    assert refusal(write(tmp_path / "p", graph, arrays)) == (
        "tensor 'z': channels of all parts together must be in 1..16777216, not 16777217")
    graph["tensors"][-1] = tensor("z", 2**24, (2**4, 1))
    assert refusal(write(tmp_path / "p", graph, arrays)) == (
        "tensor 'z': must have at most 268435456 codes, not 285212672 in (17, 16777216, 1)")


def chain(count: int) -> Graph:
    return graph_of([tensor(f"t{i}") for i in range(count + 1)],
                    [pool(f"p{i}", f"t{i}", f"t{i + 1}") for i in range(count)])


def many_parts(count: int) -> Graph:
    """All parts of a tensor, written one by one, then read by as many ops."""
    tensors = [tensor("h", count), tensor("a")]
    ops: list[Graph] = []
    for i in range(count):
        tensors.append(tensor(f"s{i}"))
        ops += [pool(f"p{i}", "a", f"s{i}"), transfer("store", f"store{i}", f"s{i}", "h", count - 1 - i)]
    for i in range(count):
        tensors += [tensor(f"l{i}"), tensor(f"o{i}")]
        ops += [transfer("load", f"load{i}", "h", f"l{i}", i), pool(f"q{i}", f"l{i}", f"o{i}")]
    return graph_of(tensors, ops)


@pytest.mark.parametrize("make", [chain, many_parts])
def test_work_and_memory_of_loading_and_saving_are_linear(make: Callable[[int], Graph], tmp_path: Path) -> None:
    """Four times as large a file makes no more than five times the lines run, nor five times the memory.

    Lines of Python are counted, not seconds: as many on every machine.
    """
    found = []
    for count in (50, 200):
        path = write(tmp_path / f"{count}", make(count), {})
        load_program(path)
        tracemalloc.start()
        steps = lines_run(lambda path=path: save_program(load_program(path), tmp_path / "again"))
        found.append((steps, tracemalloc.get_traced_memory()[1]))
        tracemalloc.stop()
    (steps, memory), (more_steps, more_memory) = found
    assert more_steps < 5 * steps
    assert more_memory < 5 * memory


def lines_run(function: Callable[[], object]) -> int:
    """Lines of Python that a call runs, in comprehensions too."""
    count = 0

    def trace(frame: object, event: str, argument: object) -> object:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)  # type: ignore[arg-type]
    try:
        function()
    finally:
        sys.settrace(before)
    return count


def test_a_map_that_nothing_reads_takes_no_memory(tmp_path: Path) -> None:
    """A million rows that Loads and Stores move are followed as ranges."""
    rows = 1 << 20
    tensors = [tensor("x", rows), tensor("y", rows), tensor("h", rows), tensor("z", rows)]
    ops = [transfer("load", "l", "x", "x", 0), pool("p", "x", "y"), transfer("store", "s", "y", "h", 0),
               transfer("load", "m", "h", "z", 0), pool("q", "z", "w")]
    path = write(tmp_path / "p", graph_of([*tensors, tensor("w", rows)], ops), {})
    load_program(path)
    tracemalloc.start()
    load_program(path)
    assert tracemalloc.get_traced_memory()[1] < 200_000
    tracemalloc.stop()


def test_vectors_are_named_as_tensors_are(tmp_path: Path) -> None:
    """What unpacks an archive meets no path out of its folder, and `numpy.load` never gives one array for another."""
    one = np.zeros((1, 1), np.int32)
    with pytest.raises(InputError, match=r"^a tensor's name must have no part '\.\.' between slashes: '\.\./x'$"):
        save_vectors(tmp_path / "v.npz", {"../x": one})
    with pytest.raises(InputError, match=r"^an \.npz cannot tell tensor 'a' from 'a\.npy'$"):
        save_vectors(tmp_path / "v.npz", {"a": one, "a.npy": one})
    assert not list(tmp_path.iterdir())
