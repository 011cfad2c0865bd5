"""LeNet-300-100 and LeNet-5 as Deep Compression has them (Caffe's): no batch normalisation."""

from dataclasses import dataclass
from typing import Any

import tf_keras
from tf_keras import layers

from thimble.models import MODELS

__all__ = ["LENETS", "LenetConfig", "architecture_of", "register"]


@dataclass(frozen=True)
class LenetConfig:
    """Shape of a LeNet: nothing but the classes, which change no paper's row.

    Attributes:
        classes: Output classes.
    """

    classes: int = 10


def _lenet_300_100(config: LenetConfig) -> tf_keras.Model:
    """Build LeNet-300-100, 266,610 parameters.

    Source: LeCun, Bottou, Bengio, Haffner, 1998; Han, Mao, Dally, 2015, section 5.1.
    """
    image = layers.Input((28, 28, 1), name="image")
    tensor = layers.Flatten(name="flat")(image)
    tensor = layers.Dense(300, "relu", kernel_initializer="he_normal", name="ip1")(tensor)
    tensor = layers.Dense(100, "relu", kernel_initializer="he_normal", name="ip2")(tensor)
    logits = layers.Dense(config.classes, name="ip3")(tensor)
    return tf_keras.Model(image, logits, name="lenet300")


def _lenet_5(config: LenetConfig) -> tf_keras.Model:
    """Build Caffe's LeNet-5, 431,080 parameters; as there, only `ip1` has a ReLU.

    Source: Jia et al., 2014, Caffe, examples/mnist/lenet.prototxt; Han, Mao, Dally, 2015, 5.1.
    """
    image = layers.Input((28, 28, 1), name="image")
    tensor = layers.Conv2D(20, 5, name="conv1")(image)
    tensor = layers.MaxPooling2D(2, name="pool1")(tensor)
    tensor = layers.Conv2D(50, 5, name="conv2")(tensor)
    tensor = layers.MaxPooling2D(2, name="pool2")(tensor)
    tensor = layers.Flatten(name="flat")(tensor)
    tensor = layers.Dense(500, "relu", kernel_initializer="he_normal", name="ip1")(tensor)
    logits = layers.Dense(config.classes, name="ip2")(tensor)
    return tf_keras.Model(image, logits, name="lenet5")


LENETS: dict[str, Any] = {
    "lenet300": (LenetConfig, _lenet_300_100),
    "lenet5": (LenetConfig, _lenet_5),
}


def register() -> None:
    """Let `thimble.models` build them too, in this process only."""
    MODELS.update(LENETS)


def architecture_of(name: str) -> dict[str, Any]:
    """Return the `architecture` of a Model folder."""
    return {"model": name, "config": {"classes": 10}}
