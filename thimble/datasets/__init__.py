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


def _dicom(options: SourceOptions) -> Reader:
    """Open DICOM; its packages are loaded for it alone."""
    from thimble.datasets.dicom import DicomReader

    return DicomReader(options)


def _nifti(options: SourceOptions) -> Reader:
    """Open NIfTI; its packages are loaded for it alone."""
    from thimble.datasets.nifti import NiftiReader

    return NiftiReader(options)


DATASETS: dict[str, Callable[[SourceOptions], Reader]] = {
    "dicom": _dicom,
    "instances": InstancesReader,
    "isbi2012": Isbi2012Reader,
    "nifti": _nifti,
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
