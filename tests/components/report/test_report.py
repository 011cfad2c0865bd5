"""The verdict, the rows behind the page, and the page as text."""

import html
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.report.branches import load_branches
from components.report.gates import Gate, GateConfig, judge_all, sentence, verdict
from components.report.package_charts import differences_chart, tradeoff_chart
from components.report.stage_charts import quality_chart, size_chart
from components.report.steps import Step, steps
from components.report.story import comparison, limits
from components.report.tables import latency_table, layer_table
from thimble.artifact import read_json, write_json
from thimble.stage import BadInput

Inputs = dict[str, str | None]
Render = Callable[..., dict[str, float]]
MakeRun = Callable[..., Inputs]


def test_gate_at_its_limit_passes() -> None:
    assert Gate("dice_drop", 0.01, 0.80 - 0.79, "Dice").passed
    assert not Gate("dice_drop", 0.01, 0.0101, "Dice").passed
    assert Gate("dice_drop", 0.0, -0.002, "Dice").passed
    assert not Gate("dice_drop", 0.01, None, "Dice").passed


def test_verdict(page: Path) -> None:
    found = read_json(page.with_name("verdict.json"))
    assert found["passed"] is True
    assert [(gate["name"], gate["passed"]) for gate in found["gates"]] == [
        ("dice_drop", True),
        ("package_bytes", True),
        ("p90_seconds", True),
    ]
    assert found["gates"][0]["value"] == pytest.approx(0.8012 - 0.7998)
    assert found["figures"]["ratio"] == pytest.approx(4 * 1_962_689 / 214_905)
    assert found["figures"]["setting"] == "1 thread, XNNPACK"
    assert len(found["candidates"]) == 16
    words = found["sentence"].replace("\N{NO-BREAK SPACE}", " ")
    for part in (
        "teacher-float32 ships in 215 kB, 36.5 times smaller than the float32 weights of the "
        "baseline (7.85 MB)",
        "Dice is 0.7998 against 0.8012",
        "95 % interval",
        "p90 is 7.85 ms a tile on this host; not verified on a phone. Research use only.",
    ):
        assert part in words


def test_failed_gates_still_write_a_report(
    full_run: Inputs, render: Render, tmp_path: Path
) -> None:
    figures = render(
        full_run, tmp_path / "out", max_package_bytes=100_000, max_dice_drop=0.001, title="<b>&"
    )
    assert figures["passed"] == 0.0
    found = read_json(tmp_path / "out" / "verdict.json")
    assert found["sentence"].startswith("Nothing ships: teacher-float32 fails dice drop 0.0014")
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "Nothing ships: teacher-float32 misses 2 of 2 gates" in page
    assert "&lt;b&gt;&amp;" in page and "<h1><b>" not in page


def test_what_was_not_measured_fails_its_gate(
    make_run: MakeRun, render: Render, tmp_path: Path
) -> None:
    inputs = make_run(tmp_path / "in", ("baseline", "teacher"), size=64, shown=1)
    inputs["teacher_benchmark"] = None
    render(inputs, tmp_path / "out", max_p90_seconds=1.0, max_memory_bytes=10**9)
    found = read_json(tmp_path / "out" / "verdict.json")
    assert [gate["value"] for gate in found["gates"][1:]] == [None, None]
    assert not found["passed"] and "p90 seconds not measured" in found["sentence"]
    assert "Not measured in this run" in (tmp_path / "out" / "report.html").read_text("utf-8")


def test_teacher_alone(make_run: MakeRun, render: Render, tmp_path: Path) -> None:
    inputs = make_run(tmp_path / "in", ("baseline", "teacher"), size=64, shown=1)
    checks = [{"name": "shapes", "passed": True, "detail": "6 images"}]
    write_json(tmp_path / "validation.json", {
        "passed": True, "checks": checks, "compared": {"images": 40, "patients": 9},
        "anomalies": [{"feature": "site"}],
    })  # fmt: skip
    inputs |= {"student_evaluation": None, "validation": str(tmp_path)}
    assert render(inputs, tmp_path / "out")["passed"] == 1.0
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert 'id="student"' not in page and "passed 1 checks before training: shapes" in page
    assert "Beside the 40 images of the last release 1 feature differs: site." in page


def test_baseline_alone_can_be_judged(make_run: MakeRun, render: Render, tmp_path: Path) -> None:
    inputs = make_run(tmp_path / "in", ("baseline",))
    assert render(inputs, tmp_path / "out", gate_branch="baseline")["ratio"] == pytest.approx(
        1.06, abs=0.01
    )


def test_unknown_package_lists_those_of_the_run(full_run: Inputs) -> None:
    branches = load_branches(full_run)
    with pytest.raises(BadInput, match=r"Received: teacher-int4.*teacher-int8"):
        judge_all(branches, GateConfig(gate_variant="int4"))


