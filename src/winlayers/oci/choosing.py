"""Which image of an index is meant: for Windows that hangs on the build.

Two rules say what a Windows of some build runs. Docker's: images of no later build. containerd's: before build 20348
the same build alone; from then on, builds from the last long-term release before the host's build up to the host's.
The first is true with Hyper-V's help, the second without. Images are put in order by the closest rule that lets them
through; within a rule the newest build comes first, then the fewest features, then the newest revision, then the
order of the index.

This module reads no documents but the index: whoever calls looks into configs where it is silent.

Source: moby/moby distribution/pull_v2_windows.go (``checkImageCompatibility``, ``manifestsByVersion``);
microsoft/hcsshim osversion/platform_compat_windows.go, which containerd asks.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from winlayers.errors import ImageNotFound
from winlayers.oci import mediatypes
from winlayers.oci.model import Descriptor, Index
from winlayers.oci.platform import Platform

LTSC_BUILDS = (20348, 26100)
"""Long-term releases whose images later builds run without Hyper-V, up to and with the next one."""

_ATTESTATION = "vnd.docker.reference.type"
_TOLD_COUNT = 20


class Fit(enum.IntEnum):
    """Why an image may be taken, the best reason first."""

    EXACT = 0
    """The very version that is wanted, or a system whose versions do not matter."""
    BUILD = 1
    """The build that is wanted."""
    PROCESS = 2
    """Another build, which containerd's rule allows."""
    ISOLATED = 3
    """An older build, which Docker's rule allows."""
    NEWEST = 4
    """No build is wanted."""
    UNKNOWN = 5
    """The index does not say which build it is, or not even which platform."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An image that may be taken."""

    descriptor: Descriptor
    fit: Fit


@dataclass(frozen=True, slots=True)
class Left:
    """An image, or something else of the index, that may not be taken, and why."""

    descriptor: Descriptor
    reason: str


@dataclass(frozen=True, slots=True)
class Choice:
    """What an index has for a platform.

    Attributes:
        wanted: the platform.
        candidates: what may be taken, the best first.
        left: all else, in the order of the index.
    """

    wanted: Platform
    candidates: tuple[Candidate, ...]
    left: tuple[Left, ...]

    @property
    def descriptors(self) -> tuple[Descriptor, ...]:
        """What may be taken, the best first."""
        return tuple(candidate.descriptor for candidate in self.candidates)

    @property
    def best(self) -> Candidate:
        """What to take.

        Raises:
            ImageNotFound: there is nothing; the message says what there is instead.
        """
        if self.candidates:
            return self.candidates[0]
        others = [f"{_name_of(one.descriptor)} ({one.reason})" for one in self.left[:_TOLD_COUNT]]
        if len(self.left) > _TOLD_COUNT:
            others.append(f"{len(self.left) - _TOLD_COUNT} more")
        has = f"it has {', '.join(others)}" if others else "it is empty"
        raise ImageNotFound(f"the index has no image for {self.wanted}: {has}")


def choose(index: Index, wanted: Platform, *, host_build: int | None = None) -> Choice:
    """Put the images of an index in order for a platform.

    Args:
        index: what there is.
        wanted: its ``os_version`` stands for the host where it has a build; with fewer numbers the versions that
            begin with them are taken; all of its ``os_features`` have to be among the image's.
        host_build: of the Windows that is to run the image, where ``wanted`` has no build and there is one.
    Returns:
        Candidates and the rest; nothing is lost.
    """
    candidates: list[Candidate] = []
    left: list[Left] = []
    host = _host_of(wanted, host_build)
    for descriptor in index.manifests:
        outcome = _judge(descriptor, wanted, host)
        if isinstance(outcome, Fit):
            candidates.append(Candidate(descriptor, outcome))
        else:
            left.append(Left(descriptor, outcome))
    candidates.sort(key=_rank)
    return Choice(wanted, tuple(candidates), tuple(left))


def docker_allows(host_build: int, image_build: int) -> bool:
    """Docker's rule: no image of a later build."""
    return image_build <= host_build


def containerd_allows(host_build: int, image_build: int) -> bool:
    """containerd's rule: what runs without Hyper-V."""
    if host_build < LTSC_BUILDS[0]:
        return image_build == host_build
    lowest = max((build for build in LTSC_BUILDS if build < host_build), default=LTSC_BUILDS[0])
    return lowest <= image_build <= host_build


def _host_of(wanted: Platform, host_build: int | None) -> tuple[int, ...]:
    numbers = wanted.version_numbers
    if len(numbers) < 3 and host_build is not None:
        return (10, 0, host_build)
    return numbers


def _judge(descriptor: Descriptor, wanted: Platform, host: tuple[int, ...]) -> Fit | str:
    if descriptor.media_type not in mediatypes.MANIFESTS | mediatypes.INDEXES:
        return f"of type {descriptor.media_type[:200]!r}, which is no image"
    if _ATTESTATION in descriptor.annotations:
        return "about another image, and none itself"
    platform = descriptor.platform
    if platform is None:
        return Fit.UNKNOWN
    if not platform.runs_where(wanted):
        return "another platform"
    missing = [name for name in wanted.os_features if name not in platform.os_features]
    if missing:
        return f"without the feature {missing[0]!r}"
    if platform.os.lower() != "windows":
        return Fit.EXACT
    return _judge_version(platform.version_numbers, host)


def _judge_version(image: tuple[int, ...], host: tuple[int, ...]) -> Fit | str:
    if len(image) < 3:
        return Fit.UNKNOWN
    if len(host) < 3:
        return Fit.NEWEST if image[: len(host)] == host else "another version"
    if not docker_allows(host[2], image[2]):
        return f"of build {image[2]}, later than {host[2]}"
    if image[:3] == host[:3]:
        return Fit.EXACT if image == host else Fit.BUILD
    if image[:2] == host[:2] and containerd_allows(host[2], image[2]):
        return Fit.PROCESS
    return Fit.ISOLATED


def _rank(candidate: Candidate) -> tuple[Fit, tuple[int, ...], int, int]:
    platform = candidate.descriptor.platform
    if platform is None or candidate.fit is Fit.UNKNOWN:
        return (candidate.fit, (0 if platform else 1,), 0, 0)
    numbers = platform.version_numbers
    revision = numbers[3] if len(numbers) > 3 else 0
    build = tuple(-number for number in numbers[:3])
    if platform.os.lower() != "windows":
        build, revision = (), 0
    return (candidate.fit, build, len(platform.os_features), -revision)


def _name_of(descriptor: Descriptor) -> str:
    return str(descriptor.platform) if descriptor.platform else str(descriptor.digest)
