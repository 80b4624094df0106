"""What has to be known to speak with registries: values, which read nothing by themselves.

This module knows neither HTTP nor the environment.

Source: RFC 6761 and RFC 1122, 3.2.1.3 for what is loopback; curl(1) "NO_PROXY" for names that take no proxy.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from winlayers.distribution.credentials import Credentials

DOCKER_HUB = "docker.io"
DOCKER_HUB_SERVER = "registry-1.docker.io"
"""Who answers for Docker Hub; its settings are those of ``docker.io``."""


@dataclass(frozen=True, slots=True)
class HostSettings:
    """How one host is spoken with.

    Attributes:
        plain_http: without TLS. Hosts of loopback are tried without TLS and then with it, whatever this says.
        insecure: with TLS whose certificate is not checked, or else without TLS.
        ca_file: PEM of authorities that are trusted besides those of the system.
        client_certificate: PEM that is shown; with its key, or beside ``client_key``.
        client_key: PEM.
        mirrors: asked before the host, ``host[:port][/prefix]``; what they lack the host has.
        credentials: who logs in; None to look for it in the files.
    """

    plain_http: bool = False
    insecure: bool = False
    ca_file: Path | None = None
    client_certificate: Path | None = None
    client_key: Path | None = None
    mirrors: tuple[str, ...] = ()
    credentials: Credentials | None = None


@dataclass(frozen=True, slots=True)
class Proxies:
    """Through whom the world is reached; as the variables of the same names.

    Attributes:
        http: URL of the proxy for plain HTTP, or ``""``.
        https: for TLS.
        no_proxy: hosts that are reached directly, by comma: ``example.com`` with all below it, ``10.0.0.0/8``, ``*``.
    """

    http: str = field(default="", repr=False)
    https: str = field(default="", repr=False)
    no_proxy: str = ""

    def proxy_for(self, scheme: str, host: str, port: int) -> str:
        """The proxy for a connection, or ``""``; loopback has none.

        Args:
            scheme: ``http`` or ``https``.
            host: without port and brackets.
            port: of TCP.
        """
        chosen = self.https if scheme == "https" else self.http
        if not chosen or is_loopback(host):
            return ""
        parts = [part.strip() for part in self.no_proxy.split(",")]
        is_direct = any(_is_covered(host.lower(), port, part.lower()) for part in parts if part)
        return "" if is_direct else chosen


@dataclass(frozen=True, slots=True)
class Registries:
    """All that a client may use.

    Attributes:
        hosts: settings by ``host[:port]``.
        default: for all other hosts.
        credential_files: see ``credentials.credential_files``.
        certificate_folders: as ``/etc/docker/certs.d``; below them a folder for each host.
        proxies: the ways out.
        connect_seconds: how long a connection may take.
        silent_seconds: how long the other side may say nothing.
    """

    hosts: Mapping[str, HostSettings] = field(default_factory=dict)
    default: HostSettings = field(default_factory=HostSettings)
    credential_files: tuple[Path, ...] = ()
    certificate_folders: tuple[Path, ...] = ()
    proxies: Proxies = field(default_factory=Proxies)
    connect_seconds: float = 15.0
    silent_seconds: float = 60.0

    def settings(self, host: str) -> HostSettings:
        """The settings of ``host[:port]``."""
        return self.hosts.get(settings_name(host), self.default)

    def with_host(self, host: str, settings: HostSettings) -> Registries:
        """The same with other settings of one host, as an option of the command line gives them."""
        return replace(self, hosts={**self.hosts, host: settings})


def settings_name(host: str) -> str:
    """The name under which a host has its settings and its folder of certificates."""
    return DOCKER_HUB if host == DOCKER_HUB_SERVER else host


def is_loopback(host: str) -> bool:
    """Whether a host is this machine itself, by its name.

    Args:
        host: without port; an IPv6 address with or without brackets.
    """
    name = host.lower().strip("[]").rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _is_covered(host: str, port: int, part: str) -> bool:
    if part == "*":
        return True
    try:
        network = ipaddress.ip_network(part.strip("[]"), strict=False)
    except ValueError:
        name, colon, number = part.rpartition(":")
        if colon and number.isdigit():
            if number != str(port):
                return False
            part = name.strip("[]")
        part = part.removeprefix("*").removeprefix(".")
        return host == part or host.endswith(f".{part}")
    try:
        return ipaddress.ip_address(host) in network
    except ValueError:
        return False
