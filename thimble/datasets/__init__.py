"""Kinds of data sets by name; a new kind is one file here and one line below."""

from collections.abc import Callable

from thimble.datasets.instances import InstancesReader
from thimble.datasets.isbi2012 import Isbi2012Reader
from thimble.datasets.paired import PairedReader
from thimble.datasets.phantom_membranes import PhantomMembranesReader
from thimble.datasets.phantom_nuclei import PhantomNucleiReader
from thimble.datasets.source import Reader, SourceOptions
from thimble.stage import BadInput

__all__ = ["DATASETS", "open_source"]

DATASETS: dict[str, Callable[[SourceOptions], Reader]] = {
    "instances": InstancesReader,
    "isbi2012": Isbi2012Reader,
    "paired": PairedReader,
    "phantom_membranes": PhantomMembranesReader,
    "phantom_nuclei": PhantomNucleiReader,
}


def open_source(kind: str, options: SourceOptions) -> Reader:
    """Return the reader of a kind of data set.

    Raises:
        BadInput: If the kind is unknown.
    """
    if kind not in DATASETS:
        raise BadInput(f"Unknown kind of data set {kind!r}. Known: {', '.join(sorted(DATASETS))}.")
    return DATASETS[kind](options)
