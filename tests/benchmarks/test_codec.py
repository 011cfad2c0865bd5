"""The codec benchmark: the integers that all coders get, and what each is charged."""

from typing import Any

import numpy as np
import pytest

from benchmarks.codec.charge import Tensor, codebook_bytes, torch_layout, zero_centred
from benchmarks.codec.timing import measure, seconds_per_call


def floats(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


@pytest.mark.parametrize(
    ("codebook", "integers"),
    [
        (floats(0, -2, -1, 3), [0, -2, -1, 1]),  # as the quantize stage writes it: the zero first
        (floats(-2, -1, 0, 3), [-2, -1, 0, 1]),
        (floats(-0.0, 5), [0, 1]),
        (floats(-3, -1, 2), [-1, 0, 1]),  # no zero: centred at the entry nearest to it
        (floats(-1, 1), [0, 1]),  # two equally near: the first
        (floats(7), [0]),
    ],
)
def test_integers_are_centred_at_the_zero(codebook: np.ndarray, integers: list[int]) -> None:
    indices = np.arange(codebook.size, dtype=np.uint8).reshape(1, -1)
    centred = zero_centred(codebook, indices)
    assert centred.dtype == np.int32
    assert centred.tolist() == [integers]


def test_each_weight_takes_the_integer_of_its_entry() -> None:
    indices = np.array([[0, 3], [1, 0]], np.uint16)
    assert zero_centred(floats(0, -2, -1, 3), indices).tolist() == [[0, 1], [-2, 0]]


@pytest.mark.parametrize(
    ("codebook", "cost"),
    [
        (floats(0, 0.5, -1.25), 6),
        (floats(0, 0.1), 8),  # 0.1 is no float16
        (floats(1e6), 4),  # beyond the largest float16
        (floats(2.0**-24), 2),  # its smallest
    ],
)
def test_codebook_costs_two_bytes_an_entry_only_if_that_is_exact(
    codebook: np.ndarray, cost: int
) -> None:
    assert codebook_bytes(codebook) == cost


def test_layouts_of_torch() -> None:
    kernel = np.arange(24).reshape(1, 2, 3, 4)
    assert torch_layout(kernel).shape == (4, 3, 1, 2)
    assert torch_layout(kernel)[3, 2, 0, 1] == kernel[0, 1, 2, 3]
    assert torch_layout(np.arange(6).reshape(2, 3)).tolist() == [[0, 3], [1, 4], [2, 5]]
    assert torch_layout(np.arange(3)).shape == (1, 3)
    assert torch_layout(kernel).flags.c_contiguous


class Plain:
    """Indices as they are; `loses` gives back something else."""

    loses = 0

    def prepare(self, tensor: Tensor) -> np.ndarray:
        return tensor.indices.ravel()

    def encode(self, job: np.ndarray) -> bytes:
        return job.tobytes()

    def decode(self, job: np.ndarray, coded: bytes) -> np.ndarray:
        return np.frombuffer(coded, job.dtype) + np.uint8(self.loses)

    def size(self, coded: bytes) -> int:
        return len(coded)

    def expected(self, job: np.ndarray) -> np.ndarray:
        return job


def test_bytes_of_all_tensors_are_added() -> None:
    tensors = [Tensor("a", floats(0, 1), np.zeros(count, np.uint8)) for count in (3, 4)]
    assert measure(Plain(), tensors, 0.0)["bytes"] == 7


def test_a_coder_that_loses_is_refused() -> None:
    coder: Any = Plain()
    coder.loses = 1
    with pytest.raises(ValueError, match="does not give back a"):
        measure(coder, [Tensor("a", floats(0, 1), np.zeros(3, np.uint8))], 0.0)


def test_short_calls_are_repeated() -> None:
    calls = []
    seconds, last = seconds_per_call(lambda: calls.append(1) or len(calls), 1e-4)
    assert last == len(calls) > 1
    assert 0 < seconds < 1e-3


def test_a_cell_has_what_its_name_says() -> None:
    from benchmarks.codec.sets import cell

    integers = cell(1000, 0.9, 16, draws=2)
    assert len(integers.tensors) == 2
    for tensor in integers.tensors:
        assert tensor.indices.size == 1000
        assert np.count_nonzero(tensor.indices) == 100
        assert 0 < tensor.codebook.size <= 16
        assert tensor.codebook[0] == 0
        assert codebook_bytes(tensor.codebook) == 2 * tensor.codebook.size
    assert integers.describe()["kept"] == 200


def test_a_cell_without_zeros_has_no_zero_in_its_codebook() -> None:
    from benchmarks.codec.sets import cell

    (tensor,) = cell(1000, 0.0, 4, draws=1).tensors
    assert tensor.codebook.size == 4
    assert np.all(tensor.codebook != 0)
    assert sorted(set(tensor.indices.tolist())) == [0, 1, 2, 3]


def test_the_goals_read_results() -> None:
    from benchmarks.codec.goals import GOALS

    row = {
        "real": True,
        "size": 100,
        "bytes": {"thimble": 90, "nncodec": 100},
        "encode": {"thimble": 1.0, "nncodec": 4.0},
        "decode": {"thimble": 1.0, "nncodec": 20.0},
        "package": {"parameters": 5, "beyond_streams": 1, "tflite": None, "decode": 1.0},
    }
    found = [goal.value({"models": [row], "grid": [row]}) for goal in GOALS]
    assert found == [0.9, 0.9, 0.9, 20.0, None, 20.0, 4.0, None, None, None]
    assert [goal.value({"models": [], "grid": []}) for goal in GOALS] == [None] * len(GOALS)
