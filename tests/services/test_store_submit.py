"""In which order the files of a candidate go into a real MinIO, and what is refused."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from tests.services.minio import StoreServer, opener
from thimble.releases import EARLY_BYTES, submit
from thimble.stage import ThimbleError
from thimble.store import Store

pytestmark = pytest.mark.services


@pytest.fixture
def store(
    request: pytest.FixtureRequest, store_server: StoreServer, monkeypatch: pytest.MonkeyPatch
) -> Store:
    """A folder of releases for this test alone, as the pipeline opens it."""
    return opener(store_server, monkeypatch)("pipeline", f"s3://releases/{request.node.name}")


def write_release(made: Path, contents: dict[str, bytes], **listed: bytes) -> None:
    """Write files and SHA256SUMS; `listed` are contents that it names instead."""
    lines = []
    for name, data in contents.items():
        (made / name).write_bytes(data)
        digest = hashlib.sha256(listed.get(name.partition(".")[0], data)).hexdigest()
        lines.append(f"{digest}  {name}\n")
    (made / "SHA256SUMS").write_text("".join(lines))


def test_large_files_wait_for_the_answer(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is there already is not sent again; what is damaged there is left to a person."""
    made = tmp_path / "made"
    made.mkdir()
    write_release(made, {"large.thimble": bytes(EARLY_BYTES + 1), "MODEL_CARD.md": b"card"})
    real, put = Store._put, []

    def counting(self: Store, name: str, *arguments: Any) -> bool:
        put.append(name.rpartition("/")[2].removesuffix("-submit.json"))
        return real(self, name, *arguments)

    monkeypatch.setattr(Store, "_put", counting)
    name = submit(store, "membrane", made, {})
    assert put[-1] == "candidate.json" and put.count("large.thimble") == 1
    (tmp_path / "other").write_bytes(b"other")
    store.upload(tmp_path / "other", f"{name}/MODEL_CARD.md")
    put.clear()
    assert submit(store, "membrane", made, {}) == name
    assert sorted(put) == ["MODEL_CARD.md", "SHA256SUMS"], "refused: nothing is overwritten"
    found = store.read(f"{name}/MODEL_CARD.md")
    assert found and found.data == b"other"


def test_what_is_not_as_listed_is_no_candidate(store: Store, tmp_path: Path) -> None:
    contents = {"package.thimble": b"package", "MODEL_CARD.md": b"card"}
    write_release(tmp_path, contents, package=b"another")
    for _ in range(2):
        with pytest.raises(ThimbleError, match=r"cannot write .*package\.thimble"):
            submit(store, "membrane", tmp_path, {})
    version = hashlib.sha256((tmp_path / "SHA256SUMS").read_bytes()).hexdigest()[:12]
    assert store.read(f"membrane/{version}/SHA256SUMS")
    assert store.read(f"membrane/{version}/candidate.json") is None
