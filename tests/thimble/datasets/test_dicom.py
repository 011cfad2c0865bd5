"""DICOM pixels: every transfer syntax, made unsigned by a rule that keeps their order."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from tests import dicom_phantoms as phantoms
from tests.dicom_phantoms import SIDE, disc, make, read, save


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THIMBLE_PATIENT_KEY", phantoms.KEY)


def one(folder: Path, **volume: Any) -> Any:
    """The only image of a folder, `(height, width, channels)`."""
    samples, refused = read(folder, **volume)
    assert not refused
    assert len(samples) == 1
    return samples[0].image


@pytest.mark.parametrize(
    "syntax",
    [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, RLELossless, JPEGLSLossless,
     JPEG2000Lossless],
)  # fmt: skip
def test_lossless_syntaxes_give_the_stored_values(tmp_path: Path, syntax: Any) -> None:
    data = make(disc(1))
    if syntax.is_encapsulated:
        data.compress(syntax, generate_instance_uid=False)
    else:
        data.file_meta.TransferSyntaxUID = syntax
    save(data, tmp_path / "a.dcm")
    assert (one(tmp_path)[..., 0] == disc(1)).all()


@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("signed", [False, True])
def test_lossless_jpeg_and_htj2k(tmp_path: Path, bits: int, signed: bool) -> None:
    import imagecodecs
    from pydicom.encaps import encapsulate

    values = disc(0).astype(np.int32) * (2**bits - 1) // 1300
    stored = (values - 2 ** (bits - 1) * signed).astype(np.int16 if signed else np.uint16)
    unsigned = (stored.astype(np.int32) & (2**bits - 1)).astype(
        np.uint8 if bits == 8 else np.uint16
    )
    for syntax, encoded in (
        (JPEGLosslessSV1, imagecodecs.jpeg8_encode(unsigned, lossless=True, bitspersample=bits)),
        (HTJ2KLossless, imagecodecs.htj2k_encode(stored, reversible=True)),
    ):
        stores = 16 if syntax == HTJ2KLossless else bits
        data = make(stored, BitsStored=stores, HighBit=stores - 1)
        data.PixelData = encapsulate([encoded])
        data["PixelData"].is_undefined_length = True
        data.file_meta.TransferSyntaxUID = syntax
        save(data, tmp_path / "a.dcm")
        image = one(tmp_path)[..., 0].astype(np.int32)
        shift = 32768 if signed else 0
        assert (image - shift == stored if image.max() > 255 else image == stored).all()


def test_extended_jpeg_of_12_bits(tmp_path: Path) -> None:
    import imagecodecs
    from pydicom.encaps import encapsulate

    encoded = imagecodecs.jpeg8_encode(disc(0), level=100, bitspersample=12)
    data = make(disc(0), BitsStored=12, HighBit=11)
    data.PixelData = encapsulate([encoded])
    data["PixelData"].is_undefined_length = True
    data.file_meta.TransferSyntaxUID = JPEGExtended12Bit
    save(data, tmp_path / "a.dcm")
    assert np.abs(one(tmp_path)[..., 0].astype(int) - disc(0)).max() <= 4
    data.PixelData = encapsulate([encoded[: len(encoded) // 2]])
    save(data, tmp_path / "a.dcm")
    assert len(read(tmp_path)[1]) == 1


def test_monochrome1_is_inverted(tmp_path: Path) -> None:
    data = make(disc(0), BitsStored=12, HighBit=11, PhotometricInterpretation="MONOCHROME1")
    save(data, tmp_path / "a.dcm")
    assert (one(tmp_path)[..., 0] == 4095 - disc(0)).all()
    shown = one(tmp_path, intensity="600/1000")[..., 0]
    assert shown[0, 0] == 65535 - 0  # 100 lies below the window
    small = (disc(0) // 8).astype(np.uint8)
    save(make(small, PhotometricInterpretation="MONOCHROME1"), tmp_path / "a.dcm")
    assert (one(tmp_path)[..., 0] == 255 - small).all()


def test_ct_is_hounsfield_plus_1024_however_it_is_stored(tmp_path: Path) -> None:
    units = disc(0).astype(np.int16) - 1024
    common = {"SOPClassUID": phantoms.CT, "Modality": "CT"}
    save(make(units, "signed", **common), tmp_path / "a.dcm")
    save(make(disc(0), "unsigned", RescaleSlope=1, RescaleIntercept=-1024, **common),
         tmp_path / "b.dcm")  # fmt: skip
    halves = ((units.astype(np.int32) + 2000) // 2).astype(np.uint16)
    save(make(halves, "slope", RescaleSlope=2, RescaleIntercept=-2000, **common),
         tmp_path / "c.dcm")  # fmt: skip
    samples, refused = read(tmp_path)
    assert not refused
    images = [sample.image[..., 0].astype(int) for sample in samples]
    assert sorted(int(np.abs(image - disc(0)).max()) for image in images) == [0, 0, 1]


def test_window_in_hounsfield_units(tmp_path: Path) -> None:
    values = np.array([[-1000, -160, -159], [40, 239, 240]], np.int16)
    data = make(values, SOPClassUID=phantoms.CT, Modality="CT", WindowCenter=[40, 0],
                WindowWidth=[400, 1])  # fmt: skip
    save(data, tmp_path / "a.dcm")
    for intensity in ("40/400", "file"):
        image = one(tmp_path, intensity=intensity)[..., 0]
        # PS3.3 C.11.2.1.2: black up to 39.5 - 199.5, white above 39.5 + 199.5.
        assert image.tolist()[0] == [0, 0, round(65535 / 399)]
        assert image.tolist()[1][1:] == [65535, 65535]
        assert abs(int(image[1, 0]) - 32768 - 82) <= 1
    del data.WindowCenter
    save(data, tmp_path / "a.dcm")
    assert "has no window" in read(tmp_path, intensity="file")[1][0].reason


def test_a_series_with_negative_values_is_shifted_as_a_whole(tmp_path: Path) -> None:
    for place, low in enumerate((0, -50, 0)):
        save(make(disc(place).astype(np.int16) + low - 100, place=place), tmp_path / f"{place}.dcm")
    samples, _ = read(tmp_path)
    expected = [disc(place).astype(int) + low - 100 for place, low in enumerate((0, -50, 0))]
    for sample, values in zip(samples, expected, strict=True):
        assert (sample.image[..., 0].astype(int) - 32768 == values).all()


def test_32_bits_and_floats_keep_their_order(tmp_path: Path) -> None:
    values = disc(0).astype(np.uint32) * 100_000
    save(make(values, "a"), tmp_path / "a.dcm")
    real = disc(0).astype(np.float32) / 7e5
    data = make(None, "b", Rows=real.shape[0], Columns=real.shape[1], SamplesPerPixel=1,
                BitsAllocated=32, PhotometricInterpretation="MONOCHROME2")  # fmt: skip
    data.FloatPixelData = real.tobytes()
    save(data, tmp_path / "b.dcm")
    samples, refused = read(tmp_path, low_percentile=0.0, high_percentile=100.0)
    assert not refused
    for sample in samples:
        image = sample.image[..., 0]
        assert image.dtype == np.uint16
        assert (int(image.min()), int(image.max())) == (0, 65535)
        assert (np.diff(image.ravel()[np.argsort(disc(0).ravel(), kind="stable")].astype(int)) >= 0
                ).all()  # fmt: skip
    data.FloatPixelData = np.where(real > 1e-3, np.nan, real).astype(np.float32).tobytes()
    save(data, tmp_path / "b.dcm")
    assert "NaN" in read(tmp_path)[1][0].reason


def test_palette_and_ycbcr_become_rgb(tmp_path: Path) -> None:
    indices = (disc(0) % 4).astype(np.uint8)
    data = make(indices, "palette", PhotometricInterpretation="PALETTE COLOR")
    for colour, table in (("Red", [0, 10, 20, 30]), ("Green", [5] * 4), ("Blue", [40, 30, 20, 9])):
        setattr(data, f"{colour}PaletteColorLookupTableDescriptor", [4, 0, 8])
        setattr(data, f"{colour}PaletteColorLookupTableData", bytes(table))
    save(data, tmp_path / "a.dcm")
    image = one(tmp_path)
    assert image[indices == 3].tolist()[0] == [30, 5, 9]
    grey = np.stack([np.full((SIDE, SIDE), level, np.uint8) for level in (90, 128, 128)], 2)
    grey[: SIDE // 2, :, 0] = 200
    data = make(grey, "ycbcr", PhotometricInterpretation="YBR_FULL")
    (tmp_path / "a.dcm").unlink()
    save(data, tmp_path / "b.dcm")
    assert one(tmp_path)[0, 0].tolist() == [200, 200, 200]


def test_spacing_can_be_changed(tmp_path: Path) -> None:
    save(make(disc(0)), tmp_path / "a.dcm")
    samples, _ = read(tmp_path, spacing_mm=0.25)
    assert samples[0].image.shape == (64, 96, 1)
    assert samples[0].spacing == (0.25, 0.25)
