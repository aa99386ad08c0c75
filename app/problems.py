"""Which HTTP status an error of ours is."""

from __future__ import annotations

from graph import errors

STATUS: dict[type[errors.BallastError], int] = {
    errors.Unauthorized: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.AlreadyDecided: 409,
    errors.Unanswerable: 409,
    errors.ThreadBusy: 409,
    errors.ThreadWaiting: 409,
    errors.InvalidDecision: 422,
    errors.DatabaseUnavailable: 503,
    errors.UsageError: 400,
}


def status_of(error: errors.BallastError) -> int:
    """The status of the nearest class in the tree; 500 for what the caller can't mend."""
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)
