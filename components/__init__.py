import thimble  # noqa: F401  Its settings of TensorFlow, before a stage imports TensorFlow.
