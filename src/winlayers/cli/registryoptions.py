"""Options of the commands that speak with registries, spelled as skopeo and podman spell them.

A password on a command line is seen by everybody on the machine, so it may come on standard input or from the files
of docker and podman instead. It is never told, not even in an error. The environment is read here for the room that
speaks with registries, which reads none itself.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from winlayers.cli.session import Session
from winlayers.errors import InvalidArgument

if TYPE_CHECKING:
    from winlayers.distribution.credentials import Credentials
    from winlayers.distribution.registries import Proxies, Registries

_MAX_CREDENTIALS = 1 << 16
_NAMES = ("tls_verify", "creds", "creds_stdin", "authfile", "cert_dir")
_SIDE_NAMES = ("creds", "no_creds", "tls_verify", "cert_dir")


@dataclass(frozen=True, slots=True)
class RegistryOptions:
    """How a registry is spoken with.

    Attributes:
        tls_verify: ``--tls-verify``.
        creds: ``--creds``: ``user:password``, or ``""``.
        authfile: ``--authfile``, or None for the usual ones.
        cert_dir: ``--cert-dir``, or None.
        no_creds: nobody logs in, whatever the files have.
        mirrors: ``--mirror``: who is asked before the registry, ``host[:port][/prefix]``.
    """

    tls_verify: bool = True
    creds: str = field(default="", repr=False)
    authfile: Path | None = None
    cert_dir: Path | None = None
    no_creds: bool = False
    mirrors: tuple[str, ...] = ()

    def registries(self, session: Session, host: str) -> Registries:
        """What the client may use, for one host and those that it sends us to.

        Args:
            session: whose environment is read.
            host: with its port; the options are about it alone.
        """
        from winlayers.distribution.credentials import credential_files
        from winlayers.distribution.registries import HostSettings, Registries

        files = (
            (self.authfile,) if self.authfile else credential_files(session.environ, Path.home())
        )
        registries = Registries(
            credential_files=() if self.no_creds else files,
            certificate_folders=_certificate_folders(),
            proxies=_proxies(session),
        )
        settings = HostSettings(
            insecure=not self.tls_verify,
            ca_file=_one_file(self.cert_dir, "*.crt"),
            client_certificate=_one_file(self.cert_dir, "*.cert"),
            client_key=_one_file(self.cert_dir, "*.key"),
            mirrors=self.mirrors,
            credentials=_credentials(self.creds) if self.creds and not self.no_creds else None,
        )
        return registries.with_host(host, settings)


@dataclass(frozen=True, slots=True)
class SideOptions:
    """What is said of one side of a copy alone; None is what ``RegistryOptions`` says of both.

    Attributes:
        creds: as of ``RegistryOptions``.
        no_creds: as of it.
        tls_verify: as of it.
        cert_dir: as of it.
    """

    creds: str | None = field(default=None, repr=False)
    no_creds: bool = False
    tls_verify: bool | None = None
    cert_dir: Path | None = None

    @property
    def has_login(self) -> bool:
        """Whether it says who logs in, or that nobody does."""
        return self.no_creds or self.creds is not None

    def over(self, both: RegistryOptions) -> RegistryOptions:
        """What holds on this side.

        Args:
            both: what was said of both sides.
        """
        return replace(
            both,
            tls_verify=both.tls_verify if self.tls_verify is None else self.tls_verify,
            creds=(self.creds or "") if self.has_login else both.creds,
            cert_dir=self.cert_dir or both.cert_dir,
            no_creds=self.no_creds,
        )


def mirror_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator, right below ``registry_options``, that adds ``--mirror`` to what the command gets as ``registry``."""

    @functools.wraps(function)
    def wrapped(
        *arguments: Any, registry: RegistryOptions, mirrors: tuple[str, ...], **given: Any
    ) -> Any:
        return function(*arguments, registry=replace(registry, mirrors=mirrors), **given)

    return click.option(
        "--mirror",
        "mirrors",
        multiple=True,
        metavar="HOST[/PREFIX]",
        help="Who is asked before the registry that is read from; may be given several times.",
    )(wrapped)


