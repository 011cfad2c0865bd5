"""Every layout that scanners and editors write comes back as the numbers that went in."""

import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from thimble.datasets.pixels import pixel_digest, read_header, read_image, read_label
from thimble.stage import BadInput

RNG = np.random.default_rng(0)
GREY8 = RNG.integers(0, 256, (5, 7), dtype=np.uint8)
GREY16 = RNG.integers(0, 65536, (5, 7), dtype=np.uint16)
RGB8 = RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8)
RGB16 = RNG.integers(0, 65536, (5, 7, 3), dtype=np.uint16)


def _save16(path: Path, rgb: Any, alpha: bool = False) -> None:
    bgr = rgb[..., ::-1]
    if alpha:
        bgr = np.concatenate([bgr, np.full((5, 7, 1), 65535, np.uint16)], axis=2)
    path.write_bytes(cv2.imencode(path.suffix, bgr)[1].tobytes())


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_grey(tmp_path: Path, suffix: str) -> None:
    for array in (GREY8, GREY16):
        path = tmp_path / f"scan é 1{suffix}"
        Image.fromarray(array).save(path)
        read = read_image(str(path))
        assert read.dtype == array.dtype
        assert np.array_equal(read[..., 0], array)
        assert np.array_equal(read_label(str(path)), array)
        assert read_header(str(path)).bits == 8 * array.itemsize


def test_big_endian_tiff(tmp_path: Path) -> None:
    path = tmp_path / "big.tif"
    Image.fromarray(GREY16.astype(">u2")).save(path)
    assert np.array_equal(read_image(str(path))[..., 0], GREY16)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_colour_keeps_16_bits(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"deep{suffix}"
    for alpha in (False, True):
        _save16(path, RGB16, alpha)
        read = read_image(str(path))
        assert read.dtype == np.uint16
        assert np.array_equal(read, RGB16)


def test_alpha_is_dropped_and_palette_resolved(tmp_path: Path) -> None:
    alpha = np.full((5, 7), 9, np.uint8)
    rgba, grey_alpha, palette = tmp_path / "a.png", tmp_path / "b.png", tmp_path / "c.png"
    Image.fromarray(np.dstack([RGB8, alpha])).save(rgba)
    Image.fromarray(np.dstack([GREY8, alpha]), "LA").save(grey_alpha)
    indexed = Image.fromarray((GREY8 % 3).astype(np.uint8), "P")
    indexed.putpalette([1, 2, 3, 40, 50, 60, 255, 0, 7])
    indexed.save(palette)
    assert np.array_equal(read_image(str(rgba)), RGB8)
    assert np.array_equal(read_image(str(grey_alpha))[..., 0], GREY8)
    colours = np.array([[1, 2, 3], [40, 50, 60], [255, 0, 7]], np.uint8)
    assert np.array_equal(read_image(str(palette)), colours[GREY8 % 3])
    assert np.array_equal(read_label(str(palette)), GREY8 % 3), "a label's indices, not colours"


def test_16_bit_grey_with_alpha(tmp_path: Path) -> None:
    """Colour type 4, depth 16: Pillow would give 8 bits."""
    samples = np.dstack([GREY16, np.full_like(GREY16, 65535)]).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in samples)
    path = tmp_path / "la16.png"
    path.write_bytes(_png(7, 5, 16, 4, zlib.compress(rows)))
    assert np.array_equal(read_image(str(path))[..., 0], GREY16)


def test_few_bits(tmp_path: Path) -> None:
    one = tmp_path / "one.png"
    Image.fromarray(GREY8 > 100).save(one)
    assert np.array_equal(read_image(str(one))[..., 0], np.where(GREY8 > 100, 255, 0))
    assert np.array_equal(read_label(str(one)), (GREY8 > 100).astype(np.uint8))
    four = tmp_path / "four.png"
    packed = bytes([0, 0x12, 0x3F])
    four.write_bytes(_png(4, 1, 4, 0, zlib.compress(packed)))
    assert read_label(str(four)).tolist() == [[1, 2, 3, 15]]


def test_jpeg(tmp_path: Path) -> None:
    path = tmp_path / "photo.JPG"
    Image.fromarray(np.full((16, 16, 3), (10, 200, 90), np.uint8)).save(path, quality=95)
    assert np.abs(read_image(str(path)).astype(int) - (10, 200, 90)).max() < 8


def _png(width: int, height: int, depth: int, colour: int, data: bytes) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(name + body))
        return struct.pack(">I", len(body)) + name + body + checksum

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", data), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def test_decompression_bomb(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(_png(100_000, 100_000, 8, 0, zlib.compress(b"\0" * 1000)))
    with pytest.raises(BadInput, match="bomb.png declares more than 268,435,456 pixels"):
        read_image(str(path))


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_damaged(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"scan{suffix}"
    noise = RNG.integers(0, 256, (64, 64), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    whole = path.read_bytes()
    for content, sentence in (
        (b"", "is empty"),
        (b"not an image at all", "cannot be read as an image"),
        (whole[: len(whole) // 2], "cannot be read as an image"),
    ):
        path.write_bytes(content)
        with pytest.raises(BadInput, match=sentence):
            read_image(str(path))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_truncated_deep_colour(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"deep{suffix}"
    deep = RNG.integers(0, 65536, (64, 64, 3), dtype=np.uint16)
    data = cv2.imencode(suffix, deep)[1].tobytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(BadInput, match=r"deep\.\w+ cannot be read"):
        read_image(str(path))


def test_unsupported(tmp_path: Path) -> None:
    pages, floats, cmyk, bmp = (tmp_path / name for name in ("p.tif", "f.tif", "c.tif", "b.png"))
    Image.fromarray(GREY8).save(pages, save_all=True, append_images=[Image.fromarray(GREY8)])
    Image.fromarray(GREY8.astype(np.float32)).save(floats)
    Image.new("CMYK", (4, 4)).save(cmyk)
    Image.fromarray(GREY8).save(bmp, format="BMP")
    for path, sentence in (
        (pages, "2 pages"),
        (floats, "floating point"),
        (cmyk, "layout CMYK"),
        (bmp, "is a BMP file"),
    ):
        with pytest.raises(BadInput, match=sentence):
            read_image(str(path))
    with pytest.raises(BadInput, match="cannot be read"):
        read_image(str(tmp_path / "absent.png"))


def test_colour_label_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "label.png"
    Image.fromarray(RGB8).save(path)
    with pytest.raises(BadInput, match="is in colour"):
        read_label(str(path))
    Image.fromarray(np.dstack([GREY8] * 3)).save(path)
    assert np.array_equal(read_label(str(path)), GREY8)


def test_digest_sees_pixels_not_containers() -> None:
    assert pixel_digest(GREY8[..., None]) == pixel_digest(np.dstack([GREY8] * 3))
    assert pixel_digest(GREY8[..., None]) != pixel_digest(GREY8.T[..., None])
    assert pixel_digest(RGB8) != pixel_digest(RGB8[..., ::-1])
