"""What a request brings, within a size: forms and JSON."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl

from starlette.exceptions import HTTPException
from starlette.requests import Request

LONGEST = 512 * 1024
"""Bytes of a body that is taken."""

DRAINED = 16 * LONGEST
"""Bytes of a longer one that are read all the same: a browser that is cut off while it sends shows no answer."""

MOST_FIELDS = 200


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a form.

    Raises:
        HTTPException: 400 when it is no form, 413 when it is too long.
    """
    _check_type(request, "application/x-www-form-urlencoded")
    body = await _body(request)
    try:
        fields = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=MOST_FIELDS,
        )
    except ValueError:
        raise HTTPException(400, "this is no form that can be read") from None
    form = dict(fields)
    if len(form) != len(fields):
        raise HTTPException(400, "a field of the form is there twice")
    return form


async def json_of(request: Request) -> dict[str, Any]:
    """A JSON object.

    Raises:
        HTTPException: 400 when it is none, 413 when it is too long, 415 when it does not say that it is JSON.
    """
    _check_type(request, "application/json")
    body = await _body(request)
    try:
        value = json.loads(body, parse_constant=_no_number)
        json.dumps(value, ensure_ascii=False).encode()  # half of a character is no text
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, f"the body is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise HTTPException(400, 'the body must be a JSON object such as {"type": "approve"}')
    return value


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


def _check_type(request: Request, wanted: str) -> None:
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given != wanted:
        raise HTTPException(415, f"send {wanted}, not {given[:100] or 'nothing that says what it is'}")


async def _body(request: Request) -> bytes:
    taken, size = bytearray(), 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= LONGEST:
            taken += chunk
        elif size > DRAINED:
            break
    if size > LONGEST:
        raise HTTPException(413, f"too long: at most {LONGEST // 1024} KB can be sent; nothing was decided")
    return bytes(taken)
