"""Abuses of streams and of their payloads (SPEC.md, section 5)."""

from collections.abc import Sequence

from tests.attacks.sealing import bits, coded, listing, tensor, varint

ABUSES, raises = listing()
_HUFFMAN, _RANS = 2, 3
# The numbers of states; scale 8 is 0.
_TWO, _FOUR = 1 << 3, 2 << 3
SYMBOLS = [0, 1, 1, 0, 1, 0, 0, 1]
_LOWEST = 1 << 24


def two_streams(first: bytes) -> bytes:
    """Return a package of int16 planes: `first`, and a constant one."""
    return tensor("dense-planes", first + b"\0\0", [8], dtype="int16")


def rans(symbols: Sequence[int], states: int = 1, first: int = 0) -> tuple[list[int], list[int]]:
    """Return the states and the words of symbols of a flat alphabet of 2 at scale 8."""
    state, words = [first] * states, []
    for place in range(len(symbols) - 1, -1, -1):
        x = state[place % states]
        if x >= 128 << 32:
            words.append(x & 0xFFFF)
            x >>= 16
        state[place % states] = (x // 128 << 8) + x % 128 + 128 * symbols[place]
    return state, words[::-1]


def payload(states: Sequence[int], words: Sequence[int] = ()) -> bytes:
    """Return states and words; one state takes no byte more than it must."""
    size = 5 if len(states) > 1 else -(-states[0].bit_length() // 8)
    joined = [state.to_bytes(size, "little") for state in states]
    return b"".join([*joined, *(word.to_bytes(2, "little") for word in words)])


def flat(coder: int, data: bytes, elements: int = 8) -> bytes:
    """Return a package with a rANS stream of a flat curve."""
    return coded(bytes([coder]) + b"\1" + data, elements=elements)


@raises("CorruptPackage", "ends before what it announces")
def stream_missing() -> bytes:
    """Eight symbols of two, and no stream."""
    return coded(b"")


@raises("CorruptPackage", "outside its alphabet")
def stream_of_one_symbol_outside() -> bytes:
    """A single symbol is a number: 2 of an alphabet of two."""
    return coded(b"\2", elements=1)


@raises("CorruptPackage", "outside its alphabet")
def stream_of_one_symbol_wraps() -> bytes:
    """A single symbol 2^32: 0 in 32 bits."""
    return coded(varint(1 << 32), elements=1)


@raises("CorruptPackage", "outside its alphabet")
def stream_constant_outside() -> bytes:
    """All symbols are 2 of an alphabet of two."""
    return coded(b"\0\2")


@raises("CorruptPackage", "outside its alphabet")
def stream_constant_wraps() -> bytes:
    """All symbols are 2^32: 0 in 32 bits."""
    return coded(b"\0" + varint(1 << 32))


@raises("CorruptPackage", "outside its alphabet")
def stream_stored_outside() -> bytes:
    """The last stored symbol is 2 of an alphabet of two: it would be read behind the codebook."""
    return coded(b"\1" + bytes([0, 1, 0, 1, 0, 1, 0, 2]))


@raises("CorruptPackage", "outside its alphabet")
def stream_stored_wide_outside() -> bytes:
    """Stored symbols of two bytes, the last one 0xFFFF of an alphabet of 300."""
    return coded(b"\1" + bytes(14) + b"\xff\xff", entries=300)


@raises("CorruptPackage", "ends before what it announces")
def stream_stored_short() -> bytes:
    """Seven stored symbols of eight."""
    return coded(b"\1" + bytes(7))


@raises("CorruptPackage", "bits are left over")
def stream_stored_long() -> bytes:
    """Nine stored symbols of eight."""
    return coded(b"\1" + bytes(9))


@raises("CorruptPackage", "outside its alphabet")
def stream_wide_high_outside() -> bytes:
    """An alphabet of 5000 in two streams: 20 is outside the high bytes'."""
    return coded(b"\0\x14" + b"\0\0", entries=5000)


@raises("CorruptPackage", "outside its alphabet")
def stream_wide_outside() -> bytes:
    """High byte 19 and low byte 136 are in their alphabets; 5000 is not in that of both."""
    return coded(b"\0\x13" + b"\0" + varint(136), entries=5000)


@raises("NewerVersion", "does not know")
def stream_coder_bits() -> bytes:
    """A constant stream with a bit that it does not use."""
    return coded(b"\x10\0")


@raises("NewerVersion", "does not know")
def stream_stored_pooled() -> bytes:
    """A stored stream has no table that could be in the pool."""
    return coded(b"\5" + bytes(8))


@raises("NewerVersion", "does not know")
def stream_huffman_states() -> bytes:
    """A Huffman stream has no states."""
    return coded(bytes([_HUFFMAN | _TWO]) + b"\x11\0")


@raises("CorruptPackage", "ends before what it announces")
def stream_size_outside() -> bytes:
    """A payload of 2^40 bytes that is not the last one."""
    return two_streams(bytes([_HUFFMAN]) + b"\x11" + bytes(127) + varint(1 << 40))


@raises("CorruptPackage", "ends before what it announces")
def stream_size_2_to_63() -> bytes:
    """A payload of 2^63 - 1 bytes: added to an address it may come out before it."""
    return two_streams(bytes([_HUFFMAN]) + b"\x11" + bytes(127) + varint((1 << 63) - 1))


@raises("CorruptPackage", "does not end as it must")
def huffman_short() -> bytes:
    """Bits for eight symbols of nine: the ninth would come from behind the payload."""
    return coded(bytes([_HUFFMAN]) + b"\x11" + bits("01100110"), elements=9)


@raises("CorruptPackage", "does not end as it must")
def huffman_empty() -> bytes:
    """No bits at all."""
    return coded(bytes([_HUFFMAN]) + b"\x11")


@raises("CorruptPackage", "does not end as it must")
def huffman_long() -> bytes:
    """A byte more than the symbols take."""
    return coded(bytes([_HUFFMAN]) + b"\x11" + bits("01100110") + b"\0")


@raises("CorruptPackage", "does not end as it must")
def huffman_padding() -> bytes:
    """A bit hides in the padding."""
    return coded(bytes([_HUFFMAN]) + b"\x11" + bits("0110011", "1"), elements=7)


@raises("CorruptPackage", "does not end as it must")
def huffman_half_a_codeword() -> bytes:
    """The payload ends within a codeword of two bits."""
    return coded(bytes([_HUFFMAN]) + b"\x12\x20" + bits("0101010", "1"), entries=3, elements=8)


@raises("CorruptPackage", "does not end as it must")
def rans_state_left() -> bytes:
    """The state after the last symbol is 1."""
    states, words = rans(SYMBOLS, first=1)
    return flat(_RANS, payload(states, words))


@raises("CorruptPackage", "does not end as it must")
def rans_word_left() -> bytes:
    """A word more than the symbols take."""
    states, words = rans(SYMBOLS)
    return flat(_RANS, payload(states, [*words, 7]))


@raises("CorruptPackage", "does not end as it must")
def rans_word_missing() -> bytes:
    """A word less than the symbols take."""
    states, words = rans(SYMBOLS * 16)
    return flat(_RANS, payload(states, words[:-1]), elements=8 * 16)


@raises("CorruptPackage", "does not end as it must")
def rans_byte_missing() -> bytes:
    """A byte less than the symbols take: all words are torn apart."""
    states, words = rans(SYMBOLS * 16)
    return flat(_RANS, payload(states, words)[:-1], elements=8 * 16)


@raises("CorruptPackage", "does not end as it must")
def rans_state_low() -> bytes:
    """A state below 2^24 before a word."""
    return flat(_RANS, bytes(4) + b"\1\0")


@raises("CorruptPackage", "does not end as it must")
def rans_two_states_left() -> bytes:
    """Two states, the second of which ends at 2^24 + 1."""
    states, words = rans(SYMBOLS, 2, _LOWEST)
    states[1] = rans(SYMBOLS[1::2], 1, _LOWEST + 1)[0][0]
    return flat(_RANS | _TWO, payload(states, words))


@raises("CorruptPackage", "does not end as it must")
def rans_state_not_shortest() -> bytes:
    """A state of two bytes that are 0, as no byte would say too."""
    return flat(_RANS, bytes(2))


@raises("CorruptPackage", "does not end as it must")
def rans_empty() -> bytes:
    """Four states, none of which is there."""
    return flat(_RANS | _FOUR, b"")


@raises("CorruptPackage", "does not end as it must")
def rans_four_states_odd() -> bytes:
    """Four states and half a word."""
    states, _ = rans(SYMBOLS, 4, _LOWEST)
    return flat(_RANS | _FOUR, payload(states) + b"\0")


@raises("CorruptPackage", "does not end as it must")
def rans_four_states_short() -> bytes:
    """Three states and two thirds of the fourth."""
    states, _ = rans(SYMBOLS, 4, _LOWEST)
    return flat(_RANS | _FOUR, payload(states)[:-2])


@raises("CorruptPackage", "does not end as it must")
def rans_four_states_low() -> bytes:
    """A state below 2^24."""
    states, _ = rans(SYMBOLS, 4, _LOWEST)
    return flat(_RANS | _FOUR, payload([*states[:3], _LOWEST - 1]))


@raises("CorruptPackage", "does not end as it must")
def rans_four_states_left() -> bytes:
    """The third state ends at 2^24 + 1."""
    states, _ = rans(SYMBOLS, 4, _LOWEST)
    states[2] = rans([SYMBOLS[2], SYMBOLS[6]], 1, _LOWEST + 1)[0][0]
    return flat(_RANS | _FOUR, payload(states))


@raises("CorruptPackage", "does not end as it must")
def rans_four_states_word_left() -> bytes:
    """A word more than the symbols take."""
    states, _ = rans(SYMBOLS, 4, _LOWEST)
    return flat(_RANS | _FOUR, payload(states, [7]))
