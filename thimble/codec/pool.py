"""Lets streams that look alike share one table, where that takes fewer bytes."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thimble.codec.native_library import Plan
from thimble.codec.stream_encoder import HUFFMAN, RANS, Stream, plan_counts, table_of, varint

__all__ = ["prices_of", "share_tables"]

_UNIT = 1024
# Of a symbol that a Huffman table does not have: no sum of others comes near it.
_NEVER = 1 << 40
# A stream saves its table at most; one this long hardly notices.
_LONGEST_BITS = 1 << 17


@dataclass
class _Group:
    """Streams that would share a table.

    Attributes:
        plan: The table.
        members: Numbers of the streams.
    """

    plan: Plan
    members: list[int]

    def entry(self) -> bytes:
        """Return the table as it stands in the pool."""
        return bytes([self.plan.coder]) + varint(self.plan.alphabet) + table_of(self.plan)


class _Alphabet:
    """The streams of one alphabet, and what each would cost with the table of another."""

    def __init__(self, streams: Sequence[Stream]) -> None:
        """Keep them."""
        self.streams = streams
        self._counts = np.stack([stream.counts for stream in streams]).astype(np.int64)
        self._own = np.array([stream.plan.cost_bits for stream in streams], np.int64)

    def groups(self) -> list[tuple[_Group, list[int]]]:
        """Return the groups that save bytes, and the bits of each of their members."""
        groups = self._assign([stream.plan for stream in self.streams], fixed=False)
        if len(groups) == len(self.streams):
            return []  # none likes the table of one before it
        plans = [self._fit(group).plan for group in groups]
        groups = [self._fit(group) for group in self._assign(plans, fixed=True)]
        kept = []
        for group in groups:
            if len(group.members) > 1 and self._saved(group.plan, group.members) > 0:
                bits = self._costs([group.plan])[group.members, 0]
                kept.append((group, [int(each) for each in bits]))
        return kept

    def _costs(self, plans: Sequence[Plan]) -> NDArray[np.int64]:
        """Return the bits of each stream with each table, shape (streams, plans)."""
        prices = np.stack([prices_of(plan) for plan in plans])
        # The number of the table takes a byte.
        return -(-(self._counts @ prices.T) // _UNIT) + 8

    def _assign(self, plans: Sequence[Plan], fixed: bool) -> list[_Group]:
        """Put each stream where it costs least; unless `fixed`, its own table opens a group."""
        costs = self._costs(plans)
        open_groups = [_Group(plan, []) for plan in plans] if fixed else []
        columns = list(range(len(open_groups)))
        for number in range(len(self.streams)):
            best = int(np.argmin(costs[number, columns])) if columns else -1
            if best >= 0 and costs[number, columns[best]] < self._own[number]:
                open_groups[best].members.append(number)
            elif not fixed:
                open_groups.append(_Group(plans[number], [number]))
                columns.append(number)
        return [group for group in open_groups if group.members]

    def _saved(self, plan: Plan, members: list[int]) -> int:
        """Return the bits that sharing a table saves, its entry in the pool charged."""
        gain = self._own[members] - self._costs([plan])[members, 0]
        return int(gain.sum()) - 8 * len(_Group(plan, []).entry())

    def _fit(self, group: _Group) -> _Group:
        """Fit the table of a group to all its members, if that codes them better."""
        if len(group.members) < 2:
            return group
        other = plan_counts(self._counts[group.members].sum(axis=0).astype(np.uint64))
        if other.coder not in {HUFFMAN, RANS}:
            return group
        better = self._saved(other, group.members) > self._saved(group.plan, group.members)
        return _Group(other, group.members) if better else group


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
    alphabets: defaultdict[int, list[Stream]] = defaultdict(list)
    for stream in streams:
        if stream.plan.coder in {HUFFMAN, RANS} and stream.plan.cost_bits < _LONGEST_BITS:
            alphabets[len(stream.counts)].append(stream)
    pool, number = b"", 0
    for alike in alphabets.values():
        if len(alike) < 2:
            continue
        for group, bits in _Alphabet(alike).groups():
            pool += group.entry()
            for member, cost in zip(group.members, bits, strict=True):
                shared = Plan.from_buffer_copy(group.plan)
                shared.cost_bits = cost
                alike[member].plan, alike[member].shared = shared, number
            number += 1
    return pool


def prices_of(plan: Plan) -> NDArray[np.int64]:
    """Return the bits of each symbol with a table, in 1/1024, shape (alphabet,).

    Those of rANS are rounded to the nearest, where `plan_counts` rounds them up.
    """
    codes = np.ctypeslib.as_array(plan.codes)[: plan.alphabet].astype(np.int64)
    if plan.coder == RANS:
        return np.rint((plan.scale - np.log2(codes)) * _UNIT).astype(np.int64)
    return np.where(codes, codes * _UNIT, _NEVER)
