"""What can go wrong with another machine; all of it may be cured by asking again or elsewhere."""

from __future__ import annotations


class RemoteError(RuntimeError):
    """Another machine did not answer as asked; the message names the machine and never holds credentials.

    Parameters
    ----------
    message
        What happened, and where.
    retry_after
        Seconds after which the machine asks to be tried again, or None.
    """

    def __init__(self, message: str, retry_after: float | None = None):
        super().__init__(message)
        self.retry_after = retry_after


class RemoteTimeoutError(RemoteError, TimeoutError):
    """Another machine did not answer in time."""
