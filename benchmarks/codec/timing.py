"""How a coder is timed and checked; the same for ours and for the others, in either interpreter."""

import math
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from benchmarks.codec.charge import Tensor

__all__ = ["Coder", "measure", "seconds_per_call"]


class Coder(Protocol):
    """Integers to bytes and back."""

    def prepare(self, tensor: Tensor) -> Any:
        """Return what `encode` takes; not timed."""

    def encode(self, job: Any) -> Any:
        """Return the coded integers."""

    def decode(self, job: Any, coded: Any) -> Any:
        """Return the integers; of the job only sizes and types may be used."""

    def size(self, coded: Any) -> int:
        """Return the bytes of the coded integers."""

    def expected(self, job: Any) -> np.ndarray:
        """Return what `decode` must give."""


def seconds_per_call(call: Callable[[], Any], least: float) -> tuple[float, Any]:
    """Time a call, repeated until at least so many seconds went by.

    Returns:
        Seconds of one call, and what the last one returned.
    """
    started = time.perf_counter()
    result = call()
    once = time.perf_counter() - started
    if once >= least:
        return once, result
    number = math.ceil(least / max(once, 1e-7))
    started = time.perf_counter()
    for _ in range(number):
        result = call()
    return (time.perf_counter() - started) / number, result


def measure(coder: Coder, tensors: Sequence[Tensor], least: float) -> dict[str, float]:
    """Code tensors, check that they come back, and time both ways.

    Args:
        coder: What to measure.
        tensors: Coded one by one.
        least: Seconds that each measurement lasts at least.

    Returns:
        `bytes` of all, `encode` and `decode` seconds of all.

    Raises:
        ValueError: If a tensor does not come back as it was.
    """
    jobs = [coder.prepare(tensor) for tensor in tensors]
    encode, coded = seconds_per_call(lambda: [coder.encode(job) for job in jobs], least)
    pairs = list(zip(jobs, coded, strict=True))
    decode, decoded = seconds_per_call(lambda: [coder.decode(*pair) for pair in pairs], least)
    for tensor, job, back in zip(tensors, jobs, decoded, strict=True):
        if not np.array_equal(back, coder.expected(job)):
            raise ValueError(f"{type(coder).__name__} does not give back {tensor.name}.")
    return {"bytes": sum(map(coder.size, coded)), "encode": encode, "decode": decode}
