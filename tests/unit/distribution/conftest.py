"""Registries on loopback, and a client's patience that costs no time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

import pytest

from tests.support.registry import Registry, serve_registry
from winlayers.distribution.client import RepositoryClient
from winlayers.distribution.credentials import Credentials
from winlayers.distribution.registries import HostSettings, Registries
from winlayers.distribution.retry import Patience


@dataclass
class Clock:
    """A clock that moves when somebody sleeps, and remembers that."""

    time: float = 1000.0
    slept: list[float] = field(default_factory=list)

    def now(self) -> float:
        """Seconds."""
        return self.time

    def sleep(self, seconds: float) -> None:
        """Go on."""
        self.slept.append(seconds)
        self.time += seconds


@pytest.fixture
def clock() -> Clock:
    """A clock of the test's own."""
    return Clock()


@pytest.fixture
def patience(clock: Clock) -> Patience:
    """Three attempts, without waiting."""
    return Patience(attempts=3, now=clock.now, sleep=clock.sleep, chance=lambda: 1.0)


@pytest.fixture
def open_registry() -> Iterator[Callable[[], Registry]]:
    """Starts registries that end with the test."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(serve_registry())


@pytest.fixture
def registry(open_registry: Callable[[], Registry]) -> Registry:
    """A registry over plain HTTP."""
    return open_registry()


@pytest.fixture
def registries() -> Registries:
    """Plain HTTP with everybody, and an end to silence soon."""
    return Registries(
        default=HostSettings(plain_http=True), connect_seconds=5.0, silent_seconds=5.0
    )


@pytest.fixture
def client(registry: Registry, registries: Registries, patience: Patience) -> RepositoryClient:
    """The client of repository ``a/b``."""
    return RepositoryClient(registry.host, "a/b", registries, patience=patience)


@pytest.fixture
def credentials_for(registries: Registries) -> Callable[[Registry], Registries]:
    """Gives a registry a user, and says what knows of it."""

    def give(registry: Registry) -> Registries:
        registry.users["me"] = "s3cret"
        settings = HostSettings(plain_http=True, credentials=Credentials("me", "s3cret"))
        return registries.with_host(registry.host, settings)

    return give
