"""The nursery, once a session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.forks import Nursery


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Runs functions in fresh processes."""
    with Nursery() as started:
        yield started
