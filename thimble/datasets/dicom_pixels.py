"""Frames of a DICOM file as values of the scan: decoded, rescaled, colours resolved."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.pixels import apply_color_lut, apply_modality_lut, get_decoder

from thimble.datasets.dicom_header import frame_item
from thimble.datasets.dicom_jpeg import codestream_size, register
from thimble.stage import BadInput

__all__ = ["Frame", "decode_frame", "decode_frames", "load_dicom"]

register()


@dataclass(frozen=True)
class Frame:
    """One image before its values are made unsigned.

    Attributes:
        index: Place in the file, from 0.
        values: `(height, width)` grey values in units of the scan, or `(height, width, 3)` RGB.
        bits: That the stored values use.
        exact: Whether all values are whole numbers of at most 16 stored bits.
        limits: Smallest and largest value that the file could hold.
        dark_is_high: Whether the largest value is shown black (MONOCHROME1).
        window: Center, width and function of the file's window; None if it has none.
    """

    index: int
    values: NDArray[Any]
    bits: int
    exact: bool
    limits: tuple[float, float]
    dark_is_high: bool
    window: tuple[float, float, str] | None

    @property
    def colour(self) -> bool:
        """Whether the values are RGB."""
        return self.values.ndim == 3


def load_dicom(stream: BinaryIO) -> Dataset:
    """Read a whole DICOM file.

    Args:
        stream: As `thimble.datasets.dicom_header.open_dicom` gives it.
    """
    return pydicom.dcmread(stream)


def _check_codestreams(data: Dataset, frames: int) -> None:
    """Refuse codestreams of another size than the header's before they are given memory."""
    wanted = (int(data.Rows), int(data.Columns))
    for encoded in generate_frames(data.PixelData, number_of_frames=frames):
        found = codestream_size(encoded)
        if found not in (None, wanted):
            raise BadInput(
                f"The compressed image has {found} rows and columns, but the header says {wanted}. "
                "Expected equal sizes: export the file again or remove it."
            )


def decode_frame(data: Dataset, index: int) -> NDArray[Any]:
    """Return one frame as stored, `(height, width)`.

    Args:
        data: A whole file.
        index: Of the frame, from 0.
    """
    decoder = get_decoder(data.file_meta.TransferSyntaxUID)
    return decoder.as_array(data, index=index)[0]


def decode_frames(data: Dataset) -> Iterator[Frame]:
    """Decode the frames of a file one by one.

    Args:
        data: A whole file.

    Raises:
        BadInput: If what the file says does not fit together.
        Exception: Whatever pydicom and its codecs raise.
    """
    syntax = data.file_meta.TransferSyntaxUID
    frames = max(1, int(data.get("NumberOfFrames") or 1))
    if syntax.is_encapsulated:
        _check_codestreams(data, frames)
    count = 0
    # No copies: nothing below writes to what is stored.
    for stored, meta in get_decoder(syntax).iter_array(data, view_only=True):
        yield _frame(data, count, stored, meta)
        count += 1
    if count != frames:
        raise BadInput(f"The file holds {count} frames. Expected {frames}: export it again.")


def _frame(data: Dataset, index: int, stored: NDArray[Any], meta: dict[str, Any]) -> Frame:
    """Give a stored frame its units."""
    bits = int(meta.get("bits_stored") or 8 * stored.dtype.itemsize)
    photometric = str(meta["photometric_interpretation"])
    if photometric == "PALETTE COLOR":
        colours = apply_color_lut(stored, data)[..., :3]
        bits = 8 * colours.dtype.itemsize
        return Frame(index, colours, bits, True, (0, 2**bits - 1), False, None)
    if stored.ndim == 3:
        if stored.shape[2] != 3:
            raise BadInput(
                f"The image has {stored.shape[2]} samples a pixel. Expected grey or RGB."
            )
        return Frame(index, stored, bits, True, (0, 2**bits - 1), False, None)
    values, exact, limits = _rescale(data, index, stored, bits)
    dark_is_high = photometric == "MONOCHROME1"
    return Frame(index, values, bits, exact, limits, dark_is_high, _window(data, index))


def _rescale(
    data: Dataset, index: int, stored: NDArray[Any], bits: int
) -> tuple[NDArray[Any], bool, tuple[float, float]]:
    """Apply the modality LUT, or slope and intercept; PS3.3 C.11.1 and C.7.6.16.2.9."""
    if stored.dtype.kind == "f":
        return stored, False, (0.0, 0.0)
    if data.get("ModalityLUTSequence"):
        entries = 2 ** int(data.ModalityLUTSequence[0].LUTDescriptor[2])
        return apply_modality_lut(stored, data), True, (0, entries - 1)
    signed = stored.dtype.kind == "i"
    # Values above BitsStored do occur; then the container is the limit.
    if stored.size and int(stored.max()) >= 2 ** (bits - signed):
        bits = 8 * stored.dtype.itemsize
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    item = frame_item(data, index, "PixelValueTransformationSequence") or data
    slope = float(item.get("RescaleSlope") or 1)
    intercept = float(item.get("RescaleIntercept") or 0)
    if not (np.isfinite(slope) and np.isfinite(intercept)) or item.get("RescaleSlope") == 0:
        raise BadInput("The rescale slope is 0 or no number. Expected a finite slope above 0.")
    whole = slope.is_integer() and intercept.is_integer()
    exact = bits <= 16 and whole and max(abs(slope), abs(intercept)) < 2**15
    if (slope, intercept) == (1, 0):
        return stored, exact, (low, high)
    ends = sorted((low * slope + intercept, high * slope + intercept))
    if exact:
        scaled = stored if slope == 1 else np.multiply(stored, np.int32(slope), dtype=np.int32)
        values: NDArray[Any] = np.add(scaled, np.int32(intercept), dtype=np.int32)
    else:
        values = stored.astype(np.float32 if stored.dtype.itemsize <= 2 else np.float64)
        values *= slope
        values += intercept
    return values, exact, (ends[0], ends[1])


def _window(data: Dataset, index: int) -> tuple[float, float, str] | None:
    """Return the first window of a frame; PS3.3 C.11.2."""
    item = frame_item(data, index, "FrameVOILUTSequence") or data
    center, width = item.get("WindowCenter"), item.get("WindowWidth")
    if center is None or width is None:
        return None
    try:
        first = [
            float(value if isinstance(value, str | int | float) else value[0])
            for value in (center, width)
        ]
    except (TypeError, ValueError, IndexError):
        return None
    if not np.isfinite(first).all() or first[1] <= 0:
        return None
    return first[0], first[1], str(item.get("VOILUTFunction") or "LINEAR").strip().upper()
