"""The compiled main pipeline: its golden copy, its order, and that every parameter is handed on."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

GOLDEN = Path(__file__).resolve().parents[2] / "pipelines" / "golden" / "compress.yaml"


@pytest.fixture(scope="module")
def compress() -> Any:
    from pipelines.compress import compress

    return compress


@pytest.fixture
def trained(compress: Any) -> Any:
    """The tasks behind the condition that validate passed."""
    return compress.pipeline_spec.components["comp-condition-3"].dag.tasks


def test_golden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`make golden` writes the copy again after a wanted change."""
    import os

    environment = {k: v for k, v in os.environ.items() if not k.startswith("THIMBLE_TAG_")}
    path = tmp_path / "compress.yaml"
    command = [sys.executable, "-m", "pipelines.cli", "compile", "--out", str(path)]
    subprocess.run(command, check=True, env=environment, cwd=GOLDEN.parents[2])
    assert path.read_bytes() == GOLDEN.read_bytes(), "the pipeline changed: run `make golden`"


def test_order(compress: Any) -> None:
    from pipelines.plan import plan_tasks

    labels = [task.label for task in plan_tasks(compress.pipeline_spec).values()]
    delivery = ["huffman", "convert", "benchmark", "evaluate"]
    compression = ["prune", "quantize", *delivery]
    assert labels == [
        *("ingest", "validate", "refuse", "train"),
        *(f"{stage} (baseline)" for stage in ["train", *delivery]),
        *(f"{stage} (teacher)" for stage in compression),
        *(f"{stage} (student)" for stage in ["distill", *compression]),
        *(f"{stage} (control)" for stage in ["train", *delivery]),
        *("report", "publish"),
    ]


def test_every_parameter_is_handed_on() -> None:
    """kfp gives an omitted parameter of a nested pipeline its caller's of the same name."""
    spec = yaml.safe_load(GOLDEN.read_text(encoding="utf-8").split("\n---\n")[0])
    dags = [component["dag"] for component in spec["components"].values() if "dag" in component]
    for dag in [spec["root"]["dag"], *dags]:
        for task in dag["tasks"].values():
            component = spec["components"][task["componentRef"]["name"]]
            inputs = component.get("inputDefinitions", {}).get("parameters", {})
            assert set(task.get("inputs", {}).get("parameters", {})) == set(inputs)


def test_parameters_reach_the_task_that_they_name(trained: Any) -> None:
    def source(task: str, name: str) -> str:
        value = trained[task].inputs.parameters[name]
        given = value.component_input_parameter or value.runtime_value.constant.string_value
        return str(given).removeprefix("pipelinechannel--")

    assert source("deep-compression", "prune_sparsity") == "prune_sparsity"
    assert source("deep-compression-2", "prune_sparsity") == "student_prune_sparsity"
    assert source("deep-compression-2", "branch") == "student"
    assert source("train", "steps") == "train_steps"
    assert source("train-2", "steps") == "baseline_steps"
    assert source("train-2", "base_width") == "train_base_width"
    assert source("train-3", "steps") == "control_steps"
    assert source("train-3", "base_width") == "distill_base_width"


def test_the_baseline_teaches_both_branches(trained: Any) -> None:
    def producer(task: str, name: str) -> str:
        return str(trained[task].inputs.artifacts[name].task_output_artifact.producer_task)

    for task in ("deep-compression", "deep-compression-2", "distill"):
        assert producer(task, "teacher") == "train-2"
    assert producer("deep-compression", "model") == "train"


def test_publish_is_never_cached(trained: Any) -> None:
    assert not trained["publish"].caching_options.enable_cache
    assert all(t.caching_options.enable_cache for n, t in trained.items() if n == "train")


def test_nothing_but_the_refusal_is_outside_the_condition(compress: Any) -> None:
    spec = compress.pipeline_spec
    assert sorted(spec.root.dag.tasks) == ["condition-branches-1", "ingest", "validate"]
    branches = spec.components["comp-condition-branches-1"].dag.tasks
    verdict = "inputs.parameter_values['pipelinechannel--validate-verdict']"
    conditions = {name: each.trigger_policy.condition for name, each in branches.items()}
    assert conditions == {
        "condition-2": f"{verdict} != 'passed'",
        "condition-3": f"!({verdict} != 'passed')",
    }
    assert list(spec.components["comp-condition-2"].dag.tasks) == ["refuse"]


@pytest.mark.parametrize("name", ["demo", "isbi2012", "nuclei"])
def test_named_runs_fit_the_pipeline(compress: Any, name: str) -> None:
    from pipelines.parameters import equal_budgets, flat_arguments, load_parameters

    groups = compress.pipeline_func.groups
    parameters = load_parameters(GOLDEN.parents[1] / "params" / f"{name}.yaml")
    arguments = flat_arguments(equal_budgets(parameters, groups), groups)
    assert arguments["baseline_steps"] == arguments["prune_steps"] + arguments["quantize_steps"]
    assert arguments["train_seed"] == parameters["all"]["seed"]
