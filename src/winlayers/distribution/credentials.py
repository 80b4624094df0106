"""Names and passwords for registries, as docker and podman keep them.

A file is a JSON object:

    auths        by host or by the beginning of a name: {auth (base64 of name:password), identitytoken, registrytoken}
    credHelpers  by the same: the end of the name of a program, ``docker-credential-...``
    credsStore   that of the program for all others

The longest beginning of ``host/repository`` wins, in the first file that has any. A program is started with ``get``,
reads the host, and writes {Username, Secret}. No password is in a ``repr``, a message, or a log; none is written
anywhere. This module does not know which files there are: ``credential_files`` says it from an environment that is
handed in.

Source: containers-auth.json(5); docker/docker-credential-helpers ("Development"); docker/cli
cli/config/configfile/file.go for ``auth`` and its padding with zeros.
"""

from __future__ import annotations

import base64
import binascii
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from winlayers.distribution._documents import MAX_SIZE, object_of, read_object, text_of
from winlayers.errors import Denied, InvalidArgument, TooLarge

DOCKER_HUB_KEY = "https://index.docker.io/v1/"
"""What docker's files and programs call Docker Hub."""

HELPER_SECONDS = 60.0
_HELPER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_NOT_FOUND = b"credentials not found"
_NO_NAME = "<token>"
_DOCKER_HOSTS = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})
_VERSION_PATHS = frozenset({"", "v1", "v2"})


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a login needs; all empty is nobody.

    Attributes:
        username: and the ``password`` to it.
        identity_token: is changed for tokens of access where the registry says.
        registry_token: is a token of access itself.
    """

    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    registry_token: str = field(default="", repr=False)

    def __bool__(self) -> bool:
        return bool(self.username or self.identity_token or self.registry_token)

    @property
    def basic(self) -> str:
        """The value of an ``Authorization`` header, or ``""`` without a name."""
        if not self.username:
            return ""
        pair = f"{self.username}:{self.password}".encode()
        return f"Basic {base64.b64encode(pair).decode('ascii')}"


def credential_files(environment: Mapping[str, str], home: Path) -> tuple[Path, ...]:
    """Where docker, podman and skopeo look, the first one first.

    Args:
        environment: variables by name.
        home: the folder of the account.
    Returns:
        Files that may be missing. ``REGISTRY_AUTH_FILE`` stands alone, as with podman.
    """
    if only := environment.get("REGISTRY_AUTH_FILE"):
        return (Path(only),)
    files: list[Path] = []
    if runtime := environment.get("XDG_RUNTIME_DIR"):
        files.append(Path(runtime) / "containers" / "auth.json")
    configured = environment.get("XDG_CONFIG_HOME")
    files.append((Path(configured) if configured else home / ".config") / "containers/auth.json")
    docker = environment.get("DOCKER_CONFIG")
    files.append((Path(docker) if docker else home / ".docker") / "config.json")
    return tuple(files)


def find_credentials(files: Sequence[Path], host: str, repository: str) -> Credentials:
    """Look up who logs in to a repository.

    Args:
        files: the first one first; those that are missing do not count.
        host: ``docker.io``, ``127.0.0.1:5000``.
        repository: ``library/ubuntu``.
    Returns:
        Nobody's, where no file has any.
    Raises:
        Malformed: a file is none of its kind, or a program answers so.
        Denied: a program failed.
        OSError: a file cannot be read.
    """
    for file in files:
        fields = _read_file(file)
        if fields is not None and (found := _in_file(fields, file, host, repository)):
            return found
    return Credentials()


def _read_file(path: Path) -> dict[str, Any] | None:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_SIZE + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return read_object(raw, f"credentials in {path}") if raw.strip() else None


def _in_file(fields: dict[str, Any], path: Path, host: str, repository: str) -> Credentials | None:
    helpers = object_of(fields, "credHelpers")
    for name in _beginnings(host, repository):
        key = _key_of(helpers, name)
        if key is not None:
            return _ask_helper(text_of(helpers, key), key)
    if (store := text_of(fields, "credsStore")) and (found := _ask_helper(store, _server(host))):
        return found
    auths = object_of(fields, "auths")
    for name in _beginnings(host, repository):
        key = _key_of(auths, name)
        if key is not None and (found := _parse_entry(object_of(auths, key), key, path)):
            return found
    return None


def _beginnings(host: str, repository: str) -> Iterator[str]:
    parts = [_one_name(host), *repository.split("/")]
    for count in range(len(parts), 0, -1):
        yield "/".join(parts[:count])


def _key_of(fields: Mapping[str, Any], name: str) -> str | None:
    if name in fields:
        return name
    return next((key for key in fields if _normal(key) == name), None)


def _normal(key: str) -> str:
    """A key without what old versions of docker wrote around the host."""
    _, scheme, rest = key.rpartition("://")
    host, slash, path = rest.partition("/")
    if scheme or path.strip("/") in _VERSION_PATHS:
        return _one_name(host)
    return f"{_one_name(host)}{slash}{path}"


def _one_name(host: str) -> str:
    return "docker.io" if host in _DOCKER_HOSTS else host


def _server(host: str) -> str:
    return DOCKER_HUB_KEY if host in _DOCKER_HOSTS else host


def _parse_entry(entry: dict[str, Any], key: str, path: Path) -> Credentials | None:
    username, password = text_of(entry, "username"), text_of(entry, "password")
    if text := text_of(entry, "auth"):
        try:
            pair = base64.b64decode(text, validate=True).decode("utf-8")
        except (binascii.Error, ValueError):
            # Without the cause, which shows the text.
            raise InvalidArgument(
                f"the login for {key!r} in {path} is not base64; log in again"
            ) from None
        username, _, password = pair.partition(":")
        password = password.rstrip("\0")
    if username == _NO_NAME:
        username = password = ""
    found = Credentials(
        username, password, text_of(entry, "identitytoken"), text_of(entry, "registrytoken")
    )
    return found or None


def _ask_helper(name: str, server: str) -> Credentials | None:
    if not name:
        return None  # podman writes an empty name to switch a program off
    if not _HELPER.fullmatch(name):
        raise InvalidArgument(f"{name!r} cannot be the end of the name of a credential program")
    program = f"docker-credential-{name}"
    try:
        done = subprocess.run(
            [program, "get"],
            input=server.encode(),
            capture_output=True,
            timeout=HELPER_SECONDS,
            check=False,
        )
    except FileNotFoundError:
        raise Denied(f"{program}, which keeps the login for {server}, is not installed") from None
    except subprocess.TimeoutExpired:
        raise Denied(f"{program} did not answer within {HELPER_SECONDS:.0f} seconds") from None
    if done.returncode:
        if _NOT_FOUND in done.stdout + done.stderr:
            return None
        # Without what it wrote, which may be anything.
        raise Denied(f"{program} get failed for {server} with exit code {done.returncode}")
    if len(done.stdout) > MAX_SIZE:
        raise TooLarge(f"the answer of {program} has more than {MAX_SIZE} bytes")
    answer = read_object(done.stdout, f"answer of {program}")
    username, secret = text_of(answer, "Username"), text_of(answer, "Secret")
    if username == _NO_NAME:
        return Credentials(identity_token=secret)
    return Credentials(username, secret) or None
