"""Which image each stage runs in on a cluster: source tags while developing, digests in a release.

images/images.lock names the image of every stage by the digest that the registry gave it. CI writes
it from what it pushed: `python -m pipelines.image_lock build/*.json > images/images.lock`.
"""

import json
import os
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from thimble.stage import BadInput, image

__all__ = ["format_lock", "image_references", "read_lock", "read_pushed"]

DIGEST = re.compile(r"\S+@sha256:[0-9a-f]{64}")
HEAD = "# Every stage's image by digest, as the registry has it. Written by `make images-lock`.\n"


def image_references(stages: Iterable[str], lock: Path | None = None) -> dict[str, str]:
    """Return the full image reference of every stage.

    Args:
        stages: Their names.
        lock: images.lock of a release. Without it images carry their source tags, in the registry
            that THIMBLE_REGISTRY names.

    Raises:
        BadInput: If the lock is unreadable or lacks a stage.
    """
    if lock is None:
        registry = os.environ.get("THIMBLE_REGISTRY", "").rstrip("/")
        return {
            stage: f"{registry}/{image(stage)}" if registry else image(stage) for stage in stages
        }
    locked = read_lock(lock)
    missing = sorted(set(stages) - set(locked))
    if missing:
        raise BadInput(f"{lock} lacks {', '.join(missing)}. Push these images, write it again.")
    return {stage: locked[stage] for stage in stages}


def read_lock(path: Path) -> dict[str, str]:
    """Read `stage reference@sha256:...` lines.

    Raises:
        BadInput: If it is missing, or a line is not of that form.
    """
    if not path.is_file():
        raise BadInput(
            f"{path} does not exist. Expected images.lock, which `make images-lock` writes."
        )
    locked = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        stage, _, reference = line.partition(" ")
        if stage and not stage.startswith("#"):
            if not DIGEST.fullmatch(reference):
                raise BadInput(
                    f"{path}: {stage} must be followed by name@sha256:<64 hexadecimal digits>. "
                    f"Received: {reference!r}"
                )
            locked[stage] = reference
    return locked


def read_pushed(paths: Iterable[Path]) -> dict[str, str]:
    """Return references by stage from the metadata files of `docker buildx bake --push`.

    Raises:
        BadInput: If an image in them was not pushed, or is there twice with two digests.
    """
    found: dict[str, str] = {}
    for path in paths:
        for stage, pushed in json.loads(path.read_text(encoding="utf-8")).items():
            if stage.startswith("buildx."):  # bake's own remarks
                continue
            digest, name = pushed.get("containerimage.digest"), pushed.get("image.name", "")
            if not digest or not name:
                raise BadInput(f"{path}: {stage} has no digest. Build it with --push.")
            reference = f"{_repository(name.partition(',')[0])}@{digest}"
            if found.setdefault(stage, reference) != reference:
                raise BadInput(f"{path}: {stage} is {reference}, another file says {found[stage]}.")
    return found


def format_lock(references: Mapping[str, str]) -> str:
    """Return the text of images.lock."""
    return HEAD + "".join(f"{stage} {references[stage]}\n" for stage in sorted(references))


def _repository(name: str) -> str:
    """Return an image's name without its tag; a registry's port is no tag."""
    head, colon, tag = name.rpartition(":")
    return head if colon and "/" not in tag else name


if __name__ == "__main__":
    try:
        sys.stdout.write(format_lock(read_pushed(Path(argument) for argument in sys.argv[1:])))
    except (BadInput, OSError) as error:
        sys.exit(f"images-lock: {error}")
