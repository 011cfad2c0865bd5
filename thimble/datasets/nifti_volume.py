"""Volumes as nibabel reads them, slab by slab: NIfTI-1 and -2, Analyze, MGH, PAR/REC and others.

A volume is never held twice. What is not compressed is read from where it lies; what is packed by
gzip is unpacked once, into memory if it is small, else into a temporary file.
"""

import gzip
import logging
import math
import os
import tempfile
import warnings
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any, BinaryIO, cast

import nibabel as nib
import numpy as np
from nibabel.arrayproxy import ArrayProxy
from nibabel.openers import Opener
from numpy.typing import NDArray

from thimble.stage import BadInput

__all__ = ["SUFFIXES", "Volume", "open_volume", "whole_numbers"]

logging.getLogger("nibabel").disabled = True
SUFFIXES = (".nii", ".nii.gz", ".mgh", ".mgz", ".par", ".img", ".img.gz", ".hdr", ".mnc")
IN_MEMORY = 2**28
CHUNK = 2**22
MOST_SLICE = 2**28


@contextmanager
def _readable(what: str) -> Iterator[None]:
    """Turn whatever a reader of damaged files raises into one sentence.

    Raises:
        BadInput: In place of any error.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except BadInput:
        raise
    except MemoryError:
        raise BadInput(f"{what} needs more memory than there is.") from None
    except FileNotFoundError:
        raise BadInput(
            f"{what} cannot be read: its second part (.img beside .hdr, .REC beside .PAR) is "
            "missing. Copy both."
        ) from None
    except OSError as error:
        cause = error.strerror or type(error).__name__
        raise BadInput(f"{what} cannot be read ({cause}). Copy the file again.") from None
    except Exception as error:
        raise BadInput(
            f"{what} cannot be read ({type(error).__name__}). Expected a whole volume that nibabel "
            "reads (NIfTI, Analyze, MGH, PAR/REC): export it again or remove it."
        ) from None


class Volume:
    """A volume on disk, its voxels in the order of the file.

    Attributes:
        shape: Of all axes, the first three of them in space.
        affine: `(4, 4)`: voxel to millimetres right, anterior, superior.
        known: Whether the file says how voxels lie (else axes are taken as right, anterior,
            superior).
    """

    def __init__(self, image: Any) -> None:
        """Bind an image of nibabel."""
        self._image = image
        self._proxy = image.dataobj
        self.shape: tuple[int, ...] = tuple(int(side) for side in image.shape)
        self.affine = np.array(image.affine, np.float64)
        header = image.header
        named = set(header.keys()) if hasattr(header, "keys") else set()
        codes = [header[name] for name in ("qform_code", "sform_code") if name in named]
        self.known = not codes or any(int(code) > 0 for code in codes)

    @property
    def window(self) -> tuple[float, float] | None:
        """What the file says to show black and white (cal_min, cal_max of NIfTI)."""
        header = self._image.header
        if not hasattr(header, "keys") or "cal_max" not in header.keys():
            return None
        low, high = float(header["cal_min"]), float(header["cal_max"])
        return (low, high) if low < high else None

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the values in the file, before slope and intercept."""
        return np.dtype(self._image.get_data_dtype())

    @cached_property
    def spacing(self) -> tuple[float, ...]:
        """Millimetres between voxels along the three axes."""
        return tuple(float(side) for side in np.sqrt((self.affine[:3, :3] ** 2).sum(0)))

    @cached_property
    def _unpacked(self) -> Any:
        """The file's voxels: ("file", open file), ("bytes", buffer) or ("array", array)."""
        proxy = self._proxy
        plain = type(proxy) is ArrayProxy and not proxy.dtype.hasobject
        if not plain or proxy.dtype.names:
            return "array", np.asanyarray(proxy)
        wanted = proxy.offset + math.prod(proxy.shape) * proxy.dtype.itemsize
        name = str(getattr(proxy.file_like, "name", proxy.file_like))
        with _opened(name) as packed:
            if not packed:
                if os.path.getsize(name) < wanted:
                    raise BadInput(_cut(os.path.getsize(name), wanted))
                return "file", name
            if wanted <= IN_MEMORY:
                data = _exactly(packed, wanted)
                return "bytes", data
            spill = tempfile.TemporaryFile()  # noqa: SIM115  (lives as long as the volume)
            weakref.finalize(self, spill.close)
            _copy(packed, spill, wanted)
            return "spill", spill

    def slab(self, axis: int, index: int, volume: int = 0) -> NDArray[Any]:
        """Return one slice.

        Args:
            axis: The axis that the slice does not have: 0, 1 or 2.
            index: Along it.
            volume: Along all further axes, counted as the file stores them.

        Returns:
            Two axes in the order of the file; scaled by the file's slope and intercept.

        Raises:
            BadInput: If the file is cut or damaged.
        """
        at = (slice(None),) * axis + (index,)
        with _readable("The volume"):
            where, data = self._unpacked
            if where == "array":
                flat = data.reshape(*self.shape[:3], -1, order="F")
                return np.asarray(flat[..., volume][at])
            view = self._view(where, data)
            raw = view[..., volume][at]
            raw = np.array(raw, raw.dtype.newbyteorder("="), order="K")
            slope, intercept = self._proxy.slope, self._proxy.inter
            if (slope, intercept) in ((1, 0), (None, None)):
                return raw
            wide = raw.dtype.itemsize > 2 and raw.dtype != np.float32
            scaled: NDArray[Any] = raw.astype(np.float64 if wide else np.float32)
            scaled *= slope
            scaled += intercept
            return scaled

    def _view(self, where: str, data: Any) -> NDArray[Any]:
        """Return all voxels as (x, y, z, rest) without reading them."""
        proxy = self._proxy
        order: Any = getattr(proxy, "order", "F")
        shape: Any = (*self.shape[:3], math.prod(self.shape[3:]))
        if where == "bytes":
            flat = np.frombuffer(data, proxy.dtype, math.prod(shape), proxy.offset)
            return flat.reshape(shape, order=order)
        # Mapped for each slice anew: pages that were read leave the process with the mapping.
        return np.memmap(data, proxy.dtype, "r", proxy.offset, shape, order)


