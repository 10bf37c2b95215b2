"""Programs and vectors on disk: what is saved comes back, and nothing damaged gets through."""

import json
import os
import re
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sim.arch.machine import load_machine
from sim.errors import InputError
from sim.io.atomic_write import atomic_write, atomic_write_text
from sim.ir.formats import Format
from sim.ir.ops import Conv, Load, Pool, Store, Table, Tensor, Transfer
from sim.ir.program import Program
from sim.ir.serialize import _digest, load_program, save_program, save_vectors
from sim.ir.signed_digits import no_digits
from sim.mapping.transfers import with_transfers
from sim.plan.plan import plan
from sim.testing import corner_inputs, random_machine, random_program

ONE_FILE = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def some_program(seed: int) -> Program:
    rng = np.random.default_rng(seed)
    return random_program(rng, random_machine(rng))


def some_tables(seed: int) -> Program:
    """A random Program for a machine with tables."""
    return random_program(np.random.default_rng(seed), load_machine("tiny"))


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved Program with a Conv and a Pool, and with nothing that older versions do not know."""
    path = tmp_path_factory.mktemp("saved") / "network.safetensors"
    rng = np.random.default_rng(3)
    machine = random_machine(rng)
    program = random_program(rng, machine, traits=["residual"], kinds=["dense", "max"])
    while {type(op).__name__ for op in program.ops} != {"Conv", "Pool"}:
        program = random_program(rng, machine, traits=["residual"], kinds=["dense", "max"])
    save_program(program, path)
    return path


def stored(path: Path) -> tuple[dict[str, np.ndarray], dict, str]:
    """Arrays, graph and sha256 of a saved Program."""
    data = path.read_bytes()
    metadata = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
    return safetensors.numpy.load(data), json.loads(metadata["graph"]), metadata["sha256"]


def store(path: Path, arrays: dict[str, np.ndarray], graph: object, sha256: str | None = None) -> None:
    """Write a file with these contents; the right sha256 unless one is given."""
    text = json.dumps(graph)
    metadata = {"graph": text, "sha256": sha256 or _digest(text, arrays)}
    path.write_bytes(safetensors.numpy.save(arrays, metadata))


@pytest.mark.parametrize("make", [some_program, some_tables])
@pytest.mark.parametrize("seed", range(30))
def test_load_returns_what_save_wrote(tmp_path: Path, seed: int, make: Callable[[int], Program]) -> None:
    """Every field of every op and tensor survives, arrays with their dtype and shape."""
    program, path = make(seed), tmp_path / "p.safetensors"
    save_program(program, path)
    loaded = load_program(path)
    assert loaded.tensors == program.tensors
    for field in fields(program):
        assert field.name == "ops" or getattr(loaded, field.name) == getattr(program, field.name)
    for ours, theirs in zip(loaded.ops, program.ops, strict=True):
        assert type(ours) is type(theirs)
        for field in fields(ours):
            one, other = getattr(ours, field.name), getattr(theirs, field.name)
            assert type(one) is type(other)
            if isinstance(one, Table):
                assert one.index == other.index
                one, other = one.codes, other.codes
            if isinstance(one, np.ndarray):
                assert (one.dtype, one.shape) == (other.dtype, other.shape)
                assert np.array_equal(one, other)
            else:
                assert one == other


def test_loads_and_stores_survive(tmp_path: Path) -> None:
    """A Program cut into bands comes back with the places of its tensors."""
    found = set()
    for seed in range(20):
        rng = np.random.default_rng(seed)
        machine = random_machine(rng)
        program, path = with_transfers(random_program(rng, machine, extent=10)), tmp_path / "p.safetensors"
        save_program(program, path)
        transfers = [op for op in program.ops if isinstance(op, Transfer)]
        assert transfers == [op for op in load_program(path).ops if isinstance(op, Transfer)]
        found |= {type(op) for op in transfers}
    assert found == {Load, Store}


def test_files_of_version_1_are_read(saved: Path, tmp_path: Path) -> None:
    """They had neither Loads nor Stores; all else means the same."""
    path = tmp_path / "old.safetensors"
    arrays, graph, _ = stored(saved)
    store(path, arrays, graph | {"schema_version": 1})
    assert load_program(path).tensors == load_program(saved).tensors


def gated() -> Program:
    """A Program of one copy that is multiplied by a residual of one pixel."""
    zeros, unsigned = np.zeros(1, np.int64), Format(4, "unsigned")
    conv = Conv("c", "x", "y", np.ones((1, 1, 1, 1), np.int8), Format(1, "unit"), no_digits(1), zeros, zeros, 0, 15,
                residual="r", residual_multiplier=no_digits(1), residual_broadcast="map", gate=0)
    sizes = {"x": 2, "r": 1, "y": 2}
    return Program(tuple(Tensor(name, size, size, (1,), unsigned) for name, size in sizes.items()), (conv,))


def test_gates_and_broadcasts_survive(tmp_path: Path) -> None:
    """Both are kept, also a gate of 0, and the file is of version 3."""
    path = tmp_path / "p.safetensors"
    save_program(gated(), path)
    (loaded,) = load_program(path).convs
    assert (loaded.gate, loaded.residual_broadcast) == (0, "map")
    assert stored(path)[1]["schema_version"] == 3


@pytest.mark.parametrize(("fields", "message"), [
    ({"residual_broadcast": "row"},
     "graph.records.0.conv.residual_broadcast: Input should be 'none', 'map' or 'channel'"),
    ({"gate": 1.5}, "graph.records.0.conv.gate: Input should be a valid integer"),
    ({"gate": True}, "graph.records.0.conv.gate: Input should be a valid integer"),
    ({"gate": 1 << 70}, "op 'c': gate must be in 0..44, not 1180591620717411303424"),
    ({"residual_broadcast": "channel"}, "op 'c': residual must have shape (1, 2, 2), not (1, 1, 1)"),
])
def test_gates_that_are_none_are_refused(tmp_path: Path, fields: dict[str, object], message: str) -> None:
    """A file whose gate or broadcast is of another type, out of range or does not suit its tensors is refused."""
    path = tmp_path / "p.safetensors"
    save_program(gated(), path)
    arrays, graph, _ = stored(path)
    graph["records"][0] |= fields
    store(path, arrays, graph)
    with pytest.raises(InputError) as caught:
        load_program(path)
    assert str(caught.value) == f"program {path}: {message}"


def tabled() -> Program:
    """A Program of one Conv that ends in a table, from an index of 2 bits to signed codes."""
    table = Table(Format(2, "unsigned", zero_point=1), np.array([-128, -1, 0, 127], np.int16))
    conv = Conv("c", "x", "y", np.ones((1, 1, 1, 1), np.int8), Format(3, "signed"), np.ones((1, 1), np.int8),
                np.zeros(1, np.int64), np.zeros(1, np.int64), 0, 3, table=table)
    return Program((Tensor("x", 2, 2, (1,), Format(4, "unsigned")), Tensor("y", 2, 2, (1,), Format(8, "signed"))),
                   (conv,))


def test_tables_survive(tmp_path: Path) -> None:
    """A table comes back with its index format and its codes, which nobody can write to."""
    path = tmp_path / "p.safetensors"
    save_program(tabled(), path)
    (before,), (after,) = tabled().convs, load_program(path).convs
    assert after.table is not None
    assert before.table is not None
    assert after.table.index == before.table.index
    assert after.table.codes.dtype == np.int16
    assert np.array_equal(after.table.codes, before.table.codes)
    with pytest.raises(ValueError, match="read-only"):
        after.table.codes[0] = 0


def test_groups_survive(tmp_path: Path) -> None:
    """Groups of several channels come back, in a file of version 3; a depthwise op has none, and no number is 0."""
    path = tmp_path / "p.safetensors"
    (conv,) = tabled().convs
    four = {"multiplier": np.ones((4, 1), np.int8), "shift": np.zeros(4, np.int64), "offset": np.zeros(4, np.int64)}
    grouped = replace(conv, weights=np.ones((4, 3, 1, 1), np.int8), groups=2, table=None, **four)
    tensors = (Tensor("x", 2, 2, (6,), Format(4, "unsigned")), Tensor("y", 2, 2, (4,), Format(8, "signed")))
    save_program(Program(tensors, (grouped,)), path)
    arrays, graph, _ = stored(path)
    assert (graph["schema_version"], graph["records"][0]["groups"]) == (3, 2)
    assert load_program(path).convs[0].groups == 2
    for change, message in (({"depthwise": True}, "op 'c': a depthwise op has no groups"),
                            ({"groups": 0}, "op 'c': groups must be in 1..16777216, not 0")):
        store(path, arrays, graph | {"records": [graph["records"][0] | change]})
        with pytest.raises(InputError) as caught:
            load_program(path)
        assert str(caught.value) == f"program {path}: {message}"


def test_unequal_steps_survive(tmp_path: Path) -> None:
    """Strides and dilations of both axes come back, in a file of version 3, which has none twice."""
    path = tmp_path / "p.safetensors"
    tensors = [Tensor(name, *size, (3,), Format(4, "unsigned")) for name, size in (
        ("x", (7, 9)), ("y", (3, 5)), ("z", (3, 3)))]
    zero = np.zeros(3, np.int64)
    conv = Conv("c", "x", "y", np.ones((3, 3, 2, 3), np.int8), Format(2, "signed"), np.ones((3, 1), np.int8), zero,
                zero, 0, 15, stride=(2, 1), dilation=(2, 2))
    save_program(Program(tuple(tensors), (conv, Pool("p", "y", "z", (1, 1), (1, 2)))), path)
    graph = stored(path)[1]
    assert [graph["schema_version"], *({name: value for name, value in record.items() if "stride" in name or (
        "dilation" in name)} for record in graph["records"])] == [
            3, {"horizontal_stride": 1, "stride": 2, "dilation": 2}, {"horizontal_stride": 2, "stride": 1}]
    again = load_program(path)
    assert [(op.stride, getattr(op, "dilation", None)) for op in again.ops] == [((2, 1), (2, 2)), ((1, 2), (1, 1))]


def test_input_parts_survive(tmp_path: Path) -> None:
    """The run of parts that a layer reads comes back, in a file of version 3; a layer that reads all has none."""
    path, byte = tmp_path / "p.safetensors", Format(8, "unsigned")
    tensors = [Tensor(name, 1, 1, parts, byte) for name, parts in (("x", (1, 2, 3)), ("y", (2, 3)), ("z", (2, 3)))]
    pools = Pool("p", "x", "y", (1, 1), input_parts=(1, 3)), Pool("q", "y", "z", (1, 1))
    save_program(Program(tuple(tensors), pools), path)
    graph = stored(path)[1]
    assert [graph["schema_version"], *(record.get("input_parts") for record in graph["records"])] == [3, [1, 3], None]
    assert [op.input_parts for op in load_program(path).ops] == [(1, 3), None]


def test_only_what_needs_version_3_is_written_as_version_3(saved: Path, tmp_path: Path) -> None:
    """A Program without tables has the file that it always had, of version 2; one with a table is of version 3."""
    path = tmp_path / "p.safetensors"
    save_program(tabled(), path)
    assert stored(path)[1]["schema_version"] == 3
    graph = stored(saved)[1]
    assert graph["schema_version"] == 2
    assert all("table" not in record for record in graph["records"])


@pytest.mark.parametrize(("change", "message"), [
    (lambda arrays, record: arrays.pop("records.0.table"), "array 'records.0.table' is missing"),
    (lambda arrays, record: record.pop("table"), "array 'records.0.table' belongs to no op"),
    (lambda arrays, record: arrays.update({"records.0.table": np.zeros(4, np.int8)}),
     "array 'records.0.table' must have type I16, not I8"),
    (lambda arrays, record: arrays.update({"records.0.table": np.zeros(3, np.int16)}),
     "op 'c': table must be int16 of shape (4,), not int16 (3,)"),
    (lambda arrays, record: record["table"].update(bits=31), "op 'c': a table's index has at most 8 bits, not 31"),
    (lambda arrays, record: record["table"].update(kind="signed", zero_point=0),
     "op 'c': a table has an unsigned index, not signed"),
    (lambda arrays, record: arrays.update({"records.0.table": np.array([0, 0, 128, 0], np.int16)}),
     "op 'c': table: code 128 at (2,) is outside -128..127 of signed8"),
])
def test_tables_that_are_none_are_refused(tmp_path: Path, change: Callable[..., object], message: str) -> None:
    """A file whose table lacks its array, or holds another number of codes or other codes, is refused."""
    path = tmp_path / "p.safetensors"
    save_program(tabled(), path)
    arrays, graph, _ = stored(path)
    change(arrays, graph["records"][0])
    store(path, arrays, graph)
    with pytest.raises(InputError) as caught:
        load_program(path)
    assert str(caught.value) == f"program {path}: {message}"


def test_numpy_scalars_are_saved_as_numbers(tmp_path: Path) -> None:
    """A Program built with NumPy's integers and booleans loads again with plain ones."""
    program, path = some_program(0), tmp_path / "p.safetensors"
    op = next(r for r in program.ops if isinstance(r, Conv))
    changed = replace(op, stride=(np.int64(op.stride[0]), np.int64(op.stride[1])), groups=np.int64(op.groups))
    ops = tuple(changed if r is op else r for r in program.ops)
    save_program(replace(program, ops=ops), path)
    assert {type(step) for r in load_program(path).ops for step in getattr(r, "stride", ())} == {int}


