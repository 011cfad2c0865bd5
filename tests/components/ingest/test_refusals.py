"""The dead letter: what is counted together, and where the list is."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from components.ingest.index import Index
from components.ingest.refusals import count_reasons, kind_of_reason, refuse_many
from thimble.datasets.source import Case, Refusal
from thimble.records import Dataset
from thimble.stage import BadInput

Ingest = Callable[..., Dataset]


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("/a b/scan 3.png is empty (0 bytes). Copy it again.", "* is empty (* bytes)"),
        (
            "Image /a/b c.png has 9x9 pixels but label /d/e f.png has 24x20. Expected equal.",
            "Image * has * pixels but label * has *",
        ),
        ("image without label: /a/scan 5.png. Expected a file.", "image without label: *"),
        ("the name is not UTF-8. Rename the file.", "the name is not UTF-8"),
    ],
)
def test_kind_of_reason(reason: str, kind: str) -> None:
    assert kind_of_reason(reason) == kind


def test_the_most_frequent_comes_first() -> None:
    refused = [Refusal(f"{n}", f"x/{n}.png is empty.") for n in range(3)]
    refused.insert(0, Refusal("z", "z is odd."))
    assert count_reasons(refused) == {"* is empty": 3, "z is odd": 1}
    with pytest.raises(BadInput) as caught:
        refuse_many(6, refused, 0.3, "there")
    assert str(caught.value) == (
        "4 of 10 files or images cannot be used, more than max_rejected_share=0.3 allows: "
        "x/0.png is empty. (3 of this kind) | z is odd. All are listed in there."
    )
    refuse_many(6, refused, 0.4)


def test_more_kinds_than_are_shown() -> None:
    refused = [Refusal(letter, f"{letter} is odd.") for letter in "abcdefgh"]
    with pytest.raises(BadInput, match=r"\(and 3 more kinds\)$"):
        refuse_many(1, refused, 0.05)


def test_the_list_outlives_the_stage(
    ingest: Ingest, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "state"
    state.mkdir()
    monkeypatch.setenv("THIMBLE_STATE", str(state))
    for number in (2, 5):
        (scans / "images" / f"scan {number}.png").write_bytes(b"")
    with pytest.raises(BadInput, match=r"\(2 of this kind\) All are listed in .*rejected.jsonl"):
        ingest(kind="paired", source=str(scans), classes="a=0;b=1")
    lines = (state / "rejected.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["file"] for line in lines] == [
        "images/scan 2.png",
        "images/scan 5.png",
    ]


def test_names_that_cannot_be_used() -> None:
    index = Index()
    cases = [Case("a", "a"), Case("b\udc80", "b", "b\udc80.png"), Case("a", "c", "again.png")]
    assert index.add_cases(cases) == 1
    first, second = index.refusals()
    assert (first.file, second.file) == ("again.png", "b\\udc80.png")
    assert "Another case has the same name: a" in first.reason
    assert "not UTF-8" in second.reason
    index.close()


def test_a_case_that_was_tried_twice_counts_once() -> None:
    """A runner may try a bundle again though its list was there already."""
    index = Index()
    image = {"id": "a", "group": "a", "digest": "d", "shape": [1, 1], "bits": 8}
    assert index.add_looked(0, [image], [{"file": "f", "reason": "r"}])
    assert not index.add_looked(0, [image], [{"file": "f", "reason": "r"}])
    index.arrange()
    assert (index.count(), index.count("refusals")) == (1, 1)
    index.close()
