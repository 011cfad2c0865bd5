"""What we replace inside kfp.local is there, and our cache is stricter than kfp's."""

import inspect
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from kfp import dsl
from kfp.local import cache, docker_task_handler, graph_utils
from kfp.local.orchestrator import dag_orchestrator, enhanced_dag_orchestrator, task_executor
from kfp.local.subprocess_task_handler import SubprocessTaskHandler

from pipelines.engine import KFP_VERSION, CheckedCache, ProgressReader


def test_kfp_is_the_version_that_we_reach_into() -> None:
    """After an upgrade: read pipelines/engine.py beside the new kfp.local, then change this."""
    assert metadata.version("kfp") == KFP_VERSION


def test_the_names_that_we_replace_are_used() -> None:
    assert list(inspect.signature(SubprocessTaskHandler.run).parameters) == ["self"]
    handler = docker_task_handler.DockerTaskHandler
    assert list(inspect.signature(handler.run).parameters) == ["self"]
    assert list(inspect.signature(handler.get_volumes_to_mount).parameters) == ["self", "client"]
    assert "container_run_args" in inspect.getsource(handler.run)
    parameters = inspect.signature(task_executor.execute_single_task).parameters
    assert {"task_name", "task_spec"} <= set(parameters)
    assert "cache_module.get_local_cache()" in inspect.getsource(task_executor)
    assert "graph_utils.topological_sort_tasks(" in inspect.getsource(enhanced_dag_orchestrator)
    for module in (dag_orchestrator, enhanced_dag_orchestrator):
        assert "task_executor.execute_single_task(" in inspect.getsource(module)
    assert callable(cache.get_local_cache)
    assert list(inspect.signature(graph_utils.topological_sort_tasks).parameters) == ["tasks"]
    assert {"put", "get", "_entry_path"} <= set(vars(cache.LocalCache))


def test_the_command_of_a_stage_has_the_form_that_we_take_apart(toy) -> None:
    """`sh -ec <script> <source> <arguments>`."""
    spec = toy.toy.pipeline_spec.deployment_spec["executors"]["exec-first"]["container"]
    command = [*spec["command"], *spec["args"]]
    assert command[:2] == ["sh", "-ec"]
    assert "kfp.dsl.executor_main" in command[2]
    assert "pip install" not in command[2]
    assert "def first(" in command[3]
    assert command[4] == "--executor_input"


@pytest.fixture
def stored(tmp_path: Path) -> tuple[CheckedCache, Path]:
    """A cache with one entry, `key`, and the artifact in it."""
    artifact = tmp_path / "model"
    (artifact / "inner").mkdir(parents=True)
    (artifact / "inner" / "a.txt").write_text("a")
    store = CheckedCache(str(tmp_path / "cache"))
    store.put("key", {"model": dsl.Model(name="model", uri=str(artifact)), "count": 3})
    return store, artifact


def test_a_whole_entry_is_served(stored: tuple[CheckedCache, Path]) -> None:
    store, artifact = stored
    outputs = store.get("key")
    assert outputs is not None
    assert (outputs["model"].uri, outputs["count"]) == (str(artifact), 3)
    assert store.get("another") is None


@pytest.mark.parametrize("damage", ["missing", "longer", "extra"])
def test_a_damaged_artifact_is_not_served(stored: tuple[CheckedCache, Path], damage: str) -> None:
    store, artifact = stored
    if damage == "missing":
        (artifact / "inner" / "a.txt").unlink()
    elif damage == "longer":
        (artifact / "inner" / "a.txt").write_text("aa")
    else:
        (artifact / "b.txt").write_text("b")
    assert store.get("key") is None
    assert not list(Path(store.cache_root).iterdir()), "the entry is dropped"


@pytest.mark.parametrize("content", ["", "{", "[]", "3", '{"model": {"__kfp_artifact__": true}}'])
@pytest.mark.parametrize("suffix", ["json", "files"])
def test_a_damaged_entry_is_not_served(
    stored: tuple[CheckedCache, Path], suffix: str, content: str
) -> None:
    store, _ = stored
    Path(store.cache_root, f"key.{suffix}").write_text(content)
    assert store.get("key") is None


def test_progress_is_read_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "progress.jsonl"
    reader = ProgressReader(path)
    assert reader.read() == {}
    with open(path, "w", buffering=1) as file:
        file.write('{"step": 1}\n{"step": 2}\n{"st')
        file.flush()
        assert reader.read() == {"step": 2}
        file.write('ep": 3}\n')
        file.flush()
        assert reader.read() == {"step": 3}
    assert reader.read() == {"step": 3}


def test_the_number_of_a_stage_in_its_pipeline_does_not_count(tmp_path: Path) -> None:
    """The second use of a stage is `comp-prune-2` here and may be `comp-prune` elsewhere."""
    cache = CheckedCache(str(tmp_path))

    def key(name: str, **arguments: Any) -> str:
        return cache.compute_key(
            component_name=name, image="i", full_command=["c"], arguments=arguments
        )

    assert key("comp-prune-2", steps=1) == key("comp-prune", steps=1)
    assert key("comp-prune-2", steps=1) != key("comp-prune", steps=2)
    assert key("comp-prune") != key("comp-quantize")
