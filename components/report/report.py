"""Write the report of a run: one HTML file that opens offline, and the verdict on its gates."""

import base64
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from components.report import formats, story, tables
from components.report.branches import Branch, Branches, load_branches
from components.report.gates import FEW_IMAGES, Candidate, GateConfig, judge_all, verdict
from components.report.latency_chart import latency_chart
from components.report.overlays import cases
from components.report.package_charts import SYMBOLS, differences_chart, tradeoff_chart
from components.report.retraining import (
    Release,
    Retraining,
    RetrainingConfig,
    compare,
    read_release,
    retold,
)
from components.report.search import read_trials, searched
from components.report.slice_tables import sliced
from components.report.stage_charts import quality_chart, size_chart
from components.report.steps import steps
from thimble.artifact import read_json, write_json
from thimble.stage import Run

__all__ = ["ProvenanceConfig", "ReportConfig", "build_report"]

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class ProvenanceConfig:
    """What the reader needs to find the run again.

    Attributes:
        title: Headline of the report.
        pipeline: Name of the pipeline.
        commit: Commit of the code that ran.
        run_name: Name of the run.
    """

    title: str = "Compression report"
    pipeline: str = ""
    commit: str = ""
    run_name: str = ""


@dataclass(frozen=True)
class ReportConfig:
    """Gates, provenance, the release before and the search before.

    Attributes:
        trials: The trials of a search as JSON, which `thimble run --max-dice-drop` fills in; empty
            if there was none.
    """

    gate: GateConfig = field(default_factory=GateConfig)
    provenance: ProvenanceConfig = field(default_factory=ProvenanceConfig)
    retraining: RetrainingConfig = field(default_factory=RetrainingConfig)
    trials: str = ""

    def __post_init__(self) -> None:
        """Check that the trials can be shown."""
        read_trials(self.trials)


def build_report(
    inputs: Mapping[str, str | Path | None], config: ReportConfig, run: Run
) -> tuple[Callable[[Path], None], dict[str, float]]:
    """Judge the packages of a run and write down why.

    A failed gate does not raise: the report has to say so. `publish` refuses it.

    Args:
        inputs: Folders by name: `<branch>_evaluation` and `<branch>_benchmark` for the branches
            baseline, teacher, student, control, and `validation`; in a retraining `released` and
            `released_evaluation`. None where there is none.
        config: Gates and provenance.
        run: Progress.

    Returns:
        A function that fills a folder with report.html and verdict.json, and the figures: passed
        (0 or 1), package_bytes, ratio, dice, difference (mean per image), as far as they exist.

    Raises:
        BadInput: If an input is no evaluation or benchmark, or the gated package is not in the run.
    """
    branches = load_branches(inputs)
    validation, release = _validation(inputs.get("validation")), read_release(inputs)
    candidates = _judge(branches, release, config)
    decision, section = verdict(candidates, config.gate), None
    if release:
        gated = candidates[f"{decision['branch']}-{decision['variant']}"]
        decision, section = retold(decision, gated, release, branches, validation)
    run.progress(1, 3)
    page = _render(branches, candidates, decision, config, (validation, section))
    run.progress(2, 3)

    def write(folder: Path) -> None:
        (folder / "report.html").write_text(page, encoding="utf-8")
        write_json(folder / "verdict.json", decision)
        run.progress(3, 3)

    return write, _figures(decision)


def _judge(
    branches: Branches, release: Release | None, config: ReportConfig
) -> dict[str, Candidate]:
    """Hold every package against the gates, and against the release before, if there is one."""
    candidates = judge_all(branches, config.gate)
    if release is None:
        return candidates
    return compare(candidates, branches, release, config.retraining.non_inferiority_margin)


def _figures(decision: Mapping[str, Any]) -> dict[str, float]:
    """What was measured of the package that decides."""
    found = decision["figures"]
    measured = {key: found[key] for key in ("package_bytes", "ratio", "dice")}
    measured["difference"] = (found["difference"] or {}).get("mean")
    measured["release_difference"] = (found.get("release_difference") or {}).get("mean")
    figures = {key: float(value) for key, value in measured.items() if value is not None}
    return {"passed": float(decision["passed"]), **figures}


