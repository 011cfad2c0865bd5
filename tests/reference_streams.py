"""The streams of the reference decoder: bytes, bits, tables and coders (SPEC.md, section 5).

As reference_decoder.py, which it belongs to: slow, obvious, from the specification alone.
"""

from itertools import accumulate

Table = tuple[int, list[int]]  # coder; for each symbol its length (Huffman) or its Y (rANS)

CONSTANT, STORED, HUFFMAN, RANS = 0, 1, 2, 3
T = [16777216, 17520006, 18295683, 19105702, 19951584, 20834916, 21757357, 22720637]
T += [23726566, 24777031, 25874004, 27019544, 28215801, 29465021, 30769549, 32131834]


def check(condition: bool, sentence: str) -> None:
    if not condition:
        raise ValueError(sentence)


class Cursor:
    """Reads bytes, varints (section 3) and bits, most significant first (section 5)."""

    def __init__(self, data: bytes, what: str) -> None:
        self.data, self.what = data, what
        self.at, self.byte, self.bits_left = 0, 0, 0

    def take(self, size: int) -> bytes:
        check(size <= len(self.data) - self.at, f"{self.what} ends too early.")
        self.at += size
        return self.data[self.at - size : self.at]

    def integer(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little")

    def varint(self) -> int:
        value, shift, byte = 0, 0, 0x80
        while byte >= 0x80:
            byte = self.integer(1)
            check(shift < 63, f"{self.what}: a varint must be below 2^63.")
            check(byte > 0 or shift == 0, f"{self.what}: a varint has a needless last byte 00.")
            value |= (byte & 0x7F) << shift
            shift += 7
        return value

    def bits(self, count: int) -> int:
        value = 0
        for _ in range(count):
            if self.bits_left == 0:
                self.byte, self.bits_left = self.integer(1), 8
            self.bits_left -= 1
            value = value << 1 | self.byte >> self.bits_left & 1
        return value

    def rice(self, p: int) -> int:
        ones = 0
        while self.bits(1):
            ones += 1
            check(ones <= 65535, f"{self.what}: a Rice code has at most 65535 ones.")
        return ones << p | self.bits(p)

    def padding(self) -> None:
        check(self.bits(self.bits_left) == 0, f"{self.what}: padding must be zeros.")

    def finish(self) -> None:
        check(self.at == len(self.data), f"{self.what} has bytes that nothing takes.")


def read_table(cursor: Cursor, coder: int, m: int) -> Table:
    """Section 5, Huffman table and rANS table."""
    if coder == RANS:
        start = cursor.at
        curve = read_curve(cursor, m)
        check(cursor.at - start <= 16384, "A rANS table takes at most 16384 bytes.")
        return RANS, curve
    lengths = [nibble for byte in cursor.take((m + 1) // 2) for nibble in (byte >> 4, byte & 15)]
    check(not any(lengths[m:]), "The padding of Huffman lengths must be 0.")
    complete = sum(2 ** (15 - length) for length in lengths if length) == 2**15
    check(complete, "Huffman lengths must be complete: the sum of 2^-length is 1.")
    return HUFFMAN, lengths[:m]


def read_curve(cursor: Cursor, m: int) -> list[int]:
    """Section 5, rANS table: Y(s)."""
    knots = cursor.varint()
    check(1 <= knots <= m, f"K must be 1 to m. Received: K={knots}, m={m}.")
    if knots == 1:
        return [0] * m
    form = cursor.integer(1)
    r, p, spacing = form & 3, form >> 2 & 7, form >> 5
    check(spacing <= 1, "Bits 6 and 7 of a rANS table must be 0.")
    levels = [0]
    for _ in range(knots - 1):
        v = cursor.rice(p)
        levels.append(levels[-1] + (v // 2 if v % 2 == 0 else -(v + 1) // 2))
        check(abs(levels[-1]) < 2**15, "A level must stay below 2^15.")
    cursor.padding()
    y = [level * 16 // 2**r for level in levels]
    x = [j * (m - 1) // (knots - 1) for j in range(knots)]
    if spacing == 1:
        g = [0, 1, 2, 3] + [step << e for e in range(1, knots) for step in (2, 3)]
        x = [min(m - 1, g[j]) for j in range(knots - 1)] + [m - 1]
        check(x[-2] < m - 1, "The knot before the last must be below m - 1.")
    curve = [y[0]]
    for j in range(knots - 1):
        for s in range(x[j] + 1, x[j + 1] + 1):
            curve.append(y[j] + (y[j + 1] - y[j]) * (s - x[j]) // (x[j + 1] - x[j]))
    return curve


def read_pool(data: bytes) -> list[Table]:
    """Section 5, the pool."""
    cursor, pool = Cursor(data, "The pool"), []
    while cursor.at < len(data):
        coder, m = cursor.integer(1), cursor.varint()
        check(coder in (HUFFMAN, RANS), "A table of the pool must be 2 (Huffman) or 3 (rANS).")
        check(2 <= m <= 4096, f"A table of the pool must have m from 2 to 4096. Received: {m}.")
        pool.append(read_table(cursor, coder, m))
    return pool


def frequencies(curve: list[int], total: int) -> list[int]:
    """Section 5, frequencies: f(s), which sum to M, here `total`."""
    m, highest, weights = len(curve), max(curve), []
    check(total >= 2 * m, f"M must be at least 2m. Received: M={total}, m={m}.")
    for y in curve:
        d = highest - y
        e = (d + 15) // 16
        weights.append(0 if e >= 40 else T[16 * e - d] // 2**e)
    sum_of_weights = sum(weights)
    f = [1 + weight * (total - m) // sum_of_weights for weight in weights]
    f[weights.index(max(weights))] += total - sum(f)
    return f


def decode_huffman(cursor: Cursor, lengths: list[int], count: int) -> list[int]:
    """Section 5, codewords."""
    symbol_of, code, before = {}, 0, 0
    for length, symbol in sorted((length, s) for s, length in enumerate(lengths) if length):
        code <<= length - before
        symbol_of[length, code] = symbol
        code, before = code + 1, length
    symbols = []
    for _ in range(count):
        length, code = 1, cursor.bits(1)
        while (length, code) not in symbol_of:
            length, code = length + 1, code << 1 | cursor.bits(1)
        symbols.append(symbol_of[length, code])
    cursor.padding()
    cursor.finish()
    return symbols


def read_states(cursor: Cursor, states: int) -> list[int]:
    """Section 5, rANS payload: what stands before the words."""
    size = len(cursor.data)
    if states > 1:
        words = size - 5 * states
        check(words >= 0 and words % 2 == 0, f"{states} states and words do not take {size} bytes.")
        x = [cursor.integer(5) for _ in range(states)]
        check(min(x) >= 2**24, f"Each of {states} states must be at least 2^24.")
        return x
    state_bytes = size if size <= 5 else 5 if size % 2 else 4
    state = cursor.integer(state_bytes)
    if size > 5:
        least = 2**32 if state_bytes == 5 else 2**24
        check(state >= least, f"A state before words must be at least {least}.")
    else:
        check(size == 0 or state >= 256 ** (size - 1), "A state's last byte must not be 0.")
    return [state]


def decode_rans(
    cursor: Cursor, tables: list[list[int]], thresholds: list[int], count: int, states: int
) -> list[int]:
    """Section 5, rANS payload: frequencies for each class, which the symbol before chooses."""
    size, total = len(cursor.data), sum(tables[0])
    x = read_states(cursor, states)
    starts = [list(accumulate(f, initial=0)) for f in tables]
    symbol_at = [[s for s in range(len(f)) for _ in range(f[s])] for f in tables]
    symbols: list[int] = []
    for i in range(count):
        k = sum(threshold <= symbols[-1] for threshold in thresholds) if i > 0 else 0
        state = x[i % states]
        q = state % total
        s = symbol_at[k][q]
        state = tables[k][s] * (state // total) + q - starts[k][s]
        if state < 2**24 and cursor.at < size:
            state = state * 2**16 + cursor.integer(2)
        x[i % states] = state
        symbols.append(s)
    end = 0 if states == 1 else 2**24
    check(all(state == end for state in x), f"At its end a rANS state must be {end}.")
    cursor.finish()
    return symbols


def read_stream(
    cursor: Cursor, count: int, m: int, pool: list[Table], last: bool = False
) -> list[int]:
    """Section 5, streams: `count` symbols of an alphabet of m; the `last` ends with the row."""
    check(m >= 1 or count == 0, f"{cursor.what} has symbols of an empty alphabet.")
    if count == 0 or m == 1:
        return [0] * count
    if count == 1:
        symbols = [cursor.varint()]
    elif m > 4096:
        high = read_stream(cursor, count, (m - 1 >> 8) + 1, pool)
        low = read_stream(cursor, count, 256, pool, last)
        symbols = [a << 8 | b for a, b in zip(high, low, strict=True)]
    else:
        symbols = read_coded(cursor, count, m, pool, last)
    check(max(symbols) < m, f"{cursor.what}: a symbol must be below {m}.")
    return symbols


def read_contexts(cursor: Cursor, m: int, total: int) -> tuple[list[int], list[list[int]]]:
    """Section 5, contexts: the thresholds, and the curve of each class."""
    number = cursor.varint()
    check(1 <= number <= 15, f"There must be 1 to 15 thresholds. Received: {number}.")
    thresholds = [cursor.varint() for _ in range(number)]
    bounds = [0, *thresholds, m]
    rising = all(bounds[i] < bounds[i + 1] for i in range(number + 1))
    check(rising, f"Thresholds must ascend, from 1 to {m - 1}. Received: {thresholds}.")
    check((number + 1) * total <= 2**17, "Classes times M must be at most 2^17.")
    return thresholds, [read_table(cursor, RANS, m)[1] for _ in range(number + 1)]


def read_coded(cursor: Cursor, count: int, m: int, pool: list[Table], last: bool) -> list[int]:
    """Section 5: the byte `coder` and what follows it."""
    coder = cursor.integer(1)
    method, pooled, parallel, scale = coder & 3, coder >> 2 & 1, coder >> 3 & 3, 8 + (coder >> 5)
    unused = {CONSTANT: coder >> 2, STORED: coder >> 2, HUFFMAN: coder >> 3, RANS: 0}[method]
    check(unused == 0, "The bits that a coder does not use must be 0.")
    if method == CONSTANT:
        return [cursor.varint()] * count
    if method == STORED:
        return [cursor.integer(2 if m > 256 else 1) for _ in range(count)]
    thresholds: list[int] = []
    if parallel == 3:
        check(not pooled, "Contexts have tables of their own.")
        thresholds, tables = read_contexts(cursor, m, 2**scale)
    else:
        number = cursor.varint() if pooled else 0
        check(not pooled or number < len(pool), f"{cursor.what}: the pool has no table {number}.")
        table_coder, per_symbol = pool[number] if pooled else read_table(cursor, method, m)
        fits = table_coder == method and len(per_symbol) == m
        check(fits, f"{cursor.what}: a table of the pool must be of the stream's coder and m.")
        tables = [per_symbol]
    size = len(cursor.data) - cursor.at if last else cursor.varint()
    payload = Cursor(cursor.take(size), f"{cursor.what}: a payload")
    if method == HUFFMAN:
        return decode_huffman(payload, tables[0], count)
    f = [frequencies(curve, 2**scale) for curve in tables]
    return decode_rans(payload, f, thresholds, count, (1, 2, 4, 1)[parallel])