@pytest.mark.parametrize("prefer_depthwise", [False, True])
def test_a_layer_of_one_channel_stays_dense_or_depthwise(tmp_path: Path, prefer_depthwise: bool) -> None:
    """Its groups are 1 either way; the file tells how the machine runs it, and so schedule and cycles stay."""
    fmt, zeros = Format(4, "unsigned"), np.zeros(1, np.int64)
    conv = Conv("c", "x", "y", np.ones((1, 1, 3, 3), np.int8), Format(3, "signed"), np.ones((1, 1), np.int8), zeros,
                zeros, 0, 15, prefer_depthwise=prefer_depthwise)
    program = Program((Tensor("x", 6, 6, (1,), fmt), Tensor("y", 4, 4, (1,), fmt)), (conv,))
    path = tmp_path / "p.safetensors"
    save_program(program, path)
    (loaded,) = load_program(path).convs
    assert (loaded.groups, loaded.prefer_depthwise, loaded.depthwise) == (1, prefer_depthwise, prefer_depthwise)
    assert stored(path)[1]["records"][0]["depthwise"] is prefer_depthwise
    before, after = (plan(p, load_machine("large")) for p in (program, load_program(path)))
    assert [schedule.on_depthwise_unit for _, schedule in after.convs()] == [prefer_depthwise]
    assert before.timeline.total == after.timeline.total


