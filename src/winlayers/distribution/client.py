"""One repository of one registry: its manifests, blobs and tags.

    GET HEAD PUT  /v2/NAME/manifests/TAG or DIGEST
    GET HEAD      /v2/NAME/blobs/DIGEST
    POST          /v2/NAME/blobs/uploads/    see _uploads; with ?mount=&from= without any bytes
    GET           /v2/NAME/tags/list

What is asked for by digest, or comes with one, is compared with it, but for blobs, whose readers do that. This module
does not know what a manifest says.

Source: OCI distribution-spec spec.md 1.1; Docker Registry HTTP API V2 for ``Docker-Content-Digest``.
"""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO
from urllib.parse import quote

from winlayers.base.digest import Digest, digest_of
from winlayers.distribution._documents import read_object
from winlayers.distribution._downloads import BlobReader
from winlayers.distribution._failures import TRANSIENT, failure_of
from winlayers.distribution._http import (
    Answer,
    Connections,
    origin_of,
    resolve_url,
    shown,
)
from winlayers.distribution._uploads import Upload, follow_location
from winlayers.distribution.auth import Login
from winlayers.distribution.credentials import Credentials, find_credentials
from winlayers.distribution.registries import (
    DOCKER_HUB,
    DOCKER_HUB_SERVER,
    Registries,
    is_loopback,
)
from winlayers.distribution.retry import Patience
from winlayers.errors import (
    DigestMismatch,
    DistributionError,
    ImageNotFound,
    InvalidArgument,
    TooLarge,
)
from winlayers.oci import mediatypes
from winlayers.oci.model import MAX_DOCUMENT_SIZE

MAX_TAGS = 100_000
_PAGE_SIZE = 1000
_MAX_LIST_SIZE = 1 << 20
_ACCEPT = ", ".join(
    (
        mediatypes.OCI_MANIFEST,
        mediatypes.OCI_INDEX,
        mediatypes.DOCKER_MANIFEST,
        mediatypes.DOCKER_LIST,
    )
)
_NEXT = re.compile(r'\s*<([^<>]*)>\s*;\s*rel="?next"?')


@dataclass(frozen=True, slots=True)
class Document:
    """A manifest or index as it came.

    Attributes:
        raw: its bytes.
        media_type: that of the HTTP header.
        digest: of the bytes.
    """

    raw: bytes
    media_type: str
    digest: Digest


