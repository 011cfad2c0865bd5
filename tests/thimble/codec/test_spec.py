"""The example of SPEC.md is a real package."""

import json
import re

import numpy as np

from thimble.codec import decode, encode_model
from thimble.codec.container import unpack
from thimble.weights import Weights


def test_the_example_decodes_to_what_the_page_says(repository, same):
    page = (repository / "thimble/codec/SPEC.md").read_text(encoding="utf-8")
    package = bytes.fromhex(re.search(r"```\n((?:[0-9a-f]{2}\s)+)```", page)[1])
    indices = np.ones((16, 16), np.uint8)
    indices.flat[[3, 7, 60, 64, 68, 72, 200]] = [3, 0, 3, 2, 3, 0, 3]
    codebook = np.array([-0.5, 0, 0.25, 0.5], np.float32)
    constraints = {"a/kernel.indices": indices, "a/kernel.codebook": codebook}
    weights = Weights({"model": "example"}, {"a/kernel": codebook[indices]}, constraints)
    assert same(decode(package), weights)
    container = unpack(package)
    assert container.index == json.loads(re.search(r"```json\n(.*)\n```", page)[1])
    # Another zlib may deflate the index differently, but never the sections of this example.
    ours = unpack(encode_model(weights))
    assert [part.data() for part in ours.sections] == [p.data() for p in container.sections]
    for part in container.sections[2:]:
        shown = re.findall(r"\| `((?:[0-9a-f]{2} ?)+)` \|", page)
        assert part.data() in bytes.fromhex(" ".join(shown))
