"""Copies what a run made into an object store, where it outlives this machine.

`<url>/<run folder's name>/` holds the artifacts at the paths that they have in the run folder, and
`timings.json`, which lists them by task. It is written last: what it lists is there whole.
"""

from collections.abc import Iterable
from pathlib import Path

from pipelines.local import Outcome
from pipelines.run_folder import RunFolder
from thimble.store import Store, open_store

__all__ = ["Mirror"]

# Pages show scans to whoever opens them. They belong into the bucket of reports, where publish puts
# them (`publish.report_url`).
PAGE_SUFFIX = ".html"


class Mirror:
    """A run's place in the store."""

    def __init__(self, url: str, folder: Path) -> None:
        """Ask the store, so that a wrong address or key ends the run before it begins.

        Args:
            url: `s3://bucket/prefix`; the run's folder is made below it.
            folder: The run folder.

        Raises:
            ThimbleError: If the store cannot be used.
        """
        self._folder = RunFolder(folder)
        name = self._folder.root.name
        self._store: Store = open_store(f"{url.rstrip('/')}/{name}")
        self._store.read(self._folder.timings.name)

    def copy(self, outcome: Outcome) -> int:
        """Copy the artifacts of all tasks that ended well; return how many files there are.

        Raises:
            ThimbleError: If the store fails; the same again completes it.
        """
        artifacts = [
            path
            for found in outcome.outputs.values()
            for path in found.values()
            if path not in outcome.pages
        ]
        names = sorted(_files(artifacts, self._folder.root))
        self._store.upload_all(self._folder.root, dict.fromkeys(names, ""))
        for accounts in (self._folder.description, self._folder.timings):
            self._store.upload(accounts, accounts.name)
        return len(names)

    def __str__(self) -> str:
        return str(self._store.location)


def _files(artifacts: Iterable[Path], root: Path) -> set[str]:
    """Return the files of artifacts, relative to the run folder."""
    files: set[Path] = set()
    for path in artifacts:
        files |= {path} if path.is_file() else {each for each in path.rglob("*") if each.is_file()}
    return {
        each.relative_to(root).as_posix() for each in files if each.suffix.lower() != PAGE_SUFFIX
    }
