"""HTTP requests, one at a time: connections, TLS, proxies, redirects, and what goes wrong on the way.

A redirect is followed here, for reading alone, and takes no ``Authorization`` to another origin (scheme, host and
port). Bodies are never decoded. This module knows neither tokens nor the paths of the protocol.

Source: RFC 9110, 15.4 (redirects); Docker documentation, "Verify repository client with certificates", for the
folders of certificates.
"""

from __future__ import annotations

import logging
import re
import ssl
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import unquote, urljoin

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.util import Timeout, parse_url

from winlayers._version import __version__
from winlayers.distribution._heads import BoundedResponse
from winlayers.distribution.registries import (
    HostSettings,
    Registries,
    is_loopback,
    settings_name,
)
from winlayers.errors import DistributionError, TooLarge

MAX_REDIRECTS = 10
MAX_ORIGINS = 64
"""Origins that connections are kept to."""
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_SMALL = 1 << 16
_MAX_HOST_SIZE = 255
_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"(?:[A-Za-z0-9._-]*[A-Za-z0-9-][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\])(?::\d+)?")


class Origin(NamedTuple):
    """Where a connection leads."""

    scheme: str
    host: str
    port: int

    @property
    def authority(self) -> str:
        """``host``, with the port where it is not the usual one; settings go by it."""
        return self.host if self.port == _PORTS[self.scheme] else f"{self.host}:{self.port}"


