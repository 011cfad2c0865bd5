"""A folder of DICOM files and labels to cases: nothing that leaves names a patient."""

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from thimble.datasets.burned_in import reason
from thimble.datasets.dicom_header import SEGMENTATIONS, Header, read_header
from thimble.datasets.dicom_labels import OTHER_GRID, fits
from thimble.datasets.dicom_series import Stack, stack_files
from thimble.datasets.privacy import Pseudonyms, open_pseudonyms
from thimble.datasets.source import Case, Refusal
from thimble.datasets.walk import walk_files
from thimble.stage import BadInput

__all__ = ["Listing", "list_dicom"]

# What lies beside scans and is none. Files of other names are looked at, and refused if need be.
OTHER = (
    ".txt .md .csv .tsv .json .xml .html .htm .pdf .doc .docx .xls .xlsx .dump .log .icc .py .sh "
    ".ini .yaml .yml .inf .exe .jpg .jpeg .tif .tiff .bmp .gif .mgh .mgz .par .rec .hdr"
).split()
VOLUMES = (".nii", ".nii.gz")
LONELY = "The label belongs to no image here, or is one of several of an image. Remove it."


@dataclass
class Listing:
    """What a folder holds.

    Attributes:
        cases: Series and single files, sorted by patient, study, series.
        refused: Files that belong to none.
        notes: What is odd but usable.
        names: The path below the source of each file that a refusal or a case names by its
            keyed hash. For the operator's eyes: it never goes into an artifact or a log.
        stacks: The headers behind each case, in the same order.
    """

    cases: list[Case] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    stacks: list[Stack] = field(default_factory=list)


class _Labels:
    """All that could be a label, by what it belongs to."""

    def __init__(self) -> None:
        """Begin with none."""
        self.segmentations: dict[str, list[str]] = defaultdict(list)
        self.volumes: list[str] = []
        self.pictures: dict[str, list[str]] = defaultdict(list)
        self.used: set[str] = set()

    def of_series(self, stack: Stack) -> str:
        """Return the one label of a stack, or nothing.

        Raises:
            BadInput: If several could be meant, or the only one lies on another grid.
        """
        first = stack.files[0]
        found = self.segmentations.get(first.series, []) if first.series else []
        self.used |= set(found)
        if not found:
            near = [path for path in self.volumes if _is_beside(path, first)]
            found = [path for path in near if fits(path, stack)]
            self.used |= set(near)
            if near and not found:
                raise BadInput(OTHER_GRID)
        if len(found) > 1:
            raise BadInput(
                f"{len(found)} labels belong to the series. Expected one: remove the others, or "
                "merge their classes into one file."
            )
        return found[0] if found else ""

    def of_image(self, header: Header) -> str:
        """Return the PNG of one image, or nothing."""
        found = self.pictures.get(header.sop, [])
        if len(found) != 1:
            return ""
        self.used.add(found[0])
        return found[0]

    def unused(self) -> list[str]:
        """Return the labels that belong to nothing."""
        grouped = [*self.segmentations.values(), *self.pictures.values()]
        every = {path for paths in grouped for path in paths}
        return sorted({*every, *self.volumes} - self.used)


def _is_beside(volume: str, header: Header) -> bool:
    """Return whether a NIfTI file could be the label of a series by where it lies."""
    folder, name = os.path.split(volume)
    own, parent = os.path.dirname(header.path), os.path.dirname(os.path.dirname(header.path))
    stem = name.lower().removesuffix(".gz").removesuffix(".nii")
    if folder == own:
        return True
    labels = os.path.basename(folder).lower().startswith(("label", "mask", "seg"))
    near = os.path.dirname(folder) in (own, parent, os.path.dirname(parent))
    return labels and near and stem in (os.path.basename(own).lower(), header.series.lower())


def _read_all(source: str, names: Pseudonyms, listing: Listing) -> tuple[list[Header], _Labels]:
    """Read the header of every file, and sort labels from images."""
    headers, labels = [], _Labels()
    for path, trouble in walk_files(source):
        lower = path.lower()
        if trouble:
            _refuse(listing, names, source, path, f"The {trouble}.")
        elif lower.endswith(VOLUMES):
            labels.volumes.append(path)
        elif lower.endswith(".png"):
            labels.pictures[os.path.splitext(os.path.basename(path))[0]].append(path)
        elif os.path.splitext(lower)[1] not in OTHER:
            try:
                header = read_header(path)
            except BadInput as error:
                _refuse(listing, names, source, path, str(error))
                continue
            if header.sop_class in SEGMENTATIONS or header.modality == "SEG":
                labels.segmentations[header.referenced].append(path)
            else:
                headers.append(header)
    return headers, labels


