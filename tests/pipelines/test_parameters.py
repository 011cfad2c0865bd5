"""Parameter files, --set, and what is wrong with them."""

from pathlib import Path

import pytest

from pipelines.parameters import equal_budgets, flat_arguments, load_parameters, override
from pipelines.settings import Group
from thimble.stage import BadInput

GROUPS = {
    "ingest": Group("ingest", {"kind": str, "seed": int}, {"kind": "phantom", "seed": 1}),
    "train": Group(
        "train",
        {"steps": int, "learning_rate": float, "border": bool, "seed": int},
        {"steps": 100, "learning_rate": 1e-3, "border": False, "seed": 1},
    ),
}


def test_defaults_shared_values_and_own_values() -> None:
    flat = flat_arguments({"all": {"seed": 7}, "train": {"seed": 3, "steps": 5}}, GROUPS)
    assert flat == {
        "ingest_kind": "phantom",
        "ingest_seed": 7,
        "train_steps": 5,
        "train_learning_rate": 1e-3,
        "train_border": False,
        "train_seed": 3,
    }


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"tarin": {}}, "no task 'tarin'. Known: all, ingest, train"),
        ({"train": {"step": 1}}, "train has no parameter 'step'. Known: steps, learning_rate"),
        ({"all": {"sede": 1}}, "no task has a parameter 'sede'"),
        ({"train": {"steps": 1.5}}, "train.steps must be a whole number. Received: 1.5"),
        ({"train": {"steps": True}}, "train.steps must be a whole number. Received: True"),
        ({"train": {"border": 1}}, "train.border must be true or false. Received: 1"),
        ({"train": {"learning_rate": "fast"}}, "train.learning_rate must be a number"),
        ({"ingest": {"kind": ["a"]}}, "ingest.kind must be text"),
    ],
)
def test_mistakes_are_named(parameters: dict, message: str) -> None:
    with pytest.raises(BadInput, match="."):
        flat_arguments(parameters, GROUPS)
    try:
        flat_arguments(parameters, GROUPS)
    except BadInput as error:
        assert message in str(error)


def test_numbers_are_taken_as_people_write_them() -> None:
    flat = flat_arguments({"train": {"learning_rate": "1e-4"}, "ingest": {"kind": 3}}, GROUPS)
    assert (flat["train_learning_rate"], flat["ingest_kind"]) == (1e-4, "3")
    whole = flat_arguments({"train": {"learning_rate": 1}}, GROUPS)["train_learning_rate"]
    assert isinstance(whole, float)


def test_changes_on_the_command_line() -> None:
    changed = override({"train": {"steps": 5}}, ["train.steps=9", "all.seed=2", "ingest.kind="])
    assert changed == {"train": {"steps": 9}, "all": {"seed": 2}, "ingest": {"kind": ""}}
    for wrong in ("train.steps", "steps=9", "=", ".steps=1"):
        with pytest.raises(BadInput, match="task.field=value"):
            override({}, [wrong])


def test_equal_budgets() -> None:
    tasks = ("prune", "quantize", "distill", "student_prune", "student_quantize")
    groups = {task: Group(task, {"steps": int}, {"steps": 10}) for task in tasks}
    filled = equal_budgets({"prune": {"steps": 600}, "all": {"steps": 1}}, groups)
    assert filled["baseline"] == {"steps": 601}
    assert filled["control"] == {"steps": 3}
    assert equal_budgets({"baseline": {"steps": 4}}, groups)["baseline"] == {"steps": 4}


@pytest.mark.parametrize("content", ["- a", "train: 3", "{", "a: b: c"])
def test_a_file_that_holds_no_parameters(tmp_path: Path, content: str) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(content)
    with pytest.raises(BadInput, match="p.yaml"):
        load_parameters(path)
    with pytest.raises(BadInput, match="does not exist"):
        load_parameters(tmp_path / "missing.yaml")
