"""Text in the pixels: what the header says of it, and a search for it.

Source: DICOM PS3.15 Annex E.3.1 (clean pixel data) and PS3.3 C.7.6.1.1.6 (BurnedInAnnotation).
"""

import functools
import os
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

__all__ = ["find_text", "find_text_once", "judge_header", "must_search", "reason"]

# Storage classes, each with its sub-classes.
SECONDARY_CAPTURE = ("1.2.840.10008.5.1.4.1.1.7",)
# ConversionType (0008,0064) of what was digitised, drawn or captured from a screen.
CONVERTED = {"DV", "DI", "DF", "WSD", "SD", "SI", "DRW", "SYN"}
ULTRASOUND = ("1.2.840.10008.5.1.4.1.1.3", "1.2.840.10008.5.1.4.1.1.6")
# Modalities whose images are searched for text: screens and cameras draw names into them.
SEARCHED = {"US", "IVUS", "ES", "XC", "SC", "OT", ""}
LARGEST_SIDE = 960
SURE = 0.6
REASONS = {
    "annotated": "its header says that text is burned into the pixels (BurnedInAnnotation)",
    "secondary_capture": "it is a secondary capture, which often shows a name, and its header does "
    "not say BurnedInAnnotation=NO",
    "ultrasound": "it is an ultrasound image that does not say where its regions lie "
    "(SequenceOfUltrasoundRegions) nor BurnedInAnnotation=NO, so that its margin may show a name",
    "text": "text was found in its pixels",
}


def judge_header(data: Dataset) -> str:
    """Return which rule for burned-in text a header meets, or nothing.

    Args:
        data: BurnedInAnnotation, SOPClassUID, Modality, ConversionType and
            SequenceOfUltrasoundRegions.
    """
    said = str(data.get("BurnedInAnnotation") or "").strip().upper()
    if said == "YES":
        return "annotated"
    if said == "NO":
        return ""
    kind = f"{data.get('SOPClassUID') or ''}."
    modality = str(data.get("Modality") or "").strip().upper()
    converted = str(data.get("ConversionType") or "").strip().upper() in CONVERTED
    if converted or modality == "SC" or _is_one_of(kind, SECONDARY_CAPTURE):
        return "secondary_capture"
    is_ultrasound = modality in ("US", "IVUS") or _is_one_of(kind, ULTRASOUND)
    return "ultrasound" if is_ultrasound and not data.get("SequenceOfUltrasoundRegions") else ""


def _is_one_of(kind: str, classes: tuple[str, ...]) -> bool:
    """Return whether a storage class, a point after it, is one of these or below it."""
    return kind.startswith(tuple(f"{name}." for name in classes))


def reason(rule: str) -> str:
    """Return why a rule leaves an image out, and what takes it in."""
    return (
        f"Left out: {REASONS[rule]}. Remove the text, or take such images knowingly: "
        f"include_burned_in={rule}."
    )


@functools.cache
def _engine() -> Any:
    """Return the reader of text: PP-OCR by onnxruntime, its models from the package itself."""
    from rapidocr import RapidOCR

    return RapidOCR(
        params={
            "Global.log_level": "critical",
            "Global.use_cls": False,
            "Det.limit_type": "max",
            "Det.limit_side_len": LARGEST_SIDE,
            # The workers of ingest are the parallelism.
            "EngineConfig.onnxruntime.intra_op_num_threads": 1,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        }
    )


def find_text(image: NDArray[Any]) -> bool:
    """Return whether an image shows a word or a number of two characters or more.

    Args:
        image: `(height, width, 1 | 3)` uint8 or uint16; of a film the largest value of each pixel
            over all frames, where text that stands still stays.

    Source: PP-OCRv6 (PaddleOCR), by the package rapidocr.
    """
    if image.dtype != np.uint8:
        top = max(int(image.max()), 1)
        image = (image.astype(np.uint32) * 255 // top).astype(np.uint8)
    image = np.repeat(image, 3, 2) if image.shape[2] == 1 else image
    found = _engine()(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    pairs = zip(found.txts or (), found.scores or (), strict=True)
    return any(
        score >= SURE and sum(character.isalnum() for character in text) >= 2
        for text, score in pairs
    )


# Ingest reads every file twice; text is looked for once.
_found: dict[tuple[str, int, int], bool] = {}


def find_text_once(path: str, image: Callable[[], NDArray[Any]]) -> bool:
    """Return `find_text` of a file, remembered while this process runs.

    Args:
        path: The file.
        image: Gives the image if it is needed.
    """
    state = os.stat(path)
    key = (path, state.st_mtime_ns, state.st_size)
    if key not in _found:
        _found[key] = find_text(image())
    return _found[key]


def must_search(modality: str, rule: str) -> bool:
    """Return whether text is looked for in the pixels of an image.

    Args:
        modality: Such as US.
        rule: What `judge_header` said.
    """
    return bool(rule) or modality in SEARCHED
