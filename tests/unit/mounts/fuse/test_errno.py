"""Errors become the numbers that programs expect."""

from __future__ import annotations

import errno

import pytest

from winlayers.errors import (
    KINDS,
    AlreadyExists,
    DirectoryNotEmpty,
    InvalidName,
    IsADirectory,
    Malformed,
    NoSpace,
    NotADirectory,
    PathInUse,
    PathNotFound,
    ReadOnlyFile,
    ReadOnlyView,
    TooManyLinks,
    WinlayersError,
)
from winlayers.mounts.fuse._errno import errno_of


@pytest.mark.parametrize(
    ("error", "number"),
    [
        (PathNotFound("x"), errno.ENOENT),
        (AlreadyExists("x"), errno.EEXIST),
        (DirectoryNotEmpty("x"), errno.ENOTEMPTY),
        (PathInUse("x"), errno.EBUSY),
        (NotADirectory("x"), errno.ENOTDIR),
        (IsADirectory("x"), errno.EISDIR),
        (ReadOnlyView("x"), errno.EROFS),
        (ReadOnlyFile("x"), errno.EACCES),
        (NoSpace("x"), errno.ENOSPC),
        (TooManyLinks("x"), errno.EMLINK),
        (InvalidName("x", finding="name-reserved"), errno.EINVAL),
        (InvalidName("x", finding="name-too-long"), errno.ENAMETOOLONG),
        (InvalidName("x", finding="name-encoding"), errno.EILSEQ),
        (Malformed("x", "y"), errno.EIO),
        (WinlayersError("x"), errno.EIO),
        (OSError(errno.EXDEV, "x"), errno.EXDEV),
        (OSError("no number"), errno.EIO),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "x"), errno.EILSEQ),
        (ZeroDivisionError(), errno.EIO),
    ],
)
def test_error_has_its_number(error: Exception, number: int) -> None:
    assert errno_of(error) == number


def test_every_kind_has_a_number_of_this_system() -> None:
    assert all(isinstance(getattr(errno, codes.errno), int) for codes in KINDS.values())
