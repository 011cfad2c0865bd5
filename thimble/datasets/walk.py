"""Every file below a folder, once: links followed, loops and unreadable folders told."""

import os
from collections.abc import Iterator

__all__ = ["walk_files"]


def walk_files(folder: str) -> Iterator[tuple[str, str]]:
    """Yield (path, trouble) of every file below a folder, sorted within each folder.

    Args:
        folder: Where to look; links to folders are followed.

    Yields:
        A file with no trouble, or what cannot be looked at and why. Hidden files are left out.
    """
    state = os.stat(folder)
    yield from _walk(folder, {(state.st_dev, state.st_ino)})


def _walk(folder: str, seen: set[tuple[int, int]]) -> Iterator[tuple[str, str]]:
    """Walk a folder; `seen` are the folders that were met before, itself among them."""
    try:
        with os.scandir(folder) as listed:
            entries = sorted(listed, key=lambda entry: entry.name)
    except OSError as error:
        yield folder, f"folder cannot be listed ({error.strerror}). Give this user the right to"
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        try:
            state = entry.stat()
            is_folder, is_file = entry.is_dir(), entry.is_file()
        except OSError as error:
            yield entry.path, f"cannot be opened ({error.strerror}): a link that leads nowhere?"
            continue
        if is_folder:
            place = (state.st_dev, state.st_ino)
            if place in seen:
                yield entry.path, "link leads to a folder that is read already. Remove the link"
            else:
                seen.add(place)
                yield from _walk(entry.path, seen)
        elif is_file:
            yield entry.path, ""
        else:
            yield entry.path, "neither file nor folder (a pipe or a device). Remove it"
