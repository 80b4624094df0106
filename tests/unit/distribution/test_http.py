"""TLS, proxies and URLs."""

from __future__ import annotations

import io
import socket
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.certificates import (
    AUTHORITY,
    CLIENT_CERTIFICATE,
    CLIENT_KEY,
    server_context,
)
from tests.support.registry import Registry, describe_blob, redirect, serve_registry
from winlayers.distribution._http import Connections, origin_of, resolve_url, shown
from winlayers.distribution.client import RepositoryClient
from winlayers.distribution.registries import HostSettings, Proxies, Registries
from winlayers.distribution.retry import Patience
from winlayers.errors import DistributionError
from winlayers.oci import mediatypes


def fetch(host: str, registries: Registries, patience: Patience) -> bytes:
    """A manifest of ``a/b``."""
    client = RepositoryClient(host, "a/b", registries, patience=patience)
    try:
        return client.fetch_manifest("t").raw
    finally:
        client.close()


def fill(registry: Registry) -> Registry:
    registry.repository("a/b").add_manifest(b"{}", mediatypes.OCI_MANIFEST, "t")
    return registry


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    path.write_text(AUTHORITY)
    return path


@contextmanager
def serve_tls(folder: Path, *, wants_client: bool = False) -> Iterator[Registry]:
    with serve_registry(server_context(folder, wants_client=wants_client)) as registry:
        yield fill(registry)


# TLS


def test_certificate_of_a_known_authority_is_taken(
    tmp_path: Path, authority: Path, patience: Patience
) -> None:
    with serve_tls(tmp_path) as registry:
        registries = Registries(default=HostSettings(ca_file=authority))
        assert fetch(registry.host, registries, patience) == b"{}"


def test_blobs_go_both_ways_over_tls(tmp_path: Path, authority: Path, patience: Patience) -> None:
    raw = bytes(range(256)) * 4096
    blob = describe_blob(raw)
    with serve_tls(tmp_path) as registry:
        registries = Registries(default=HostSettings(ca_file=authority))
        client = RepositoryClient(registry.host, "a/b", registries, patience=patience)
        upload = client.begin_upload(blob.digest)
        upload.chunk_size = 1 << 18
        upload.run(io.BytesIO(raw), blob.size, blob.digest)
        with client.open_blob(blob.digest, blob.size) as file:
            assert file.read() == raw
        client.close()


def test_certificate_of_an_unknown_authority_is_refused(tmp_path: Path, patience: Patience) -> None:
    with serve_tls(tmp_path) as registry:
        with pytest.raises(DistributionError, match=r"not trusted.*allow an insecure connection"):
            fetch(registry.host, Registries(), patience)
        assert registry.requests == []


def test_certificate_of_another_host_is_refused(
    tmp_path: Path, authority: Path, patience: Patience
) -> None:
    with serve_tls(tmp_path) as registry:
        registries = Registries(default=HostSettings(ca_file=authority))
        with pytest.raises(DistributionError, match="not trusted"):
            fetch(registry.host.replace("127.0.0.1", "localhost"), registries, patience)


def test_insecure_host_is_taken_without_a_warning(tmp_path: Path, patience: Patience) -> None:
    with serve_tls(tmp_path) as registry, warnings.catch_warnings():
        warnings.simplefilter("error")
        registries = Registries(hosts={registry.host: HostSettings(insecure=True)})
        assert fetch(registry.host, registries, patience) == b"{}"


def test_folder_of_certificates_is_read(tmp_path: Path, patience: Patience) -> None:
    with serve_tls(tmp_path, wants_client=True) as registry:
        folder = tmp_path / "certs.d" / registry.host
        folder.mkdir(parents=True)
        (folder / "ca.crt").write_text(AUTHORITY)
        registries = Registries(certificate_folders=(tmp_path / "none", tmp_path / "certs.d"))
        with pytest.raises(DistributionError):
            fetch(registry.host, registries, patience)
        (folder / "client.cert").write_text(CLIENT_CERTIFICATE)
        (folder / "client.key").write_text(CLIENT_KEY)
        assert fetch(registry.host, registries, patience) == b"{}"


