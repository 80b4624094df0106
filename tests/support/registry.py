"""A registry on loopback, in this process, that can be told to fail in every way that real ones do.

It speaks the OCI distribution protocol over ``http.server`` and keeps all in memory. ``on`` adds a fault: for the next
requests of a method whose path has a text, something else happens than what should.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from winlayers.base.digest import Digest
from winlayers.oci import mediatypes
from winlayers.oci.model import Descriptor

BLOCK = 1 << 16
METHODS = ("GET", "HEAD", "PUT", "POST", "PATCH")
_PATH = re.compile(r"/v2/(.+?)/(manifests|blobs|tags)/(.*)")


def digest_text(raw: bytes) -> str:
    """``sha256:...`` of some bytes."""
    return f"sha256:{hashlib.sha256(raw).hexdigest()}"


def describe_blob(raw: bytes, media_type: str = mediatypes.DOCKER_LAYER, **more: Any) -> Descriptor:
    """The descriptor of a blob."""
    return Descriptor(media_type, Digest.parse(digest_text(raw)), len(raw), **more)


@dataclass
class Seen:
    """A request that came."""

    method: str
    path: str
    headers: dict[str, str]

    @property
    def authorization(self) -> str:
        """What stood in the header, or ``""``."""
        return self.headers.get("authorization", "")


@dataclass
class Repository:
    """What one repository has."""

    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)

    def add_blob(self, raw: bytes) -> Descriptor:
        """Put a blob there."""
        self.blobs[digest_text(raw)] = raw
        return describe_blob(raw)

    def add_manifest(self, raw: bytes, media_type: str, tag: str = "") -> Digest:
        """Put a manifest there, with a tag or without."""
        digest = digest_text(raw)
        self.manifests[digest] = (media_type, raw)
        if tag:
            self.manifests[tag] = (media_type, raw)
            self.tags.append(tag)
        return Digest.parse(digest)


Action = Callable[["Handler"], bool]
"""Does something in the place of the answer; False to go on and answer as well."""


@dataclass
class _Fault:
    method: str
    part: str
    action: Action
    times: int


@dataclass
class Registry:
    """The state of a server, and where it is.

    Attributes:
        repositories: by name.
        requests: all that came, in order.
        auth: ``""``, ``basic`` or ``bearer``.
        users: passwords by name.
        identity_tokens: those that are taken for a token.
        token_life: what ``expires_in`` says.
        tokens: the scopes of each token that is good.
        ranges: whether ``Range`` is understood.
        mounts: whether blobs are taken over.
        page_size: tags in one answer, at most.
        realm: where tokens are to be had, or ``""`` for here.
    """

    repositories: dict[str, Repository] = field(default_factory=dict)
    requests: list[Seen] = field(default_factory=list)
    auth: str = ""
    users: dict[str, str] = field(default_factory=dict)
    identity_tokens: set[str] = field(default_factory=set)
    token_life: int = 300
    tokens: dict[str, list[str]] = field(default_factory=dict)
    ranges: bool = True
    mounts: bool = True
    page_size: int = 1000
    realm: str = ""
    host: str = ""
    scheme: str = "http"
    uploads: dict[str, bytearray] = field(default_factory=dict)
    upload_count: int = 0
    files: dict[str, bytes] = field(default_factory=dict)
    faults: list[_Fault] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        """``http://127.0.0.1:port``."""
        return f"{self.scheme}://{self.host}"

    def repository(self, name: str) -> Repository:
        """A repository, which is made if it is not there."""
        return self.repositories.setdefault(name, Repository())

    def on(self, method: str, part: str, action: Action, *, times: int = 1) -> Self:
        """Add a fault.

        Args:
            method: of the requests.
            part: what their path has.
            action: what happens.
            times: to how many of them.
        """
        self.faults.append(_Fault(method, part, action, times))
        return self

    def seen(self, method: str, part: str = "") -> list[Seen]:
        """The requests of a method whose path has a text."""
        return [one for one in self.requests if one.method == method and part in one.path]

    def take_fault(self, method: str, path: str) -> Action | None:
        """The fault that is due for a request."""
        with self.lock:
            for fault in self.faults:
                if fault.times > 0 and fault.method == method and fault.part in path:
                    fault.times -= 1
                    return fault.action
        return None


