"""The step that ends a run whose data set is not fit for training, and the condition before it.

validate itself ends well, so that its page and its anomalies are kept. A condition that is false
skips what is inside and the run succeeds: so there is a step that fails, with the reason.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

from kfp import dsl

from thimble.stage import stage

__all__ = ["only_if_fit", "refuse"]


@stage("validate")
def refuse(validation: dsl.Input[dsl.Artifact]) -> None:
    """Fail with the reason for which validate refused the data set."""
    from components.validate.refusal import RefusalConfig, refuse_dataset
    from thimble.stage import start

    with start("refuse", RefusalConfig, locals(), [validation.path]):
        refuse_dataset(validation.path)


@contextlib.contextmanager
def only_if_fit(valid: Any) -> Iterator[None]:
    """Put what the block builds under the condition that validate passed.

    Args:
        valid: The task of validate.
    """
    with dsl.If(valid.outputs["verdict"] != "passed"):
        refuse(validation=valid.outputs["validation"])
    with dsl.Else():
        yield
