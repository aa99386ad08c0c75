"""What a process says of whom its server lets in. The command line says it too, where no web framework may be."""

from __future__ import annotations

from app.lifespan import Opened
from app.person import person


async def standing(opened: Opened) -> str:
    """Whom this server lets in, in one line."""
    reasons = []
    if await opened.tokens.asked_for():
        valid = sum(token.status == "valid" for token in await opened.tokens.list())
        reasons.append(f"a token ({valid} {'is' if valid == 1 else 'are'} valid)")
    if opened.issuer:
        reasons.append(f"a JWT of {opened.issuer.settings.url}")
    if reasons:
        return f"every request needs {' or '.join(reasons)}"
    return (
        f"open on this machine: whoever asks from it is {person()}, an admin, and needs no token; nobody else is "
        "let in. The first 'ballast token create NAME --role admin' ends that"
    )
