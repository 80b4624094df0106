"""Platforms: how they are written, and which are the same."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winlayers.errors import InvalidArgument
from winlayers.oci.platform import BUILD_NAMES, Platform, default_platform


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("windows/amd64", Platform("windows", "amd64")),
        ("windows/amd64:10.0.20348", Platform("windows", "amd64", "", "10.0.20348")),
        ("windows/amd64:10.0.20348.2113", Platform("windows", "amd64", "", "10.0.20348.2113")),
        ("windows/amd64:ltsc2022", Platform("windows", "amd64", "", "10.0.20348")),
        ("windows/amd64:20h2", Platform("windows", "amd64", "", "10.0.19042")),
        ("windows/amd64:1809", Platform("windows", "amd64", "", "10.0.17763")),
        ("windows:10.0", Platform("windows", "amd64", "", "10.0")),
        ("windows(10.0.17763)/amd64", Platform("windows", "amd64", "", "10.0.17763")),
        ("windows(ltsc2019)", Platform("windows", "amd64", "", "10.0.17763")),
        (
            "windows(10.0.17763+win32k+b+b)/amd64",
            Platform("windows", "amd64", "", "10.0.17763", ("b", "win32k")),
        ),
        ("windows(+win32k)/amd64", Platform("windows", "amd64", "", "", ("win32k",))),
        ("windows", Platform("windows", "amd64")),
        ("linux", Platform("linux", "amd64")),
        ("arm64", Platform("windows", "arm64")),
        ("Windows/AMD64", Platform("windows", "amd64")),
        ("linux/arm64/v8", Platform("linux", "arm64")),
        ("linux/arm/v6", Platform("linux", "arm", "v6")),
        ("linux/arm", Platform("linux", "arm", "v7")),
        ("linux/armel", Platform("linux", "arm", "v6")),
        ("linux/aarch64", Platform("linux", "arm64")),
        ("linux/x86_64", Platform("linux", "amd64")),
        ("linux/amd64/v3", Platform("linux", "amd64", "v3")),
        ("x86-64", Platform("windows", "amd64")),
    ],
)
def test_text_is_read(text: str, expected: Platform) -> None:
    assert Platform.parse(text) == expected


def test_architecture_that_is_meant_where_none_stands() -> None:
    assert Platform.parse("windows", architecture="arm64") == Platform("windows", "arm64")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "write os/architecture"),
        ("windows/", "write os/architecture"),
        ("/amd64", "write os/architecture"),
        ("a/b/c/d", "write os/architecture"),
        ("windows /amd64", "write os/architecture"),
        ("windows()/amd64", "write os/architecture"),
        ("windows(1+)/amd64", "write os/architecture"),
        ("windows/amd64:", "up to four numbers"),
        ("windows/amd64:10.0.x", "up to four numbers"),
        ("windows/amd64:1.2.3.4.5", "up to four numbers"),
        ("windows/amd64:1..2", "up to four numbers"),
        ("windows(10)/amd64:10", "two versions"),
        ("windows/" + "a" * 65, "write os/architecture"),
    ],
)
def test_other_text_is_refused(text: str, reason: str) -> None:
    with pytest.raises(InvalidArgument, match=reason):
        Platform.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "windows/amd64",
        "windows/arm64:10.0.26100",
        "linux/arm/v6",
        "windows(10.0.17763+win32k)/amd64",
        "windows(+win32k)/amd64",
    ],
)
def test_written_as_it_is_read(text: str) -> None:
    platform = Platform.parse(text)
    assert Platform.parse(str(platform)) == platform
    assert str(platform) == text


def test_text_of_a_document_is_shown_without_control_characters() -> None:
    assert str(Platform("", "")) == "unknown/unknown"
    assert len(str(Platform("x" * 1000, "é" * 1000))) < 400
    platform = Platform("\x1b[2J", "é", "v 1", "\n", ("\r",))
    assert str(platform) == r"'\x1b[2J'('\n'+'\r')/'\xe9'/'v 1'"


def test_numbers_of_a_version() -> None:
    platform = Platform("windows", "amd64", os_version="10.0.20348.2113")
    assert platform.version_numbers == (10, 0, 20348, 2113)
    assert platform.build == 20348
    assert BUILD_NAMES[platform.build] == "ltsc2022"
    assert Platform("windows", "amd64", os_version="10.0").build is None
    assert Platform("windows", "amd64", os_version="later").version_numbers == ()


def test_same_system_and_processor_by_other_names() -> None:
    assert Platform("Linux", "ARM64", "v8").runs_where(Platform("linux", "aarch64"))
    assert Platform("windows", "amd64", "", "10.0.1").runs_where(Platform("windows", "x86_64"))
    assert not Platform("linux", "arm", "v6").runs_where(Platform("linux", "arm"))
    assert not Platform("linux", "amd64").runs_where(Platform("windows", "amd64"))


@pytest.mark.parametrize(
    ("machine", "architecture"),
    [
        ("", "amd64"),
        ("x86_64", "amd64"),
        ("AMD64", "amd64"),
        ("ARM64", "arm64"),
        ("aarch64", "arm64"),
    ],
)
def test_default_is_windows_for_the_machine(machine: str, architecture: str) -> None:
    assert default_platform(machine) == Platform("windows", architecture)


@settings(derandomize=True, deadline=None)
@given(st.text("windows/amd64:10.()+ \x00é", max_size=40) | st.text(max_size=20))
def test_any_text_is_a_platform_or_refused(text: str) -> None:
    try:
        platform = Platform.parse(text)
    except InvalidArgument:
        return
    assert Platform.parse(str(platform)) == platform
