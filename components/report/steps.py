"""What each stage did to a model: bytes, sparsity, validation Dice, read from its history."""

from dataclasses import dataclass
from typing import Any

from components.report.branches import Branch
from components.report.formats import exists

__all__ = ["Step", "steps"]

DOES = {
    "train": "trains the network",
    "distill": "teaches a smaller network",
    "prune": "zeroes the smallest weights",
    "quantize": "lets weights share few values",
    "huffman": "codes what is left, bit-exact",
    "convert": "makes the TFLite file that ships",
}
# Stages that only measure change nothing about the model.
SILENT = {"ingest", "validate", "evaluate", "benchmark"}


@dataclass(frozen=True)
class Step:
    """A model's state after one stage; None is what the stage did not report.

    Attributes:
        name: The stage, or what the chain starts from.
        does: What it does, in words.
        size: Bytes of the package, were it made now.
        sparsity: Share of zeros, in [0, 1].
        dice: Dice on the validation split.
        before: Bytes at the last step that reported any.
    """

    name: str
    does: str
    size: float | None
    sparsity: float | None
    dice: float | None
    before: float | None

    @property
    def factor(self) -> float | None:
        """How many times smaller this stage made the model."""
        return self.before / self.size if self.before and self.size else None


def _figure(metrics: dict[str, Any], name: str) -> float | None:
    """A finite figure, or None."""
    value = metrics.get(name)
    return float(value) if value is not None and exists(value) else None


def steps(branch: Branch, baseline: Branch, variant: str) -> list[Step]:
    """Return the chain from the baseline's float32 weights to the package that ships.

    Args:
        branch: The compressed model.
        baseline: Whose float32 weights the chain starts from.
        variant: The package at its end.
    """
    size: float | None = float(baseline.evaluation["float32_bytes"])
    chain = [Step("baseline", "float32 weights, uncompressed", size, None, None, None)]
    for entry in branch.history:
        name, metrics = entry.get("stage", ""), entry.get("metrics") or {}
        if name in SILENT or name == "convert":
            continue
        after = _figure(metrics, "package_bytes")
        again = sum(step.name.split(" ")[0] == name for step in chain)
        chain.append(
            Step(
                f"{name} ({again + 1})" if again else name,
                DOES.get(name, ""),
                after,
                _figure(metrics, "sparsity"),
                _figure(metrics, "dice_validation"),
                size,
            )
        )
        size = after or size
    shipped = _figure(branch.variants.get(variant, {}), "package_bytes")
    chain.append(Step(f"convert ({variant})", DOES["convert"], shipped, None, None, size))
    return chain
