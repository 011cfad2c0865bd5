"""The fixed sentences of the page."""

__all__ = ["CHARGED", "CHARGED_INTRODUCTION", "GRID", "INTRODUCTION", "PACKAGES", "SPEED"]

INTRODUCTION = """\
Made by the command below (`benchmarks/codec`); do not edit. NNCodec (ISO/IEC 15938-17, DeepCABAC)
grants no patents: it is measured against and never shipped.
"""

CHARGED_INTRODUCTION = """\
The same integers for all: the entry of each weight in its layer's codebook, numbered by value from
the zero. Biases are in no set. Nobody is charged for names and shapes, and every coder codes tensor
by tensor.
"""

CHARGED = [
    [
        "ours",
        "the row of each tensor as a package holds it: codebook, tables, counts, streams; nothing "
        "subtracted, no tables shared between tensors",
    ],
    [
        "NNCodec",
        "the payload of its DeepCABAC extension (`param_opt` 1, its default; contexts start anew "
        "in each tensor), and 2 bytes for each entry of the codebook (4 if one is no float16); its "
        "headers are not charged. Each model is given in the layout of torch and in ours as one "
        "row; the smaller sum counts",
    ],
    [
        "NNCodec, told the codebook",
        "the same in profile 1 of edition 2, where the coder is told the codebook's size and "
        "leaves out what cannot occur, with and without marking empty rows; the smallest sum "
        "counts. Not what NNCodec does by default",
    ],
    [
        "constriction",
        "range coder with one categorical model per tensor; a table of counts in 8, 12, 16 or 20 "
        "bits an entry, whichever costs least, and a byte that says which; codebook as NNCodec",
    ],
    [
        "zlib -9, zstd -19, xz",
        "the indices as bytes, with their own headers; codebook as NNCodec",
    ],
]

SPEED = """\
Speed is of the call from Python that turns integers in memory into bytes or back, on one core to
which both processes are bound: the fastest of {repeats} turns, ours and NNCodec's one after the
other (of more than 200,000 weights, the last four coders have one turn). NNCodec is timed in the
layout that is charged; it gives int32, ours uint8.
"""

PACKAGES = """\
`thimble.codec.encode_model` and `decode` of the whole model in memory, biases and index included.
Peak memory: growth of a fresh process during one decode, less the arrays that it returns; 0 if what
Python had freed before was enough. TFLite: float32, made of the same weights as the convert stage
makes it.
"""

GRID = """\
Gaussian weights, pruned by magnitude, values shared as in the quantize stage (linear start, k-means
on at most 50,000 weights, float16), seeded; at sparsity 0 the codebook has no zero. Below 100,000
weights a cell is {draws} draws, each coded alone; its bytes are their sum. From a million weights
on there are two turns, and at 10 million no other coder than NNCodec. Every cell:
[codec-grid.csv](codec-grid.csv).
"""
