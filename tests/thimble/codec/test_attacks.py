"""Packages made to hurt the decoder: each is refused by the error and for the reason it must be."""

import json
import subprocess
import sys

import numpy as np
import pytest

from tests import reference_decoder
from tests.attacks import attack_contexts, attack_files, attack_streams
from tests.attacks.make import ABUSES, EXPECTED, FOLDER, REASONS
from tests.attacks.sealing import ascending, model, tensor, varint
from thimble.codec import PackageError, TooLarge, decode, errors, inspect
from thimble.codec.reader import Package
from thimble.codec.row_decoder import decode_indices
from thimble.codec.tflite import find_buffers
from thimble.stage import BadInput

LIMIT = 64 << 20
# What the decoder may take beside the limit, for its tables and for Python's own objects.
SPARE = 40 << 20
SIGNATURES = [name for name in ABUSES if name.startswith("signature-")]
# A reader may refuse these; what parsing takes depends on the language.
OURS = {"index-values-bomb"}

pytestmark = pytest.mark.timeout(60)


def read(name):
    return (FOLDER / f"{name}.thimble").read_bytes()


@pytest.fixture(scope="module")
def trusted(tmp_path_factory):
    """The public key that the attacks are signed with."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    key = attack_files.private_key(attack_files.KEY_SEED).public_key()
    path = tmp_path_factory.mktemp("keys") / "key.pub.pem"
    path.write_bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return path


def test_the_files_are_what_the_script_makes():
    assert sorted(path.stem for path in FOLDER.glob("*.thimble")) == sorted(ABUSES)
    for name, abuse in ABUSES.items():
        assert read(name) == abuse(), name


@pytest.mark.parametrize("name", ABUSES)
def test_an_attack_raises_its_error(name, trusted):
    keys = [trusted] if name in SIGNATURES else []
    with pytest.raises(PackageError) as raised:
        decode(read(name), LIMIT, trusted=keys)
    assert type(raised.value) is getattr(errors, EXPECTED[name])
    assert REASONS[name] in str(raised.value)
    with pytest.raises(type(raised.value)):
        inspect(read(name), LIMIT, trusted=keys)


def test_the_attacks_are_not_refused_for_what_they_share():
    assert decode(attack_files.valid()).tensors["t0"].tolist() == [1.5, -2.25, 3.0]


@pytest.mark.parametrize("states", [1, 2, 4])
@pytest.mark.parametrize("times", [1, 16])
def test_the_payloads_that_are_damaged_are_good_before(states, times):
    symbols = attack_streams.SYMBOLS * times
    data = attack_streams.payload(
        *attack_streams.rans(symbols, states, 1 << 24 if states > 1 else 0)
    )
    coder = 3 | (states >> 1) << 3
    good = attack_streams.flat(coder, data, len(symbols))
    assert decode(good).tensors["t0"].tolist() == symbols


def test_contexts_are_good_before_they_are_damaged():
    good = attack_contexts.contexts([1], b"\1\1")
    assert decode(good).tensors["t0"].tolist() == attack_streams.SYMBOLS
    # Of as many slots as there may be.
    most = attack_contexts.contexts([1, 2, 3], b"\1" * 4, b"", 8, 15)
    assert decode(most).tensors["t0"].tolist() == [0] * 8


@pytest.mark.parametrize("kind", ["dense-raw", "gap-raw", "bitmap-raw"])
@pytest.mark.parametrize("columns", [0, 1, 2, 3, 6])
def test_columns_are_good_before_they_are_damaged(kind, columns):
    positions = {"dense": b"", "gap": b"\6\0\1", "bitmap": b"\6" + varint(0xFC)}
    items = np.arange(6, dtype="<f4")
    data = positions[kind.split("-")[0]] + items.tobytes()
    good = decode(tensor(kind, data, [6], columns=columns)).tensors["t0"]
    matrix = items.reshape(columns or 1, -1).T if columns else items
    assert good.tolist() == matrix.reshape(-1).tolist()


def test_a_good_signature_is_not_refused(trusted):
    good = attack_files.signed(attack_files.signed(b"")[:-72])
    assert decode(good, trusted=[trusted]).tensors["t0"].tolist() == [1.5, -2.25, 3.0]


@pytest.mark.parametrize("name", sorted(ABUSES.keys() - set(SIGNATURES) - OURS))
def test_the_reference_decoder_refuses_it_too(name):
    with pytest.raises(ValueError, match="."):
        reference_decoder.decode(read(name), LIMIT)


MEASURE = """
import json, resource, sys
from pathlib import Path
from thimble.codec import PackageError, decode
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
names, limit = json.load(sys.stdin)
packages = [Path(name).read_bytes() for name in names]
before, worst = peak(), {}
for name, package in zip(names, packages):
    try:
        decode(package, limit)
    except PackageError:
        pass
    worst[name] = peak() - before
json.dump(worst, sys.stdout)
"""


def test_no_attack_takes_more_memory_than_the_limit():
    names = [str(FOLDER / f"{name}.thimble") for name in ABUSES if name not in SIGNATURES]
    done = subprocess.run(
        [sys.executable, "-c", MEASURE],
        input=json.dumps([names, 1 << 20]),
        capture_output=True,
        text=True,
        check=True,
    )
    worst = json.loads(done.stdout)
    assert max(worst.values()) <= SPARE, worst


def test_a_codebook_counts_against_the_limit():
    row = {"kind": "dense-codebook", "shape": [1], "indices": "uint16"}
    package = model((row, ascending(30000) + b"\0"))
    assert len(package) < 5000
    assert len(decode(package, 200_000).constraints["t0.codebook"]) == 30000
    with pytest.raises(TooLarge, match="bytes of arrays"):
        decode(package, 100_000)


def test_indices_are_never_cut_off():
    data = ascending(300) + varint(299)
    assert decode_indices("dense-codebook", data, 1, "uint16").tolist() == [299]
    with pytest.raises(PackageError, match="codebook is not valid"):
        decode_indices("dense-codebook", data, 1, "uint8")


def test_a_name_that_occurs_twice_is_refused_before_one_row_is_read(tmp_path):
    path = tmp_path / "twice.thimble"
    path.write_bytes(read("rows-of-one-name"))
    with pytest.raises(PackageError, match="occurs twice"):
        Package.open(path)


def overlapping_tflite(graphs):
    """Return a TFLite file of graphs that all are one graph, of as many tensors that are one."""
    words = np.zeros(16 + 3 * graphs, "<i4")
    words[0], words[1] = 32, int.from_bytes(b"TFL3", "little")
    # One vtable of five fields for all tables, at byte 8: slots 0, 2 and 4 are the same vector.
    words[2:8].view("<u2")[:7] = [14, 8, 4, 0, 4, 0, 4]
    # The table at byte 32: its vtable is 24 bytes before it; its vector is at byte 64.
    words[8], words[9] = 24, 64 - 36
    words[16] = graphs
    places = 64 + 4 + 4 * np.arange(graphs)
    words[17 : 17 + graphs] = (32 - places).astype(np.int64)
    return words.tobytes()


def test_vectors_that_overlap_do_not_multiply():
    file = overlapping_tflite(2000)
    with pytest.raises(BadInput, match="TFLite file of .* is damaged"):
        find_buffers(file)
