"""What needs TensorFlow, in a process of its own: its threads and memory would be measured too.

python -m benchmarks.codec.tensorflow_side shapes CONFIG        (prints shapes by name, in JSON)
python -m benchmarks.codec.tensorflow_side tflite MODEL FILE    (writes the float32 TFLite file)
"""

import json
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from components.convert.tflite import freeze, to_tflite
from thimble.models import build, from_keras, to_keras
from thimble.weights import load_weights

DEFAULT_TILE = 128


def shapes(config: str) -> None:
    """Print the shape of every tensor of a U-Net."""
    architecture = {"model": "unet", "config": json.loads(config)}
    weights = from_keras(build(architecture), architecture, {})
    print(json.dumps({name: array.shape for name, array in weights.tensors.items()}))


def tflite(folder: str, path: str) -> None:
    """Convert a Model folder as the convert stage does its float32 variant."""
    weights = load_weights(folder)
    tile = int(weights.preprocessing.get("tile", DEFAULT_TILE))
    channels = int(weights.architecture["config"].get("channels", 1))
    frozen = freeze(to_keras(weights), tile, channels)
    nothing = np.zeros((0, tile, tile, channels), np.float32)
    Path(path).write_bytes(to_tflite(frozen, "float32", nothing))


if __name__ == "__main__":
    if sys.argv[1] == "shapes":
        shapes(sys.argv[2])
    else:
        tflite(sys.argv[2], sys.argv[3])