class Answer:
    """An answer whose body has not been read yet."""

    __slots__ = ("_response", "authorization", "headers", "status", "url")

    def __init__(self, response: urllib3.BaseHTTPResponse, url: str, authorization: str) -> None:
        """Take over a response.

        Args:
            response: of urllib3, not read.
            url: where it came from in the end.
            authorization: what was sent to there; no message may have it.
        """
        self._response = response
        self.authorization = authorization
        self.url = url
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers

    @property
    def origin(self) -> Origin:
        """Who sent it."""
        return origin_of(self.url)

    @property
    def size(self) -> int | None:
        """``Content-Length`` in bytes, or None where there is no such number."""
        text = self.headers.get("Content-Length", "").strip()
        return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None

    def read(self, size: int) -> bytes:
        """Bytes of the body, at most ``size``; none at its end.

        Raises:
            DistributionError: the connection was cut, or fell silent.
        """
        try:
            return self._response.read(size, decode_content=False)
        except urllib3.exceptions.HTTPError as error:
            raise _failure(error, f"reading {shown(self.url)}") from error
        except OSError as error:
            raise DistributionError(
                f"reading {shown(self.url)}: {error}", is_transient=True
            ) from error

    def read_all(self, limit: int, what: str) -> bytes:
        """The whole body; the answer is closed.

        Args:
            limit: bytes that it may have.
            what: how errors name it.
        Raises:
            TooLarge: it has more.
            DistributionError: the connection was cut, or fell silent.
        """
        with self:
            if (self.size or 0) > limit:
                raise TooLarge(f"{what} has {self.size} bytes; at most {limit} are taken")
            blocks: list[bytes] = []
            count = 0
            while block := self.read(min(1 << 18, limit + 1 - count)):
                blocks.append(block)
                count += len(block)
                if count > limit:
                    raise TooLarge(f"{what} has more than the {limit} bytes that are taken")
            return b"".join(blocks)

    def close(self) -> None:
        """Give the connection back where little is left to read, else cut it."""
        left = getattr(self._response, "length_remaining", None)
        if left is not None and left <= _SMALL:
            try:
                self._response.read(left + 1, decode_content=False)
            except (urllib3.exceptions.HTTPError, OSError):
                pass  # nobody wants these bytes; the connection is dropped below
        self._response.close()
        self._response.release_conn()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Connections:
    """Connections to any hosts, kept and shared by all threads."""

    def __init__(self, registries: Registries) -> None:
        """Open none yet.

        Args:
            registries: with the settings of hosts, proxies and times.
        """
        self._registries = registries
        self._timeout = Timeout(connect=registries.connect_seconds, read=registries.silent_seconds)
        self._lock = threading.Lock()
        self._managers: OrderedDict[Origin, urllib3.PoolManager] = OrderedDict()

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        *,
        body: memoryview | bytes | None = None,
        any_plain: bool = False,
    ) -> Answer:
        """Ask, and follow redirects of ``GET`` and ``HEAD``.

        Args:
            method: in capitals.
            url: absolute.
            headers: ``Authorization`` goes to the origin of ``url`` only.
            body: to be sent.
            any_plain: whether redirects may lead to plain HTTP anywhere; otherwise only to loopback and to hosts
                whose settings allow it.
        Returns:
            The answer, whatever its status is; to be closed.
        Raises:
            DistributionError: there is none, or a redirect leads nowhere.
        """
        sent = {
            "User-Agent": f"winlayers/{__version__}",
            "Accept-Encoding": "identity",
            **headers,
        }
        first = origin_of(url)
        for _ in range(MAX_REDIRECTS + 1):
            answer = self._request_once(method, url, sent, body)
            location = answer.headers.get("Location")
            follows = answer.status in _REDIRECTS and method in ("GET", "HEAD")
            if not follows or location is None:
                return answer
            answer.close()
            url = resolve_url(url, location)
            origin = origin_of(url)
            if origin != first:
                sent.pop("Authorization", None)
            if origin.scheme == "http" and not any_plain and origin != first:
                self._refuse_plain(origin)
        raise DistributionError(f"{shown(url)}: more than {MAX_REDIRECTS} redirects")

    def close(self) -> None:
        """Close connections that nobody uses."""
        with self._lock:
            for manager in self._managers.values():
                manager.clear()
            self._managers.clear()

    def _request_once(
        self, method: str, url: str, headers: Mapping[str, str], body: memoryview | bytes | None
    ) -> Answer:
        what = f"{method} {shown(url)}"
        manager = self._manager_of(origin_of(url))
        try:
            response = manager.urlopen(
                method,
                url,
                headers=headers,
                body=body,
                redirect=False,
                retries=False,
                timeout=self._timeout,
                preload_content=False,
                decode_content=False,
            )
        except urllib3.exceptions.HTTPError as error:
            raise _failure(error, what) from error
        except OSError as error:
            raise DistributionError(f"{what}: {error}", is_transient=True) from error
        return Answer(response, url, headers.get("Authorization", ""))

    def _refuse_plain(self, origin: Origin) -> None:
        settings = self._registries.settings(origin.authority)
        if not (is_loopback(origin.host) or settings.plain_http or settings.insecure):
            raise DistributionError(
                f"a redirect leads to {origin.authority} without TLS; "
                "allow plain HTTP for that host if it is to be trusted"
            )

    def _manager_of(self, origin: Origin) -> urllib3.PoolManager:
        with self._lock:
            manager = self._managers.get(origin)
            if manager is None:
                manager = self._managers[origin] = self._open_manager(origin)
                while len(self._managers) > MAX_ORIGINS:
                    self._managers.popitem(last=False)[1].clear()
            self._managers.move_to_end(origin)
            return manager

    def _open_manager(self, origin: Origin) -> urllib3.PoolManager:
        settings = self._registries.settings(origin.authority)
        options: dict[str, Any] = {"num_pools": 4, "maxsize": 16}
        if origin.scheme == "https":
            options["ssl_context"] = _tls_context(
                settings_name(origin.authority), settings, self._registries.certificate_folders
            )
        proxy = self._registries.proxies.proxy_for(
            origin.scheme, origin.host.strip("[]"), origin.port
        )
        manager = _open_proxy(proxy, options) if proxy else urllib3.PoolManager(**options)
        manager.pool_classes_by_scheme = {
            "http": _PlainPool,
            "https": _UncheckedPool if settings.insecure else _CheckedPool,
        }
        return manager


def origin_of(url: str) -> Origin:
    """Where a URL leads.

    Raises:
        DistributionError: it is no URL of HTTP.
    """
    try:
        parsed = parse_url(url)
    except urllib3.exceptions.HTTPError as error:
        raise DistributionError(f"{shown(url)} is not a URL") from error
    scheme, host = (parsed.scheme or "").lower(), (parsed.host or "").lower()
    if scheme not in _PORTS or not host:
        raise DistributionError(f"{shown(url)} is not a URL of http or https")
    if len(host) > _MAX_HOST_SIZE:
        raise DistributionError(f"{shown(url)} has a host of more than {_MAX_HOST_SIZE} characters")
    return Origin(scheme, host, parsed.port or _PORTS[scheme])


def resolve_url(base: str, location: str) -> str:
    """What a ``Location`` or ``Link`` means.

    Args:
        base: the URL of the answer.
        location: absolute or relative.
    Raises:
        DistributionError: it is no URL.
    """
    try:
        return urljoin(base, location)
    except ValueError as error:
        raise DistributionError(f"{shown(base)} leads to what is not a URL") from error


