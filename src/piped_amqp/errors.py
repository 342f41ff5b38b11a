"""What can be wrong with messages that are published, and with calls over queues."""

from __future__ import annotations

from piped import PipedError


class PublishError(PipedError):
    """A message was not published, or nobody knows whether it was."""


class UnroutableError(PublishError):
    """No queue wanted a message: the broker gave it back."""


class UnconfirmedError(PublishError):
    """The broker was lost before it confirmed a message, which may have arrived or not."""


class NoReplyError(PipedError):
    """A call was given up before its reply came: the connection was lost, say; what was asked for may be done."""


class RemoteError(PipedError):
    """What a pipeline failed with in another process.

    Args:
        msg: the text of the failure.
        remote_type: the full name of its class, there.
        remote_traceback: where it happened, if that process tells.
    """

    def __init__(self, msg: str = "", remote_type: str = "", remote_traceback: str = "") -> None:
        super().__init__(f"{remote_type}: {msg}" if remote_type else msg)
        self.remote_type, self.remote_traceback = remote_type, remote_traceback
