"""Streams of symbols: exact bytes worked by hand from SPEC.md, section 5."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.thimble.codec.making import chain, planned, read_stream, written
from thimble.codec.contexts import ContextStream, better_with_contexts
from thimble.codec.errors import CorruptPackage, NewerVersion
from thimble.codec.stream_encoder import (
    CONSTANT,
    HUFFMAN,
    RANS,
    STORED,
    Bits,
    Stream,
    histogram,
    plan_counts,
    streams_of,
    varint,
)

# Two symbols of frequency 128 of 256: each is one bit of the state.
FLAT = planned(RANS, 2, b"\x01", [128, 128], scale=8, bits=64)
FLAT_START = "03 01"


def stream(text):
    return bytes.fromhex(text)


def coded(symbols, alphabet):
    array = np.array(symbols, np.uint16)
    parts = streams_of(histogram(array, alphabet), array)
    return b"".join(part.data(part is parts[-1]) for part in parts)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, "00"), (127, "7f"), (128, "80 01"), (300, "ac 02"), ((1 << 63) - 1, "ff" * 8 + "7f")],
)
def test_varints(value, expected):
    assert varint(value) == stream(expected)


def test_rice_codes_are_ones_a_zero_and_the_low_bits():
    bits = Bits()
    for value in (0, 5, 2):  # with p = 1: 0 0, 110 1, 10 0
        bits.rice(value, 1)
    assert bits.data() == bytes([0b00110110, 0b00000000])
    assert Bits().data() == b""


# Lengths 2, 1, 2: symbol 1 is 0, symbol 0 is 10, symbol 2 is 11.
THREE = planned(HUFFMAN, 3, b"\x21\x20", [2, 1, 2], bits=11)


def test_huffman_bits_are_written_most_significant_first():
    symbols = [1, 0, 2, 1, 1, 0, 2]  # 0 10 11 0 0 10 11
    assert written(THREE, symbols) == stream("02 2120 59 60")
    assert written(THREE, symbols, last=False) == stream("02 2120 02 59 60")
    assert read_stream(stream("02 2120 59 60"), 7, 3) == symbols


def test_codewords_of_equal_length_grow_with_the_symbol():
    # Lengths 2, 1, 0, 3, 3: 1 is 0, 0 is 10, 3 is 110, 4 is 111.
    plan = planned(HUFFMAN, 5, b"\x21\x03\x30", [2, 1, 0, 3, 3], bits=9)
    assert written(plan, [4, 3, 0, 1]) == stream("02 210330 fa 00")  # 111 110 10 0
    assert read_stream(stream("02 210330 fa 00"), 4, 5) == [4, 3, 0, 1]


def test_huffman_codes_of_15_bits():
    # Lengths 1 to 15 and 15 once more: symbol 15 is fifteen ones.
    lengths = [*range(1, 16), 15]
    plan = planned(HUFFMAN, 16, stream("12 34 56 78 9a bc de ff"), lengths, bits=45)
    coded = written(plan, [15, 0, 14, 15])  # 15 ones, 0, 14 ones and 0, 15 ones
    assert coded[9:] == bytes([255, 254, 255, 253, 255, 252])
    assert read_stream(coded, 4, 16) == [15, 0, 14, 15]


@pytest.mark.parametrize(
    ("symbols", "payload"),
    [
        ([0, 1, 1], "00 03"),  # 0 -> 128 -> 384 -> 768
        ([1], None),
        ([0, 0, 1], "00 02"),
        ([1] * 33, "80 ffffffff"),  # (2^33 - 1) * 128, all of a state
        ([1] * 34, "ffffff01 80ff"),  # word FF80 leaves 2^24 - 1
        ([1] * 35, "ffffff03 80ff"),
        ([1] * 42, "ffffffff01 80ff"),
        ([1] * 50, "ffffff01 ffff 80ff"),  # the second word, FFFF, stands before the first
    ],
    ids=lambda value: str(len(value)) if value else "-",
)
def test_one_rans_state_holds_a_bit_for_each_of_two_symbols(symbols, payload):
    if payload is None:  # one symbol is a number
        assert coded(symbols, 2) == b"\x01"
        return
    expected = stream(f"{FLAT_START} {payload}")
    assert written(FLAT, symbols) == expected
    assert read_stream(expected, len(symbols), 2) == symbols


def test_unequal_frequencies():
    # Frequencies 116, 82, 58 (test_curves.py). Backwards from x = 0:
    # 2: 0 + 198; 1: 198 // 82 * 256 + 198 % 82 + 116 = 662; 0: 662 // 116 * 256 + 82 = 1362.
    plan = planned(RANS, 3, stream("020080"), [116, 82, 58], scale=8, bits=16)
    assert written(plan, [0, 1, 2]) == stream("03 020080 5205")
    assert read_stream(stream("03 020080 5205"), 3, 3) == [0, 1, 2]


TWO = "8001000400 0000000200"
FOUR = "8001000400 0000000200 8000000200 0000000200"


def test_four_states_take_turns():
    # From 2^24 on: state 0 codes symbols 4 and 0, which are 1 and 1: 2^25 + 128, 2^26 + 384.
    symbols = [1, 0, 1, 0, 1]
    plan = planned(RANS, 2, b"\x01", [128, 128], scale=8, bits=1 << 16)
    assert written(plan, symbols) == stream(f"13 01 {FOUR}")
    assert read_stream(stream(f"13 01 {FOUR}"), 5, 2) == symbols


def test_two_states_take_turns():
    plan = planned(RANS, 2, b"\x01", [128, 128], scale=8, bits=8 * 1000)
    assert written(plan, [1, 0, 1]) == stream(f"0b 01 {TWO}")
    assert read_stream(stream(f"0b 01 {TWO}"), 3, 2) == [1, 0, 1]


# Tables after symbol 0 and after 1. Of 4096: 2048 and 2048; 2731 and 1365.
CLASSES = [(b"\x01", [2048, 2048]), (b"\x02\x00\x80", [2731, 1365])]


def with_contexts(symbols, last=True):
    """Return the bytes of symbols coded by the two tables."""
    array = np.array(symbols, np.uint16)
    plans = [planned(RANS, 2, table, codes, scale=12) for table, codes in CLASSES]
    whole = planned(RANS, 2, b"", [0, 0], bits=16 * len(symbols))
    return ContextStream(histogram(array, 2), whole, array, None, [1], plans).data(last)


def test_the_symbol_before_chooses_the_table():
    # Frequencies 116, 82, 58 after symbol 0 and at the start; 86, 85, 85 after 1 and 2.
    # Backwards from x = 0: 1 after 2: 86; 2 after 1: 86 // 85 * 256 + 1 + 171 = 428;
    # 1 after 0: 428 // 82 * 256 + 18 + 116 = 1414; 0: 1414 // 116 * 256 + 22 = 3094.
    assert read_stream(stream("1b 01 01 020080 01 160c"), 4, 3) == [0, 1, 2, 1]
    # Of two flat tables each symbol takes a bit, and the state a word.
    assert read_stream(stream("1b 01 01 01 01 ffffff01 80ff"), 34, 2) == [1] * 34


def test_contexts_are_written_with_thresholds_and_tables():
    # Backwards: 1 after 1: 2731; 1 after 0: 4096 + 683 + 2048 = 6827; 0 after 1: 2 * 4096 + 1365
    # = 9557; 1 after 0: 4 * 4096 + 1365 + 2048 = 19797; 0: 9 * 4096 + 1365 = 38229.
    expected = stream("9b 01 01 01 020080 5595")
    assert with_contexts([0, 1, 0, 1, 1]) == expected
    assert read_stream(expected, 5, 2) == [0, 1, 0, 1, 1]
    sized = with_contexts([0, 1, 0, 1, 1], last=False)
    assert sized == stream("9b 01 01 01 020080 02 5595")


@pytest.mark.parametrize(
    ("text", "alphabet"),
    [
        ("1b 00 01 0c", 3),
        ("1b 01 00 01 01 0c", 3),
        ("1b 01 03 01 01 0c", 3),
        ("1b 02 01 01 01 01 01 0c", 3),
        ("1b 02 02 01 01 01 01 0c", 3),
        ("1b 01 8100 01 01 0c", 3),
        ("1b 10 0102030405060708090a0b0c0d0e0f10" + "01" * 17, 17),
        ("1b 01 01 01", 3),
        ("1b 01 01 01 04", 3),
        ("1b 01 01 01 01", 129),
        ("1b 01 01 01 01 00", 3),
        ("1b 01 01 01 01 ff", 3),
        ("fb 04 01020304" + "01" * 5, 5),
    ],
    ids=[
        "no threshold", "0", "m", "equal", "descending", "varint", "16", "one table", "knots",
        "scale", "last byte", "end", "slots",
    ],
)  # fmt: skip
def test_contexts_that_break_a_rule(text, alphabet):
    with pytest.raises(CorruptPackage):
        read_stream(stream(text), 4, alphabet)


def test_as_many_contexts_as_there_may_be():
    assert read_stream(stream("1b 0f 0102030405060708090a0b0c0d0e0f" + "01" * 16), 4, 17) == [0] * 4
    assert read_stream(stream("1b 01 01 01 01"), 4, 128) == [0] * 4
    assert read_stream(stream("fb 03 010203" + "01" * 4), 4, 5) == [0] * 4


@pytest.mark.parametrize("count", [4095, 4096, 4097, 8193])
def test_the_class_is_known_from_one_piece_of_4096_symbols_to_the_next(count):
    symbols = chain(np.random.default_rng(count), count, 0.9, lambda n: np.arange(n) % 2).tolist()
    assert read_stream(with_contexts(symbols), count, 2) == symbols


@pytest.mark.parametrize("alphabet", [3, 64, 65, 512, 513, 2048])
def test_contexts_are_chosen_where_symbols_depend_on_the_one_before(alphabet):
    rng = np.random.default_rng(alphabet)
    high = chain(rng, 30_000, 0.98, lambda n: np.arange(n) % 7)
    symbols = (alphabet * high // 7 + rng.integers(0, -(-alphabet // 7), 30_000)).clip(
        0, alphabet - 1
    )
    symbols = symbols.astype(np.uint16)
    counts = histogram(symbols, alphabet)
    (found,) = better_with_contexts(streams_of(counts, symbols), symbols, counts)
    assert isinstance(found, ContextStream)
    data = found.data(last=True)
    assert len(data) < len(coded(symbols, alphabet)) * 0.99
    assert abs(len(data) - found.cost_bytes) < 0.01 * len(data) + 16
    assert read_stream(data, 30_000, alphabet) == symbols.tolist()
    rng.shuffle(symbols)
    (found,) = better_with_contexts(streams_of(counts, symbols), symbols, counts)
    assert not isinstance(found, ContextStream)


@pytest.mark.parametrize("count", [4095, 4096, 4097, 8193, 20_002])
@pytest.mark.parametrize("states", [1, 2, 4])
def test_streams_are_read_in_pieces_of_4096_symbols(count, states):
    symbols = np.random.default_rng(count).integers(0, 2, count).tolist()
    # The estimate decides how many states there are.
    bits = {1: 0, 2: 8 * 1000, 4: 8 * 4000}[states]
    data = written(planned(RANS, 2, b"\x01", [128, 128], scale=8, bits=bits), symbols)
    assert 1 << (data[0] >> 3) == states
    assert read_stream(data, count, 2) == symbols


@pytest.mark.parametrize(
    ("symbols", "alphabet", "expected"),
    [
        ([], 5, ""),
        ([0] * 7, 1, ""),
        ([3], 5, "03"),
        ([299], 300, "ab 02"),
        ([4999], 5000, "87 27"),
        ([3] * 6, 5, "00 03"),
        ([299] * 6, 300, "00 ab 02"),
        ([0x1234] * 3, 5000, "00 12 00 34"),
    ],
    ids=str,
)
def test_streams_without_a_payload(symbols, alphabet, expected):
    assert coded(symbols, alphabet) == stream(expected)
    assert read_stream(stream(expected), len(symbols), alphabet) == symbols


def test_stored_symbols_take_a_byte_or_two():
    assert coded(range(256), 256) == b"\x01" + bytes(range(256))
    assert read_stream(stream("01 02 00 01"), 3, 3) == [2, 0, 1]
    plan = planned(STORED, 257, b"", [0] * 257)
    assert written(plan, [256, 1]) == stream("01 0001 0100")
    assert read_stream(stream("01 0001 0100"), 2, 257) == [256, 1]


def test_a_wide_alphabet_is_two_streams():
    # High bytes below (4999 >> 8) + 1 = 20, low bytes below 256.
    assert read_stream(stream("01 12 00  01 34 01"), 2, 5000) == [0x1234, 1]
    assert read_stream(stream("01 13 00  01 87 01"), 2, 5000) == [4999, 1]
    with pytest.raises(CorruptPackage, match="symbol"):
        read_stream(stream("01 13 00  01 88 01"), 2, 5000)
    symbols = np.random.default_rng(0).integers(0, 5000, 3000)
    found = coded(symbols, 5000)
    assert read_stream(found, 3000, 5000) == symbols.tolist()


def test_4096_symbols_are_one_stream_and_one_more_makes_two():
    symbols = np.arange(4096).tolist()
    assert len(streams_of(np.ones(4096, np.uint64))) == 1
    assert len(streams_of(np.ones(4097, np.uint64))) == 2
    assert read_stream(coded(symbols, 4096), 4096, 4096) == symbols
    assert read_stream(coded(symbols, 4097), 4096, 4097) == symbols


@pytest.mark.parametrize(
    "text",
    ["02 2120 59", "02 2120 59 60 00", "02 2120 59 61", "02 2120 59 40 00", "02 2120"],
    ids=["short", "a byte more", "padding", "other bits", "none"],
)
def test_a_huffman_payload_ends_with_its_last_codeword(text):
    with pytest.raises(CorruptPackage):
        read_stream(stream(text), 7, 3)


@pytest.mark.parametrize(
    ("payload", "count"),
    [
        ("01 03", 3),
        ("00 06", 3),
        ("00 03 00", 3),
        ("00 03 0000 0000", 3),
        ("ffffff01", 34),
        ("ffffff01 80ff", 33),
        ("ffffff01 80ff 0000", 34),
        ("ffffff0100 80ff", 34),
    ],
)
def test_one_rans_state_ends_at_zero_without_words(payload, count):
    with pytest.raises(CorruptPackage, match="does not end"):
        read_stream(stream(f"{FLAT_START} {payload}"), count, 2)


@pytest.mark.parametrize(
    "payload",
    [
        FOUR[:-2],
        FOUR + "00",
        FOUR + "0000",
        FOUR.replace("8001", "8101"),
        FOUR.replace("0400", "0000"),
        TWO,
        "",
    ],
    ids=["odd", "one byte more", "a word left", "state", "below 2^24", "two states", "none"],
)
def test_four_rans_states_end_at_their_start(payload):
    with pytest.raises(CorruptPackage, match="does not end"):
        read_stream(stream(f"13 01 {payload}"), 5, 2)


@pytest.mark.parametrize(
    ("text", "count", "alphabet"),
    [
        ("", 2, 3),
        ("00", 2, 3),
        ("00 03", 2, 3),
        ("00 81 00", 2, 3),
        ("00 " + "ff" * 9 + "01", 2, 3),
        ("01 00", 2, 3),
        ("01 00 00 00", 2, 3),
        ("01 00 03", 2, 3),
        ("03", 1, 3),
        ("01 00", 1, 3),
        ("00", 2, 1),
        ("02 11", 7, 2),
        ("02 22 02 00", 7, 3),
        ("02 11 10 00", 7, 3),
        ("02 21 21 59 60", 7, 3),
        ("02 00 00 59 60", 7, 3),
        ("06 00 59", 7, 3),
    ],
    ids=str,
)
def test_streams_that_break_a_rule(text, count, alphabet):
    with pytest.raises(CorruptPackage):
        read_stream(stream(text), count, alphabet)


@pytest.mark.parametrize("form", [0x04, 0x08, 0x10, 0x05, 0x09, 0x81, 0x0A, 0x12, 0x1F])
def test_bits_that_a_coder_does_not_use_ask_for_an_upgrade(form):
    with pytest.raises(NewerVersion, match="upgrade"):
        read_stream(bytes([form]) + stream("2120 59 60"), 7, 3)


def test_a_stream_without_symbols_or_with_a_table_too_small_is_a_fault_of_the_encoder():
    with pytest.raises(RuntimeError, match="costed"):
        Stream(np.ones(3, np.uint64), THREE).data()
    plan = planned(HUFFMAN, 2, b"\x11", [15, 15])
    with pytest.raises(RuntimeError, match="estimate"):
        written(plan, [0, 1] * 4000)


@pytest.mark.parametrize(
    ("counts", "coder"),
    [
        ([0, 9], CONSTANT),
        ([1] * 256, STORED),
        ([64, 32, 16, 8, 4, 2, 1, 1], HUFFMAN),
        ([9000, 30, 5, 1], RANS),
    ],
)
def test_the_coder_with_the_fewest_bits_is_chosen(counts, coder):
    assert plan_counts(np.array(counts, np.uint64)).coder == coder


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.integers(1, 9000), st.data())
def test_any_symbols_come_back(alphabet, data):
    few = st.integers(0, min(alphabet - 1, 5))
    symbols = data.draw(st.lists(few | st.integers(0, alphabet - 1), max_size=200))
    found = coded(symbols, alphabet)
    assert read_stream(found, len(symbols), alphabet) == symbols


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(0, 2**32), st.sampled_from([2, 3, 17, 256, 4096, 65536]), st.floats(0.2, 4))
def test_skewed_symbols_come_back_and_take_little_more_than_their_entropy(seed, alphabet, skew):
    rng = np.random.default_rng(seed)
    symbols = (rng.random(6000) ** skew * rng.random(6000) ** skew * alphabet).astype(np.uint16)
    found = coded(symbols, alphabet)
    assert read_stream(found, 6000, alphabet) == symbols.tolist()
    counts = np.bincount(symbols)
    shares = counts[counts > 0] / 6000
    entropy = -(6000 / 8) * (shares * np.log2(shares)).sum()
    assert len(found) < 1.05 * entropy + 60 or alphabet > 256
