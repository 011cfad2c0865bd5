"""Decode, tile and write: what an image costs a worker of ingest, beside a bare loop.

Each side runs some times in a process, over all files and over some of them; the first time does
not count (imports), of the others the fastest does. The first ratio holds everything; the second
is of the difference of the two sizes, what one more image costs: it leaves the start of a run out.

The peer reads each file with Pillow, pydicom or nibabel, makes numpy arrays and writes them with
TensorFlow's own classes; nothing is checked, hashed, split or sorted. Ingest runs without elastic
copies and border map, which the peer lacks. CPU time counts, since other work may keep the machine
busy, of one process each: what a second worker adds is the same again, after a start of seconds.

`python benchmarks/ingest/throughput.py [kind ...]` prints a Markdown table.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
SIDE = 512
FILES = {"paired": 200, "dicom": 200, "nifti": 6}
SLICES, SERIES = 40, 8
TURNS = 4
# Of the files, for what one more image costs.
SMALLER = {"paired": 50, "dicom": 48, "nifti": 3}


def scan(number: int) -> Any:
    """Draw something that compresses as a scan does, `(SIDE, SIDE)` uint16 of 12 bits."""
    rng = np.random.default_rng(number)
    coarse = rng.integers(0, 3000, (SIDE // 16, SIDE // 16))
    smooth = np.kron(coarse, np.ones((16, 16)))
    return np.clip(smooth + rng.normal(0, 12, smooth.shape), 0, 4095).astype(np.uint16)


def make_paired(folder: Path, count: int) -> None:
    """Write 16-bit PNG and labels."""
    from PIL import Image

    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    for number in range(count):
        image = scan(number)
        Image.fromarray(image).save(folder / "images" / f"{number:05d}.png", compress_level=1)
        label = (image > 1500).astype(np.uint8)
        Image.fromarray(label).save(folder / "labels" / f"{number:05d}.png")


def make_dicom(folder: Path, count: int) -> None:
    """Write series of CT slices, uncompressed, as scanners send them."""
    import pydicom
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

    folder.mkdir()
    for number in range(count):
        data = pydicom.Dataset()
        series = number // SERIES
        data.file_meta = pydicom.dataset.FileMetaDataset()
        data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = CTImageStorage
        uid = f"1.2.3.4.{series}.{number}"
        data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = uid
        data.PatientID, data.Modality, data.Manufacturer = f"p{series}", "CT", "m"
        data.StudyInstanceUID, data.SeriesInstanceUID = f"1.2.3.5.{series}", f"1.2.3.6.{series}"
        data.ImagePositionPatient = [0, 0, number % SERIES]
        data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        data.PixelSpacing, data.InstanceNumber = [1, 1], number
        data.Rows = data.Columns = SIDE
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.BitsAllocated, data.BitsStored, data.HighBit = 16, 12, 11
        data.PixelRepresentation, data.RescaleSlope, data.RescaleIntercept = 0, 1, -1024
        data.PixelData = scan(number).tobytes()
        data.save_as(folder / f"{number:05d}.dcm", enforce_file_format=True)


def make_nifti(folder: Path, count: int) -> None:
    """Write volumes, compressed as they are shared."""
    import nibabel

    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    for number in range(count):
        volume = np.stack([scan(number * SLICES + k)[::2, ::2] for k in range(SLICES)], -1)
        label = (volume > 1500).astype(np.uint8)
        for part, array in (("images", volume.astype(np.int16)), ("labels", label)):
            nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), folder / part / f"{number}.nii.gz")


def peer_arrays(kind: str, folder: Path) -> Any:
    """Yield image and label of every slice, as a short script would."""
    if kind == "paired":
        from PIL import Image

        for path in sorted((folder / "images").iterdir()):
            label = np.asarray(Image.open(folder / "labels" / path.name))
            yield np.asarray(Image.open(path)), label
    elif kind == "dicom":
        import pydicom

        for path in sorted(folder.iterdir()):
            data = pydicom.dcmread(path)
            values = pydicom.pixels.apply_rescale(data.pixel_array, data)
            scaled = np.clip((values + 1024) / 4095, 0, 1) * 65535
            yield scaled.astype(np.uint16), np.zeros(scaled.shape, np.uint8)
    else:
        import nibabel

        for path in sorted((folder / "images").iterdir()):
            volume = nibabel.as_closest_canonical(nibabel.load(path)).get_fdata(dtype=np.float32)
            label = np.asarray(
                nibabel.as_closest_canonical(nibabel.load(folder / "labels" / path.name)).dataobj
            )
            low, high = np.percentile(volume, (0.5, 99.5))
            for place in range(volume.shape[2]):
                scaled = np.clip((volume[..., place] - low) / (high - low), 0, 1) * 65535
                yield scaled.astype(np.uint16), label[..., place]


def run_peer(kind: str, folder: Path, out: Path) -> int:
    """Write records with TensorFlow's classes."""
    import tensorflow as tf

    def feature(value: bytes) -> Any:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    written = 0
    with tf.io.TFRecordWriter(str(out)) as writer:
        for image, label in peer_arrays(kind, folder):
            features = {
                "image": feature(image.tobytes()),
                "label": feature(np.ascontiguousarray(label, np.uint8).tobytes()),
                "height": tf.train.Feature(int64_list=tf.train.Int64List(value=[image.shape[0]])),
            }
            example = tf.train.Example(features=tf.train.Features(feature=features))
            writer.write(example.SerializeToString())
            written += 1
    return written


