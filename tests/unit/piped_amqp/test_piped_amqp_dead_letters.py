"""What a dead letter tells of itself."""

from types import SimpleNamespace

from pika import BasicProperties
from pika.spec import Basic
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from piped_amqp.consumer_options import DeadLetter
from piped_amqp.dead_letters import DeadLetters, Reason, dead, headers_of

METHOD = Basic.Deliver("consumer", 1, False, "events", "order.new")


def raised(text="no such order", notes=("in pipeline inner, step check-1 (site.yml:3:7)", "in pipeline work, step x")):
    try:
        raise ValueError(text)
    except ValueError as error:
        error.__notes__ = list(notes)
        return error


def reason(error=None, why="failed"):
    return Reason(error or raised(), why, "jobs", 4, 1000.0)


def test_the_headers_tell_what_happened_where():
    """Headers name the failure, the step where it began, where the message came from, and how often it was tried."""
    headers = headers_of(METHOD, BasicProperties(), reason())
    traceback = headers.pop("x-piped-traceback")
    assert "ValueError: no such order" in traceback
    assert "test_piped_amqp_dead_letters.py" in traceback
    assert headers == {
        "x-piped-reason": "failed",
        "x-piped-exception": "builtins.ValueError",
        "x-piped-message": "no such order",
        "x-piped-pipeline": "inner",
        "x-piped-step": "check-1 (site.yml:3:7)",
        "x-piped-exchange": "events",
        "x-piped-routing-key": "order.new",
        "x-piped-queue": "jobs",
        "x-piped-deliveries": 4,
        "x-piped-time": "1970-01-01T00:16:40.000+00:00",
    }


def test_a_failure_outside_of_steps_has_no_step():
    """A failure that no step has signed tells of none."""
    headers = headers_of(METHOD, BasicProperties(), reason(raised(notes=["about something else"])))
    assert "x-piped-step" not in headers
    assert "x-piped-pipeline" not in headers


def test_long_texts_are_cut_in_the_middle():
    """A message of a failure may be as long as it likes: its begin and its end are told."""
    message = headers_of(METHOD, BasicProperties(), reason(raised("a" * 5000 + "b" * 5000)))["x-piped-message"]
    assert len(message) < 1100
    assert message.startswith("aaa")
    assert message.endswith("bbb")


def test_the_message_keeps_its_properties():
    """A dead letter has the properties and the headers of the message, which itself is left as it was."""
    properties = BasicProperties(message_id="7", content_type="text/plain", delivery_mode=2, headers={"mine": 1})
    letter = dead(METHOD, properties, reason(), 131072)
    assert (letter.message_id, letter.content_type, letter.delivery_mode) == ("7", "text/plain", 2)
    assert letter.headers["mine"] == 1
    assert properties.headers == {"mine": 1}


def test_what_would_send_or_drop_it_elsewhere_is_left_out():
    """A dead letter does not expire, goes to nobody else, counts from 0, and says who was the sender in a header."""
    headers = {"CC": ["others"], "x-delivery-count": 3}
    properties = BasicProperties(expiration="1000", user_id="ada", headers=headers)
    letter = dead(METHOD, properties, reason(), 131072)
    assert letter.expiration is letter.user_id is None
    assert not {"CC", "x-delivery-count"} & set(letter.headers)
    assert (letter.headers["x-piped-expiration"], letter.headers["x-piped-user-id"]) == ("1000", "ada")


def test_the_traceback_goes_where_there_is_no_room():
    """Headers that would not fit into a frame, which would end the connection, are left out: the traceback first."""
    properties = BasicProperties(headers={"mine": "x" * 2500})
    letter = dead(METHOD, properties, reason(raised("y" * 500)), 4096)
    assert "x-piped-traceback" not in letter.headers
    assert letter.headers["x-piped-message"]
    fuller = BasicProperties(headers={"mine": "x" * 3900})
    assert dead(METHOD, fuller, reason(), 4096).headers == {"mine": "x" * 3900}


class Protocol:
    """A connection that notes what is published."""

    parameters = SimpleNamespace(frame_max=131072)

    def __init__(self):
        self.published = []

    def publish(self, exchange, routing_key, body, properties, mandatory):
        self.published.append((exchange, routing_key, body, mandatory))
        return Deferred()


def test_it_goes_where_the_options_say():
    """A dead letter is published as mandatory, with the message's routing key where none is written."""
    protocol, clock = Protocol(), Clock()
    for options in (DeadLetter(exchange="dead"), DeadLetter(routing_key="failed")):
        DeadLetters(options, protocol, clock).send(METHOD, BasicProperties(), b"job", reason())
    assert protocol.published == [("dead", "order.new", b"job", True), ("", "failed", b"job", True)]


def test_a_broker_that_does_not_confirm_is_not_waited_for_for_ever():
    """A dead letter that is not confirmed in time has not been sent, as far as anybody knows."""
    clock, failures = Clock(), []
    DeadLetters(DeadLetter(exchange="dead"), Protocol(), clock).send(
        METHOD, BasicProperties(), b"job", reason()
    ).addErrback(failures.append)
    clock.advance(9)
    assert not failures
    clock.advance(2)
    assert failures
