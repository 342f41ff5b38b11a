"""The steps for handlers of the web server Mongrel2."""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from typing import Any

from piped import Path, Processor, get_path
from piped.pipelines.processor import Baton
from piped_zmq.mongrel import MongrelError, messages_of, parse_request
from piped_zmq.options import QueueName
from piped_zmq.processors import SendingProcessor


class ParseMongrelRequest(Processor):
    """Make of a message from Mongrel2, which is the baton, the request that it tells of, and a response to fill in.

    `http_request` has `sender`, `conn_id`, `path`, `headers`, `body` (bytes), `data` (what the body of a request with
    the method JSON says) and `query_string` (a mapping: a text for each argument, a list where there are several);
    `http_response` has `uuid`, `idents`, `headers` and `body`, and may have `code` and `status`.

    A message that only tells that a client has left ends here.

    Example:
        - set-value: {path: "", value: 'server 7 /users 16:{"METHOD":"GET"},0:,'}
        - encode-string: {encoding: utf-8}
        - parse-msg-as-mongrel-request
    """

    name = "parse-msg-as-mongrel-request"

    def process(self, baton: Baton) -> Any:
        if isinstance(baton, str):
            baton = baton.encode()
        if not isinstance(baton, bytes):
            raise MongrelError(f"the baton is no message of Mongrel2, but {reprlib.repr(baton)}")
        request = parse_request(baton)
        if request.is_disconnect:
            return None
        told = {
            "sender": request.sender,
            "conn_id": request.conn_id,
            "path": request.path,
            "headers": request.headers,
            "body": request.body,
            "data": request.data,
            "query_string": request.query,
        }
        response = {"uuid": request.sender, "idents": [request.conn_id], "headers": {}, "body": ""}
        return {"http_request": told, "http_response": response}

    def get_consumers(self, baton: Baton) -> Sequence[Processor]:
        return [] if baton is None else self.consumers


class ParseAsMongrelRequest(ParseMongrelRequest):
    """The same as `parse-msg-as-mongrel-request`, under the name that the documents of Piped 0.7 use.

    Example:
        - set-value: {path: "", value: 'server 7 /users 16:{"METHOD":"GET"},0:,'}
        - parse-as-mongrel-request
    """

    name = "parse-as-mongrel-request"


class SendMongrelReply(SendingProcessor):
    """Send a response to Mongrel2, for the connections that it names.

    Its `body` is bytes or text; `code` (200), `status` (OK) and `headers` say more. The length is added.

    Args:
        queue_name: the name of the socket in `zmq.queues`, a PUB that Mongrel2 knows as its recv_spec.
        response_path: where the response lies in the baton.
        close: close the connections behind it.

    Example:
        - set-value: {path: http_response, value: {uuid: server, idents: ["7"], body: hello}}
        - send-mongrel-reply: {queue_name: replies}
    """

    name = "send-mongrel-reply"

    def __init__(self, queue_name: QueueName, response_path: Path = "http_response", close: bool = True) -> None:
        super().__init__(queue_name)
        self._response_path, self._close = response_path, close

    async def process(self, baton: Baton) -> Baton:
        response = get_path(baton, self._response_path, None)
        if response is None:
            raise MongrelError(f"there is no response at {self._response_path!r}")
        for message in messages_of(response, closes=self._close):
            sent = self.channel.send([message])
            if sent is not None:
                await sent
        return baton
