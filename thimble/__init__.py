"""What two or more stages need: artifacts, models, records, scoring, the package format."""

import os

__version__ = "0.1.0"

# TensorFlow reads these at its own import, which comes after this one. tfmot refuses Keras 3;
# TensorFlow leaves oneDNN off where a processor lacks AVX-512, although it trains faster there too.
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