@pytest.mark.parametrize(("channels", "weight_format", "depthwise", "message"), [
    (1, Format(1, "unit"), False, "unit weights are for depthwise ops only"),
    (2, Format(3, "signed"), True, "a depthwise op with groups 1 has one channel in and out, not 2 and 1"),
])
def test_a_file_that_contradicts_itself_is_refused(tmp_path: Path, channels: int, weight_format: Format,
                                                   depthwise: bool, message: str) -> None:
    """Where a layer has one output channel, what the file says of it has to fit its weights and its input."""
    fmt, zeros = Format(4, "unsigned"), np.zeros(1, np.int64)
    conv = Conv("c", "x", "y", np.ones((1, channels, 3, 3), np.int8), weight_format, np.ones((1, 1), np.int8), zeros,
                zeros, 0, 15)
    path = tmp_path / "p.safetensors"
    save_program(Program((Tensor("x", 6, 6, (channels,), fmt), Tensor("y", 4, 4, (1,), fmt)), (conv,)), path)
    arrays, graph, _ = stored(path)
    graph["records"][0]["depthwise"] = depthwise
    store(path, arrays, graph)
    with pytest.raises(InputError, match=rf"^program {path}: op 'c': {message}$"):
        load_program(path)


def test_every_truncation_is_refused(saved: Path, tmp_path: Path) -> None:
    """A file cut anywhere gives an InputError with its path."""
    data, path = saved.read_bytes(), tmp_path / "cut.safetensors"
    for length in range(0, len(data), 7):
        path.write_bytes(data[:length])
        with pytest.raises(InputError, match=f"^program {path}: not a whole safetensors file"):
            load_program(path)


