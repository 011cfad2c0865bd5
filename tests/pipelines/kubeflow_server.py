"""Answers kfp's client over HTTP as Kubeflow Pipelines' API v2beta1 does, as far as Thimble asks.

This is the recorded protocol, not the server: paths, fields and states follow the OpenAPI
definition that kfp_server_api 2.17 was generated from, and a run does what its script says. The
server itself needs a database and a cluster.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Answer = tuple[int, dict[str, Any]]
# What it stores, the name of its id, and of a list of it.
KINDS = (
    ("pipelines", "pipeline_id", "pipelines"),
    ("versions", "pipeline_version_id", "pipeline_versions"),
    ("experiments", "experiment_id", "experiments"),
    ("runs", "run_id", "runs"),
    ("recurringruns", "recurring_run_id", "recurringRuns"),
)


@dataclass
class Kubeflow:
    """The server's state, and what it was asked."""

    token: str = "secret-token"
    script: list[Any] = field(default_factory=list)
    stored: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    address: str = ""

    def add(self, kind: str, identity: str, content: dict[str, Any]) -> dict[str, Any]:
        """Store something under a new id."""
        held = self.stored.setdefault(kind, [])
        made = {**content, identity: f"{kind}-{len(held) + 1}"}
        held.append(made)
        return made

    def listed(self, kind: str, query: dict[str, list[str]], name: str) -> dict[str, Any]:
        """List what the filter lets through, one entry per page."""
        found = self.stored.get(kind, [])
        for predicate in json.loads(query.get("filter", ["{}"])[0]).get("predicates", []):
            assert predicate["operation"] in ("EQUALS", 1)
            found = [e for e in found if e[predicate["key"]] == predicate["stringValue"]]
        start = int(query.get("page_token", ["0"])[0] or 0)
        following = str(start + 1) if start + 1 < len(found) else ""
        return {name: found[start : start + 1], "next_page_token": following}

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: Any) -> Answer:
        """Answer one request."""
        for kind, identity, name in KINDS:
            if path == f"/{kind}" or (kind == "versions" and path.endswith("/versions")):
                if method == "GET":
                    return 200, self.listed(kind, query, name)
                return 200, self.add(kind, identity, body)
        if path.startswith("/pipelines/upload"):
            return 200, self.upload(path, query, body)
        if path.startswith("/runs/"):
            step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
            return step if isinstance(step, tuple) else (200, step)
        if path.startswith("/recurringruns/") and method == "DELETE":
            gone = path.rpartition("/")[2]
            held = self.stored["recurringruns"]
            self.stored["recurringruns"] = [e for e in held if e["recurring_run_id"] != gone]
            return 200, {}
        known = {"/healthz": {"multi_user": False}}
        unknown = {"message": f"{method} {path} is not part of the recorded protocol"}
        return (200, known[path]) if path in known else (404, unknown)

    def upload(self, path: str, query: dict[str, list[str]], body: str) -> dict[str, Any]:
        """Store a pipeline, or a version of one."""
        content = {"display_name": query["name"][0], "package": body}
        if path.endswith("version"):
            content["pipeline_id"] = query["pipelineid"][0]
            return self.add("versions", "pipeline_version_id", content)
        return self.add("pipelines", "pipeline_id", content)


@contextmanager
def serve(kubeflow: Kubeflow) -> Iterator[Kubeflow]:
    """Serve on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            """Check the token, read the body, answer."""
            address = urlsplit(self.path)
            path = address.path.removeprefix("/apis/v2beta1")
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            kubeflow.asked.append(f"{self.command} {path}")
            if self.headers.get("Authorization") != f"Bearer {kubeflow.token}":
                status, content = 401, {"message": "who are you?"}
            else:
                body = _body(self.headers.get("Content-Type", ""), raw)
                query = parse_qs(address.query)
                status, content = kubeflow.answer(self.command, path, query, body)
            data = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_DELETE = handle_any

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        kubeflow.address = f"http://127.0.0.1:{server.server_port}"
        yield kubeflow
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _body(kind: str, raw: bytes) -> Any:
    """Read JSON, or the one file of a form."""
    if kind.startswith("multipart/form-data"):
        message = message_from_bytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + raw)
        return message.get_payload()[0].get_payload(decode=True).decode()  # type: ignore
    return json.loads(raw) if raw else None
