"""Scans that are in an object store, copied to this machine before they are read."""

from dataclasses import replace

from components.ingest.config import IngestConfig
from thimble.stage import BadInput, Run
from thimble.store import is_store_url, open_store

__all__ = ["fetch_source"]


def fetch_source(config: IngestConfig, run: Run) -> IngestConfig:
    """Copy a source from an object store; any other stays where it is.

    Args:
        config: Its source may be `s3://bucket/prefix`.
        run: The copy goes into its checkpoint folder, which `finish` removes.

    Returns:
        The same config with the local folder as source, and a digest of what was copied.

    Raises:
        BadInput: If there is nothing, or it is not what `source_digest` says.
        StoreUnreachable: If the store fails.
    """
    if not is_store_url(config.source.source):
        return config
    folder = run.checkpoint / "source"
    digest = open_store(config.source.source).fetch(folder)
    expected = config.source.source_digest or digest
    if digest != expected:
        raise BadInput(
            f"{config.source.source} has changed since the run began. Received: {digest}. "
            f"Expected: source_digest={expected}. Run the same command again."
        )
    return replace(config, source=replace(config.source, source=str(folder), source_digest=digest))
