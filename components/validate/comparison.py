"""TFDV's side: statistics of the table, the schema, and what in either changed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.validate.features import Row
from components.validate.limits import (
    bin_edges,
    count_bins,
    divergence_limit,
    norm_limit,
    presence_limit,
)
from components.validate.table import count_groups

__all__ = ["Sample", "compare", "infer_schema", "recount", "sample_of", "sample_of_statistics"]

# TFDV's message classes are untyped.
Message = Any
COUNTED = "patient_share"


@dataclass(frozen=True)
class Sample:
    """The statistics of some images.

    Attributes:
        statistics: TFDV's DatasetFeatureStatisticsList; the histograms of kind STANDARD have our
            edges.
        images: How many there are.
        patients: How many patients they are of.
    """

    statistics: Message
    images: int
    patients: float

    def features(self) -> dict[str, Message]:
        """Return TFDV's statistics by feature."""
        return {each.path.step[0]: each for each in self.statistics.datasets[0].features}

    def edges(self) -> dict[str, NDArray[np.float64]]:
        """Return the edges of every feature that is a number."""
        found = {}
        for name, feature in self.features().items():
            if histogram := standard(feature):
                lows = [bucket.low_value for bucket in histogram.buckets]
                found[name] = np.array([*lows, histogram.buckets[-1].high_value])
        return found


def standard(feature: Message) -> Message | None:
    """Return the histogram with our edges of a feature that is a number."""
    histograms = feature.num_stats.histograms if feature.HasField("num_stats") else []
    found = [each for each in histograms if each.type == each.STANDARD and each.buckets]
    return found[0] if found else None


def counts_of(feature: Message) -> NDArray[np.float64]:
    """Return how many images lie in each part of a feature that is a number."""
    histogram = standard(feature)
    buckets = histogram.buckets if histogram else []
    return np.array([bucket.sample_count for bucket in buckets], np.float64)


def words_of(feature: Message) -> dict[str, float]:
    """Return how many images have each value of a feature that is a word."""
    ranks = feature.string_stats.rank_histogram.buckets
    return {bucket.label: float(bucket.sample_count) for bucket in ranks}


def share_present(feature: Message) -> float:
    """Return the share of the images that have a feature."""
    kind = feature.num_stats if feature.HasField("num_stats") else feature.string_stats
    present, missing = kind.common_stats.num_non_missing, kind.common_stats.num_missing
    return float(present / max(present + missing, 1))


def sample_of(rows: Sequence[Row]) -> Sample:
    """Return the statistics of the rows of a completed table, between edges of their own."""
    import pandas
    import tensorflow_data_validation as tfdv

    names = sorted({name for row in rows for name, value in row.items() if value is not None})
    frame = pandas.DataFrame({name: [row.get(name) for row in rows] for name in names})
    options = tfdv.StatsOptions(enable_semantic_domain_stats=False)
    statistics = tfdv.generate_statistics_from_dataframe(frame, options)
    return recount(Sample(statistics, len(rows), count_groups(rows)), rows, {})


def recount(
    sample: Sample, rows: Sequence[Row], edges: Mapping[str, NDArray[np.float64]]
) -> Sample:
    """Return the statistics of the same rows with other edges.

    TFDV cuts the range of a feature evenly. One value far out would put all others into one part,
    and two samples of different range would be compared by guesses of what lies where inside a
    part. So numbers are counted between edges that both samples share.

    Args:
        sample: The statistics.
        rows: What they are of.
        edges: By feature; a feature that is missing gets edges of its own.
    """
    statistics = type(sample.statistics)()
    statistics.CopyFrom(sample.statistics)
    for feature in statistics.datasets[0].features:
        name, histogram = feature.path.step[0], standard(feature)
        if histogram is not None:
            found = [row.get(name) for row in rows]
            values = np.array([value for value in found if value is not None], np.float64)
            given = edges[name] if name in edges else bin_edges(values)
            del histogram.buckets[:]
            for low, high, count in zip(
                given[:-1], given[1:], count_bins(values, given), strict=True
            ):
                histogram.buckets.add(low_value=low, high_value=high, sample_count=count)
    return Sample(statistics, sample.images, sample.patients)


def sample_of_statistics(statistics: Message) -> Sample:
    """Return the sample that `statistics` is of."""
    counted = {each.path.step[0]: each for each in statistics.datasets[0].features}[COUNTED]
    images = int(statistics.datasets[0].num_examples)
    return Sample(statistics, images, images * counted.num_stats.mean)


def infer_schema(sample: Sample) -> Message:
    """Return what TFDV takes for the rule, without the counts that another set need not have."""
    import tensorflow_data_validation as tfdv

    schema = tfdv.infer_schema(sample.statistics, infer_feature_shape=False)
    for feature in schema.feature:
        feature.presence.ClearField("min_count")
    return schema


def compare(
    schema: Message,
    reference: Sample,
    current: Sample,
    alarm: float,
    seed: int,
    skew: bool = False,
) -> Message:
    """Return TFDV's anomalies of a sample, with limits for the sizes of both.

    Args:
        schema: What the reference follows; it gets the limits.
        reference: What it is compared with.
        current: Counted between the edges of the reference.
        alarm: Share of samples of the same population with an anomaly at most.
        seed: Of the draws that limits are taken from.
        skew: Whether the reference is the training split: TFDV then calls a difference skew.
    """
    import tensorflow_data_validation as tfdv

    set_limits(schema, reference, current, alarm, seed, skew)
    if skew:
        return tfdv.validate_statistics(
            reference.statistics, schema, serving_statistics=current.statistics
        )
    return tfdv.validate_statistics(
        current.statistics, schema, previous_statistics=reference.statistics
    )


def set_limits(
    schema: Message, reference: Sample, current: Sample, alarm: float, seed: int, skew: bool
) -> None:
    """Write into a schema how far the sample may be from the reference by chance."""
    known = reference.features()
    sizes = (reference.patients, current.patients)
    # How much, and how many have it: two questions a feature.
    each = alarm / (2 * max(len(known), 1))
    rng = np.random.default_rng(seed)
    for feature in schema.feature:
        feature.ClearField("drift_comparator")
        feature.ClearField("skew_comparator")
        # It counts patients and is compared with nothing: it is the same for all images of a
        # patient, so that a few patients with many images would differ by more than the limit.
        if feature.name not in known or feature.name == COUNTED:
            continue
        comparator = feature.skew_comparator if skew else feature.drift_comparator
        found = known[feature.name]
        if feature.presence.min_fraction or share_present(found) < 1:
            share = share_present(found)
            feature.presence.min_fraction = presence_limit(share, sizes, each)
        if standard(found):
            limit = divergence_limit(counts_of(found), sizes, each, rng)
            comparator.jensen_shannon_divergence.threshold = limit
        elif words := words_of(found):
            comparator.infinity_norm.threshold = norm_limit(list(words.values()), sizes, each)
            alone = sum(count == 1 for count in words.values())
            # Values that came once are as frequent as those that have not come yet (Good, 1953).
            unseen = (alone + 3 * np.sqrt(alone)) / max(sum(words.values()), 1)
            feature.distribution_constraints.min_domain_mass = max(0.0, 1 - unseen)
