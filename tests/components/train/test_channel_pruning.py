"""Channels that are cut out: smaller tensors, the same network up to TFLite."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from components.convert.tflite import freeze, to_tflite
from tests.components.train.small_stages import SMALL, run_stage
from thimble.artifact import digest_folder, load_history
from thimble.codec import decode, encode_model
from thimble.models import to_keras
from thimble.stage import BadInput
from thimble.weights import Weights, load_weights


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory, teacher: Path, training_dataset: Path) -> Path:
    folder = tmp_path_factory.mktemp("cut") / "model"
    figures = run_stage(
        "prune", [teacher, training_dataset], folder, method="channels", sparsity=0.3
    )
    assert figures["dice_validation"] > 0.7
    assert figures["work_ratio"] >= 1 / 0.7
    assert figures["sparsity_reached"] == pytest.approx(0.3, abs=0.05)
    assert figures["macs_ratio"] > 1.2 and figures["channels_kept"] < 1
    before = load_history(teacher)[-1]["metrics"]
    assert figures["float32_bytes"] < before["float32_bytes"]
    return folder


def test_cut_channels_flow_through_to_tflite(
    tmp_path: Path, cut: Path, training_dataset: Path
) -> None:
    run_stage("quantize", [cut, training_dataset], tmp_path / "q", codebook_size=16, steps=5)
    shared = load_weights(tmp_path / "q")
    assert (
        shared.architecture["config"]["widths"]
        == load_weights(cut).architecture["config"]["widths"]
    )
    package = encode_model(shared)
    decoded = decode(package)
    assert isinstance(decoded, Weights)
    assert decoded.architecture == shared.architecture
    model = to_keras(decoded)
    tflite = to_tflite(freeze(model, 32, 1), "float32", np.zeros((1, 32, 32, 1), np.float32))
    tile = np.random.default_rng(0).normal(size=(1, 32, 32, 1)).astype(np.float32)
    interpreter = Interpreter(model_content=tflite)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], tile)
    interpreter.invoke()
    logits = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    assert np.allclose(logits, model(tile, training=False), atol=1e-4)


def test_a_student_of_a_cut_teacher_has_regular_widths(
    tmp_path: Path, cut: Path, training_dataset: Path
) -> None:
    run_stage("distill", [cut, training_dataset], tmp_path / "s", base_width=2, steps=2)
    student = load_weights(tmp_path / "s")
    assert "widths" not in student.architecture["config"]
    assert student.tensors["conv_e1_a/kernel"].shape == (3, 3, 2, 4)


def test_so_many_channels_cannot_go(tmp_path: Path, teacher: Path, training_dataset: Path) -> None:
    with pytest.raises(BadInput, match=r"sparsity of method 'channels' must be <= .*0.95"):
        run_stage(
            "prune", [teacher, training_dataset], tmp_path / "p", method="channels", sparsity=0.95
        )


def test_cutting_no_channel_keeps_the_network(
    tmp_path: Path, teacher: Path, training_dataset: Path
) -> None:
    arguments = {"method": "channels", "sparsity": 0.0, "learning_rate": 1e-7}
    figures = run_stage("prune", [teacher, training_dataset], tmp_path / "p", **arguments)
    before = load_history(teacher)[-1]["metrics"]["dice_validation"]
    assert figures["dice_validation"] == pytest.approx(before, abs=0.02)
    assert figures["macs_ratio"] == figures["channels_kept"] == 1.0


KILLED_CHANNELS = """
import os, signal
from components.prune.prune import PruneConfig, prune_model
from thimble.stage import Run, flat_fields, start

def progress(self, step, total, **figures):
    if step > 20:
        os.kill(os.getpid(), signal.SIGKILL)

Run.progress = progress
arguments = flat_fields(PruneConfig) | {arguments!r}
with start("prune", PruneConfig, arguments, {inputs!r}) as run:
    prune_model(*{inputs!r}, run.config, run)
"""


def test_killed_channel_pruning_continues_to_the_same_bytes(
    tmp_path: Path, cut: Path, teacher: Path, training_dataset: Path, monkeypatch: Any
) -> None:
    monkeypatch.setenv("THIMBLE_CHECKPOINTS", str(tmp_path / "checkpoints"))
    changes = {"method": "channels", "sparsity": 0.3}
    inputs = [str(teacher), str(training_dataset)]
    code = KILLED_CHANNELS.format(arguments=SMALL | changes, inputs=inputs)
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ, capture_output=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert list((tmp_path / "checkpoints").rglob("*.index"))
    run_stage("prune", [teacher, training_dataset], tmp_path / "resumed", **changes)
    assert digest_folder(cut) == digest_folder(tmp_path / "resumed")
