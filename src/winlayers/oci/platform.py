"""What an image runs on: operating system, processor, and for Windows the build.

Written ``os/architecture[/variant][:version]`` or, as containerd has it, ``os(version+feature)/architecture``. Which of
several images fits is not decided here.

Source: OCI image-spec image-index.md ("platform"); containerd/platforms for the text and the other names of
processors.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from winlayers.errors import InvalidArgument

BUILD_NAMES = {
    14393: "ltsc2016",
    16299: "1709",
    17134: "1803",
    17763: "ltsc2019",
    18362: "1903",
    18363: "1909",
    19041: "2004",
    19042: "20H2",
    20348: "ltsc2022",
    25398: "23H2",
    26100: "ltsc2025",
}
"""What builds of Windows are called that images were made for."""

_BUILDS = {name.lower(): build for build, name in BUILD_NAMES.items()} | {"1809": 17763}
_TOLD_SIZE = 64
_PART = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_VERSION = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9}){0,3}")
_WITH_VERSION = re.compile(r"([^()]*)\(([^()]+)\)")
_ARCHITECTURES = {
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "aarch64": ("arm64", ""),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
    "i386": ("386", ""),
}
_SYSTEMS = frozenset({"windows", "linux", "darwin", "freebsd"})
#: What a processor is taken for where nothing is said, so that it goes without saying.
_PLAIN_VARIANTS = {("amd64", "v1"), ("arm64", "v8"), ("arm64", "8")}


@dataclass(frozen=True, slots=True)
class Platform:
    """What an image runs on, or what one is wanted for.

    Attributes:
        os: ``windows``, ``linux``; ``""`` where a document does not say.
        architecture: ``amd64``, ``arm64``; ``""`` where a document does not say.
        variant: of the architecture, as ``v7``.
        os_version: of Windows, ``10.0.20348.2113``; a wanted one may have fewer parts.
        os_features: what the image needs of the system, as ``win32k``.
    """

    os: str
    architecture: str
    variant: str = ""
    os_version: str = ""
    os_features: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str, *, architecture: str = "amd64") -> Platform:
        """Read what a user wrote.

        Args:
            text: ``windows/amd64:10.0.20348``, ``windows/amd64:ltsc2022``, ``windows(10.0.17763)/amd64``,
                ``linux/arm64/v8``, ``windows``, ``arm64``.
            architecture: what is meant where only a system stands there.
        Returns:
            The platform, its architecture by its usual name; the system is Windows where none stands there.
        Raises:
            InvalidArgument: it is none of these.
        """
        body, colon, version = text.partition(":")
        os_part, slash, rest = body.partition("/")
        features: tuple[str, ...] = ()
        if match := _WITH_VERSION.fullmatch(os_part):
            if colon:
                raise _wrong(text, "it has two versions")
            os_part = match[1]
            version, *names = match[2].split("+")
            features = tuple(sorted(set(names)))
        parts = [os_part, *rest.split("/")] if slash else [os_part]
        if len(parts) > 3 or not all(_PART.fullmatch(part) for part in (*parts, *features)):
            raise _wrong(text, "write os/architecture or os/architecture:version")
        if build := _BUILDS.get(version.lower()):
            version = f"10.0.{build}"
        if (colon or version) and not _VERSION.fullmatch(version):
            raise _wrong(
                text, "a version is up to four numbers, as 10.0.20348, or a name as ltsc2022"
            )
        parts = [part.lower() for part in parts]
        if len(parts) == 1:
            parts = [parts[0], architecture] if parts[0] in _SYSTEMS else ["windows", parts[0]]
        name, variant = _usual(parts[1], parts[2] if len(parts) == 3 else "")
        return cls(parts[0], name, variant, version, features)

    def __str__(self) -> str:
        """As ``parse`` reads it; what is no plain word is quoted, and what is not known is ``unknown``."""
        system, version = _shown(self.os), self.os_version and _shown(self.os_version)
        tail = f"/{_shown(self.architecture)}"
        if self.variant:
            tail += f"/{_shown(self.variant)}"
        if self.os_features:
            features = "".join(f"+{_shown(name)}" for name in self.os_features)
            return f"{system}({version}{features}){tail}"
        return f"{system}{tail}:{version}" if version else system + tail

    @property
    def version_numbers(self) -> tuple[int, ...]:
        """``os_version`` as numbers, as many as it has; empty where it is none or something else."""
        if not _VERSION.fullmatch(self.os_version):
            return ()
        return tuple(int(part) for part in self.os_version.split("."))

    @property
    def build(self) -> int | None:
        """The build of Windows, the third number of the version, or None."""
        numbers = self.version_numbers
        return numbers[2] if len(numbers) > 2 else None

    def runs_where(self, other: Platform) -> bool:
        """Whether system, architecture and variant are the same, whatever the version."""
        mine = (self.os.lower(), *_usual(self.architecture.lower(), self.variant.lower()))
        return mine == (
            other.os.lower(),
            *_usual(other.architecture.lower(), other.variant.lower()),
        )


def default_platform(machine: str = "") -> Platform:
    """What is wanted where nobody says: Windows for the processor at hand.

    Args:
        machine: as ``platform.machine()`` has it.
    Returns:
        ``windows/arm64`` for a machine of that kind, else ``windows/amd64``.
    """
    name, _ = _usual(machine.lower(), "")
    return Platform("windows", "arm64" if name == "arm64" else "amd64")


def _usual(architecture: str, variant: str) -> tuple[str, str]:
    name, implied = _ARCHITECTURES.get(architecture, (architecture, ""))
    variant = variant or implied or ("v7" if name == "arm" else "")
    return name, "" if (name, variant) in _PLAIN_VARIANTS else variant


def _shown(text: str) -> str:
    if not text:
        return "unknown"
    return text if _PART.fullmatch(text) else ascii(text[:_TOLD_SIZE])


def _wrong(text: str, reason: str) -> InvalidArgument:
    return InvalidArgument(f"{text!r} is not a platform: {reason}")
