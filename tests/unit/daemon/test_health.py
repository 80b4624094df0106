"""What Prometheus and probes read."""

from __future__ import annotations

import socket
from contextlib import closing
from http.client import HTTPConnection

import pytest

from winlayers.daemon.health import parse_address, told_health
from winlayers.daemon.metrics import Metrics
from winlayers.errors import InUse, InvalidArgument


def fetch(port: int, path: str) -> tuple[int, str]:
    with closing(HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def test_pages_are_told() -> None:
    ready = False
    metrics = Metrics({"winlayers_layers": ("Layers.", lambda: 3)})
    with told_health(("127.0.0.1", 0), metrics, lambda: ready) as port:
        assert fetch(port, "/healthz") == (200, "ok\n")
        assert fetch(port, "/readyz")[0] == 503
        ready = True
        assert fetch(port, "/readyz") == (200, "ready\n")
        assert "winlayers_layers 3\n" in fetch(port, "/metrics")[1]
        assert fetch(port, "/etc/passwd")[0] == 404
        with pytest.raises(InUse), told_health(("127.0.0.1", port), metrics, lambda: True):
            pass
    with closing(socket.socket()) as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.parametrize(
    "text", ["0.0.0.0:80", "example.com:80", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:99999", ""]
)
def test_other_places_than_loopback_are_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="loopback"):
        parse_address(text)


def test_addresses_of_loopback_are_taken() -> None:
    assert parse_address("localhost:80") == ("127.0.0.1", 80)
    assert parse_address("[::1]:9469") == ("::1", 9469)


def test_calls_are_counted_by_kind_of_error_and_by_seconds() -> None:
    metrics = Metrics()
    metrics.observe("docker", "Get", 0.004, "")
    metrics.observe("docker", "Get", 3.0, "")
    metrics.observe("docker", "Get", 3.0, 'Odd"\n')
    lines = metrics.render().splitlines()
    assert 'winlayers_calls_total{service="docker",call="Get",error=""} 2' in lines
    assert 'winlayers_calls_total{service="docker",call="Get",error="Odd\\"\\n"} 1' in lines
    told = [line.rpartition(" ")[2] for line in lines if "_bucket" in line]
    assert told == ["0", "1", "1", "1", "1", "1", "3", "3", "3", "3"]
    assert 'winlayers_call_seconds_count{service="docker",call="Get"} 3' in lines


def test_callers_cannot_make_endless_series() -> None:
    metrics = Metrics()
    for number in range(3000):
        metrics.observe("docker", f"call{number}", 0.1, "")
    assert metrics.render().count("winlayers_calls_total{") == 1001
