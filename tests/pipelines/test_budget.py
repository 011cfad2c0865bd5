"""Budgets and scores, worked by hand."""

import pytest

from pipelines.budget import Budget, Measured, best_variant, excesses, score
from pipelines.search import Trial, best_trial, explain_miss
from pipelines.space import Choice
from thimble.stage import BadInput

BUDGET = Budget(max_dice_drop=0.005, max_bytes=1000, max_p90_ms=2.0)


def measured(
    size: int = 900, drop: float = 0.004, p90: float = 1.0, variant: str = "int8"
) -> Measured:
    return Measured(variant, size, 0.8 - drop, drop, p90)


def trial(number: int, *variants: Measured, failure: str = "") -> Trial:
    return Trial(number, Choice(8, 0.9, 16, 0.003), variants, 10_000, 1.0, failure)


@pytest.mark.parametrize(
    ("found", "over"),
    [
        (measured(), {}),
        (measured(drop=-0.01), {}),
        (measured(drop=0.005), {}),
        (measured(drop=0.80 - 0.795), {}),  # 0.0050000000000000044
        (measured(size=1000), {}),
        (measured(size=1100), {"max_bytes": 0.1}),
        (measured(drop=0.006), {"max_dice_drop": 0.2}),
        (measured(p90=3.0), {"max_p90_ms": 0.5}),
        (measured(2000, 0.01, 1.0), {"max_dice_drop": 1.0, "max_bytes": 1.0}),
    ],
)
def test_what_exceeds_a_limit(found: Measured, over: dict[str, float]) -> None:
    assert excesses(found, BUDGET) == pytest.approx(over)


def test_limits_that_are_not_set_do_not_bind() -> None:
    assert excesses(measured(10**9, 0.1, 10**6), Budget(max_dice_drop=0.1)) == {}


def test_inside_counts_the_package_and_outside_the_excess() -> None:
    assert score(measured(size=900), BUDGET, 10_000) == pytest.approx(0.09)
    assert score(measured(size=1100), BUDGET, 10_000) == pytest.approx(1.1)
    assert score(measured(2000, 0.01), BUDGET, 10_000) == pytest.approx(3.0)
    # A package above the baseline's weights still comes before one that misses the budget.
    wide = Budget(max_dice_drop=0.005)
    assert score(measured(size=20_000), wide, 10_000) == 1.0
    assert score(measured(drop=0.0051), wide, 10_000) == pytest.approx(1.02)


def test_the_precision_that_fits_wins_over_the_smaller_one_that_does_not() -> None:
    small = measured(500, drop=0.006, variant="int8")
    large = measured(800, variant="float16")
    assert best_variant([large, small], BUDGET, 10_000) == (large, pytest.approx(0.08))
    assert best_variant([small], BUDGET, 10_000)[0] is small
    twin = measured(800, variant="float32")
    assert best_variant([large, twin], BUDGET, 10_000)[0] is large


def test_the_best_trial() -> None:
    failed = trial(1, failure="prune (teacher): out of memory")
    far, near = trial(2, measured(drop=0.02)), trial(3, measured(drop=0.007, size=990))
    assert best_trial([failed, far, near], BUDGET) is near
    fits = trial(4, measured(size=999))
    assert best_trial([near, fits, trial(5, measured(size=999))], BUDGET) is fits
    assert fits.binds(BUDGET) == {}
    assert list(failed.binds(BUDGET)) == ["failed"]


def test_a_miss_is_explained() -> None:
    trials = [trial(6, measured(drop=0.02)), trial(7, measured(31_204, 0.0071))]
    words = explain_miss(trials, Budget(max_dice_drop=0.005))
    assert words.startswith(
        "no trial met the budget: closest is trial 7 (width 8, sparsity 0.9, codebook 16, bit "
        "price 0.003, int8): 31,204 bytes, Dice drop 0.0071 > 0.005 (binds: max_dice_drop)."
    )
    words = explain_miss(trials[1:], BUDGET)
    assert "31,204 > 1,000 bytes (binds: max_dice_drop, max_bytes)" in words
    assert "p90 3.00 > 2 ms (binds: max_p90_ms)" in explain_miss(
        [trial(1, measured(p90=3))], BUDGET
    )
    words = explain_miss([trial(1, failure="prune: no"), trial(2, failure="late")], BUDGET)
    assert words == "all 2 trials failed, the last with: late"


def test_a_trial_survives_its_file() -> None:
    for each in (trial(1, measured(), measured(variant="float32")), trial(2, failure="no")):
        assert Trial.of(each.record()) == Trial.of(each.record())
        assert Trial.of(each.record()).record() == each.record()


def test_gates_are_the_same_limits() -> None:
    assert BUDGET.gates() == {
        "max_dice_drop": 0.005,
        "max_package_bytes": 1000,
        "max_p90_seconds": 0.002,
    }


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"max_dice_drop": 0.0}, r"max_dice_drop must be in \(0, 1\]"),
        ({"max_dice_drop": 1.01}, "max_dice_drop"),
        ({"max_dice_drop": float("nan")}, "max_dice_drop"),
        ({"max_dice_drop": 0.1, "max_bytes": -1}, "max_bytes must be >= 0"),
        ({"max_dice_drop": 0.1, "max_p90_ms": float("nan")}, "max_p90_ms must be >= 0"),
    ],
)
def test_budgets_that_make_no_sense(limits: dict[str, float], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        Budget(**limits)
