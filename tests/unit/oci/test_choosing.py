"""Which image of an index is taken for a Windows of some build."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winlayers.errors import ImageNotFound
from winlayers.oci import mediatypes
from winlayers.oci.choosing import (
    Choice,
    Fit,
    choose,
    containerd_allows,
    docker_allows,
)
from winlayers.oci.model import Descriptor, Index, digest_bytes, parse_document
from winlayers.oci.platform import Platform

MIXED = ["10.0.17763.100", "10.0.20348.1", "10.0.20348.2113", "10.0.25398.7", "10.0.26100.3"]


def an_image(platform: Platform | None, **more: Any) -> Descriptor:
    media_type = more.pop("media_type", mediatypes.OCI_MANIFEST)
    return Descriptor(
        media_type, digest_bytes(repr(platform).encode()), 1, platform=platform, **more
    )


def windows(version: str, *features: str) -> Descriptor:
    return an_image(Platform("windows", "amd64", "", version, features))


def an_index(*images: Descriptor) -> Index:
    return Index(b"", mediatypes.OCI_INDEX, images)


def versions_of(choice: Choice) -> list[tuple[str, Fit]]:
    return [
        (one.descriptor.platform.os_version if one.descriptor.platform else "none", one.fit)
        for one in choice.candidates
    ]


def pick(wanted: str, *versions: str, host_build: int | None = None) -> list[tuple[str, Fit]]:
    index = an_index(*(windows(version) for version in versions))
    return versions_of(choose(index, Platform.parse(wanted), host_build=host_build))


def test_exact_version_before_the_build_before_the_rules() -> None:
    assert pick("windows/amd64:10.0.20348.1", *MIXED) == [
        ("10.0.20348.1", Fit.EXACT),
        ("10.0.20348.2113", Fit.BUILD),
        ("10.0.17763.100", Fit.ISOLATED),
    ]


def test_newest_revision_of_a_build_that_is_wanted() -> None:
    assert pick("windows/amd64:10.0.20348", *MIXED)[0] == ("10.0.20348.2113", Fit.BUILD)


def test_host_between_two_long_term_releases_runs_the_earlier_one() -> None:
    assert pick("windows/amd64", *MIXED, host_build=25400) == [
        ("10.0.25398.7", Fit.PROCESS),
        ("10.0.20348.2113", Fit.PROCESS),
        ("10.0.20348.1", Fit.PROCESS),
        ("10.0.17763.100", Fit.ISOLATED),
    ]


def test_host_of_a_long_term_release_runs_the_one_before() -> None:
    assert [fit for _, fit in pick("windows/amd64:ltsc2025", *MIXED)] == [
        Fit.BUILD,
        Fit.PROCESS,
        Fit.PROCESS,
        Fit.PROCESS,
        Fit.ISOLATED,
    ]


def test_version_that_is_wanted_goes_before_the_host() -> None:
    chosen = pick("windows/amd64:10.0.17763", *MIXED, host_build=26100)
    assert chosen == [("10.0.17763.100", Fit.BUILD)]


def test_newest_where_no_build_is_wanted() -> None:
    assert [version for version, _ in pick("windows/amd64", *MIXED)] == [
        "10.0.26100.3",
        "10.0.25398.7",
        "10.0.20348.2113",
        "10.0.20348.1",
        "10.0.17763.100",
    ]
    assert {fit for _, fit in pick("windows/amd64", *MIXED)} == {Fit.NEWEST}


def test_version_of_two_numbers_is_a_prefix() -> None:
    assert pick("windows/amd64:6.3", *MIXED, "6.3.9600") == [("6.3.9600", Fit.NEWEST)]


def test_other_major_version_is_never_run_as_a_process() -> None:
    assert pick("windows/amd64:10.0.20348", "9.0.20348.1") == [("9.0.20348.1", Fit.ISOLATED)]


def test_what_the_index_does_not_say_comes_last() -> None:
    index = an_index(an_image(None), windows(""), windows("later"), windows("10.0.17763.1"))
    assert versions_of(choose(index, Platform.parse("windows/amd64:10.0.17763"))) == [
        ("10.0.17763.1", Fit.BUILD),
        ("", Fit.UNKNOWN),
        ("later", Fit.UNKNOWN),
        ("none", Fit.UNKNOWN),
    ]


def test_features_that_are_wanted_have_to_be_there() -> None:
    plain, desktop = windows("10.0.20348.2"), windows("10.0.20348.1", "win32k")
    index = an_index(desktop, plain)
    choice = choose(index, Platform.parse("windows(10.0.20348+win32k)/amd64"))
    assert choice.descriptors == (desktop,)
    assert choice.left[0].reason == "without the feature 'win32k'"
    assert choose(index, Platform.parse("windows/amd64:ltsc2022")).descriptors == (plain, desktop)


def test_other_systems_keep_the_order_of_the_index() -> None:
    first = an_image(Platform("linux", "amd64", "", "1.2.3"))
    second = an_image(Platform("linux", "amd64", "", "9.9.9"))
    choice = choose(an_index(first, second), Platform.parse("linux/amd64"), host_build=20348)
    assert choice.descriptors == (first, second)
    assert choice.best.fit is Fit.EXACT


def test_why_others_were_left() -> None:
    attestation = an_image(
        Platform("unknown", "unknown"),
        annotations={"vnd.docker.reference.type": "attestation-manifest"},
    )
    artifact = an_image(None, media_type="application/x")
    index = an_index(
        attestation, artifact, an_image(Platform("linux", "arm64")), windows("10.0.26100.1")
    )
    choice = choose(index, Platform.parse("windows/amd64:10.0.20348"))
    assert [one.reason for one in choice.left] == [
        "about another image, and none itself",
        "of type 'application/x', which is no image",
        "another platform",
        "of build 26100, later than 20348",
    ]
    with pytest.raises(ImageNotFound) as caught:
        choice.best  # noqa: B018
    assert "no image for windows/amd64:10.0.20348" in str(caught.value)
    assert "linux/arm64 (another platform)" in str(caught.value)
    assert "windows/amd64:10.0.26100.1 (of build 26100, later than 20348)" in str(caught.value)


def test_message_of_a_long_or_empty_index_is_short() -> None:
    many = an_index(*(an_image(Platform("linux", "s390x")) for _ in range(25)))
    with pytest.raises(ImageNotFound, match=r"5 more$"):
        choose(many, Platform.parse("windows")).best  # noqa: B018
    with pytest.raises(ImageNotFound, match=r"it is empty$"):
        choose(an_index(), Platform.parse("windows")).best  # noqa: B018


def test_index_within_an_index_is_a_candidate() -> None:
    inner = an_image(None, media_type=mediatypes.DOCKER_LIST)
    assert choose(an_index(inner), Platform.parse("windows")).best.descriptor is inner


def test_index_as_a_document() -> None:
    platform = {"os": "windows", "architecture": "amd64", "os.version": "10.0.17763.1"}
    entry = {"mediaType": mediatypes.DOCKER_MANIFEST, "digest": "sha256:" + "0" * 64, "size": 1}
    index = parse_document(json.dumps({"manifests": [{**entry, "platform": platform}]}).encode())
    assert isinstance(index, Index)
    assert choose(index, Platform.parse("windows"), host_build=17763).best.fit is Fit.BUILD


@pytest.mark.parametrize(
    ("host", "image", "docker", "containerd"),
    [
        (17763, 17763, True, True),
        (17763, 14393, True, False),
        (17763, 20348, False, False),
        (19042, 17763, True, False),
        (20348, 20348, True, True),
        (20348, 17763, True, False),
        (22000, 20348, True, True),
        (25398, 20348, True, True),
        (25398, 25398, True, True),
        (26100, 17763, True, False),
        (26100, 20348, True, True),
        (26100, 25398, True, True),
        (26100, 26100, True, True),
        (27000, 26100, True, True),
        (27000, 25398, True, False),
        (27000, 20348, True, False),
        (26100, 27000, False, False),
    ],
)
def test_rules_of_docker_and_containerd(
    host: int, image: int, docker: bool, containerd: bool
) -> None:
    assert docker_allows(host, image) is docker
    assert containerd_allows(host, image) is containerd


_builds = st.sampled_from([14393, 17763, 19042, 20348, 22000, 25398, 26100, 27000])


@settings(derandomize=True, deadline=None)
@given(_builds, st.lists(st.tuples(_builds, st.integers(1, 3)), max_size=8))
def test_every_image_is_a_candidate_or_left_and_the_order_keeps_the_rules(
    host: int, images: list[tuple[int, int]]
) -> None:
    index = an_index(*(windows(f"10.0.{build}.{revision}") for build, revision in images))
    choice = choose(index, Platform.parse("windows"), host_build=host)
    assert sorted(map(id, index.manifests)) == sorted(
        map(id, (*choice.descriptors, *(one.descriptor for one in choice.left)))
    )
    builds = [one.platform.build for one in choice.descriptors if one.platform]
    allowed = [build for build, _ in images if docker_allows(host, build)]
    assert sorted(build for build in builds if build) == sorted(allowed)
    fits = [one.fit for one in choice.candidates]
    assert fits == sorted(fits)
    for build, fit in zip(builds, fits, strict=True):
        assert (fit < Fit.ISOLATED) is containerd_allows(host, build or 0)
    if host in allowed:
        assert builds[0] == host
