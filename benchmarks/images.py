"""How fast are images pulled, pushed and saved, beside skopeo and containerd, and in how much memory?

All take the same image from, or to, a CNCF Distribution on loopback whose blobs are in memory already: nothing is
faster than such a network. Everything is run once a round, one after the other, and each time into nothing: a new
store, a new containerd, a new layout, a new registry.

skopeo's ``oci:`` unpacks nothing; ours and containerd's layers can be read afterwards. What inflating the largest layer
takes by itself, in a process that has it in memory already, is a floor for whoever unpacks, on however many cores.
Rates are bytes of the image as it is in the registry, compressed, over the time of the whole process.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.bench import Bench, Place
from benchmarks.results import Answer, Row, ratios
from benchmarks.running import peak_of_winlayers, run, step, winlayers
from benchmarks.servers import ENGINES, missing_programs, running_containerd, running_registry

QUESTION = "pull, push and save of an image, beside skopeo and containerd on the same registry"

_LAYERS = 8
# Of Debian, whose containerd it is; see tools/engines.py.
_RELEASE = "13"
_IMAGE, _EQUAL = "corpus:1", "equal:1"
_NAME = "here:1"
_ARCHIVES = ("docker-archive", "oci-archive")
_OURS, _SKOPEO, _CONTAINERD = "winlayers", "skopeo to oci:", "ctr, unpacking"
_FLOOR = "inflating the largest layer"
# No slower than this many times skopeo, and containerd no faster than this many times ours.
_SKOPEO_LIMIT, _CONTAINERD_LIMIT = 1.1, 1.5
_MEMORY_LIMIT = 150
_MEBI = 1 << 20

_Seconds = dict[str, list[float]]


@dataclass(frozen=True, slots=True)
class _Image:
    """The image that is measured.

    Attributes:
        size: bytes of its layers, compressed.
        largest: the file of its largest layer.
        layout: an OCI layout that has it, for skopeo to push and save.
        registry: host and port of the registry that has it.
    """

    size: int
    largest: Path
    layout: Path
    registry: str


def measure(bench: Bench) -> Answer:
    """Pull, push and save in turns, on a disk and on a tmpfs; then the memory of eight layers at once."""
    answer = Answer([])
    if lacking := missing_programs("docker-registry", "skopeo"):
        answer.notes.append(f"nothing is measured: {', '.join(lacking)} is not installed")
        return answer
    ENGINES.make()
    with bench.disk.fresh("images") as work:
        layers = [bench.corpus.layer("small" if bench.is_quick else "full")]
        layers += bench.corpus.children()[: _LAYERS - 1]
        with running_registry(work / "registry") as registry:
            image = _publish(work / "layout", layers, registry, _IMAGE)
            for place in bench.places:
                place.folder.mkdir(parents=True, exist_ok=True)
                seconds: _Seconds = defaultdict(list)
                for _ in range(bench.rounds):
                    _measure_round(place, image, seconds)
                answer.rows.extend(_rows(place.name, image, seconds))
            if not bench.is_quick:
                _publish(work / "equal", bench.corpus.equal_layers(_LAYERS), registry, _EQUAL)
                answer.rows.append(_memory(bench.memory or bench.disk, registry))
    return answer


def _publish(layout: Path, layers: Sequence[Path], registry: str, name: str) -> _Image:
    """Make an image and put it into the registry; nothing of this is measured."""
    made = step("image", layout, *layers)
    _skopeo(f"oci:{layout}:1", f"docker://{registry}/{name}")
    largest = max(layers, key=lambda path: path.stat().st_size)
    return _Image(made["bytes"], largest, layout, registry)


def _measure_round(place: Place, image: _Image, seconds: _Seconds) -> None:
    with place.fresh("store") as root:
        pull = ["pull", "--progress", "none", "--as", _NAME, f"{image.registry}/{_IMAGE}"]
        seconds[_OURS].append(winlayers(*pull, root=root).seconds)
        with place.fresh("copied") as layout:
            seconds[_SKOPEO].append(_skopeo(_remote(image), f"oci:{layout}:1"))
        _measure_push(place, root, image, seconds)
        for kind in _ARCHIVES:
            _measure_save(place, root, image, kind, seconds)
    seconds[_FLOOR].append(step("inflate", image.largest)["seconds"])
    with (
        place.fresh("containerd") as folder,
        running_containerd(folder, release=_RELEASE) as address,
    ):
        seconds[_CONTAINERD].append(_pull_by_containerd(address, image))


def _measure_push(place: Place, root: Path, image: _Image, seconds: _Seconds) -> None:
    with place.fresh("pushed") as folder, running_registry(folder) as host:
        push = ["push", "--progress", "none", _NAME, f"docker://{host}/{_IMAGE}"]
        seconds["push"].append(winlayers(*push, root=root).seconds)
    with place.fresh("pushed") as folder, running_registry(folder) as host:
        seconds["push, skopeo"].append(_skopeo(_local(image), f"docker://{host}/{_IMAGE}"))


def _measure_save(place: Place, root: Path, image: _Image, kind: str, seconds: _Seconds) -> None:
    with place.fresh("saved") as folder:
        folder.mkdir()
        save = ["save", "--progress", "none", "--format", kind, "-o", folder / "tar", _NAME]
        seconds[f"save, {kind}"].append(winlayers(*save, root=root).seconds)
    with place.fresh("saved") as folder:
        folder.mkdir()
        target = f"{kind}:{folder / 'tar'}:{_NAME}"
        seconds[f"save, {kind}, skopeo"].append(_skopeo(_local(image), target))


def _rows(where: str, image: _Image, seconds: _Seconds) -> Iterator[Row]:
    ours, skopeo = seconds[_OURS], seconds[_SKOPEO]
    slower = ratios(ours, skopeo)
    target, is_met = f"≤ {_SKOPEO_LIMIT} ×", median(slower) <= _SKOPEO_LIMIT
    yield Row(f"pull, {where}: {_OURS}", ours, "s", "skopeo", slower, target, is_met)
    yield Row(f"pull, {where}: {_SKOPEO}", skopeo, "s")
    floor = seconds[_FLOOR]
    yield Row(f"pull, {where}: {_FLOOR}", floor, "s", "skopeo", ratios(floor, skopeo))
    theirs = seconds[_CONTAINERD]
    slower = ratios(theirs, ours)
    target, is_met = f"≥ {_CONTAINERD_LIMIT} ×", median(slower) >= _CONTAINERD_LIMIT
    yield Row(f"pull, {where}: {_CONTAINERD}", theirs, "s", _OURS, slower, target, is_met)
    for what in ("push", *(f"save, {kind}" for kind in _ARCHIVES)):
        rates = [image.size / one / 1e6 for one in seconds[what]]
        theirs = [image.size / one / 1e6 for one in seconds[f"{what}, skopeo"]]
        faster = ratios(rates, theirs)
        is_met = median(faster) >= 1
        yield Row(f"{what}, {where}: {_OURS}", rates, "MB/s", "skopeo", faster, "≥ 1 ×", is_met)
        yield Row(f"{what}, {where}: skopeo", theirs, "MB/s")


def _memory(place: Place, registry: str) -> Row:
    with place.fresh("store") as root:
        pull = ["pull", "--progress", "none", "--jobs", str(_LAYERS), f"{registry}/{_EQUAL}"]
        size, count = peak_of_winlayers(*pull, root=root)
    what = f"pull of {_LAYERS} equal layers at once: memory of all {count} processes"
    is_met = size / _MEBI <= _MEMORY_LIMIT
    return Row(what, (size / _MEBI,), "MiB", target=f"≤ {_MEMORY_LIMIT} MiB", is_met=is_met)


def _pull_by_containerd(address: Path, image: _Image) -> float:
    client = ENGINES.program(_RELEASE, "ctr")
    command: list[str | Path] = [client, "--address", address, "images", "pull", "--plain-http"]
    command += ["--platform", "windows/amd64", "--snapshotter", "overlayfs"]
    return run([*command, f"{image.registry}/{_IMAGE}"]).seconds


def _skopeo(source: str, target: str) -> float:
    command = ["skopeo", "--insecure-policy", "--override-os", "windows", "copy", "--quiet"]
    command += ["--src-tls-verify=false", "--dest-tls-verify=false"]
    return run([*command, source, target]).seconds


def _remote(image: _Image) -> str:
    return f"docker://{image.registry}/{_IMAGE}"


def _local(image: _Image) -> str:
    return f"oci:{image.layout}:1"
