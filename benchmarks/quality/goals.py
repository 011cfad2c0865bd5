"""What the curve was to reach, fixed before the first training, and what came out."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmarks.quality.equal_dice import Point, interpolated_bytes, smallest_at
from benchmarks.quality.kinds import BASELINE
from benchmarks.quality.recipes import STUDENTS, WHOLE_STUDENTS
from benchmarks.quality.results import Results, Row

__all__ = ["COMPARISONS", "GOALS", "NOT_RUN", "Goal", "at_narrow_dice", "comparisons", "points"]

NOT_RUN = "not run"
MARGIN = 0.005
INT8_MARGIN = 0.003
STUDENT_BYTES = 25_000
SEEDS_ASKED = 5
# What is measured in words, and whether it reaches the goal.
Finding = tuple[str, bool | None]
MISSING: Finding = (NOT_RUN, None)


@dataclass(frozen=True)
class Goal:
    """One figure.

    Attributes:
        text: What is measured.
        asked: The limit in words.
        find: What was measured, and whether that is within the limit; None: not run.
        cells: A goal of recipes that have such cells, as patterns.
    """

    text: str
    asked: str
    find: Callable[[Results], Finding]
    cells: tuple[str, ...]


def points(results: Results, seeds: set[int]) -> list[Point]:
    """Return our packages as points of the curve, means over the seeds that are asked for."""
    found = []
    for row in results.rows.values():
        if row.kind.curve and seeds <= row.scores.keys():
            chosen = Row(row.cell, row.network, {seed: row.scores[seed] for seed in seeds})
            name = f"{row.cell} {row.network}"
            found.append(Point(name, chosen.forms[".thimble"], chosen.dice))
    return found


@dataclass(frozen=True)
class AtDice:
    """Our bytes at the Dice of a narrow network.

    Attributes:
        narrow: Its cell.
        size: Its bytes as int8 and zstd -19.
        dice: Its Dice.
        package: Our smallest package whose Dice is not lower; None: none was measured.
        between: Bytes between two neighbours of our curve; None outside of it.
    """

    narrow: str
    size: float
    dice: float
    package: Point | None
    between: float | None


def at_narrow_dice(results: Results) -> list[AtDice]:
    """Return our bytes at the Dice of every narrow network, by its size."""
    found = []
    for row in results.arm("narrow", ["int8"]):
        if ours := points(results, set(row.scores)):
            size, dice = row.forms["zstd -19"], row.dice
            package, between = smallest_at(ours, dice), interpolated_bytes(ours, dice)
            found.append(AtDice(row.cell, size, dice, package, between))
    return sorted(found, key=lambda item: item.size)


# First and second cell of the comparisons that are made beside those with the baseline.
COMPARISONS = (
    ("surgery against magnitude pruning, 95 %", "teacher-95-pruned", "magnitude-95"),
    ("rate-aware against plain quantization, 95 %", "teacher-95", "teacher-95-plain"),
    ("taught by the baseline against by itself, 95 %", "taught-95", "teacher-95"),
    *(
        (f"{what}, base {width}", f"student-{width}-{first}", second.format(width))
        for what, first, second, widths in (
            ("distilled against alone, uncompressed", "whole", "narrow-{}", WHOLE_STUDENTS),
            ("student as it ships against alone, uncompressed", "small", "narrow-{}", STUDENTS),
            (
                "student as it ships against itself uncompressed",
                "small",
                "student-{}-whole",
                WHOLE_STUDENTS,
            ),
        )
        for width in widths
    ),
)


def comparisons(results: Results) -> Iterator[tuple[str, str, str, dict[str, float] | None]]:
    """Yield text, cells and the paired bootstrap of float32 of two arms."""
    for text, first, second in COMPARISONS:
        found = results.difference(results.get(first), results.get(second))
        yield text, first, second, found


def _points(value: float) -> str:
    """Write a difference of Dice in points."""
    return f"{100 * value:+.2f}"


def _within(found: dict[str, float], margin: float) -> bool:
    """Return whether a network is shown to be no worse by more than a margin."""
    return found["lower_one_sided_95"] >= -margin


def _teacher(results: Results) -> Finding:
    """Return the largest ratio of a teacher's package within 0.5 points."""
    compared = [
        (row, results.to_baseline(row)) for name in ("teacher", "cut") for row in results.arm(name)
    ]
    known = [(row, found) for row, found in compared if found]
    if not known:
        return MISSING
    good = [(results.float32_bytes / row.forms[".thimble"], row, found) for row, found in known
            if _within(found, MARGIN)]  # fmt: skip
    if not good:
        return "no package within 0.5 points", False
    ratio, row, found = max(good, key=lambda item: item[0])
    bound = _points(found["lower_one_sided_95"])
    return f"{ratio:.1f}x ({row.cell} {row.network}, bound {bound})", ratio >= 60  # noqa: PLR2004


