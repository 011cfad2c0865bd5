"""Writes docs/reference/parameters.md from the stages' config classes: `make reference`."""

import dataclasses
import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml

from thimble.stage import flat_fields

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "reference" / "parameters.md"
HEAD = """# Parameters

Made from the config classes by `make reference`; do not edit. A parameter file
(`pipelines/params/*.yaml`) names them by task, `--set task.parameter=value` changes one, and the
Kubeflow UI shows them flat as `task_parameter`. A task is called like its stage; `baseline` and
`control` are train again, `student_prune` and `student_quantize` compress the student, and `all`
means every task that has the parameter.
"""
ATTRIBUTE = re.compile(r"^ {4}(\w+): (.+(?:\n {5,}\S.*)*)", re.MULTILINE)


def config_class(stage: str) -> type[Any]:
    """Return the config class of a stage, such as `PruneConfig`."""
    module = import_module(f"components.{stage}.{stage}")
    found: type[Any] = getattr(module, f"{stage.capitalize()}Config")
    return found


def descriptions(part: type[Any]) -> dict[str, str]:
    """Return what the `Attributes` of a config class and of its parts say, by leaf name."""
    text = (inspect.getdoc(part) or "").partition("Attributes:")[2]
    found = {name: " ".join(words.split()) for name, words in ATTRIBUTE.findall(text)}
    for field in dataclasses.fields(part):
        if dataclasses.is_dataclass(field.type) and isinstance(field.type, type):
            found |= descriptions(field.type)
    return found


def rows(stage: str) -> Iterator[str]:
    """Yield one line of the table per parameter of a stage."""
    config = config_class(stage)
    said = descriptions(config)
    for name, default in flat_fields(config).items():
        shown = "required" if default is dataclasses.MISSING else f"`{default!r}`"
        yield f"| `{name}` | {shown} | {said.get(name, '').replace('|', 'or')} |"


def page() -> str:
    """Return the whole page."""
    images = yaml.safe_load((ROOT / "images" / "images.yaml").read_text(encoding="utf-8"))["images"]
    parts = [HEAD]
    for stage in (image["name"] for image in images if image["runtime"]):
        listed = list(rows(stage))
        table = ["| parameter | default | meaning |", "|---|---|---|", *listed]
        parts.append(f"## {stage}\n\n" + ("\n".join(table) if listed else "None.") + "\n")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")
