"""Abuses of the index and of what it says about rows (SPEC.md, sections 2 and 7)."""

import json
from typing import Any

from tests.attacks.sealing import (
    SIDES,
    ascending,
    deflate,
    deflate_repeated,
    listing,
    model,
    seal,
    seal_stored,
    tensor,
    varint,
)

ABUSES, raises = listing()
_EMPTY = SIDES | {"tensors": []}


def index_of(**changed: Any) -> bytes:
    """Return a package whose index has other content under some keys."""
    return seal(_EMPTY | changed)


def index_of_array(row: dict[str, Any], data: bytes) -> bytes:
    """Return a package of one constraint."""
    return seal(_EMPTY | {"arrays": [row]}, [data])


def row_with(**fields: Any) -> bytes:
    """Return a package of one plain row of one number, with other fields in the index."""
    row = {"name": "t", "kind": "dense-raw", "shape": [1], "stored": 4} | fields
    return seal(_EMPTY | {"tensors": [row]}, [bytes(4)])


@raises("CorruptPackage", "do not inflate")
def index_not_deflate() -> bytes:
    """A block type that deflate does not have."""
    return seal_stored(b"\7", 1)


@raises("CorruptPackage", "Packed bytes do not give exactly")
def index_bomb() -> bytes:
    """Deflates from 7 KB to 1 MB, where the header says 100 bytes."""
    return seal_stored(deflate_repeated(b" ", 4096), 100)


@raises("TooLarge", "index expands")
def index_text_huge() -> bytes:
    """The header says 4 GiB - 1, which a reader must not make room for."""
    return seal_stored(deflate(b"{}"), (1 << 32) - 1)


@raises("CorruptPackage", "Packed bytes do not give exactly")
def index_text_too_large() -> bytes:
    """The header says a byte more than the index inflates to."""
    return seal_stored(deflate(json.dumps(_EMPTY).encode()), len(json.dumps(_EMPTY)) + 1)


@raises("CorruptPackage", "Packed bytes do not give exactly")
def index_trailing_byte() -> bytes:
    """A byte hides between the end of the deflated index and the checksums."""
    text = json.dumps(_EMPTY).encode()
    return seal_stored(deflate(text) + b"\0", len(text))


@raises("TooLarge", "when it is parsed")
def index_values_bomb() -> bytes:
    """900 KB of empty lists in a file of 4 KB: a parser makes a hundred times as much of them."""
    copies = 3600
    return seal_stored(deflate_repeated(b"[],", copies), 3 + 258 * copies)


@raises("CorruptPackage", "codec can't decode")
def index_not_utf8() -> bytes:
    """A byte that UTF-8 does not have."""
    return seal(b'{"architecture":{"\xff":1},"preprocessing":{},"tensors":[],"arrays":[]}')


@raises("CorruptPackage", "double quotes")
def index_not_json() -> bytes:
    """A comma too many."""
    return seal(b'{"architecture":{},"preprocessing":{},"tensors":[],"arrays":[],}')


@raises("CorruptPackage", "not a JSON object")
def index_list() -> bytes:
    """JSON, but no object."""
    return seal([])


@raises("CorruptPackage", "occurs twice")
def index_duplicate_key() -> bytes:
    """Two lists of tensors: which one counts?"""
    return seal(b'{"architecture":{},"preprocessing":{},"tensors":[],"arrays":[],"tensors":[]}')


@raises("CorruptPackage", "is no finite number")
def index_nan() -> bytes:
    """NaN is no JSON."""
    return index_of(preprocessing={"mean": float("nan")})


@raises("CorruptPackage", "is no finite number")
def index_infinity() -> bytes:
    """Infinity is no JSON."""
    return index_of(preprocessing={"mean": float("-inf")})


@raises("CorruptPackage", "is no finite number")
def index_overflowing_number() -> bytes:
    """JSON, but an infinity in float64."""
    return seal(json.dumps(_EMPTY).replace("{}", '{"mean":1e999}').encode())


@raises("CorruptPackage", "integer string conversion")
def index_long_number() -> bytes:
    """An integer of 5000 digits takes quadratic time to read."""
    return seal(json.dumps(_EMPTY).replace("{}", '{"mean":' + 5000 * "7" + "}").encode())


