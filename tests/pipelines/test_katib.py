"""The Katib experiment: its golden copy, the command line's space, a command that parses."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines import katib
from pipelines.budget import Budget
from pipelines.space import SearchSpace, read_space


@pytest.fixture(scope="module")
def content() -> dict[str, Any]:
    return dict(yaml.safe_load(katib.EXPERIMENT.read_text(encoding="utf-8")))


def test_golden(tmp_path: Path) -> None:
    """`make golden` writes the copy again after a wanted change."""
    katib.write_experiment(tmp_path / "experiment.yaml")
    assert (tmp_path / "experiment.yaml").read_bytes() == katib.EXPERIMENT.read_bytes()


def test_the_space_is_that_of_the_command_line(content: dict[str, Any]) -> None:
    space, trials, seed = read_space({}, katib.TEACHER_WIDTH)
    spec = content["spec"]
    assert spec["maxTrialCount"] == trials
    assert spec["algorithm"]["algorithmSettings"] == [{"name": "random_state", "value": str(seed)}]
    found = {each["name"]: each["feasibleSpace"] for each in spec["parameters"]}
    assert [int(value) for value in found["width"]["list"]] == list(space.widths)
    assert [int(value) for value in found["codebook-size"]["list"]] == list(space.codebook_sizes)
    assert [float(value) for value in found["rate-weight"]["list"]] == list(space.rate_weights)
    sparsity = {name: float(value) for name, value in found["sparsity"].items()}
    low, high, step = space.sparsity_low, space.sparsity_high, space.sparsity_step
    assert sparsity == {"min": low, "max": high, "step": step}


def test_every_value_is_text_and_every_reference_is_a_parameter(content: dict[str, Any]) -> None:
    spec = content["spec"]
    names = {each["name"] for each in spec["parameters"]}
    template = spec["trialTemplate"]
    assert {each["reference"] for each in template["trialParameters"]} == names
    for each in spec["parameters"]:
        space = dict(each["feasibleSpace"])
        values = [*space.pop("list", []), *space.values()]
        assert values and all(isinstance(value, str) for value in values)
    container = template["trialSpec"]["spec"]["template"]["spec"]["containers"][0]
    assert container["name"] == template["primaryContainerName"]
    used = {word.split("=")[1] for word in container["command"] if "trialParameters" in word}
    assert used == {f"${{trialParameters.{each['name']}}}" for each in template["trialParameters"]}


def test_the_command_is_one_that_its_module_takes() -> None:
    space = SearchSpace((8,), 0.8, 0.9, 0.01, (16,), (0.0, 1e-5), ("int8",))
    made = katib.experiment(space, Budget(0.01, 40_000, 2.5), 4, 1)
    assert made["spec"]["parameters"][-1]["feasibleSpace"] == {"list": ["0.0", "1e-05"]}
    job = made["spec"]["trialTemplate"]["trialSpec"]
    command = job["spec"]["template"]["spec"]["containers"][0]["command"]
    assert command[:3] == ["python", "-m", "pipelines.katib"]
    values = {"width": "8", "sparsity": "0.85", "codebookSize": "16", "rateWeight": "1e-05"}
    words = list(command[3:])
    for name, value in values.items():
        words = [word.replace(f"${{trialParameters.{name}}}", value) for word in words]
    parsed = katib.trial.make_context("katib", words).params
    assert (parsed["width"], parsed["sparsity"], parsed["codebook_size"]) == (8, 0.85, 16)
    assert parsed["rate_weight"] == 1e-5
    limits = (parsed["max_dice_drop"], parsed["max_bytes"], parsed["max_p90_ms"])
    assert limits == (0.01, 40_000, 2.5)
