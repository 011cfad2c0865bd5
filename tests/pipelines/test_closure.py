"""The tag of an image changes with what the stage imports, and with nothing else."""

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small project of two stages."""
    for path, text in {
        "components/__init__.py": "",
        "components/a/__init__.py": "",
        "components/a/component.py": "def a():\n    from components.a.a import run\n",
        "components/a/a.py": "from thimble.shared import one\n",
        "components/a/page.html": "<p>",
        "components/a/README.md": "a",
        "components/b/__init__.py": "",
        "components/b/component.py": "import thimble.deep.only\n",
        "thimble/__init__.py": "",
        "thimble/shared.py": "one = 1\n",
        "thimble/unused.py": "",
        "thimble/deep/__init__.py": "",
        "thimble/deep/only.py": "",
        "images/development/requirements.txt": "x==1\n",
        "images/b/requirements.txt": "y==1\n",
        "tests/test_a.py": "",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    return tmp_path


def _tags(tree: Path) -> dict[str, str]:
    """Read the tags in a fresh process, for the packages are found by name."""
    command = [sys.executable, "-P", "-c", CODE, str(tree)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env={"PYTHONPATH": str(tree)}
    )
    return dict(pair.split("=") for pair in done.stdout.split())


# The module is loaded from its file, for the name `thimble` means the small project here.
CODE = f"""
import importlib.util, pathlib, sys
path = {str(REPOSITORY / "pipelines" / "closure.py")!r}
spec = importlib.util.spec_from_file_location("closure", path)
closure = importlib.util.module_from_spec(spec)
spec.loader.exec_module(closure)
for stage, tag in closure.source_tags(pathlib.Path(sys.argv[1])).items():
    print(stage + "=" + tag)
"""


@pytest.mark.parametrize(
    ("changed", "stages"),
    [
        ("components/a/a.py", {"a"}),
        ("components/a/page.html", {"a"}),
        ("components/a/component.py", {"a"}),
        ("thimble/shared.py", {"a"}),
        ("thimble/deep/__init__.py", {"b"}),
        ("thimble/__init__.py", {"a", "b"}),
        ("images/development/requirements.txt", {"a"}),
        ("images/b/requirements.txt", {"b"}),
        ("components/a/README.md", set()),
        ("thimble/unused.py", set()),
        ("tests/test_a.py", set()),
    ],
)
def test_what_changes_a_tag(tree: Path, changed: str, stages: set[str]) -> None:
    before = _tags(tree)
    assert set(before) == {"a", "b"}
    with open(tree / changed, "a") as file:
        file.write("\n# changed\n")
    after = _tags(tree)
    assert {stage for stage in before if before[stage] != after[stage]} == stages
