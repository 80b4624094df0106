"""Two small layers that look like those of Windows images, written with the project's own tar writer.

The base has system files with the descriptors of TrustedInstaller, hard links, junctions, symbolic links,
hives and a utility VM; the layer on it adds a program with alternate streams and extended attributes,
changes some files, and removes others. The same on every run.
"""

from __future__ import annotations

import gzip
import io
import random
from collections.abc import Iterable, Mapping
from pathlib import Path

from winlayers.base.fileobj import CountingWriter
from winlayers.formats.ea import ExtendedAttribute, build_ea_list
from winlayers.formats.reparse import build_reparse, link_to
from winlayers.formats.sddl import parse_sddl
from winlayers.formats.security import build_descriptor
from winlayers.layer.backuptar import BackupTarWriter
from winlayers.layer.entry import Entry, EntryKind, Part

DATA = Path(__file__).parent.parent / "tests" / "data"
#: Small hives that Windows made; they stand for all the hives of the layers.
HIVE = (DATA / "Software_plain_small").read_bytes()
BCD = (DATA / "minimal_BCD").read_bytes()

TRUSTED = "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464"
SYSTEM_FILE = (
    f"O:{TRUSTED}G:{TRUSTED}D:PAI(A;;FA;;;{TRUSTED})(A;;0x1200a9;;;BA)(A;;0x1200a9;;;SY)"
    "(A;;0x1200a9;;;BU)(A;;0x1200a9;;;AC)"
)
SYSTEM_FOLDER = (
    f"O:{TRUSTED}G:{TRUSTED}D:PAI(A;OICIIO;GA;;;CO)(A;OICIIO;GA;;;SY)(A;;0x1301bf;;;SY)"
    "(A;OICIIO;GA;;;BA)(A;;0x1301bf;;;BA)(A;OICIIO;GXGR;;;BU)(A;;0x1200a9;;;BU)"
    f"(A;CIIO;GA;;;{TRUSTED})(A;;FA;;;{TRUSTED})"
)
USER_FILE = "O:BAG:SYD:AI(A;ID;FA;;;SY)(A;ID;FA;;;BA)(A;ID;0x1200a9;;;BU)"

READONLY, HIDDEN, SYSTEM, DIRECTORY, ARCHIVE, REPARSE = 0x1, 0x2, 0x4, 0x10, 0x20, 0x400
#: 2024-05-14 and 2024-06-11 12:00 UTC, days on which bases are published.
BASE_TIME = 133_601_616_000_000_000
APP_TIME = BASE_TIME + 28 * 86_400 * 10_000_000

SYSTEM_NAMES = (
    "advapi32 bcrypt cmd combase crypt32 dnsapi gdi32 hal iphlpapi kernel32 kernelbase msvcrt netapi32 "
    "ntdll ole32 oleaut32 rpcrt4 schannel secur32 setupapi shell32 shlwapi ucrtbase user32 version "
    "wininet winhttp wintrust ws2_32 xmllite"
).split()


class Maker:
    """Writes one layer as a compressed tar, adding the folders on the way.

    Args:
        path: the file to write.
        time: when everything in it was made, a FILETIME.
    """

    def __init__(self, path: Path, time: int) -> None:
        self._file = gzip.GzipFile(path, "wb", compresslevel=6, mtime=0)
        self._target = CountingWriter(self._file)
        self._writer = BackupTarWriter(self._target)
        self._time = time
        self._folders: set[str] = set()

    def folder(self, path: str, sddl: str = SYSTEM_FOLDER, attributes: int = DIRECTORY) -> None:
        if path and path not in self._folders:
            self.folder(path.rpartition("/")[0])
            self._folders.add(path)
            self._add(path, EntryKind.DIRECTORY, sddl, attributes)

    def file(
        self,
        path: str,
        content: bytes,
        sddl: str = SYSTEM_FILE,
        *,
        attributes: int = ARCHIVE,
        streams: Mapping[str, bytes] | None = None,
        ea: Iterable[ExtendedAttribute] = (),
    ) -> None:
        self.folder(path.rpartition("/")[0])
        parts = {"": content, **(streams or {})}
        self._add(path, EntryKind.FILE, sddl, attributes, parts, ea=build_ea_list(ea))

    def link(self, path: str, target: str) -> None:
        """A hard link."""
        self.folder(path.rpartition("/")[0])
        self._writer.link(Entry(path, EntryKind.LINK, target=target))

    def symlink(self, path: str, target: str, *, is_folder: bool = False) -> None:
        self._reparse(path, build_reparse(link_to(target, junction=False)), is_folder=is_folder)

    def junction(self, path: str, target: str) -> None:
        self._reparse(path, build_reparse(link_to(target, junction=True)), is_folder=True)

    def remove(self, path: str) -> None:
        """A whiteout."""
        self.folder(path.rpartition("/")[0])
        self._writer.remove(path)

    def close(self) -> int:
        """End the tar; its size in bytes."""
        self._writer.commit()
        self._file.close()
        return self._target.count

    def _reparse(self, path: str, buffer: bytes, *, is_folder: bool) -> None:
        self.folder(path.rpartition("/")[0])
        kind = EntryKind.DIRECTORY if is_folder else EntryKind.FILE
        attributes = REPARSE | (DIRECTORY | HIDDEN | SYSTEM if is_folder else ARCHIVE)
        parts = {} if is_folder else {"": b""}
        self._add(path, kind, USER_FILE, attributes, parts, reparse=buffer)

    def _add(
        self,
        path: str,
        kind: EntryKind,
        sddl: str,
        attributes: int,
        parts: Mapping[str, bytes] | None = None,
        *,
        ea: bytes = b"",
        reparse: bytes = b"",
    ) -> None:
        self._time += 1_234_567  # no two names were written in the same moment
        times = (self._time, self._time + 3, self._time + 1, self._time + 2)
        contents = parts or {}
        size = len(contents.get("", b""))
        security = build_descriptor(parse_sddl(sddl))
        entry = Entry(path, kind, attributes, *times, size, security, ea, reparse)
        self._writer.add(
            entry, [(Part(name, len(data)), io.BytesIO(data)) for name, data in contents.items()]
        )