class RepositoryClient:
    """Speaks with one repository, for any thread."""

    def __init__(
        self,
        host: str,
        repository: str,
        registries: Registries,
        *,
        connections: Connections | None = None,
        patience: Patience | None = None,
    ) -> None:
        """Ask for nothing yet.

        Args:
            host: ``docker.io``, ``127.0.0.1:5000``.
            repository: ``library/ubuntu``.
            registries: what may be used.
            connections: to be shared, or None for own ones.
            patience: how often to try again.
        """
        self.host = host
        self.repository = repository
        self._registries = registries
        self._settings = registries.settings(host)
        self._connections = connections or Connections(registries)
        self._shares_connections = connections is not None
        self._patience = patience or Patience()
        self._login = Login(self._connections, self._find_credentials, self._patience.now)
        self._lock = threading.Lock()
        self._root = ""

    @property
    def name(self) -> str:
        """``host/repository``."""
        return f"{self.host}/{self.repository}"

    def fetch_manifest(self, reference: str | Digest) -> Document:
        """Get a manifest or index.

        Args:
            reference: a tag, or a digest.
        Raises:
            ImageNotFound: it is not there.
            TooLarge: it has more bytes than a document may have.
            DigestMismatch: it has another digest.
            LoginRefused, DistributionError: as for all requests.
        """
        what = self._manifest_name(reference)

        def attempt() -> Document:
            answer = self._ask(
                "GET", self._url(f"manifests/{reference}"), self._pull, {"Accept": _ACCEPT}
            )
            if answer.status == 404:
                raise self._no_image(answer, what)
            if answer.status != 200:
                raise failure_of(answer, f"reading {what}")
            raw = answer.read_all(MAX_DOCUMENT_SIZE, what)
            return Document(
                raw,
                answer.headers.get("Content-Type", ""),
                _checked_digest(raw, reference, answer, what),
            )

        return self._patience.run(attempt)

    def find_manifest(self, reference: str | Digest) -> Digest | None:
        """The digest of a manifest as the registry tells it, without its bytes.

        Args:
            reference: a tag, or a digest.
        Returns:
            None where there is none, or where the registry does not tell.
        Raises:
            LoginRefused, DistributionError: as for all requests.
        """
        answer = self._send(
            "HEAD", self._url(f"manifests/{reference}"), self._pull, {"Accept": _ACCEPT}
        )
        if answer.status not in (200, 404):
            raise failure_of(answer, f"looking for {self._manifest_name(reference)}")
        answer.close()
        return _told_digest(answer) if answer.status == 200 else None

    def put_manifest(self, reference: str | Digest, raw: bytes, media_type: str) -> None:
        """Send a manifest or index whose blobs and manifests are there.

        Args:
            reference: a tag, or its digest.
            raw: its bytes.
            media_type: what it is.
        Raises:
            LoginRefused, DistributionError: as for all requests; also where something is missing there.
        """
        what = self._manifest_name(reference)
        url = self._url(f"manifests/{reference}")
        answer = self._send("PUT", url, self._push, {"Content-Type": media_type}, raw)
        if answer.status not in (200, 201, 202):
            raise failure_of(answer, f"sending {what}")
        answer.close()
        told = _told_digest(answer)
        if told is not None and told != _digest_like(raw, told):
            raise DigestMismatch(
                f"{what} as {self.host} keeps it",
                expected=str(_digest_like(raw, told)),
                actual=str(told),
            )

    def has_blob(self, digest: Digest) -> bool:
        """Whether a blob is there.

        Raises:
            LoginRefused, DistributionError: as for all requests.
        """
        answer = self._send("HEAD", self._url(f"blobs/{digest}"), self._pull)
        if answer.status not in (200, 404):
            raise failure_of(answer, f"looking for blob {digest} in {self.name}")
        answer.close()
        return answer.status == 200

    def open_blob(self, digest: Digest, size: int, offset: int = 0) -> BinaryIO:
        """The bytes of a blob; their digest is not checked, their number is.

        Args:
            digest: of the whole.
            size: of the whole, in bytes.
            offset: where to begin.
        Raises:
            BlobNotFound: it is not there.
            Corrupt: it has another size.
            LoginRefused, DistributionError: as for all requests; also while it is read.
        """
        url = self._url(f"blobs/{digest}")
        return BlobReader(
            lambda headers: self._ask("GET", url, self._pull, headers),
            size,
            offset,
            self._patience,
            f"blob {digest} of {self.name}",
        )

    def mount_blob(self, digest: Digest, repository: str) -> Upload | None:
        """Take a blob over from another repository of the same registry, without its bytes.

        Args:
            digest: of the blob.
            repository: where it is.
        Returns:
            None where it is there now; else an upload that was begun instead.
        Raises:
            LoginRefused, DistributionError: as for all requests.
        """
        query = f"?mount={digest}&from={quote(repository, safe='/')}"
        return self._begin(query, digest, (*self._push, f"repository:{repository}:pull"))

    def begin_upload(self, digest: Digest) -> Upload:
        """Begin to send a blob.

        Args:
            digest: of the blob.
        Raises:
            LoginRefused, DistributionError: as for all requests.
        """
        upload = self._begin("", digest, self._push)
        if upload is None:
            raise DistributionError(
                f"sending blob {digest} to {self.name}: the registry says it is done, before it began"
            )
        return upload

    def tags(self) -> list[str]:
        """All tags, in the order of the registry; of an unknown repository none.

        Raises:
            TooLarge: more than ``MAX_TAGS``.
            LoginRefused, DistributionError: as for all requests.
        """
        what = f"tags of {self.name}"
        url = self._url(f"tags/list?n={_PAGE_SIZE}")
        origin = origin_of(url)
        found: dict[str, None] = {}
        while url:
            page, following = self._patience.run(lambda url=url: self._tag_page(url, what))  # type: ignore[misc]
            before = len(found)
            found.update(dict.fromkeys(page))
            if len(found) > MAX_TAGS:
                raise TooLarge(f"{what}: there are more than {MAX_TAGS}")
            # A list that goes on and brings nothing new would never end.
            url = following if len(found) > before else ""
            if url and origin_of(url) != origin:
                raise DistributionError(f"{what} go on at {shown(url)}, which is somebody else")
        return list(found)

    def close(self) -> None:
        """Close connections that are not shared."""
        if not self._shares_connections:
            self._connections.close()

    @property
    def _pull(self) -> tuple[str, ...]:
        return (f"repository:{self.repository}:pull",)

    @property
    def _push(self) -> tuple[str, ...]:
        return (f"repository:{self.repository}:pull,push",)

    def _tag_page(self, url: str, what: str) -> tuple[list[str], str]:
        answer = self._ask("GET", url, self._pull)
        if answer.status == 404:
            answer.close()
            return [], ""
        if answer.status != 200:
            raise failure_of(answer, f"reading {what}")
        fields = read_object(answer.read_all(_MAX_LIST_SIZE, what), what)
        tags = fields.get("tags")
        names = [tag for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else []
        match = _NEXT.match(answer.headers.get("Link", ""))
        return names, resolve_url(answer.url, match[1]) if match else ""

    def _begin(self, query: str, digest: Digest, scopes: tuple[str, ...]) -> Upload | None:
        what = f"blob {digest}"
        answer = self._send("POST", self._url(f"blobs/uploads/{query}"), scopes, body=b"")
        if answer.status == 201 and query:
            answer.close()
            return None
        if answer.status != 202:
            raise failure_of(answer, f"sending {what} to {self.name}")
        answer.close()
        location = answer.headers.get("Location")
        if not location:
            raise DistributionError(f"sending {what} to {self.name}: it is not told where to")
        return Upload(
            lambda method, url, headers, body: self._ask(method, url, self._push, headers, body),
            follow_location(answer, location, f"{what} to {self.name}"),
            self._patience,
            lambda: self.has_blob(digest),
            f"{what} to {self.name}",
        )

    def _send(
        self,
        method: str,
        url: str,
        scopes: tuple[str, ...],
        headers: Mapping[str, str] | None = None,
        body: memoryview | bytes | None = None,
    ) -> Answer:
        """Ask, and again while it fails in ways that pass."""

        def attempt() -> Answer:
            answer = self._ask(method, url, scopes, headers, body)
            if answer.status in TRANSIENT:
                raise failure_of(answer, f"{method} {shown(url)}")
            return answer

        return self._patience.run(attempt)

    def _ask(
        self,
        method: str,
        url: str,
        scopes: tuple[str, ...],
        headers: Mapping[str, str] | None = None,
        body: memoryview | bytes | None = None,
    ) -> Answer:
        """Ask once, with a login where one is wanted."""
        own = origin_of(self._url(""))
        is_own = origin_of(url) == own
        sent = self._login.header(scopes) if is_own else ""
        answer = self._request(method, url, headers, body, sent)
        if answer.status == 401 and is_own and answer.origin == own:
            if self._login.take(answer, scopes, sent):
                answer.close()
                sent = self._login.header(scopes)
                answer = self._request(method, url, headers, body, sent)
            if answer.status == 401:
                raise failure_of(answer, f"{method} {shown(url)}")
        if answer.status == 403:
            raise failure_of(answer, f"{method} {shown(url)}")
        return answer

    def _request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        body: memoryview | bytes | None,
        authorization: str,
    ) -> Answer:
        all_headers = dict(headers or {})
        if authorization:
            all_headers["Authorization"] = authorization
        return self._connections.request(method, url, all_headers, body=body)

    def _url(self, path: str) -> str:
        with self._lock:
            if not self._root:
                self._root = self._find_root()
        return f"{self._root}/v2/{self.repository}/{path}"

    def _find_root(self) -> str:
        """``scheme://host``; which of two schemes it is, is tried out."""
        server = DOCKER_HUB_SERVER if self.host == DOCKER_HUB else self.host
        plain, safe = f"http://{server}", f"https://{server}"
        if self._settings.plain_http:
            return plain
        if is_loopback(origin_of(safe).host):
            return plain if self._speaks(plain) else safe
        if self._settings.insecure:
            return safe if self._speaks(safe) else plain
        return safe

    def _speaks(self, root: str) -> bool:
        """Whether a registry answers there; a TLS server says 400 to plain HTTP, or cuts."""
        try:
            with self._connections.request("GET", f"{root}/v2/", {}) as answer:
                return answer.status != 400
        except DistributionError:
            return False  # the request that follows tells what is wrong

    def _find_credentials(self) -> Credentials:
        if self._settings.credentials is not None:
            return self._settings.credentials
        return find_credentials(self._registries.credential_files, self.host, self.repository)

    def _manifest_name(self, reference: str | Digest) -> str:
        sign = "@" if isinstance(reference, Digest) else ":"
        return f"manifest {self.name}{sign}{reference}"

    def _no_image(self, answer: Answer, what: str) -> ImageNotFound:
        told = str(failure_of(answer, what))
        return ImageNotFound(told)


