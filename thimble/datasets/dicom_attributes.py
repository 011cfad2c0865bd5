"""The technical attributes of a DICOM file that may leave: a whitelist, and no free text.

Source: DICOM PS3.15 Table E.1-1. What is not named here does not pass, private elements and nested
sequences among it; what passes could still hold a name that someone typed into the wrong field, so
every value has a form, and a value that holds a part of the patient's name or number is hashed.
"""

import math
import re

from pydicom.dataset import Dataset

from thimble.datasets.dicom_header import frame_item
from thimble.datasets.privacy import Pseudonyms

__all__ = ["attributes"]

# Manufacturers are free text: these pass, by the first word that fits; others become a keyed hash.
MANUFACTURERS = (
    "siemens", "ge", "philips", "canon", "toshiba", "hitachi", "fujifilm", "fuji", "agfa",
    "carestream", "kodak", "konica", "hologic", "shimadzu", "samsung", "mindray", "esaote",
    "varian", "elekta", "accuray", "bruker", "united imaging", "uih", "hamamatsu", "leica", "zeiss",
    "topcon", "nidek", "olympus", "pentax", "acuson", "sonosite", "aloka", "medison", "planmeca",
    "dentsply", "sirona", "picker", "marconi", "elscint", "mallinckrodt", "neurologica", "ziehm",
)  # fmt: skip
CODE = re.compile(r"[A-Z][A-Z0-9_]{0,15}")
MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._+/()-]{0,31}")
NAMES = (
    "PatientName PatientID OtherPatientNames OtherPatientIDs PatientBirthName ResponsiblePerson "
    "ReferringPhysicianName PerformingPhysicianName OperatorsName PhysiciansOfRecord "
    "RequestingPhysician AccessionNumber PatientMotherBirthName InstitutionName StudyID "
    "PatientBirthDate InstitutionalDepartmentName PatientAddress PatientTelephoneNumbers"
).split()
SHORTEST = 3


def _words(data: Dataset) -> set[str]:
    """Return the words of all names and numbers of a patient, lower case."""
    text = " ".join(str(data.get(name) or "") for name in NAMES).lower()
    return {word for word in re.findall(r"\w+", text.replace("_", " ")) if len(word) >= SHORTEST}


def _number(data: Dataset, keyword: str, group: str = "") -> str:
    """Return a number in four digits, or nothing."""
    value = data.get(keyword)
    if value is None and group:
        item = frame_item(data, 0, group)
        value = item.get(keyword) if item is not None else None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return ""
    return f"{number:.4g}" if math.isfinite(number) else ""


def _code(data: Dataset, keyword: str) -> str:
    """Return a code string, or nothing if it is no code."""
    value = str(data.get(keyword) or "").strip().replace(" ", "_")
    return value if CODE.fullmatch(value) else ""


def _manufacturer(data: Dataset, names: Pseudonyms) -> str:
    """Return a manufacturer that is known, else a keyed hash of the text."""
    text = str(data.get("Manufacturer") or "").strip().lower()
    words = f" {re.sub(r'[^a-z0-9]+', ' ', text)} "
    known = next((maker for maker in MANUFACTURERS if f" {maker} " in words), "")
    return known or (names.name("manufacturer", text) if text else "")


def attributes(data: Dataset, names: Pseudonyms) -> dict[str, str]:
    """Return what may be said of an image beside its pixels.

    Args:
        data: A file of DICOM.
        names: Makes keyed hashes.

    Returns:
        Keys of `thimble.datasets.source.ATTRIBUTES`; what is unknown is left out.
    """
    private = _words(data)
    model = str(data.get("ManufacturerModelName") or "").strip()
    site = str(data.get("InstitutionName") or data.get("InstitutionCodeSequence") or "").strip()
    syntax = data.file_meta.TransferSyntaxUID if hasattr(data, "file_meta") else None
    found = {
        "manufacturer": _manufacturer(data, names),
        "model": model if MODEL.fullmatch(model) else (names.name("model", model) if model else ""),
        "modality": _code(data, "Modality"),
        "body_part": _code(data, "BodyPartExamined"),
        "slice_thickness": _number(data, "SliceThickness", "PixelMeasuresSequence"),
        "field_strength": _number(data, "MagneticFieldStrength"),
        "tube_voltage": _number(data, "KVP"),
        "photometric": _code(data, "PhotometricInterpretation"),
        "transfer_syntax": syntax.name if syntax is not None and not syntax.is_private else "",
    }
    for name, value in found.items():
        if private & set(re.findall(r"\w+", value.lower().replace("_", " "))):
            found[name] = names.name(name, value)
    found["site"] = names.name("site", site) if site else ""
    return {name: value for name, value in found.items() if value}
