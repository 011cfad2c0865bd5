"""What was expected before anything was measured, what is to be reached, and what came out."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import median
from typing import Any

__all__ = ["GOALS", "Goal", "bytes_ratio", "speed_ratio"]

Results = dict[str, Any]
Row = dict[str, Any]
SMALL_PARAMETERS = (100_000, 150_000)
LARGE_PARAMETERS = 7_000_000


def bytes_ratio(row: Row, peer: str = "nncodec") -> float:
    """Return our bytes over another coder's."""
    return float(row["bytes"]["thimble"] / row["bytes"][peer])


def speed_ratio(row: Row, what: str) -> float:
    """Return how many times our speed is NNCodec's; `what` is encode or decode."""
    return float(row[what]["nncodec"] / row[what]["thimble"])


def _worst(values: Iterable[float], choose: Callable[..., float]) -> float | None:
    """Return the largest or smallest value, or None if nothing was measured."""
    found = list(values)
    return choose(found) if found else None


def _real(results: Results) -> list[Row]:
    """Return the models that were trained."""
    return [row for row in results["models"] if row["real"]]


def _median_bytes(results: Results) -> float | None:
    """Return the median over the grid of the ratio of bytes."""
    return median(map(bytes_ratio, results["grid"])) if results["grid"] else None


def _least_decode(results: Results, low: int, high: float) -> float | None:
    """Return the least ratio of decoding speeds over the cells of these sizes."""
    rows = (row for row in results["grid"] if low <= row["size"] <= high)
    return _worst((speed_ratio(row, "decode") for row in rows), min)


def _packages(results: Results) -> list[Row]:
    """Return the packages of all models."""
    return [row["package"] for row in results["models"]]


def _overhead(results: Results) -> float | None:
    """Return the most bytes beyond the streams among the small U-Nets."""
    low, high = SMALL_PARAMETERS
    small = (p for p in _packages(results) if low <= p["parameters"] <= high)
    known = (p["beyond_streams"] for p in small if p["beyond_streams"] is not None)
    return _worst(known, max)


def _tflite(results: Results) -> float | None:
    """Return the most bytes that a packed TFLite file takes more than the packed Keras model."""
    both = (p for p in _packages(results) if p["tflite"])
    return _worst((p["tflite"]["package"] - p["bytes"] for p in both), max)


def _large_decode(results: Results) -> float | None:
    """Return the milliseconds in which a package of 7.76 M weights is decoded."""
    large = (p for p in _packages(results) if p["parameters"] >= LARGE_PARAMETERS)
    return _worst((1000 * p["decode"] for p in large), max)


@dataclass(frozen=True)
class Goal:
    """One figure.

    Attributes:
        text: What is measured.
        expected: What was expected, in words; written before the first run.
        reach: Limit of the issue, in words; empty if it has none.
        met: Whether a value is within the limit, or as expected where there is no limit.
        form: How the value is written.
        value: From the results; None = not measured.
    """

    text: str
    expected: str
    reach: str
    met: Callable[[float], bool]
    form: str
    value: Callable[[Results], float | None]


GOALS = (
    Goal(
        "bytes to NNCodec's, largest of the trained models",
        "<= 1.00x", "<= 1.00x", lambda value: value <= 1.0, "{:.3f}x",
        lambda results: _worst(map(bytes_ratio, _real(results)), max),
    ),
    Goal(
        "bytes to NNCodec's, median of the grid",
        "<= 0.97x", "<= 1.00x", lambda value: value <= 1.0, "{:.3f}x", _median_bytes,
    ),
    Goal(
        "bytes to NNCodec's, worst cell",
        "<= 1.03x", "<= 1.03x", lambda value: value <= 1.03, "{:.3f}x",
        lambda results: _worst(map(bytes_ratio, results["grid"]), max),
    ),
    Goal(
        "decoding speed to NNCodec's, least of the trained models",
        ">= 10x", ">= 10x", lambda value: value >= 10, "{:.1f}x",
        lambda results: _worst((speed_ratio(row, "decode") for row in _real(results)), min),
    ),
    Goal(
        "decoding speed to NNCodec's, worst cell of 10,000 weights and more",
        ">= 5x", ">= 5x", lambda value: value >= 5, "{:.1f}x",
        lambda results: _least_decode(results, 10_000, float("inf")),
    ),
    Goal(
        "decoding speed to NNCodec's, worst cell of 100 weights",
        "< 5x: a call's overhead counts", ">= 5x", lambda value: value >= 5, "{:.1f}x",
        lambda results: _least_decode(results, 100, 100),
    ),
    Goal(
        "encoding speed to NNCodec's, least of the trained models",
        ">= 3x", ">= 3x", lambda value: value >= 3, "{:.1f}x",
        lambda results: _worst((speed_ratio(row, "encode") for row in _real(results)), min),
    ),
    Goal(
        "decoding the package of 7.76 M weights, ms",
        "not given", "< 100", lambda value: value < 100, "{:.0f}", _large_decode,
    ),
    Goal(
        "bytes beyond the coded streams, small U-Net (base 4)",
        "not given", "<= 2,500", lambda value: value <= 2500, "{:,.0f}", _overhead,
    ),
    Goal(
        "packed float32 TFLite less packed Keras model, bytes, largest",
        "not given", "<= 3,000", lambda value: value <= 3000, "{:,.0f}", _tflite,
    ),
)  # fmt: skip
