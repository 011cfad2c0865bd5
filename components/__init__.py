"""The stages of the pipeline, one folder and one image each."""

import os

# tfmot refuses Keras 3; TensorFlow reads the variable at its own import.
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
