"""Debian's Prometheus, Pushgateway and Alertmanager, with the project's own configuration."""

import http.server
import json
import queue
import random
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
CONFIGURATION = ROOT / "manifests" / "base" / "observability"
DEADLINE_SECONDS = 120.0


@dataclass(frozen=True)
class Prometheus:
    """The servers.

    Attributes:
        url: Prometheus.
        gateway: The Pushgateway.
        notified: What Alertmanager sent, with the name of the receiver.
    """

    url: str
    gateway: str
    notified: "queue.Queue[dict[str, Any]]"

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the result of an instant query."""
        asked = urllib.parse.urlencode({"query": expression})
        answer = json.loads(fetch(f"{self.url}/api/v1/query?{asked}"))
        assert answer["status"] == "success", answer
        return list(answer["data"]["result"])

    def wait(self, expression: str) -> list[dict[str, Any]]:
        """Return the result of an instant query once there is one."""
        return wait_for(lambda: self.query(expression), f"no data for {expression}")


def fetch(url: str) -> str:
    """Return what a server says."""
    with urllib.request.urlopen(url, timeout=10) as answer:
        return str(answer.read().decode())


def wait_for(check: Callable[[], Any], complaint: str) -> Any:
    """Return what `check` returns once that is true."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not (found := check()):
        assert time.monotonic() < deadline, complaint
        threading.Event().wait(0.1)
    return found


def free_port() -> int:
    """Return a port that nobody uses now, below those that outgoing connections take.

    Linux gives these numbers from 32768 on; one of them is often taken before a slow server has it.
    """
    for port in random.SystemRandom().sample(range(15000, 32000), 100):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise OSError("none of 100 ports from 15000 to 32000 is free")


@contextmanager
def serve(command: list[str], log: Path, url: str) -> Iterator[None]:
    """Run a server until the block ends."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:

        def ready() -> bool:
            """Ask it; a server that has ended never will be."""
            assert process.poll() is None, log.read_text()
            try:
                return bool(fetch(f"{url}/-/ready"))
            except urllib.error.HTTPError as error:
                return error.code == 401
            except OSError:
                return False

        wait_for(ready, f"{command[0]} does not answer: {log}")
        yield
    finally:
        process.terminate()
        process.wait()


@contextmanager
def serve_gateway(folder: Path, *arguments: str) -> Iterator[str]:
    """Run a Pushgateway and yield its URL."""
    address = f"127.0.0.1:{free_port()}"
    # Debian's keeps its groups in /var/lib otherwise.
    command = ["prometheus-pushgateway", "--persistence.file=", *arguments]
    command.append(f"--web.listen-address={address}")
    with serve(command, folder / "pushgateway.log", f"http://{address}"):
        yield f"http://{address}"


@contextmanager
def receive() -> Iterator[tuple[str, "queue.Queue[dict[str, Any]]"]]:
    """Be the receiver of Alertmanager's webhooks; yield the URL and what comes."""
    notified: queue.Queue[dict[str, Any]] = queue.Queue()

    class Receiver(http.server.BaseHTTPRequestHandler):
        """Keeps every message."""

        def do_POST(self) -> None:  # noqa: N802
            """Take one."""
            notified.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", notified
        server.shutdown()


@contextmanager
def serve_alertmanager(folder: Path, receiver: str) -> Iterator[str]:
    """Run Alertmanager with the project's routes and yield its address."""
    config = yaml.safe_load((CONFIGURATION / "alertmanager.yaml").read_text())
    config["route"]["group_wait"] = "0s"
    for each in config["receivers"]:
        each["webhook_configs"] = [{"url": f"{receiver}/{each['name']}"}]
    (folder / "alertmanager.yaml").write_text(yaml.safe_dump(config))
    address = f"127.0.0.1:{free_port()}"
    command = [
        "prometheus-alertmanager",
        f"--config.file={folder / 'alertmanager.yaml'}",
        f"--storage.path={folder / 'alertmanager'}",
        f"--web.listen-address={address}",
        "--cluster.listen-address=",
    ]
    with serve(command, folder / "alertmanager.log", f"http://{address}"):
        yield address


@contextmanager
def serve_prometheus(folder: Path, gateway: str, alertmanager: str) -> Iterator[str]:
    """Run Prometheus with the project's configuration, only faster, and yield its URL.

    Alerts that wait for minutes wait for seconds.
    """
    config = yaml.safe_load((CONFIGURATION / "scrape.yaml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] = [alertmanager]
    target = gateway.removeprefix("http://")
    config["scrape_configs"][0]["static_configs"][0]["targets"] = [target]
    (folder / "scrape.yaml").write_text(yaml.safe_dump(config))
    rules = yaml.safe_load((CONFIGURATION / "rules.yaml").read_text())
    for rule in (rule for group in rules["groups"] for rule in group["rules"] if "for" in rule):
        rule["for"] = "5s"
    (folder / "rules.yaml").write_text(yaml.safe_dump(rules))
    address = f"127.0.0.1:{free_port()}"
    command = [
        "prometheus",
        f"--config.file={folder / 'scrape.yaml'}",
        f"--storage.tsdb.path={folder / 'prometheus'}",
        f"--web.listen-address={address}",
    ]
    with serve(command, folder / "prometheus.log", f"http://{address}"):
        yield f"http://{address}"


@pytest.fixture(scope="session")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """All three, connected, on free ports."""
    subprocess.run([str(ROOT / "tests/services/install/prometheus.sh")], check=True)
    folder = tmp_path_factory.mktemp("prometheus")
    with ExitStack() as stack:
        receiver, notified = stack.enter_context(receive())
        alertmanager = stack.enter_context(serve_alertmanager(folder, receiver))
        gateway = stack.enter_context(serve_gateway(folder))
        url = stack.enter_context(serve_prometheus(folder, gateway, alertmanager))
        yield Prometheus(url, gateway, notified)
