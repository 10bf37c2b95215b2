"""Descriptions are plain YAML: what could surprise a reader, or fill a memory, is refused in one sentence."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sim.arch.machine import builtin_machines, load_machine
from sim.io.plain_yaml import PlainYamlError, parse_plain

TREES = st.recursive(
    st.none() | st.booleans() | st.integers(-10**20, 10**20) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4), max_leaves=20)


def as_tuples(tree: object) -> object:
    if isinstance(tree, dict):
        return {key: as_tuples(value) for key, value in tree.items()}
    return tuple(map(as_tuples, tree)) if isinstance(tree, list) else tree


@given(TREES, st.booleans())
def test_what_pyyaml_writes_is_read_as_it_was(tree: object, flow: bool) -> None:
    """Every tree that PyYAML writes without aliases comes back, in block and in flow style."""
    class Plain(yaml.SafeDumper):
        def ignore_aliases(self, data: object) -> bool:
            return True

    text = yaml.dump(tree, Dumper=Plain, default_flow_style=flow)
    assert parse_plain(text) == as_tuples(tree)


@pytest.mark.parametrize("name", builtin_machines())
def test_descriptions_mean_what_they_mean_to_pyyaml(name: str) -> None:
    """For the files that come along the restricted reading is the usual one."""
    text = (Path(__file__).parents[3] / "sim" / "arch" / "machines" / f"{name}.yaml").read_text()
    assert parse_plain(text) == yaml.safe_load(text)
    assert load_machine(name).name == name


@pytest.mark.parametrize(("text", "value"), [
    ("4", 4), ("-3", -3), ("+3", 3), ("0", 0), ("4.0", 4.0), ("1e3", 1000.0), (".5", 0.5), ("5.", 5.0),
    ("-.inf", -float("inf")),
    ("true", True), ("False", False), ("null", None), ("~", None), ("", None), ("'4'", "4"), ('"true"', "true"),
    ("010", "010"), ("0x10", "0x10"), ("0b1", "0b1"), ("1_000", "1_000"), ("1:30", "1:30"), ("yes", "yes"),
    ("2024-99-99", "2024-99-99"), ("=", "="), ("|\n 4\n", "4\n"), (". 5", ". 5"), ("1e", "1e"), ("-", (None,))])
def test_scalars_are_those_of_yaml_1_2(text: str, value: object) -> None:
    """What another reader may take for another number is a string."""
    found = parse_plain(text)
    assert (found, type(found)) == (value, type(value))


MERGES = "m0: &m0 {x0: 1}\n" + "".join(
    f"m{i}: &m{i} {{<<: [{','.join([f'*m{i - 1}'] * 10)}], x{i}: 1}}\n" for i in range(1, 9))


@pytest.mark.parametrize(("text", "message"), [
    (MERGES, "line 1: anchors and aliases are not read"),
    ("a: &a [x]\nb: *a", "line 1: anchors and aliases are not read"),
    ("a: &a [*a]", "line 1: anchors and aliases are not read"),
    ("a: *b", "line 1: anchors and aliases are not read"),
    ("a: 1\n<<: {b: 1}", "line 2: merge keys are not read"),
    ("rows: 4\nname: x\nrows: 8", "line 3: key 'rows' is there twice"),
    ("a: {b: [{c: 1, d: 2, c: 3}]}", "line 1: key 'c' is there twice"),
    ("a: {'b': 1, b: 2}", "line 1: key 'b' is there twice"),
    ("1: 2", "line 1: a key must be a string, not 1"),
    ("~: 2", "line 1: a key must be a string, not None"),
    ("? [a, b]\n: 2", "line 1: a key must be a string"),
    ("? {a: b}\n: 2", "line 1: a key must be a string"),
    ("a: 1\n---\nb: 2", "line 2: a second document begins"),
    *((f"a: !!{tag}", f"line 1: tags are not read, such as tag:yaml.org,2002:{tag.split()[0]}") for tag in (
        "int ''", "int '-'", "float ''", "bool x", "timestamp x", "null x", "set {a}", "omap [a]", "binary '%%'",
        "python/object/apply:os.system ['true']")),
    ("a: !x b", "line 1: tags are not read, such as !x"),
    ("!!int 4: 2", "line 1: tags are not read, such as tag:yaml.org,2002:int"),
    ("a: " + "9" * 5000, "line 1: a number has at most 100 digits, not 5000"),
    ("a: " + "[" * 17 + "]" * 17, "line 1: nested more than 16 deep"),
    ("[" * 100_000, "line 1: nested more than 16 deep"),
    ("? " * 100_000, "line 1: a key must be a string"),
    ("- " * 100_000, "line 1: nested more than 16 deep"),
    ('a: "\\UFFFFFFFF"', "not YAML: an escape stands for no character"),
    ('a: "\\U00110000"', "not YAML: an escape stands for no character"),
])
def test_what_is_not_plain_is_refused(text: str, message: str) -> None:
    """The line and the reason; nothing is expanded, built or run."""
    with pytest.raises(PlainYamlError, match=f"^{re.escape(message)}$"):
        parse_plain(text)


@given(st.text(alphabet="abc019 \t\n-:[]{},&*!|>'\"%@`#?<.~\\é\x00\ud800", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Nothing but PlainYamlError ever comes out, with one printable line."""
    said = ""
    try:
        parse_plain(text)
    except PlainYamlError as error:
        said = str(error)
    assert said.isprintable()