def open_foreign(
    connections: Connections, url: str, digest: Digest, size: int, offset: int, patience: Patience
) -> BinaryIO:
    """The bytes of a layer from a URL of its descriptor, without any login.

    Args:
        connections: to be used.
        url: of http or https.
        digest: of the whole; not checked.
        size: of the whole, in bytes.
        offset: where to begin.
        patience: how often to try again.
    Raises:
        BlobNotFound: it is not there.
        Corrupt: it has another size.
        LoginRefused, DistributionError: it is not given.
    """
    origin_of(url)

    return BlobReader(
        lambda headers: connections.request("GET", url, headers, any_plain=True),
        size,
        offset,
        patience,
        f"blob {digest} at {shown(url)}",
    )


def _checked_digest(raw: bytes, reference: str | Digest, answer: Answer, what: str) -> Digest:
    """The digest of a document: that by which it was asked for, or SHA-256; compared with what is told."""
    for told in (reference, _told_digest(answer)):
        if isinstance(told, Digest):
            actual = _digest_like(raw, told)
            if actual != told:
                raise DigestMismatch(what, expected=str(told), actual=str(actual))
    return _digest_like(raw, reference if isinstance(reference, Digest) else None)


def _told_digest(answer: Answer) -> Digest | None:
    try:
        return Digest.parse(answer.headers.get("Docker-Content-Digest", ""))
    except InvalidArgument:
        return None


def _digest_like(raw: bytes, other: Digest | None) -> Digest:
    return digest_of(io.BytesIO(raw), other.algorithm if other else "sha256")
