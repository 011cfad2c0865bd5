"""Image files to arrays: PNG, TIFF and JPEG, 8 and 16 bit, grey, RGB, RGBA and palette."""

import hashlib
import os
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from thimble.stage import BadInput

__all__ = [
    "MAX_PIXELS",
    "SUFFIXES",
    "Header",
    "pixel_digest",
    "read_header",
    "read_image",
    "read_label",
]

SUFFIXES = (".png", ".tif", ".tiff", ".jpg", ".jpeg")
MAX_PIXELS = 2**28
# Pillow warns above its limit and refuses above twice the limit, from the header alone.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2

BROKEN = (OSError, SyntaxError, ValueError, EOFError, OverflowError, struct.error, zlib.error)
CHANNELS = {
    "1": 1,
    "L": 1,
    "LA": 1,
    "I;16": 1,
    "I;16B": 1,
    "I;16L": 1,
    "P": 3,
    "PA": 3,
    "RGB": 3,
    "RGBA": 3,
    "RGBX": 3,
}
TIFF_BITS_PER_SAMPLE, TIFF_SAMPLE_FORMAT = 258, 339
PNG_DEPTH_BYTE = 24


@dataclass(frozen=True)
class Header:
    """What an image file says before its pixels are decoded.

    Attributes:
        format: PNG, TIFF or JPEG.
        mode: Pillow's name of the layout, such as `L`, `RGBA` or `P`.
        height: Pixels.
        width: Pixels.
        channels: 1 or 3, without alpha.
        bits: Of one sample in the file: 1, 2, 4, 8 or 16.
    """

    format: str
    mode: str
    height: int
    width: int
    channels: int
    bits: int


@contextmanager
def _opened(path: str) -> Iterator[Image.Image]:
    """Open an image; whatever is wrong with the file becomes one clear sentence."""
    try:
        if os.path.getsize(path) == 0:
            raise BadInput(f"{path} is empty (0 bytes). Copy the file again or remove it.")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as image:
                yield image
    except Image.DecompressionBombError:
        raise BadInput(
            f"{path} declares more than {MAX_PIXELS:,} pixels. Expected a scan below that: the "
            "file is damaged or hostile; remove it, or cut the scan into parts."
        ) from None
    except BROKEN as error:
        raise BadInput(
            f"{path} cannot be read as an image ({error}). Expected a whole PNG, TIFF or JPEG "
            "file: export it again or remove it."
        ) from None


def _bits(path: str, image: Image.Image) -> int:
    """Return the bits of one sample in the file; Pillow's modes hide them for colour."""
    if image.format == "PNG":
        with open(path, "rb") as file:
            return file.read(PNG_DEPTH_BYTE + 1)[PNG_DEPTH_BYTE]
    if image.format == "TIFF":
        tags: Any = image.tag_v2  # type: ignore[attr-defined]
        if set(tags.get(TIFF_SAMPLE_FORMAT, (1,))) != {1}:
            raise BadInput(
                f"{path} holds signed or floating point samples. Expected unsigned 8 or 16 bit: "
                "rescale it and save it again."
            )
        return int(max(tags.get(TIFF_BITS_PER_SAMPLE, (1,))))
    return 8


def _header(path: str, image: Image.Image) -> Header:
    """Return the header of an open image."""
    if image.format not in ("PNG", "TIFF", "JPEG"):
        raise BadInput(f"{path} is a {image.format} file. Expected PNG, TIFF or JPEG.")
    pages = getattr(image, "n_frames", 1)
    if pages > 1:
        raise BadInput(f"{path} holds {pages} pages. Expected one image a file: split the stack.")
    bits = _bits(path, image)
    if image.mode not in CHANNELS or bits > 16:
        raise BadInput(
            f"{path} has the layout {image.mode} with {bits} bits a sample. Expected grey, RGB, "
            "RGBA or palette with 8 or 16 bits."
        )
    channels = CHANNELS[image.mode]
    return Header(image.format, image.mode, image.height, image.width, channels, bits)


