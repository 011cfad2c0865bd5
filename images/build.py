"""Builds the stages' images with docker buildx bake: `make images`, `make images STAGE=prune`.

images.yaml is the list; what bake is given is made from it (`make images ARGS=--print` shows it).
Package index, mirror and certificates are those of this machine. They reach the build as secrets,
which are mounted while a command runs and are in no layer.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from pipelines.closure import apply_tags
from thimble.stage import image

__all__ = ["bake_file", "main", "machine_secrets"]

ROOT = Path(__file__).resolve().parent.parent
BASE_IMAGE = "python:3.11-slim-bookworm"
SUITE = "bookworm"
# What pip is told elsewhere about where packages come from.
PIP_KEYS = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout")
CERTIFICATES = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")
INSIDE = "/etc/ssl/certs/ca-certificates.crt"


def bake_file(revision: str, secrets: list[str]) -> dict[str, Any]:
    """Return the definition of every stage's image, in bake's JSON form.

    Args:
        revision: The commit, for the label.
        secrets: Bake's `id=,src=` lines; empty if packages come from the public places.
    """
    text = (ROOT / "images" / "images.yaml").read_text(encoding="utf-8")
    entries = [entry for entry in yaml.safe_load(text)["images"] if entry["runtime"]]
    registry = os.environ.get("THIMBLE_REGISTRY", "")
    targets = {}
    for entry in entries:
        name = image(entry["name"])
        targets[entry["name"]] = {
            "context": ".",
            "dockerfile": "images/Dockerfile",
            "network": "host",
            "secret": secrets,
            "tags": [f"{registry.rstrip('/')}/{name}" if registry else name],
            "args": {
                "BASE_IMAGE": os.environ.get("BASE_IMAGE") or BASE_IMAGE,
                "STAGE": entry["name"],
                "PARENT": entry["parent"],
                "SOURCES": " ".join(entry.get("sources", [])),
                "VERSION": name.rpartition(":")[2],
                "REVISION": revision,
            },
        }
    return {"group": {"default": {"targets": list(targets)}}, "target": targets}


def machine_secrets(folder: Path) -> Iterator[str]:
    """Yield bake's line for each thing that this machine needs to reach its packages.

    Args:
        folder: Receives pip's configuration; remove it after the build.
    """
    bundle = next((os.environ[name] for name in CERTIFICATES if os.environ.get(name)), "")
    lines = [f"{key} = {value}" for key, value in _pip_settings() if key in PIP_KEYS]
    if bundle:
        lines.append(f"cert = {INSIDE}")
        yield f"id=certificates,src={bundle}"
    if lines:
        path = folder / "pip.conf"
        path.write_text("\n".join(["[global]", *lines, ""]), encoding="utf-8")
        yield f"id=pip,src={path}"
    # A mirror of another release would not fit the base image.
    mirror = Path("/etc/apt/sources.list.d/debian.sources")
    if mirror.exists() and f"{SUITE}-security" in mirror.read_text(encoding="utf-8"):
        yield f"id=apt,src={mirror}"


def _pip_settings() -> Iterator[tuple[str, str]]:
    """Yield what pip is configured with here; its environment variables come last and win."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = {}
    for line in done.stdout.splitlines():
        key, _, value = line.partition("=")
        found[key.rpartition(".")[2]] = value.strip("'\"").replace("\\n", "\n  ")
    yield from found.items()


def _revision() -> str:
    """Return the commit that the sources are of."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=40"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def main(arguments: list[str]) -> int:
    """Build the images that are named, all by default; other arguments go to bake."""
    bake = [shutil.which("docker") or "", "buildx", "bake"]
    known = subprocess.run([*bake, "--help"], check=False, capture_output=True) if bake[0] else None
    if known is None or b"--file" not in known.stdout:  # without buildx it is docker's own help
        print("images: needs docker with buildx. See docs/how-to/images.md.", file=sys.stderr)
        return 2
    apply_tags()
    with tempfile.TemporaryDirectory(prefix="thimble-images-") as scratch:
        definition = bake_file(_revision(), list(machine_secrets(Path(scratch))))
        file = Path(scratch) / "bake.json"
        file.write_text(json.dumps(definition, indent=2), encoding="utf-8")
        if b"--allow" in known.stdout:  # newer ones want to be told what a file may reach
            bake += ["--allow=network.host", f"--allow=fs.read={scratch}", "--allow=fs.read=/etc"]
        return subprocess.run(
            [*bake, "--file", str(file), *arguments], cwd=ROOT, check=False
        ).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
