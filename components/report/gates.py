"""Gates: the limits that a package must keep before it may ship, and the verdict on each."""

from dataclasses import asdict, dataclass
from typing import Any

from components.report.branches import Branch, Branches, setting_text
from components.report.formats import (
    GAP,
    MINUS,
    MISSING,
    bytes_text,
    dice_text,
    difference_text,
    exact_bytes,
    exists,
    interval_text,
    ratio_text,
    seconds_text,
)
from components.report.slices import lowest_dice, small_recall, worst_slice
from thimble.stage import BadInput, require

__all__ = ["Candidate", "Gate", "GateConfig", "judge", "judge_all", "verdict"]

PHONE = "not verified on a phone"
RESEARCH = "Research use only"
# Below this many test images a run shows how the pipeline works, not how good the model is.
FEW_IMAGES = 30


@dataclass(frozen=True)
class GateConfig:
    """Limits, and the package that they are for.

    Attributes:
        max_dice_drop: Largest drop of the pooled test Dice from the baseline, in [0, 1]; always on.
        max_package_bytes: Largest package on the wire; 0 turns the gate off.
        max_p90_seconds: Longest 90th percentile of the time of one tile, in the setting with the
            fewest threads; 0 turns the gate off.
        max_memory_bytes: Largest peak memory in that setting; 0 turns the gate off.
        max_worst_slice_drop: Largest drop of the pooled Dice from the baseline in any site,
            manufacturer, size of lesion, ... of at least 5 patients, in [0, 1]; 0 turns the gate
            off.
        gate_branch: baseline, teacher, student or control.
        gate_variant: Variant of convert, such as float32 or int8.
    """

    max_dice_drop: float = 0.01
    max_package_bytes: int = 0
    max_p90_seconds: float = 0.0
    max_memory_bytes: int = 0
    max_worst_slice_drop: float = 0.05
    gate_branch: str = "teacher"
    gate_variant: str = "float32"

    def __post_init__(self) -> None:
        """Check ranges."""
        for name in ("max_dice_drop", "max_worst_slice_drop"):
            drop = getattr(self, name)
            require(0 <= drop <= 1, f"{name} must be in [0, 1]", **{name: drop})
        for name in ("max_package_bytes", "max_p90_seconds", "max_memory_bytes"):
            value = getattr(self, name)
            require(value >= 0, f"{name} must be >= 0 (0 turns the gate off)", **{name: value})
        require(
            self.gate_branch in ("teacher", "student", "baseline", "control"),
            "gate_branch must be one of teacher, student, baseline, control",
            gate_branch=self.gate_branch,
        )


@dataclass(frozen=True)
class Gate:
    """One limit: passed if the value exists and is at most the limit; `detail` says of what."""

    name: str
    limit: float
    value: float | None
    unit: str
    detail: str = ""

    @property
    def passed(self) -> bool:
        """Whether it holds; what was not measured does not."""
        # 0.80 - 0.79 is 0.010000000000000009: a drop at the limit is no failure.
        return self.value is not None and self.value <= self.limit * (1 + 1e-9)

    def amount(self, value: float | None) -> str:
        """Return its value or its limit in words; a package's bytes to the last one."""
        if value is None:
            return "not measured"
        if self.name == "package_bytes":
            return f"{exact_bytes(value)}{GAP}B"
        written = {"bytes": bytes_text, "seconds": seconds_text, "Dice": dice_text}
        return written[self.unit](value).replace("-", MINUS)

    def record(self) -> dict[str, Any]:
        """Return it as verdict.json has it."""
        return {**asdict(self), "passed": self.passed}


@dataclass(frozen=True)
class Candidate:
    """A package that could ship, its figures, and the gates that it was held against."""

    branch: str
    variant: str
    figures: dict[str, Any]
    gates: tuple[Gate, ...]

    @property
    def name(self) -> str:
        """Branch and variant, as the package is called."""
        return f"{self.branch}-{self.variant}"

    @property
    def passed(self) -> bool:
        """Whether every gate holds."""
        return all(gate.passed for gate in self.gates)


def _number(value: Any) -> float | None:
    """A finite number, or None."""
    return value if exists(value) else None


