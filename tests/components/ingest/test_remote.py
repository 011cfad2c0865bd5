"""Sources that are elsewhere, as far as no server is needed; tests/services has the rest."""

import subprocess
import sys

import pytest

from components.ingest.config import IngestConfig
from components.ingest.remote import open_anywhere
from thimble.stage import BadInput, flat_fields, from_flat

WITHOUT_GOOGLE = """
import sys
sys.modules["apache_beam.io.gcp.gcsfilesystem"] = None
from components.ingest.remote import _list
from thimble.stage import BadInput
try:
    _list("gs://bucket/prefix")
except BadInput as error:
    print(error)
"""


def test_google_client_is_asked_for() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_GOOGLE], check=True, capture_output=True, text=True
    )
    assert "gs://bucket/prefix needs Google's client" in done.stdout
    assert 'pip install "apache-beam[gcp]"' in done.stdout


def test_other_schemes_are_refused() -> None:
    config = from_flat(
        IngestConfig, flat_fields(IngestConfig) | {"kind": "paired", "source": "ftp://host/x"}
    )
    with pytest.raises(BadInput, match="source must be a folder, s3:// or gs://. Received: ftp"):
        open_anywhere(config)
