"""Names of files, pictures for the eye, and which cases a report shows."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from components.evaluate.pictures import (
    choose_cases,
    read_mask,
    safe_name,
    write_mask,
    write_scan,
)


def test_safe_names_stay() -> None:
    assert safe_name("slice_024-a.v2") == "slice_024-a.v2"


@pytest.mark.parametrize("identifier", ["../x", "a/b", "a b", "Bär", "", ".", "..", "x" * 300])
def test_other_names_become_safe_and_stay_apart(identifier: str) -> None:
    name = safe_name(identifier)
    assert name.isascii()
    assert 8 < len(name) < 100
    assert not {"/", " ", "\\"} & set(name)
    assert not name.startswith(".")
    assert name != safe_name(identifier + "?")


def test_similar_ids_do_not_collide() -> None:
    assert len({safe_name(name) for name in ("a/b", "a b", "a_b", "a\\b")}) == 4


def test_mask_round_trip(tmp_path: Path) -> None:
    mask = np.random.default_rng(1).integers(0, 5, (7, 9)).astype(np.uint8)
    write_mask(tmp_path / "new" / "mask.png", mask)
    assert np.array_equal(read_mask(tmp_path / "new" / "mask.png"), mask)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["mask.png"]


def test_scan_is_stretched_to_eight_bits(tmp_path: Path) -> None:
    scan = np.linspace(1000, 3000, 1000).astype(np.uint16).reshape(20, 50, 1)
    scan[0, 0] = 65535
    write_scan(tmp_path / "scan.png", scan)
    with Image.open(tmp_path / "scan.png") as image:
        shown = np.asarray(image)
    assert (shown.dtype, shown.shape) == (np.uint8, (20, 50))
    assert shown.min() == 0 and shown.max() == 255
    assert abs(int(np.median(shown)) - 128) <= 2


def test_constant_and_colour_scans(tmp_path: Path) -> None:
    write_scan(tmp_path / "flat.png", np.full((4, 5, 1), 7, np.uint8))
    write_scan(tmp_path / "rgb.png", np.zeros((4, 5, 3), np.uint8))
    with Image.open(tmp_path / "flat.png") as flat, Image.open(tmp_path / "rgb.png") as rgb:
        assert (flat.mode, rgb.mode) == ("L", "RGB")


DICE = {"a": 0.1, "b": 0.9, "c": 0.5, "d": 0.6, "e": 0.4, "f": 0.8, "g": 0.3}


def test_cases_by_turns() -> None:
    assert choose_cases(DICE, None, 5) == [
        ("a", "worst"),
        ("c", "median"),
        ("b", "best"),
        ("g", "worst"),
        ("e", "median"),
    ]


def test_cases_against_a_baseline() -> None:
    baseline = {name: score + (0.2 if name == "f" else 0.0) for name, score in DICE.items()}
    chosen = choose_cases(DICE, baseline, 4)
    assert chosen == [("a", "worst"), ("f", "largest drop"), ("c", "median"), ("b", "best")]


def test_every_case_is_shown_once() -> None:
    chosen = choose_cases(DICE, DICE, 100)
    assert sorted(name for name, _ in chosen) == sorted(DICE)
    assert choose_cases({"only": 0.5}, None, 6) == [("only", "worst")]