def side_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator that adds options for either side; the command gets them as ``of_source`` and ``of_sink``."""

    @functools.wraps(function)
    def wrapped(*arguments: Any, **given: Any) -> Any:
        sides = {}
        for prefix in ("src", "dest"):
            values = {name: given.pop(f"{prefix}_{name}") for name in _SIDE_NAMES}
            sides[prefix] = _gather_side(prefix, **values)
        return function(*arguments, of_source=sides["src"], of_sink=sides["dest"], **given)

    for prefix, side in (("dest", "destination"), ("src", "source")):
        for option in reversed(_options_of(prefix, side)):
            wrapped = option(wrapped)
    return wrapped


def registry_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator that adds the options; the command gets them as ``registry``."""

    @functools.wraps(function)
    def wrapped(*arguments: Any, **given: Any) -> Any:
        values = {name: given.pop(name) for name in _NAMES}
        return function(*arguments, registry=_gather(**values), **given)

    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return wrapped


_OPTIONS = (
    click.option(
        "--tls-verify",
        type=click.BOOL,
        default=True,
        metavar="true|false",
        help="Check certificates and insist on TLS, which loopback alone needs not.",
    ),
    click.option(
        "--creds",
        metavar="USER:PASSWORD",
        help="Who logs in; better --creds-stdin, as others see the command line.",
    ),
    click.option("--creds-stdin", is_flag=True, help="Read USER:PASSWORD from standard input."),
    click.option(
        "--authfile",
        type=click.Path(path_type=Path, dir_okay=False, exists=True),
        metavar="FILE",
        help="Who logs in where, instead of the files of docker and podman.",
    ),
    click.option(
        "--cert-dir",
        type=click.Path(path_type=Path, file_okay=False, exists=True),
        metavar="DIR",
        help="Certificates for this registry: *.crt of authorities, *.cert and *.key of the client.",
    ),
)


def _options_of(prefix: str, side: str) -> tuple[Callable[..., Any], ...]:
    return (
        click.option(
            f"--{prefix}-creds", metavar="USER:PASSWORD", help=f"As --creds, for the {side} alone."
        ),
        click.option(f"--{prefix}-no-creds", is_flag=True, help=f"Log in nowhere for the {side}."),
        click.option(
            f"--{prefix}-tls-verify",
            type=click.BOOL,
            metavar="true|false",
            help=f"As --tls-verify, for the {side} alone.",
        ),
        click.option(
            f"--{prefix}-cert-dir",
            type=click.Path(path_type=Path, file_okay=False, exists=True),
            metavar="DIR",
            help=f"As --cert-dir, for the {side} alone.",
        ),
    )


def _gather_side(
    prefix: str,
    *,
    creds: str | None,
    no_creds: bool,
    tls_verify: bool | None,
    cert_dir: Path | None,
) -> SideOptions:
    if creds is not None and no_creds:
        raise InvalidArgument(f"--{prefix}-creds and --{prefix}-no-creds: only one of them")
    if creds is not None:
        _check_colon(creds)
    return SideOptions(creds, no_creds, tls_verify, cert_dir)


def _check_colon(creds: str) -> None:
    if ":" not in creds:
        raise InvalidArgument("credentials are a user and a password with a colon between them")


def _gather(
    *,
    tls_verify: bool,
    creds: str | None,
    creds_stdin: bool,
    authfile: Path | None,
    cert_dir: Path | None,
) -> RegistryOptions:
    if creds_stdin:
        if creds:
            raise InvalidArgument("--creds and --creds-stdin: only one of them")
        creds = _read_credentials()
    if creds:
        _check_colon(creds)
    return RegistryOptions(tls_verify, creds or "", authfile, cert_dir)


def _read_credentials() -> str:
    if sys.stdin is None:
        raise InvalidArgument("there is no standard input to read credentials from")
    text = sys.stdin.readline(_MAX_CREDENTIALS).rstrip("\r\n")
    if not text:
        raise InvalidArgument("there are no credentials on standard input")
    return text


def _credentials(creds: str) -> Credentials:
    from winlayers.distribution.credentials import Credentials

    username, _, password = creds.partition(":")
    return Credentials(username, password)


def _proxies(session: Session) -> Proxies:
    from winlayers.distribution.registries import Proxies

    def variable(name: str) -> str:
        return session.environ.get(name.lower()) or session.environ.get(name) or ""

    return Proxies(variable("HTTP_PROXY"), variable("HTTPS_PROXY"), variable("NO_PROXY"))


def _certificate_folders() -> tuple[Path, ...]:
    return (
        Path.home() / ".config" / "containers" / "certs.d",
        Path("/etc/containers/certs.d"),
        Path("/etc/docker/certs.d"),
    )


def _one_file(folder: Path | None, pattern: str) -> Path | None:
    if folder is None:
        return None
    found = sorted(folder.glob(pattern))
    if len(found) > 1:
        raise InvalidArgument(f"{folder} has {len(found)} files {pattern}; one is needed")
    return found[0] if found else None
