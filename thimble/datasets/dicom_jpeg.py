"""JPEG of more than 8 bits and lossless JPEG for pydicom, by libjpeg-turbo.

pydicom's own plugin for these is under the GPL; libjpeg-turbo (IJG and BSD licences) reads the same
processes: extended with 12 bits (2 and 4) and lossless with 2 to 16 (14, selection values 1 to 7).
"""

import struct
from typing import Any

import numpy as np
from pydicom.pixels.decoders import (
    JPEGExtended12BitDecoder,
    JPEGLosslessDecoder,
    JPEGLosslessSV1Decoder,
)
from pydicom.pixels.decoders.base import DecodeRunner

__all__ = ["codestream_size", "register"]

NAME = "libjpeg-turbo"
DECODER_DEPENDENCIES: dict[str, tuple[str, ...]] = {}
# Start of frame: baseline, extended, progressive, lossless, and those of arithmetic coding; 0xF7
# is JPEG-LS.
FRAMES = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF, 0xF7}
LOSSLESS, SCAN = 0xC3, 0xDA
BARE = {0x01, *range(0xD0, 0xD9)}


def is_available(uid: str) -> bool:
    """Return whether a transfer syntax can be decoded, as pydicom asks its plugins."""
    return True


def _segments(data: bytes) -> dict[int, bytes]:
    """Return the payload of the marker segments of a JPEG, up to that of the first scan.

    Source: ITU-T T.81, B.1.1.
    """
    found: dict[int, bytes] = {}
    place = 2
    while place + 4 <= len(data) and SCAN not in found:
        if data[place] != 0xFF:
            break
        marker = data[place + 1]
        if marker == 0xFF or marker in BARE:
            place += 1 if marker == 0xFF else 2
            continue
        (length,) = struct.unpack_from(">H", data, place + 2)
        found.setdefault(marker, data[place + 4 : place + 2 + length])
        place += 2 + length
    return found


def codestream_size(data: bytes) -> tuple[int, int] | None:
    """Return (rows, columns) that a JPEG, JPEG-LS or JPEG 2000 codestream says of itself.

    Args:
        data: One encoded frame.

    Returns:
        None if it is none of these.

    Source: ITU-T T.81, B.2.2; T.87, C.2.2; T.800, A.5.1.
    """
    if data[:4] == b"\xff\x4f\xff\x51" and len(data) >= 24:
        right, bottom, left, top = struct.unpack_from(">4I", data, 8)
        return bottom - top, right - left
    if data[:2] != b"\xff\xd8":
        return None
    for marker, payload in _segments(data).items():
        if marker in FRAMES and len(payload) >= 5:
            rows, columns = struct.unpack_from(">HH", payload, 1)
            return rows, columns
    return None


def _check_scan(data: bytes) -> None:
    """Refuse a sequential scan that does not cover all coefficients (T.81, B.2.3), and a cut."""
    segments = _segments(data)
    scan = segments.get(SCAN, b"")
    frame = next((payload for marker, payload in segments.items() if marker in FRAMES), b"")
    if not scan or len(frame) < 6:
        raise ValueError("the JPEG has no image")
    if LOSSLESS not in segments and 0xC2 not in segments and scan[-3:] != b"\x00\x3f\x00":
        raise ValueError("the JPEG's scan does not cover all coefficients")
    if b"\xff\xd9" not in data[-16:]:
        raise ValueError("the JPEG has no end")


def _decode_frame(data: bytes, runner: DecodeRunner) -> bytearray:
    """Decode a frame, as pydicom asks its plugins."""
    import imagecodecs

    _check_scan(data)
    segments = _segments(data)
    frame = next(payload for marker, payload in segments.items() if marker in FRAMES)
    # Colours as they are stored: pydicom converts them by what the header says.
    spaces: Any = {"colorspace": "RGB", "outcolorspace": "RGB"} if frame[5] == 3 else {}
    pixels = imagecodecs.jpeg8_decode(data, **spaces)
    if runner.pixel_representation == 1:
        # A JPEG knows no sign: its precision says which bit is the highest.
        spare = 8 * pixels.dtype.itemsize - frame[0]
        pixels = (pixels << spare).view(f"i{pixels.dtype.itemsize}") >> spare
    runner.set_option("bits_allocated", 8 * pixels.dtype.itemsize)
    runner.set_option("planar_configuration", 0)
    return bytearray(np.ascontiguousarray(pixels).tobytes())


def register() -> None:
    """Tell pydicom of this decoder; a second call changes nothing."""
    for decoder in (JPEGExtended12BitDecoder, JPEGLosslessDecoder, JPEGLosslessSV1Decoder):
        if NAME not in decoder._available:
            decoder.add_plugin(NAME, (__name__, "_decode_frame"))
