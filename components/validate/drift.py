"""The comparison with the data set of the last release, and of the splits with each other."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from components.validate.comparison import (
    Message,
    Sample,
    compare,
    infer_schema,
    recount,
    sample_of,
    sample_of_statistics,
)
from components.validate.config import DriftConfig
from components.validate.features import Row
from components.validate.judge import Anomaly, distances, explain
from thimble.stage import BadInput

__all__ = ["FILES", "Drift", "judge_rows"]

FILES = {"schema": "schema.pbtxt", "statistics": "statistics.binpb", "anomalies": "anomalies.pbtxt"}
# With fewer patients no difference is more than chance.
LEAST_PATIENTS = 10


@dataclass(frozen=True)
class Drift:
    """What the comparison found.

    Attributes:
        schema: What the next data set has to follow.
        sample: The data set, counted between edges of its own: the next reference.
        anomalies: Everything that is not as it was.
        message: TFDV's anomalies; None without a reference.
        reference: The data set of the last release; None at the first.
        current: The data set, counted between the edges of the reference.
    """

    schema: Message
    sample: Sample
    anomalies: list[Anomaly] = field(default_factory=list)
    message: Message | None = None
    reference: Sample | None = None
    current: Sample | None = None

    @property
    def distance(self) -> float:
        """The largest difference of a feature over its limit; 0 without a reference."""
        found = {} if self.message is None else distances(self.message)
        return max(found.values(), default=0.0)

    def write(self, folder: Path) -> None:
        """Write schema, statistics and anomalies as TFDV reads them."""
        from google.protobuf import text_format
        from tensorflow_metadata.proto.v0 import anomalies_pb2

        def text(message: Message) -> str:
            return str(text_format.MessageToString(message))

        message = anomalies_pb2.Anomalies() if self.message is None else self.message
        (folder / FILES["schema"]).write_text(text(self.schema), encoding="utf-8")
        (folder / FILES["anomalies"]).write_text(text(message), encoding="utf-8")
        statistics = self.sample.statistics.SerializeToString(deterministic=True)
        (folder / FILES["statistics"]).write_bytes(statistics)


def judge_rows(
    rows: Sequence[Row],
    splits: Sequence[str],
    reference: str | Path | None,
    config: DriftConfig,
    frozen: bool = False,
) -> Drift:
    """Compare the images of a data set with those of the last release.

    Args:
        rows: The completed table.
        splits: Where each image lies.
        reference: Folder with schema and statistics of the last release; None at the first.
        config: How far it may be away.
        frozen: Whether the test split is that of the last release: it says nothing of what is new,
            so it is not compared.

    Raises:
        BadInput: If the reference cannot be read.
    """
    sample = sample_of(rows)
    own = infer_schema(sample)
    skewed = _judge_splits(rows, splits, config)
    if reference is None:
        return Drift(own, sample, skewed)
    schema, known = read_reference(reference)
    others = [row for row, split in zip(rows, splits, strict=True) if split != "test"]
    compared = others if frozen else rows
    current = recount(sample_of(compared) if frozen else sample, compared, known.edges())
    message = compare(schema, known, current, config.false_alarm_share, config.seed)
    found = explain(message, known, current, config.accepted)
    schema = _renewed(schema, own, {each.feature for each in found if not each.fails})
    return Drift(schema, sample, [*found, *skewed], message, known, current)


def read_reference(folder: str | Path) -> tuple[Message, Sample]:
    """Read the schema and the statistics of the last release.

    Raises:
        BadInput: If a file is missing or damaged.
    """
    from google.protobuf import text_format
    from google.protobuf.message import DecodeError
    from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

    try:
        text = (Path(folder) / FILES["schema"]).read_text(encoding="utf-8")
        schema = text_format.Parse(text, schema_pb2.Schema())
        data = (Path(folder) / FILES["statistics"]).read_bytes()
        statistics = statistics_pb2.DatasetFeatureStatisticsList.FromString(data)
        return schema, sample_of_statistics(statistics)
    except (OSError, UnicodeDecodeError, text_format.ParseError, DecodeError, LookupError) as error:
        raise BadInput(
            f"the reference {folder} cannot be read ({error}). Expected schema.pbtxt and "
            "statistics.binpb of validate, as a release holds them. Name another release."
        ) from None


def _judge_splits(rows: Sequence[Row], splits: Sequence[str], config: DriftConfig) -> list[Anomaly]:
    """Compare validation and test with the training split."""
    inside = np.array([split == "train" for split in splits])
    training = [row for row, here in zip(rows, inside, strict=True) if here]
    others = [row for row, here in zip(rows, inside, strict=True) if not here]
    if not training or not others:
        return []
    known = sample_of(training)
    other = sample_of(others)
    other = recount(other, others, known.edges())
    if min(known.patients, other.patients) < LEAST_PATIENTS:
        return []
    schema = infer_schema(known)
    alarm = config.false_alarm_share
    message = compare(schema, known, other, alarm, config.seed, skew=True)
    return [
        replace(each, kind="skew", fails=config.fail_on_skew and each.fails)
        for each in explain(message, known, other, config.accepted)
    ]


def _renewed(reference: Message, own: Message, changed: set[str]) -> Message:
    """Return the schema of the reference with what was accepted, or is new, from the data set's."""
    schema = type(own)()
    kept = {feature.name for feature in reference.feature} - changed
    for source, wanted in ((reference, kept.__contains__), (own, lambda name: name not in kept)):
        schema.feature.extend(each for each in source.feature if wanted(each.name))
        schema.string_domain.extend(each for each in source.string_domain if wanted(each.name))
    return schema
