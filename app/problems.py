"""Which HTTP status an error is that the caller, or a moment's patience, can mend."""

from __future__ import annotations

import psycopg
from psycopg_pool import PoolTimeout

from graph import errors

STATUS: dict[type[Exception], int] = {
    errors.BadSetting: 400,
    errors.Unauthorized: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.UsageError: 409,  # decided already, unclear, or a thread that is busy, waits, or is of another version
    errors.InvalidDecision: 422,
    errors.SignInUnavailable: 503,
    errors.DatabaseUnavailable: 503,
    psycopg.OperationalError: 503,
    PoolTimeout: 503,
}


def status_of(error: Exception) -> int:
    """The status of the nearest class in its tree; 500 for anything else."""
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)
