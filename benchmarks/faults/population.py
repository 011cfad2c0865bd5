"""What the faults are put into: phantom studies, and real scans where they are."""

import csv
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from benchmarks.faults.faults import Pair
from thimble.records import Entry, Record

__all__ = ["POPULATIONS", "Population", "ROOT"]

ROOT = Path(__file__).resolve().parents[2]
SIZE = 128
SITES = {"north": "acme", "south": "acme", "west": "zenith"}
# Gain, noise and spacing of what each manufacturer sells.
SCANNERS = {"acme": (1.0, 0.02, 0.8), "zenith": (0.85, 0.03, 0.7)}


def draw_study(patient: int, slices: int) -> list[Pair]:
    """Draw slices of one patient: a body with a spine below, a heart to the left, a liver to label.

    All that is drawn lies as it does in a patient, so that a flip is a fault.
    """
    rng = np.random.default_rng([patient, 6])
    site = list(SITES)[int(rng.choice(3, p=[0.45, 0.3, 0.25]))]
    gain, noise, spacing = SCANNERS[SITES[site]]
    body, tilt = rng.uniform(0.36, 0.46, 2), rng.normal(0, 0.03, 2)
    attributes = {"site": site, "manufacturer": SITES[site]}
    pairs = []
    for number in range(slices):
        image, label = _draw_slice(body, tilt, rng)
        image = gain * image + rng.normal(0, noise, image.shape)
        pixels = np.clip(np.rint(255 * image), 0, 255).astype(np.uint8)[..., None]
        name = f"study{patient:04d}-{number}"
        record = Record(name, f"patient{patient:04d}", 0, pixels, label, None)
        pairs.append((record, _entry(record, (spacing, spacing), attributes)))
    return pairs


def _draw_slice(
    body: np.ndarray, tilt: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return an image in about [0, 1] and its label."""
    row, column = np.mgrid[:SIZE, :SIZE] / SIZE - 0.5

    def blob(centre: tuple[float, float], radii: tuple[float, float]) -> np.ndarray:
        places = np.asarray(centre) + tilt + rng.normal(0, 0.015, 2)
        sizes = np.asarray(radii) * rng.uniform(0.85, 1.15, 2)
        return np.hypot((row - places[0]) / sizes[0], (column - places[1]) / sizes[1]) < 1

    inside = np.hypot((row - tilt[0]) / body[0], (column - tilt[1]) / body[1]) < 1
    scene = 0.06 + 0.34 * inside
    scene[blob((-0.1, -0.16), (0.11, 0.1))] = 0.62
    scene[blob((0.27, 0.0), (0.06, 0.06))] = 0.9
    liver = blob((0.08, 0.18), (0.13, 0.12)) & inside
    scene[liver] = 0.52
    texture = ndimage.gaussian_filter(rng.standard_normal(scene.shape), 2) * 0.08
    image = ndimage.gaussian_filter(scene + texture * inside, 0.8)
    return image * rng.normal(1, 0.08), liver.astype(np.uint8)


def _entry(
    record: Record, spacing: tuple[float, float] | None, attributes: dict[str, str]
) -> Entry:
    digest = hashlib.sha256(record.image.tobytes()).hexdigest()
    shape = record.image.shape[:2]
    return Entry(record.id, "train", record.group, digest, shape, (), spacing, attributes)


def phantom_studies(first: int = 0, patients: int = 400) -> list[Pair]:
    """Draw studies of one to three slices a patient."""
    slices = np.random.default_rng(first).integers(1, 4, patients)
    return [pair for n in range(patients) for pair in draw_study(first + n, int(slices[n]))]


def _scans(name: str) -> Path | None:
    """Return where real scans lie, if they do."""
    data = Path(os.environ.get("THIMBLE_SHARED_DATA") or ROOT.parent / "shared" / "data")
    return data / name if (data / name).exists() else None


def nuclei() -> list[Pair]:
    """Read the nuclei; site, manufacturer and spacing are made up, they have none."""
    folder = _scans("dsb2018_nuclei/dev")
    pairs: list[Pair] = []
    for path in sorted((folder / "images").iterdir()) if folder else []:
        image = np.asarray(Image.open(path).convert("L"))[..., None]
        [mask] = (folder / "labels").glob(f"{path.stem}.*")  # type: ignore[operator]
        label = (np.asarray(Image.open(mask)) > 0).astype(np.uint8)
        record = Record(path.stem, path.stem, 0, image, label, None)
        site = list(SITES)[int(hashlib.sha256(path.stem.encode()).hexdigest(), 16) % 3]
        attributes = {"site": site, "manufacturer": SITES[site]}
        spacing = SCANNERS[SITES[site]][2]
        pairs.append((record, _entry(record, (spacing, spacing), attributes)))
    return pairs


def chests() -> list[Pair]:
    """Read the chest X-rays: no masks, several images of a patient, and an orientation."""
    folder = _scans("cxr_nih_2class")
    if folder is None:
        return []
    with open(folder / "index.csv", encoding="utf-8") as lines:
        patients = {row["file"]: row["patient_id"] for row in csv.DictReader(lines)}
    pairs = []
    for file, patient in sorted(patients.items()):
        path = next((folder / "images256").glob(f"{file.removesuffix('.png')}.*"))
        image = np.asarray(Image.open(path).convert("L"))[..., None]
        empty = np.zeros(image.shape[:2], np.uint8)
        record = Record(file.replace("/", "-"), patient, 0, image, empty, None)
        pairs.append((record, _entry(record, None, {})))
    return pairs


class Population:
    """A set of images to draw from, and what it has."""

    def __init__(self, title: str, read: Callable[[], list[Pair]], has: str) -> None:
        """Name it; nothing is read yet."""
        self.title = title
        self.read = read
        self.has = set(has.split())


POPULATIONS = {
    "phantoms": Population(
        "Phantom studies", phantom_studies, "labels attributes spacing orientation patients"
    ),
    "nuclei": Population(
        "Nuclei of the Data Science Bowl 2018", nuclei, "labels attributes spacing patients"
    ),
    "chests": Population("Chest X-rays of NIH", chests, "orientation patients"),
}
