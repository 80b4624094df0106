"""The script that proves things on a Windows host, over the stand-in."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from tools import test_windows as script

from tests.native.conftest import Fake
from tests.support.builders import a_file, a_layer, layer_tar
from tests.support.nativestore import native_backend
from winlayers.driver.driver import Driver
from winlayers.driver.importing import InlineImporter

FILES = a_file("Files/a.txt", b"a"), a_file("Files/Windows/b.txt", b"b")
MACHINE = a_file("UtilityVM/Files/m.txt", b"m")


@pytest.fixture
def driver(tmp_path: Path) -> Driver:
    backend = native_backend(tmp_path)
    return Driver(tmp_path, backend, InlineImporter(backend))


def test_all_is_proved_of_a_base_layer_with_a_utility_vm(driver: Driver) -> None:
    said: list[str] = []
    script.prove_layers(driver, io.BytesIO(layer_tar(a_layer(*FILES, MACHINE))), said.append)
    assert len(said) == 11
    assert not [line for line in said if line.startswith("NOT")]


def test_what_cannot_be_proved_is_said(driver: Driver) -> None:
    said: list[str] = []
    script.prove_layers(driver, io.BytesIO(layer_tar(a_layer(*FILES))), said.append)
    assert "NOT proved: utility VMs, as the base layer has none" in said


def test_guids_are_stable(fake: Fake) -> None:
    said: list[str] = []
    script.prove_guids(fake.api, said.append)
    assert said[0].startswith("NameToGuid is stable: base is ")


def test_refusal_that_does_not_come_is_not_proved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script, "open_driver", lambda config: None)
    with pytest.raises(script.NotProved, match="is not refused"):
        script.prove_refusal(tmp_path, list[str]().append)


def test_elsewhere_it_says_what_it_is_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert script.main([]) == 2
    assert "on a host with containers" in capsys.readouterr().err
