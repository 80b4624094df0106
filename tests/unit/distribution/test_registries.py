"""Settings of hosts, and who is reached through a proxy."""

from __future__ import annotations

import pytest

from winlayers.distribution.registries import HostSettings, Proxies, Registries, is_loopback


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST",
        "a.localhost",
        "localhost.",
        "127.0.0.1",
        "127.9.9.9",
        "::1",
        "[::1]",
    ],
)
def test_loopback_is_known(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    ["", "localhost.example", "10.0.0.1", "0.0.0.0", "128.0.0.1", "127.0.0.1.example", "[::2]"],
)
def test_other_hosts_are_not_loopback(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("no_proxy", "host", "is_direct"),
    [
        ("", "example.com", False),
        ("*", "example.com", True),
        ("example.com", "example.com", True),
        ("EXAMPLE.com", "Example.COM", True),
        ("example.com", "a.example.com", True),
        (".example.com", "a.example.com", True),
        ("*.example.com", "a.example.com", True),
        ("example.com", "badexample.com", False),
        ("x, example.com ,", "example.com", True),
        ("example.com:443", "example.com", True),
        ("example.com:80", "example.com", False),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.0.0.0/8", "example.com", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("fd00::/8", "fd00::1", True),
        ("", "localhost", True),
        ("", "127.0.0.1", True),
    ],
)
def test_proxy_is_passed_by(no_proxy: str, host: str, is_direct: bool) -> None:
    proxies = Proxies("http://p:1", "http://p:2", no_proxy)
    assert proxies.proxy_for("https", host, 443) == ("" if is_direct else "http://p:2")


def test_proxy_goes_by_the_scheme() -> None:
    assert Proxies("http://p:1", "").proxy_for("http", "example.com", 80) == "http://p:1"
    assert Proxies("http://p:1", "").proxy_for("https", "example.com", 443) == ""


def test_password_of_a_proxy_is_not_in_a_repr() -> None:
    proxies = Proxies("http://me:s3cret@p:1", "http://me:s3cret@p:1")
    assert "s3cret" not in repr(Registries(proxies=proxies))


def test_settings_go_by_the_host_with_its_port() -> None:
    special = HostSettings(insecure=True)
    registries = Registries().with_host("h:5000", special)
    assert registries.settings("h:5000") is special
    assert registries.settings("h") == HostSettings()


def test_settings_of_docker_hub_are_those_of_who_answers_for_it() -> None:
    special = HostSettings(insecure=True)
    assert Registries(hosts={"docker.io": special}).settings("registry-1.docker.io") is special
