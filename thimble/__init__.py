"""What two or more stages need: artifacts, models, records, scoring, the package format."""

import os

__version__ = "0.1.0"

# tfmot refuses Keras 3; TensorFlow reads both at its own import, which comes after this one.
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
