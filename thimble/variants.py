"""Networks on disk: packages, bare TFLite files, and the list of variants that convert writes."""

from pathlib import Path
from typing import Any

from thimble.artifact import read_json
from thimble.codec import PackageError, TfliteFile, decode
from thimble.stage import BadInput
from thimble.weights import Weights

__all__ = ["read_package", "read_tflite", "read_variants"]

# The file identifier of TensorFlow Lite's schema.fbs, at byte 4 of every flatbuffer.
TFLITE_IDENTIFIER = b"TFL3"


def read_variants(converted: str | Path) -> list[dict[str, Any]]:
    """Read the list of variants that convert wrote.

    Args:
        converted: The artifact of convert.

    Returns:
        The rows of `variants.json`, each with at least `variant` and `file`.

    Raises:
        BadInput: The list is missing, empty, or names a file that is not there.
    """
    folder = Path(converted)
    rows: list[dict[str, Any]] = read_json(folder / "variants.json")
    if not rows:
        raise BadInput(f"{folder / 'variants.json'} lists no variant. Run convert again.")
    for row in rows:
        if not (folder / row["file"]).is_file():
            raise BadInput(f"{folder / row['file']} is missing. Run convert again.")
    return rows


def read_package(path: str | Path) -> Weights | TfliteFile:
    """Read a package from a file.

    Args:
        path: A `.thimble` package.

    Returns:
        What it holds.

    Raises:
        BadInput: The file is missing.
        PackageError: It does not decode; the message names the file.
    """
    path = Path(path)
    if not path.is_file():
        raise BadInput(f"{path} is missing. Expected a .thimble package there.")
    try:
        return decode(path.read_bytes())
    except PackageError as error:
        raise type(error)(f"{path}: {error}") from None


def read_tflite(path: str | Path) -> TfliteFile:
    """Read a TFLite network from a package or from a bare `.tflite` file.

    Args:
        path: A `.thimble` package, or a `.tflite` file; the preprocessing of the latter is read
            from `<name>.preprocessing.json` beside it, and is empty if that does not exist.

    Returns:
        The network's bytes with its preprocessing.

    Raises:
        BadInput: The file is missing, neither of the two, or a package of weights.
    """
    path = Path(path)
    if not path.is_file():
        raise BadInput(f"{path} is missing. Expected a .thimble package or a .tflite file.")
    if (data := path.read_bytes())[4:8] == TFLITE_IDENTIFIER:
        sidecar = path.with_suffix(".preprocessing.json")
        preprocessing = read_json(sidecar) if sidecar.exists() else {}
        return TfliteFile(data, preprocessing, path.stem)
    if path.suffix == ".tflite":
        raise BadInput(f"{path} is no TFLite file: bytes 4 to 8 are not 'TFL3'. Convert it again.")
    content = read_package(path)
    if not isinstance(content, TfliteFile):
        raise BadInput(
            f"{path} is a package of weights, which no phone runs as it is. Expected a package of "
            "a TFLite variant. The convert stage makes those, such as float32.thimble."
        )
    return content
