"""The end of a run whose data set is not fit for training: a failure that says why."""

from dataclasses import dataclass
from pathlib import Path

from thimble.artifact import read_json
from thimble.stage import GateFailed

__all__ = ["RefusalConfig", "refuse_dataset"]


@dataclass(frozen=True)
class RefusalConfig:
    """There is nothing to choose: validate has decided."""


def refuse_dataset(validation: str | Path) -> None:
    """Fail with the reason that validate wrote down.

    Args:
        validation: The artifact of validate.

    Raises:
        GateFailed: Always.
        BadInput: If the artifact cannot be read.
    """
    raise GateFailed(read_json(Path(validation) / "validation.json")["reason"])
