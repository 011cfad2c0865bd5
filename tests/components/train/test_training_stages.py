"""Train, distill, prune and quantize on a small learnable data set, one after the other."""

import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.components.train.small_stages import SMALL, run_stage
from thimble.artifact import digest_folder, load_history
from thimble.stage import BadInput
from thimble.training import Diverged
from thimble.weights import load_weights, save_weights, sparsity_of


def test_equal_seeds_give_equal_bytes_and_others_do_not(
    tmp_path: Path, training_dataset: Path
) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run_stage("train", [training_dataset], tmp_path / name, steps=4, seed=seed)
    assert digest_folder(tmp_path / "a") == digest_folder(tmp_path / "b")
    assert digest_folder(tmp_path / "a") != digest_folder(tmp_path / "c")


KILLED = """
import os, signal
from pathlib import Path
from components.train.train import TrainConfig, train_model
from thimble.stage import Run, flat_fields, start

def progress(self, step, total, **figures):
    if step > {after}:
        os.kill(os.getpid(), signal.SIGKILL)

Run.progress = progress
arguments = flat_fields(TrainConfig) | {small!r}
with start("train", TrainConfig, arguments, [{dataset!r}]) as run:
    train_model({dataset!r}, run.config, run)
"""


def test_a_killed_training_continues_to_the_same_bytes(
    tmp_path: Path, training_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_stage("train", [training_dataset], tmp_path / "whole")
    monkeypatch.setenv("THIMBLE_CHECKPOINTS", str(tmp_path / "checkpoints"))
    code = KILLED.format(after=20, small=SMALL, dataset=str(training_dataset))
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=os.environ,
        capture_output=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert list((tmp_path / "checkpoints").rglob("*.index"))
    run_stage("train", [training_dataset], tmp_path / "resumed")
    for name in ("whole", "resumed"):
        assert load_history(tmp_path / name)[0]["metrics"]["steps"] == 40
    assert digest_folder(tmp_path / "whole") == digest_folder(tmp_path / "resumed")
    assert not list((tmp_path / "checkpoints").iterdir())


def test_a_loss_that_is_no_number_stops_with_a_clear_error(
    tmp_path: Path, teacher: Path, training_dataset: Path
) -> None:
    weights = load_weights(teacher)
    weights.tensors["head/bias"][:] = np.nan
    save_weights(weights, tmp_path / "broken")
    with pytest.raises(Diverged, match=r"loss is nan at step 10.*Lower learning_rate"):
        broken = {"initial": tmp_path / "broken"}
        run_stage("train", [training_dataset], tmp_path / "out", broken, evaluate_every=40)
    assert not (tmp_path / "out").exists()


def test_patience_stops_early_and_the_best_state_is_kept(
    tmp_path: Path, teacher: Path, training_dataset: Path
) -> None:
    before = load_history(teacher)[-1]["metrics"]["dice_validation"]
    figures = run_stage(
        "train",
        [training_dataset],
        tmp_path / "on",
        {"initial": teacher},
        learning_rate=1e-7,
        patience=2,
        evaluate_every=5,
        steps=40,
    )
    assert figures["steps"] < 40
    assert figures["dice_validation"] == pytest.approx(before, abs=0.02)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"patch_size": 30}, r"patch_size=30 is not divisible by 2\*\*depth=4"),
        ({"patch_size": 256}, r"patch_size=256 is more than twice.*\(40 pixels\)"),
        ({"steps": 0}, r"steps must be >= 1.*steps=0"),
        ({"learning_rate": -1.0}, r"learning_rate must be in \(0, 1\]"),
        ({"model": "resnet"}, r"model must be one of unet.*resnet"),
        ({"depth": 9}, r"depth"),
    ],
)
def test_wrong_parameters_are_refused(
    tmp_path: Path, training_dataset: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        run_stage("train", [training_dataset], tmp_path / "out", **changes)
    assert not (tmp_path / "out").exists()


def test_a_student_learns_from_its_teacher(
    tmp_path: Path, teacher: Path, training_dataset: Path
) -> None:
    figures = run_stage("distill", [teacher, training_dataset], tmp_path / "s", base_width=2)
    assert figures["dice_validation"] > 0.7
    student = load_weights(tmp_path / "s")
    assert student.architecture["config"]["base_width"] == 2
    assert [entry["stage"] for entry in student.history] == ["train", "distill"]


def test_a_student_wider_than_its_teacher_is_refused(
    tmp_path: Path, teacher: Path, training_dataset: Path
) -> None:
    with pytest.raises(BadInput, match="wider than its teacher"):
        run_stage("distill", [teacher, training_dataset], tmp_path / "s", base_width=8)


@pytest.mark.parametrize("stage", ["prune", "quantize"])
def test_another_network_teaches_where_it_is_given(
    tmp_path: Path, teacher: Path, pruned: Path, training_dataset: Path, stage: str
) -> None:
    changes = {"soft_share": 1.0, "steps": 10}
    run_stage(stage, [pruned, training_dataset], tmp_path / "alone", **changes)
    other = {"teacher_path": teacher}
    run_stage(stage, [pruned, training_dataset], tmp_path / "taught", other, **changes)
    alone, taught = load_weights(tmp_path / "alone"), load_weights(tmp_path / "taught")
    assert any((alone.tensors[name] != taught.tensors[name]).any() for name in alone.tensors)


@pytest.mark.parametrize("stage", ["distill", "prune", "quantize"])
def test_a_teacher_worse_than_one_class_everywhere_is_refused(
    tmp_path: Path, teacher: Path, training_dataset: Path, stage: str
) -> None:
    weights = load_weights(teacher)
    head = {name: -weights.tensors[name] for name in ("head/kernel", "head/bias")}
    save_weights(replace(weights, tensors={**weights.tensors, **head}), tmp_path / "wrong")
    extra = {} if stage == "distill" else {"teacher_path": tmp_path / "wrong"}
    model = tmp_path / "wrong" if stage == "distill" else teacher
    with pytest.raises(BadInput, match="must know more than one class everywhere"):
        run_stage(stage, [model, training_dataset], tmp_path / "out", extra)
    # Where nobody listens to it, it may be anything.
    run_stage(stage, [model, training_dataset], tmp_path / "out", extra, soft_share=0.0, steps=2)


def test_a_teacher_of_other_scans_is_refused(
    tmp_path: Path, teacher: Path, training_dataset: Path
) -> None:
    weights = load_weights(teacher)
    shape = {**weights.architecture["config"], "channels": 3}
    kernel = np.repeat(weights.tensors["conv_e0_a/kernel"], 3, axis=2)
    other = replace(
        weights,
        architecture={**weights.architecture, "config": shape},
        tensors={**weights.tensors, "conv_e0_a/kernel": kernel},
    )
    save_weights(other, tmp_path / "other")
    with pytest.raises(BadInput, match="teacher has 3 channels and 2 classes"):
        run_stage("distill", [tmp_path / "other", training_dataset], tmp_path / "out")


def test_pruning_reaches_the_total_and_keeps_masks(pruned: Path, teacher: Path) -> None:
    weights, dense = load_weights(pruned), load_weights(teacher)
    assert sparsity_of(weights) == pytest.approx(0.8, abs=0.005)
    assert list(weights.tensors) == list(dense.tensors)
    for name, mask in weights.constraints.items():
        assert np.array_equal(mask, weights.tensors[name.removesuffix(".mask")] != 0)
    per_layer = {
        name: 1 - mask.mean() for name, mask in weights.constraints.items() if mask.size > 64
    }
    assert max(per_layer.values()) - min(per_layer.values()) > 0.05


def test_uniform_pruning_gives_each_layer_the_same_share(
    tmp_path: Path, teacher: Path, training_dataset: Path
) -> None:
    run_stage(
        "prune", [teacher, training_dataset], tmp_path / "p", sparsity=0.5, allocation="uniform"
    )
    for mask in load_weights(tmp_path / "p").constraints.values():
        assert mask.mean() == pytest.approx(0.5, abs=0.5 / mask.size + 0.01)


def test_a_pruning_that_does_not_change_anything_keeps_the_network(
    tmp_path: Path, teacher: Path, training_dataset: Path
) -> None:
    figures = run_stage(
        "prune", [teacher, training_dataset], tmp_path / "p", sparsity=0.0, learning_rate=1e-7
    )
    before = load_history(teacher)[-1]["metrics"]["dice_validation"]
    assert figures["dice_validation"] == pytest.approx(before, abs=0.02)


def test_weight_sharing_keeps_zeros_and_dice(
    tmp_path: Path, pruned: Path, training_dataset: Path
) -> None:
    figures = run_stage(
        "quantize", [pruned, training_dataset], tmp_path / "q", codebook_size=16, steps=20
    )
    weights, before = load_weights(tmp_path / "q"), load_weights(pruned)
    assert figures["dice_validation"] > figures["dice_validation_before"] - 0.05
    assert figures["package_bytes"] < before.history[-1]["metrics"]["package_bytes"]
    kernels = [name for name in weights.tensors if name.endswith("/kernel")]
    for name in kernels:
        codebook = weights.constraints[f"{name}.codebook"]
        assert codebook.size <= 16
        assert codebook[0] == 0.0
        assert np.array_equal(codebook, codebook.astype(np.float16).astype(np.float32))
        restored = codebook[weights.constraints[f"{name}.indices"]]
        assert restored.tobytes() == weights.tensors[name].tobytes()
        assert not weights.tensors[name][before.tensors[name] == 0].any()
    assert weights.architecture["config"]["normalization"] == "none"


def test_training_the_codebook_lowers_the_loss_of_a_coarse_one(
    tmp_path: Path, teacher: Path, training_dataset: Path
) -> None:
    figures = run_stage(
        "quantize",
        [teacher, training_dataset],
        tmp_path / "q",
        codebook_size=4,
        steps=40,
        learning_rate=5e-3,
    )
    assert figures["dice_validation"] > figures["dice_validation_clustered"]


@pytest.mark.parametrize("method", ["magnitude", "surgery"])
def test_the_weights_of_least_curvature_go_and_it_repeats(
    tmp_path: Path, teacher: Path, training_dataset: Path, method: str
) -> None:
    changes = {"method": method, "allocation": "fisher", "sparsity": 0.8}
    for name in ("a", "b"):
        figures = run_stage("prune", [teacher, training_dataset], tmp_path / name, **changes)
    assert figures["dice_validation"] > 0.7
    assert figures["sparsity_reached"] == pytest.approx(0.8, abs=0.01)
    assert digest_folder(tmp_path / "a") == digest_folder(tmp_path / "b")


def test_dearer_bits_make_a_smaller_package(
    tmp_path: Path, pruned: Path, training_dataset: Path
) -> None:
    found = [
        run_stage(
            "quantize",
            [pruned, training_dataset],
            tmp_path / str(rate),
            codebook_size=16,
            rate_weight=rate,
            steps=20,
        )
        for rate in (0.0, 1e-4, 1e-2)
    ]
    sizes = [figures["package_bytes"] for figures in found]
    assert sizes == sorted(sizes, reverse=True) and sizes[-1] < 0.8 * sizes[0]
    assert found[1]["dice_validation"] > 0.7
    assert found[2]["codebook_entries_mean"] < found[0]["codebook_entries_mean"]
