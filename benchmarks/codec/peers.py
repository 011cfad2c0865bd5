"""The other coders, in an environment of their own (numpy < 2): a process that answers on stdout.

Each line of stdin is a request in JSON, each line of stdout its answer:

    {"do": "versions"}                      {"nncodec": "2.1.3", ...}
    {"do": "load", "path": "set.npz"}       {"tensors": 23, "layout": "torch", "sizes": {...}}
    {"do": "time", "coder": "nncodec", "least": 0.01}   {"bytes": ..., "encode": ..., "decode": ...}

NNCodec's extension is loaded alone: its package would import torch. It grants no patents; it is
measured against and never shipped.
"""

import json
import lzma
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import constriction
import numpy as np
import zstandard

from benchmarks.codec.charge import Tensor, torch_layout, zero_centred
from benchmarks.codec.timing import measure

# cabac_unary_length_minus1 is 10 in all that NNCodec writes; its coder adds 1.
UNARY_LENGTH = 11
TABLE_BITS = (8, 12, 16, 20)


def load_extension() -> Any:
    """Load nncodec/extensions/deepCABAC*.so without importing nncodec."""
    package = metadata.distribution("nncodec").locate_file("nncodec/extensions")
    path = next(Path(str(package)).glob(f"deepCABAC*{EXTENSION_SUFFIXES[0]}"))
    spec = spec_from_file_location("deepCABAC", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be loaded.")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CABAC = load_extension()


@dataclass(frozen=True)
class NNCodec:
    """DeepCABAC, one encoder per tensor as in NNCodec's bitstream; its headers are not counted.

    Attributes:
        param_opt: 1: the start of each context is chosen and written (NNCodec's default).
        layout: "torch", or "ours" (one row in the order of Keras).
        codebook: Whether the coder is told the codebook's size (profile 1 of edition 2), so that
            it leaves out what cannot occur.
        skip_rows: Whether rows of zeros are marked (profile 1 only).
    """

    param_opt: int = 1
    layout: str = "torch"
    codebook: bool = False
    skip_rows: bool = False

    def prepare(self, tensor: Tensor) -> tuple[np.ndarray, int, int]:
        """Return the integers by rows, and the size and the zero of the codebook, if told."""
        integers = zero_centred(tensor.codebook, tensor.indices)
        rows = torch_layout(integers) if self.layout == "torch" else integers.reshape(1, -1)
        if not self.codebook:
            return rows, 0, 0
        lowest = min(int(rows.min()), 0)
        return rows, max(int(rows.max()), 0) - lowest + 1, -lowest

    def encode(self, job: tuple[np.ndarray, int, int]) -> np.ndarray:
        """Return the bytes of the arithmetic coder."""
        rows, entries, zero = job
        encoder = CABAC.Encoder()
        encoder.initCtxModels(UNARY_LENGTH, self.param_opt)
        empty = np.zeros(rows.shape[0], np.int32)
        if self.skip_rows:
            empty[~rows.reshape(rows.shape[0], -1).any(axis=1)] = 1
        encoder.encodeLayer(
            rows, 0, 0, int(self.codebook), 0, int(self.skip_rows), empty, *self._plain(),
            entries, zero,
        )  # fmt: skip
        coded: np.ndarray = encoder.finish()
        return coded

    def decode(self, job: tuple[np.ndarray, int, int], coded: np.ndarray) -> np.ndarray:
        """Return the integers by rows."""
        rows, entries, zero = job
        decoder = CABAC.Decoder()
        decoder.setStream(coded)
        decoder.initCtxModels(UNARY_LENGTH)
        back = np.zeros(rows.shape, np.int32)
        decoder.decodeLayer(back, 0, 0, int(self.codebook), 0, *self._plain(), entries, zero)
        return back

    def size(self, coded: np.ndarray) -> int:
        """Return the bytes of the payload."""
        return coded.size

    def expected(self, job: tuple[np.ndarray, int, int]) -> np.ndarray:
        """Return the integers by rows."""
        return job[0]

    @staticmethod
    def _plain() -> tuple[Any, np.ndarray]:
        """Return the options that turn off what is for differences of models."""
        return CABAC.HdspMode.AlwaysOff, np.zeros(2, np.int8)


class Constriction:
    """Range coder with one categorical model per tensor, and the table that its decoder needs.

    The table is the counts scaled to 8, 12, 16 or 20 bits, whichever costs least, one number for
    each entry of the codebook, after one byte that says which.
    """

    def prepare(self, tensor: Tensor) -> tuple[np.ndarray, int]:
        """Return the flat indices as int32, and the entries."""
        return tensor.indices.ravel().astype(np.int32), tensor.codebook.size

    def encode(self, job: tuple[np.ndarray, int]) -> tuple[np.ndarray, int, np.ndarray]:
        """Return the table, its bits and the words."""
        symbols, entries = job
        bits, table = cheapest_table(np.bincount(symbols, minlength=entries))
        encoder = constriction.stream.queue.RangeEncoder()
        if np.count_nonzero(table) > 1:
            encoder.encode(symbols, self._model(table))
        return table, bits, encoder.get_compressed()

    def decode(self, job: tuple[np.ndarray, int], coded: Any) -> np.ndarray:
        """Return the flat indices."""
        table, _, words = coded
        if np.count_nonzero(table) < 2:
            return np.full(job[0].size, np.argmax(table), np.int32)
        decoder = constriction.stream.queue.RangeDecoder(words)
        symbols: np.ndarray = decoder.decode(self._model(table), job[0].size)
        return symbols

    def size(self, coded: Any) -> int:
        """Return the bytes of table and words."""
        table, bits, words = coded
        return int(1 + (table.size * bits + 7) // 8 + words.nbytes)

    def expected(self, job: tuple[np.ndarray, int]) -> np.ndarray:
        """Return the flat indices."""
        return job[0]

    @staticmethod
    def _model(table: np.ndarray) -> Any:
        """Return the model of a table."""
        return constriction.stream.model.Categorical(table / table.sum(), perfect=False)


def cheapest_table(counts: np.ndarray) -> tuple[int, np.ndarray]:
    """Return the bits and the scaled counts that cost least, table and estimated symbols added."""
    used = counts > 0
    candidates = []
    for bits in TABLE_BITS:
        scaled = np.rint(counts * ((2**bits - 1) / max(counts.max(), 1)))
        table = np.where(used, np.maximum(scaled, 1), 0)
        ideal = -(counts[used] * np.log2(table[used] / table.sum())).sum()
        candidates.append((counts.size * bits + ideal, bits, table))
    _, bits, table = min(candidates, key=lambda candidate: candidate[:2])
    return bits, table


@dataclass(frozen=True)
class General:
    """A general compressor on the bytes of the indices.

    Attributes:
        compress: From bytes to bytes.
        decompress: Back.
    """

    compress: Callable[[bytes], bytes]
    decompress: Callable[[bytes], bytes]

    def prepare(self, tensor: Tensor) -> np.ndarray:
        """Return the flat indices."""
        return np.ascontiguousarray(tensor.indices.ravel())

    def encode(self, job: np.ndarray) -> bytes:
        """Return the compressed bytes of the indices."""
        return self.compress(job.tobytes())

    def decode(self, job: np.ndarray, coded: bytes) -> np.ndarray:
        """Return the flat indices."""
        return np.frombuffer(self.decompress(coded), job.dtype)

    def size(self, coded: bytes) -> int:
        """Return the bytes of the container that the command line tool would write."""
        return len(coded)

    def expected(self, job: np.ndarray) -> np.ndarray:
        """Return the flat indices."""
        return job


def coders(layout: str) -> dict[str, Any]:
    """Return the coders that are timed, by name, NNCodec in one layout."""
    return {
        "nncodec": NNCodec(1, layout),
        "nncodec_plain": NNCodec(0, layout),
        "constriction": Constriction(),
        "zlib": General(lambda data: zlib.compress(data, 9), zlib.decompress),
        "zstd": General(
            lambda data: zstandard.ZstdCompressor(level=19).compress(data),
            lambda data: zstandard.ZstdDecompressor().decompress(data),
        ),
        "xz": General(lzma.compress, lzma.decompress),
    }


def nncodec_sizes(tensors: list[Tensor]) -> dict[str, dict[str, int]]:
    """Return the bytes of every way to call NNCodec, by setting and layout, each checked."""
    settings = {
        "nncodec": NNCodec(1),
        "nncodec_plain": NNCodec(0),
        "nncodec_codebook": NNCodec(1, codebook=True),
        "nncodec_rows": NNCodec(1, codebook=True, skip_rows=True),
    }
    # A row is a row in either layout, and a set of rows has none to skip.
    layouts = ("torch", "ours") if any(t.indices.ndim > 1 for t in tensors) else ("ours",)
    found: dict[str, dict[str, int]] = {}
    for name, setting in settings.items():
        if setting.skip_rows and layouts == ("ours",):
            continue
        found[name] = {}
        for layout in layouts:
            coder = NNCodec(setting.param_opt, layout, setting.codebook, setting.skip_rows)
            found[name][layout] = int(measure(coder, tensors, 0.0)["bytes"])
    return found


class Server:
    """Answers requests about the set that was loaded last."""

    def __init__(self) -> None:
        self.tensors: list[Tensor] = []
        self.layout = "torch"

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Do what is asked."""
        if request["do"] == "versions":
            names = ("nncodec", "constriction", "zstandard", "numpy")
            found = {name: metadata.version(name) for name in names}
            return {**found, "zlib": zlib.ZLIB_RUNTIME_VERSION}
        if request["do"] == "load":
            return self.load(request["path"])
        return measure(coders(self.layout)[request["coder"]], self.tensors, request["least"])

    def load(self, path: str) -> dict[str, Any]:
        """Read a set, and choose the layout in which NNCodec needs the fewest bytes."""
        with np.load(path) as arrays:
            count = len(arrays.files) // 2
            self.tensors = [
                Tensor(f"tensor {i}", arrays[f"codebook_{i}"], arrays[f"indices_{i}"])
                for i in range(count)
            ]
        sizes = nncodec_sizes(self.tensors)
        self.layout = min(sizes["nncodec"], key=lambda layout: sizes["nncodec"][layout])
        return {"tensors": count, "layout": self.layout, "sizes": sizes}


def main() -> None:
    """Answer until stdin ends."""
    server = Server()
    for line in sys.stdin:
        print(json.dumps(server.answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
