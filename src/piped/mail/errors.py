"""What goes wrong while a mail is delivered, in Twisted's classes."""

# twisted.mail.smtp has them too, but imports the reactor, which has to be chosen before.
from twisted.mail._except import AUTHDeclinedError as AUTHDeclinedError
from twisted.mail._except import AUTHRequiredError as AUTHRequiredError
from twisted.mail._except import SMTPClientError as SMTPClientError
from twisted.mail._except import SMTPConnectError as SMTPConnectError
from twisted.mail._except import SMTPDeliveryError as SMTPDeliveryError
from twisted.mail._except import SMTPProtocolError as SMTPProtocolError
from twisted.mail._except import SMTPTimeoutError as SMTPTimeoutError
from twisted.mail._except import SMTPTLSError as SMTPTLSError
from twisted.mail._except import TLSRequiredError as TLSRequiredError
