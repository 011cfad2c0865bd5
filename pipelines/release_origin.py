"""What publish is told about the run that it belongs to."""

import getpass
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.image_lock import image_references
from thimble.releases import now

__all__ = ["release_origin"]


def release_origin(
    parameters: Mapping[str, Mapping[str, Any]], groups: Mapping[str, Any], lock: Path | None = None
) -> dict[str, str]:
    """Return the images of the stages and, for a release in an object store, when and by whom.

    Args:
        parameters: Values by task and field.
        groups: The tasks of the pipeline.
        lock: images.lock of a release; None for images by their source tags.
    """
    references = image_references(sorted({group.stage for group in groups.values()}), lock)
    found = {"images": ",".join(f"{stage}={image}" for stage, image in references.items())}
    # Without a store nothing is ordered or logged, and equal runs have equal parameters.
    if parameters.get("publish", {}).get("release_url"):
        found |= {"run_started": now(), "submitted_by": getpass.getuser()}
    return found
