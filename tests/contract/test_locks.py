"""One list names every image; each has a lock that holds all that its stage imports."""

import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import grimp
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PINNED = re.compile(r"^([A-Za-z0-9._-]+)==[^ ]+", re.MULTILINE)
OURS = {"components", "pipelines", "thimble"}


def _images() -> list[dict[str, object]]:
    text = (ROOT / "images" / "images.yaml").read_text(encoding="utf-8")
    return yaml.safe_load(text)["images"]  # type: ignore[no-any-return]


def _locks() -> list[Path]:
    named = [ROOT / "images" / str(image["name"]) / "requirements.txt" for image in _images()]
    return [*named, ROOT / "images" / "development" / "uv.txt", ROOT / "images" / "tools.txt"]


@pytest.fixture(scope="module")
def imports() -> grimp.ImportGraph:
    return grimp.build_graph(*sorted(OURS), include_external_packages=True, cache_dir=None)


def test_every_stage_has_an_image(stage: str) -> None:
    assert [image["name"] for image in _images()].count(stage) == 1


@pytest.mark.parametrize("lock", _locks(), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_lock_is_hashed_and_names_no_address(lock: Path) -> None:
    requirements = lock.read_text(encoding="utf-8").replace("\\\n", "").splitlines()
    requirements = [line for line in requirements if line and not line.lstrip().startswith("#")]
    assert requirements
    for line in requirements:
        assert PINNED.match(line), line
        assert "--hash=sha256:" in line, line
        assert "://" not in line, line


def test_images_hold_the_versions_that_were_tested(stage: str) -> None:
    def pins(name: str) -> set[str]:
        text = (ROOT / "images" / name / "requirements.txt").read_text(encoding="utf-8")
        return {match.group() for match in PINNED.finditer(text)}

    environment = next(i for i in _images() if i["name"] == stage).get("environment")
    if environment:
        assert _installed(ROOT / str(environment)) <= pins(stage)
    else:
        assert pins(stage) <= pins("development")


def _installed(environment: Path) -> set[str]:
    """What setup put into an environment: name and version, without ourselves."""
    program = (
        "from importlib.metadata import distributions as found\n"
        "for each in found(): print(each.metadata['Name'], each.version)"
    )
    command = [environment / "bin" / "python", "-I", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    named = (line.split() for line in done.stdout.splitlines())
    return {f"{_canonical(name)}=={version}" for name, version in named if name != "thimble"}


def test_lock_holds_what_the_stage_imports(stage: str, imports: grimp.ImportGraph) -> None:
    lock = (ROOT / "images" / stage / "requirements.txt").read_text(encoding="utf-8")
    locked = {_canonical(name) for name in PINNED.findall(lock)}
    providers = packages_distributions()
    missing = []
    for module in imports.find_upstream_modules(f"components.{stage}.component"):
        top = module.split(".")[0]
        if top in OURS or top in sys.stdlib_module_names:
            continue
        names = {_canonical(name) for name in providers.get(top, [top])}
        if not names & locked:
            missing.append(f"{top} ({', '.join(sorted(names))})")
    assert not missing, f"images/{stage} lacks {missing}: add it to the extra in pyproject.toml"


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
