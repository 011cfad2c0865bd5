"""Our entropy coder behind the interface of the benchmark: all names of thimble.codec are here."""

from dataclasses import dataclass

import numpy as np

from benchmarks.codec.charge import Tensor
from thimble.codec import PackageError, decode, encode_model, encode_tflite, inspect
from thimble.codec.row_decoder import decode_indices
from thimble.codec.row_encoder import encode_indices

__all__ = ["PackageError", "Thimble", "decode", "encode_model", "encode_tflite", "inspect"]


@dataclass(frozen=True)
class _Job:
    """The codebook, and the indices as one row."""

    codebook: np.ndarray
    indices: np.ndarray
    shape: tuple[int, ...]


class Thimble:
    """A row of a package: codebook, tables, counts and streams, nothing subtracted."""

    def prepare(self, tensor: Tensor) -> _Job:
        """Return the row as the encoder takes it."""
        return _Job(
            tensor.codebook, np.ascontiguousarray(tensor.indices.ravel()), tensor.indices.shape
        )

    def encode(self, job: _Job) -> tuple[str, bytes, int]:
        """Return kind, bytes and columns of the row; streams are coded when they are asked for."""
        row = encode_indices(job.codebook, job.indices, job.shape)
        return row.kind, row.data, row.columns

    def decode(self, job: _Job, coded: tuple[str, bytes, int]) -> np.ndarray:
        """Return the flat indices."""
        kind, data, columns = coded
        return decode_indices(kind, data, job.indices.size, job.indices.dtype.name, columns)

    def size(self, coded: tuple[str, bytes, int]) -> int:
        """Return the bytes of the row."""
        return len(coded[1])

    def expected(self, job: _Job) -> np.ndarray:
        """Return the flat indices that were given."""
        return job.indices
