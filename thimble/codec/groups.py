"""Groups of channels whose values are alike, each coded by a table of its own.

Folding batch normalisation scales every output channel by another factor, so that the values of a
layer are far from equally distributed over its channels.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thimble.codec.native_library import LIBRARY, address_of
from thimble.codec.stream_encoder import Stream, entropy_bytes, histogram, streams_of, varint

__all__ = ["Groups", "GroupsDraft", "draft_groups"]

_NOTHING_SKIPPED = (1 << 32) - 1
_PROBE = 4
# Of the clustering: for choosing how many groups, and then for the best ones.
_ROUNDS, _LAST_ROUNDS = 2, 8
_FEWER = (3, 2)
_MORE = (6, 8, 12, 16, 24, 32)
_FEWEST_CHANNELS = 4
_MAX_CHANNELS = 4096
_MAX_CELLS = 1 << 21
# A channel with fewer values says too little about itself.
_VALUES_PER_CHANNEL = 8
# What a group's table, counts and sizes take, for choosing their number before tables are fitted.
_GROUP_BITS = 56
_SYMBOL_BITS = 2.2
_TABLE_SYMBOLS = 24


@dataclass(frozen=True)
class _Axis:
    """A way to cut elements in channels: element e is of channel e // stride % channels.

    Attributes:
        stride: Elements between neighbouring channels.
        channels: How many there are.
        counts: Of each symbol that is coded, shape (channels, alphabet), uint32.
    """

    stride: int
    channels: int
    counts: NDArray[np.uint32]


@dataclass(frozen=True)
class Groups:
    """How values are coded in groups of channels.

    Attributes:
        axis: The channels.
        members: Group of each channel, shape (channels,), uint8.
        header: Streams that say which channel is in which group.
        streams: Of each group; none for a group whose values take no bits.
        sizes: Values of each group.
    """

    axis: _Axis
    members: NDArray[np.uint8]
    header: list[Stream]
    streams: list[list[Stream]]
    sizes: list[int]

    @property
    def cost_bytes(self) -> int:
        """Estimated bytes."""
        streams = [*self.header, *(stream for group in self.streams for stream in group)]
        return len(self._numbers()) + len(self._sizes()) + sum(each.cost_bytes for each in streams)

    def parts(
        self, symbols: NDArray[Any], skipped: int | None, values: NDArray[np.uint16]
    ) -> list[bytes | Stream]:
        """Return what the values take, ready to be written.

        Args:
            symbols: Of all elements, uint8 or uint16.
            skipped: The symbol that is not kept, or None.
            values: Of the kept elements, in order.
        """
        groups = np.empty(len(values) + 1, np.uint8)
        LIBRARY.th_kept_groups(
            address_of(symbols),
            symbols.itemsize,
            len(symbols),
            self.axis.stride,
            self.axis.channels,
            _NOTHING_SKIPPED if skipped is None else skipped,
            address_of(self.members),
            address_of(groups),
        )
        ordered = values[np.argsort(groups[:-1], kind="stable")]
        ends = np.cumsum(self.sizes)
        parts: list[bytes | Stream] = [self._numbers(), *self.header, self._sizes()]
        for planned, start, end in zip(self.streams, [0, *ends[:-1]], ends, strict=True):
            for stream in planned:
                stream.symbols = np.ascontiguousarray(ordered[start:end])
            parts += planned
        # The last group is the end of the row even if its values take nothing.
        return parts if self.streams[-1] else [*parts, b""]

    def _numbers(self) -> bytes:
        """Return the number of groups and how elements fall in channels."""
        return varint(len(self.streams)) + varint(self.axis.stride) + varint(self.axis.channels)

    def _sizes(self) -> bytes:
        """Return how many values each group has."""
        return b"".join(varint(size) for size in self.sizes)


@dataclass(frozen=True)
class GroupsDraft:
    """Groups whose tables are not fitted yet.

    Attributes:
        axis: The channels.
        members: Group of each channel, shape (channels,), uint8.
        rough_bytes: What they will take, about.
    """

    axis: _Axis
    members: NDArray[np.uint8]
    rough_bytes: int

    def plan(self) -> Groups:
        """Fit the tables."""
        groups = int(self.members.max()) + 1
        header = streams_of(histogram(self.members, groups), self.members.astype(np.uint16))
        streams, sizes = [], []
        for group in range(groups):
            counts = self.axis.counts[self.members == group].sum(axis=0, dtype=np.uint64)
            streams.append(streams_of(counts))
            sizes.append(int(counts.sum()))
        return Groups(self.axis, self.members, header, streams, sizes)


def draft_groups(
    symbols: NDArray[Any], shape: tuple[int, ...], alphabet: int, skipped: int | None
) -> GroupsDraft | None:
    """Find groups of channels that make values cheaper, if any do.

    Args:
        symbols: Codebook index of each element, uint8 or uint16, shape (elements,).
        shape: Of the array.
        alphabet: Entries of the codebook, 2 to 4096.
        skipped: The entry that is not coded, or None.
    """
    best: _Axis | None = None
    chosen: NDArray[np.uint8] | None = None
    least = math.inf
    for axis in _axes(symbols, shape, alphabet, skipped):
        together = _entropy_bits(axis.counts.sum(axis=0))
        found, bits = _group(axis, min(_PROBE, axis.channels))
        cost = _rough_bits(axis, found, bits)
        if cost < together and cost < least:
            best, chosen, least = axis, found, cost
    if best is None or chosen is None:
        return None
    members = chosen
    for sizes in (_FEWER, _MORE):
        worse = 0
        for size in sizes:
            if size > best.channels or worse > 1:
                break
            found, bits = _group(best, size)
            cost = _rough_bits(best, found, bits)
            worse += 1
            if cost < least:
                members, least, worse = found, cost, 0
    members, bits = _group(best, int(members.max()) + 1, _LAST_ROUNDS)
    least = _rough_bits(best, members, bits)
    # Groups that lost all their channels are left out.
    _, renumbered = np.unique(members, return_inverse=True)
    members = renumbered.astype(np.uint8)
    return GroupsDraft(best, members, int(least) // 8) if int(members.max()) else None


def _axes(
    symbols: NDArray[Any], shape: tuple[int, ...], alphabet: int, skipped: int | None
) -> list[_Axis]:
    """Return the axes worth trying: the first and the last two, as layers keep their channels."""
    axes = []
    for axis in sorted({0, len(shape) - 2, len(shape) - 1}):
        if axis < 0 or len(shape) < 2:
            continue
        channels, stride = shape[axis], math.prod(shape[axis + 1 :])
        fits = _FEWEST_CHANNELS <= channels <= _MAX_CHANNELS and channels * alphabet <= _MAX_CELLS
        if not fits or len(symbols) < channels * _VALUES_PER_CHANNEL:
            continue
        counts = np.zeros((channels, alphabet), np.uint32)
        LIBRARY.th_channel_histogram(
            address_of(symbols),
            symbols.itemsize,
            len(symbols),
            stride,
            channels,
            alphabet,
            address_of(counts),
        )
        if skipped is not None:
            counts = np.delete(counts, skipped, axis=1)
        axes.append(_Axis(stride, channels, np.ascontiguousarray(counts)))
    return axes


def _group(axis: _Axis, groups: int, rounds: int = _ROUNDS) -> tuple[NDArray[np.uint8], int]:
    """Return the group of each channel, and the bits of all symbols by their group's entropy."""
    members = np.zeros(axis.channels, np.uint8)
    bits = LIBRARY.th_group_channels(
        address_of(axis.counts), *axis.counts.shape, groups, rounds, address_of(members)
    )
    return members, int(bits)


def _rough_bits(axis: _Axis, members: NDArray[np.uint8], bits: int) -> float:
    """Estimate the bits with tables and the members."""
    used = int(np.count_nonzero(axis.counts.sum(axis=0)))
    groups = int(members.max()) + 1
    tables = groups * (_GROUP_BITS + _SYMBOL_BITS * min(used, _TABLE_SYMBOLS))
    return bits + tables + _entropy_bits(np.bincount(members))


def _entropy_bits(counts: NDArray[Any]) -> int:
    """Return the bits of symbols with these counts by their entropy."""
    return 8 * entropy_bytes(np.ascontiguousarray(counts, np.uint64))