def _refuse(listing: Listing, names: Pseudonyms, source: str, path: str, why: str) -> None:
    """Add a refusal under a keyed hash of the path."""
    name = os.path.relpath(path, source)
    hidden = names.name("file", name)
    listing.names[hidden] = name
    listing.refused.append(Refusal(hidden, why))


def list_dicom(source: str, labelled: bool, included: Iterable[str]) -> Listing:
    """Look at the header of every file below a folder.

    Args:
        source: The folder.
        labelled: Whether every image needs a label; if not, labels are left out.
        included: Rules for burned-in text that leave nothing out.

    Raises:
        BadInput: If there is no key for the patients' names.
    """
    names, listing = open_pseudonyms(), Listing()
    headers, labels = _read_all(source, names, listing)
    kept = []
    for header in headers:
        if header.burned_in and header.burned_in not in included:
            _refuse(listing, names, source, header.path, reason(header.burned_in))
        else:
            kept.append(header)
    taken: set[str] = set()
    for stack in stack_files(kept):
        try:
            cases = _cases(stack, labels if labelled else None, names)
        except BadInput as error:
            _refuse(listing, names, source, stack.files[0].path, _of_all(stack, str(error)))
            continue
        if len(cases) < len(stack.files) and cases and not cases[0].files:
            missing = {header.path for header in stack.files} - {case.image for case in cases}
            for path in sorted(missing):
                _refuse(listing, names, source, path, "The image has no label PNG.")
        _add(listing, cases, stack, (names, source, taken))
    for path in labels.unused() if labelled else ():
        _refuse(listing, names, source, path, LONELY)
    unknown = sum(not header.patient for header in kept)
    if unknown:
        listing.notes.append(f"{unknown} file(s) name no patient: each study counts as one")
    return listing


def _of_all(stack: Stack, why: str) -> str:
    """Say how many images a reason is about."""
    return why if len(stack.files) == 1 else f"{why} This is about all {len(stack.files)} slices."


def _add(
    listing: Listing, cases: Sequence[Case], stack: Stack, context: tuple[Pseudonyms, str, set[str]]
) -> None:
    """Add the cases of a stack under ids that nothing else has."""
    names, source, taken = context
    for header in stack.files:
        path = os.path.relpath(header.path, source)
        listing.names[names.name("file", path)] = path
    listing.notes += [f"{cases[0].id}: {note}" for note in stack.notes]
    for case in cases:
        identifier, number = case.id, 2
        while identifier in taken:
            identifier, number = f"{case.id}-{number}", number + 1
        taken.add(identifier)
        hidden = names.name("file", os.path.relpath(case.image, source))
        listing.stacks.append(stack)
        listing.cases.append(
            Case(identifier, case.group, case.image, case.label, case.files, hidden)
        )


def _cases(stack: Stack, labels: _Labels | None, names: Pseudonyms) -> list[Case]:
    """Return the case of a stack, or one for each slice where labels are single pictures.

    Raises:
        BadInput: If it has no label and needs one.
    """
    first = stack.files[0]
    patient = first.patient or first.study or first.series or first.sop or first.path
    group = names.name("patient", patient)
    files = tuple(header.path for header in stack.files)
    many = len(files) > 1
    kind = "series" if many else "image"
    unique = f"{first.series}/{first.size}/{first.orientation}/{first.spacing}"
    identifier = names.name(kind, unique if many else first.sop or first.path)
    if labels is None:
        return [Case(identifier, group, files[0], "", files if many else ())]
    label = labels.of_series(stack)
    if label:
        return [Case(identifier, group, files[0], label, files if many else ())]
    pictures = [(header, labels.of_image(header)) for header in stack.files]
    cases = [
        Case(f"{identifier}/{place:04d}" if many else identifier, group, header.path, picture)
        for place, (header, picture) in enumerate(pictures)
        if picture
    ]
    if not cases:
        raise BadInput(
            "The image has no label. Expected a DICOM-SEG that refers to its series, a NIfTI "
            "volume beside it, or a PNG named by its SOP instance UID; or labels=none."
        )
    return cases
