"""Which methods a path takes: the others are answered with 405, and OPTIONS with what there is."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from twisted.web import http

from piped.web import replies
from piped.web.request import Request

#: Answers a request, or says that it has nothing at that postpath.
Answer = Callable[[Request], bool]


class ForMethods:
    """Answers each method in its own way; HEAD as GET, unless it has one of its own.

    Args:
        answers: by the names of the methods.
        otherwise: answers all others, where there is one.
    """

    def __init__(self, answers: Mapping[str, Answer], otherwise: Answer | None = None) -> None:
        self.otherwise = otherwise
        self.answers = {method.encode(): answer for method, answer in answers.items()}
        if b"GET" in self.answers:
            self.answers.setdefault(b"HEAD", self.answers[b"GET"])

    def __call__(self, request: Request) -> bool:
        answer = self.answers.get(request.method, self.otherwise)
        if answer is not None:
            return answer(request)
        refuse(request, *(method.decode() for method in self.answers))
        return True


def refuse(request: Request, *allowed: str) -> None:
    """Answer a method that is not allowed: with 405, or, where it is OPTIONS, with nothing but the methods."""
    names = list(dict.fromkeys([*allowed, "OPTIONS"]))
    if request.method != b"OPTIONS":
        replies.method_not_allowed(request, *names)
        return
    request.setResponseCode(http.NO_CONTENT)
    request.setHeader(b"Allow", ", ".join(names))
    request.answer(b"")