def read_header(path: str) -> Header:
    """Return what the file says of itself, without decoding pixels.

    Raises:
        BadInput: If the file is no image of a supported kind, or too large.
    """
    with _opened(path) as image:
        return _header(path, image)


def _read_deep(path: str, header: Header) -> NDArray[np.uint16]:
    """Decode 16-bit colour, which Pillow would reduce to 8 bits, `(height, width, channels)`."""
    # From memory, because OpenCV opens no non-ASCII paths on some systems.
    pixels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint16:
        raise BadInput(
            f"{path} cannot be read as a 16-bit colour image. Expected a whole PNG or TIFF file: "
            "export it again or remove it."
        )
    pixels = pixels.reshape(header.height, header.width, -1)
    return pixels[..., :1] if header.channels == 1 else pixels[..., 2::-1]


def _decode(path: str) -> tuple[Header, NDArray[Any]]:
    """Return header and samples, `(height, width)` or `(height, width, samples)`."""
    with _opened(path) as image:
        header = _header(path, image)
        if header.bits == 16 and header.mode not in ("I;16", "I;16B", "I;16L"):
            if header.format == "PNG":
                image.load()  # OpenCV returns what there is of a truncated file
            return header, _read_deep(path, header)
        pixels = np.asarray(image)
    if pixels.dtype.kind == "u" and pixels.dtype.itemsize == 2:
        pixels = pixels.astype(np.uint16)  # big-endian TIFF
    return header, pixels


def read_image(path: str) -> NDArray[Any]:
    """Read a scan.

    Args:
        path: PNG, TIFF or JPEG; 8 or 16 bit (fewer bits are stretched to 8).

    Returns:
        `(height, width, 1 | 3)` uint8 or uint16; alpha is dropped, palettes are resolved.

    Raises:
        BadInput: If the file is empty, truncated, too large or of an unsupported layout.
    """
    header, pixels = _decode(path)
    if header.mode in ("P", "PA"):
        with _opened(path) as image:
            pixels = np.asarray(image.convert("RGBA"))
    if header.mode == "1":
        pixels = pixels.astype(np.uint8) * 255
    pixels = pixels.reshape(header.height, header.width, -1)
    return np.ascontiguousarray(pixels[..., : header.channels])


def read_label(path: str) -> NDArray[Any]:
    """Read a label: the raw values in the file (of a palette image the indices, not colours).

    Returns:
        `(height, width)` uint8 or uint16.

    Raises:
        BadInput: As `read_image`, or if the label is in colour.
    """
    header, pixels = _decode(path)
    if header.mode == "PA":
        raise BadInput(f"{path} is a palette label with alpha. Expected one value a pixel.")
    pixels = pixels.reshape(header.height, header.width, -1)
    colours = pixels[..., :3] if header.channels == 3 else pixels[..., :1]
    if (colours != colours[..., :1]).any():
        raise BadInput(
            f"Label {path} is in colour. Expected one value a pixel: save it as grey or palette."
        )
    label: NDArray[Any] = np.ascontiguousarray(pixels[..., 0]).astype(
        np.uint16 if header.bits > 8 else np.uint8
    )
    if header.mode == "L" and header.bits < 8:
        # Pillow stretches 2 and 4 bits to 8.
        label = np.floor_divide(label, 255 // (2**header.bits - 1))
    return label


def pixel_digest(image: NDArray[Any]) -> str:
    """Return the SHA-256 of pixels, equal for grey and for the same grey stored as RGB.

    Args:
        image: `(height, width, 1 | 3)` uint8 or uint16.
    """
    if image.shape[2] == 3 and (image == image[..., :1]).all():
        image = image[..., :1]
    digest = hashlib.sha256(f"{image.shape}{image.dtype.itemsize}".encode())
    digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()
