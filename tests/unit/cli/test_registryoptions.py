"""Options for registries: what they come to, and that no password is told."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from tests.unit.cli.harness import Shell
from winlayers.cli.registryoptions import RegistryOptions, SideOptions
from winlayers.cli.session import Session
from winlayers.errors import InvalidArgument

SECRET = "s3cret:with:colons"


def test_options_are_about_one_host_alone(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").touch()
    (tmp_path / "client.cert").touch()
    (tmp_path / "client.key").touch()
    options = RegistryOptions(False, f"user:{SECRET}", tmp_path / "auth.json", tmp_path)
    registries = options.registries(Session(), "here:5000")
    here, elsewhere = registries.settings("here:5000"), registries.settings("elsewhere")
    assert here.insecure
    assert here.credentials is not None
    assert (here.credentials.username, here.credentials.password) == ("user", SECRET)
    assert here.ca_file == tmp_path / "ca.crt"
    assert here.client_certificate == tmp_path / "client.cert"
    assert here.client_key == tmp_path / "client.key"
    assert (elsewhere.insecure, elsewhere.credentials, elsewhere.ca_file) == (False, None, None)
    assert registries.credential_files == (tmp_path / "auth.json",)
    assert SECRET not in repr(options) + repr(registries)


def test_environment_says_the_rest() -> None:
    environ = {
        "REGISTRY_AUTH_FILE": "/auth.json",
        "HTTPS_PROXY": "http://proxy:3128",
        "no_proxy": "example.com",
    }
    registries = RegistryOptions().registries(Session(environ), "here")
    assert registries.credential_files == (Path("/auth.json"),)
    assert registries.proxies.proxy_for("https", "there", 443) == "http://proxy:3128"
    assert registries.proxies.proxy_for("https", "example.com", 443) == ""


def test_two_certificates_of_a_kind_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.crt").touch()
    (tmp_path / "b.crt").touch()
    with pytest.raises(InvalidArgument, match=r"2 files \*\.crt"):
        RegistryOptions(cert_dir=tmp_path).registries(Session(), "here")


def test_credentials_are_told_nowhere(bare: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    for arguments, code in (
        (["--creds", "s3cret-without-a-colon"], 2),
        (["--creds", f"user:{SECRET}", "--creds-stdin"], 2),
        (["--creds", f"user:{SECRET}"], 10),
    ):
        result = bare.run("inspect", "oci:nowhere", *arguments, "-v", code=code)
        assert "s3cret" not in result.err
    monkeypatch.setattr("sys.stdin", io.StringIO(f"user:{SECRET}\n"))
    assert "s3cret" not in bare.run("inspect", "oci:nowhere", "--creds-stdin", code=10).err
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert "no credentials" in bare.run("inspect", "oci:nowhere", "--creds-stdin", code=2).err
    monkeypatch.setattr("sys.stdin", None)
    assert "no standard input" in bare.run("inspect", "oci:nowhere", "--creds-stdin", code=2).err


def test_one_side_of_a_copy_has_options_of_its_own(tmp_path: Path) -> None:
    both = RegistryOptions(creds="both:1", authfile=tmp_path / "auth.json")
    assert SideOptions().over(both) == both
    side = SideOptions(f"one:{SECRET}", tls_verify=False, cert_dir=tmp_path).over(both)
    settings = side.registries(Session(), "here").settings("here")
    assert settings.insecure
    assert settings.credentials is not None
    assert (settings.credentials.username, settings.credentials.password) == ("one", SECRET)
    assert side.cert_dir == tmp_path
    assert SideOptions(tls_verify=True).over(RegistryOptions(tls_verify=False)).tls_verify
    assert SECRET not in repr(SideOptions(f"one:{SECRET}"))


def test_side_without_a_login_looks_into_no_file(tmp_path: Path) -> None:
    both = RegistryOptions(creds="both:1", authfile=tmp_path / "auth.json")
    registries = SideOptions(no_creds=True).over(both).registries(Session(), "here")
    assert registries.settings("here").credentials is None
    assert registries.credential_files == ()


def test_password_of_a_side_is_told_nowhere(bare: Shell) -> None:
    names = ("docker://127.0.0.1:1/a:1", "docker://127.0.0.1:2/a:1")
    for arguments, code in (
        (["--src-creds", f"one:{SECRET}", "--dest-creds", "two:s3cret"], 19),
        (["--creds", f"one:{SECRET}", "--dest-no-creds"], 19),
        (["--creds", f"one:{SECRET}", "--dest-tls-verify", "false"], 2),
        (["--src-creds", f"one:{SECRET}", "--src-no-creds"], 2),
        (["--dest-creds", "s3cret-without-a-colon"], 2),
    ):
        result = bare.run("copy", *names, *arguments, "-v", code=code)
        assert "s3cret" not in result.err


def test_mirrors_are_those_of_the_registry_that_is_read(bare: Shell) -> None:
    registries = RegistryOptions(mirrors=("there:5000/kept",)).registries(Session(), "here")
    assert registries.settings("here").mirrors == ("there:5000/kept",)
    assert registries.settings("there:5000").mirrors == ()
    copy = ["copy", "docker://127.0.0.1:1/a:1", f"oci:{bare.folder}/out"]
    for words in (["pull", "127.0.0.1:1/a:1"], copy):
        result = bare.run(*words, "--mirror", "127.0.0.1:2", code=19)
        assert "from the mirror 127.0.0.1:2" in result.err
        assert "NOT A HOST" in bare.run(*words, "--mirror", "NOT A HOST/x", code=2).err
