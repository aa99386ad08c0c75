"""Who sits at this machine."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable


def person(name: Callable[[], str] = getpass.getuser) -> str:
    """Who decides here. In a container the user id may have no name."""
    try:
        return name()
    except (KeyError, OSError):
        return f"uid:{os.getuid()}"
