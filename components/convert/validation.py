"""Validation Dice of a TFLite network as it ships: what decides about int8."""

from typing import Any

import numpy as np

from thimble.codec import TfliteFile
from thimble.prediction import Predictor
from thimble.records import Dataset, Record, read_records
from thimble.scoring import confusion, foreground_dice
from thimble.stage import BadInput

__all__ = ["Judge"]


class Judge:
    """Scores TFLite networks on the same validation scans, tiled as they ship."""

    def __init__(self, dataset: Dataset, preprocessing: dict[str, Any], images: int) -> None:
        """Read the scans once.

        Args:
            dataset: Its validation split is scored on original images.
            preprocessing: What the packages carry.
            images: Scans at most, spread evenly over the split; 0 = all.

        Raises:
            BadInput: The split has no image, or the dataset has other classes than the network.
        """
        known = [str(name) for name in preprocessing["classes"]]
        if dataset.classes != known:
            raise BadInput(
                f"the package predicts the classes {known}, the dataset has {dataset.classes}. "
                "Convert with the dataset that the network was trained on."
            )
        total = int(dataset.spec["counts"].get("validation", {}).get("images", 0))
        count = min(images, total) if images else total
        chosen = {index * total // count for index in range(count)}
        self._records: list[Record] = [
            record
            for index, record in enumerate(read_records(dataset, "validation"))
            if index in chosen
        ]
        if not self._records:
            raise BadInput(
                f"{dataset.folder} has no image in the split 'validation'. "
                "Ingest it with a larger share."
            )
        self._preprocessing = preprocessing

    def dice(self, tflite: bytes) -> float:
        """Return the pooled foreground Dice of a network, in [0, 1].

        Args:
            tflite: The file; a package decodes to just these bytes.
        """
        predictor = Predictor(TfliteFile(tflite, self._preprocessing, "candidate"))
        classes = len(predictor.classes)
        counts = np.zeros((classes, 3), np.int64)
        for record in self._records:
            counts += confusion(record.label, predictor.predict(record.image), classes)
        return foreground_dice(counts)
