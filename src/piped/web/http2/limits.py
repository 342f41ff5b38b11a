"""What a client may do over HTTP/2, and how often: the limits that HTTP/1.1 has no need for."""

from __future__ import annotations

from enum import IntEnum
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from piped.web.options import SiteOptions

#: How many requests of one client are answered at once. Clients count on no less until they are told.
MOST_STREAMS: Final = 100
#: How many bytes of one body a client may send before it hears that they have come.
_STREAM_WINDOW: Final = 256 * 1024
#: Bytes for each header that count beside its name and value. Source: RFC 9113, 6.5.2.
_FIELD: Final = 32
#: Bytes in which the headers are remembered that are sent again and again, whatever a client would allow.
TABLE: Final = 4096
#: How many requests a client may take back at once, and in each second (CVE-2023-44487).
TAKEN_BACK: Final = 200, 20
#: How many frames that serve for nothing it may send at once, and in each second; one more for each that serves.
USELESS: Final = 1000, 100


class Code(IntEnum):
    """Why a request or a connection is ended. Source: RFC 9113, 7."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    REFUSED_STREAM = 7
    CANCEL = 8
    ENHANCE_YOUR_CALM = 11


class Goodbye(NamedTuple):
    """What a client says that begins no further request."""

    error_code: int


class Malformed(NamedTuple):
    """What is known of a request whose body is not as long as was announced; it was reset."""

    stream_id: int
    error_code: int


class Allowance:
    """How often something may be done: so often at once, and so often in each second.

    Example:
        >>> allowance = Allowance(2, 1, now=0)
        >>> [allowance.spend(now) for now in (0, 0, 0, 1, 1)]
        [True, True, False, True, False]
    """

    __slots__ = ("_each_second", "_left", "_most", "_since")

    def __init__(self, most: float, each_second: float, now: float) -> None:
        self._most = self._left = most
        self._each_second, self._since = each_second, now

    def spend(self, now: float) -> bool:
        """Whether it may be done once more, now."""
        # The clock of a reactor may be set back.
        self._left = min(self._most, self._left + max(0.0, now - self._since) * self._each_second)
        self._since = now
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def earn(self) -> None:
        """Allow it once more."""
        self._left = min(self._most, self._left + 1)


@cache
def _rules() -> type[Any]:
    # Modules of this room are imported whether they are needed or not, and h2 comes with an extra.
    from h2.connection import H2Connection
    from h2.exceptions import InvalidBodyLengthError, ProtocolError

    class Rules(H2Connection):
        """What h2 makes of frames, with a shorter memory of streams that are closed, and more patience.

        The two methods with an underscore are none that h2 has made public, and there are no others for it.
        """

        MAX_CLOSED_STREAMS = 1024

        def understand(self, data: bytes) -> list[Any] | None:
            """What the client has done; None where that breaks the rules, and what it is told is to be sent."""
            try:
                return self.receive_data(data)
            except ProtocolError:
                return None

        def _receive_data_frame(self, frame: Any) -> tuple[list[Any], list[Any]]:
            """To h2 a body of the wrong length is the end of the connection, and not of its stream alone.

            Source: RFC 9113, 8.1.1.
            """
            try:
                return super()._receive_data_frame(frame)
            except InvalidBodyLengthError:
                self.acknowledge_received_data(frame.flow_controlled_length, frame.stream_id)
                self.reset_stream(frame.stream_id, Code.PROTOCOL_ERROR)
                return [], [Malformed(frame.stream_id, Code.PROTOCOL_ERROR)]

        def _receive_goaway_frame(self, frame: Any) -> tuple[list[Any], list[Any]]:
            """To h2 a client that begins no further request wants nothing more, not even what it waits for.

            Source: RFC 9113, 6.8.
            """
            return [], [Goodbye(frame.error_code)]

    return Rules


def rules_for(options: SiteOptions) -> Any:
    """The server's side of a connection that has not begun: an h2.connection.H2Connection that may `understand`."""
    from h2.config import H2Configuration  # late, as above
    from h2.settings import SettingCodes, Settings

    # What is sent was checked when it was set, and h2 takes the headers of HTTP/1.1 away while it puts names in small
    # letters.
    rules = _rules()(H2Configuration(client_side=False, header_encoding=None, validate_outbound_headers=False))
    most = options.max_header_size + _FIELD * options.max_headers
    announced = {
        SettingCodes.MAX_CONCURRENT_STREAMS: MOST_STREAMS,
        SettingCodes.MAX_HEADER_LIST_SIZE: most,
        SettingCodes.INITIAL_WINDOW_SIZE: _STREAM_WINDOW,
    }
    rules.local_settings = Settings(client=False, initial_values=announced)
    # What is somewhat longer is 431. What is much longer is not even unpacked: it is the end of the connection.
    rules.decoder.max_header_list_size = 4 * most
    return rules
