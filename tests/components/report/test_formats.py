"""Numbers as people read them: exact cases, ties, and what is missing."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.report import formats


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 B"),
        (1, "1 B"),
        (999, "999 B"),
        (1000, "1.00 kB"),
        (1004, "1.00 kB"),
        (61_234, "61.2 kB"),
        (999_499, "999 kB"),
        (999_500, "1.00 MB"),
        (7_850_756, "7.85 MB"),
        (2.5e9, "2.50 GB"),
        (None, "–"),
        (math.nan, "–"),
    ],
)
def test_bytes_are_decimal(value: float | None, text: str) -> None:
    assert formats.bytes_text(value) == text.replace(" ", "\N{NO-BREAK SPACE}")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.00213, "2.13 ms"),
        (0.0325, "32.5 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1.00 s"),
        (1.5, "1.50 s"),
        (1.2e-5, "12.0 µs"),
        (None, "–"),
    ],
)
def test_times(value: float | None, text: str) -> None:
    assert formats.seconds_text(value) == text.replace(" ", "\N{NO-BREAK SPACE}")


@pytest.mark.parametrize(
    ("value", "text"),
    [(128.61, "129×"), (36.53, "36.5×"), (9.96, "10×"), (3.44, "3.4×"), (0.45, "0.45×")],
)
def test_ratios(value: float, text: str) -> None:
    assert formats.ratio_text(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(-0.0013, "−0.0013"), (0.0013, "+0.0013"), (-0.00001, "0.0000"), (0.0, "0.0000"), (None, "–")],
)
def test_differences_have_a_sign_unless_zero(value: float | None, text: str) -> None:
    assert formats.difference_text(value) == text


def test_parameters_in_words() -> None:
    assert formats.plain({"mean": [0.5, 1], "on": True}) == "mean: 0.5, 1, on: yes"
    assert formats.plain("") == formats.plain(None) == "–"


@given(st.floats(1e-9, 1e12), st.integers(1, 5))
def test_significant_keeps_the_value(value: float, digits: int) -> None:
    shown = float(formats.significant(value, digits).replace(",", ""))
    assert shown == pytest.approx(value, rel=0.51 * 10 ** (1 - digits))
