"""NNCodec on the tensors of a file, in an environment of its own: `nncodec_side IN.npz OUT.npz QP`.

It quantizes (trellis, its default), codes the whole model into one bitstream, decodes that, and
prints its bytes. NNCodec's front ends would import torch; its coder does not. It grants no patents:
it is measured against and never shipped.
"""

import sys
from importlib import import_module, metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

# As nncodec.nn.encode sets them: steps of a quarter octave, biases finer than weights.
SETTINGS = {"qp_density": 2, "nonweight_qp": -75, "use_dq": True, "param_opt": True}


def load_coder() -> Any:
    """Import nncodec.nnc with empty modules in the place of those that need torch."""
    package = ModuleType("nncodec")
    package.__path__ = [str(metadata.distribution("nncodec").locate_file("nncodec"))]
    framework: Any = ModuleType("nncodec.framework")
    framework.__path__ = []
    sys.modules |= {"nncodec": package, "nncodec.framework": framework}
    for name in ("tensorflow_model", "pytorch_model", "use_case_init"):
        setattr(framework, name, ModuleType(f"nncodec.framework.{name}"))
    return import_module("nncodec.nnc")


def main(source: Path, target: Path, qp: int) -> None:
    """Encode, decode, write what came back, print the bytes of the bitstream."""
    coder = load_coder()
    with np.load(source) as arrays:
        tensors = {name: arrays[name] for name in arrays.files}
    stream = coder.compress(
        tensors, target.with_suffix(".nnc"), qp=qp, return_bitstream=True, **SETTINGS
    )
    np.savez(target, **coder.decompress(bytearray(stream)))
    print(len(stream))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
