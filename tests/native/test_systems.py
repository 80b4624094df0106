"""Template VMs that hold a layer: found, ended, waited for; what Windows refuses, tried again or told."""

from __future__ import annotations

import json
import logging

import pytest

from tests.native.conftest import Fake
from winlayers.backends.native._systems import (
    ComputeSystem,
    enumerate_systems,
    parse_events,
    parse_systems,
    terminate_templates,
)
from winlayers.errors import Malformed, RemoteFailure, TimedOut, WindowsCallFailed

LAYER = "0123abcd"
TEMPLATE = {"Id": "vm", "IsRuntimeTemplate": True, "RuntimeImagePath": f"C:\\l\\{LAYER}\\UtilityVM"}
OTHERS = [
    {"Id": "container"},
    {"Id": "another", "IsRuntimeTemplate": True, "RuntimeImagePath": f"C:\\l\\{LAYER}4\\UtilityVM"},
    {"Id": "running", "IsRuntimeTemplate": False, "RuntimeImagePath": f"C:\\l\\{LAYER}"},
]
LIFE = [
    *(
        "RtlGetVersion",
        "HcsEnumerateComputeSystems",
        "HcsOpenComputeSystem",
        "HcsRegisterComputeSystemCallback",
    ),
    *("HcsTerminateComputeSystem", "HcsUnregisterComputeSystemCallback", "HcsCloseComputeSystem"),
]
STOPPED = [0xC0370110, 0x80370110, 0x8037011F, 0xC037010E, 0x80070490]


@pytest.fixture
def host(fake: Fake) -> Fake:
    """A host with one template of the layer, and systems that do not concern it."""
    fake.set("FAKE_HCS_SYSTEMS", json.dumps([*OTHERS, TEMPLATE]))
    return fake


def no_sleep(_seconds: float) -> None:
    pytest.fail("waited")


def calls(fake: Fake) -> list[str]:
    return [one for one in fake.calls() if one != "CoTaskMemFree"]


def test_template_is_ended_and_waited_for(host: Fake) -> None:
    assert terminate_templates(host.api, LAYER, sleep=no_sleep) == ["vm"]
    assert calls(host) == LIFE
    assert [line for line in host.log() if "free" not in line.lower()] == [
        "RtlGetVersion 276",
        "HcsEnumerateComputeSystems {}",
        "HcsOpenComputeSystem vm",
        "HcsRegisterComputeSystemCallback 0x1234567800",
        "HcsTerminateComputeSystem 0x1234567800 []",
        "HcsUnregisterComputeSystemCallback 0x2345678900",
        "HcsCloseComputeSystem 0x1234567800",
    ]


def test_layer_without_a_template_has_nothing_ended(host: Fake) -> None:
    assert terminate_templates(host.api, "0123", sleep=no_sleep) == []
    assert calls(host) == LIFE[:2]


def test_every_template_of_a_layer_is_ended(fake: Fake) -> None:
    fake.set("FAKE_HCS_SYSTEMS", json.dumps([TEMPLATE, {**TEMPLATE, "Id": "vm2"}]))
    assert terminate_templates(fake.api, LAYER, sleep=no_sleep) == ["vm", "vm2"]
    assert calls(fake) == [*LIFE, *LIFE[2:]]


@pytest.mark.parametrize("code", STOPPED, ids=hex)
def test_system_that_has_stopped_already_is_as_good(host: Fake, code: int) -> None:
    host.fail("HcsTerminateComputeSystem", code)
    assert terminate_templates(host.api, LAYER, sleep=no_sleep) == ["vm"]
    assert calls(host) == LIFE


@pytest.mark.parametrize("code", [0xC037010E, 0x80070490], ids=hex)
def test_system_that_is_gone_is_not_opened(host: Fake, code: int) -> None:
    host.fail("HcsOpenComputeSystem", code)
    terminate_templates(host.api, LAYER, sleep=no_sleep)
    assert calls(host) == LIFE[:3]


def test_termination_that_ends_at_once_is_not_waited_for(host: Fake) -> None:
    host.fail("HcsTerminateComputeSystem", 0)
    terminate_templates(host.api, LAYER, sleep=no_sleep, wait_seconds=0)
    assert calls(host) == LIFE


def test_system_that_does_not_end_in_time_is_told(host: Fake) -> None:
    host.set("FAKE_HCS_EXIT", "never")
    with pytest.raises(TimedOut, match=r"'vm' did not end in 0\.01 seconds"):
        terminate_templates(host.api, LAYER, sleep=no_sleep, wait_seconds=0.01)
    assert calls(host) == LIFE


def test_service_that_goes_away_ends_the_wait(host: Fake) -> None:
    host.set("FAKE_HCS_EXIT", "gone")
    with pytest.raises(RemoteFailure, match="'vm' was ended"):
        terminate_templates(host.api, LAYER, sleep=no_sleep)
    assert calls(host) == LIFE


