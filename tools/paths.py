"""Paths in the workspace: nothing outside it can be reached."""

from __future__ import annotations

import codecs
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from graph.errors import ToolFailed, Unreadable
from tools.text import decoded

MAX_BYTES = 1_000_000
"""Longest text file that is read, in bytes."""


PDF = b"%PDF-"
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_NO_TEXT = bytes(code for code in range(32) if chr(code) not in "\b\t\n\v\f\r\x1a\x1b")
"""Control characters that no text in a charset of one byte a letter has; 1a ends old files, 1b colours logs."""


def inside(workspace: Path, path: str) -> Path:
    """The file `path` names, links followed.

    Raises:
        ToolFailed: it lies outside the workspace, or is hidden (settings, secrets, a repository's hooks).
    """
    root = workspace.resolve()
    try:
        found = (root / path).resolve()
    except (OSError, ValueError, RuntimeError) as error:
        raise ToolFailed(f"{path!r} is no usable path: {error}") from None
    if not found.is_relative_to(root):
        raise ToolFailed(f"{path!r} lies outside the workspace: name a file in it, relative to its root")
    if any(part.startswith(".") for part in found.relative_to(root).parts):
        raise ToolFailed(f"{path!r} is hidden: hidden files are not part of the workspace")
    return found


@contextmanager
def folder(root: Path, wanted: Path, *, create: bool = False) -> Iterator[int]:
    """Descriptor of a folder of `root`; both are resolved paths.

    No link is followed on the way, so one that was swapped in after `inside` leads nowhere.
    """
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
    descriptor = os.open(root, flags)
    try:
        for part in wanted.relative_to(root).parts:
            if create:
                with suppress(FileExistsError):
                    os.mkdir(part, dir_fd=descriptor)
            inner = os.open(part, flags, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


def read_bytes(workspace: Path, path: str, limit: int, *, most: int | None = None) -> bytes:
    """A regular file of at most `limit` bytes; with `most`, no more than its beginning.

    Raises:
        Unreadable: it is too long.
        ToolFailed: it is missing, outside, or no regular file.
    """
    root, found = workspace.resolve(), inside(workspace, path)
    if found == root:
        raise ToolFailed(f"{path!r} is a folder: list_files shows what can be read")
    try:
        with folder(root, found.parent) as beside:
            # Opened once and asked afterwards; a pipe does not block.
            descriptor = os.open(found.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=beside)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise ToolFailed(f"{path!r} is no regular file: list_files shows what can be read")
            if status.st_size > limit:
                raise Unreadable(f"{path!r} has {status.st_size:,} bytes, more than the {limit:,} that can be read")
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                return file.read(limit if most is None else most)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise ToolFailed(f"can't open {path!r}: {error.strerror}") from None


def write_bytes(workspace: Path, path: str, data: bytes) -> None:
    """Make or replace a regular file, all or nothing; missing folders are made.

    Raises:
        ToolFailed: it lies outside, is no regular file, or can't be written.
    """
    root, target = workspace.resolve(), inside(workspace, path)
    try:
        if target == root or target.is_dir():
            raise ToolFailed(f"{path!r} is a folder")
        with folder(root, target.parent, create=True) as beside:
            _replace(beside, target.name, data)
    except OSError as error:
        raise ToolFailed(f"can't write {path!r}: {error.strerror}") from None


def _replace(beside: int, name: str, data: bytes) -> None:
    """Written beside the file, then renamed over it; the file's permissions stay."""
    mode = None
    with suppress(FileNotFoundError):
        mode = os.stat(name, dir_fd=beside, follow_symlinks=False).st_mode
        if not stat.S_ISREG(mode):
            raise ToolFailed(f"{name!r} is no regular file")
    new = f".ballast-{uuid4().hex}"
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666, dir_fd=beside)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            if mode is not None:
                os.fchmod(descriptor, mode & 0o777)
            os.fsync(descriptor)
        os.replace(new, name, src_dir_fd=beside, dst_dir_fd=beside)
    except BaseException:
        os.unlink(new, dir_fd=beside)
        raise


def read_text(workspace: Path, path: str) -> str:
    """A text file of at most MAX_BYTES, whatever its name says it is.

    Raises:
        Unreadable: it is too long, or is not text.
        ToolFailed: it can't be read.
    """
    data = read_bytes(workspace, path, MAX_BYTES)
    if data.startswith(PDF):
        raise Unreadable(f"{path!r} is a PDF, not text")
    text = decoded(data, "utf-16") if data.startswith(_UTF_16) else _decoded(data)
    if text is None or "\0" in text:
        raise Unreadable(f"{path!r} is a binary file, not text")
    return text


def _decoded(data: bytes) -> str | None:
    """The text, by UTF-8 or else by latin-1; None when it is none."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1") if len(data.translate(None, _NO_TEXT)) == len(data) else None


def files(workspace: Path) -> list[str]:
    """Paths of all regular files, relative to the workspace, sorted; hidden ones and links left out."""
    root = workspace.resolve()
    if not root.is_dir():
        raise ToolFailed(f"the workspace {workspace} is no folder: set it with --workspace or BALLAST_WORKSPACE")
    found = []
    for where, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(where) / name
            with suppress(OSError):  # gone meanwhile, or in a folder that can't be searched
                if not name.startswith(".") and stat.S_ISREG(path.lstat().st_mode):
                    found.append(path.relative_to(root).as_posix())
    return sorted(found)