def judge(branch: Branch, variant: str, baseline: Branch, config: GateConfig) -> Candidate:
    """Hold one package against the gates.

    Dice is pooled over the test split, its drop is from the float32 variant of the baseline. Time
    and memory are those of the reference setting (`Branch.reference_run`).
    """
    found = branch.variants[variant]
    reference = next(iter(baseline.variants.values()))
    reference = baseline.variants.get("float32", reference)
    dice, baseline_dice = _number(found.get("dice")), _number(reference.get("dice"))
    drop = None if dice is None or baseline_dice is None else baseline_dice - dice
    run = branch.reference_run(variant) or {}
    package, raw = _number(found.get("package_bytes")), baseline.evaluation["float32_bytes"]
    figures = {
        "package_bytes": package,
        "baseline_float32_bytes": raw,
        "ratio": raw / package if package else None,
        "dice": dice,
        "dice_per_class": found.get("dice_per_class"),
        "baseline_dice": baseline_dice,
        "difference": found.get("difference"),
        "worst_decile": _number(found.get("worst_decile")),
        "worst_slice": lowest_dice(branch, variant),
        "small_lesion_recall": small_recall(branch, variant),
        "images": len(found.get("dice_per_image") or {}),
        "p50_seconds": _number(run.get("p50_seconds")),
        "p90_seconds": _number(run.get("p90_seconds")),
        "peak_memory_bytes": _number(run.get("peak_memory_bytes")),
        "setting": setting_text(run) if run else None,
    }
    gates = [Gate("dice_drop", config.max_dice_drop, drop, "Dice")]
    for name, limit, value, unit in (
        ("package_bytes", config.max_package_bytes, package, "bytes"),
        ("p90_seconds", config.max_p90_seconds, figures["p90_seconds"], "seconds"),
        ("memory_bytes", config.max_memory_bytes, figures["peak_memory_bytes"], "bytes"),
    ):
        if limit:
            gates.append(Gate(name, limit, value, unit))
    if config.max_worst_slice_drop:
        gates += _slice_gate(branch, variant, baseline, config.max_worst_slice_drop)
    return Candidate(branch.name, variant, figures, tuple(gates))


def _slice_gate(branch: Branch, variant: str, baseline: Branch, limit: float) -> list[Gate]:
    """The gate on the worst slice; none where no slice is large enough to be judged."""
    if "slices" not in branch.evaluation:
        return [Gate("worst_slice_drop", limit, None, "Dice")]
    worst = worst_slice(branch, variant, baseline)
    return [Gate("worst_slice_drop", limit, worst.drop, "Dice", worst.detail)] if worst else []


def judge_all(branches: Branches, config: GateConfig) -> dict[str, Candidate]:
    """Hold every package of the run against the gates.

    Returns:
        Candidates by name (`<branch>-<variant>`), the gated one among them.

    Raises:
        BadInput: If the gated branch or variant was not evaluated.
    """
    found = [
        judge(branch, variant, branches["baseline"], config)
        for branch in branches.values()
        for variant in branch.variants
    ]
    candidates = {candidate.name: candidate for candidate in found}
    gated = f"{config.gate_branch}-{config.gate_variant}"
    if gated not in candidates:
        raise BadInput(
            f"gate_branch and gate_variant must name a package of this run. Received: {gated}. "
            f"Expected one of: {', '.join(candidates)}."
        )
    return candidates


def evidence_text(figures: dict[str, Any], limit: float) -> str:
    """Return how strong the claim 'no worse than the limit' is."""
    lower = (figures["difference"] or {}).get("lower_one_sided_95")
    if lower is None:
        return "There is no per-image comparison: this says nothing about other images."
    few = figures["images"] < FEW_IMAGES
    population = "on these images, too few to be evidence" if few else "for images like these"
    holds = "holds" if lower > -limit else "does not hold"
    return (
        f"The one-sided 95{GAP}% bound of the per-image difference is {difference_text(lower)} "
        f"({figures['images']} images, one training): “no worse by more than {limit:g}” {holds} "
        f"{population}."
    )


def sentence(candidate: Candidate) -> str:
    """Return the headline: what ships, or why nothing does."""
    figures = candidate.figures
    failed = [gate for gate in candidate.gates if not gate.passed]
    if failed:
        reasons = "; ".join(
            f"{gate.name.replace('_', ' ')} {gate.amount(gate.value)}"
            + (f" in {gate.detail}" if gate.detail else "")
            + f", limit {gate.amount(gate.limit)}"
            for gate in failed
        )
        start = f"Nothing ships: {candidate.name} fails {reasons}."
    else:
        start = (
            f"{candidate.name} ships in {bytes_text(figures['package_bytes'])}, "
            f"{ratio_text(figures['ratio']).rstrip('×')} times smaller than the float32 weights "
            f"of the baseline ({bytes_text(figures['baseline_float32_bytes'])})."
        )
    p90 = seconds_text(figures["p90_seconds"])
    pace = "Latency was not measured" if p90 == MISSING else f"p90 is {p90} a tile on this host"
    return (
        f"{start} Dice is {dice_text(figures['dice'])} against "
        f"{dice_text(figures['baseline_dice'])} "
        f"(per-image difference {difference_text((figures['difference'] or {}).get('mean'))}, "
        f"95{GAP}% interval {interval_text(figures['difference'])}). "
        f"{pace}; {PHONE}. {RESEARCH}."
    )


def verdict(candidates: dict[str, Candidate], config: GateConfig) -> dict[str, Any]:
    """Return verdict.json: the decision, its reasons, and the same for every other package."""
    gated = candidates[f"{config.gate_branch}-{config.gate_variant}"]
    return {
        "format": "thimble-verdict/1",
        "passed": gated.passed,
        "branch": gated.branch,
        "variant": gated.variant,
        "sentence": sentence(gated),
        "evidence": evidence_text(gated.figures, config.max_dice_drop),
        "gates": [gate.record() for gate in gated.gates],
        "figures": gated.figures,
        "candidates": [
            {
                "name": candidate.name,
                "branch": candidate.branch,
                "variant": candidate.variant,
                "passed": candidate.passed,
                "gates": [gate.record() for gate in candidate.gates],
                "figures": candidate.figures,
            }
            for candidate in candidates.values()
        ],
    }