@given(st.data())
@ONE_FILE
def test_every_changed_byte_is_refused(saved: Path, tmp_path: Path, data: st.DataObject) -> None:
    """A byte changed anywhere, header or arrays, gives an InputError, never another exception or a Program."""
    content, path = bytearray(saved.read_bytes()), tmp_path / "flipped.safetensors"
    header = 8 + int.from_bytes(content[:8], "little")
    place = data.draw(st.one_of(st.integers(0, header - 1), st.integers(0, len(content) - 1)))
    content[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"^program {path}: "):
        load_program(path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x80\x04K*.", b"x" * 100],
                         ids=["empty", "zip", "pickle", "text"])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    """A file of another kind is refused before anything in it is interpreted."""
    path = tmp_path / "other"
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"^program {path}: not a whole safetensors file"):
        load_program(path)


def test_other_safetensors_are_refused(tmp_path: Path) -> None:
    """A safetensors file without our metadata is named as such."""
    path = tmp_path / "weights.safetensors"
    path.write_bytes(safetensors.numpy.save({"w": np.zeros(3)}))
    with pytest.raises(InputError, match=r"metadata 'graph' is missing; this is no Bitwright program$"):
        load_program(path)


def test_missing_file_is_refused(tmp_path: Path) -> None:
    """A path that does not exist is named."""
    path = tmp_path / "none"
    with pytest.raises(InputError, match=f"^no program '{path}'$"):
        load_program(path)


