"""Lets streams that look alike share one table, where that takes fewer bytes."""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from thimble.codec.native_library import LIBRARY, Plan, address_of
from thimble.codec.stream_encoder import HUFFMAN, RANS, Stream, plan_counts, table_of, varint

__all__ = ["share_tables"]

_NEVER = (1 << 64) - 1
_ROUNDS = 2


@dataclass
class _Group:
    """Streams that would share a table."""

    plan: Plan
    members: list[Stream] = field(default_factory=list)

    def entry(self) -> bytes:
        """Return the table as it stands in the pool."""
        return bytes([self.plan.coder]) + varint(self.plan.alphabet) + table_of(self.plan)

    def saved_bits(self) -> int:
        """Return what sharing saves, the entry in the pool charged."""
        gain = sum(
            int(stream.plan.cost_bits) - _shared_bits(self.plan, stream.counts)
            for stream in self.members
        )
        return gain - 8 * len(self.entry())


def share_tables(streams: Sequence[Stream]) -> bytes:
    """Move tables to the pool where that saves bytes.

    Greedy: each stream joins the group whose table codes it best; a group's table is fitted to all
    its members, and streams choose once more.

    Args:
        streams: All streams of a package, in order. Those that share get the plan of their group
            and its number.

    Returns:
        The bytes of the pool.
    """
    coded = [stream for stream in streams if stream.plan.coder in {HUFFMAN, RANS}]
    groups: list[_Group] = []
    for _ in range(_ROUNDS):
        groups = _fit(_assign(coded, [group.plan for group in groups]))
    pool = b""
    kept = [group for group in groups if len(group.members) > 1 and group.saved_bits() > 0]
    for number, group in enumerate(kept):
        pool += group.entry()
        for stream in group.members:
            shared = Plan.from_buffer_copy(group.plan)
            shared.cost_bits = LIBRARY.th_cost_bits(
                ctypes.byref(shared), address_of(np.ascontiguousarray(stream.counts))
            )
            stream.plan, stream.shared = shared, number
    return pool


def _assign(streams: Sequence[Stream], plans: Sequence[Plan]) -> list[_Group]:
    """Put each stream in the group that codes it in the fewest bits, or in a new one."""
    groups = [_Group(plan) for plan in plans]
    for stream in streams:
        costs = [_shared_bits(group.plan, stream.counts) for group in groups]
        best = int(np.argmin(np.array(costs, np.uint64))) if costs else -1
        if best >= 0 and costs[best] < stream.plan.cost_bits:
            groups[best].members.append(stream)
        else:
            groups.append(_Group(stream.plan, [stream]))
    return [group for group in groups if group.members]


def _fit(groups: Sequence[_Group]) -> list[_Group]:
    """Fit the table of each group to all its members, if that codes them better."""
    fitted = []
    for group in groups:
        if len(group.members) > 1:
            total = np.stack([stream.counts for stream in group.members]).sum(axis=0)
            other = _Group(plan_counts(total), group.members)
            usable = other.plan.coder in {HUFFMAN, RANS}
            if usable and other.saved_bits() > group.saved_bits():
                group = other  # noqa: PLW2901
        fitted.append(group)
    return fitted


def _shared_bits(plan: Plan, counts: NDArray[np.uint64]) -> int:
    """Return the bits of a stream with a table of the pool; too many to ever pay if it cannot."""
    if plan.alphabet != len(counts):
        return _NEVER
    counts = np.ascontiguousarray(counts)
    bits = int(LIBRARY.th_cost_bits(ctypes.byref(plan), address_of(counts)))
    # The number of the table takes a byte.
    return bits + 8 if bits < _NEVER - 8 else _NEVER
