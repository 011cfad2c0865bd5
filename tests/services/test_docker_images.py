"""The images as they are: who they run as, what is in them, what they share."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

pytestmark = [pytest.mark.services, pytest.mark.slow, pytest.mark.timeout(3600)]

ROOT = Path(__file__).resolve().parents[2]
STAGES = sorted(path.parent.name for path in (ROOT / "components").glob("*/component.py"))
LIST = yaml.safe_load((ROOT / "images" / "images.yaml").read_text(encoding="utf-8"))["images"]
SHARING = [each["name"] for each in LIST if each.get("parent") == "tensorflow"]
SMALL = ("benchmark", "huffman", "publish", "report")
SMALL_BYTES = 250_000_000
# Everything that may not be there, one per line.
SEARCH = """
find / -xdev -type f -perm /6000
find /root/.cache /tmp /etc/pip.conf /run/secrets -type f 2>/dev/null
command -v gcc cc g++ ld make || true
find /opt -xdev ! -user root
"""


@pytest.fixture(scope="session")
def images(docker: Any, build_images: Any, image_tags: dict[str, str]) -> dict[str, Any]:
    """Every stage's image."""
    build_images()
    tags = {stage: image_tags[f"THIMBLE_TAG_{stage.upper()}"] for stage in STAGES}
    return {stage: docker.images.get(f"thimble-{stage}-python:{tags[stage]}") for stage in STAGES}


def run(built: Any, *command: str) -> str:
    """Return what a command says as root in an image."""
    done = subprocess.run(
        ["docker", "run", "--rm", "--user", "0", "--network", "none", built.id, *command],
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout


@pytest.mark.parametrize("stage", STAGES)
def test_an_image_runs_as_nobody_and_says_what_it_is(
    images: dict[str, Any], image_tags: dict[str, str], stage: str
) -> None:
    config = images[stage].attrs["Config"]
    assert config["User"] == "10001:0"
    assert "HOME=/tmp" in config["Env"]
    label = "org.opencontainers.image"
    assert config["Labels"][f"{label}.title"] == f"thimble-{stage}"
    assert config["Labels"][f"{label}.version"] == image_tags[f"THIMBLE_TAG_{stage.upper()}"]
    assert config["Labels"][f"{label}.licenses"] == "Apache-2.0"


@pytest.mark.parametrize("stage", STAGES)
def test_an_image_holds_no_setuid_compiler_cache_or_secret(
    images: dict[str, Any], stage: str
) -> None:
    assert run(images[stage], "sh", "-c", SEARCH) == ""


@pytest.mark.parametrize("stage", STAGES)
def test_history_and_environment_name_no_address(images: dict[str, Any], stage: str) -> None:
    told = json.dumps([images[stage].history(), images[stage].attrs["Config"]])
    assert not re.search(r"https?://|PIP_|PASSWORD|TOKEN", told)


@pytest.mark.parametrize("stage", STAGES)
def test_the_bill_of_materials_lists_what_is_installed(images: dict[str, Any], stage: str) -> None:
    bill = json.loads(run(images[stage], "cat", "/opt/thimble/sbom.cdx.json"))
    listed = {f"{each['name']}=={each['version']}" for each in bill["components"]}
    program = (
        "import importlib.metadata as m; [print(d.name, d.version) for d in m.distributions()]"
    )
    lines = run(images[stage], "python3", "-c", program).splitlines()
    installed = {line.replace(" ", "==") for line in lines}
    assert {name for name in installed if not name.startswith("thimble==")} <= listed


@pytest.mark.parametrize("stage", SMALL)
def test_an_image_without_tensorflow_is_small(
    images: dict[str, Any], docker: Any, base_image: str, stage: str
) -> None:
    over = images[stage].attrs["Size"] - docker.images.get(base_image).attrs["Size"]
    assert over <= SMALL_BYTES


def test_images_with_tensorflow_share_its_layer(
    images: dict[str, Any], docker: Any, base_image: str
) -> None:
    base = docker.images.get(base_image).attrs["RootFS"]["Layers"]
    # The environment, the lock, the packages.
    shared = {tuple(images[stage].attrs["RootFS"]["Layers"][: len(base) + 3]) for stage in SHARING}
    assert len(shared) == 1


def test_a_line_of_code_changes_the_last_layers_by_plain_docker_build(
    images: dict[str, Any], docker: Any, base_image: str, tmp_path: Path
) -> None:
    for name in ("components", "images", "thimble"):
        shutil.copytree(ROOT / name, tmp_path / name)
    for name in ("LICENSE", "README.md", "pyproject.toml", "setup.py"):
        shutil.copy(ROOT / name, tmp_path / name)

    def layers() -> list[str]:
        command = ["docker", "build", "--quiet", "--file", "images/Dockerfile"]
        for argument in (f"BASE_IMAGE={base_image}", "STAGE=prune", "PARENT=tensorflow"):
            command += ["--build-arg", argument]
        done = subprocess.run(
            [*command, "."], cwd=tmp_path, check=True, capture_output=True, text=True
        )
        return list(docker.images.get(done.stdout.strip()).attrs["RootFS"]["Layers"])

    before = layers()
    code = tmp_path / "components" / "prune" / "prune.py"
    code.write_text(code.read_text() + "\n# one line\n")
    after = layers()
    assert after != before
    assert after[:-3] == before[:-3], "the stage's folder, its compiled form and WORKDIR"
