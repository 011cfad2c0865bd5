"""A run folder is refused before anything runs when it cannot or must not be used."""

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from pipelines.run_folder import open_run
from thimble.stage import BadInput

TOY = {"pipeline": "toy", "dataset": "phantom", "parameters": {}}


def _refusal(folder: Path, **changes: str) -> str:
    with pytest.raises(BadInput) as caught, open_run(folder, {**TOY, **changes}):
        pass
    return str(caught.value)


def test_opens_a_new_folder_and_opens_it_again(tmp_path: Path) -> None:
    for _ in range(2):
        with open_run(tmp_path / "a" / "b c", TOY) as folder:
            assert folder.logs.is_dir()
            assert folder.read_description() == {"format": "thimble-run/1", **TOY}


def test_a_second_run_at_the_same_time(tmp_path: Path) -> None:
    with open_run(tmp_path, TOY):
        message = _refusal(tmp_path)
    assert f"another run (pid {os.getpid()}) is using {tmp_path}" in message
    with open_run(tmp_path, TOY):
        pass


def test_another_pipeline_or_other_data(tmp_path: Path) -> None:
    with open_run(tmp_path, TOY):
        pass
    assert "is a run folder of pipeline 'toy'. Expected pipeline 'x'" in _refusal(
        tmp_path, pipeline="x"
    )
    assert "is a run folder of dataset 'phantom'" in _refusal(tmp_path, dataset="isbi2012")


def test_foreign_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    assert "thesis.tex" in _refusal(tmp_path)
    assert os.listdir(tmp_path) == ["thesis.tex"]


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "is a file. Expected a folder" in _refusal(tmp_path / "file")
    assert "Not a directory" in _refusal(tmp_path / "file" / "run")


def test_a_read_only_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "mkdir", refuse)
    message = _refusal(tmp_path / "run")
    assert message.startswith(f"cannot write to {tmp_path / 'run'}: Read-only file system.")
    assert "choose another --out folder" in message


def test_a_nearly_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=3_500_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    assert "3.5 MB free" in _refusal(tmp_path)


def test_a_full_disk_while_the_description_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pipelines.run_folder

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(pipelines.run_folder, "write_json", full)
    assert "No space left on device" in _refusal(tmp_path)
    assert not (tmp_path / "run.json").exists()
