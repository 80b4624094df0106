"""CNCF Distribution on loopback: plain, with passwords, with TLS; started for a test and ended after it."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.conftest import needs

SECONDS = 20.0
USER, PASSWORD = "mirror", "not a secret: tests only"
# Manifests with foreign layers are taken if their URLs are of this host.
_FOREIGN = r"^https?://127\.0\.0\.1(:[0-9]+)?/"


@dataclass(frozen=True)
class Registry:
    """A registry that runs.

    Attributes:
        host: name and port.
        folder: where it keeps things.
        certificate: of its own making, or None for plain HTTP.
    """

    host: str
    folder: Path
    certificate: Path | None = None


@contextmanager
def running_registry(
    folder: Path, *, with_password: bool = False, with_tls: bool = False
) -> Iterator[Registry]:
    """A registry that listens on a free port of loopback.

    Args:
        folder: an empty folder for it.
        with_password: ask for ``USER`` and ``PASSWORD``.
        with_tls: speak HTTPS.
    """
    needs("docker-registry")
    folder.mkdir(parents=True, exist_ok=True)
    host = f"127.0.0.1:{free_port()}"
    certificate = make_certificate(folder) if with_tls else None
    config = folder / "config.yml"
    config.write_text(_config(folder, host, with_password, certificate))
    log = (folder / "log").open("wb")
    with (
        log,
        subprocess.Popen(
            ["docker-registry", "serve", str(config)], stdout=log, stderr=log
        ) as process,
    ):
        try:
            _wait(process, host, folder / "log")
            yield Registry(host, folder, certificate)
        finally:
            process.terminate()
            process.wait(SECONDS)


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with closing(socket.socket()) as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@contextmanager
def serving_files(folder: Path) -> Iterator[str]:
    """A plain web server of a folder; its URL."""
    import functools
    import threading
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def make_certificate(folder: Path) -> Path:
    """A certificate for loopback, which signs itself; the key is beside it."""
    needs("openssl")
    certificate = folder / "cert.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(folder / "key.pem"), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
        timeout=60,
    )
    return certificate


def _config(folder: Path, host: str, with_password: bool, certificate: Path | None) -> str:
    lines = [
        "version: 0.1",
        "log: {level: warn}",
        f"storage: {{filesystem: {{rootdirectory: {folder / 'data'}}}, delete: {{enabled: true}}}}",
        f"validation: {{manifests: {{urls: {{allow: ['{_FOREIGN}']}}}}}}",
        "http:",
        f"  addr: {host}",
    ]
    if certificate is not None:
        key = certificate.with_name("key.pem")
        lines += ["  tls:", f"    certificate: {certificate}", f"    key: {key}"]
    if with_password:
        needs("htpasswd")
        passwords = folder / "htpasswd"
        subprocess.run(
            ["htpasswd", "-bBc", str(passwords), USER, PASSWORD],
            check=True,
            capture_output=True,
            timeout=60,
        )
        lines += ["auth:", f"  htpasswd: {{realm: tests, path: {passwords}}}"]
    return "\n".join(lines) + "\n"


def _wait(process: subprocess.Popen[bytes], host: str, log: Path) -> None:
    name, _, port = host.partition(":")
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            socket.create_connection((name, int(port)), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(f"the registry does not answer: {log.read_text()}")
