"""Which format a tar header is written in, and the records that it then needs.

Each field of a header rules out the formats that cannot say it; of those left, and wanted, the plainest
is taken. This module knows what fits into fields, but makes no bytes.

Source: golang/go src/archive/tar, checked against the vectors gotar_write.
"""

from __future__ import annotations

from dataclasses import dataclass

from winlayers.errors import Malformed
from winlayers.formats.pax import (
    FIELD_KEYS,
    SPARSE_PREFIX,
    format_pax_time,
    is_valid_record,
)
from winlayers.formats.tarblock import (
    ANY_FORMAT,
    BODILESS_TYPES,
    GNU,
    NAME_SIZE,
    OWNER_NAME_SIZE,
    PAX,
    PREFIX_SIZE,
    TYPE_DIRECTORY,
    TYPE_EXTENDED,
    TYPE_GLOBAL,
    TYPE_GNU_SPARSE,
    TYPE_LONG_LINK,
    TYPE_LONG_NAME,
    TYPE_OLD_REGULAR,
    TYPE_REGULAR,
    USTAR,
    USTAR_OR_PAX,
    TarFormat,
    TarHeader,
    fits_base256,
    fits_octal,
    malformed,
)

_GIGA = 1_000_000_000
# Go's zero time, the start of the year 1: a time that is not set.
_GO_ZERO_NS = -62_135_596_800 * _GIGA

_NEVER_A_DIRECTORY = frozenset({TYPE_REGULAR, b"3", b"4", b"6", TYPE_GNU_SPARSE})
_WRITTEN_BY_THE_WRITER = frozenset({TYPE_EXTENDED, TYPE_LONG_NAME, TYPE_LONG_LINK})


@dataclass(slots=True, frozen=True)
class Choice:
    """How a header is to be written.

    Attributes:
        format: the format taken.
        typeflag: one byte, never NUL.
        records: all that an extended header has to hold, for PAX.
        mtime, atime, ctime: whole seconds since 1970, rounded down; None if not set.
    """

    format: TarFormat
    typeflag: bytes
    records: dict[bytes, bytes]
    mtime: int | None
    atime: int | None
    ctime: int | None


