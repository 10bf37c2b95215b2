"""What each layer loses, as files."""

import csv
import json
from pathlib import Path
from xml.etree import ElementTree

from bitwright.codesign.layer_report import write_layers
from quant.analysis.layers import LayerQuality

LAYERS = [LayerQuality("x", "input", None, 8, None, None, None, None, None, None, 1.0),
          LayerQuality("stem", "conv", 4, 3, 20.5, 15.25, 0.125, 14.0, 0.25, None, 0.75),
          LayerQuality("out", "linear", 8, None, 40.0, None, None, 10.0, None, 0.5, 0.5)]


def test_layers_are_written_in_three_forms(tmp_path: Path) -> None:
    """JSON and CSV hold every number, and nothing where there is none; the figure names every layer."""
    files = write_layers(tmp_path, LAYERS)
    assert [path.name for path in files] == ["layers.json", "layers.csv", "layers.svg"]
    assert [LayerQuality(**layer) for layer in json.loads(files[0].read_text())] == LAYERS
    with files[1].open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["output_sqnr_db"] for row in rows] == ["", "14.0", "10.0"]
    assert [row["fit_error_output"] for row in rows] == ["", "", "0.5"]
    text = files[2].read_text()
    assert ElementTree.fromstring(text).tag.endswith("svg")
    assert all(f"<!-- {name} -->" in text for name in ("x", "stem", "out", "clipped", "stored tensor"))
