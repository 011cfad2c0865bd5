"""What a search hands over: best.yaml, the arguments of the run that ships, the report's trials."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.report.search import read_trials, searched
from pipelines.budget import Budget, Measured
from pipelines.commands.search import SearchCommand, best_parameters, prepare_search, trials_json
from pipelines.compress import compress
from pipelines.parameters import equal_budgets, flat_arguments, load_parameters
from pipelines.search import Search, Trial
from pipelines.space import Choice, read_space
from pipelines.trial import trial_run
from thimble.stage import BadInput

BUDGET = Budget(max_dice_drop=0.005, max_bytes=40_000, max_p90_ms=3.0)
GIVEN = {"source": "", "source_digest": ""}
PARAMETERS = {"train": {"base_width": 16}, "prune": {"steps": 9}, "ingest": GIVEN}


def prepare(parameters: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    groups = compress.pipeline_func.groups
    return flat_arguments(equal_budgets(parameters, groups), groups), compress


def made(number: int, choice: Choice, size: int = 30_000, drop: float = 0.001) -> Trial:
    variants = (
        Measured("float32", 2 * size, 0.8 - drop, drop, 2.0),
        Measured("int8", size, 0.8 - drop, drop, 1.0),
    )
    return Trial(number, choice, variants, 10**6, 1.0)


def test_the_best_student_becomes_the_run_that_ships() -> None:
    best = made(2, Choice(8, 0.9, 12, 0.001))
    changed = best_parameters(PARAMETERS, best, BUDGET, 16)
    assert PARAMETERS["prune"] == {"steps": 9}
    flat, _ = prepare(changed)
    wanted = {
        "distill_base_width": 8,
        "student_prune_sparsity": 0.9,
        "student_quantize_codebook_size": 12,
        "student_quantize_rate_weight": 0.001,
        "quantize_rate_weight": 0.0,
        "prune_steps": 9,
        "evaluate_headline": "int8",
        "evaluate_split": "test",
        "report_gate_branch": "student",
        "report_gate_variant": "int8",
        "report_max_dice_drop": 0.005,
        "report_max_package_bytes": 40_000,
        "report_max_p90_seconds": 0.003,
    }
    assert {name: flat[name] for name in wanted} == wanted


def test_the_best_teacher_changes_the_teacher_alone() -> None:
    changed = best_parameters(PARAMETERS, made(1, Choice(16, 0.95, 8, 0.0003)), BUDGET, 16)
    assert changed["prune"] == {"steps": 9, "sparsity": 0.95}
    assert changed["quantize"] == {"codebook_size": 8, "rate_weight": 0.0003}
    assert changed["report"]["gate_branch"] == "teacher"
    assert "distill" not in changed and "student_prune" not in changed


@pytest.mark.parametrize("choice", [Choice(16, 0.95, 8, 0.0003), Choice(8, 0.9, 12, 0.001)])
def test_a_trial_and_the_run_that_ships_give_compression_the_same(choice: Choice) -> None:
    """Else nothing of a trial would be taken over."""
    flat, _ = prepare(PARAMETERS)
    pipeline, trial = trial_run(choice, flat)
    final, _ = prepare(best_parameters(PARAMETERS, made(1, choice), BUDGET, 16))
    odd = {name for name, value in trial.items() if final[name] != value}
    assert odd == {"evaluate_split", "evaluate_headline"}
    assert trial["evaluate_split"] == "validation"
    assert set(trial) == set(pipeline.component_spec.inputs)


def test_the_report_reads_what_the_search_writes() -> None:
    space, trials, seed = read_space({}, 16)
    search = Search(space, BUDGET, seed, trials, {"train_base_width": 16}, {})
    failed = Trial(3, Choice(4, 0.8, 8, 0.0), (), 1, 1.0, "prune (student): no")
    over = made(1, Choice(16, 0.9, 8, 0.003), drop=0.02)
    every = [over, made(2, Choice(8, 0.9, 8, 0.01)), failed]
    text = trials_json(every, search)
    section = searched(read_trials(text))
    assert section is not None
    assert [row[-1].text for row in section.table.rows] == ["over: Dice drop", "fits", "failed"]
    assert [row[4].text for row in section.table.rows] == ["0.003", "0.01", "0"]
    assert [row[5].text for row in section.table.rows][:2] == ["int8", "int8"]
    assert json.loads(text)["best"] == 2
    # kfp hands it over on the command line, twice quoted; Linux takes 128 KiB there.
    wordy = Choice(16, 0.815, 32, 0.0003)
    longest = trials_json([made(n, wordy, 10**6, 0.1) for n in range(200)], search)
    assert len(json.dumps(json.dumps(longest))) < 128 * 1024


def test_precisions_that_convert_does_not_make(tmp_path: Path) -> None:
    for variants, group, words in (
        ("int8", {}, "the baseline needs the variant float32"),
        ("float32", {"precisions": ["int8"]}, "search.precisions needs the variant int8"),
    ):
        parameters = {**PARAMETERS, "convert": {"variants": variants}}
        command = SearchCommand(parameters, group, BUDGET, tmp_path, prepare)
        with pytest.raises(BadInput, match=words):
            prepare_search(command)


def test_best_yaml_is_a_parameter_file(tmp_path: Path) -> None:
    from pipelines.commands.search import _write_best

    changed = best_parameters(PARAMETERS, made(2, Choice(8, 0.9, 12, 0.001)), BUDGET, 16)
    _write_best(tmp_path / "best.yaml", changed, made(2, Choice(8, 0.9, 12, 0.001)))
    text = (tmp_path / "best.yaml").read_text("utf-8")
    head = "# Trial 2 of a search: width 8, sparsity 0.9, codebook 12, bit price 0.001.\n"
    assert text.startswith(head)
    assert load_parameters(tmp_path / "best.yaml") == changed == yaml.safe_load(text)