def _validation(folder: str | Path | None) -> dict[str, Any] | None:
    """The verdict of the validate stage, if that ran."""
    return dict(read_json(Path(folder) / "validation.json")) if folder else None


def _render(
    branches: Branches,
    candidates: dict[str, Candidate],
    decision: dict[str, Any],
    config: ReportConfig,
    told: tuple[dict[str, Any] | None, Retraining | None],
) -> str:
    """Fill the template."""
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    environment.filters |= {
        name.removesuffix("_text"): getattr(formats, name)
        for name in formats.__all__
        if name.endswith("_text")
    }
    gated = candidates[f"{config.gate.gate_branch}-{config.gate.gate_variant}"]
    scripts = {"plotly": _plotly(), "script": _source("report.js")}
    provenance = vars(config.provenance)
    return environment.get_template("template.html").render(
        **{name: Markup(text) for name, text in scripts.items()},  # noqa: S704
        policy=_policy(scripts.values()),
        style=Markup(_source("style.css")),  # noqa: S704
        provenance=provenance,
        decision=decision,
        gated=gated,
        config=config,
        validation=told[0],
        retraining=told[1],
        cases=cases(branches[gated.branch]),
        shown=f"{gated.branch}-{branches[gated.branch].evaluation.get('headline', 'float32')}",
        facts=story.facts(branches, provenance),
        limits=story.limits(branches, gated),
        several=len(branches["baseline"].evaluation["classes"]) > 2,
        few=gated.figures["images"] < FEW_IMAGES,
        comparison=story.comparison(branches, gated.variant),
        search=searched(read_trials(config.trials)),
        **_sections(branches, candidates, gated, config.gate),
    )


def _sections(
    branches: Branches,
    candidates: dict[str, Candidate],
    gated: Candidate,
    gate: GateConfig,
) -> dict[str, Any]:
    """Make tables and charts of the template."""
    wanted = {"teacher", "student", gated.branch}
    shown = [each for each in branches.values() if each.name in wanted]
    baseline, branch = branches["baseline"], branches[gated.branch]
    ordered = sorted(shown, key=lambda each: each.name != gated.branch)
    others = [each for each in branches.values() if each is not branch]
    rows = story.differences(branches, gated)
    return {
        "gates": tables.gate_table(gated.gates),
        "chains": [_chain(each, baseline, gated.variant) for each in ordered],
        "variants": tables.variant_table(branches, candidates),
        "tradeoff": tradeoff_chart(branches, gated, gate.max_dice_drop),
        "keys": {"branches": list(branches), "symbols": _symbols(branches)},
        "sliced": sliced(branch, gated, baseline, gate.max_worst_slice_drop),
        "latency": latency_chart(branch),
        "timings": [
            tables.latency_table(f"Timings of {branch.name}", [branch]),
            tables.latency_table("Timings of the other branches", others),
        ],
        "speeds": [
            (each.name, story.speed(each)) for each in branches.values() if story.speed(each)
        ],
        "differences": differences_chart(rows, gate.max_dice_drop) if rows else None,
        "layers": [(each.name, table) for each in ordered if (table := tables.layer_table(each))],
        "parameters": [
            (each.name, tables.parameter_rows(each.history)) for each in branches.values()
        ],
    }


def _chain(branch: Branch, baseline: Branch, variant: str) -> dict[str, Any]:
    """What the stages did to one branch."""
    chain = steps(branch, baseline, variant)
    return {
        "name": branch.name,
        "size": size_chart(chain, branch.name),
        "quality": quality_chart(chain, branch.name),
        "table": tables.step_table(chain),
    }


def _symbols(branches: Branches) -> list[str]:
    """Variants of the run, as the legend lists them."""
    found = {variant for branch in branches.values() for variant in branch.variants}
    return [name for name in SYMBOLS if name in found or name == "raw weights"]


def _source(name: str) -> str:
    """A file beside this module."""
    return (FOLDER / name).read_text(encoding="utf-8")


def _plotly() -> str:
    """The source of plotly.js, so that the page needs no network."""
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs())


def _policy(scripts: Any) -> str:
    """A content security policy: only our two scripts run, and nothing is fetched."""
    digests = [
        base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts
    ]
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
