"""A repository of a registry, as it should be and with each fault that registries have."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.certificates import AUTHORITY, server_context
from tests.support.registry import (
    Registry,
    cut,
    describe_blob,
    digest_text,
    endless,
    hang_up,
    lose_answer,
    redirect,
    reply,
    serve_registry,
    stall,
    status,
)
from tests.unit.distribution.conftest import Clock
from winlayers.base.digest import Digest
from winlayers.distribution._http import Connections
from winlayers.distribution.client import RepositoryClient, open_foreign
from winlayers.distribution.registries import HostSettings, Registries
from winlayers.distribution.retry import Patience
from winlayers.errors import (
    BlobNotFound,
    Corrupt,
    DigestMismatch,
    DistributionError,
    ImageNotFound,
    InvalidArgument,
    LoginRefused,
    Malformed,
    TooLarge,
)
from winlayers.oci import mediatypes

BLOB = bytes(range(256)) * 4096  # 1 MiB
MANIFEST = b'{"schemaVersion":2}'


def read_blob(client: RepositoryClient, raw: bytes = BLOB, offset: int = 0) -> bytes:
    blob = describe_blob(raw)
    with client.open_blob(blob.digest, blob.size, offset) as file:
        return b"".join(iter(lambda: file.read(1 << 16), b""))


# Manifests


def test_manifest_comes_with_its_type_and_digest(
    registry: Registry, client: RepositoryClient
) -> None:
    digest = registry.repository("a/b").add_manifest(MANIFEST, mediatypes.OCI_INDEX, "t")
    for reference in ("t", digest):
        document = client.fetch_manifest(reference)
        assert (document.raw, document.media_type) == (MANIFEST, mediatypes.OCI_INDEX)
        assert document.digest == digest
    (first, _) = registry.seen("GET", "/manifests/")
    assert set(first.headers["accept"].split(", ")) == mediatypes.MANIFESTS | mediatypes.INDEXES


def test_manifest_that_is_not_there_is_not_found(client: RepositoryClient) -> None:
    with pytest.raises(ImageNotFound, match="MANIFEST_UNKNOWN"):
        client.fetch_manifest("t")
    assert client.find_manifest("t") is None


def test_digest_of_a_manifest_is_told_without_its_bytes(
    registry: Registry, client: RepositoryClient
) -> None:
    digest = registry.repository("a/b").add_manifest(MANIFEST, mediatypes.OCI_INDEX, "t")
    assert client.find_manifest("t") == digest
    assert registry.seen("GET", "/manifests/") == []


def test_manifest_of_another_digest_than_asked_for_is_refused(
    registry: Registry, client: RepositoryClient
) -> None:
    digest = digest_text(b"something else")
    registry.repository("a/b").manifests[digest] = (mediatypes.OCI_MANIFEST, MANIFEST)
    with pytest.raises(DigestMismatch):
        client.fetch_manifest(Digest.parse(digest))


def test_manifest_of_another_digest_than_told_is_refused(
    registry: Registry, client: RepositoryClient
) -> None:
    told = digest_text(b"something else")
    registry.on("GET", "/manifests/t", reply(200, MANIFEST, Docker_Content_Digest=told))
    with pytest.raises(DigestMismatch):
        client.fetch_manifest("t")


@pytest.mark.parametrize("size", [(4 << 20) + 1, 5 << 20])
def test_huge_manifest_is_refused(registry: Registry, client: RepositoryClient, size: int) -> None:
    registry.repository("a/b").add_manifest(b" " * size, mediatypes.OCI_MANIFEST, "t")
    with pytest.raises(TooLarge, match="4194304"):
        client.fetch_manifest("t")


def test_endless_manifest_is_refused(registry: Registry, client: RepositoryClient) -> None:
    registry.on("GET", "/manifests/t", endless())
    with pytest.raises(TooLarge):
        client.fetch_manifest("t")


def test_cut_manifest_is_asked_for_again(registry: Registry, client: RepositoryClient) -> None:
    registry.repository("a/b").add_manifest(MANIFEST, mediatypes.OCI_INDEX, "t")
    registry.on("GET", "/manifests/t", cut(5)).on("GET", "/manifests/t", hang_up())
    assert client.fetch_manifest("t").raw == MANIFEST


def test_manifest_is_put(registry: Registry, client: RepositoryClient) -> None:
    client.put_manifest("t", MANIFEST, mediatypes.OCI_INDEX)
    assert registry.repository("a/b").manifests["t"] == (mediatypes.OCI_INDEX, MANIFEST)


def test_registry_that_keeps_another_manifest_is_told_of(
    registry: Registry, client: RepositoryClient
) -> None:
    other = digest_text(b"reformatted")
    registry.on("PUT", "/manifests/t", status(201, Docker_Content_Digest=other))
    with pytest.raises(DigestMismatch):
        client.put_manifest("t", MANIFEST, mediatypes.OCI_INDEX)


def test_manifest_whose_blobs_are_missing_is_refused_with_the_reason(
    registry: Registry, client: RepositoryClient
) -> None:
    fault = status(400, error="MANIFEST_BLOB_UNKNOWN", message="blob unknown to registry")
    registry.on("PUT", "/manifests/t", fault)
    with pytest.raises(DistributionError, match="blob unknown to registry") as caught:
        client.put_manifest("t", MANIFEST, mediatypes.OCI_INDEX)
    assert caught.value.status == 400
    assert caught.value.codes == ("MANIFEST_BLOB_UNKNOWN",)


# Refusals


@pytest.mark.parametrize("code", [429, 500, 502, 503, 504])
def test_failure_that_passes_is_tried_again(
    registry: Registry, client: RepositoryClient, clock: Clock, code: int
) -> None:
    registry.repository("a/b").add_manifest(MANIFEST, mediatypes.OCI_INDEX, "t")
    registry.on("GET", "/manifests/t", status(code), times=2)
    assert client.fetch_manifest("t").raw == MANIFEST
    assert clock.slept == [0.5, 1.0]


def test_failure_that_does_not_pass_is_told(registry: Registry, client: RepositoryClient) -> None:
    registry.on("GET", "/manifests/t", status(503, error="UNAVAILABLE"), times=9)
    with pytest.raises(DistributionError, match="503 UNAVAILABLE") as caught:
        client.fetch_manifest("t")
    assert caught.value.status == 503
    assert len(registry.seen("GET", "/manifests/t")) == 3


def test_wait_that_is_asked_for_is_kept(
    registry: Registry, client: RepositoryClient, clock: Clock
) -> None:
    registry.repository("a/b").add_manifest(MANIFEST, mediatypes.OCI_INDEX, "t")
    registry.on("GET", "/manifests/t", status(429, Retry_After="7"))
    assert client.fetch_manifest("t").raw == MANIFEST
    assert clock.slept == [7.0]


def test_wait_that_is_too_long_is_an_error(
    registry: Registry, client: RepositoryClient, clock: Clock
) -> None:
    registry.on("GET", "/manifests/t", status(429, error="TOOMANYREQUESTS", Retry_After="3600"))
    with pytest.raises(DistributionError, match="TOOMANYREQUESTS") as caught:
        client.fetch_manifest("t")
    assert caught.value.__notes__ == ["it asks to wait 3600 seconds before it is tried again"]
    assert clock.slept == []


def test_forbidden_is_a_refused_login(registry: Registry, client: RepositoryClient) -> None:
    registry.on("GET", "/manifests/t", status(403, error="DENIED", message="not yours"))
    with pytest.raises(LoginRefused, match="403 DENIED: not yours"):
        client.fetch_manifest("t")


def test_message_of_a_registry_cannot_steer_a_terminal(
    registry: Registry, client: RepositoryClient
) -> None:
    registry.on("GET", "/manifests/t", status(400, error="X", message="\x1b[2Jgone\r\n"))
    with pytest.raises(DistributionError) as caught:
        client.fetch_manifest("t")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("body", [b"<html>", b"[" * 60_000, b'{"errors":7}', b'{"errors":[7]}'])
def test_refusal_with_any_body_is_told(
    registry: Registry, client: RepositoryClient, body: bytes
) -> None:
    registry.on("GET", "/manifests/t", reply(418, body))
    with pytest.raises(DistributionError, match="418"):
        client.fetch_manifest("t")


def test_nobody_there_is_told_at_once(clock: Clock, patience: Patience) -> None:
    registries = Registries(default=HostSettings(plain_http=True))
    client = RepositoryClient("127.0.0.1:1", "a", registries, patience=patience)
    with pytest.raises(DistributionError, match="nothing answers there"):
        client.fetch_manifest("t")
    assert clock.slept == []


# Reading blobs


def test_blob_is_read(registry: Registry, client: RepositoryClient) -> None:
    registry.repository("a/b").add_blob(BLOB)
    assert client.has_blob(describe_blob(BLOB).digest)
    assert read_blob(client) == BLOB
    assert read_blob(client, offset=1000) == BLOB[1000:]
    assert read_blob(client, offset=len(BLOB)) == b""


def test_empty_blob_is_read(registry: Registry, client: RepositoryClient) -> None:
    registry.repository("a/b").add_blob(b"")
    assert read_blob(client, b"") == b""


def test_blob_that_is_not_there_is_not_found(client: RepositoryClient) -> None:
    assert not client.has_blob(describe_blob(BLOB).digest)
    with pytest.raises(BlobNotFound):
        read_blob(client)


def test_offset_outside_a_blob_is_refused(client: RepositoryClient) -> None:
    with pytest.raises(InvalidArgument):
        read_blob(client, offset=len(BLOB) + 1)


def test_blob_that_is_cut_goes_on_where_it_was(
    registry: Registry, client: RepositoryClient
) -> None:
    registry.repository("a/b").add_blob(BLOB)
    registry.on("GET", "/blobs/", cut(300_000)).on("GET", "/blobs/", cut(0))
    assert read_blob(client) == BLOB
    requests = registry.seen("GET", "/blobs/")
    assert [one.headers.get("range") for one in requests] == [
        None,
        "bytes=300000-",
        "bytes=300000-",
    ]
    assert requests[1].headers["if-range"] == f'"{describe_blob(BLOB).digest}"'


def test_blob_goes_on_where_ranges_are_not_known(
    registry: Registry, client: RepositoryClient
) -> None:
    registry.ranges = False
    registry.repository("a/b").add_blob(BLOB)
    registry.on("GET", "/blobs/", cut(300_000))
    assert read_blob(client) == BLOB
    assert read_blob(client, offset=77) == BLOB[77:]


def test_blob_that_is_cut_too_often_is_an_error(
    registry: Registry, client: RepositoryClient
) -> None:
    registry.repository("a/b").add_blob(BLOB)
    registry.on("GET", "/blobs/", cut(1000), times=99)
    with pytest.raises(DistributionError, match="cut"):
        read_blob(client)
    assert len(registry.seen("GET", "/blobs/")) == 3


def test_blob_that_is_large_outlives_many_cuts(
    registry: Registry, client: RepositoryClient
) -> None:
    blob = BLOB * 8
    registry.repository("a/b").add_blob(blob)
    registry.on("GET", "/blobs/", cut(1 << 20), times=7)
    assert read_blob(client, blob) == blob
    assert len(registry.seen("GET", "/blobs/")) == 8


@pytest.mark.parametrize("fault", [status(503), status(429, Retry_After="1"), hang_up()])
def test_blob_goes_on_after_failures_in_between(
    registry: Registry, client: RepositoryClient, fault: Callable[..., bool]
) -> None:
    registry.repository("a/b").add_blob(BLOB)
    registry.on("GET", "/blobs/", fault).on("GET", "/blobs/", cut(1000)).on("GET", "/blobs/", fault)
    assert read_blob(client) == BLOB


def test_blob_that_falls_silent_goes_on(registry: Registry, patience: Patience) -> None:
    registries = Registries(default=HostSettings(plain_http=True), silent_seconds=0.3)
    client = RepositoryClient(registry.host, "a/b", registries, patience=patience)
    registry.repository("a/b").add_blob(BLOB)
    until = threading.Event()
    registry.on("GET", "/blobs/", stall(500_000, until))
    try:
        assert read_blob(client) == BLOB
    finally:
        until.set()


def test_blob_of_another_size_is_corrupt(registry: Registry, client: RepositoryClient) -> None:
    blob = describe_blob(BLOB)
    registry.repository("a/b").blobs[str(blob.digest)] = BLOB + b"x"
    with pytest.raises(Corrupt, match=f"{len(BLOB) + 1} bytes, not {len(BLOB)}"):
        read_blob(client)


@pytest.mark.parametrize("size", [len(BLOB) - 1, len(BLOB) + 1])
def test_blob_of_another_size_is_corrupt_when_it_goes_on(
    registry: Registry, client: RepositoryClient, size: int
) -> None:
    blob = describe_blob(BLOB)
    registry.repository("a/b").blobs[str(blob.digest)] = (BLOB + b"x")[:size]
    with pytest.raises(Corrupt):
        read_blob(client, offset=1000)
    with pytest.raises(Corrupt):
        read_blob(client, offset=len(BLOB) - 1)


def test_endless_blob_is_corrupt(registry: Registry, client: RepositoryClient) -> None:
    registry.on("GET", "/blobs/", endless())
    with pytest.raises(Corrupt, match="another number of bytes"):
        read_blob(client)


def test_other_bytes_than_asked_for_are_an_error(
    registry: Registry, client: RepositoryClient
) -> None:
    registry.on("GET", "/blobs/", reply(206, b"x", Content_Range="bytes 0-0/1048576"))
    with pytest.raises(DistributionError, match="other bytes"):
        read_blob(client, offset=10)


# Redirects


def test_redirect_to_another_host_takes_no_login_there(
    registry: Registry,
    open_registry: Callable[[], Registry],
    registries: Registries,
    patience: Patience,
    credentials_for: Callable[[Registry], Registries],
) -> None:
    storage = open_registry()
    registry.auth = "basic"
    client = RepositoryClient(registry.host, "a/b", credentials_for(registry), patience=patience)
    storage.files["/data"] = BLOB
    registry.on("GET", "/blobs/", status(401, WWW_Authenticate='Basic realm="x"'))
    registry.on("GET", "/blobs/", redirect(f"{storage.url}/data?signature=s3cret"), times=2)
    storage.on("GET", "/data", cut(1000))
    assert read_blob(client) == BLOB
    assert [one.authorization != "" for one in registry.seen("GET", "/blobs/")] == [
        False,
        True,
        True,
    ]
    assert [one.authorization for one in storage.requests] == ["", ""]


def test_redirect_within_the_registry_keeps_the_login(
    registry: Registry,
    patience: Patience,
    credentials_for: Callable[[Registry], Registries],
) -> None:
    registry.auth = "basic"
    client = RepositoryClient(registry.host, "a/b", credentials_for(registry), patience=patience)
    registry.repository("a/b").add_blob(BLOB)
    client.has_blob(describe_blob(BLOB).digest)
    registry.on("GET", "/blobs/", redirect("{path}?again"))
    assert read_blob(client) == BLOB
    assert all(one.authorization for one in registry.seen("GET", "/blobs/"))


def test_redirect_that_comes_back_has_lost_the_login(
    registry: Registry,
    open_registry: Callable[[], Registry],
    patience: Patience,
    credentials_for: Callable[[Registry], Registries],
) -> None:
    other = open_registry()
    registry.auth = "basic"
    registry.files["/public"] = BLOB
    client = RepositoryClient(registry.host, "a/b", credentials_for(registry), patience=patience)
    client.has_blob(describe_blob(BLOB).digest)
    other.on("GET", "/", redirect(f"{registry.url}/public"))
    registry.on("GET", "/blobs/", redirect(f"{other.url}/x"))
    assert read_blob(client) == BLOB
    assert registry.seen("GET", "/public")[0].authorization == ""


def test_redirects_in_a_ring_are_an_error(registry: Registry, client: RepositoryClient) -> None:
    registry.on("GET", "/blobs/", redirect("{path}"), times=99)
    with pytest.raises(DistributionError, match="redirects"):
        read_blob(client)


@pytest.mark.parametrize(
    "location", ["ftp://127.0.0.1/x", "file:///etc/passwd", "http://[bad", "//:x"]
)
def test_redirect_to_what_is_no_url_is_an_error(
    registry: Registry, client: RepositoryClient, location: str
) -> None:
    registry.on("GET", "/blobs/", redirect(location), times=9)
    with pytest.raises(DistributionError):
        read_blob(client)


def test_redirect_to_plain_http_elsewhere_is_refused(
    registry: Registry, patience: Patience
) -> None:
    registries = Registries(hosts={registry.host: HostSettings(plain_http=True)})
    client = RepositoryClient(registry.host, "a/b", registries, patience=patience)
    registry.on("GET", "/blobs/", redirect("http://storage.invalid/x"))
    with pytest.raises(DistributionError, match=r"storage\.invalid without TLS"):
        read_blob(client)


def test_failure_of_a_storage_does_not_show_its_query(
    registry: Registry, client: RepositoryClient
) -> None:
    registry.on("GET", "/blobs/", redirect("http://127.0.0.1:1/x?signature=s3cret"), times=9)
    with pytest.raises(DistributionError) as caught:
        read_blob(client)
    assert "127.0.0.1:1/x" in str(caught.value)
    assert "s3cret" not in str(caught.value)


# Sending blobs


def push(client: RepositoryClient, raw: bytes, chunk_size: int = 1 << 18) -> None:
    blob = describe_blob(raw)
    upload = client.begin_upload(blob.digest)
    upload.chunk_size = chunk_size
    upload.run(io.BytesIO(raw), blob.size, blob.digest)


@pytest.mark.parametrize("size", [0, 1, (1 << 18) - 1, 1 << 18])
def test_small_blob_is_sent_in_one_piece(
    registry: Registry, client: RepositoryClient, size: int
) -> None:
    raw = BLOB[:size]
    push(client, raw)
    assert registry.repository("a/b").blobs == {digest_text(raw): raw}
    assert registry.seen("PATCH") == []


@pytest.mark.parametrize("size", [(1 << 18) + 1, 1 << 19, (1 << 19) + 5, 1 << 20])
def test_large_blob_is_sent_in_chunks(
    registry: Registry, client: RepositoryClient, size: int
) -> None:
    raw = BLOB[:size]
    push(client, raw)
    assert registry.repository("a/b").blobs == {digest_text(raw): raw}
    assert len(registry.seen("PATCH")) == -(-size // (1 << 18))


@pytest.mark.parametrize("at", [0, 1, 1000, 1 << 18])
def test_chunk_that_is_cut_goes_on_where_it_was(
    registry: Registry, client: RepositoryClient, at: int
) -> None:
    registry.on("PATCH", "/uploads/", lambda handler: False).on("PATCH", "/uploads/", cut(at))
    push(client, BLOB)
    assert registry.repository("a/b").blobs == {digest_text(BLOB): BLOB}
    assert len(registry.seen("GET", "/uploads/")) == 1


@pytest.mark.parametrize(
    ("method", "fault"),
    [
        (method, fault)
        for method in ("POST", "PATCH", "PUT")
        for fault in (status(500), status(503), status(429, Retry_After="1"), hang_up())
    ]
    + [("PATCH", status(416)), ("PATCH", lose_answer()), ("PUT", lose_answer())],
)
@pytest.mark.parametrize("size", [100, len(BLOB)])
def test_failure_in_each_phase_of_sending_is_tried_again(
    registry: Registry,
    client: RepositoryClient,
    method: str,
    fault: Callable[..., bool],
    size: int,
) -> None:
    registry.on(method, "/uploads/", fault)
    push(client, BLOB[:size])
    assert registry.repository("a/b").blobs == {digest_text(BLOB[:size]): BLOB[:size]}


@pytest.mark.parametrize("at", [0, 1, 50, 100])
def test_small_blob_that_is_cut_goes_on_where_it_was(
    registry: Registry, client: RepositoryClient, at: int
) -> None:
    registry.on("PUT", "/uploads/", cut(at))
    push(client, BLOB[:100])
    assert registry.repository("a/b").blobs == {digest_text(BLOB[:100]): BLOB[:100]}


def test_upload_that_lost_bytes_is_an_error(registry: Registry, client: RepositoryClient) -> None:
    registry.on("PATCH", "/uploads/", lambda handler: False)
    registry.on("PATCH", "/uploads/", hang_up())
    registry.on("GET", "/uploads/", status(204, Range="0-99"))
    with pytest.raises(DistributionError, match="has 100 bytes of it"):
        push(client, BLOB)


def test_refused_digest_is_told(registry: Registry, client: RepositoryClient) -> None:
    upload = client.begin_upload(describe_blob(b"other").digest)
    with pytest.raises(DistributionError, match="DIGEST_INVALID"):
        upload.run(io.BytesIO(b"bytes"), 5, describe_blob(b"other").digest)


@pytest.mark.parametrize("size", [99, 101, 0, 1 << 20])
def test_source_of_another_size_is_corrupt_and_not_sent(
    registry: Registry, client: RepositoryClient, size: int
) -> None:
    digest = describe_blob(BLOB[:100]).digest
    with pytest.raises(Corrupt):
        client.begin_upload(digest).run(io.BytesIO(BLOB[:100]), size, digest)
    assert registry.repository("a/b").blobs == {}


def test_blob_is_taken_over_from_another_repository(
    registry: Registry, client: RepositoryClient
) -> None:
    blob = registry.repository("other").add_blob(BLOB)
    assert client.mount_blob(blob.digest, "other") is None
    assert registry.repository("a/b").blobs == {digest_text(BLOB): BLOB}


def test_upload_begun_where_a_blob_cannot_be_taken_over(
    registry: Registry, client: RepositoryClient
) -> None:
    blob = describe_blob(BLOB)
    upload = client.mount_blob(blob.digest, "other")
    assert upload is not None
    upload.run(io.BytesIO(BLOB), blob.size, blob.digest)
    assert registry.repository("a/b").blobs == {digest_text(BLOB): BLOB}


def test_upload_to_another_host_takes_no_login_there(
    registry: Registry,
    open_registry: Callable[[], Registry],
    patience: Patience,
    credentials_for: Callable[[Registry], Registries],
) -> None:
    storage = open_registry()
    storage.uploads["there"] = bytearray()
    registry.auth = "basic"
    client = RepositoryClient(registry.host, "a/b", credentials_for(registry), patience=patience)
    client.has_blob(describe_blob(BLOB).digest)
    location = f"{storage.url}/v2/a/b/blobs/uploads/there"
    registry.on("POST", "/uploads/", status(202, Location=location))
    push(client, BLOB)
    assert storage.repository("a/b").blobs == {digest_text(BLOB): BLOB}
    assert {one.authorization for one in storage.requests} == {""}


@pytest.mark.parametrize("fault", [status(202), status(201), status(202, Location="ftp://x/y")])
def test_upload_that_leads_nowhere_is_an_error(
    registry: Registry, client: RepositoryClient, fault: Callable[..., bool]
) -> None:
    registry.on("POST", "/uploads/", fault)
    with pytest.raises(DistributionError):
        push(client, b"x")


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_upload_that_would_leave_tls_is_refused(
    open_registry: Callable[[], Registry], patience: Patience, tmp_path: Path, method: str
) -> None:
    plain = open_registry()
    authority = tmp_path / "ca.pem"
    authority.write_text(AUTHORITY)
    with serve_registry(server_context(tmp_path)) as registry:
        registries = Registries(connect_seconds=5.0, silent_seconds=5.0)
        known = registries.with_host(registry.host, HostSettings(ca_file=authority))
        client = RepositoryClient(registry.host, "a/b", known, patience=patience)
        location = f"{plain.url}/v2/a/b/blobs/uploads/there?secret=1"
        registry.on(method, "/uploads/", status(202, Location=location))
        with pytest.raises(DistributionError, match="without TLS") as caught:
            push(client, BLOB, chunk_size=1 << 16)
        client.close()
    assert "secret" not in str(caught.value)
    assert plain.requests == []


# Tags


def test_tags_come_page_by_page(registry: Registry, client: RepositoryClient) -> None:
    assert client.tags() == []
    registry.page_size = 2
    registry.repository("a/b").tags = list("vwxyz")
    assert client.tags() == list("vwxyz")


def test_tags_that_never_end_do(registry: Registry, client: RepositoryClient) -> None:
    link = '</v2/a/b/tags/list>; rel="next"'
    registry.on("GET", "/tags/", reply(200, b'{"tags":["a"]}', Link=link), times=99)
    assert client.tags() == ["a"]


def test_tags_go_on_at_the_same_host_only(registry: Registry, client: RepositoryClient) -> None:
    link = '<http://127.0.0.1:1/v2/a/b/tags/list>; rel="next"'
    registry.on("GET", "/tags/", reply(200, b'{"tags":["a"]}', Link=link))
    with pytest.raises(DistributionError, match="somebody else"):
        client.tags()


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"[" * 100_000, b"\xff"])
def test_list_of_tags_that_is_none_is_malformed(
    registry: Registry, client: RepositoryClient, body: bytes
) -> None:
    registry.on("GET", "/tags/", reply(200, body))
    with pytest.raises(Malformed):
        client.tags()


# Foreign layers


def test_foreign_layer_comes_without_a_login(registry: Registry, patience: Patience) -> None:
    registry.files["/layer"] = BLOB
    registry.on("GET", "/layer", cut(1000))
    blob = describe_blob(BLOB)
    connections = Connections(Registries())
    url = f"http://user:s3cret@{registry.host}/layer"
    with open_foreign(connections, url, blob.digest, blob.size, 5, patience) as file:
        assert file.read() == BLOB[5:]
    assert [one.authorization for one in registry.requests] == ["", ""]


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/x", "x", "", "http://"])
def test_foreign_layer_comes_over_http_only(url: str, patience: Patience) -> None:
    with pytest.raises(DistributionError, match="URL"):
        open_foreign(Connections(Registries()), url, describe_blob(b"").digest, 0, 0, patience)
