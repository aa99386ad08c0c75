"""Paths in the workspace: nothing outside it can be reached."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from graph.errors import ToolFailed

MAX_BYTES = 1_000_000
"""Longest file that is read, in bytes."""


def inside(workspace: Path, path: str) -> Path:
    """The file `path` names, links followed.

    Raises:
        ToolFailed: it lies outside the workspace.
    """
    root = workspace.resolve()
    try:
        found = (root / path).resolve()
    except (OSError, ValueError, RuntimeError) as error:
        raise ToolFailed(f"{path!r} is no usable path: {error}") from None
    if not found.is_relative_to(root):
        raise ToolFailed(f"{path!r} lies outside the workspace: name a file in it, relative to its root")
    return found


def read_text(workspace: Path, path: str) -> str:
    """A text file of at most MAX_BYTES.

    Raises:
        ToolFailed: it is missing, outside, too long, no regular file, or not text.
    """
    found = inside(workspace, path)
    try:
        # Opened once and asked afterwards: a link swapped in later is not followed, a pipe does not block.
        descriptor = os.open(found, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise ToolFailed(f"can't open {path!r}: {error.strerror}") from None
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise ToolFailed(f"{path!r} is no regular file: list_files shows what can be read")
        if status.st_size > MAX_BYTES:
            raise ToolFailed(
                f"{path!r} has {status.st_size:,} bytes, more than the {MAX_BYTES:,} that can be read: "
                "search it instead"
            )
        data = file.read(MAX_BYTES + 1)
    if b"\0" in data:
        raise ToolFailed(f"{path!r} is a binary file, not text")
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


def files(workspace: Path) -> list[str]:
    """Paths of all regular files, relative to the workspace, sorted; hidden ones and links left out."""
    root = workspace.resolve()
    if not root.is_dir():
        raise ToolFailed(f"the workspace {workspace} is no folder: set it with --workspace or BALLAST_WORKSPACE")
    found = []
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in names:
            path = Path(folder) / name
            if not name.startswith(".") and not path.is_symlink() and path.is_file():
                found.append(path.relative_to(root).as_posix())
    return sorted(found)
