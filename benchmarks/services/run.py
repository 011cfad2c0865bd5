"""What the real servers cost and stand on this machine: MinIO and the Pushgateway.

`python -m benchmarks.services.run [publish] [downloads] [pushes]`: all of them by default. It
starts servers of its own; `tests/services/install/*.sh` install them.

publish: beside the plain upload of the same files. Every round makes a release of random bytes for
each way and uploads it: by publish with all its checks; by one plain PUT a file, one after the
other; by the same PUTs several at a time, as publish sends its own; and by MinIO's client mc, if
there is one. All but mc have the same settings of the client. A plain PUT asks and logs nothing,
writes no candidate, and the server checks what arrived by its signature.
downloads: 200 at once, each from the pointer down to a package whose digest is verified.
pushes: of 10 stages at once, for ten seconds.
"""

import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from minio import Minio

from tests.services.minio import StoreServer
from tests.services.prometheus import serve_gateway
from thimble.artifact import digest_file, write_json
from thimble.envelope import seal_statement
from thimble.push import Ending, push_ending
from thimble.releases import PROVENANCE, SUMS, Decision, approve, submit
from thimble.store import Store, open_store
from thimble.store_access import CONNECTIONS, StoreSettings

# Rounds by size: the small ones spread more.
ROUNDS = {100_000: 100, 1_000_000: 100, 10_000_000: 30, 40_000_000: 30}
DOWNLOADS = 200
DOWNLOAD_BYTES = 100_000
PUSHING = 10
PUSH_SECONDS = 10
# About what the other files of a release have.
PACKAGE = "teacher-int8.thimble"
BESIDE = {"MODEL_CARD.md": 4_000, "manifest.json": 20_000}
STATEMENT_BYTES = 15_000


def make_release(folder: Path, size: int, seed: int) -> Path:
    """Fill a new folder with a release whose package has `size` bytes."""
    made = Path(tempfile.mkdtemp(dir=folder))
    source = random.Random(seed)
    for name, length in {PACKAGE: size, **BESIDE}.items():
        (made / name).write_bytes(source.randbytes(length))
    digest = {"sha256": digest_file(made / PACKAGE)}
    statement = {
        "subject": [{"name": PACKAGE, "digest": digest}],
        "predicate": source.randbytes(STATEMENT_BYTES // 2).hex(),
    }
    write_json(made / PROVENANCE, seal_statement(statement, None))
    lines = [f"{digest_file(file)}  {file.name}\n" for file in sorted(made.iterdir())]
    (made / SUMS).write_text("".join(lines), encoding="utf-8")
    return made


def plain_put(client: Minio, folder: Path) -> None:
    """One request a file, one after the other, no check but those of the client."""
    for file in sorted(folder.iterdir()):
        put_file(client, file)


def parallel_put(client: Minio, folder: Path) -> None:
    """The same requests, several at a time."""
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        list(pool.map(lambda file: put_file(client, file), sorted(folder.iterdir())))


def put_file(client: Minio, file: Path) -> None:
    """One request, whatever the size."""
    client.fput_object("plain", f"{file.parent.name}/{file.name}", str(file), part_size=5 << 30)


def mc_copy(mc: str, server: StoreServer, folder: Path) -> None:
    """MinIO's own client."""
    url = f"http://root:{server.users['root']}@{server.address}"
    command = [mc, "--quiet", "cp", "--recursive", f"{folder}/", f"bench/plain/mc-{folder.name}/"]
    subprocess.run(
        command, check=True, env={**os.environ, "MC_HOST_bench": url}, stdout=subprocess.DEVNULL
    )


def publish(folder: Path, server: StoreServer) -> None:
    """Print a line for each size."""
    client, store = StoreSettings.from_environment().client(), open_store("s3://releases/bench")
    ways: dict[str, Callable[[Path], object]] = {
        "publish": lambda made: submit(store, "model", made, {}),
        "plain PUT": lambda made: plain_put(client, made),
        "parallel PUT": lambda made: parallel_put(client, made),
    }
    if mc := shutil.which("mc"):
        ways["mc"] = lambda made: mc_copy(mc, server, made)
    print("publish, medians; to reach: <= 1.1x mc or plain PUT")
    for size, rounds in ROUNDS.items():
        times: dict[str, list[float]] = {way: [] for way in ways}
        for turn in range(rounds):
            order = [*ways][turn % len(ways) :] + [*ways][: turn % len(ways)]
            for place, way in enumerate(order):
                made = make_release(folder, size, seed=size + 10 * turn + place)
                began = time.perf_counter()
                ways[way](made)
                times[way].append(time.perf_counter() - began)
                shutil.rmtree(made)
        told = [f"{way} {1e3 * statistics.median(found):.1f} ms" for way, found in times.items()]
        for way in [*ways][1:]:
            pairs = zip(times["publish"], times[way], strict=True)
            told.append(f"{statistics.median(a / b for a, b in pairs):.2f}x {way}")
        print(f"{size:>12,} B: {', '.join(told)}")


def fetch_latest(store: Store) -> None:
    """Follow the pointer to a package, as a phone does."""
    latest = store.read("load/latest.json")
    version = json.loads(latest.data if latest else b"")["release"]["version"]
    sums = store.read(f"load/{version}/{SUMS}")
    listed = dict(
        line.split("  ")[::-1] for line in (sums.data if sums else b"").decode().splitlines()
    )
    if store.sha256(f"load/{version}/{PACKAGE}") != listed[PACKAGE]:
        raise SystemExit(f"{PACKAGE} arrived damaged")


def downloads(folder: Path, server: StoreServer) -> None:
    """Print how long 200 phones take that come at once."""
    store = open_store("s3://releases/bench")
    name = submit(store, "load", make_release(folder, DOWNLOAD_BYTES, seed=1), {})
    approve(store, name, Decision("benchmark", "load"))
    began = time.perf_counter()
    with ThreadPoolExecutor(DOWNLOADS) as pool:
        list(pool.map(lambda _: fetch_latest(store), range(DOWNLOADS)))
    print(f"{DOWNLOADS} downloads at once, digests verified: {time.perf_counter() - began:.1f} s")


def pushes(folder: Path, _: StoreServer) -> None:
    """Print how many stages a second can push their figures."""
    with serve_gateway(folder) as gateway, ThreadPoolExecutor(PUSHING) as pool:
        environment = {"THIMBLE_PUSHGATEWAY_URL": gateway, "THIMBLE_PIPELINE": "load"}
        end = time.perf_counter() + PUSH_SECONDS

        def push(branch: int) -> int:
            count = 0
            while time.perf_counter() < end:
                figures = {"images": count}
                labels = {"branch": f"branch {branch}-{count % 10}"}
                push_ending(Ending("toy", 1.0, labels=labels, figures=figures), environment)
                count += 1
            return count

        count = sum(pool.map(push, range(PUSHING)))
    print(f"pushes: {count / PUSH_SECONDS:.0f} a second; to reach: 50")


PARTS = {"publish": publish, "downloads": downloads, "pushes": pushes}


def main() -> None:
    """Start the store, measure, stop it."""
    with tempfile.TemporaryDirectory() as folder:
        server = StoreServer(Path(folder))
        server.start()
        try:
            server.wait()
            client = server.client()
            # The same kind of bucket for all: versions and a lock cost.
            for bucket in ("releases", "plain"):
                client.make_bucket(bucket, object_lock=True)
            os.environ |= server.environment()
            for name in sys.argv[1:] or PARTS:
                PARTS[name](Path(folder), server)
        finally:
            server.kill()


if __name__ == "__main__":
    main()
