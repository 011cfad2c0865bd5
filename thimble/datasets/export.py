"""Phantoms as files, for people and for the kinds that read folders."""

from pathlib import Path

from PIL import Image

from thimble.artifact import write_atomically
from thimble.datasets import DATASETS, open_source
from thimble.datasets.source import Refusal, SourceOptions
from thimble.stage import BadInput

__all__ = ["write_phantom"]


def write_phantom(folder: str | Path, kind: str, images: int, size: int, seed: int) -> int:
    """Write a phantom as PNG files: images/ + labels/.

    Ingest reads membranes back as kind `isbi2012` and nuclei as kind `instances`.

    Args:
        folder: Made by this call; must not exist or be empty.
        kind: `phantom_membranes` or `phantom_nuclei`.
        images: How many, >= 1.
        size: Side in pixels, in [32, 4096].
        seed: Of the generator.

    Returns:
        Number of images.

    Raises:
        BadInput: If the folder holds something, or the kind is no phantom.
    """
    folder = Path(folder)
    phantoms = [name for name in sorted(DATASETS) if name.startswith("phantom_")]
    if kind not in phantoms:
        raise BadInput(f"{kind!r} is no phantom. Known: {', '.join(phantoms)}.")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadInput(f"{folder} is not empty. Choose a new folder for the phantom.")
    reader = open_source(kind, SourceOptions(images=images, size=size, seed=seed))
    cases, _ = reader.cases()
    with write_atomically(folder) as partial:
        (partial / "images").mkdir(parents=True)
        (partial / "labels").mkdir()
        for case in cases:
            for sample in reader.read(case):
                if isinstance(sample, Refusal):
                    continue
                Image.fromarray(sample.image[..., 0]).save(partial / "images" / f"{sample.id}.png")
                Image.fromarray(sample.label).save(partial / "labels" / f"{sample.id}.png")
    return len(cases)