def shown(url: str) -> str:
    """A URL for a message: without its query and account, which can let in whoever knows them."""
    scheme, separator, rest = url.partition("://")
    rest = re.split(r"[?#]", rest, maxsplit=1)[0]
    authority, slash, path = rest.partition("/")
    text = f"{scheme}{separator}{authority.rpartition('@')[2]}{slash}{path}"[:300]
    return text if text.isprintable() else repr(text)


def _failure(error: urllib3.exceptions.HTTPError, what: str) -> DistributionError:
    """An error of urllib3 in our words; its own text can have the whole URL."""
    if isinstance(error, urllib3.exceptions.ProxyError):
        return DistributionError(f"{what}: the proxy cannot be used", is_transient=False)
    if isinstance(error, urllib3.exceptions.SSLError):
        reason: object = error.args[0] if error.args else ""
        if isinstance(reason, ssl.SSLCertVerificationError):
            return DistributionError(
                f"{what}: the certificate is not trusted: {reason.verify_message}; "
                "name the authority that made it, or allow an insecure connection to this host"
            )
        is_cut = isinstance(reason, ssl.SSLEOFError | ssl.SSLZeroReturnError)
        if not is_cut:
            return DistributionError(f"{what}: TLS failed")
    if isinstance(error, urllib3.exceptions.NameResolutionError):
        return DistributionError(f"{what}: the name of the host is not known")
    if isinstance(error, urllib3.exceptions.NewConnectionError) and not _was_cut(error):
        return DistributionError(f"{what}: nothing answers there")
    if isinstance(error, urllib3.exceptions.TimeoutError):
        return DistributionError(f"{what}: no answer in time", is_transient=True)
    if isinstance(error, urllib3.exceptions.LocationValueError):
        return DistributionError(f"{what}: this is not a URL")
    return DistributionError(f"{what}: the connection was cut", is_transient=True)


def _was_cut(error: urllib3.exceptions.NewConnectionError) -> bool:
    """Whether somebody answered, and was gone before the connection was used."""
    cause = error.__cause__ or error.__context__
    return isinstance(cause, ConnectionError) and not isinstance(cause, ConnectionRefusedError)


def _hide_queries(record: logging.LogRecord) -> bool:
    """What urllib3 logs of its requests, without what can let in whoever reads it."""
    if isinstance(record.args, tuple):
        record.args = tuple(
            one.partition("?")[0] if isinstance(one, str) else one for one in record.args
        )
    return True


logging.getLogger("urllib3.connectionpool").addFilter(_hide_queries)


class _Plain(HTTPConnection):
    response_class = BoundedResponse


class _Checked(HTTPSConnection):
    response_class = BoundedResponse


class _Unchecked(_Checked):
    """A connection that is not checked because somebody asked for that, so that nothing warns of it."""

    def connect(self) -> None:
        super().connect()
        self.is_verified = True


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _Plain


class _CheckedPool(HTTPSConnectionPool):
    ConnectionCls = _Checked


class _UncheckedPool(HTTPSConnectionPool):
    ConnectionCls = _Unchecked


def _open_proxy(url: str, options: dict[str, Any]) -> urllib3.ProxyManager:
    try:
        parsed = parse_url(url if "://" in url else f"http://{url}")
        login = unquote(parsed.auth) if parsed.auth else None
        headers = urllib3.make_headers(proxy_basic_auth=login)
        return urllib3.ProxyManager(
            parsed._replace(auth=None).url, proxy_headers=headers, **options
        )
    except (urllib3.exceptions.HTTPError, ValueError) as error:
        raise DistributionError("the setting of the proxy is not a URL of http or https") from error


def _tls_context(
    authority: str, settings: HostSettings, folders: tuple[Path, ...]
) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if settings.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    try:
        if settings.ca_file is not None:
            context.load_verify_locations(settings.ca_file)
        if settings.client_certificate is not None:
            context.load_cert_chain(settings.client_certificate, settings.client_key)
        for file in _files_for(authority, folders):
            if file.suffix == ".crt":
                context.load_verify_locations(file)
            elif file.suffix == ".cert":
                context.load_cert_chain(file, file.with_suffix(".key"))
    except (ssl.SSLError, BlockingIOError) as error:
        # The second where Python tells a number that was left from before, and not what OpenSSL says.
        reason = getattr(error, "reason", None) or "it is none"
        raise DistributionError(
            f"a certificate or key for {authority} cannot be used: {reason}"
        ) from error
    return context


def _files_for(authority: str, folders: tuple[Path, ...]) -> Iterator[Path]:
    if not _HOST.fullmatch(authority):
        return  # a redirect names the host: it must not lead out of the folders
    for folder in folders:
        try:
            yield from sorted((folder / authority).iterdir())
        except (FileNotFoundError, NotADirectoryError):
            continue