def _narrow(results: Results) -> Finding:
    """Return the largest share of a narrow network's bytes that we need at its Dice."""
    found = at_narrow_dice(results)
    if not found:
        return MISSING
    lacking = [item.narrow for item in found if not item.package]
    if lacking:
        return f"no package of ours at the Dice of {', '.join(lacking)}", False
    shares = {item.narrow: item.package.size / item.size for item in found if item.package}
    worst = max(shares, key=lambda name: shares[name])
    return f"{shares[worst]:.3f} at worst ({worst})", shares[worst] <= 1 / 3


def _pair(first: str, second: str, good: Callable[[dict[str, float]], bool]) -> Callable[
    [Results], Finding
]:  # fmt: skip
    """Return how two cells compare in float32."""

    def find(results: Results) -> Finding:
        found = results.difference(results.get(first), results.get(second))
        if not found:
            return MISSING
        bound = _points(found["lower_one_sided_95"])
        return f"{_points(found['mean'])}, bound {bound}", good(found)

    return find


def _student_bytes(results: Results) -> Finding:
    """Return the bytes of the smallest form of the student of base 4."""
    rows = [row for row in results.arm("student") if row.cell == "student-4-small"]
    if not rows:
        return MISSING
    size = min(row.forms[".thimble"] for row in rows)
    return f"{size:,.0f} bytes", size <= STUDENT_BYTES


def _student_trains(results: Results) -> Finding:
    """Return in how many seeds the student of base 2 reaches half of the baseline's Dice."""
    row, baseline = results.get("student-2-small"), results.get(BASELINE)
    if not row or not baseline:
        return MISSING
    reached = {s: d >= baseline.dice / 2 for s, d in row.dice_by_seed.items()}
    return (
        f"{sum(reached.values())} of {len(reached)}",
        all(reached.values()) and len(reached) >= SEEDS_ASKED,
    )


def _int8(results: Results) -> Finding:
    """Return the worst difference of int8 to float32 of the same network."""
    worst: dict[str, float] | None = None
    for row in [*results.arm("baseline", ["int8"]), *results.arm("teacher", ["int8"])]:
        found = results.difference(row, results.get(row.cell))
        if found and (not worst or found["lower_one_sided_95"] < worst["lower_one_sided_95"]):
            worst = found
    if not worst:
        return MISSING
    bound = _points(worst["lower_one_sided_95"])
    return f"{_points(worst['mean'])}, bound {bound} at worst", _within(worst, INT8_MARGIN)


def _speed(names: tuple[str, ...], variant: str, least: float) -> Callable[[Results], Finding]:
    """Return how many times faster than float32 of the baseline the slowest of an arm is."""

    def find(results: Results) -> Finding:
        timed = results.latency.get("networks", {})
        found = [
            row["speedup"]
            for name, row in timed.items()
            if name.startswith(names) and name.endswith(variant)
        ]
        return (f"{min(found):.2f}x", min(found) >= least) if found else MISSING

    return find


def _channels(results: Results) -> Finding:
    """Return the worst difference of a network with channels cut."""
    found = [d for row in results.arm("channels") if (d := results.to_baseline(row))]
    if not found:
        return MISSING
    worst = min(found, key=lambda item: item["lower_one_sided_95"])
    bound = _points(worst["lower_one_sided_95"])
    return f"{_points(worst['mean'])}, bound {bound}", _within(worst, MARGIN)


GOALS = (
    Goal("teacher: ratio within 0.5 points, one-sided 95 %", ">= 60x", _teacher, ("taught-95",)),
    Goal("our bytes at the Dice of every narrow network / its int8 + zstd", "<= 1/3", _narrow,
         ("narrow-4",)),
    Goal("student of base 4 as it ships less narrow-4 alone, points", "> 0 with its bound",
         _pair("student-4-small", "narrow-4", lambda found: found["lower_one_sided_95"] > 0),
         ("student-4-small", "narrow-4")),
    Goal("student of base 4: package", "<= 25,000 bytes", _student_bytes, ("student-4-small",)),
    Goal("student of base 4 less itself uncompressed, points", ">= -0.5 with its bound",
         _pair("student-4-small", "student-4-whole", lambda found: _within(found, MARGIN)),
         ("student-4-small", "student-4-whole")),
    Goal("student of base 2 trains with the teacher (half of the baseline's Dice), seeds",
         "5 of 5", _student_trains, ("student-2-small",)),
    Goal("int8 of baseline and teachers less their float32, points", ">= -0.3 with its bound",
         _int8, (BASELINE,)),
    Goal("int8 of baseline and teacher, speed to float32 of the baseline", ">= 3x",
         _speed(("baseline", "teacher-", "taught-"), "int8", 3), (BASELINE,)),
    Goal("channels cut: float32, speed to the baseline", ">= 2x",
         _speed(("channels-", "cut-"), "float32", 2), ("channels-*",)),
    Goal("channels cut less baseline, points", ">= -0.5 with its bound", _channels,
         ("channels-*",)),
    Goal("pruning with regrowth less magnitude, 95 % and equal steps, points",
         "> 0 with its bound", _pair("teacher-95-pruned", "magnitude-95",
                                     lambda found: found["lower_one_sided_95"] > 0),
         ("teacher-95-pruned", "magnitude-95")),
)  # fmt: skip
