"""What a search may choose, and which choice it tries next."""

import contextlib
import itertools
import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from thimble.metrics import VARIANTS
from thimble.stage import BadInput, require

__all__ = ["DEFAULTS", "Choice", "SearchSpace", "propose", "read_space"]

# The group `search` of a parameter file. Empty widths: the teacher's own, and students of 8 and 4.
# Empty precisions: all that convert makes.
DEFAULTS: dict[str, Any] = {
    "widths": [],
    "sparsity_low": 0.8,
    "sparsity_high": 0.98,
    "sparsity_step": 0.01,
    "codebook_sizes": [8, 12, 16, 24, 32],
    "rate_weights": [0.0, 0.0003, 0.001, 0.003, 0.01],
    "precisions": [],
    "trials": 12,
    "seed": 1,
}
STUDENT_WIDTHS = (8, 4)
LISTS = {"widths": int, "codebook_sizes": int, "rate_weights": float, "precisions": str}
WORDS = {int: "whole numbers", float: "numbers", str: "names"}
# Choices that are drawn at random before the sampler learns from those that came before.
RANDOM_FIRST = 4
# The sampler forgets that it was told of a choice: after so many repetitions chance decides.
PROPOSALS = 20
# kfp hands every parameter over on a command line, the report's list of trials among them.
MOST_TRIALS = 200