@pytest.mark.parametrize("at", range(len(LIFE)))
def test_what_was_opened_is_closed_whatever_fails(host: Fake, at: int) -> None:
    host.set("FAKE_HCS_RESULT", '{"ErrorMessage":"why"}')
    host.fail(LIFE[at], 0x80004005)
    with pytest.raises(WindowsCallFailed) as caught:
        terminate_templates(host.api, LAYER, sleep=no_sleep)
    assert (caught.value.call, caught.value.raw) == (LIFE[at], 0x80004005)
    undone = {3: LIFE[6:], 4: LIFE[5:], 5: LIFE[6:]}.get(at, [])
    assert calls(host) == [*LIFE[: at + 1], *undone]
    # What the fault kept from being given back is given back here, so that only a true leak shows.
    if at >= 5:
        host.api.call(LIFE[at], {5: 0x2345678900, 6: 0x1234567800}[at])


@pytest.mark.parametrize("code", [0xC0370105, 0x80070005], ids=hex)
def test_enumerating_is_tried_again_as_the_original_does(host: Fake, code: int) -> None:
    host.set("FAKE_BUILD", "16298")
    host.fail("HcsEnumerateComputeSystems", code, 499)
    pauses: list[float] = []
    assert terminate_templates(host.api, LAYER, sleep=pauses.append) == ["vm"]
    assert pauses == [0.01] * 499
    assert calls(host).count("HcsEnumerateComputeSystems") == 500


def test_removal_goes_on_when_the_tries_run_out(
    host: Fake, caplog: pytest.LogCaptureFixture
) -> None:
    host.set("FAKE_BUILD", "14393")
    host.fail("HcsEnumerateComputeSystems", 0xC0370105, 500)
    with caplog.at_level(logging.WARNING, "winlayers.backends"):
        assert terminate_templates(host.api, LAYER, sleep=lambda _: None) == []
    assert calls(host) == ["RtlGetVersion", *["HcsEnumerateComputeSystems"] * 500]
    assert "removing goes on" in caplog.text


@pytest.mark.parametrize(
    ("build", "hresult", "code"),
    [("14393", 0x80070006, 6), ("16299", 0xC0370105, 0xC0370105), ("20348", 0x80070005, 5)],
)
def test_other_failures_to_enumerate_are_not_tried_again(
    host: Fake, build: str, hresult: int, code: int
) -> None:
    host.set("FAKE_BUILD", build)
    host.fail("HcsEnumerateComputeSystems", hresult)
    with pytest.raises(WindowsCallFailed) as caught:
        terminate_templates(host.api, LAYER, sleep=no_sleep)
    assert caught.value.code == code
    assert calls(host) == LIFE[:2]


def test_events_of_the_service_are_told(host: Fake) -> None:
    events = [{"Message": "one", "EventId": 1, "Provider": "p"}, {"EventId": 2}, {"Message": "two"}]
    host.set("FAKE_HCS_RESULT", json.dumps({"ErrorMessage": "", "ErrorEvents": events}))
    host.fail("HcsOpenComputeSystem", 0xC0370106)
    with pytest.raises(WindowsCallFailed) as caught:
        terminate_templates(host.api, LAYER, sleep=no_sleep)
    assert caught.value.events == ("one", "two")
    assert str(caught.value).endswith("the compute system ended unexpectedly; one; two")


def test_document_on_a_success_is_freed(host: Fake) -> None:
    host.set("FAKE_HCS_RESULT", "{}")
    assert len(enumerate_systems(host.api)) == 4
    assert host.calls() == ["HcsEnumerateComputeSystems", "CoTaskMemFree", "CoTaskMemFree"]


def test_systems_are_read_with_what_is_absent_false_or_empty() -> None:
    assert parse_systems(json.dumps([OTHERS[0], TEMPLATE])) == [
        ComputeSystem("container", False, ""),
        ComputeSystem("vm", True, f"C:\\l\\{LAYER}\\UtilityVM"),
    ]


@pytest.mark.parametrize(
    "text",
    [*("", "{", "5", "{}", "[5]", "null", "[" * 100000), '[{"Id":5}]', '[{"RuntimeImagePath":[]}]'],
    ids=lambda text: text[:20],
)
def test_list_that_nobody_understands_is_malformed(text: str) -> None:
    with pytest.raises(Malformed):
        parse_systems(text)


@pytest.mark.parametrize(
    ("image", "name", "holds"),
    [
        ("C:\\l\\abc\\UtilityVM", "ABC", True),
        ("C:/l/abc", "abc", True),
        ("C:\\l\\abc-removing\\UtilityVM", "abc", False),
        ("C:\\l\\xabc", "abc", False),
        ("", "", False),
    ],
)
def test_template_holds_the_layer_whose_folder_it_runs_from(
    image: str, name: str, holds: bool
) -> None:
    assert ComputeSystem("vm", True, image).holds(name) is holds
    assert not ComputeSystem("vm", False, image).holds(name)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", ()),
        ("not JSON", ("not JSON",)),
        ("[]", ("[]",)),
        ("{}", ()),
        ('{"ErrorMessage":"a"}', ("a",)),
        ('{"ErrorMessage":5,"ErrorEvents":[5,{"Message":6},{"Message":"b"}]}', ("b",)),
        ('{"ErrorMessage":"a","ErrorEvents":7}', ("a",)),
    ],
)
def test_events_are_read_from_whatever_comes(text: str, told: tuple[str, ...]) -> None:
    assert parse_events(text) == told
