"""Who acts: the person behind a request, and what their role lets them do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Role = Literal["user", "approver", "admin"]
"""A user starts runs and sees their own; an approver also decides others' calls; an admin sees and decides all."""

ROLES: tuple[Role, ...] = ("user", "approver", "admin")
"""The roles, lowest first."""


@dataclass(frozen=True, kw_only=True)
class Person:
    """Someone who was identified."""

    name: str
    """The token's name, the JWT's subject, or on this machine without tokens the operating system's user."""
    role: Role
    local: bool = False
    """True when nothing but the loopback address vouches for them."""
