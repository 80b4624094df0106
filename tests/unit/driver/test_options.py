"""Storage options: what is taken, and the texts of Docker's errors."""

from __future__ import annotations

import pytest

from winlayers.driver.options import (
    DEFAULT_SCRATCH_SIZE,
    parse_driver_options,
    parse_storage_options,
)
from winlayers.errors import UnknownOption


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({}, 0),
        ({"size": "20GB"}, 20 * 2**30),
        ({"SIZE": "1.5g"}, 3 * 2**29),
        ({"size": "0"}, 0),
    ],
)
def test_options_of_a_scratch_are_read(options: dict[str, str], size: int) -> None:
    assert parse_storage_options(options).size == size


def test_unknown_option_of_a_scratch_has_docker_s_text() -> None:
    with pytest.raises(UnknownOption) as caught:
        parse_storage_options({"Colour": "red"})
    text = "Failed to parse storage options - Unknown storage option: colour"
    assert str(caught.value) == text


def test_bad_size_of_a_scratch_has_docker_s_text() -> None:
    with pytest.raises(UnknownOption) as caught:
        parse_storage_options({"size": "5gigs"})
    assert str(caught.value) == "Failed to parse storage options - invalid suffix: 'gigs'"


def test_driver_has_a_default_size_and_ignores_what_it_does_not_know() -> None:
    assert DEFAULT_SCRATCH_SIZE == 136365211648
    assert parse_driver_options([]).size == DEFAULT_SCRATCH_SIZE
    assert parse_driver_options(["colour=red"]).size == DEFAULT_SCRATCH_SIZE
    assert parse_driver_options(["Size=40GB"]).size == 40 * 2**30


def test_bad_size_of_the_driver_has_docker_s_text() -> None:
    with pytest.raises(UnknownOption) as caught:
        parse_driver_options(["size=GB"])
    text = "windowsfilter failed to parse default storage options: invalid size: 'GB'"
    assert str(caught.value) == text


def test_option_of_the_driver_without_a_value_is_refused() -> None:
    with pytest.raises(UnknownOption, match="unable to parse key/value option"):
        parse_driver_options(["size"])
