"""From TFDV's anomalies to a verdict: what counts, what is accepted, and what likely happened."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from components.validate.comparison import Message, Sample, words_of
from components.validate.words import likely_cause

__all__ = ["Anomaly", "distances", "explain", "likely_faults"]

DRIFT = {"COMPARATOR_JENSEN_SHANNON_DIVERGENCE_HIGH", "COMPARATOR_L_INFTY_HIGH"}
# A feature that the reference lacks can be compared from the next release on.
TOLD = {"SCHEMA_NEW_COLUMN"}


@dataclass(frozen=True)
class Anomaly:
    """One feature that is not as it was.

    Attributes:
        feature: Its name.
        kind: `drift` (distributed otherwise), `schema` (missing, new or unknown values) or `skew`
            (another distribution than in the training split).
        found: What TFDV found, in its words.
        likely: What it most likely comes from.
        fails: Whether it fails the data set.
        rises: Whether the mean is larger than in the reference.
        ratio: How often the limit fits into the difference; 0 where nothing was measured.
    """

    feature: str
    kind: str
    found: str
    likely: str
    fails: bool
    rises: bool
    ratio: float

    def record(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return dict(vars(self))


def explain(
    anomalies: Message, reference: Sample, current: Sample, accepted: Sequence[str] | set[str]
) -> list[Anomaly]:
    """Return TFDV's anomalies in words, sorted by feature.

    Args:
        anomalies: From TFDV.
        reference: What the sample was compared with.
        current: The sample.
        accepted: Features whose anomalies do not fail.
    """
    found = []
    ratios = distances(anomalies)
    for name, info in sorted(anomalies.anomaly_info.items()):
        # The key may be quoted where a name holds a point or a space.
        feature = ".".join(info.path.step) or name
        kinds = {info.Type.Name(reason.type) for reason in info.reason}
        rises = _mean(current, feature) > _mean(reference, feature)
        found.append(
            Anomaly(
                feature=feature,
                kind="drift" if kinds <= DRIFT else "schema",
                found=" ".join(reason.description.strip() for reason in info.reason),
                likely=_likely(feature, kinds, rises, reference, current),
                fails=feature not in accepted and not kinds <= TOLD,
                rises=rises,
                ratio=round(ratios.get(feature, 0.0), 3),
            )
        )
    return found


def distances(anomalies: Message) -> dict[str, float]:
    """Return how often the limit fits into the difference that TFDV measured, by feature."""
    found = {}
    for each in anomalies.drift_skew_info:
        for measured in (*each.drift_measurements, *each.skew_measurements):
            found[".".join(each.path.step)] = float(measured.value / measured.threshold)
    return found


def _likely(feature: str, kinds: set[str], rises: bool, reference: Sample, current: Sample) -> str:
    """Return what an anomaly most likely comes from."""
    if kinds & {"SCHEMA_MISSING_COLUMN", "FEATURE_TYPE_LOW_FRACTION_PRESENT",
                "FEATURE_TYPE_NOT_PRESENT"}:  # fmt: skip
        if feature.startswith(("edge", "step", "object")):
            return f"{feature} cannot be measured in so many images: empty masks or a missing class"
        return f"missing attribute {feature}: the source no longer says it"
    if kinds <= TOLD:
        return f"new attribute {feature}: the reference has none to compare with"
    if "ENUM_TYPE_UNEXPECTED_STRING_VALUES" in kinds:
        old, new = reference.features().get(feature), current.features().get(feature)
        unknown = sorted(set(words_of(new)) - set(words_of(old))) if old and new else []
        return f"{_known(feature)}: {', '.join(unknown[:3])}"
    return likely_cause(feature, rises)


def _known(feature: str) -> str:
    """Return what a value that was never seen means."""
    told = {
        "label_empty": "empty masks, or none any more",
        "repeats": "duplicated patients: the same image under another patient",
        "pixels": "another bit depth or number of channels",
    }
    return told.get(feature, f"new {feature}, such as a new scanner or site")


def _mean(sample: Sample, feature: str) -> float:
    """Return the mean of a feature; 0 for words."""
    statistics = sample.features().get(feature)
    return float(statistics.num_stats.mean) if statistics is not None else 0.0


GREY = ("intensity_p", "intensity_mean", "intensity_deviation", "intensity_skew", "brightness",
        "contrast", "black", "saturated")  # fmt: skip
OUTLINES = ("edge", "step")
# Features that moved most, one of each group that is named, and what that is called.
FAULTS: tuple[tuple[str, tuple[tuple[str, ...], ...]], ...] = (
    ("empty masks", (("label_empty",),)),
    ("inverted intensities", (("step",), GREY)),
    ("swapped labels", (("step",), ("foreground",))),
    ("masks dilated, eroded or shifted against their images", (OUTLINES,)),
    ("other masks", (("foreground", "object"),)),
    ("blurred, smoothed or noisier images", (("sharpness", "noise"),)),
    ("shifted or scaled intensities, or another gamma", (GREY,)),
    ("another bit depth", (("grey_levels", "pixels"),)),
    ("images of another size: cropped or resampled", (("height", "width", "aspect"),)),
    ("flipped or turned images", (("intensity_row", "intensity_column", "label_row",
                                   "label_column", "direction"),)),
    ("wrong spacing", (("spacing",),)),
    ("duplicated patients", (("repeats",),)),
    ("a new scanner or site, or a missing attribute", (("site", "manufacturer", "model"),)),
)  # fmt: skip


def likely_faults(failing: Sequence[Anomaly]) -> list[str]:
    """Return what most likely happened: what fits the features that moved most.

    Args:
        failing: The anomalies that fail the data set.
    """
    strongest = max((each.ratio for each in failing), default=0.0)
    # What has no ratio is a value that was never seen, or a feature that is gone: that is plain.
    names = [e.feature for e in failing if e.ratio >= 0.6 * strongest or e.kind == "schema"]

    def moved(group: tuple[str, ...]) -> bool:
        return any(name.startswith(group) for name in names)

    found = [fault for fault, groups in FAULTS if all(moved(group) for group in groups)]
    # What needs two groups explains what needs one of them.
    double = {group for fault, groups in FAULTS if len(groups) > 1 and fault in found
              for group in (*groups, OUTLINES, ("foreground", "object"))}  # fmt: skip
    return [
        fault
        for fault, groups in FAULTS
        if fault in found and not (len(groups) == 1 and groups[0] in double)
    ]
