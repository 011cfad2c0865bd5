"""What a cell is, by its name: which arm of the curve, and in which forms it is delivered."""

import re
from dataclasses import dataclass

__all__ = ["BASELINE", "BOTH", "Kind", "kind_of"]

BASELINE = "baseline"
BOTH = ("float32", "int8")
FLOAT32 = ("float32",)
# NNCodec's quantization parameters, without and after fine-tuning.
BASELINE_QPS = ("nncodec-28", "nncodec-20")
PRUNED_QPS = ("nncodec-28", "nncodec-20", "nncodec-16")


@dataclass(frozen=True)
class Kind:
    """An arm of the curve.

    Attributes:
        arm: Its name.
        networks: What is made and scored: TFLite variants, and float32 variants of what NNCodec
            decodes to, `nncodec<QP>`. None: a step on the way to others.
        curve: Whether its packages are points of our curve.
    """

    arm: str
    networks: tuple[str, ...]
    curve: bool = False


# The first pattern that matches a whole name decides.
KINDS = (
    (r"teacher", Kind("step", ())),
    (BASELINE, Kind("baseline", (*BOTH, *BASELINE_QPS))),
    (r"narrow-\d+", Kind("narrow", BOTH)),
    (r"student-\d+", Kind("step", ())),
    (r"student-\d+-whole", Kind("whole student", BOTH)),
    (r"student-\d+-pruned", Kind("step", ())),
    (r"student-\d+-small", Kind("student", BOTH, curve=True)),
    (r"taught-\d+-pruned", Kind("pruned", (*FLOAT32, *PRUNED_QPS))),
    (r"teacher-\d+-pruned", Kind("pruned", FLOAT32)),
    (r"teacher-\d+-plain", Kind("plain k-means", FLOAT32)),
    (r"(teacher|taught)-\d+(-r\d+)?", Kind("teacher", BOTH, curve=True)),
    (r"magnitude-\d+", Kind("magnitude", FLOAT32)),
    (r"surgery-\d+", Kind("pruned", FLOAT32)),
    (r"channels-\d+", Kind("channels", FLOAT32)),
    (r"cut-\d+-r\d+", Kind("cut", BOTH, curve=True)),
)


def kind_of(cell: str) -> Kind:
    """Return what a cell is; one of an unknown name is made and scored as float32 and int8."""
    found = (kind for pattern, kind in KINDS if re.fullmatch(pattern, cell))
    return next(found, Kind("other", BOTH))
