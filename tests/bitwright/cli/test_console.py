"""What reaches a terminal: names as they are, and nothing that a terminal obeys."""

import io
import json
import struct
import sys
import zlib
from pathlib import Path

import pytest
from PIL import Image

from bitwright.cli.console import Report, message, prepare, show, steps
from quant.data.pictures import read_picture
from sim.errors import InputError

HOSTILE = ["[/]", "[x]", "[link=http://a]b[/link]", "[bold red]", "\x1b]0;owned\x07", "\x1b[2J", "a\nb", "a\rb",
           "\u202eb", "\u2066b", "\x9b2J", "a\x00b", "\udcff", "\u200bzero", "\ufeff", ":smile:", "größe", "表"]


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
@pytest.mark.parametrize("place", ["title", "column", "cell", "line", "message", "step", "task"])
def test_names_are_shown_as_they_are_or_as_escapes(name: str, place: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Whatever a name holds and wherever it stands, every letter of it is seen and none is obeyed."""
    report = Report({})
    if place == "line":
        report.lines.append(f"a line of {name}")
    elif place in ("title", "column", "cell"):
        report.table(name if place == "title" else "title", [name if place == "column" else "column"],
                     [[name if place == "cell" else "cell"]])
    if place == "message":
        message(f"bitwright: {name}")
    elif place in ("step", "task"):
        with steps(name if place == "task" else "task", 1) as progress:
            progress.note(name)
            progress.done(f"done {name}")
    else:
        show(report, False)
    out, error = capfd.readouterr()
    expected = "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in name)
    assert expected in out + error
    assert all(line.isprintable() for line in (out + error).split("\n"))
    assert (out + error).count("\n") <= (6 if place in ("title", "column", "cell") else 1)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
@pytest.mark.parametrize("as_json", [False, True])
def test_any_letter_fits_any_encoding(encoding: str, as_json: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an encoding lacks is written as an escape; JSON gives the name back in all of them."""
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    prepare()
    report = Report({"name": "größe 表"})
    report.table("größe 表", ["größe"], [["表"]])
    report.lines.append("größe 表")
    show(report, as_json)
    text = raw.getvalue().decode(encoding)
    if as_json:
        assert json.loads(text) == {"name": "größe 表"}
    else:
        assert text.count("größe 表".encode(encoding, "backslashreplace").decode(encoding)) == 2


def test_a_long_table_shows_its_first_rows_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """A Program of 10^5 tensors is no wait: a thousand rows are laid out, and a line tells how many there are."""
    report = Report({})
    report.table("numbers", ["number"], [[f"row {index}"] for index in range(100_000)])
    show(report, False)
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert [line for line in lines if line.startswith("row ")] == [f"row {index}" for index in range(1000)]
    assert lines[-1] == "numbers: the first 1,000 of 100,000 rows; --json has all"


def test_an_image_that_pillow_warns_of_is_one_sentence(tmp_path: Path) -> None:
    """Of 90 million pixels: the warning would be lines between ours, and here an error."""
    stream = io.BytesIO()
    Image.new("L", (1, 1)).save(stream, "PNG")
    head = struct.pack(">4sIIBBBBB", b"IHDR", 9500, 9500, 8, 0, 0, 0, 0)
    content = stream.getvalue()
    (tmp_path / "a.png").write_bytes(content[:12] + head + struct.pack(">I", zlib.crc32(head)) + content[33:])
    prepare()
    with pytest.raises(InputError, match=r"^cannot read image '.*/a\.png': it has more than 67,108,864 pixels$"):
        read_picture(str(tmp_path / "a.png"))
