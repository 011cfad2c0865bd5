"""The page of faults: what was found, the least that is always found, and the curves."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.faults.faults import FAULTS
from benchmarks.faults.page import write_page


def _results(folder: Path) -> None:
    faults = {}
    for fault in FAULTS:
        found = {f"{much:g}": [2, 2] for much in fault.magnitudes}
        if fault.name == "blur":
            found |= {"0.3": [0, 2], "0.5": [1, 2], "1": [5, 5]}
        faults[fault.name] = found
    clean = {"samples": 200, "flagged": 3, "features": [], "distances": []}
    result = {"title": "Phantoms", "images": 1200, "patients": 40, "faults": faults, "clean": clean}
    (folder / "phantoms.json").write_text(json.dumps(result))


def test_the_page_tells_what_was_found(tmp_path: Path) -> None:
    _results(tmp_path)
    write_page(tmp_path, tmp_path)
    page = (tmp_path / "faults.md").read_text("utf-8")
    assert f"| Phantoms | 1,200 | 40 | {len(FAULTS)} of {len(FAULTS)} | 3 of 200 |" in page
    assert "| blur | 1 | pixels, sigma | 5/5 (0.7) |" in page
    plot = ElementTree.parse(tmp_path / "faults.svg").getroot()
    assert plot.attrib["width"] == "390"
    lines = [each for each in plot.iter() if each.tag.endswith("polyline")]
    assert len(lines) == len(FAULTS)


def test_nothing_was_measured(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="holds no results"):
        write_page(tmp_path, tmp_path)