@pytest.mark.parametrize(("field", "value", "message"), [
    ("schema_version", 4, "schema_version must be in 1..3, not 4"),
    ("schema_version", "one", "graph.schema_version: Input should be a valid integer"),
    ("rounding", "up", "graph.rounding: Input should be 'half_up', 'half_even' or 'floor'"),
    ("wrap", 1, "graph.wrap: Input should be a valid boolean"),
    ("acc_bits", 16.0, "graph.acc_bits: Input should be a valid integer"),
    ("acc_bits", 40, "arithmetic: acc_bits must be in 2..32, not 40"),
    ("colour", "red", "graph.colour: Extra inputs are not permitted"),
])
def test_wrong_fields_are_named(saved: Path, tmp_path: Path, field: str, value: object, message: str) -> None:
    """A field of the wrong type or value, or an unknown one, is named."""
    path = tmp_path / "p.safetensors"
    arrays, graph, _ = stored(saved)
    store(path, arrays, graph | {field: value})
    with pytest.raises(InputError) as caught:
        load_program(path)
    assert str(caught.value) == f"program {path}: {message}"


def test_wrong_fields_of_ops_are_named(saved: Path, tmp_path: Path) -> None:
    """Missing, unknown and ill-typed fields inside the lists are named with their place."""
    path = tmp_path / "p.safetensors"
    arrays, graph, _ = stored(saved)
    conv = next(i for i, op in enumerate(graph["records"]) if op["record"] == "conv")
    for field, value, message in [
        ("stride", "1", f"graph.records.{conv}.conv.stride: Input should be a valid integer"),
        ("colour", 2, f"graph.records.{conv}.conv.colour: Extra inputs are not permitted"),
        ("pads", [0, 0], f"graph.records.{conv}.conv.pads.2: Field required"),
        ("record", "lstm", (f"graph.records.{conv}: Input tag 'lstm' found using 'record' does not match "
                            "any of the expected tags: 'conv', 'pool', 'load', 'store'")),
    ]:
        ops = [op | {field: value} if i == conv else op for i, op in enumerate(graph["records"])]
        store(path, arrays, graph | {"records": ops})
        with pytest.raises(InputError) as caught:
            load_program(path)
        assert str(caught.value) == f"program {path}: {message}"


