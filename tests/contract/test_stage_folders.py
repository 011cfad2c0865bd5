"""Every stage's folder looks the same, and its component.py holds wiring only."""

import ast
import builtins
from pathlib import Path

COMPONENT_LINES = 40
LOGIC = (ast.For, ast.While, ast.If, ast.Try, ast.Lambda, ast.ClassDef, ast.Match)


def _component(folder: Path) -> tuple[str, ast.Module, ast.FunctionDef]:
    text = (folder / "component.py").read_text(encoding="utf-8")
    module = ast.parse(text)
    functions = [node for node in module.body if isinstance(node, ast.FunctionDef)]
    assert len(functions) == 1, f"{folder}/component.py: expected one function"
    return text, module, functions[0]


def test_same_files(folder: Path, stage: str) -> None:
    expected = {"__init__.py", "component.py", f"{stage}.py", "README.md"}
    assert expected <= {path.name for path in folder.iterdir()}


def test_init_is_empty(folder: Path) -> None:
    assert (folder / "__init__.py").read_bytes() == b""


def test_readme_fits_one_page(folder: Path) -> None:
    lines = (folder / "README.md").read_text(encoding="utf-8").splitlines()
    assert 10 <= len(lines) <= 80


def test_component_is_wiring(folder: Path, stage: str) -> None:
    text, module, function = _component(folder)
    assert len(text.splitlines()) <= COMPONENT_LINES
    # kfp reads the annotations themselves; as strings they break compilation.
    assert "from __future__" not in text
    assert function.name == stage
    assert ast.get_docstring(function), "the docstring is what the Kubeflow UI shows"
    assert not [node for node in ast.walk(module) if isinstance(node, LOGIC)]


def test_component_body_imports_what_it_uses(folder: Path) -> None:
    """kfp ships the function's source alone: a module-level name fails only at run time."""
    _, _, function = _component(folder)
    known = set(dir(builtins)) | {argument.arg for argument in function.args.args}
    used = set()
    for statement in function.body:
        for node in ast.walk(statement):
            if isinstance(node, ast.Import | ast.ImportFrom):
                known |= {alias.asname or alias.name for alias in node.names}
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                known.add(node.id)
            elif isinstance(node, ast.Name):
                used.add(node.id)
    assert used <= known, f"not imported in the body: {sorted(used - known)}"


def test_algorithm_imports_neither_kfp_nor_another_stage(folder: Path, stage: str) -> None:
    for path in folder.rglob("*.py"):
        if path.name == "component.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}: imports are absolute"
                names = [node.module or ""]
            for name in names:
                parts = name.split(".")
                assert parts[0] not in {"kfp", "pipelines"}, f"{path} imports {name}"
                assert parts[0] != "components" or parts[1:2] == [stage], f"{path} imports {name}"
