"""The int8 variant: post-training, then fine-tuned, then with layers in float32, as Dice asks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from components.convert.mixed import MixedConverter
from components.convert.tflite import freeze, to_tflite
from components.convert.tuning import tune_for_int8
from components.convert.validation import Judge
from thimble.codec import TfliteFile
from thimble.models import to_keras
from thimble.prediction import Predictor
from thimble.records import Dataset
from thimble.stage import Run, require
from thimble.training import ScheduleConfig
from thimble.weights import Weights

__all__ = ["Int8Config", "Int8Result", "Source", "make_int8"]

# Validations of a fine-tuning, evenly spread; the best of them is kept.
VALIDATIONS = 5


@dataclass(frozen=True)
class Int8Config:
    """What int8 may lose, and what is done about it.

    Attributes:
        int8_max_drop: Largest loss of validation Dice against float32, in [0, 1]; what follows is
            done only if post-training int8 loses more.
        int8_check_images: Validation scans that are scored, spread evenly; 0 = all.
        int8_tuning_steps: Steps of quantization-aware fine-tuning; 0 = none.
        int8_learning_rate: Peak of its cosine schedule.
        int8_float_share: Largest share of the layers that may stay in float32, in [0, 1].
    """

    int8_max_drop: float = 0.003
    int8_check_images: int = 0
    int8_tuning_steps: int = 0
    int8_learning_rate: float = 1e-4
    int8_float_share: float = 0.5

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name in ("int8_max_drop", "int8_float_share"):
            value = getattr(self, name)
            require(0 <= value <= 1, f"{name} must be in [0, 1]", **{name: value})
        for name in ("int8_check_images", "int8_tuning_steps"):
            value = getattr(self, name)
            require(value >= 0, f"{name} must be >= 0", **{name: value})
        rate = self.int8_learning_rate
        require(0 < rate <= 1, "int8_learning_rate must be in (0, 1]", int8_learning_rate=rate)


@dataclass(frozen=True)
class Source:
    """What int8 is made from.

    Attributes:
        weights: The decoded package.
        dataset: For fine-tuning.
        frozen: The float32 network, see `components.convert.tflite.freeze`.
        calibration: (n, tile, tile, channels) float32 that set the ranges.
        checks: (n, tile, tile, channels) float32 on which the layers' sensitivity is measured.
        seed: Of fine-tuning.
    """

    weights: Weights
    dataset: Dataset
    frozen: Any
    calibration: np.ndarray
    checks: np.ndarray
    seed: int


@dataclass(frozen=True)
class Int8Result:
    """An int8 file and what its validation Dice asked for.

    Attributes:
        tflite: The file.
        dice: Of int8 on the validation scans, in [0, 1].
        drop: Dice of float32 minus that of int8.
        float_layers: Names of the layers that stay in float32.
        tuned: Whether the weights were fine-tuned.
    """

    tflite: bytes
    dice: float
    drop: float
    float_layers: tuple[str, ...] = ()
    tuned: bool = False


def make_int8(
    source: Source, judge: Judge, float32_dice: float, config: Int8Config, run: Run
) -> Int8Result:
    """Convert to int8, and do as much about a loss of Dice as it takes, but no more.

    Args:
        source: The network and its patches.
        judge: Scores the candidates.
        float32_dice: Of the float32 variant on the judge's scans.
        config: The limit and the means.
        run: Progress, and checkpoints of fine-tuning.

    Returns:
        The first of these within the limit: post-training int8; the same after fine-tuning, if its
        Dice is higher; the one with the fewest layers in float32. If none is, the best of all.
    """
    tflite = to_tflite(source.frozen, "int8", source.calibration)
    dice = judge.dice(tflite)
    best, frozen = Int8Result(tflite, dice, float32_dice - dice), source.frozen
    if best.drop > config.int8_max_drop and config.int8_tuning_steps:
        tuned = _tune(source, config, run)
        tflite = to_tflite(tuned, "int8", source.calibration)
        dice = judge.dice(tflite)
        if dice > best.dice:
            best = Int8Result(tflite, dice, float32_dice - dice, tuned=True)
            frozen = tuned
    if best.drop > config.int8_max_drop and config.int8_float_share:
        layers = [
            layer.name for layer in to_keras(source.weights).layers if hasattr(layer, "kernel")
        ]
        mixed = MixedConverter(frozen, source.calibration, layers)
        best = _Search(mixed, best, judge, config, run).find(_rank(mixed, source, run))
    return best


def _tune(source: Source, config: Int8Config, run: Run) -> Any:
    """Fine-tune the network, and freeze it as the float32 one is."""
    schedule = ScheduleConfig(
        steps=config.int8_tuning_steps,
        learning_rate=config.int8_learning_rate,
        evaluate_every=-(-config.int8_tuning_steps // VALIDATIONS),
        seed=source.seed,
    )
    model = tune_for_int8(source.weights, source.dataset, source.calibration, schedule, run)
    _, tile, _, channels = source.calibration.shape
    return freeze(model, tile, channels)


class _Search:
    """Finds few layers whose float32 brings the Dice within the limit."""

    def __init__(
        self, mixed: MixedConverter, best: Int8Result, judge: Judge, config: Int8Config, run: Run
    ) -> None:
        """Bind what it needs; `best` is what it starts from."""
        self.mixed, self.best, self.judge, self.run = mixed, best, judge, run
        self.limit = config.int8_max_drop
        self.most = int(config.int8_float_share * len(mixed.layers))

    def find(self, ranked: Sequence[str]) -> Int8Result:
        """Return the result with the fewest layers within the limit, or else the best.

        Args:
            ranked: Layers that can stay in float32, the most sensitive first.
        """
        kept = self._shortest(ranked[: self.most])
        # From the least sensitive on: an early choice may have become needless.
        for layer in reversed(kept[:-1]):
            fewer = [other for other in kept if other != layer]
            if self._holds(fewer):
                kept = fewer
        return self.best

    def _shortest(self, ranked: Sequence[str]) -> list[str]:
        """Return the shortest head of the ranking within the limit; empty if there is none."""
        low, high = 0, min(1, len(ranked))
        while not high or not self._holds(ranked[:high]):
            if high == len(ranked):
                return []
            low, high = high, min(2 * high, len(ranked))
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self._holds(ranked[:middle]) else (middle, high)
        return list(ranked[:high])

    def _holds(self, kept: Sequence[str]) -> bool:
        """Tell whether the Dice is within the limit with these layers in float32."""
        tflite, received = self.mixed.convert(kept)
        dice = self.judge.dice(tflite)
        drop = self.best.drop + self.best.dice - dice
        self.run.progress(len(received), self.most, dice_validation_int8=dice)
        result = Int8Result(tflite, dice, drop, received, self.best.tuned)
        self.best = max(self.best, result, key=self._merit)
        return drop <= self.limit

    def _merit(self, result: Int8Result) -> tuple[bool, int, float]:
        """Order results: within the limit the fewest layers in float32, above it the Dice."""
        within = result.drop <= self.limit
        return within, -len(result.float_layers) * within, result.dice


def _rank(mixed: MixedConverter, source: Source, run: Run) -> list[str]:
    """Return the layers, the most sensitive first: alone in int8, it changes the logits most.

    One at a time in float32 would find nothing where two neighbours share a range that int8 cannot
    hold: either alone still rounds it.
    """

    def predict(tflite: bytes) -> np.ndarray:
        content = TfliteFile(tflite, source.weights.preprocessing, "candidate")
        return Predictor(content).predict_tiles(source.checks)

    expected, errors = predict(mixed.float32), {}
    for step, layer in enumerate(mixed.candidates, start=1):
        others = [other for other in mixed.candidates if other != layer]
        logits = predict(mixed.convert(others)[0])
        errors[layer] = float(np.square(logits - expected).mean())
        run.progress(step, len(mixed.candidates), squared_error=errors[layer])
    return sorted(mixed.candidates, key=lambda layer: -errors[layer])
