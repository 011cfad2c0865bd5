"""Checks the parameters of every stage with the stage's own rules before the first one starts.

The rules are in the modules of the algorithms, whose imports take seconds and hundreds of
megabytes, so they are loaded in a process of their own: `python -m pipelines.checks`.
"""

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from pipelines.processes import end_with_parent
from thimble.stage import BadInput, ThimbleError, flat_fields, from_flat

__all__ = ["check_configs", "check_task"]

REFUSED = 2


def check_configs(tasks: Mapping[str, tuple[str, Mapping[str, Any]]]) -> None:
    """Build the config of every task.

    Args:
        tasks: Stage and parameters by task.

    Raises:
        BadInput: If a stage refuses its parameters.
    """
    command = [sys.executable, "-P", "-m", "pipelines.checks"]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        command,
        input=json.dumps(tasks),
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    if done.returncode == REFUSED:
        raise BadInput(done.stdout.strip())
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no explanation"]
        raise ThimbleError(f"the parameters cannot be checked: {lines[-1]}")


def check_task(stage: str, arguments: Mapping[str, Any]) -> None:
    """Build the config of one stage.

    Raises:
        BadInput: If a value is out of range.
    """
    module = importlib.import_module(f"components.{stage}.{stage}")
    config = getattr(module, f"{stage.capitalize()}Config")
    from_flat(config, {**flat_fields(config), **arguments})


def main() -> int:
    """Check what comes on stdin; a refusal goes to stdout."""
    end_with_parent()
    for task, (stage, arguments) in json.load(sys.stdin).items():
        try:
            check_task(stage, arguments)
        except BadInput as error:
            print(f"{task}: {error}")
            return REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main())
