"""What a server of SMTP says: the codes with their texts."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]+")
#: RFC 5321, section 4.5.3.1.5, without the code.
_LONGEST: Final = 500


class Reply(NamedTuple):
    """One answer.

    Args:
        code: what a program reads.
        text: what a person reads, with the enhanced code of RFC 3463 before it.
        is_error: counts as a mistake of the client.
        hangs_up: nothing is said after it.
    """

    code: int
    text: str
    is_error: bool = True
    hangs_up: bool = False

    @property
    def line(self) -> bytes:
        # A text of a pipeline may quote a mail in which there were bytes of no encoding.
        return f"{self.code} {self.text}\r\n".encode(errors="replace")


def in_one_line(text: str) -> str:
    """A text that fits into an answer.

    Example:
        >>> in_one_line("no\\r\\n250 yes")
        'no 250 yes'
    """
    return _CONTROL.sub(" ", text).strip()[:_LONGEST]


def _good(code: int, text: str) -> Reply:
    return Reply(code, text, is_error=False)


OK: Final = _good(250, "2.0.0 fine")
DELIVERED: Final = _good(250, "2.0.0 the mail was taken")
SENDER_OK: Final = _good(250, "2.1.0 from there")
RECIPIENT_OK: Final = _good(250, "2.1.5 to there")
GO_AHEAD: Final = _good(354, "end with a line that is a dot")
LOGGED_IN: Final = _good(235, "2.7.0 welcome")
BEGIN_TLS: Final = _good(220, "2.0.0 begin")
VERIFIES_NOTHING: Final = _good(252, "2.5.2 send it, and see")
HELP: Final = _good(214, "2.0.0 see RFC 5321")
BYE: Final = Reply(221, "2.0.0 bye", is_error=False, hangs_up=True)

NOT_NOW: Final = _good(451, "4.3.0 not now, try again later")
FAILED: Final = _good(451, "4.3.0 the mail could not be processed, try again later")
TAKES_TOO_LONG: Final = _good(451, "4.3.0 the mail could not be processed in time, try again later")
LOCAL_ERROR: Final = _good(451, "4.3.0 something went wrong here, try again later")
NO_ROOM: Final = _good(452, "4.3.1 there is no room for the mail, try again later")
TOO_MANY_RECIPIENTS: Final = _good(452, "4.5.3 too many recipients, send them another mail")

SHUTTING_DOWN: Final = Reply(421, "4.3.2 shutting down, try again later", hangs_up=True)
IDLE: Final = Reply(421, "4.4.2 waited for too long", hangs_up=True)
TOO_MANY_CONNECTIONS: Final = Reply(421, "4.7.0 too many connections, try again later", hangs_up=True)
TOO_MANY_ERRORS: Final = Reply(421, "4.7.0 too many errors", hangs_up=True)
TOO_LONG_CONTENT: Final = Reply(421, "4.3.4 that never ends", hangs_up=True)

LINE_TOO_LONG: Final = Reply(500, "5.5.6 the line is too long")
BARE_IN_LINE: Final = Reply(500, "5.5.2 a line ends with CR LF, which must not stand alone")
UNKNOWN: Final = Reply(500, "5.5.1 what is that?")
BAD_SYNTAX: Final = Reply(501, "5.5.4 that is not written as it should be")
BAD_ADDRESS: Final = Reply(553, "5.1.3 this is no address")
BAD_PARAMETER: Final = Reply(555, "5.5.4 there is no such parameter")
CANCELLED: Final = Reply(501, "5.7.0 then not")
OUT_OF_ORDER: Final = Reply(503, "5.5.1 not at this point")
NO_SUCH_MECHANISM: Final = Reply(504, "5.5.4 there is no such mechanism")
NEEDS_TLS: Final = Reply(530, "5.7.0 encryption is required: begin with STARTTLS")
WRONG_CREDENTIALS: Final = Reply(535, "5.7.8 wrong name or password")
NEEDS_LOGIN: Final = Reply(550, "5.7.1 log in first")
BAD_SENDER: Final = Reply(550, "5.7.1 no mail is taken from this sender")
BAD_RECIPIENT: Final = Reply(550, "5.7.1 no mail is taken for this recipient")
TOO_BIG: Final = Reply(552, "5.3.4 the mail is too big")
BARE_IN_MAIL: Final = Reply(550, "5.6.0 a line of a mail ends with CR LF, which must not stand alone", hangs_up=True)
LINE_OF_MAIL_TOO_LONG: Final = Reply(554, "5.6.0 a line of the mail is too long")
NESTED_TOO_DEEPLY: Final = Reply(554, "5.6.0 the mail has too many parts, or parts within parts")