def status(code: int, *, error: str = "", message: str = "", **headers: str) -> Action:
    """Answer with a status, as a registry says it; headers with ``_`` for ``-``."""

    def act(handler: Handler) -> bool:
        body = json.dumps({"errors": [{"code": error, "message": message}]}).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        handler.drain()
        handler.answer(code, body if error else b"", named)
        return True

    return act


def reply(code: int, body: bytes, **headers: str) -> Action:
    """Answer with some bytes."""

    def act(handler: Handler) -> bool:
        handler.drain()
        handler.answer(code, body, {name.replace("_", "-"): text for name, text in headers.items()})
        return True

    return act


def redirect(location: str, code: int = 307) -> Action:
    """Send elsewhere; ``{path}`` in the location is the path of the request."""

    def act(handler: Handler) -> bool:
        handler.drain()
        handler.answer(code, b"", {"Location": location.replace("{path}", handler.path)})
        return True

    return act


def cut(at: int) -> Action:
    """Cut the answer, after so many bytes of its body; of a request with a body, after so many of that."""

    def act(handler: Handler) -> bool:
        handler.cut_at = at
        return False

    return act


def lose_answer() -> Action:
    """Do what is asked for, and cut before the answer."""
    return cut(-1)


def hang_up() -> Action:
    """Cut before any answer."""

    def act(handler: Handler) -> bool:
        handler.hang_up()
        return True

    return act


def stall(at: int, until: threading.Event) -> Action:
    """Say nothing more after so many bytes, until something happens."""

    def act(handler: Handler) -> bool:
        handler.cut_at = at
        handler.stall = until
        return False

    return act


