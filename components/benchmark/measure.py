"""One cell of the benchmark, alone in a fresh process: `python measure.py '{"model": ...}'`.

It imports nothing of Thimble, so that the memory it reports is that of the interpreter and the
model. The last line of its standard output is a JSON object: the figures, or `{"error": ...}`.
"""

import ctypes
import json
import os
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

__all__ = ["measure"]

LEAST_ITERATIONS = 10
PR_SET_PDEATHSIG = 1


def measure(task: dict[str, Any]) -> dict[str, Any]:
    """Load a TFLite file, run it, and report time and memory.

    Args:
        task: `model` (path), `threads`, `xnnpack`, `warmup` and `iterations` (invocations), and
            `seconds`, after which no further iteration starts once there are 10.

    Returns:
        `cold_start_seconds` (interpreter, allocation and first invocation; starts before the file
        is read), `p50_seconds`, `p90_seconds`, `p99_seconds`, `iterations`, `peak_memory_bytes` of
        this process, and `memory_increment_bytes`, the peak over what was resident before loading.

    Raises:
        ValueError: The file is no TFLite model, or has an input that is not static float32.
        RuntimeError: An operation cannot be prepared or run.
    """
    noise = np.random.default_rng(0)  # numpy loads this module late: not at the model's expense
    resident = _memory_bytes("VmRSS")
    started = time.perf_counter()
    interpreter = _load(task)
    loaded = time.perf_counter() - started
    slot = interpreter.get_input_details()[0]["index"]
    tile = noise.standard_normal(_shape(interpreter), np.float32)
    started = time.perf_counter()
    interpreter.set_tensor(slot, tile)
    interpreter.invoke()
    cold = loaded + time.perf_counter() - started
    for _ in range(task["warmup"]):
        interpreter.invoke()
    times = _time(interpreter, task["iterations"], task["seconds"])
    p50, p90, p99 = (float(value) for value in np.percentile(times, [50, 90, 99]))
    peak = _memory_bytes("VmHWM")
    return {
        "cold_start_seconds": cold,
        "p50_seconds": p50,
        "p90_seconds": p90,
        "p99_seconds": p99,
        "iterations": len(times),
        "peak_memory_bytes": peak,
        "memory_increment_bytes": max(0, peak - resident),
    }


def _load(task: dict[str, Any]) -> Any:
    """Make an interpreter that is ready to run."""
    kind = "AUTO" if task["xnnpack"] else "BUILTIN_WITHOUT_DEFAULT_DELEGATES"
    interpreter = Interpreter(
        model_path=task["model"],
        num_threads=task["threads"],
        experimental_op_resolver_type=OpResolverType[kind],
    )
    interpreter.allocate_tensors()
    return interpreter


def _shape(interpreter: Any) -> tuple[int, ...]:
    """Return the shape of the model's only input."""
    details = interpreter.get_input_details()
    shapes = [(item["dtype"].__name__, item["shape_signature"].tolist()) for item in details]
    (dtype, shape), *others = shapes
    if others or dtype != "float32" or min(shape, default=0) < 1:
        raise ValueError(f"the input must be one static float32 tensor. Received: {shapes}.")
    return tuple(shape)


def _time(interpreter: Any, iterations: int, seconds: float) -> list[float]:
    """Return the seconds of each invocation."""
    times: list[float] = []
    begun = time.perf_counter()
    while len(times) < iterations:
        started = time.perf_counter()
        if len(times) >= LEAST_ITERATIONS and started - begun > seconds:
            break
        interpreter.invoke()
        times.append(time.perf_counter() - started)
    return times


def _memory_bytes(field: str) -> int:
    """Return `VmRSS` (resident now) or `VmHWM` (peak) of this process in bytes.

    Not ru_maxrss where it can be avoided: Linux lets it start at the parent's peak (exec folds the
    peak of the address space that it replaces into it), which would charge the model for the stage.
    """
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
    return int(status.split(f"{field}:")[1].split()[0]) * 1024


def _die_with(parent: int) -> None:
    """End this process when its parent ends, so that a killed run leaves nothing behind."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        # The parent may have ended before the request above.
        if os.getppid() != parent:
            sys.exit(1)


def main(argument: str) -> int:
    """Measure the cell that the JSON argument describes and print the result."""
    task = json.loads(argument)
    _die_with(task["parent"])
    try:
        result = measure(task)
    except (ValueError, RuntimeError) as error:
        print(json.dumps({"error": str(error)}))
        return 2
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
