"""The basis of a release: what the next training starts from. It holds scans, so it stays private.

basis.json    what was released
model/        the uncompressed network: the next training goes on from it
released/     the released packages as convert made them, to be scored beside their successors
validation/   schema and statistics of the data, to compare new data with
frozen/       the Dataset with the records of the test split alone, and who was in which split
"""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from thimble.artifact import read_json, write_atomically, write_json
from thimble.store import Store

__all__ = ["fill_basis", "freeze_dataset", "upload_basis"]

FORMAT = "thimble-basis/1"
# What is released is told from this side; the model card and the manifest are in the release.
OF_ALL = ("model.thimble", "layers.json", "history.json")


def fill_basis(
    folder: Path,
    inputs: Mapping[str, str | Path | None],
    chosen: Sequence[Mapping[str, Any]],
    name: str,
) -> bool:
    """Write the basis of a release; equal inputs give equal bytes.

    Args:
        folder: Appears when it is whole.
        inputs: Folders by name: `baseline` (Model), `dataset`, `validation`, and the converted
            packages of each branch.
        chosen: What is released, candidates of verdict.json; the first is what successors are
            compared with.
        name: Of the model.

    Returns:
        Whether there is one: without network, data set and validation there is not.
    """
    parts = {part: inputs.get(part) for part in ("baseline", "dataset", "validation")}
    if not all(parts.values()):
        return False
    main = chosen[0]
    with write_atomically(folder) as partial:
        partial.mkdir()
        shutil.copytree(str(parts["baseline"]), partial / "model")
        shutil.copytree(str(parts["validation"]), partial / "validation")
        freeze_dataset(Path(str(parts["dataset"])), partial / "frozen")
        variants = [each["variant"] for each in chosen if each["branch"] == main["branch"]]
        _copy_released(Path(str(inputs[main["branch"]])), partial / "released", variants)
        described = {
            "format": FORMAT,
            "model": name,
            "package": main["name"],
            "variant": main["variant"],
        }
        write_json(partial / "basis.json", described)
    return True


def upload_basis(folder: Path, store: Store, place: str) -> None:
    """Put a basis into a private bucket; what is there already stays.

    Args:
        folder: What `fill_basis` wrote.
        store: Where to.
        place: Folder inside it.
    """
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        store.upload(file, f"{place}/{file.relative_to(folder).as_posix()}")


def freeze_dataset(dataset: Path, folder: Path) -> None:
    """Copy a Dataset without the records of train and validation.

    Args:
        dataset: The artifact.
        folder: A new one.
    """
    folder.mkdir()
    spec = read_json(dataset / "dataset.json")
    spec["shards"] = {
        split: names if split == "test" else [] for split, names in spec["shards"].items()
    }
    if objects := spec.pop("objects", None):
        # Digests of shards that lie in a store.
        spec["objects"] = {
            each: objects[each] for each in spec["shards"]["test"] if each in objects
        }
    write_json(folder / "dataset.json", spec)
    listed = dataset / "cases.jsonl"
    # A shard with an address stays where it is.
    shards = [dataset / name for name in spec["shards"]["test"] if "://" not in name]
    for file in [*([listed] if listed.exists() else []), *shards]:
        shutil.copyfile(file, folder / file.name)


def _copy_released(converted: Path, folder: Path, variants: list[str]) -> None:
    """Copy the packages that were released out of those that convert made."""
    folder.mkdir()
    rows = [row for row in read_json(converted / "variants.json") if row["variant"] in variants]
    write_json(folder / "variants.json", rows)
    for name in [*OF_ALL, *(row["file"] for row in rows)]:
        shutil.copyfile(converted / name, folder / name)
