"""The search space and the choices that are proposed from it."""

from typing import Any

import pytest
import yaml

from pipelines.space import Choice, SearchSpace, propose, read_space
from thimble.stage import BadInput

SMALL = SearchSpace((4, 8), 0.8, 0.9, 0.05, (8, 16), (0.0, 0.001), ("float32", "int8"))


def price(choice: Choice) -> float:
    """A made-up score with one lowest point."""
    bits = choice.codebook_size / (1 + 100 * choice.rate_weight)
    return choice.width / 8 * (1 - choice.sparsity) * bits


def search(space: SearchSpace, trials: int, seed: int = 1) -> list[Choice]:
    tried: list[tuple[Choice, float | None]] = []
    for _ in range(trials):
        choice = propose(space, seed, tried)
        assert choice is not None
        tried.append((choice, price(choice)))
    return [choice for choice, _ in tried]


def test_defaults_follow_the_teacher() -> None:
    space, trials, seed = read_space({}, 16)
    assert (space.widths, trials, seed) == ((4, 8, 16), 12, 1)
    assert read_space({}, 8)[0].widths == (4, 8)
    assert read_space({}, 3)[0].widths == (3,)
    assert (space.sparsities[0], space.sparsities[-1], len(space.sparsities)) == (0.8, 0.98, 19)
    assert space.rate_weights == (0.0, 0.0003, 0.001, 0.003, 0.01)
    assert space.size == 3 * 19 * 5 * 5
    assert space.precisions == ("float32", "float16", "dynamic", "int8")
    assert read_space({}, 16, ["float32", "int8"])[0].precisions == ("float32", "int8")


def test_sparsities_are_round_numbers() -> None:
    assert SMALL.sparsities == [0.8, 0.85, 0.9]
    assert SearchSpace((4,), 0.5, 0.5, 0.01, (8,), (0.0,), ("int8",)).sparsities == [0.5]
    uneven = SearchSpace((4,), 0.5, 0.59, 0.04, (8,), (0.0,), ("int8",))
    assert uneven.sparsities == [0.5, 0.54, 0.58]


def test_every_choice_comes_once_and_then_none() -> None:
    choices = search(SMALL, SMALL.size)
    assert len(set(choices)) == SMALL.size == 24
    assert propose(SMALL, 1, [(choice, price(choice)) for choice in choices]) is None


def test_the_same_seed_proposes_the_same_and_a_shorter_search_is_its_beginning() -> None:
    space, _, _ = read_space({}, 16)
    choices = search(space, 9)
    assert search(space, 9) == choices
    assert search(space, 6) == choices[:6]
    assert search(space, 6, seed=2) != choices[:6]


def test_it_finds_better_than_its_random_start() -> None:
    space, _, _ = read_space({}, 16)
    prices = [price(choice) for choice in search(space, 25)]
    assert min(prices[4:]) < min(prices[:4])


def test_a_failed_choice_is_not_tried_again() -> None:
    space = SearchSpace((4,), 0.8, 0.8, 0.01, (8, 16), (0.0,), ("int8",))
    first = propose(space, 1, [])
    assert first is not None
    second = propose(space, 1, [(first, None)])
    assert second is not None and second != first
    assert propose(space, 1, [(first, None), (second, None)]) is None


def test_a_choice_as_parameters() -> None:
    choice = Choice(8, 0.9, 16, 0.003)
    assert choice.branch(8) == "teacher"
    assert list(choice.record().values()) == [8, 0.9, 16, 0.003]
    quantize = {"codebook_size": 16, "rate_weight": 0.003}
    assert choice.changes(8) == {"prune": {"sparsity": 0.9}, "quantize": quantize}
    assert choice.changes(16) == {
        "student_prune": {"sparsity": 0.9},
        "student_quantize": quantize,
        "distill": {"base_width": 8},
    }


def test_bit_prices_are_sorted_floats() -> None:
    """YAML takes 3e-4 for text: it wants a dot."""
    group = yaml.safe_load("rate_weights: [1, 3e-4, 0, 0.002]")
    assert "3e-4" in group["rate_weights"]
    space, _, _ = read_space(group, 16)
    assert space.rate_weights == (0.0, 0.0003, 0.002, 1.0)
    assert all(type(rate) is float for rate in space.rate_weights)
    assert space.axes["rate_weight"] == space.record()["rate_weights"] == [0.0, 0.0003, 0.002, 1.0]


def test_bit_prices_are_an_axis_of_their_own() -> None:
    space = SearchSpace((4,), 0.8, 0.8, 0.01, (8,), (0.0, 0.001, 1.0), ("int8",))
    assert space.size == 3
    assert sorted(choice.rate_weight for choice in search(space, 3)) == [0.0, 0.001, 1.0]


@pytest.mark.parametrize(
    ("group", "words"),
    [
        ({"width": [4]}, "search has no parameter 'width'. Known: widths, "),
        ({"widths": 4}, "search.widths must be a list of whole numbers. Received: 4"),
        ({"widths": [4, True]}, "search.widths must be a list of whole numbers"),
        ({"widths": [32]}, r"search.widths must be in \[1, 16\], the teacher's width"),
        ({"widths": [0]}, "search.widths must be in"),
        ({"widths": [4, 4]}, "search.widths must hold different values"),
        ({"codebook_sizes": []}, "search.codebook_sizes must hold different values"),
        ({"rate_weights": 0.001}, "search.rate_weights must be a list of numbers. Received: 0.001"),
        ({"rate_weights": [0.0, True]}, "search.rate_weights must be a list of numbers"),
        ({"rate_weights": ["much"]}, "search.rate_weights must be a list of numbers"),
        ({"rate_weights": []}, "search.rate_weights must hold different values"),
        ({"rate_weights": [0, 0.0]}, "search.rate_weights must hold different values"),
        ({"rate_weights": [-1e-4]}, r"search.rate_weights must be in \[0, 1\]. Received: rate_we"),
        ({"rate_weights": [0.0, 1.1]}, r"search.rate_weights must be in \[0, 1\]"),
        ({"rate_weights": [float("nan")]}, r"search.rate_weights must be in \[0, 1\]"),
        ({"precisions": ["int4"]}, "search.precisions must be some of float32"),
        ({"sparsity_low": -0.1}, r"search.sparsity_low must be in \[0, 1\)"),
        ({"sparsity_low": 0.9, "sparsity_high": 0.8}, r"search.sparsity_high must be in"),
        ({"sparsity_high": 1}, "search.sparsity_high must be in"),
        ({"sparsity_step": 0}, "search.sparsity_step must be in"),
        ({"sparsity_step": "much"}, "search.sparsity_step must be a number. Received: 'much'"),
        ({"trials": 0}, r"search.trials must be in \[1, 200\]"),
        ({"trials": 2.5}, "search.trials must be a whole number"),
        ({"seed": -1}, "search.seed must be >= 0"),
    ],
)
def test_what_the_group_search_refuses(group: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        read_space(group, 16)