@contextmanager
def _opened(name: str) -> Iterator[BinaryIO | None]:
    """Open a packed file; None if it is not packed."""
    with open(name, "rb") as plain:
        packed = plain.read(2) == b"\x1f\x8b"
        other = os.path.splitext(name)[1].lower() in (".bz2", ".zst")
        if packed:
            plain.seek(0)
            with gzip.open(plain) as unpacked:
                yield cast(BinaryIO, unpacked)
        elif other:
            with Opener(name) as unpacked:
                yield unpacked
        else:
            yield None


def _cut(held: int, wanted: int) -> str:
    """Return what to say of a file that is too short."""
    return (
        f"The volume is cut: its voxels end after {held:,} bytes. Expected {wanted:,}: copy or "
        "export it again."
    )


def _exactly(stream: BinaryIO, wanted: int) -> bytes:
    """Read so many bytes and no more, however far a hostile archive unpacks."""
    data = stream.read(wanted)
    if len(data) < wanted:
        raise BadInput(_cut(len(data), wanted))
    return data


def _copy(stream: BinaryIO, to: Any, wanted: int) -> None:
    """Copy so many bytes."""
    done = 0
    while done < wanted:
        chunk = stream.read(min(CHUNK, wanted - done))
        if not chunk:
            raise BadInput(_cut(done, wanted))
        to.write(chunk)
        done += len(chunk)
    to.flush()


def open_volume(path: str) -> Volume:
    """Read the header of a volume.

    Args:
        path: A local file.

    Raises:
        BadInput: If nibabel cannot read it, or it is no volume in space.
    """
    with _readable("The file"):
        if os.path.getsize(path) == 0:
            raise BadInput("The file is empty (0 bytes). Copy it again or remove it.")
        image: Any = nib.load(path)
        shape = tuple(getattr(image, "shape", ()))
        spatial = len(shape) in (3, 4, 5) and getattr(image, "affine", None) is not None
        if not spatial or min(shape) < 1:
            raise BadInput(
                f"The file holds no volume in space: its shape is {shape}. Expected three or four "
                "axes."
            )
        if math.prod(sorted(shape[:3])[1:]) > MOST_SLICE:
            raise BadInput(
                f"The header declares slices of more than {MOST_SLICE:,} voxels: the file is "
                "damaged or hostile; remove it."
            )
        if not np.isfinite(image.affine).all() or abs(np.linalg.det(image.affine[:3, :3])) < 1e-9:
            raise BadInput(
                "The affine of the volume is singular or not finite. Expected voxels with a size: "
                "correct the header (sform, qform, pixdim)."
            )
        return Volume(image)


def whole_numbers(label: NDArray[Any]) -> NDArray[Any]:
    """Return a label of any type as uint8 or uint16, if that loses nothing.

    Raises:
        BadInput: If a value is no whole number in [0, 65535].
    """
    if label.dtype.kind not in "iufb":
        raise BadInput(f"The label holds values of the type {label.dtype}. Expected numbers.")
    if label.dtype.kind == "f":
        rounded = np.rint(label)
        if not np.isfinite(label).all() or np.abs(label - rounded).max(initial=0) > 1e-3:
            raise BadInput(
                "The label holds values that are no whole numbers (NaN, or interpolated). Expected "
                "class numbers: resample labels by the nearest neighbour."
            )
        label = rounded
    low, high = label.min(initial=0), label.max(initial=0)
    if low < 0 or high > 65535:
        raise BadInput(
            f"The label holds values from {low} to {high}. Expected whole numbers in [0, 65535]."
        )
    return label.astype(np.uint8 if high < 256 else np.uint16)
