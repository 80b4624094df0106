"""Backup streams: what is read and written, and that every context is freed once."""

from __future__ import annotations

import struct
import threading
from pathlib import Path

import pytest

from tests.native.conftest import Fake
from winlayers.backends.native._backup import reading_backup, writing_backup
from winlayers.backends.native._handles import BACKUP, RESTORE, Access, open_file, privileges
from winlayers.base.fileobj import BLOCK_SIZE
from winlayers.errors import InvalidArgument, PrivilegeMissing, RemoteFailure, WindowsCallFailed

DATA, SECURITY_STREAM = 1, 3
READ = Access.GENERIC_READ
BOTH = Access.GENERIC_READ | Access.GENERIC_WRITE


def stream(kind: int, content: bytes) -> bytes:
    return struct.pack("<IIQI", kind, 0, len(content), 0) + content


@pytest.fixture
def file(tmp_path: Path, fake: Fake) -> Path:
    kept = tmp_path / "kept"
    kept.mkdir()
    fake.set("FAKE_BACKUP_DIR", str(kept))
    path = tmp_path / "file"
    path.write_bytes(b"content")
    return path


def backup_of(fake: Fake, path: Path, *, security: bool) -> bytes:
    with (
        open_file(fake.api, path, READ) as handle,
        reading_backup(fake.api, handle, security=security) as reader,
    ):
        return reader.read()


def aborts(fake: Fake, call: str) -> int:
    return sum(line.startswith(f"{call} abort") for line in fake.log())


@pytest.mark.parametrize("security", [False, True])
def test_what_is_written_is_read(fake: Fake, file: Path, security: bool) -> None:
    parts = stream(SECURITY_STREAM, b"descriptor"), stream(DATA, b"replaced")
    with (
        open_file(fake.api, file, BOTH) as handle,
        writing_backup(fake.api, handle, security=security) as writer,
    ):
        assert writer.write(b"".join(parts)) == sum(map(len, parts))
    assert file.read_bytes() == b"replaced"
    assert backup_of(fake, file, security=True) == b"".join(parts[0 if security else 1 :])
    assert backup_of(fake, file, security=False) == parts[1]
    assert aborts(fake, "BackupWrite") == 1
    assert aborts(fake, "BackupRead") == 2


def test_streams_longer_than_a_block(fake: Fake, file: Path) -> None:
    whole = stream(DATA, bytes(range(251)) * 9000)
    assert len(whole) > 2 * BLOCK_SIZE
    with (
        open_file(fake.api, file, BOTH) as handle,
        writing_backup(fake.api, handle) as writer,
    ):
        assert writer.write(whole) == len(whole)
    assert backup_of(fake, file, security=True) == whole


def test_parts_are_read_one_after_the_other(fake: Fake, file: Path) -> None:
    whole = stream(DATA, b"content")
    buffer = bytearray(30)
    with open_file(fake.api, file, READ) as handle, reading_backup(fake.api, handle) as reader:
        assert reader.read(0) == b""
        assert reader.read(5) == whole[:5]
        assert reader.readinto(buffer) == len(whole) - 5
        assert buffer[: len(whole) - 5] == whole[5:]
        assert reader.read(5) == reader.read(5) == b""


def test_the_privilege_lasts_as_long_as_the_stream(fake: Fake, file: Path) -> None:
    with open_file(fake.api, file, BOTH) as handle:
        with reading_backup(fake.api, handle):
            assert fake.privileges() == 1
        assert fake.privileges() == -1
        with writing_backup(fake.api, handle):
            assert fake.privileges() == 2
        assert fake.privileges() == -1
        with privileges(fake.api, BACKUP, RESTORE), reading_backup(fake.api, handle):
            assert fake.privileges() == 2
    assert aborts(fake, "BackupRead") == aborts(fake, "BackupWrite") == 0


def test_no_privilege_no_stream(fake: Fake, file: Path) -> None:
    fake.set("FAKE_LACKS", BACKUP)
    with pytest.raises(PrivilegeMissing, match=BACKUP):
        backup_of(fake, file, security=True)


def test_failure_to_read_frees_the_context(fake: Fake, file: Path) -> None:
    fake.fail("BackupRead", 1117)
    with pytest.raises(WindowsCallFailed, match="BackupRead") as caught:
        backup_of(fake, file, security=True)
    assert caught.value.code == 1117
    assert aborts(fake, "BackupRead") == 1


def test_failure_to_write_frees_the_context(fake: Fake, file: Path) -> None:
    fake.fail("BackupWrite", 112)
    with (
        open_file(fake.api, file, BOTH) as handle,
        pytest.raises(WindowsCallFailed) as caught,
        writing_backup(fake.api, handle) as writer,
    ):
        writer.write(stream(DATA, b"x"))
    assert caught.value.code == 112
    assert aborts(fake, "BackupWrite") == 1


def test_a_part_that_is_not_taken_is_an_error(fake: Fake, file: Path) -> None:
    fake.fail("BackupWrite short", 0)
    whole = stream(DATA, b"x")
    with (
        open_file(fake.api, file, BOTH) as handle,
        pytest.raises(RemoteFailure, match="took 20 of 21 bytes"),
        writing_backup(fake.api, handle) as writer,
    ):
        writer.write(whole)
    assert aborts(fake, "BackupWrite") == 1


@pytest.mark.parametrize("call", ["BackupRead", "BackupWrite"])
def test_failure_to_free_is_told_and_not_repeated(fake: Fake, file: Path, call: str) -> None:
    fake.fail(f"{call} abort", 6, times=2)
    with open_file(fake.api, file, BOTH) as handle, pytest.raises(WindowsCallFailed) as caught:
        if call == "BackupRead":
            with reading_backup(fake.api, handle) as reader:
                reader.read(1)
        else:
            with writing_backup(fake.api, handle) as writer:
                writer.write(stream(DATA, b"x"))
    assert caught.value.code == 6
    assert aborts(fake, call) == 1


def test_failure_to_free_does_not_hide_the_first(fake: Fake, file: Path) -> None:
    fake.fail("BackupRead", 1117)
    fake.fail("BackupRead abort", 6)
    with pytest.raises(WindowsCallFailed) as caught:
        backup_of(fake, file, security=True)
    assert caught.value.code == 1117
    assert "was not freed" in caught.value.__notes__[0]


def test_another_thread_is_refused(fake: Fake, file: Path) -> None:
    refused: list[str] = []

    def use() -> None:
        for action in (lambda: reader.read(1), reader.close):
            try:
                action()
            except InvalidArgument as error:
                refused.append(str(error))

    with open_file(fake.api, file, READ) as handle, reading_backup(fake.api, handle) as reader:
        assert reader.read(1)
        thread = threading.Thread(target=use)
        thread.start()
        thread.join()
    assert len(refused) == 2
    assert aborts(fake, "BackupRead") == 1


def test_a_closed_stream_is_not_used(fake: Fake, file: Path) -> None:
    with open_file(fake.api, file, BOTH) as handle:
        with reading_backup(fake.api, handle) as reader:
            reader.read(1)
            reader.close()
            with pytest.raises(ValueError, match="closed"):
                reader.read(1)
        with writing_backup(fake.api, handle) as writer:
            writer.close()
            with pytest.raises(ValueError, match="closed"):
                writer.write(b"x")
    assert aborts(fake, "BackupRead") == 1