def test_certificate_of_the_client_is_shown(
    tmp_path: Path, authority: Path, patience: Patience
) -> None:
    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    certificate.write_text(CLIENT_CERTIFICATE)
    key.write_text(CLIENT_KEY)
    settings = HostSettings(ca_file=authority, client_certificate=certificate, client_key=key)
    with serve_tls(tmp_path, wants_client=True) as registry:
        registries = Registries(hosts={registry.host: settings})
        assert fetch(registry.host, registries, patience) == b"{}"


@pytest.mark.parametrize("name", ["ca.crt", "client.cert"])
def test_file_that_is_no_certificate_is_told_of(
    tmp_path: Path, patience: Patience, name: str
) -> None:
    with serve_tls(tmp_path) as registry:
        folder = tmp_path / registry.host
        folder.mkdir()
        (folder / name).write_text("x")
        (folder / "client.key").write_text("x")
        with pytest.raises(DistributionError, match="cannot be used"):
            fetch(registry.host, Registries(certificate_folders=(tmp_path,)), patience)


def test_name_of_a_host_does_not_lead_out_of_the_folders(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text("no certificate, so that reading it is an error")
    inner = tmp_path / "certs.d"
    inner.mkdir()
    connections = Connections(Registries(certificate_folders=(inner,), connect_seconds=0.2))
    with pytest.raises(DistributionError) as caught:
        connections.request("GET", "https://../x", {})
    assert "cannot be used" not in str(caught.value)


def test_redirect_from_tls_to_plain_http_takes_no_certificate_or_login_along(
    tmp_path: Path, authority: Path, patience: Patience
) -> None:
    with serve_tls(tmp_path) as registry, serve_registry() as storage:
        fill(storage)
        registry.on("GET", "/manifests/", redirect(f"{storage.url}{{path}}"))
        registries = Registries(default=HostSettings(ca_file=authority))
        assert fetch(registry.host, registries, patience) == b"{}"
        assert len(storage.requests) == 1


# Which scheme


def test_loopback_may_be_plain(registry: Registry, patience: Patience) -> None:
    assert fetch(fill(registry).host, Registries(), patience) == b"{}"


def test_insecure_host_may_be_plain(registry: Registry, patience: Patience) -> None:
    registries = Registries(default=HostSettings(insecure=True), silent_seconds=1.0)
    assert fetch(fill(registry).host, registries, patience) == b"{}"


def test_other_hosts_are_never_plain(patience: Patience, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def request(self: Connections, method: str, url: str, headers: object, **more: object) -> None:
        asked.append(url)
        raise DistributionError("nothing")

    monkeypatch.setattr(Connections, "request", request)
    with pytest.raises(DistributionError):
        fetch("registry.example", Registries(), patience)
    with pytest.raises(DistributionError):
        fetch("docker.io", Registries(), patience)
    assert asked == [
        "https://registry.example/v2/a/b/manifests/t",
        "https://registry-1.docker.io/v2/a/b/manifests/t",
    ]


# Proxies


def test_proxy_is_used_for_other_hosts(registry: Registry, patience: Patience) -> None:
    proxies = Proxies(http=f"http://me:s3cret@{fill(registry).host}")
    registries = Registries(default=HostSettings(plain_http=True), proxies=proxies)
    assert fetch("registry.invalid", registries, patience) == b"{}"
    (seen,) = registry.requests
    assert seen.headers["host"] == "registry.invalid"
    assert seen.headers["proxy-authorization"].startswith("Basic ")


def test_proxy_that_fails_is_told_of_without_its_password(patience: Patience) -> None:
    proxies = Proxies("http://me:s3cret@127.0.0.1:1", "http://me:s3cret@127.0.0.1:1")
    for plain in (True, False):
        registries = Registries(default=HostSettings(plain_http=plain), proxies=proxies)
        with pytest.raises(DistributionError, match="proxy") as caught:
            fetch("registry.invalid", registries, patience)
        assert "s3cret" not in str(caught.value)


def test_proxy_is_asked_for_a_tunnel_without_the_login(patience: Patience) -> None:
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def refuse() -> None:
            connection, _ = server.accept()
            with connection:
                heard.append(connection.recv(1 << 16))
                connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=refuse)
        thread.start()
        proxies = Proxies(https=f"127.0.0.1:{server.getsockname()[1]}")
        with pytest.raises(DistributionError, match="proxy"):
            fetch("registry.invalid", Registries(proxies=proxies), patience)
        thread.join(10)
    (request,) = heard
    assert request.startswith(b"CONNECT registry.invalid:443 ")
    assert b"authorization" not in request.lower()


@pytest.mark.parametrize("proxy", ["socks5://x:1", "http://[bad", "::::"])
def test_proxy_that_is_none_is_refused(patience: Patience, proxy: str) -> None:
    registries = Registries(proxies=Proxies(https=proxy))
    with pytest.raises(DistributionError, match="proxy"):
        fetch("registry.invalid", registries, patience)


# URLs


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("https://h/v2/a", "https://h/v2/a"),
        ("https://h/v2/a?sig=s3cret#s3cret", "https://h/v2/a"),
        ("https://me:s3cret@h:5/a", "https://h:5/a"),
        ("http://h?s3cret@x", "http://h"),
        ("http://h/" + "x" * 1000, "http://h/" + "x" * 291),
        ("http://h/\x1b[2J", "'http://h/\\x1b[2J'"),
    ],
)
def test_url_is_shown_without_what_is_secret(url: str, text: str) -> None:
    assert shown(url) == text