def test_inputs_that_are_no_evaluation(full_run: Inputs, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no baseline_evaluation"):
        load_branches({"teacher_evaluation": full_run["teacher_evaluation"]})
    write_json(tmp_path / "evaluation.json", {"variants": {}})
    with pytest.raises(BadInput, match="has no variants"):
        load_branches({"baseline_evaluation": str(tmp_path)})


@pytest.mark.parametrize(
    "wrong",
    [{"max_dice_drop": 1.3}, {"max_package_bytes": -1}, {"gate_branch": "pupil"}],
)
def test_parameters_out_of_range(wrong: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match=next(iter(wrong))):
        GateConfig(**wrong)


def test_steps_chain_sizes_over_missing_ones(full_run: Inputs) -> None:
    branches = load_branches(full_run)
    for entry in branches["teacher"].evaluation["history"]:
        if entry["stage"] == "prune":
            del entry["metrics"]["package_bytes"]
    chain = steps(branches["teacher"], branches["baseline"], "float32")
    named = {step.name: step for step in chain}
    assert [step.name for step in chain] == [
        "baseline",
        "train",
        "prune",
        "quantize",
        "huffman",
        "convert (float32)",
    ]
    assert named["prune"].size is None and named["prune"].factor is None
    assert named["quantize"].factor == pytest.approx(1 / 0.034)
    figure = size_chart(chain, "teacher")
    assert figure is not None and figure["layout"]["xaxis"]["type"] == "log"
    assert quality_chart(chain, "teacher") is not None


def test_charts_of_nothing() -> None:
    bare = [Step("baseline", "", 100.0, None, None, None), Step("prune", "", None, None, None, 100)]
    assert size_chart(bare, "teacher") is None and quality_chart(bare, "teacher") is None


def test_layers_sum_to_the_package(full_run: Inputs) -> None:
    branch = load_branches(full_run)["teacher"]
    table = layer_table(branch)
    assert table is not None
    assert sum(row[5].value or 0 for row in table.rows) == table.total[5].value == 214_005
    assert table.rows[-1][0].text == "header, index, tables, checksums"
    assert table.total[5].text == "214,005"


def test_speed_is_relative_to_float32_in_the_same_setting(full_run: Inputs) -> None:
    table = latency_table("Timings", [load_branches(full_run)["teacher"]])
    speeds = {row[0].text: row[-1].value for row in table.rows if "2 threads" in row[1].text}
    assert speeds["teacher-float32"] == 1.0
    assert speeds["teacher-int8"] == pytest.approx(1 / 0.29)


def test_student_against_control(full_run: Inputs) -> None:
    branches = load_branches(full_run)
    found = comparison(branches, "float32")
    assert found is not None and "6 of 6 test images" in found["sentence"]
    # distill 2400 + quantize 300, without the 1200 of its teacher; the control's 2400.
    assert [row[3].text for row in found["table"].rows] == ["2,700", "2,400"]
    del branches["control"]
    assert comparison(branches, "float32") is None


def test_few_images_are_a_demonstration(full_run: Inputs) -> None:
    branches = load_branches(full_run)
    gated = judge_all(branches, GateConfig())["teacher-float32"]
    assert limits(branches, gated)[0].startswith("Only 6 test images: a demonstration, not evid")
    assert "not verified on a phone" in sentence(gated)
    assert "too few to be evidence" in verdict({gated.name: gated}, GateConfig())["evidence"]


def test_scores_that_are_missing(full_run: Inputs) -> None:
    branches = load_branches(full_run)
    for figures in branches["teacher"].evaluation["variants"].values():
        figures |= {"dice": float("nan"), "difference": None, "dice_per_image": {}}
    gated = judge_all(branches, GateConfig())["teacher-float32"]
    assert not gated.passed and "dice drop not measured" in sentence(gated)
    figure = tradeoff_chart(branches, gated, 0.01)
    assert figure is not None and "teacher" not in [trace["name"] for trace in figure["data"]]
    assert differences_chart([], 0.01)["data"] == []


def test_page_fetches_nothing(page: Path) -> None:
    text = html.unescape(page.read_text(encoding="utf-8"))
    ours = re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)
    assert not re.search(r"https?:", ours)
    sources = re.findall(r"(?:src|href|url)\s*[=(]\s*[\"']?([^\"')\s>]+)", ours)
    assert sources and all(source.startswith(("data:", "#")) for source in sources)
    assert "default-src 'none'" in text
    assert len(text) < 12_000_000


def test_page_is_the_same_again(
    page: Path, full_run: Inputs, render: Render, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        render(full_run, tmp_path / name)
    one, two = (tmp_path / name / "report.html" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()


def test_component(full_run: Inputs, tmp_path: Path) -> None:
    """As KFP calls it: artifacts in, a file and a folder out, optional inputs left out."""
    from kfp import dsl

    from components.report.component import report

    given = {
        name: dsl.Artifact(uri=path)
        for name, path in full_run.items()
        if name.startswith(("baseline", "teacher"))
    }
    page, metrics = dsl.HTML(uri=str(tmp_path / "page")), dsl.Metrics(uri=str(tmp_path / "m"))
    verdict = dsl.Artifact(uri=str(tmp_path / "verdict"))
    report.python_func(**given, report=page, verdict=verdict, metrics=metrics)
    assert (tmp_path / "page").read_bytes() == (tmp_path / "verdict/report.html").read_bytes()
    assert read_json(tmp_path / "verdict" / "verdict.json")["passed"] is True
    assert (
        read_json(tmp_path / "verdict" / "history.json")[-1]["config"]["gate_branch"] == "teacher"
    )
    assert metrics.metadata["passed"] == 1.0


def test_scores_of_another_split_are_refused(tmp_path: Path, make_run: MakeRun) -> None:
    inputs = make_run(tmp_path, branches=("baseline", "teacher"))
    path = Path(str(inputs["teacher_evaluation"])) / "evaluation.json"
    write_json(path, read_json(path) | {"split": "validation"})
    with pytest.raises(BadInput, match="is scored on validation. Expected test"):
        load_branches(inputs)
