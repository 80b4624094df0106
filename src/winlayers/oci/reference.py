"""Names of images: ``host/repository:tag@digest``, with what Docker leaves out filled in.

``ubuntu`` is ``docker.io/library/ubuntu``: the first part is a host only where it has a dot or a colon, is
``localhost``, or has a capital letter. The store keeps images under the whole name. This module asks nobody whether
an image is there.

Source: distribution/reference reference.go (grammar) and normalize.go.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from winlayers.base.digest import Digest
from winlayers.errors import InvalidArgument, InvalidReference

DEFAULT_HOST = "docker.io"
DEFAULT_TAG = "latest"
MAX_REPOSITORY_SIZE = 255
"""Characters of a repository, the host left out."""

MAX_HOST_SIZE = 255 + 6
"""Characters of a host with its port."""

_TOLD_SIZE = 300
_OFFICIAL = "library/"
_LABEL = r"(?:[A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9-]*[A-Za-z0-9])"
_HOST = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9A-Fa-f:]+\])(?::[0-9]+)?")
_COMPONENT = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_IMAGE_ID = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Reference:
    """The name of an image.

    Attributes:
        host: with its port, ``docker.io``, ``127.0.0.1:5000``.
        repository: ``library/ubuntu``; in full, also that of ``docker.io``.
        tag: or ``""``.
        digest: of the manifest or index, or None.
    """

    host: str
    repository: str
    tag: str = ""
    digest: Digest | None = None

    def __post_init__(self) -> None:
        whole = f"{self.host}/{self.repository}"[:_TOLD_SIZE]
        if len(self.host) > MAX_HOST_SIZE or not _HOST.fullmatch(self.host):
            raise InvalidReference(
                f"{whole!r} is not the name of an image: {self.host[:_TOLD_SIZE]!r} is no host"
            )
        if len(self.repository) > MAX_REPOSITORY_SIZE:
            raise InvalidReference(
                f"the repository {self.repository[:40]!r}... has {len(self.repository)} characters; "
                f"at most {MAX_REPOSITORY_SIZE} are allowed"
            )
        if not all(_COMPONENT.fullmatch(part) for part in self.repository.split("/")):
            raise InvalidReference(
                f"{whole!r} is not the name of an image: {_fault_of(self.repository)}"
            )
        if self.tag and not _TAG.fullmatch(self.tag):
            raise InvalidReference(
                f"{self.tag[:_TOLD_SIZE]!r} is not a tag: up to 128 letters, digits, '_', '.' and '-'"
            )

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Read a name as Docker does.

        Args:
            text: ``ubuntu``, ``mcr.microsoft.com/windows/nanoserver:ltsc2022``, ``localhost:5000/a@sha256:...``.
        Returns:
            The whole name; without a tag where none stands there (see ``with_default_tag``).
        Raises:
            InvalidReference: it is no name.
        """
        told = text[:_TOLD_SIZE]
        rest, at, digest_text = text.partition("@")
        if at:
            try:
                digest = Digest.parse(digest_text)
            except InvalidArgument as error:
                raise InvalidReference(f"{told!r} is not the name of an image: {error}") from error
        else:
            digest = None
        if _IMAGE_ID.fullmatch(rest):
            raise InvalidReference(f"{rest!r} is an image ID; it cannot be the name of an image")
        host, rest = _split_host(rest)
        repository, colon, tag = rest.partition(":")
        if colon and not tag:
            raise InvalidReference(f"{told!r} is not the name of an image: its tag is empty")
        if host == DEFAULT_HOST and "/" not in repository:
            repository = _OFFICIAL + repository
        return cls(host, repository, tag, digest)

    def __str__(self) -> str:
        """The whole name, as ``parse`` reads it."""
        return self.name + self._suffix()

    @property
    def name(self) -> str:
        """Host and repository: ``docker.io/library/ubuntu``."""
        return f"{self.host}/{self.repository}"

    def familiar(self) -> str:
        """The name as people write it: ``ubuntu:22.04``."""
        if self.host != DEFAULT_HOST:
            return str(self)
        short = self.repository.removeprefix(_OFFICIAL)
        if "/" in short or _IMAGE_ID.fullmatch(short):
            short = self.repository
        if _split_host(short) != (DEFAULT_HOST, short):
            return str(self)
        return short + self._suffix()

    def with_default_tag(self) -> Reference:
        """The same with the tag ``latest``, where it has neither a tag nor a digest."""
        return self if self.tag or self.digest else replace(self, tag=DEFAULT_TAG)

    def _suffix(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{tag}@{self.digest}" if self.digest else tag


def _split_host(text: str) -> tuple[str, str]:
    first, slash, rest = text.partition("/")
    is_host = "." in first or ":" in first or first == "localhost" or first != first.lower()
    if not slash or not is_host:
        return DEFAULT_HOST, text
    return (DEFAULT_HOST if first == "index.docker.io" else first), rest


def _fault_of(repository: str) -> str:
    if repository != repository.lower():
        return "a repository is written in lowercase"
    return "a repository is words of a-z and 0-9, joined by '.', '_', '__', '-' and '/'"
