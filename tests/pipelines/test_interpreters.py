"""Stages whose packages exclude ours run in the environment that setup made from their lock."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.interpreters import ENVIRONMENTS, find_interpreters
from thimble.stage import BadInput


@pytest.fixture(scope="module")
def spec() -> Any:
    from pipelines.compress import compress

    return compress.pipeline_spec


def test_the_list_of_images_says_the_same(repository: Path) -> None:
    images = yaml.safe_load((repository / "images/images.yaml").read_text())["images"]
    assert ENVIRONMENTS == {i["name"]: i["environment"] for i in images if "environment" in i}


def test_setup_made_them(spec: Any, repository: Path) -> None:
    found = find_interpreters(spec)
    python = str(repository / ".venv-validate/bin/python")
    assert found == {"thimble-validate-python": python}


def test_one_that_is_missing_is_told(spec: Any, toy: Any, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="validate runs in an environment .* Run `make setup`"):
        find_interpreters(spec, tmp_path)
    assert find_interpreters(toy.toy.pipeline_spec, tmp_path) == {}
