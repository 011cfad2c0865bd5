"""Which Python runs a stage on this machine: ours, or that of an environment of its own."""

from pathlib import Path
from typing import Any

from thimble.stage import BadInput, image

__all__ = ["ENVIRONMENTS", "find_interpreters"]

ROOT = Path(__file__).resolve().parents[1]
# As in images/images.yaml, which an installed wheel does not have beside it.
ENVIRONMENTS = {"validate": ".venv-validate"}


def find_interpreters(spec: Any, root: Path = ROOT) -> dict[str, str]:
    """Return the Python of every image of a pipeline whose packages exclude ours.

    Args:
        spec: The pipeline as kfp compiled it.
        root: Where setup made the environments.

    Returns:
        Python by image name without tag.

    Raises:
        BadInput: If an environment is not there.
    """
    executors = spec.deployment_spec["executors"].values()
    used = {executor["container"]["image"].split(":")[0] for executor in executors}
    found = {}
    for stage, folder in ENVIRONMENTS.items():
        name, python = image(stage).split(":")[0], root / folder / "bin" / "python"
        if name in used:
            if not python.exists():
                raise BadInput(
                    f"{stage} runs in an environment of its own. Expected its Python at {python}. "
                    "Run `make setup` in the checkout of Thimble, or use --runner docker."
                )
            found[name] = str(python)
    return found
