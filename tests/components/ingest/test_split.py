"""Who goes where: exact counts, and nothing straddles."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.ingest.config import SplitConfig
from components.ingest.split import split_cases
from thimble.stage import BadInput


def _split(
    count: int, config: SplitConfig, groups: dict[str, str] | None = None, twins: str = ""
) -> dict[str, list[str]]:
    ids = [f"{number:03d}" for number in range(count)]
    same = dict.fromkeys(twins.split(), "same")
    digests = {case: same.get(case, case) for case in ids}
    return split_cases(ids, groups or {case: case for case in ids}, digests, config)


def test_isbi_by_block() -> None:
    split = _split(30, SplitConfig("block", 0.1, 0.2))
    assert [int(case) for case in split["train"]] == list(range(21))
    assert [int(case) for case in split["validation"]] == [21, 22, 23]
    assert [int(case) for case in split["test"]] == list(range(24, 30))


@given(count=st.integers(3, 400), seed=st.integers(0, 9))
@settings(max_examples=30, deadline=None)
def test_hash_is_exact_and_complete(count: int, seed: int) -> None:
    split = _split(count, SplitConfig("hash", 0.1, 0.2, split_seed=seed))
    assert len(split["test"]) == max(1, int(0.2 * count + 0.5))
    assert len(split["validation"]) == max(1, int(0.1 * count + 0.5))
    assert sorted(sum(split.values(), [])) == [f"{number:03d}" for number in range(count)]


def test_hash_depends_on_the_seed_alone() -> None:
    one = _split(40, SplitConfig("hash", split_seed=1))
    assert one == _split(40, SplitConfig("hash", split_seed=1))
    assert one != _split(40, SplitConfig("hash", split_seed=2))


@pytest.mark.parametrize("seed", range(8))
def test_identical_images_stay_together(seed: int) -> None:
    split = _split(20, SplitConfig("hash", split_seed=seed), twins="003 011 017")
    assert sum({"003", "011", "017"} <= set(ids) for ids in split.values()) == 1
    assert len(split["test"]) == 4


@pytest.mark.parametrize("seed", range(8))
def test_patients_stay_together(seed: int) -> None:
    groups = {f"{number:03d}": f"patient {number % 12}" for number in range(60)}
    split = _split(60, SplitConfig("group", group_column="patient", split_seed=seed), groups)
    where = [{groups[case] for case in ids} for ids in split.values()]
    assert not (where[0] & where[1] or where[0] & where[2] or where[1] & where[2])
    assert len(split["test"]) == 10, "two patients of five images; a third would be too many"


@st.composite
def _collections(draw: st.DrawFn) -> tuple[dict[str, str], dict[str, str]]:
    """Groups and digests by id: patients of several images, some images twice."""
    count = draw(st.integers(3, 40))
    ids = [f"{number:02d}" for number in range(count)]
    patients = st.integers(0, draw(st.integers(2, 40)))
    contents = st.integers(0, draw(st.integers(20, 400)))
    groups = {name: f"patient {draw(patients)}" for name in ids}
    return groups, {name: str(draw(contents)) for name in ids}


@given(
    collection=_collections(),
    rule=st.sampled_from(["block", "hash", "group"]),
    shares=st.tuples(st.sampled_from([0.1, 0.25]), st.sampled_from([0.2, 0.3])),
    seed=st.integers(0, 3),
)
@settings(max_examples=200, deadline=None)
def test_no_patient_lies_in_two_splits(
    collection: tuple[dict[str, str], dict[str, str]],
    rule: str,
    shares: tuple[float, float],
    seed: int,
) -> None:
    """Whatever the rule: either nobody straddles, or the split is refused."""
    groups, digests = collection
    validation, test = shares
    column = "patient" if rule == "group" else ""
    config = SplitConfig(rule, validation, test, group_column=column, split_seed=seed)
    try:
        split = split_cases(list(groups), groups, digests, config)
    except BadInput:
        return
    assert sorted(sum(split.values(), [])) == sorted(groups)
    for key in (groups, digests) if rule != "block" else (groups,):
        where = [{key[name] for name in names} for names in split.values()]
        assert not (where[0] & where[1] or where[0] & where[2] or where[1] & where[2])


def test_block_cuts_between_patients() -> None:
    groups = {f"{number:03d}": f"patient {number // 7}" for number in range(28)}
    split = _split(28, SplitConfig("block", 0.1, 0.2), groups)
    assert {name: len(ids) for name, ids in split.items()} == {
        "train": 14, "validation": 7, "test": 7,
    }  # fmt: skip


def test_block_refuses_a_patient_that_is_everywhere() -> None:
    groups = {f"{number:03d}": f"patient {number % 3}" for number in range(28)}
    with pytest.raises(BadInput, match="split_rule=block cuts through the group .*=group"):
        _split(28, SplitConfig("block"), groups)


@pytest.mark.parametrize("count", [1, 2])
def test_too_few_images(count: int) -> None:
    for rule in ("block", "hash"):
        with pytest.raises(BadInput, match=f"{count} image.*too few for three splits"):
            _split(count, SplitConfig(rule))


def test_too_few_groups() -> None:
    groups = {f"{number:03d}": "one" for number in range(9)}
    with pytest.raises(BadInput, match="add images, groups"):
        _split(9, SplitConfig("group", group_column="patient"), groups)


@pytest.mark.parametrize(
    "fields",
    [
        {"split_rule": "random"},
        {"test_share": 0.0},
        {"validation_share": 0.9},
    ],
)
def test_out_of_range(fields: dict[str, object]) -> None:
    with pytest.raises(BadInput, match="must|needs"):
        SplitConfig(**fields)  # type: ignore[arg-type]
