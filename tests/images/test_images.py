"""The list of images, what bake is given, and the rules that the Dockerfile keeps."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from images import build
from pipelines.closure import source_tags

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = ROOT / "images" / "Dockerfile"
STAGES = sorted(path.parent.name for path in (ROOT / "components").glob("*/component.py"))


@pytest.fixture
def definition(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What bake is given, with tags from the sources."""
    for stage, tag in source_tags().items():
        monkeypatch.setenv(f"THIMBLE_TAG_{stage.upper()}", tag)
    for name in ("BASE_IMAGE", "THIMBLE_REGISTRY"):
        monkeypatch.delenv(name, raising=False)
    return build.bake_file("0123abc", [])


def instructions() -> list[str]:
    """The Dockerfile's instructions, one line each."""
    lines = [line for line in DOCKERFILE.read_text().splitlines() if not line.startswith("#")]
    return [line for line in "\n".join(lines).replace("\\\n", " ").splitlines() if line.strip()]


def pins(stage: str) -> set[str]:
    text = (ROOT / "images" / stage / "requirements.txt").read_text(encoding="utf-8")
    return set(re.findall(r"^[a-z0-9._-]+==\S+", text, re.MULTILINE))


def test_every_stage_is_built_with_the_tag_of_its_sources(definition: dict[str, Any]) -> None:
    tags = source_tags()
    assert sorted(definition["target"]) == STAGES
    assert sorted(definition["group"]["default"]["targets"]) == STAGES
    for stage, target in definition["target"].items():
        assert target["tags"] == [f"thimble-{stage}-python:{tags[stage]}"]
        assert target["args"]["STAGE"] == stage
        assert target["args"]["BASE_IMAGE"] == build.BASE_IMAGE


def test_a_registry_comes_before_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THIMBLE_REGISTRY", "registry.example:5000/thimble/")
    monkeypatch.setenv("THIMBLE_TAG_PRUNE", "abc")
    target = build.bake_file("", [])["target"]["prune"]
    assert target["tags"] == ["registry.example:5000/thimble/thimble-prune-python:abc"]


def test_images_with_tensorflow_and_no_other_start_from_its_layer() -> None:
    entries = yaml.safe_load((ROOT / "images" / "images.yaml").read_text())["images"]
    for entry in entries:
        if entry["runtime"]:
            wanted = any(pin.startswith("tensorflow-cpu==") for pin in pins(entry["name"]))
            # One whose packages exclude the others brings a TensorFlow of its own.
            wanted = wanted and "environment" not in entry
            assert entry["parent"] == ("tensorflow" if wanted else "plain"), entry["name"]


def test_the_shared_layer_holds_nothing_that_an_image_does_not_need() -> None:
    entries = yaml.safe_load((ROOT / "images" / "images.yaml").read_text())["images"]
    for entry in entries:
        if entry.get("parent") == "tensorflow":
            assert pins("train") <= pins(entry["name"]), entry["name"]


def test_packages_come_from_locks_by_hash_and_leave_no_cache() -> None:
    installs = [line for line in instructions() if "pip --python" in line]
    # The tools, the wheels that are made here, TensorFlow, the stage.
    assert len(installs) == 4
    for line in installs:
        assert {"--require-hashes", "--no-deps", "--no-cache-dir", ":all:"} <= set(
            shlex.split(line)
        )


def test_what_a_stage_has_as_source_is_in_its_lock(definition: dict[str, Any]) -> None:
    for stage, target in definition["target"].items():
        names = {pin.partition("==")[0] for pin in pins(stage)}
        assert set(target["args"]["SOURCES"].split()) <= names, stage


def test_nothing_of_the_machine_is_written_into_an_image() -> None:
    text = DOCKERFILE.read_text()
    assert not re.search(
        r"^(ADD|ENV .*(PIP_|PROXY|TOKEN|PASSWORD)|ARG .*(INDEX|TOKEN))", text, re.M
    )
    assert "--mount=type=secret" in text
    for line in instructions():
        if "apt-get" in line or "pip --python" in line:
            assert "--mount=type=secret" in line


def test_the_user_is_not_root_and_code_comes_last() -> None:
    last = instructions()[-10:]
    assert "USER 10001:0" in last
    copied = [line for line in last if line.startswith("COPY")]
    assert copied[-1] == "COPY components/${STAGE} /opt/thimble/components/${STAGE}"
    assert not [line for line in last if "pip" in line.split()]


def test_the_context_is_a_list_of_what_is_allowed() -> None:
    patterns = (ROOT / "images" / "Dockerfile.dockerignore").read_text().splitlines()
    patterns = [line for line in patterns if line and not line.startswith("#")]
    assert patterns[0] == "*"
    allowed = {line[1:] for line in patterns if line.startswith("!")}
    assert not allowed & {"runs", ".git", "tests", ".venv"}


def test_an_index_reaches_the_build_in_a_secret_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://user:secret@example.org/wheels")
    monkeypatch.setenv("PIP_CERT", "/ca.pem")
    secrets = list(build.machine_secrets(tmp_path))
    assert f"id=pip,src={tmp_path}/pip.conf" in secrets
    assert "id=certificates,src=/ca.pem" in secrets
    written = (tmp_path / "pip.conf").read_text()
    assert " = https://user:secret@example.org/wheels" in written
    assert "secret@" not in json.dumps(build.bake_file("", secrets))


def test_a_machine_without_settings_gives_no_pip_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in build.CERTIFICATES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(build, "_pip_settings", lambda: iter(()))
    assert not [line for line in build.machine_secrets(tmp_path) if "id=apt" not in line]
