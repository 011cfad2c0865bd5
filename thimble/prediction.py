"""Prediction with a TFLite network as it ships: the package's own preprocessing, no TensorFlow."""

from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from thimble.codec import TfliteFile
from thimble.preprocessing import normalize
from thimble.stage import BadInput, require
from thimble.tiling import predict_tiled
from thimble.variants import read_tflite

__all__ = ["Predictor", "open_model"]


class Predictor:
    """A TFLite network with one interpreter; feed it scans as they are stored.

    Attributes:
        name: Name of the variant.
        preprocessing: How scans are normalised, from the package.
        tile: Pixels of the side of the network's fixed input.
        classes: Class names; a mask holds indices of this list, 0 is the background.
    """

    def __init__(self, content: TfliteFile, threads: int = 2) -> None:
        """Load a network.

        Args:
            content: The TFLite file with its preprocessing.
            threads: Threads of the interpreter, >= 1.

        Raises:
            BadInput: The file is no TFLite model, its input or output is not a static float32
                batch of 1, or either does not fit the preprocessing.
        """
        require(threads >= 1, "threads must be >= 1", threads=threads)
        if not content.preprocessing:
            raise BadInput(
                f"{content.name}: a bare TFLite file does not tell how to normalise a scan. "
                f"Expected {content.name}.preprocessing.json beside it. Use the .thimble package."
            )
        absent = {"normalization", "channels", "classes"} - content.preprocessing.keys()
        if absent:
            raise BadInput(
                f"{content.name}: the preprocessing lacks {', '.join(sorted(absent))}. "
                "Make the package again with the convert stage."
            )
        self.name = content.name
        self.preprocessing = content.preprocessing
        self.classes = [str(name) for name in content.preprocessing["classes"]]
        try:
            self._interpreter = Interpreter(model_content=content.data, num_threads=threads)
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise BadInput(
                f"{content.name}: LiteRT cannot load the network ({error}). Convert it again."
            ) from None
        self._input, shape = _only(content.name, "input", self._interpreter.get_input_details())
        self._output, made = _only(content.name, "output", self._interpreter.get_output_details())
        self.tile = shape[1]
        channels, classes = int(content.preprocessing["channels"]), len(self.classes)
        expected = ([1, self.tile, self.tile, channels], [1, self.tile, self.tile, classes])
        if (shape, made) != expected:
            raise BadInput(
                f"{content.name}: input and output must be {expected[0]} and {expected[1]} by the "
                f"preprocessing. Received: {shape} and {made}. Convert it again."
            )

    def predict_tiles(self, tiles: np.ndarray) -> np.ndarray:
        """Run the network on normalised tiles, one after another.

        Args:
            tiles: (n, tile, tile, channels) float32, normalised.

        Returns:
            (n, tile, tile, classes) float32 logits.
        """
        logits = []
        for tile in tiles:
            self._interpreter.set_tensor(self._input, tile[None].astype(np.float32, copy=False))
            self._interpreter.invoke()
            logits.append(self._interpreter.get_tensor(self._output)[0])
        return np.stack(logits)

    def predict(self, image: np.ndarray, overlap: int | None = None) -> np.ndarray:
        """Segment a scan of any size.

        Args:
            image: (height, width) or (height, width, channels), uint8 or uint16 as stored;
                reflected where it is smaller than a tile.
            overlap: Pixels that neighbouring tiles share at least; a quarter of the tile if None.

        Returns:
            (height, width) uint8 class indices.

        Raises:
            BadInput: The image's channels or type are not what the network was trained on.
        """
        channels = int(self.preprocessing["channels"])
        scan = image[..., None] if image.ndim == 2 else image
        if scan.ndim != 3 or scan.shape[2] != channels or not scan.size:
            raise BadInput(
                f"{self.name} takes scans (height, width, {channels}). Received: {image.shape}. "
                f"Store it as {'grey' if channels == 1 else 'RGB'}, as the training scans were."
            )
        normalised = normalize(scan, self.preprocessing)
        shared = self.tile // 4 if overlap is None else overlap
        logits = predict_tiled(normalised, self.predict_tiles, self.tile, shared)
        return logits.argmax(axis=-1).astype(np.uint8)


def _only(name: str, kind: str, details: list[dict[str, Any]]) -> tuple[int, list[int]]:
    """Return index and shape of the only input or output."""
    shapes = [(item["dtype"].__name__, item["shape_signature"].tolist()) for item in details]
    good = len(shapes) == 1 and shapes[0][0] == "float32" and len(shapes[0][1]) == 4
    if not good or min(shapes[0][1]) < 1 or shapes[0][1][0] != 1:
        raise BadInput(
            f"{name}: the {kind} must be one float32 tensor with a static batch of 1 and a fixed "
            f"tile, (1, tile, tile, n). Received: {shapes}. Make it with the convert stage."
        )
    return int(details[0]["index"]), shapes[0][1]


def open_model(path: str | Path, threads: int = 2) -> Predictor:
    """Open a network for prediction.

    Args:
        path: A `.thimble` package of a TFLite variant, or a `.tflite` file with
            `<name>.preprocessing.json` beside it.
        threads: Threads of the interpreter, >= 1.

    Returns:
        A predictor.

    Raises:
        BadInput: The file is missing, corrupt, a package of weights (convert makes the variants
            from those), or does not fit its preprocessing.
    """
    return Predictor(read_tflite(path), threads)
