"""`thimble run` with a budget: search on validation, then one run of the best choice."""

import copy
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from pipelines.budget import Budget, Measured
from pipelines.checks import check_configs
from pipelines.search import (
    FILE,
    Search,
    Trial,
    best_trial,
    describe_choice,
    explain_miss,
    run_search,
)
from pipelines.search_progress import TrialProgress
from pipelines.space import SearchSpace, read_space
from pipelines.trial import REFERENCE
from thimble.artifact import write_atomically
from thimble.stage import BadInput, ThimbleError

__all__ = ["SearchCommand", "best_parameters", "prepare_search", "trials_json"]

Parameters = dict[str, dict[str, Any]]
TAG = "THIMBLE_TAG_"


@dataclass(frozen=True)
class SearchCommand:
    """A search as the command line asks for it.

    Attributes:
        parameters: The parameter file with all changes, without its group `search`.
        group: That group.
        budget: The limits.
        folder: The run folder.
        prepare: Makes the flat arguments of the pipeline from parameters.
    """

    parameters: Parameters
    group: Mapping[str, Any]
    budget: Budget
    folder: Path
    prepare: Callable[[Parameters], tuple[dict[str, Any], Any]]

    def run(self, console: Console) -> tuple[dict[str, Any], Any]:
        """Search, show it, and write best.yaml.

        Returns:
            The arguments of the run that ships, and the pipeline.

        Raises:
            BadInput: If parameters, space or folder do not fit.
            SearchStopped: If a signal came, or a stage failed that all trials need.
            ThimbleError: If no trial met the budget.
        """
        with console.status("checking parameters"):
            search, pipeline = prepare_search(self)
        _show_head(console, search)

        def tell(trials: list[Trial], earlier: bool) -> None:
            """Print the line of the latest trial."""
            _show_trial(console, search, trials, earlier)

        def watch(number: int) -> TrialProgress:
            """Show a trial at work."""
            return TrialProgress(console, f"trial {number}/{search.trials}")

        trials = run_search(search, self.folder, pipeline, watch, tell)
        best = best_trial(trials, self.budget)
        if best.binds(self.budget):
            raise ThimbleError(explain_miss(trials, self.budget))
        changed = best_parameters(self.parameters, best, self.budget, _width(search))
        _write_best(self.folder / "best.yaml", changed, best)
        console.print(
            f"best: trial {best.number}, {_measured_text(_best(best, self.budget))}; "
            f"its parameters are in {self.folder / 'best.yaml'}",
            markup=False,
            soft_wrap=True,
        )
        arguments, _ = self.prepare(copy.deepcopy(changed))
        return {**arguments, "report_trials": trials_json(trials, search)}, pipeline


def prepare_search(command: SearchCommand) -> tuple[Search, Any]:
    """Check everything before anything runs; return the search and the pipeline."""
    arguments, pipeline = command.prepare(copy.deepcopy(command.parameters))
    group = {"seed": command.parameters.get("all", {}).get("seed", 1), **command.group}
    made = [name.strip() for name in arguments["convert_variants"].split(",")]
    space, trials, seed = read_space(group, arguments["train_base_width"], made)
    _check_variants(space, made)
    if not (command.folder / FILE).exists():  # a search that goes on was checked when it began
        check_configs(_extremes(space, arguments))
    code = {name: tag for name, tag in sorted(os.environ.items()) if name.startswith(TAG)}
    return Search(space, command.budget, seed, trials, arguments, code), pipeline


def _check_variants(space: SearchSpace, made: list[str]) -> None:
    """Refuse a precision that convert does not make."""
    for name in (REFERENCE, *space.precisions):
        if name not in made:
            why = "search.precisions" if name in space.precisions else "the baseline"
            raise BadInput(
                f"{why} needs the variant {name}. Received: convert.variants={made}. "
                "Add it there, or leave it out of search.precisions."
            )


