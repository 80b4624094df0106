"""What the daemon counts, and how Prometheus reads it.

Calls by service, name and kind of error, with a histogram of their seconds; and gauges, which are asked for when
somebody reads. This module knows nothing of sockets.

Source: Prometheus text exposition format 0.0.4.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Callable, Iterator

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_BOUNDS = (0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0, 600.0)
# Names come from those who call; a service counts what it does not know as one.
_MAX_SERIES = 1000


class Metrics:
    """Counts calls; any thread may.

    Args:
        gauges: names of gauges, each with its help and what tells its value.
    """

    def __init__(self, gauges: dict[str, tuple[str, Callable[[], float]]] | None = None) -> None:
        self._gauges = gauges or {}
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, str, str], int] = {}
        self._buckets: dict[tuple[str, str], list[int]] = {}
        self._seconds: dict[tuple[str, str], float] = {}

    def observe(self, service: str, call: str, seconds: float, error: str) -> None:
        """Count a call that has ended.

        Args:
            service: ``containerd`` or ``docker``.
            call: its name.
            seconds: how long it took.
            error: kind of its error, or ``""``.
        """
        with self._lock:
            if (service, call, error) not in self._counts and len(self._counts) >= _MAX_SERIES:
                call, error = "other", ""
            key = (service, call, error)
            self._counts[key] = self._counts.get(key, 0) + 1
            buckets = self._buckets.setdefault((service, call), [0] * (len(_BOUNDS) + 1))
            buckets[bisect_left(_BOUNDS, seconds)] += 1
            self._seconds[service, call] = self._seconds.get((service, call), 0.0) + seconds

    def render(self) -> str:
        """All, as text; a gauge that cannot be told is left out."""
        with self._lock:
            counts = sorted(self._counts.items())
            buckets = sorted((key, list(values)) for key, values in self._buckets.items())
            seconds = dict(self._seconds)
        lines = [
            "# HELP winlayers_calls_total Calls of engines that have ended.",
            "# TYPE winlayers_calls_total counter",
        ]
        for (service, call, error), count in counts:
            labels = _labels(service=service, call=call, error=error)
            lines.append(f"winlayers_calls_total{labels} {count}")
        lines += [
            "# HELP winlayers_call_seconds How long calls took.",
            "# TYPE winlayers_call_seconds histogram",
        ]
        for (service, call), values in buckets:
            lines.extend(_histogram(service, call, values, seconds[service, call]))
        for name, (text, value) in sorted(self._gauges.items()):
            lines += [f"# HELP {name} {text}", f"# TYPE {name} gauge", f"{name} {value():g}"]
        return "\n".join(lines) + "\n"


def _histogram(service: str, call: str, values: list[int], seconds: float) -> Iterator[str]:
    total = 0
    for bound, count in zip((*map(str, _BOUNDS), "+Inf"), values, strict=True):
        total += count
        labels = _labels(service=service, call=call, le=bound)
        yield f"winlayers_call_seconds_bucket{labels} {total}"
    labels = _labels(service=service, call=call)
    yield f"winlayers_call_seconds_sum{labels} {seconds:.6f}"
    yield f"winlayers_call_seconds_count{labels} {total}"


def _labels(**labels: str) -> str:
    told = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return "{" + told + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
