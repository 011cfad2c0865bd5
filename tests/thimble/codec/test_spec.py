"""The examples of SPEC.md are real packages and rows."""

import json
import re

import numpy as np
import pytest

from tests.reference_decoder import decode as decode_by_the_page
from tests.thimble.codec.making import decode_row
from thimble.codec import Package, decode, encode_model
from thimble.weights import Weights


@pytest.fixture(scope="module")
def page(repository):
    return (repository / "thimble/codec/SPEC.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def package(page):
    return bytes.fromhex(re.search(r"```\n((?:[0-9a-f]{2}\s)+)```", page)[1])


@pytest.fixture(scope="module")
def weights():
    indices = np.zeros((16, 16), np.uint8)
    indices.flat[[3, 7, 60, 64, 68, 72, 200]] = [3, 1, 3, 2, 3, 1, 3]
    codebook = np.array([0, -0.5, 0.25, 0.5], np.float32)
    constraints = {"a/kernel.indices": indices, "a/kernel.codebook": codebook}
    return Weights({"model": "example"}, {"a/kernel": codebook[indices]}, constraints)


def test_the_example_decodes_to_what_the_page_says(package, weights, same):
    assert same(decode(package), weights)


def test_the_reference_decoder_reads_the_example(package, weights):
    found = decode_by_the_page(package)
    assert found.tensors["a/kernel"].tobytes() == weights.tensors["a/kernel"].tobytes()
    assert found.constraints.keys() == weights.constraints.keys()


def test_the_encoder_makes_the_row_of_the_example(page, package, weights):
    opened, ours = Package(package), Package(encode_model(weights))
    assert opened.index == json.loads(re.search(r"```json\n(.*)\n```", page)[1])
    # Another zlib may deflate the index differently, but never the row.
    assert bytes(ours.stored(0)) == bytes(opened.stored(0))


def test_the_table_explains_every_byte_of_the_row(page, package):
    table = page[page.index("Then the row's CRC-32") : page.index("Y = 0, -112")]
    cells = re.findall(r"^\| `([0-9a-f ]+)` \|", table, re.MULTILINE)
    assert bytes.fromhex("".join(cells)) == bytes(Package(package).stored(0))


def test_the_row_of_another_writer_decodes_to_what_the_page_says(page):
    row = bytes.fromhex(re.search(r"```row\n(.*)\n```", page)[1])
    found = decode_row("gap-codebook", row, (64,), "float32", index_dtype="uint8")
    expected = np.zeros(64, np.uint8)
    expected[[1, 3, 8, 9]] = [1, 1, 2, 1]
    assert found.indices.tolist() == expected.tolist()
    values = np.array([0, 0.25, 0.5], np.float32)[expected]
    assert found.patterns.view(np.float32).tolist() == values.tolist()