def test_wrong_arrays_are_named(saved: Path, tmp_path: Path) -> None:
    """Missing, surplus and ill-typed arrays are named, and so are arrays that were changed."""
    path = tmp_path / "p.safetensors"
    arrays, graph, sha256 = stored(saved)
    name = next(name for name in arrays if name.endswith(".offset"))
    without = {key: array for key, array in arrays.items() if key != name}
    for changed, checksum, message in [
        (without, None, f"array '{name}' is missing"),
        (arrays | {"extra": np.zeros(1)}, None, "array 'extra' belongs to no op"),
        (arrays | {name: arrays[name].astype(np.float64)}, None, f"array '{name}' must have type I64, not F64"),
        (arrays | {name: arrays[name] + 1}, sha256, "graph and arrays do not match their sha256; the file is damaged"),
    ]:
        store(path, changed, graph, checksum)
        with pytest.raises(InputError) as caught:
            load_program(path)
        assert str(caught.value) == f"program {path}: {message}"


def test_a_failed_save_leaves_the_old_file(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When writing fails half-way, the old Program is whole and nothing is left beside it."""
    path = tmp_path / "p.safetensors"
    path.write_bytes(saved.read_bytes())

    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sim.io.atomic_write.os.fsync", full_disk)
    with pytest.raises(InputError, match=f"^cannot write {path}: No space left on device$"):
        save_program(some_program(1), path)
    assert path.read_bytes() == saved.read_bytes()
    assert list(tmp_path.iterdir()) == [path]


def test_a_reader_of_the_old_file_is_not_disturbed(tmp_path: Path) -> None:
    """Who has the old file open goes on reading it: the new one is another file under the same name."""
    path = tmp_path / "note.txt"
    atomic_write_text(path, "old")
    with path.open() as reader:
        atomic_write_text(path, "new")
        assert reader.read() == "old"
    assert path.read_text() == "new"


def test_an_error_while_writing_leaves_the_old_file(tmp_path: Path) -> None:
    """An exception inside the block passes through; the file is as it was."""
    path = tmp_path / "note.txt"
    atomic_write_text(path, "old")

    def interrupted() -> None:
        with atomic_write(path) as stream:
            stream.write(b"ne")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("place", "reason"), [
    ("none/note.txt", "No such file or directory"), ("file/note.txt", "Not a directory"),
    ("", "it is there and not a regular file"),
])
def test_places_that_cannot_be_written_are_named(tmp_path: Path, place: str, reason: str) -> None:
    """A missing folder, a file used as a folder and a folder used as a file are refused with the path."""
    (tmp_path / "file").write_text("")
    path = tmp_path / place
    with pytest.raises(InputError, match=f"^cannot write {path}: {reason}$"):
        atomic_write_text(path, "text")


def test_vectors_load_without_pickle(tmp_path: Path) -> None:
    """Golden vectors come back equal by name, whatever the names are, from a file that needs no pickle."""
    rng = np.random.default_rng(0)
    program = random_program(rng, random_machine(rng))
    codes = corner_inputs(rng, program, 2) | {"file": np.arange(3, dtype=np.int32)}
    save_vectors(tmp_path / "v.npz", codes)
    with np.load(tmp_path / "v.npz", allow_pickle=False) as loaded:
        assert sorted(loaded) == sorted(codes)
        assert all(np.array_equal(loaded[name], codes[name]) for name in codes)


def test_links_are_followed_and_devices_left_alone(tmp_path: Path) -> None:
    """Writing to a symbolic link changes what it points to; a pipe is refused and stays a pipe."""
    target, link, pipe = tmp_path / "target", tmp_path / "link", tmp_path / "pipe"
    target.write_text("old")
    link.symlink_to(target)
    os.mkfifo(pipe)
    atomic_write_text(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    with pytest.raises(InputError, match=f"^cannot write {re.escape(str(pipe))}: it is there and not a regular file$"):
        atomic_write_text(pipe, "new")
    assert pipe.is_fifo()
