"""Addresses that mean this machine, and the origins browsers send."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address
from urllib.parse import urlsplit


def is_loopback(host: str) -> bool:
    """Whether a host name or address (without port) can only mean this machine.

    `localhost` is taken at its word: browsers and systems resolve it to the loopback address without asking anybody.
    """
    if host.lower() == "localhost":
        return True
    try:
        address = ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return address.is_loopback


def parse_origins(text: str) -> tuple[str, ...]:
    """Read `https://a.example,http://b.example:3000` as browsers write them.

    Raises:
        ValueError: a part that is no origin. `*` is none: then any page could ask.
    """
    origins = []
    for part in filter(None, (part.strip().rstrip("/").lower() for part in text.split(","))):
        parts = urlsplit(part)
        if parts.scheme not in {"http", "https"} or not parts.hostname or part != f"{parts.scheme}://{parts.netloc}":
            raise ValueError(f"origins such as https://chat.example.com, separated by commas, not {part!r:.200}")
        origins.append(part)
    return tuple(origins)
