"""Compute systems that hold a layer: templates of utility VMs, ended before the layer is removed.

Windows keeps a paused VM as a template for those that it starts from the same layer, and the template keeps the files
open. It is found by the path of its image, opened, told to terminate, and waited for: Windows answers that the
operation is *pending* and calls back, from a thread of its own, when the system has exited. To *have stopped
already*, or to be gone, is as good.

Before version 1709 enumerating is refused at times while systems come and go. It is tried again as the original does;
when the tries run out, the removal goes on without. Nothing else is tried again. This module does not know how a layer is removed.
Source: HcsEnumerateComputeSystems and the calls beside it; retries of the published driver.
"""

from __future__ import annotations

import ctypes
import json
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from winlayers.backends.native import _failures
from winlayers.backends.native._dlls import Libraries
from winlayers.backends.native._handles import closing
from winlayers.backends.native._host import VERSION_1709, build_number
from winlayers.backends.native._strings import OwnedText, owned_text
from winlayers.errors import Malformed, RemoteFailure, TimedOut, WindowsCallFailed

TRIES = 500
PAUSE_SECONDS = 0.01
WAIT_SECONDS = 240.0

_SYSTEM_EXITED = 1
_SERVICE_GONE = 0x01000000
_AGAIN = frozenset({_failures.INVALID_STATE, _failures.ACCESS_DENIED})
_GONE = frozenset({_failures.SYSTEM_NOT_FOUND, _failures.ELEMENT_NOT_FOUND})
_STOPPED = _failures.ALREADY_STOPPED | _GONE | {_failures.PROCESS_ALREADY_STOPPED}

_log = logging.getLogger("winlayers.backends")
_Callback = ctypes.CFUNCTYPE(
    None, ctypes.c_uint32, ctypes.c_void_p, ctypes.c_int32, ctypes.c_void_p
)


@dataclass(frozen=True, slots=True)
class ComputeSystem:
    """A compute system, as far as it matters here.

    Attributes:
        system_id: by which it is opened.
        is_template: whether it is the template of a utility VM.
        image_path: the folder that it runs from, or "".
    """

    system_id: str
    is_template: bool
    image_path: str

    def holds(self, layer_name: str) -> bool:
        """Whether it is a template that runs from a layer, by the name of the layer's folder."""
        names = re.split(r"[\\/]", self.image_path.casefold())
        return self.is_template and layer_name != "" and layer_name.casefold() in names


def terminate_templates(
    api: Libraries,
    layer_name: str,
    *,
    sleep: Callable[[float], None] = time.sleep,
    wait_seconds: float = WAIT_SECONDS,
) -> list[str]:
    """End the template VMs that run from a layer.

    Args:
        api: the libraries.
        layer_name: name of the layer's folder.
        sleep: waits between tries.
        wait_seconds: how long one system may take to end.
    Returns:
        Ids of those that were ended; empty also where a Windows before 1709 never said which there are.
    Raises:
        WindowsCallFailed: one cannot be ended, or Windows does not say which there are.
        TimedOut: one did not end in time.
        RemoteFailure: the service went away meanwhile.
        Malformed: Windows says what nobody understands.
    """
    patient = build_number(api) < VERSION_1709
    listed = _enumerate_patiently(api, sleep) if patient else enumerate_systems(api)
    found = [one for one in listed if one.holds(layer_name)]
    for system in found:
        _terminate(api, system.system_id, wait_seconds)
    return [system.system_id for system in found]


def enumerate_systems(api: Libraries) -> list[ComputeSystem]:
    """All compute systems of this host, asked for once."""
    with _given(api) as systems:
        _call(api, "HcsEnumerateComputeSystems", "{}", systems.address)
        text = systems.read()
    return parse_systems(text)