def _extremes(space: SearchSpace, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the ends of the space, so that the stages refuse them now and not at night."""
    tasks = {}
    for stage, field, name, values in (
        ("prune", "sparsity", "search.sparsity", (space.sparsities[0], space.sparsities[-1])),
        ("quantize", "codebook_size", "search.codebook_sizes", space.codebook_sizes),
        ("quantize", "rate_weight", "search.rate_weights", space.rate_weights),
        ("distill", "base_width", "search.widths", space.widths),
    ):
        own = f"{stage}_"
        fields = {k.removeprefix(own): v for k, v in arguments.items() if k.startswith(own)}
        for value in values:
            tasks[f"{name} {value:g}"] = (stage, {**fields, field: value})
    return tasks


def best_parameters(
    parameters: Parameters, best: Trial, budget: Budget, teacher_width: int
) -> Parameters:
    """Return the parameters with the best choice and the budget as the report's gates."""
    variant = _best(best, budget).variant
    changed = {task: dict(fields) for task, fields in parameters.items()}
    gates = {**budget.gates(), "gate_branch": best.choice.branch(teacher_width)}
    for task, fields in {
        **best.choice.changes(teacher_width),
        "evaluate": {"headline": variant},
        "report": {**gates, "gate_variant": variant},
    }.items():
        changed[task] = {**changed.get(task, {}), **fields}
    return changed


def trials_json(trials: list[Trial], search: Search) -> str:
    """Return all trials as the report takes them."""
    rows = []
    for trial in trials:
        best = trial.best(search.budget)
        row = {
            "number": trial.number,
            "branch": trial.choice.branch(_width(search)),
            **trial.choice.record(),
            **(best.record() if best else {}),
            "binds": list(trial.binds(search.budget)),
        }
        rows.append(row)
    content = {
        "budget": vars(search.budget),
        "best": best_trial(trials, search.budget).number,
        "trials": rows,
    }
    return json.dumps(content, separators=(",", ":"))


def _best(trial: Trial, budget: Budget) -> Measured:
    """Return the best variant of a trial that did not fail."""
    best = trial.best(budget)
    if best is None:
        raise ThimbleError(f"trial {trial.number} failed: {trial.failure}")
    return best


def _width(search: Search) -> int:
    """Return the teacher's width."""
    return int(search.arguments["train_base_width"])


def _write_best(path: Path, parameters: Parameters, best: Trial) -> None:
    """Write a parameter file that `thimble run --params` takes."""
    head = f"# Trial {best.number} of a search: {describe_choice(best)}.\n"
    with write_atomically(path) as partial:
        partial.write_text(head + yaml.safe_dump(parameters, sort_keys=False), encoding="utf-8")


def _show_head(console: Console, search: Search) -> None:
    """Say what is searched."""
    budget, space = search.budget, search.space
    limits = [f"Dice drop <= {budget.max_dice_drop:g}"]
    limits += [f"package <= {budget.max_bytes:,} B"] if budget.max_bytes else []
    limits += [f"p90 <= {budget.max_p90_ms:g} ms"] if budget.max_p90_ms else []
    console.print(
        f"search: {search.trials} trials of {space.size} choices, on validation; "
        f"{', '.join(limits)}",
        markup=False,
        soft_wrap=True,
    )


def _measured_text(best: Measured) -> str:
    """Return what a trial measured in words."""
    return (
        f"{best.variant} {best.package_bytes:,} B, Dice {best.dice:.4f} "
        f"(drop {best.dice_drop:+.4f}), p90 {best.p90_ms:.2f} ms"
    )


def _show_trial(console: Console, search: Search, trials: list[Trial], earlier: bool) -> None:
    """Print one line about the latest trial."""
    budget, trial, leader = search.budget, trials[-1], best_trial(trials, search.budget)
    best, over = trial.best(budget), trial.binds(budget)
    result = _measured_text(best) if best else f"failed: {trial.failure}"
    verdict = f"misses {', '.join(over)}" if over else "fits"
    so_far = "none fits yet"
    if not leader.binds(budget):
        so_far = f"best {leader.number}: {_best(leader, budget).package_bytes:,} B"
    console.print(
        f"trial {trial.number}/{search.trials}{' (done before)' if earlier else ''}: "
        f"{describe_choice(trial)} -> {result}" + (f": {verdict}" if best else "") + f"; {so_far}",
        style=None if not over else "dim",
        markup=False,
        soft_wrap=True,
    )
