"""The model card: what a package is for, what it was made from, and what it can be trusted with."""

from collections.abc import Mapping, Sequence
from typing import Any

from components.publish.changes import changes_table
from components.publish.slices import slices_text
from components.publish.terms import RESEARCH

__all__ = ["model_card"]

# Below this many test images a run shows how the pipeline works, not how good the model is.
FEW_IMAGES = 30

CARD = """# {name}

{sentence}

## Intended use

{use}: to mark {classes} in scans like those below. {care}
It was not verified on a phone.

## Packages

| Package | Bytes | Times smaller | Dice (test) | Difference per image, 95 % interval | p90 |
|---|---:|---:|---:|---:|---:|
{packages}

Times smaller: float32 weights of the baseline ({baseline_bytes} B) over the package. Dice: argmax
of the full image, pixels pooled over {images} test images, mean over {classes}; the baseline has
{baseline_dice}. The interval resamples images, from one training. p90: time of one tile on the
machine that ran the benchmark ({setting}).

{evidence}

## Dice per class

| Package | {class_names} |
|---|{class_rule}
{class_rows}

## By site, manufacturer and size of lesion

{slices}

## What compression changed, image by image

{changes}

Dice of the foreground of each test image, the mean of all; the interval resamples images. Lost and
won: images that crossed a Dice of 0.5, compared with the uncompressed baseline. There are no
intervals per class.

## Data

- Data set: {dataset} ({counts})
- Population: {population}
- Scanners: {scanners}
- Split: {split}
- Terms of use: {terms}
- Digest of the source: `{digest}`
{overridden}
This release holds no scans.

## Preprocessing

The package carries it, and Thimble applies it: {preprocessing}.

## How to run

```sh
sha256sum --check SHA256SUMS
thimble inspect {first}.thimble
thimble predict {first}.thimble scan.png
thimble decode {first}.thimble -o {first}.tflite
```

The network takes one tile (1, {tile}, {tile}, {channels}) of normalised float32 and returns logits
(1, {tile}, {tile}, {class_count}); class 0 is {background}.

## Limits

{limits}

## Provenance

Pipeline `{pipeline}`, run `{run_name}`, commit `{commit}`. manifest.json has the parameters and
versions of every stage, gates, and digests. provenance.json says the same as an in-toto statement,
from data through code and images to the packages; it is {signed}.
"""


def model_card(
    name: str,
    chosen: Sequence[Mapping[str, Any]],
    evaluations: Mapping[str, Mapping[str, Any]],
    verdict: Mapping[str, Any],
    said: Mapping[str, str],
    baseline: Mapping[str, Any] | None = None,
) -> str:
    """Write the model card.

    Args:
        name: The model's name.
        chosen: Published candidates of verdict.json.
        evaluations: evaluation.json by branch, at least one.
        verdict: verdict.json.
        said: pipeline, commit, run_name, intended_use, population, scanners, signed (a word), and
            overridden (a sentence or nothing).
        baseline: evaluation.json of the uncompressed baseline, if it is connected.

    Returns:
        Markdown.
    """
    evaluation = next(iter(evaluations.values()))
    figures = chosen[0]["figures"]
    return CARD.format(
        name=name,
        sentence=verdict["sentence"],
        evidence=verdict["evidence"],
        packages="\n".join(_package_row(each) for each in chosen),
        class_rows="\n".join(_class_row(each) for each in chosen),
        slices=slices_text(chosen, evaluations),
        changes=changes_table(chosen, evaluations, baseline),
        baseline_bytes=f"{figures['baseline_float32_bytes']:,}",
        baseline_dice=_score(figures["baseline_dice"]),
        images=figures["images"],
        setting=figures["setting"] or "not measured",
        first=chosen[0]["name"],
        limits="\n".join(f"- {limit}" for limit in _limits(chosen, figures["images"])),
        **_use(said),
        **_data(evaluation),
    )


def _use(said: Mapping[str, str]) -> dict[str, str]:
    """What the card repeats of the run, and what it says about the use."""
    plain = ("pipeline", "run_name", "commit", "population", "scanners", "signed")
    use, overridden = said["intended_use"], said["overridden"]
    care = "This is no medical device. It must\nnot be used to diagnose or treat anybody."
    return {
        **{key: said[key] or "not given" for key in plain},
        "use": f"{use[:1].upper()}{use[1:]}",
        "care": care if use == RESEARCH else "Its owner states this use.",
        "overridden": f"\n{overridden}\n" if overridden else "",
    }


def _data(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """What the card says about data, classes and preprocessing."""
    data, preprocessing = evaluation["dataset"], evaluation.get("preprocessing") or {}
    classes = list(evaluation["classes"])
    return {
        "classes": ", ".join(classes[1:] or classes),
        "class_names": " | ".join(classes),
        "class_rule": "---:|" * len(classes),
        "class_count": len(classes),
        "background": classes[0],
        "dataset": data.get("name"),
        "counts": _counts(data.get("counts") or {}),
        "split": _pairs(data.get("split") or {}),
        "terms": data.get("terms") or "not stated",
        "digest": data.get("source_digest"),
        "preprocessing": _pairs(preprocessing),
        "tile": preprocessing.get("tile", "tile"),
        "channels": preprocessing.get("channels", "channels"),
    }


def _package_row(candidate: Mapping[str, Any]) -> str:
    """One row of the results."""
    figures = candidate["figures"]
    gap, p90 = figures["difference"], figures["p90_seconds"]
    shown = f"{gap['mean']:+.4f} ({gap['low']:+.4f} to {gap['high']:+.4f})" if gap else "not known"
    time = f"{1e3 * p90:.3g} ms" if p90 is not None else "not measured"
    return (
        f"| {candidate['name']}.thimble | {figures['package_bytes']:,} | {figures['ratio']:.3g} | "
        f"{_score(figures['dice'])} | {shown} | {time} |"
    )


def _class_row(candidate: Mapping[str, Any]) -> str:
    """Dice of each class."""
    scores = candidate["figures"]["dice_per_class"] or []
    return f"| {candidate['name']} | {' | '.join(_score(score) for score in scores)} |"


def _score(value: float | None) -> str:
    """A Dice coefficient."""
    return f"{value:.4f}" if value is not None else "not known"


def _counts(counts: Mapping[str, Mapping[str, int]]) -> str:
    """Images of each split."""
    return ", ".join(
        f"{split} {counts[split]['images']}"
        for split in ("train", "validation", "test")
        if split in counts
    )


def _pairs(values: Mapping[str, Any]) -> str:
    """Names and values in one line."""
    return ", ".join(f"{key} {_value(value)}" for key, value in values.items())


def _value(value: Any) -> str:
    """A value in words."""
    if isinstance(value, Mapping):
        return f"({_pairs(value)})"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_value, value)) + "]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _limits(chosen: Sequence[Mapping[str, Any]], images: int) -> list[str]:
    """What the numbers do not show."""
    found = [
        "Another training seed gives another model; its spread is not in the interval.",
        "Scanners, sites, stains, tissues or patients that are not named above were not tested.",
        "Times are those of one machine, not verified on a phone.",
    ]
    if images < FEW_IMAGES:
        found.insert(0, f"Only {images} test images: a demonstration, not evidence.")
    worst = chosen[0]["figures"]["worst_decile"]
    if worst is not None:
        found.append(f"The worst tenth of the test images has a mean Dice of {worst:.4f}.")
    return found