def parse_systems(text: str) -> list[ComputeSystem]:
    """Compute systems out of the JSON that Windows lists them in; fields that are absent are false or empty.

    Raises:
        Malformed: no JSON, or no list of objects with an id.
    """
    listed = _parse_json(text)
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise Malformed("list of compute systems", "no list of objects")
    systems = [
        ComputeSystem(
            one.get("Id", ""),
            one.get("IsRuntimeTemplate", False) is True,
            one.get("RuntimeImagePath", ""),
        )
        for one in listed
    ]
    for system in systems:
        if not isinstance(system.system_id, str) or not isinstance(system.image_path, str):
            raise Malformed("list of compute systems", "an id or a path that is no text")
    return systems


def parse_events(text: str) -> tuple[str, ...]:
    """What the service tells of an error, one text for each event; of text that is none of its JSON, the text."""
    if not text:
        return ()
    try:
        document = _parse_json(text)
    except Malformed:
        return (text,)
    if not isinstance(document, dict):
        return (text,)
    told = [document.get("ErrorMessage")]
    events = document.get("ErrorEvents")
    if isinstance(events, list):
        told += [event.get("Message") for event in events if isinstance(event, dict)]
    return tuple(one for one in told if isinstance(one, str) and one)


def _enumerate_patiently(api: Libraries, sleep: Callable[[float], None]) -> list[ComputeSystem]:
    for _ in range(TRIES):
        try:
            return enumerate_systems(api)
        except WindowsCallFailed as error:
            if error.code not in _AGAIN:
                raise
            last = error
        sleep(PAUSE_SECONDS)
    _log.warning("compute systems are not known, removing goes on: %s", last)
    return []


def _terminate(api: Libraries, system_id: str, wait_seconds: float) -> None:
    """Open, register, terminate, wait, unregister, close."""
    handle = ctypes.c_void_p()
    try:
        _call(api, "HcsOpenComputeSystem", system_id, ctypes.byref(handle))
    except WindowsCallFailed as error:
        if error.code in _GONE:
            return
        raise
    with (
        closing(api, handle.value or 0, "HcsCloseComputeSystem"),
        _exit_of(api, handle) as exited,
    ):
        try:
            _call(api, "HcsTerminateComputeSystem", handle, "")
        except WindowsCallFailed as error:
            if error.code in _STOPPED:
                return
            if error.code != _failures.PENDING:
                raise
            exited.wait(system_id, wait_seconds)


class _Exit:
    """What a system's callback tells, from a thread of Windows."""

    def __init__(self) -> None:
        self._told = threading.Event()
        self._kind = 0

    def tell(self, kind: int, _context: int, _status: int, _data: int) -> None:
        """The callback. It takes no lock that is held here: to unregister waits for it."""
        if kind in (_SYSTEM_EXITED, _SERVICE_GONE):
            self._kind = kind
            self._told.set()

    def wait(self, system_id: str, seconds: float) -> None:
        """Until the system has exited."""
        if not self._told.wait(seconds):
            raise TimedOut(f"compute system {system_id!r} did not end in {seconds:g} seconds")
        if self._kind == _SERVICE_GONE:
            raise RemoteFailure(f"the compute service went away while {system_id!r} was ended")


@contextmanager
def _exit_of(api: Libraries, system: ctypes.c_void_p) -> Iterator[_Exit]:
    """Have it told when a system exits."""
    exited = _Exit()
    callback = _Callback(exited.tell)
    registration = ctypes.c_void_p()
    api.call(
        "HcsRegisterComputeSystemCallback",
        *(system, ctypes.cast(callback, ctypes.c_void_p), None, ctypes.byref(registration)),
    )
    with closing(api, registration.value or 0, "HcsUnregisterComputeSystemCallback"):
        yield exited
    del callback  # kept until here, as Windows calls it until it is unregistered


def _call(api: Libraries, name: str, *arguments: Any) -> None:
    """A call whose last parameter takes a document on errors; its events go into the failure."""
    with _given(api) as document:
        try:
            api.call(name, *arguments, document.address)
        except WindowsCallFailed as error:
            events = parse_events(document.read())
            raise _failures.with_events(error, events) from None


@contextmanager
def _given(api: Libraries) -> Iterator[OwnedText]:
    with owned_text(lambda address: api.call("CoTaskMemFree", address)) as text:
        yield text


def _parse_json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Malformed("JSON of the compute service", str(error)) from error
