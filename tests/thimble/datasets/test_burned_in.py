"""Text in pixels is found where it is, and not where it is not."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from scipy import ndimage

from tests import dicom_phantoms as phantoms
from tests.dicom_phantoms import make, read, save
from thimble.datasets.burned_in import find_text
from thimble.datasets.phantom_membranes import PhantomMembranesReader
from thimble.datasets.phantom_nuclei import PhantomNucleiReader
from thimble.datasets.source import SourceOptions

SIDE = 320


def fan(seed: int) -> NDArray[np.uint8]:
    """Speckle in a fan on black, as an ultrasound probe shows it, `(320, 320)`."""
    rng = np.random.default_rng(seed)
    tissue = ndimage.gaussian_filter(rng.standard_normal((SIDE, SIDE)), 6)
    tissue = (tissue - tissue.min()) / np.ptp(tissue)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    angle = np.abs(np.arctan2(columns - SIDE / 2, rows + 1))
    inside = (np.hypot(rows, columns - SIDE / 2) < 0.9 * SIDE) & (angle < 0.7)
    speckle = tissue * rng.rayleigh(0.5, (SIDE, SIDE)) * 160 * inside
    return np.clip(speckle, 0, 255).astype(np.uint8)


def write_on(image: NDArray[np.uint8], text: str, size: int, level: int) -> NDArray[np.uint8]:
    """Draw text into the upper left corner."""
    picture = Image.fromarray(image)
    ImageDraw.Draw(picture).text((6, 4), text, fill=level, font=ImageFont.load_default(size))
    return np.asarray(picture)


@pytest.mark.parametrize(
    ("text", "size", "level"),
    [
        ("DOE^JOHN 1961-03-02", 12, 230),
        ("MRN 4711807", 10, 255),
        ("Doe, John", 18, 140),
        ("12.03.2024 GA 23w", 14, 200),
    ],
)
def test_text_is_found(text: str, size: int, level: int) -> None:
    for seed in range(2):
        assert find_text(write_on(fan(seed), text, size, level)[..., None])
    deep = write_on(fan(3), text, size, level).astype(np.uint16) * 16
    assert find_text(deep[..., None])
    bright = 255 - write_on(fan(4), text, size, level)
    assert find_text(np.repeat(bright[..., None], 3, 2))


def test_nothing_is_found_where_nothing_is_written() -> None:
    options = SourceOptions(images=4, size=256)
    generated = [
        sample.image
        for reader in (PhantomMembranesReader(options), PhantomNucleiReader(options))
        for case in reader.cases()[0]
        for sample in reader.read(case)
    ]
    fans = [fan(seed)[..., None] for seed in range(6)]
    assert not any(find_text(image) for image in [*generated, *fans])


def test_ultrasound_with_text_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THIMBLE_PATIENT_KEY", phantoms.KEY)
    region = Dataset()
    region.RegionLocationMinX0 = 0
    common: dict[str, Any] = {"SOPClassUID": phantoms.ULTRASOUND, "Modality": "US"}
    common["SequenceOfUltrasoundRegions"] = Sequence([region])
    for name in ("clean", "named"):
        frames = [fan(1), fan(2)]
        if name == "named":  # a film, on whose last frame a name stands
            frames[1] = write_on(frames[1], "DOE^JOHN", 14, 220)
        data = make(frames[0], name, NumberOfFrames=2, **common)
        data.PixelData = np.stack(frames).tobytes()
        save(data, tmp_path / f"{name}.dcm")
    samples, refused = read(tmp_path)
    assert len(samples) == 2
    assert [r.reason.partition(".")[0] for r in refused] == [
        "Left out: text was found in its pixels"
    ]
    assert len(read(tmp_path, include_burned_in="text")[0]) == 4