@raises("CorruptPackage", "maximum recursion depth")
def index_deep() -> bytes:
    """100,000 lists in each other must not end the process."""
    return seal_stored(deflate_repeated(b"[", 400), 1 + 258 * 400)


@raises("CorruptPackage", "Received: list")
def index_deep_field() -> bytes:
    """A field as deep as the parser takes: to quote it in a message takes a deeper stack."""
    deep = 900 * "[" + 900 * "]"
    row = '{"kind":"dense-raw","mask":' + deep + ',"name":"t","shape":[1]}'
    text = json.dumps(_EMPTY | {"tensors": [0]}).replace("[0]", f"[{row}]")
    return seal(text.encode(), [bytes(4)])


@raises("CorruptPackage", "no list of tensors")
def index_no_tensors() -> bytes:
    """A model without a list of tensors."""
    return seal(SIDES)


@raises("CorruptPackage", "no list of tensors")
def index_tensors_not_list() -> bytes:
    """An object where a list must be."""
    return index_of(tensors={})


@raises("CorruptPackage", "no architecture")
def index_architecture_not_object() -> bytes:
    """A list where an object must be."""
    return index_of(architecture=[])


@raises("CorruptPackage", "not an object")
def row_not_object() -> bytes:
    """A row that is a number."""
    return seal(_EMPTY | {"tensors": [7]}, [b""])


@raises("CorruptPackage", "kind is not text")
def row_no_kind() -> bytes:
    """A row that does not say how it is coded."""
    return seal(_EMPTY | {"tensors": [{"name": "t", "shape": [1], "stored": 0}]}, [b""])


@raises("NewerVersion", "is unknown")
def row_unknown_kind() -> bytes:
    """A kind of row that a minor version may add."""
    return row_with(kind="dense-seeds")


@raises("CorruptPackage", "dtype is")
def row_unknown_dtype() -> bytes:
    """A type of items that does not exist."""
    return row_with(dtype="float128")


@raises("CorruptPackage", "Expected float32")
def row_half_of_float16() -> bytes:
    """Halves stand for float32 only."""
    return row_with(kind="dense-half", dtype="float16", shape=[2])


@raises("CorruptPackage", "list of at most 32 sizes")
def row_no_shape() -> bytes:
    """A shape that is null."""
    return row_with(shape=None)


@raises("CorruptPackage", "list of at most 32 sizes")
def row_33_dimensions() -> bytes:
    """One dimension too many."""
    return row_with(shape=33 * [1])


@raises("CorruptPackage", "A dimension must be")
def row_negative_dimension() -> bytes:
    """Two negative sizes, whose product is 1."""
    return row_with(shape=[-1, -1])


@raises("CorruptPackage", "A dimension must be")
def row_dimension_not_integer() -> bytes:
    """true is 1 in some languages."""
    return row_with(shape=[True])


@raises("TooLarge", "elements")
def row_2_to_60_elements() -> bytes:
    """More elements than any machine has room for."""
    return row_with(kind="gap-raw", shape=[1 << 60])


@raises("TooLarge", "elements")
def row_shape_overflows() -> bytes:
    """Each dimension is within the limit; the product is 2^66, which is 4 modulo 2^64."""
    return row_with(kind="gap-raw", shape=[1 << 22, 1 << 22, 1 << 22, 1])


@raises("TooLarge", "elements")
def row_empty_but_huge() -> bytes:
    """No element, but dimensions whose product overflows where the 0 comes last."""
    return row_with(kind="gap-raw", shape=[1 << 25, 1 << 25, 1 << 25, 0])


@raises("TooLarge", "bytes of arrays")
def rows_too_large_together() -> bytes:
    """Rows of a few bytes that say that all elements are skipped, 40 MiB each."""
    row = {"kind": "gap-raw", "shape": [10 << 20]}
    return model((row, b"\0"), (row, b"\0"))


@raises("CorruptPackage", "stored bytes must be")
def row_stored_negative() -> bytes:
    """A row that begins after it ends."""
    return row_with(kind="gap-raw", stored=-4)


