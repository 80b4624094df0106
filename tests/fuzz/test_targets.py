"""Every target takes its seeds, some changed inputs, and what was once found."""

from __future__ import annotations

import random
from functools import partial

import pytest

from tests.fuzz.campaign import CASE_SECONDS, found_cases, time_limit
from tests.fuzz.mutation import mutate
from tests.fuzz.sources import outcome
from tests.fuzz.targets import TARGETS

CASE_COUNT = 60


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_and_their_like_are_taken(name: str) -> None:
    target = TARGETS[name]
    seeds = list(target.make_seeds())
    rng = random.Random(name)
    cases = [mutate(rng, rng.choice(seeds), seeds) for _ in range(CASE_COUNT)]
    if target.repair is not None:
        cases = [target.repair(case) for case in cases]
    assert seeds
    for case in [*seeds[:: max(len(seeds) // CASE_COUNT, 1)], *cases]:
        with time_limit(CASE_SECONDS):
            target(case)


@pytest.mark.parametrize("name", TARGETS)
def test_some_seed_is_sound(name: str) -> None:
    """A campaign that begins with errors alone would not get far."""
    target = TARGETS[name]
    assert any(outcome(partial(target.decode, seed)) is None for seed in target.make_seeds())


def test_found_cases_stay_mended() -> None:
    for target, data in found_cases():
        with time_limit(CASE_SECONDS):
            target(data)
