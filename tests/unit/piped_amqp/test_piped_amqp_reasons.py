"""Tests of `piped_amqp.reasons`: why there is no connection, in a user's words."""

import pytest
from OpenSSL import SSL
from twisted.internet.error import ConnectError, DNSLookupError

from piped_amqp.parameters import Parameters
from piped_amqp.reasons import in_words


def of_tls(reason):
    return SSL.Error([("SSL routines", "", reason)])


@pytest.mark.parametrize(
    ("wrong", "told", "fix"),
    [
        (ConnectError(2, "No such file or directory"), "no such file or directory", ""),
        (DNSLookupError("rabbit"), "there is no such host", ""),
        (of_tls("wrong version number"), "TLS has failed: wrong version number", "write tcp: instead of tls:"),
        (of_tls("certificate verify failed"), "TLS has failed: certificate verify failed", ""),
    ],
)
def test_why_there_is_no_connection_is_told_in_plain_words(wrong, told, fix):
    """What the layers below raise is told without their wrapping, and with what to do where that is known."""
    what, do = in_words(wrong, Parameters())
    assert what == told
    assert fix in do
    assert bool(fix) is bool(do)
