"""A run's artifacts in a real MinIO: whole or not listed, and no page among them."""

from pathlib import Path

import pytest

from pipelines.local import Outcome
from pipelines.mirror import Mirror
from tests.services.minio import OpenAs, StoreServer, opener
from thimble import store_access
from thimble.artifact import write_json
from thimble.stage import BadInput
from thimble.store import Store
from thimble.store_access import StoreUnreachable

pytestmark = pytest.mark.services
URL = "s3://artifacts/mirror"


@pytest.fixture
def open_as(store_server: StoreServer, monkeypatch: pytest.MonkeyPatch) -> OpenAs:
    return opener(store_server, monkeypatch)


@pytest.fixture
def outcome(tmp_path: Path) -> Outcome:
    """A run folder and how its run ended."""
    artifacts = tmp_path / "artifacts"
    for name in ("train/model/weights", "train/model/history.json", "report/verdict/verdict.json"):
        (artifacts / name).parent.mkdir(parents=True, exist_ok=True)
        (artifacts / name).write_text(name)
    (artifacts / "report" / "verdict" / "report.html").write_text("<!doctype html>")
    (artifacts / "report" / "report").write_text("<!doctype html>")
    outputs = {
        "train": {"model": artifacts / "train" / "model"},
        "report": {
            "report": artifacts / "report" / "report",
            "verdict": artifacts / "report/verdict",
        },
    }
    write_json(tmp_path / "timings.json", {"tasks": sorted(outputs)})
    write_json(tmp_path / "run.json", {})
    return Outcome(0, "", None, [], outputs, 1.0, frozenset({outputs["report"]["report"]}))


WHOLE = {
    "artifacts/train/model/weights",
    "artifacts/train/model/history.json",
    "artifacts/report/verdict/verdict.json",
    "run.json",
    "timings.json",
}


def names(server: StoreServer, folder: Path) -> set[str]:
    prefix = f"mirror/{folder.name}/"
    listed = (name.split(" ")[0] for name in server.objects("artifacts"))
    return {name.removeprefix(prefix) for name in listed if name.startswith(prefix)}


def test_pages_stay_here(
    open_as: OpenAs, store_server: StoreServer, outcome: Outcome, tmp_path: Path
) -> None:
    open_as("pipeline", URL)
    assert Mirror(URL, tmp_path).copy(outcome) == 3
    assert names(store_server, tmp_path) == WHOLE
    before = store_server.objects("artifacts")
    assert Mirror(URL, tmp_path).copy(outcome) == 3
    assert store_server.objects("artifacts") == before


@pytest.mark.parametrize("step", range(5))
def test_killed_while_it_copies(
    open_as: OpenAs,
    store_server: StoreServer,
    outcome: Outcome,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: int,
) -> None:
    """The list of what is there comes last, so nothing half-copied is listed."""
    open_as("pipeline", URL)
    mirror, uploads, real = Mirror(URL, tmp_path), [], Store.upload

    def upload(self: Store, file: Path, name: str, sha256: str = "") -> None:
        uploads.append(name)
        if len(uploads) == step + 1:
            store_server.kill()
        real(self, file, name, sha256)

    with monkeypatch.context() as patch:
        patch.setattr(store_access, "RETRIES", 0)
        patch.setattr(Store, "upload", upload)
        with pytest.raises(StoreUnreachable, match="run the same command again"):
            mirror.copy(outcome)
    store_server.start()
    store_server.wait()
    assert "timings.json" not in names(store_server, tmp_path)
    Mirror(URL, tmp_path).copy(outcome)
    assert names(store_server, tmp_path) == WHOLE


def test_a_wrong_key_ends_the_run_before_it_begins(
    open_as: OpenAs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_as("pipeline", URL)
    monkeypatch.setenv("THIMBLE_S3_SECRET_KEY", "not-the-one-that-it-should-be")
    with pytest.raises(BadInput, match="does not accept the credentials") as refused:
        Mirror(URL, tmp_path)
    assert "not-the-one" not in str(refused.value)
    open_as("phone", URL)
    with pytest.raises(BadInput, match="does not allow"):
        Mirror(URL, tmp_path)
