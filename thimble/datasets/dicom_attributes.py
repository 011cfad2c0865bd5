"""The technical attributes of a DICOM file that may leave: a whitelist, and no free text.

Source: DICOM PS3.15 Table E.1-1. What is not named here does not pass, private elements and nested
sequences among it; what passes could still hold a name that someone typed into the wrong field, so
only numbers and words that are known beforehand pass as they are. Other makers and models become
keyed hashes.
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
# Families of scanners, for the same reason.
MODELS = (
    "somatom", "magnetom", "espree", "avanto", "skyra", "prisma", "verio", "aera", "vida", "trio",
    "sonata", "symphony", "biograph", "axiom", "artis", "acuson", "mammomat", "sensation",
    "definition", "force", "emotion", "lightspeed", "discovery", "optima", "revolution", "signa",
    "genesis", "brightspeed", "hispeed", "logiq", "voluson", "vivid", "senographe", "advance",
    "achieva", "ingenia", "intera", "gyroscan", "brilliance", "ingenuity", "iqon", "icon", "epiq",
    "affiniti", "iu22", "ie33", "mx8000", "gemini", "aquilion", "vantage", "aplio", "asteion",
    "eclos", "echelon", "scenaria", "selenia", "dimensions", "lorad", "umr", "uct", "fcr", "dx",
    "spectralis", "cirrus", "maestro", "eon",
)  # fmt: skip
# PS3.3 C.7.3.1.1.1 and PS3.16 Annex L: what a scanner may say, not what someone may have typed.
MODALITIES = set(
    "CR CT MR NM US OT BI DG ES LS PT RG TG XA RF RTIMAGE RTDOSE HC DX MG IO PX GM SM XC OP OPT "
    "OCT IVUS IVOCT SEG SC BMD BDUS EPS KER LEN OAM OPM VA SRF AR TEXTUREMAP M3D OSS MA MS".split()
)
PARTS = set(
    "ABDOMEN ABDOMENPELVIS ADRENAL ANKLE AORTA ARM AXILLA BACK BLADDER BONE BOWEL BRAIN BREAST "
    "BRONCHUS BUTTOCK CALCANEUS CALF CAROTID CEREBELLUM CERVIX CHEEK CHEST CHESTABDOMEN "
    "CHESTABDPELV CHESTABDPELVIS CIRCLEOFWILLIS CLAVICLE COCCYX COLON CORNEA CORONARYARTERY "
    "CSPINE CTSPINE DUODENUM EAR ELBOW ESOPHAGUS EXTREMITY EYE EYELID FACE FEMUR FINGER FOOT "
    "FOREARM GALLBLADDER HAND HEAD HEADNECK HEART HIP HIPPOCAMPUS HUMERUS IAC ILEUM ILIUM JAW "
    "JEJUNUM KIDNEY KNEE LARYNX LEG LIVER LLOWEREXT LSPINE LSSPINE LUNG MANDIBLE MAXILLA "
    "MEDIASTINUM MOUTH NECK NECKCHEST NECKCHESTABDOMEN NECKCHESTABDPELV NOSE ORBIT OVARY "
    "PANCREAS PARATHYROID PAROTID PATELLA PELVIS PENIS PHARYNX PITUITARY PROSTATE RECTUM RIB "
    "SACRUM SCALP SCAPULA SCROTUM SELLA SHOULDER SIJOINT SINUS SKIN SKULL SPINE SPLEEN SSPINE "
    "STERNUM STOMACH SUBMANDIBULAR TESTIS THIGH THUMB THYMUS THYROID TIBIA TLSPINE TMJ TOE "
    "TONGUE TRACHEA TSPINE URETER URETHRA UTERUS VAGINA VULVA WHOLEBODY WRIST ZYGOMA".split()
)
PHOTOMETRIC = set(
    "MONOCHROME1 MONOCHROME2 PALETTE_COLOR RGB YBR_FULL YBR_FULL_422 YBR_PARTIAL_420 "
    "YBR_PARTIAL_422 YBR_ICT YBR_RCT XYB".split()
)


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


def _term(data: Dataset, keyword: str, known: set[str]) -> str:
    """Return a code string that is a defined term, or nothing."""
    value = str(data.get(keyword) or "").strip().upper().replace(" ", "_")
    return value if value in known else ""


def _maker(data: Dataset, keyword: str, known: tuple[str, ...], names: Pseudonyms) -> str:
    """Return the first known word in a text, else a keyed hash of the text."""
    text = str(data.get(keyword) or "").strip().lower()
    words = f" {re.sub(r'[^a-z0-9]+', ' ', text)} "
    found = next((word for word in known if f" {word} " in words), "")
    kind = "manufacturer" if keyword == "Manufacturer" else "model"
    return found or (names.name(kind, text) if text else "")


def attributes(data: Dataset, names: Pseudonyms) -> dict[str, str]:
    """Return what may be said of an image beside its pixels.

    Args:
        data: A file of DICOM.
        names: Makes keyed hashes.

    Returns:
        Keys of `thimble.datasets.source.ATTRIBUTES`; what is unknown is left out.
    """
    site = str(data.get("InstitutionName") or "").strip()
    syntax = data.file_meta.TransferSyntaxUID if hasattr(data, "file_meta") else None
    found = {
        "manufacturer": _maker(data, "Manufacturer", MANUFACTURERS, names),
        "model": _maker(data, "ManufacturerModelName", MODELS, names),
        "modality": _term(data, "Modality", MODALITIES),
        "body_part": _term(data, "BodyPartExamined", PARTS),
        "slice_thickness": _number(data, "SliceThickness", "PixelMeasuresSequence"),
        "field_strength": _number(data, "MagneticFieldStrength"),
        "tube_voltage": _number(data, "KVP"),
        "photometric": _term(data, "PhotometricInterpretation", PHOTOMETRIC),
        # A UID that the standard does not know has no name but itself.
        "transfer_syntax": "" if syntax is None or syntax.name == syntax else syntax.name,
    }
    found["site"] = names.name("site", site) if site else ""
    return {name: value for name, value in found.items() if value}