def endless() -> Action:
    """A body without a length that does not end."""

    def act(handler: Handler) -> bool:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.send_header("Content-Type", mediatypes.OCI_MANIFEST)
        handler.end_headers()
        chunk = b"%x\r\n%s\r\n" % (BLOCK, b" " * BLOCK)
        try:
            while True:
                handler.wfile.write(chunk)
        except OSError:
            handler.close_connection = True  # the client had enough, which is what is tested
        return True

    return act


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    registry: Registry
    cut_at: int | None = None
    stall: threading.Event | None = None

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""

    def handle_one_request(self) -> None:
        """As usual, but for connections that a test cuts."""
        try:
            super().handle_one_request()
        except (ConnectionError, ssl.SSLError, ValueError):
            self.close_connection = True  # the client went away, or a fault closed the files

    def serve(self) -> None:
        """Any request."""
        self.cut_at, self.stall = None, None
        if self.path.startswith("http://"):  # as a proxy is asked
            self.path = "/" + self.path.split("/", 3)[3]
        headers = {name.lower(): value for name, value in self.headers.items()}
        with self.registry.lock:
            self.registry.requests.append(Seen(self.command, self.path, headers))
        action = self.registry.take_fault(self.command, self.path)
        if action is None or not action(self):
            self._respond()

    def answer(
        self, code: int, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> None:
        """Send an answer, as far as a fault lets it."""
        if self.cut_at == -1:
            self.hang_up()
            return
        self.send_response(code)
        given = {"Content-Length": str(len(body)), **(headers or {})}
        for name, value in given.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if self.cut_at is None:
            self.wfile.write(body)
            return
        self.wfile.write(body[: self.cut_at])
        if self.stall is not None:
            self.stall.wait(20)
        self.hang_up()

    def hang_up(self) -> None:
        """Close the connection as it stands."""
        self.close_connection = True
        self.connection.close()
        self.rfile.close()

    def drain(self) -> bytes:
        """The body of the request."""
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _respond(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        if parts.path == "/token":
            self._give_token(query, parse_qs(parts.query).get("scope", []))
        elif parts.path in self.registry.files:
            self._send_bytes(self.registry.files[parts.path], "application/octet-stream")
        elif not self._is_let_in():
            self.drain()
            self._refuse(401, "UNAUTHORIZED", {"WWW-Authenticate": self._challenge()})
        elif parts.path == "/v2/":
            self.answer(200, b"{}")
        elif match := _PATH.fullmatch(parts.path):
            name, kind, rest = match.groups()
            getattr(self, f"_{kind}")(name, rest, query)
        else:
            self.drain()
            self._refuse(404, "NAME_UNKNOWN")

    def _refuse(self, code: int, error: str, headers: Mapping[str, str] | None = None) -> None:
        body = json.dumps({"errors": [{"code": error, "message": error.lower()}]}).encode()
        self.answer(code, body, headers)

    def _challenge(self) -> str:
        if self.registry.auth == "basic":
            return 'Basic realm="a registry"'
        realm = self.registry.realm or f"{self.registry.url}/token"
        return f'Bearer realm="{realm}",service="here"'

    def _is_let_in(self) -> bool:
        sent = self.headers.get("Authorization", "")
        if self.registry.auth == "basic":
            return self._user_of(sent) is not None
        if self.registry.auth == "bearer":
            return sent.removeprefix("Bearer ") in self.registry.tokens
        return True

    def _user_of(self, header: str) -> str | None:
        if not header.startswith("Basic "):
            return None
        name, _, password = base64.b64decode(header[6:]).decode().partition(":")
        return name if self.registry.users.get(name) == password else None

    def _give_token(self, query: Mapping[str, str], scopes: list[str]) -> None:
        body = self.drain()
        if self.command == "POST":
            form = {name: values[-1] for name, values in parse_qs(body.decode()).items()}
            scopes = form["scope"].split()
            is_known = form["refresh_token"] in self.registry.identity_tokens
        else:
            header = self.headers.get("Authorization", "")
            is_known = self._user_of(header) is not None if header else not self.registry.users
        if not is_known:
            self.answer(401, b'{"details":"incorrect"}')
            return
        with self.registry.lock:
            token = f"token-{len(self.registry.tokens)}-{len(self.registry.requests)}"
            self.registry.tokens[token] = scopes
        answer = {"token": token, "expires_in": self.registry.token_life}
        self.answer(200, json.dumps(answer).encode())

    def _send_bytes(self, raw: bytes, media_type: str) -> None:
        headers = {"Content-Type": media_type, "ETag": f'"{digest_text(raw)}"'}
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if not wanted or not self.registry.ranges:
            self.answer(200, raw, headers)
        elif int(wanted[1]) >= len(raw):
            self.answer(416)
        else:
            start = int(wanted[1])
            headers["Content-Range"] = f"bytes {start}-{len(raw) - 1}/{len(raw)}"
            self.answer(206, raw[start:], headers)

    def _manifests(self, name: str, reference: str, query: Mapping[str, str]) -> None:
        body = self.drain()
        repository = self.registry.repository(name)
        if self.command == "PUT":
            media_type = self.headers["Content-Type"]
            repository.manifests[digest_text(body)] = repository.manifests[reference] = (
                media_type,
                body,
            )
            self.answer(201, b"", {"Docker-Content-Digest": digest_text(body)})
        elif reference in repository.manifests:
            media_type, raw = repository.manifests[reference]
            headers = {"Content-Type": media_type, "Docker-Content-Digest": digest_text(raw)}
            self.answer(200, raw, headers)
        else:
            self._refuse(404, "MANIFEST_UNKNOWN")

    def _tags(self, name: str, rest: str, query: Mapping[str, str]) -> None:
        tags = self.registry.repository(name).tags
        start = tags.index(query["last"]) + 1 if "last" in query else 0
        page = tags[start : start + min(self.registry.page_size, int(query["n"]))]
        headers = {}
        if start + len(page) < len(tags):
            headers["Link"] = f'</v2/{name}/tags/list?n={query["n"]}&last={page[-1]}>; rel="next"'
        self.answer(200, json.dumps({"name": name, "tags": page}).encode(), headers)

    def _blobs(self, name: str, rest: str, query: Mapping[str, str]) -> None:
        repository = self.registry.repository(name)
        if rest.startswith("uploads/"):
            self._uploads(name, rest.removeprefix("uploads/"), query)
        elif rest in repository.blobs:
            self._send_bytes(repository.blobs[rest], "application/octet-stream")
        else:
            self._refuse(404, "BLOB_UNKNOWN")

    def _uploads(self, name: str, key: str, query: Mapping[str, str]) -> None:
        if self.command == "POST":
            self._begin_upload(name, query)
        elif key not in self.registry.uploads:
            self.drain()
            self._refuse(404, "BLOB_UPLOAD_UNKNOWN")
        elif self.command == "PATCH":
            self._take_chunk(name, key)
        elif self.command == "GET":
            self.answer(204, b"", self._state(name, key))
        else:
            self._finish_upload(name, key, query["digest"])

    def _begin_upload(self, name: str, query: Mapping[str, str]) -> None:
        self.drain()
        digest = query.get("mount", "")
        origin = self.registry.repository(query.get("from", name))
        if self.registry.mounts and digest in origin.blobs:
            self.registry.repository(name).blobs[digest] = origin.blobs[digest]
            self.answer(201, b"", {"Location": f"/v2/{name}/blobs/{digest}"})
            return
        with self.registry.lock:
            self.registry.upload_count += 1
            key = f"upload-{self.registry.upload_count}"
            self.registry.uploads[key] = bytearray()
        self.answer(202, b"", self._state(name, key))

    def _state(self, name: str, key: str) -> dict[str, str]:
        count = len(self.registry.uploads[key])
        location = f"/v2/{name}/blobs/uploads/{key}?_state={count}"
        return {"Location": location, "Range": f"0-{max(0, count - 1)}"}

    def _take_chunk(self, name: str, key: str) -> None:
        upload = self.registry.uploads[key]
        start = int(self.headers["Content-Range"].partition("-")[0])
        if start != len(upload):
            self.drain()
            self.answer(416, b"", self._state(name, key))
            return
        if self.cut_at is not None and self.cut_at >= 0:
            upload += self.rfile.read(self.cut_at)
            self.hang_up()
            return
        upload += self.drain()
        self.answer(202, b"", self._state(name, key))

    def _finish_upload(self, name: str, key: str, digest: str) -> None:
        if self.cut_at is not None and self.cut_at >= 0:
            self.registry.uploads[key] += self.rfile.read(self.cut_at)
            self.hang_up()
            return
        raw = bytes(self.registry.uploads.pop(key)) + self.drain()
        if digest_text(raw) != digest:
            self._refuse(400, "DIGEST_INVALID")
            return
        self.registry.repository(name).blobs[digest] = raw
        self.answer(201, b"", {"Docker-Content-Digest": digest})


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64  # otherwise threads that come together wait a second

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: connections are cut on purpose."""


@contextmanager
def serve_registry(tls: ssl.SSLContext | None = None) -> Iterator[Registry]:
    """Run a registry on a free port of loopback.

    Args:
        tls: of the server; None for plain HTTP.
    """
    registry = Registry()
    methods = {f"do_{method}": Handler.serve for method in METHODS}
    handler = type("BoundHandler", (Handler,), {"registry": registry, **methods})
    server = _Server(("127.0.0.1", 0), handler)
    registry.host = f"127.0.0.1:{server.server_address[1]}"
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
        registry.scheme = "https"
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
    )
    thread.start()
    try:
        yield registry
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
