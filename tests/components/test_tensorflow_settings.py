"""Every module of a stage gets TensorFlow with Thimble's settings, however the stage is started."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = {
    "TF_USE_LEGACY_KERAS": "1",
    "TF_ENABLE_ONEDNN_OPTS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "2",
}
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in (ROOT / "components").rglob("*.py")
    if "tensorflow" in (text := path.read_text(encoding="utf-8")) or "tf_keras" in text
)
# Stands where TensorFlow would be: it says what TensorFlow would have read, and ends the process.
IMPORT = """
import importlib, json, os, sys

class Instead:
    def find_spec(self, name, path=None, target=None):
        if name in ("tensorflow", "tf_keras", "tensorflow_model_optimization"):
            print(json.dumps({key: os.environ.get(key) for key in sys.argv[2:]}), flush=True)
            os._exit(0)

sys.meta_path.insert(0, Instead())
importlib.import_module(sys.argv[1])
"""


@pytest.mark.parametrize("module", MODULES)
def test_settings_come_before_tensorflow(module: str) -> None:
    bare = {key: value for key, value in os.environ.items() if key not in SETTINGS}
    done = subprocess.run(
        [sys.executable, "-c", IMPORT, module, *SETTINGS],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=bare,
    )
    # A module that imports TensorFlow only when it is called prints nothing.
    assert json.loads(done.stdout or json.dumps(SETTINGS)) == SETTINGS