@raises("CorruptPackage", "is outside the file")
def row_stored_outside() -> bytes:
    """A row longer than the file."""
    return row_with(kind="gap-raw", stored=1 << 40)


@raises("CorruptPackage", "is outside the file")
def row_stored_into_digest() -> bytes:
    """A row whose last byte is the first of the digest."""
    return row_with(kind="gap-raw", stored=5)


@raises("CorruptPackage", "digest begins at")
def row_stored_too_small() -> bytes:
    """A byte that belongs to no row, before the digest."""
    return row_with(kind="gap-raw", stored=3)


@raises("CorruptPackage", "plain row of 8 bytes")
def row_plain_of_another_size() -> bytes:
    """A plain row whose bytes are not its elements."""
    return row_with(shape=[2], stored=4)


@raises("CorruptPackage", "is outside the file")
def rows_overlap() -> bytes:
    """Two rows of four bytes where there are four."""
    row = {"kind": "gap-raw", "shape": [16], "stored": 4}
    listed = [row | {"name": "a"}, row | {"name": "b"}]
    return seal(_EMPTY | {"tensors": listed}, [bytes(4), b""])


@raises("CorruptPackage", "occurs twice")
def rows_of_one_name() -> bytes:
    """Two tensors of one name."""
    row = {"name": "same", "kind": "dense-raw", "shape": [1]}
    return model((row, bytes(4)), (row, b"1234"))


@raises("CorruptPackage", "or no name")
def row_without_name() -> bytes:
    """A tensor without a name."""
    row = {"kind": "dense-raw", "shape": [1]}
    return seal(_EMPTY | {"tensors": [row]}, [bytes(4)])


@raises("CorruptPackage", "name is empty")
def row_name_empty() -> bytes:
    """A tensor whose name is empty."""
    return row_with(name="")


@raises("CorruptPackage", "occurs twice")
def row_mask_twice() -> bytes:
    """A mask that follows from the tensor, and a row of the same name."""
    tensors = [{"name": "t", "kind": "dense-raw", "shape": [1], "mask": 1}]
    arrays = [{"name": "t.mask", "kind": "dense-raw", "shape": [1], "dtype": "uint8"}]
    return seal(_EMPTY | {"tensors": tensors, "arrays": arrays}, [bytes(4), b"\1"])


@raises("CorruptPackage", "mask must be")
def row_mask_2() -> bytes:
    """A mask is there or not."""
    return row_with(mask=2)


@raises("CorruptPackage", "only rows of another list")
def row_skip_of_tensor() -> bytes:
    """A tensor has no skeleton to skip in."""
    return row_with(skip=1)


@raises("CorruptPackage", "indices but no codebook")
def row_indices_without_codebook() -> bytes:
    """Indices of a row that has no codebook."""
    return row_with(indices="uint8")


@raises("CorruptPackage", "indices but no codebook")
def row_indices_of_int32() -> bytes:
    """Indices of a row whose items are not float32."""
    return tensor("dense-codebook", b"\x08" + bytes(4) + b"\0", [1], dtype="int32", indices="uint8")


@raises("CorruptPackage", "only rows of another list")
def row_indices_of_constraint() -> bytes:
    """Only tensors imply constraints."""
    row = {"name": "t", "kind": "dense-codebook", "shape": [1], "indices": "uint8", "stored": 5}
    return index_of_array(row, b"\x08" + bytes(4))


@raises("CorruptPackage", "only rows of another list")
def row_mask_of_constraint() -> bytes:
    """Only tensors imply constraints."""
    return index_of_array({"name": "t", "kind": "dense-raw", "shape": [1], "mask": 1}, bytes(4))


@raises("CorruptPackage", "indices are")
def row_indices_uint32() -> bytes:
    """Indices of a type that they cannot have."""
    return tensor("dense-codebook", b"\x08" + bytes(4), [1], indices="uint32")


@raises("CorruptPackage", "codebook is not valid")
def row_indices_too_narrow() -> bytes:
    """A codebook of 300 entries, the last in use, with indices of one byte."""
    return tensor("dense-codebook", ascending(300) + varint(299), [1], indices="uint8")
