"""`bitwright explain`: one code, in sentences and as data."""

import json

import numpy as np
import pytest

import bitwright as bw
from bitwright.cli.app import main
from sim.ir.signed_digits import digits_of


@pytest.fixture
def halved(tmp_path):
    """A 1 x 2 convolution that adds two pixels and halves the sum, and its file."""
    conv = bw.Conv("halve", "x", "y", np.ones((1, 1, 1, 2), np.int8), bw.Format(2, "signed"), digits_of([[1]]),
                   shift=np.array([1]), offset=np.array([0]), low=0, high=7, pads=(0, 0, 0, 1))
    codes = bw.Format(4, "unsigned")
    program = bw.Program((bw.Tensor("x", 1, 3, (1,), codes), bw.Tensor("y", 1, 3, (1,), codes)), (conv,))
    bw.save_program(program, tmp_path / "p.safetensors")
    np.save(tmp_path / "x.npy", np.array([[[[4, 5, 15]]]]))
    return program, tmp_path


def test_a_code_is_explained_in_sentences(halved, capsys):
    """Operands, tie, clamp, element and cycles of a code are told."""
    _, folder = halved
    assert main(["explain", str(folder / "p.safetensors"), "-i", str(folder / "x.npy"), "-t", "y", "--at", "0,0,0",
                 "-m", "edge"]) == 0
    told = capsys.readouterr().out
    for text in ("is 5, made by conv 'halve'", "2 operands, 0 of them padded", "accumulator 9", "a tie",
                 "rounded half_up to 5", "not clamped of 0..7", "row 0 of row tile 0", "written in cycles"):
        assert text in told


def test_data_has_what_the_function_returns(halved, capsys):
    """`--json` holds the fields of `bw.explain`; a padded tap has the code of the zero point."""
    program, folder = halved
    given = {"x": np.array([[[[4, 5, 15]]]])}
    found = bw.explain(program, "edge", given, "y", x=2)
    assert (found.code, found.requantization.clamped, found.requantization.rounded) == (7, "high", 8)
    assert [(tap.code, tap.padded) for tap in found.taps] == [(15, False), (0, True)]
    assert main(["explain", str(folder / "p.safetensors"), "-i", str(folder / "x.npy"), "-t", "y", "--at", "0,0,2",
                 "-m", "edge", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["requantization"]["value"] == found.requantization.value == 15
    assert data["place"]["written"] == list(found.place.written)


def test_a_place_in_another_form_is_refused(halved, capsys):
    """What is no CHANNEL,Y,X is refused in a sentence."""
    _, folder = halved
    assert main(["explain", str(folder / "p.safetensors"), "-t", "y", "--at", "0,0"]) == 1
    assert "--at is CHANNEL,Y,X such as 0,3,5, not '0,0'" in capsys.readouterr().err