def choose_format(header: TarHeader, wanted: TarFormat | None) -> Choice:
    """Decide how to write a header.

    Args:
        header: what to write.
        wanted: the format to take; PAX also allows a plain USTAR header where that says as much. None
            for any, with mtime rounded to seconds and the other times left out.
    Returns:
        The choice.
    Raises:
        Malformed: no format that may be taken can say it, or it makes no sense.
    """
    typeflag = header.typeflag
    if typeflag == TYPE_OLD_REGULAR:
        typeflag = TYPE_DIRECTORY if header.name.endswith(b"/") else TYPE_REGULAR
    mtime, atime, ctime = _set(header.mtime_ns), _set(header.atime_ns), _set(header.ctime_ns)
    if wanted is None:
        atime = ctime = None
        if mtime is not None:
            mtime = (mtime + _GIGA // 2) // _GIGA * _GIGA
    survey = _Survey(header)
    survey.look_at_texts_and_numbers()
    times = (
        survey.time(b"mtime", mtime),
        survey.time(b"atime", atime),
        survey.time(b"ctime", ctime),
    )
    _check_type(header, typeflag, survey)
    survey.add_records(is_global=typeflag == TYPE_GLOBAL)
    return Choice(survey.choose(wanted), typeflag, survey.records, *times)


def _set(time_ns: int | None) -> int | None:
    return None if time_ns == _GO_ZERO_NS else time_ns


def _check_type(header: TarHeader, typeflag: bytes, survey: _Survey) -> None:
    """Refuse what the type does not allow."""
    if len(typeflag) != 1:
        raise malformed(f"type {typeflag!r} is not one byte", entry=header.name)
    if typeflag in _WRITTEN_BY_THE_WRITER:
        raise malformed(f"type {typeflag!r} is made by the writer alone", entry=header.name)
    if typeflag in _NEVER_A_DIRECTORY and header.name.endswith(b"/"):
        raise malformed("name of a file ends in a slash", entry=header.name)
    if typeflag == TYPE_GLOBAL:
        if not survey.is_bare():
            raise malformed("global header with more than name and records", entry=header.name)
        survey.strike(ANY_FORMAT & ~PAX, "a global header")
    if typeflag not in BODILESS_TYPES and header.size < 0:
        raise malformed(f"negative size {header.size}", entry=header.name)


class _Survey:
    """What of a header each format can say.

    Attributes:
        records: what PAX has to say in records.
    """

    __slots__ = ("_header", "_left", "_needs_pax_time", "_obstacles", "records")

    def __init__(self, header: TarHeader) -> None:
        self.records: dict[bytes, bytes] = {}
        self._header = header
        self._left = ANY_FORMAT
        self._needs_pax_time = False
        self._obstacles: list[tuple[int, str]] = []

    def strike(self, formats: int, what: str) -> None:
        """Rule formats out."""
        self._obstacles.append((formats, what))
        self._left &= ~formats

    def is_bare(self) -> bool:
        """Whether nothing is set but name, type, records and format."""
        h = self._header
        texts_and_numbers = (
            h.linkname, h.size, h.mode, h.uid, h.gid, h.uname, h.gname, h.devmajor, h.devminor
        )  # fmt: skip
        times = (_set(h.mtime_ns), _set(h.atime_ns), _set(h.ctime_ns))
        return not any(texts_and_numbers) and times == (None, None, None)

    def look_at_texts_and_numbers(self) -> None:
        """Take stock of all fields but the times."""
        header = self._header
        self._text(b"path", header.name, NAME_SIZE)
        self._text(b"linkpath", header.linkname, NAME_SIZE)
        self._text(b"uname", header.uname, OWNER_NAME_SIZE)
        self._text(b"gname", header.gname, OWNER_NAME_SIZE)
        self._number("uid", header.uid, 8, has_record=True)
        self._number("gid", header.gid, 8, has_record=True)
        self._number("size", header.size, 12, has_record=True)
        self._number("mode", header.mode, 8, has_record=False)
        self._number("devmajor", header.devmajor, 8, has_record=False)
        self._number("devminor", header.devminor, 8, has_record=False)

    def _text(self, key: bytes, value: bytes, size: int) -> None:
        is_long, has_nul = len(value) > size, b"\0" in value
        if has_nul or (is_long and size != NAME_SIZE):
            self.strike(GNU, key.decode())
        if is_long or has_nul or not value.isascii():
            if key != b"path" or split_name(value) is None:
                self.strike(USTAR, key.decode())
            self.records[key] = value
        elif self._header.pax.get(key) == value:
            self.records[key] = value

    def _number(self, what: str, value: int, size: int, *, has_record: bool) -> None:
        is_octal = fits_octal(size, value)
        if not is_octal:
            self.strike(USTAR if has_record else USTAR_OR_PAX, what)
            if not fits_base256(size, value):
                self.strike(GNU, what)
            if not fits_base256(12, value):  # more than the 64 bits of records and of other readers
                self.strike(ANY_FORMAT, what)
        if has_record:
            key = what.encode()
            given = self._header.pax.get(key)
            if not is_octal or (given is not None and given == b"%d" % value):
                self.records[key] = b"%d" % value

    def time(self, key: bytes, time_ns: int | None) -> int | None:
        """Take stock of a time; its whole seconds."""
        if time_ns is None:
            return None
        what = key.decode()
        seconds = time_ns // _GIGA
        is_octal = fits_octal(12, seconds)
        if not fits_base256(12, seconds):
            self.strike(ANY_FORMAT, what)
        needs_record = not is_octal or key != b"mtime"
        if needs_record:
            self.strike(USTAR, what)
        if needs_record or time_ns % _GIGA:
            self._needs_pax_time = True
            self.records[key] = format_pax_time(time_ns)
        elif key in self._header.pax and self._header.pax[key] == format_pax_time(time_ns):
            self.records[key] = self._header.pax[key]
        return seconds

    def add_records(self, *, is_global: bool) -> None:
        """Take over the header's own records, and refuse those that may not be."""
        given = self._header.pax
        if given:
            self.strike(ANY_FORMAT & ~PAX, "records")
        for key, value in given.items():
            is_free = key not in FIELD_KEYS and not key.startswith(SPARSE_PREFIX)
            if key not in self.records and (is_free or is_global):
                self.records[key] = value
        for key, value in self.records.items():
            if not is_valid_record(key, value):
                raise malformed(f"record that may not be: {key[:40]!r}", entry=self._header.name)

    def choose(self, wanted: TarFormat | None) -> TarFormat:
        """The plainest format that is left."""
        allowed = ANY_FORMAT if wanted is None else int(wanted)
        if wanted == PAX and not self._needs_pax_time:
            allowed = USTAR_OR_PAX
        for choice in TarFormat:
            if self._left & allowed & choice:
                return choice
        raise self._refusal(wanted, allowed)

    def _refusal(self, wanted: TarFormat | None, allowed: int) -> Malformed:
        struck = [what for formats, what in self._obstacles if formats & allowed]
        in_the_way = ", ".join(dict.fromkeys(struck))
        name = "no format" if wanted is None else f"{wanted.name} not"
        return malformed(f"{name} able to hold it: {in_the_way}", entry=self._header.name)


def split_name(name: bytes) -> tuple[bytes, bytes] | None:
    """Split a long name between the prefix and name fields of ustar.

    Args:
        name: any name.
    Returns:
        Prefix and rest, without the slash between; None if the name is short, not ASCII, or has no slash
        at a fitting place.
    """
    if len(name) <= NAME_SIZE or not name.isascii() or b"\0" in name:
        return None
    end = min(len(name), PREFIX_SIZE + 1)
    if end == len(name) and name.endswith(b"/"):
        end -= 1
    slash = name.rfind(b"/", 0, end)
    prefix, rest = name[:slash], name[slash + 1 :]
    if slash <= 0 or not 1 <= len(rest) <= NAME_SIZE:
        return None
    return prefix, rest
