"""Size, names and addresses: what every committed file keeps to."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CODE = ("components", "pipelines", "thimble", "images", "docs", "benchmarks", "tests")
BANNED = {"utils", "helpers", "common", "misc", "manager"}
MODULE_LINES, FUNCTION_LINES = 400, 50
IGNORED = {".git", ".venv", ".venv-validate", "runs", "__pycache__"}

# Joined here, so that this file names no index either.
INDEX_HOSTS = [
    ".".join(parts)
    for parts in (
        ("py" + "pi", "org"),
        ("python" + "hosted", "org"),
        ("npm" + "js", "org"),
        ("yarn" + "pkg", "com"),
        ("crates", "io"),
        ("proxy", "golang", "org"),
        ("maven", "org"),
        ("deb", "debian", "org"),
    )
]
INDEX = re.compile(
    "|".join(
        [
            r"^\s*--(?:extra-)?index-url\b",
            r"^\s*--find-links\b",
            r"\bindex-url\s*=",
            r"https?://[^\s\"']*/simple\b",
            *map(re.escape, INDEX_HOSTS),
        ]
    ),
    re.MULTILINE,
)


def _modules() -> list[Path]:
    return sorted(path for name in CODE for path in (ROOT / name).rglob("*.py"))


def _committed() -> list[Path]:
    """The files that git knows or would add; every file where there is no git."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode == 0:
        paths = (ROOT / name for name in listed.stdout.split("\0") if name)
        return [path for path in paths if path.is_file()]
    found = (path for path in ROOT.rglob("*") if path.is_file())
    return [path for path in found if not IGNORED & set(path.relative_to(ROOT).parts)]


@pytest.mark.parametrize("path", _modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_module_is_small_and_well_named(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert path.stem not in BANNED
    assert not BANNED & {part.lower() for part in path.relative_to(ROOT).parts}
    assert len(text.splitlines()) < MODULE_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            assert lines < FUNCTION_LINES, f"{node.name} has {lines} lines"


def test_no_file_names_a_package_index() -> None:
    found = []
    for path in _committed():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        if path != Path(__file__) and (match := INDEX.search(text)):
            found.append(f"{path.relative_to(ROOT)}: {match.group()}")
    assert not found


@pytest.mark.parametrize(
    "text",
    ["--index-url https://example.test/simple", "  --find-links /wheels", INDEX_HOSTS[0]],
)
def test_an_index_would_be_found(text: str) -> None:
    assert INDEX.search(text)