@pytest.mark.parametrize(
    ("url", "authority"),
    [
        ("HTTPS://Host/x", "host"),
        ("https://host:443/x", "host"),
        ("http://host:443/x", "host:443"),
        ("https://[::1]:5/x", "[::1]:5"),
        ("https://me@host/x", "host"),
    ],
)
def test_origin_is_read(url: str, authority: str) -> None:
    assert origin_of(url).authority == authority


@pytest.mark.parametrize(
    "url", ["", "x", "//h/x", "ftp://h/x", "http://", "http://h:99999/", "http://[x/"]
)
def test_what_has_no_origin_is_refused(url: str) -> None:
    with pytest.raises(DistributionError):
        origin_of(url)


def test_host_that_is_too_long_is_refused_soon(tmp_path: Path, patience: Patience) -> None:
    # A redirect names it; looking for its certificates took 13 seconds, and more with each byte.
    registries = Registries(certificate_folders=(tmp_path,))
    url = f"https://{'a' * 40_000}!/x"
    with pytest.raises(DistributionError, match="host of more than 255 characters"):
        Connections(registries).request("GET", url, {})


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("/x?y", "https://h:5/x?y"),
        ("x", "https://h:5/v2/x"),
        ("//i/x", "https://i/x"),
        ("http://i/x", "http://i/x"),
        ("?z", "https://h:5/v2/?z"),
    ],
)
def test_location_is_resolved(location: str, url: str) -> None:
    assert resolve_url("https://h:5/v2/", location) == url


def test_location_that_is_none_is_refused() -> None:
    with pytest.raises(DistributionError):
        resolve_url("https://h/", "http://[x")


# Answers


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999999999999999\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nx",
        b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 1000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\na: " + b"b" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 999999 X\r\n\r\n",
        b"HTTP/1.1 302 X\r\nLocation: \xff\xfe\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 X\r\nLocation: http://" + b"a" * 300 + b".invalid/\r\n\r\n",
    ],
)
def test_answer_that_is_none_is_an_error(patience: Patience, answer: bytes) -> None:
    with serve_bytes(answer) as host, pytest.raises(DistributionError):
        fetch(host, Registries(silent_seconds=1.0, default=HostSettings(True)), patience)


def test_body_is_not_decoded(patience: Patience) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx"
    with serve_bytes(answer) as host:
        assert fetch(host, Registries(default=HostSettings(True)), patience) == b"x"


@contextmanager
def serve_bytes(answer: bytes) -> Iterator[str]:
    """A server that answers whatever comes with the same bytes, and where it is."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        stop = threading.Event()
        server.settimeout(0.05)

        def serve() -> None:
            while not stop.is_set():
                try:
                    connection, _ = server.accept()
                except TimeoutError:
                    continue
                with connection:
                    connection.recv(1 << 16)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}"
        finally:
            stop.set()
            thread.join()
