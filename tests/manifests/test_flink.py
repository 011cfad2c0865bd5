"""One version of Flink here and on a cluster."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_same_version_everywhere() -> None:
    script = (ROOT / "tests/services/install/flink.sh").read_text("utf-8")
    (here,) = re.findall(r"^readonly flink=(\S+)$", script, re.MULTILINE)
    manifest = (ROOT / "manifests/components/flink/flink.yaml").read_text("utf-8")
    assert set(re.findall(r"/flink:([\d.]+)-java17", manifest)) == {here}
    assert set(re.findall(r"beam_flink([\d.]+)_job_server:", manifest)) == {here.rpartition(".")[0]}
    (sdk,) = re.findall(
        r'"apache-beam\[aws\]==([\d.]+)"', (ROOT / "pyproject.toml").read_text("utf-8")
    )
    assert set(re.findall(r"_job_server:([\d.]+)", manifest)) == {sdk}