def write_base(path: Path) -> int:
    """A base layer: the system, its hives and its utility VM.

    Returns:
        Bytes of the uncompressed tar.
    """
    maker, random_numbers = Maker(path, BASE_TIME), random.Random(1)
    maker.folder("Files")
    maker.file("Files/License.txt", b"You may use this demo for anything.\r\n" * 80)
    for name in SYSTEM_NAMES:
        suffix = "exe" if name == "cmd" else "dll"
        store = f"Files/Windows/WinSxS/amd64_{name}_31bf3856ad364e35_10.0.20348.2461"
        maker.file(f"{store}/{name}.{suffix}", _program(random_numbers, 20_000, 600_000))
        maker.link(f"Files/Windows/System32/{name}.{suffix}", f"{store}/{name}.{suffix}")
    for number in range(400):
        name = f"Files/Windows/System32/en-US/api{number:03}.dll.mui"
        maker.file(name, _program(random_numbers, 500, 40_000))
    maker.file("Files/Windows/System32/drivers/etc/hosts", b"# localhost name resolution\r\n")
    maker.file("Files/Windows/win.ini", b"; for 16-bit app support\r\n[fonts]\r\n[extensions]\r\n")
    maker.file("Files/Windows/notepad.exe", _program(random_numbers, 200_000, 200_001))
    maker.folder("Files/ProgramData", USER_FILE)
    maker.folder("Files/Users/Public/Documents", USER_FILE)
    maker.file(
        "Files/Users/Default/NTUSER.DAT", HIVE, USER_FILE, attributes=HIDDEN | SYSTEM | ARCHIVE
    )
    maker.junction("Files/Documents and Settings", "C:\\Users")
    maker.junction("Files/Users/Default User", "C:\\Users\\Default")
    maker.symlink("Files/Users/All Users", "C:\\ProgramData", is_folder=True)
    for name in ("DefaultUser", "Sam", "Security", "Software", "System"):
        maker.file(f"Hives/{name}_Base", HIVE)
    boot = "UtilityVM/Files/EFI/Microsoft/Boot"
    maker.file(f"{boot}/BCD", BCD)
    maker.file(f"{boot}/bootmgfw.efi", _program(random_numbers, 300_000, 300_001))
    maker.file(
        "UtilityVM/Files/Windows/System32/ntoskrnl.exe", _program(random_numbers, 900_000, 900_001)
    )
    return maker.close()


def write_app(path: Path) -> int:
    """A layer on the base: a program, a changed file, a removed one.

    Returns:
        Bytes of the uncompressed tar.
    """
    maker, random_numbers = Maker(path, APP_TIME), random.Random(2)
    maker.folder("Files")
    home = "Files/Program Files/Contoso"
    maker.file(
        f"{home}/contoso.exe",
        _program(random_numbers, 1_500_000, 1_500_001),
        USER_FILE,
        streams={"Zone.Identifier": b"[ZoneTransfer]\r\nZoneId=3\r\n"},
        ea=[ExtendedAttribute(b"$KERNEL.PURGE.APPXFICACHE", bytes(range(24)))],
    )
    maker.file(f"{home}/contoso.config", b"{}\r\n", USER_FILE, attributes=READONLY | ARCHIVE)
    maker.file(f"{home}/größe 文件.txt", "Names are UTF-16 on Windows.\r\n".encode(), USER_FILE)
    maker.symlink(f"{home}/current.exe", "contoso.exe")
    maker.file("Files/Windows/win.ini", b"; changed by the app\r\n[fonts]\r\n")
    maker.remove("Files/Windows/notepad.exe")
    for name in ("DefaultUser", "Sam", "Security", "Software", "System"):
        maker.file(f"Hives/{name}_Delta", HIVE)
    return maker.close()


def _program(random_numbers: random.Random, least: int, most: int) -> bytes:
    """Bytes that begin as a program of Windows does and compress about as well."""
    size = random_numbers.randrange(least, most)
    words = [random_numbers.randbytes(random_numbers.randrange(4, 24)) for _ in range(400)]
    body = b"".join(random_numbers.choices(words, k=size // 12))
    return (b"MZ\x90\0" + bytes(60) + body)[:size]
