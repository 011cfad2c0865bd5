"""Finds the smallest package inside a budget: trial after trial, on the validation split.

Everything that a search knows is in `search.json` of its run folder, which is written after each
trial; the sampler is made anew from it. So a search that was killed goes on where it was.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.budget import FAILED_SCORE, Budget, Measured, best_variant, excesses
from pipelines.local import Outcome, describe, run_in
from pipelines.progress import Progress
from pipelines.run_folder import RunFolder, open_run
from pipelines.space import Choice, SearchSpace, propose
from pipelines.trial import read_trial, trial_run
from thimble.artifact import read_json, write_atomically, write_json
from thimble.stage import BadInput, ThimbleError

__all__ = ["FILE", "Search", "SearchStopped", "Trial", "best_trial", "explain_miss", "run_search"]

FORMAT = "thimble-search/1"
FILE = "search.json"
SIGNALS = 128
# Without these no trial can be made.
SHARED_BRANCHES = ("", "baseline")


class SearchStopped(ThimbleError):
    """A search that did not reach its end; the same command continues it."""

    def __init__(self, outcome: Outcome) -> None:
        """Take over message, log and exit code of what stopped it."""
        super().__init__(outcome.message + (f" (log: {outcome.log})" if outcome.log else ""))
        self.exit_code = outcome.exit_code


@dataclass(frozen=True)
class Search:
    """What to search.

    Attributes:
        space: What may be chosen.
        budget: The limits.
        seed: Of the sampler.
        trials: How many choices to try.
        arguments: All flat arguments of `compress`; trials take over what they do not choose.
        code: Tag of each stage: trials of other code do not compare.
    """

    space: SearchSpace
    budget: Budget
    seed: int
    trials: int
    arguments: Mapping[str, Any]
    code: Mapping[str, str]

    def identity(self) -> dict[str, Mapping[str, Any]]:
        """Return what must be equal for a search to go on."""
        kept = {k: v for k, v in self.arguments.items() if not k.startswith(("report_", "publish"))}
        return {
            "space": {**self.space.record(), "seed": self.seed},
            "budget": vars(self.budget),
            "parameters": kept,
            "code": self.code,
        }


@dataclass(frozen=True)
class Trial:
    """One choice and what came of it.

    Attributes:
        number: From 1.
        choice: What was tried.
        variants: What each precision of the space measured; empty for a trial that failed.
        float32_bytes: Bytes of the baseline's weights as float32.
        seconds: Wall time.
        failure: Why there is nothing measured.
    """

    number: int
    choice: Choice
    variants: tuple[Measured, ...]
    float32_bytes: int
    seconds: float
    failure: str = ""

    def best(self, budget: Budget) -> Measured | None:
        """Return the variant that fits best, if there is any."""
        found = self.variants
        return best_variant(found, budget, self.float32_bytes)[0] if found else None

    def score(self, budget: Budget) -> float:
        """Return the score of that variant, lower is better."""
        found = self.variants
        return best_variant(found, budget, self.float32_bytes)[1] if found else FAILED_SCORE

    def binds(self, budget: Budget) -> dict[str, float]:
        """Return the limits that it exceeds; empty for one that fits."""
        best = self.best(budget)
        return excesses(best, budget) if best else {"failed": FAILED_SCORE}

    def record(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            **vars(self),
            "choice": self.choice.record(),
            "variants": [measured.record() for measured in self.variants],
        }

    @staticmethod
    def of(record: Mapping[str, Any]) -> "Trial":
        """Return it from JSON."""
        variants = tuple(Measured.of(each) for each in record["variants"])
        return Trial(**{**record, "choice": Choice(**record["choice"]), "variants": variants})


def best_trial(trials: Sequence[Trial], budget: Budget) -> Trial:
    """Return the trial with the lowest score, the first of equals."""
    return min(trials, key=lambda trial: trial.score(budget))


def explain_miss(trials: Sequence[Trial], budget: Budget) -> str:
    """Return one sentence about the trial that came closest, and what keeps it out."""
    closest = best_trial(trials, budget)
    best = closest.best(budget)
    if best is None:
        return f"all {len(trials)} trials failed, the last with: {trials[-1].failure}"
    over = closest.binds(budget)
    limits = {
        "max_dice_drop": f"Dice drop {best.dice_drop:.4f} > {budget.max_dice_drop:g}",
        "max_bytes": f"{best.package_bytes:,} > {budget.max_bytes:,} bytes",
        "max_p90_ms": f"p90 {best.p90_ms:.2f} > {budget.max_p90_ms:g} ms",
    }
    size = "" if "max_bytes" in over else f"{best.package_bytes:,} bytes, "
    return (
        f"no trial met the budget: closest is trial {closest.number} ({describe_choice(closest)}, "
        f"{best.variant}): {size}{', '.join(limits[name] for name in over)} "
        f"(binds: {', '.join(over)}). Allow more, try more (--trials), or search another space."
    )


def describe_choice(trial: Trial) -> str:
    """Return what was tried in words."""
    choice = trial.choice
    return (
        f"width {choice.width}, sparsity {choice.sparsity:g}, codebook {choice.codebook_size}, "
        f"bit price {choice.rate_weight:g}"
    )


def run_search(
    search: Search,
    root: Path,
    pipeline: Any,
    watch: Callable[[int], Progress],
    tell: Callable[[list[Trial], bool], None],
    make: Callable[[Choice, Mapping[str, Any]], tuple[Any, dict[str, Any]]] = trial_run,
) -> list[Trial]:
    """Try choices until there are as many trials as wanted.

    Args:
        search: What to search.
        root: The run folder.
        pipeline: `compress`, whose run folder it is.
        watch: Returns what shows a trial while it runs, from its number.
        tell: Called after each trial with all trials so far, and whether it is of an earlier call.
        make: Returns the pipeline of a trial and its arguments.

    Returns:
        All trials, those of earlier calls first.

    Raises:
        BadInput: If the folder cannot be used or holds another search.
        SearchStopped: If a signal came, or a stage failed that all trials need.
    """
    with open_run(root, describe(pipeline, search.arguments)) as folder:
        trials = _read(search, folder)
        for count in range(1, len(trials) + 1):
            tell(trials[:count], True)
        while len(trials) < search.trials:
            tried = [
                (each.choice, each.score(search.budget) if each.variants else None)
                for each in trials
            ]
            choice = propose(search.space, search.seed, tried)
            if choice is None:
                break
            progress = watch(len(trials) + 1)
            trial, arguments = make(choice, search.arguments)
            outcome = run_in(folder, trial, arguments, progress)
            trials.append(_conclude(search, len(trials) + 1, choice, outcome))
            _write(search, folder, trials)
            tell(trials, False)
    return trials


def _conclude(search: Search, number: int, choice: Choice, outcome: Outcome) -> Trial:
    """Return what came of a trial; raise if it says nothing about its choice."""
    seconds = round(outcome.seconds, 3)
    if outcome.exit_code:
        failed = next((result.task for result in outcome.results if result.failed), None)
        interrupted = outcome.exit_code >= SIGNALS
        if interrupted or failed is None or failed.branch in SHARED_BRANCHES:
            raise SearchStopped(outcome)
        return Trial(number, choice, (), 1, seconds, outcome.message)
    branch = choice.branch(search.arguments["train_base_width"])
    measured, float32_bytes = read_trial(outcome.outputs, branch)
    wanted = tuple(each for each in measured if each.variant in search.space.precisions)
    return Trial(number, choice, wanted, float32_bytes, seconds)


def _read(search: Search, folder: RunFolder) -> list[Trial]:
    """Return the trials of earlier calls; refuse those of another search."""
    path = folder.root / FILE
    if not path.exists():
        return []
    content = read_json(path)
    try:
        if content["format"] != FORMAT:
            raise BadInput(f"{path} has format {content['format']!r}, expected {FORMAT!r}.")
        for part, now in search.identity().items():
            _require_equal(folder, part, content["identity"][part], now)
        return [Trial.of(record) for record in content["trials"]]
    except (KeyError, TypeError) as error:
        raise BadInput(
            f"{path} is damaged ({error!r}). Delete it: the search begins again, and what was "
            "trained is not trained again."
        ) from None


def _require_equal(
    folder: RunFolder, part: str, before: Mapping[str, Any], now: Mapping[str, Any]
) -> None:
    """Refuse to mix trials that do not compare."""
    odd = sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
    if odd:
        name = odd[0]
        raise BadInput(
            f"{folder.root} holds a search with another {part}: {name} was {before.get(name)!r}, "
            f"received {now.get(name)!r}. Choose another --out folder, or repeat the first command "
            "to go on."
        )


def _write(search: Search, folder: RunFolder, trials: Sequence[Trial]) -> None:
    """Keep all trials."""
    content = {
        "format": FORMAT,
        "identity": search.identity(),
        "trials": [trial.record() for trial in trials],
    }
    with write_atomically(folder.root / FILE) as partial:
        write_json(partial, content)