@dataclass(frozen=True)
class Choice:
    """What one trial tries.

    Attributes:
        width: Channels of the first block; the teacher's own, or those of a student.
        sparsity: Share of the weights that are zeroed, in [0, 1).
        codebook_size: Shared values of a layer, at most.
        rate_weight: What a bit is worth to quantize, in [0, 1]; 0 is plain k-means.
    """

    width: int
    sparsity: float
    codebook_size: int
    rate_weight: float

    def branch(self, teacher_width: int) -> str:
        """Return the branch of the main pipeline that such a network is."""
        return "teacher" if self.width == teacher_width else "student"

    def changes(self, teacher_width: int) -> dict[str, dict[str, Any]]:
        """Return the parameters of the main pipeline that this choice sets, by task."""
        student = self.branch(teacher_width) == "student"
        prefix = "student_" if student else ""
        changed: dict[str, dict[str, Any]] = {
            f"{prefix}prune": {"sparsity": self.sparsity},
            f"{prefix}quantize": {
                "codebook_size": self.codebook_size,
                "rate_weight": self.rate_weight,
            },
        }
        return {**changed, "distill": {"base_width": self.width}} if student else changed

    def record(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return asdict(self)


@dataclass(frozen=True)
class SearchSpace:
    """What a search may choose from.

    Attributes:
        widths: Channels of the first block: the teacher's own, or fewer for a student.
        sparsity_low: Least sparsity, in [0, 1).
        sparsity_high: Largest sparsity, in [sparsity_low, 1).
        sparsity_step: Distance of neighbouring sparsities, > 0.
        codebook_sizes: Shared values of a layer, at most.
        rate_weights: What a bit is worth to quantize, each in [0, 1]; 0 is plain k-means.
        precisions: Variants of convert. Every trial measures all of them.
    """

    widths: tuple[int, ...]
    sparsity_low: float
    sparsity_high: float
    sparsity_step: float
    codebook_sizes: tuple[int, ...]
    rate_weights: tuple[float, ...]
    precisions: tuple[str, ...]

    def __post_init__(self) -> None:
        """Check the ranges."""
        low, high, step = self.sparsity_low, self.sparsity_high, self.sparsity_step
        require(0 <= low < 1, "search.sparsity_low must be in [0, 1)", sparsity_low=low)
        expected = f"search.sparsity_high must be in [sparsity_low, 1) = [{low:g}, 1)"
        require(low <= high < 1, expected, sparsity_high=high)
        require(0 < step < 1, "search.sparsity_step must be in (0, 1)", sparsity_step=step)
        for name in LISTS:
            values = getattr(self, name)
            whole = bool(values) and len(set(values)) == len(values)
            require(whole, f"search.{name} must hold different values", **{name: list(values)})
        rates = self.rate_weights
        inside = all(0 <= rate <= 1 for rate in rates)
        require(inside, "search.rate_weights must be in [0, 1]", rate_weights=list(rates))
        known = f"search.precisions must be some of {', '.join(VARIANTS)}"
        require(set(self.precisions) <= set(VARIANTS), known, precisions=list(self.precisions))

    @property
    def sparsities(self) -> list[float]:
        """All sparsities, lowest first."""
        count = int((self.sparsity_high - self.sparsity_low) / self.sparsity_step + 1e-6) + 1
        return [round(self.sparsity_low + i * self.sparsity_step, 6) for i in range(count)]

    @property
    def axes(self) -> dict[str, list[Any]]:
        """All values of every field of a choice."""
        return {
            "width": list(self.widths),
            "sparsity": self.sparsities,
            "codebook_size": list(self.codebook_sizes),
            "rate_weight": list(self.rate_weights),
        }

    @property
    def size(self) -> int:
        """How many different choices there are."""
        return math.prod(len(values) for values in self.axes.values())

    def record(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in vars(self).items()}


def read_space(
    group: Mapping[str, Any], teacher_width: int, made: Sequence[str] = VARIANTS
) -> tuple[SearchSpace, int, int]:
    """Read the group `search` of a parameter file.

    Args:
        group: Its fields; what it leaves out has a default.
        teacher_width: Channels of the teacher's first block: no student is wider.
        made: The variants that convert makes.

    Returns:
        The space, the number of trials (>= 1) and the seed (>= 0).

    Raises:
        BadInput: If a field is unknown, of the wrong type or out of range.
    """
    unknown = sorted(set(group) - set(DEFAULTS))
    if unknown:
        raise BadInput(f"search has no parameter {unknown[0]!r}. Known: {', '.join(DEFAULTS)}")
    given = {name: _typed(name, group.get(name, default)) for name, default in DEFAULTS.items()}
    if not given["widths"]:
        students = [width for width in STUDENT_WIDTHS if width < teacher_width]
        given["widths"] = (teacher_width, *students)
    given["precisions"] = given["precisions"] or tuple(made)
    # The sampler learns along an order: it knows the choices by their place.
    for name in ("widths", "codebook_sizes", "rate_weights"):
        given[name] = tuple(sorted(given[name]))
    trials, seed = given.pop("trials"), given.pop("seed")
    require(
        1 <= trials <= MOST_TRIALS, f"search.trials must be in [1, {MOST_TRIALS}]", trials=trials
    )
    require(seed >= 0, "search.seed must be >= 0", seed=seed)
    space = SearchSpace(**given)
    widths = list(space.widths)
    expected = f"search.widths must be in [1, {teacher_width}], the teacher's width"
    require(all(1 <= width <= teacher_width for width in widths), expected, widths=widths)
    return space, trials, seed


def _typed(name: str, value: Any) -> Any:
    """Return a field in its type."""
    if name in LISTS:
        kind = LISTS[name]
        items = value
        if kind is float and isinstance(value, list):
            items = [_number(item) for item in value]
        if isinstance(items, list) and all(type(item) is kind for item in items):
            return tuple(items)
        raise BadInput(f"search.{name} must be a list of {WORDS[kind]}. Received: {value!r}")
    kind = type(DEFAULTS[name])
    if type(value) is kind or (kind is float and type(value) is int):
        return kind(value)
    words = "a whole number" if kind is int else "a number"
    raise BadInput(f"search.{name} must be {words}. Received: {value!r}")


def _number(value: Any) -> Any:
    """Return a number as float, and anything else as it is."""
    if type(value) in (int, float, str):
        # YAML reads 3e-4 as a string: it wants a dot, which people leave out.
        with contextlib.suppress(ValueError):  # what is no number is refused by the caller
            return float(value)
    return value


def propose(
    space: SearchSpace, seed: int, tried: Sequence[tuple[Choice, float | None]]
) -> Choice | None:
    """Return the choice to try next, by a tree-structured Parzen estimator.

    It follows from the arguments alone, so that a search that was interrupted goes on as if it had
    not been.

    Args:
        space: What may be chosen.
        seed: Of the sampler, >= 0.
        tried: Earlier choices and their scores, in order; None for one that failed.

    Returns:
        A choice that was not tried yet; None if there is none left.

    Source:
        Bergstra et al., 2011, "Algorithms for Hyper-Parameter Optimization", section 4.
    """
    import optuna

    known = {choice for choice, _ in tried}
    every = itertools.product(*space.axes.values())
    left = [choice for choice in (Choice(*values) for values in every) if choice not in known]
    if not left:
        return None
    sampler = optuna.samplers.TPESampler(seed=seed + len(tried), n_startup_trials=RANDOM_FIRST)
    with _quiet(optuna):
        study = optuna.create_study(sampler=sampler)
        study.add_trials(_frozen(optuna, space, tried))
        for _ in range(PROPOSALS):
            trial = study.ask(_distributions(optuna, space))
            choice = Choice(
                **{name: values[trial.params[name]] for name, values in space.axes.items()}
            )
            if choice not in known:
                return choice
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
    return left[np.random.default_rng(seed + len(tried)).integers(len(left))]


def _distributions(optuna: Any, space: SearchSpace) -> dict[str, Any]:
    """Return the space as the sampler knows it: places on its axes."""
    return {
        name: optuna.distributions.IntDistribution(0, len(values) - 1)
        for name, values in space.axes.items()
    }


def _frozen(
    optuna: Any, space: SearchSpace, tried: Iterable[tuple[Choice, float | None]]
) -> list[Any]:
    """Return earlier choices as finished trials of the sampler."""
    states = optuna.trial.TrialState
    return [
        optuna.trial.create_trial(
            params={name: axes.index(choice.record()[name]) for name, axes in space.axes.items()},
            distributions=_distributions(optuna, space),
            value=score,
            state=states.FAIL if score is None else states.COMPLETE,
        )
        for choice, score in tried
    ]


@contextlib.contextmanager
def _quiet(optuna: Any) -> Any:
    """Keep the sampler from talking."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(before)
