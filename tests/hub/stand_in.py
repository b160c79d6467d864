"""A stand-in for the hub: a real HTTP server on this machine that speaks what huggingface_hub asks for.

    GET  /api/models/{repository}/revision/{revision}      which commit that is
    GET  /api/models/{repository}/tree/{commit}            files, sizes, sums
    GET  /{repository}/resolve/{commit}/{path}             content, in ranges; large files by a redirect to /cdn/

It can break off, stall, send another content, or ignore ranges, and remembers what it was asked.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LARGE = 1000  # bytes from which a file is kept as the hub keeps large ones: SHA-256, redirect


@dataclass
class StandIn:
    """Repositories by name, each path -> content, and how to misbehave."""

    repositories: dict[str, dict[str, bytes]]
    breaks: dict[str, list[int]] = field(default_factory=dict)
    """Path -> after how many bytes of the answer to hang up, one entry a request."""
    stalls: set[str] = field(default_factory=set)
    """Paths that stop in the middle until `release` is set."""
    lies: dict[str, bytes] = field(default_factory=dict)
    """Path -> what is sent instead of its content."""
    no_ranges: bool = False
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    """(path, Range) of each request for content."""
    agents: set[str] = field(default_factory=set)
    release: threading.Event = field(default_factory=threading.Event)
    stalled: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    def __enter__(self) -> StandIn:
        stand_in = self

        class Handler(_Handler):
            hub = stand_in

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.release.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def ranges(self, path: str) -> list[str | None]:
        """The ranges that were asked of a file."""
        return [asked for where, asked in self.asked if where == path]


def entry(path: str, content: bytes) -> dict[str, Any]:
    """A file as the hub lists it."""
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    row: dict[str, Any] = {"type": "file", "path": path, "size": len(content), "oid": blob}
    if len(content) >= LARGE:
        row["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}
    return row


class _Handler(BaseHTTPRequestHandler):
    hub: StandIn
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.agents.add(self.headers.get("User-Agent", ""))
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/revision/(.+)", path):
            self._revision(found[1], found[2])
        elif found := re.fullmatch(rf"/api/models/([^/]+/[^/]+)/tree/{COMMIT}", path):
            self._json([entry(name, content) for name, content in self.hub.repositories[found[1]].items()])
        elif found := re.fullmatch(rf"/([^/]+/[^/]+)/resolve/{COMMIT}/(.+)", path):
            self._resolve(found[1], found[2])
        elif found := re.fullmatch(r"/cdn/([^/]+/[^/]+)/(.+)", path):
            self._content(found[1], found[2])
        else:
            self._json({"error": "not found"}, 404, {"X-Error-Code": "EntryNotFound"})

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _revision(self, repository: str, revision: str) -> None:
        if repository not in self.hub.repositories:
            self._json({"error": "no"}, 404, {"X-Error-Code": "RepoNotFound"})
        elif revision not in ("main", COMMIT):
            self._json({"error": "no"}, 404, {"X-Error-Code": "RevisionNotFound"})
        else:
            names = [{"rfilename": name} for name in self.hub.repositories[repository]]
            self._json({"id": repository, "modelId": repository, "sha": COMMIT, "siblings": names, "tags": []})

    def _resolve(self, repository: str, path: str) -> None:
        if len(self.hub.repositories[repository][path]) < LARGE:
            self._content(repository, path)
            return
        self.send_response(302)
        self.send_header("Location", f"{self.hub.url}/cdn/{repository}/{path}?signature=1")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _content(self, repository: str, path: str) -> None:
        content = self.hub.lies.get(path, self.hub.repositories[repository][path])
        asked = None if self.hub.no_ranges else self.headers.get("Range")
        self.hub.asked.append((path, self.headers.get("Range")))
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        body = content[start:]
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.end_headers()
        if self.command == "HEAD":
            return
        if self.hub.breaks.get(path):
            self.wfile.write(body[: self.hub.breaks[path].pop(0)])
            self.wfile.flush()
            self.close_connection = True
            self.connection.close()
        elif path in self.hub.stalls:
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            self.hub.stalled.set()
            self.hub.release.wait(60)
            self.close_connection = True
        else:
            self.wfile.write(body)

    def _json(self, value: object, status: int = 200, headers: dict[str, str] | None = None) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, text in (headers or {}).items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(body)
