"""What publish costs beside the plain upload of the same files, in one MinIO on this machine.

`python benchmarks/store/run.py [rounds]` starts a server of its own, which
`tests/services/install/minio.sh` builds. Every round makes a release of random bytes for each way
and uploads it: by publish with all its checks, by one plain PUT a file, and by MinIO's client mc,
if there is one.
"""

import hashlib
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from minio import Minio

from tests.services.minio import StoreServer
from thimble.releases import PROVENANCE, SUMS, submit
from thimble.store import open_store

SIZES = (100_000, 1_000_000, 10_000_000, 40_000_000)
ROUNDS = 15
# About what the other files of a release have.
BESIDE = {"MODEL_CARD.md": 4_000, "manifest.json": 20_000, PROVENANCE: 20_000}


def make_release(folder: Path, size: int, seed: int) -> Path:
    """Fill a new folder with a release whose package has `size` bytes."""
    made = Path(tempfile.mkdtemp(dir=folder))
    source = random.Random(seed)
    for name, length in {"teacher-int8.thimble": size, **BESIDE}.items():
        (made / name).write_bytes(source.randbytes(length))
    lines = [
        f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n"
        for file in sorted(made.iterdir())
    ]
    (made / SUMS).write_text("".join(lines), encoding="utf-8")
    return made


def plain_put(client: Minio, folder: Path) -> None:
    """One request a file, one after the other, no check but those of the client."""
    for file in sorted(folder.iterdir()):
        client.fput_object("plain", f"{folder.name}/{file.name}", str(file), part_size=5 << 30)


def mc_copy(mc: str, server: StoreServer, folder: Path) -> None:
    """MinIO's own client."""
    url = f"http://root:{server.users['root']}@{server.address}"
    command = [mc, "--quiet", "cp", "--recursive", f"{folder}/", f"bench/plain/mc-{folder.name}/"]
    subprocess.run(
        command, check=True, env={**os.environ, "MC_HOST_bench": url}, stdout=subprocess.DEVNULL
    )


def measure(folder: Path, server: StoreServer, rounds: int) -> None:
    """Print a line for each size."""
    client, store = server.client(), open_store("s3://releases/bench")
    ways: dict[str, Callable[[Path], object]] = {
        "publish": lambda made: submit(store, "model", made, {}),
        "plain PUT": lambda made: plain_put(client, made),
    }
    if mc := shutil.which("mc"):
        ways["mc"] = lambda made: mc_copy(mc, server, made)
    print(f"publish beside {', '.join(list(ways)[1:])}; {rounds} rounds, median")
    for size in SIZES:
        times: dict[str, list[float]] = {way: [] for way in ways}
        for turn in range(rounds):
            order = [*ways][turn % len(ways) :] + [*ways][: turn % len(ways)]
            for place, way in enumerate(order):
                made = make_release(folder, size, seed=size + 10 * turn + place)
                began = time.perf_counter()
                ways[way](made)
                times[way].append(time.perf_counter() - began)
                shutil.rmtree(made)
        medians = {way: statistics.median(found) for way, found in times.items()}
        ratios = {
            way: statistics.median(a / b for a, b in zip(times["publish"], times[way], strict=True))
            for way in [*ways][1:]
        }
        told = ", ".join(f"{way} {1e3 * seconds:.1f} ms" for way, seconds in medians.items())
        print(f"{size:>11,} B: {told}; " + ", ".join(f"{r:.2f}x {w}" for w, r in ratios.items()))


def main() -> None:
    """Start the server, measure, stop it."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    with tempfile.TemporaryDirectory() as folder:
        server = StoreServer(Path(folder))
        server.start()
        try:
            server.wait()
            client = server.client()
            client.make_bucket("releases", object_lock=True)
            # The same kind of bucket: versions and a lock cost both sides.
            client.make_bucket("plain", object_lock=True)
            os.environ |= server.environment()
            measure(Path(folder), server, rounds)
        finally:
            server.kill()


if __name__ == "__main__":
    main()