def run_ingest(kind: str, folder: Path, out: Path) -> int:
    """Write a data set."""
    from components.ingest.ingest import IngestConfig, ingest_source
    from thimble.artifact import finish
    from thimble.stage import flat_fields, start

    parameters = {
        "kind": kind, "source": str(folder), "elastic_copies": 0, "border_sigma": 0.0,
        "split_rule": "hash",
    }  # fmt: skip
    parameters |= {"labels": "none"} if kind == "dicom" else {"classes": "background=0;thing=1"}
    with start("ingest", IngestConfig, flat_fields(IngestConfig) | parameters) as run:
        write, figures = ingest_source(run.config, run)
        finish(run, write, out, figures)
    return int(figures["images"])


def measure(side: str, kind: str, folder: str) -> None:
    """Run one side in this process some times; print images and CPU seconds of the fastest."""
    run = run_peer if side == "peer" else run_ingest
    seconds = []
    for turn in range(TURNS):
        before = time.process_time()
        images = run(kind, Path(folder), Path(folder).parent / f"{side}.{turn}")
        seconds.append(time.process_time() - before)
    print(json.dumps([images, min(seconds[1:])]))  # imports and caches do not count


def cost(side: str, kind: str, folder: Path) -> tuple[int, float]:
    """Return images and CPU seconds of all of them."""
    environment = os.environ | {"THIMBLE_PATIENT_KEY": "00" * 32, "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, __file__, "--measure", side, kind, str(folder)]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    images, seconds = json.loads(done.stdout.splitlines()[-1])
    return images, seconds


def both_sizes(kind: str) -> dict[str, tuple[float, float]]:
    """Return milliseconds of one image among all, and of one more image, of each side."""
    found = {}
    with tempfile.TemporaryDirectory() as scratch:
        all_files, few = Path(scratch) / "all" / "scans", Path(scratch) / "few" / "scans"
        for folder, count in ((all_files, FILES[kind]), (few, SMALLER[kind])):
            folder.parent.mkdir()
            globals()[f"make_{kind}"](folder, count)
        for side in ("peer", "ingest"):
            images, seconds = cost(side, kind, all_files)
            fewer, less = cost(side, kind, few)
            found[side] = (1000 * seconds / images, 1000 * (seconds - less) / (images - fewer))
    return found


def main(kinds: list[str]) -> None:
    """Measure every kind and print the table."""
    print(
        "| kind | images | peer, ms CPU/image | ingest, ms CPU/image | throughput per core | "
        "peer, ms one more | ingest, ms one more | without the start |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for kind in kinds:
        images = FILES[kind] * (SLICES if kind == "nifti" else 1)
        found = both_sizes(kind)
        (peer, peer_more), (ours, ours_more) = found["peer"], found["ingest"]
        print(
            f"| {kind} | {images} | {peer:.2f} | {ours:.2f} | {peer / ours:.2f}x | "
            f"{peer_more:.2f} | {ours_more:.2f} | {peer_more / ours_more:.2f}x |",
            flush=True,
        )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        measure(*sys.argv[2:5])
    else:
        from thimble.datasets import DATASETS

        main(sys.argv[1:] or [kind for kind in FILES if kind in DATASETS])
