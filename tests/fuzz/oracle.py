"""What must hold for every package, whatever its bytes: one of the named errors, or all agree."""

import tempfile
import warnings
from pathlib import Path
from typing import Any

from thimble.codec import PackageError, TfliteFile, decode, inspect
from thimble.codec.reader import Package
from thimble.weights import Weights

LIMIT = 4 << 20


def check(package: bytes) -> str:
    """Decode a package in all ways; return the error, or what it holds.

    Raises:
        AssertionError: If two ways do not agree.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first = _outcome(lambda: _plain(decode(package, LIMIT)))
        second = _outcome(lambda: _plain(decode(package, LIMIT, threads=2)))
        if first != second:
            raise AssertionError(f"decoded to {str(second)[:200]} after {str(first)[:200]}")
        inspected = _outcome(lambda: inspect(package, LIMIT)["bytes"])
        if isinstance(first, str) and inspected != first:
            raise AssertionError(f"inspect says {inspected}, decode {first}")
        tensors = _outcome(lambda: _one_by_one(package))
        if not isinstance(first, str) and tensors not in ({}, first[2]):
            raise AssertionError("tensors read one by one differ")
    return first if isinstance(first, str) else str(first[0])


def check_or_keep(package: bytes) -> str:
    """As `check`; write a package that breaks a rule to a file first."""
    try:
        return check(package)
    except BaseException:
        path = Path(tempfile.mkdtemp(prefix="fuzz-")) / "wrong.thimble"
        path.write_bytes(package)
        print(f"kept {path}")
        raise


def _outcome(call: Any) -> Any:
    """Return what a call gives, or the name of the error that it may raise."""
    try:
        return call()
    except PackageError as error:
        return type(error).__name__


def _plain(content: Weights | TfliteFile) -> tuple[Any, ...]:
    """Return content that can be compared bit for bit."""
    if isinstance(content, TfliteFile):
        return "tflite", content.name, {"": content.data}, repr(content.preprocessing)
    sides = repr((content.architecture, content.preprocessing))
    return "model", sides, _bytes(content.tensors), _bytes(content.constraints)


def _bytes(arrays: dict[str, Any]) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    """Return dtype, shape and bytes of arrays."""
    return {name: (a.dtype.name, a.shape, a.tobytes()) for name, a in arrays.items()}


def _one_by_one(package: bytes) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    """Decode the tensors of a model each on its own."""
    with Package(package, LIMIT, verify=False) as opened:
        if opened.header.kind != "model":
            return {}
        names = [row["name"] for row in opened.index["tensors"]]
        return _bytes({name: opened.tensor(name) for name in names})
