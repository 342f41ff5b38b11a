"""The step that writes JSON as the call of a JavaScript function (JSONP)."""

from __future__ import annotations

import re
from typing import Any, Final

from piped import BatonPath, ConfigurationError, OrPath
from piped.pipelines.processor import Baton
from piped.processors.markup import EncodeJSON
from piped.spec.shapes import written

CALLBACK_PATH: Final = BatonPath("callback")
#: Names with dots between them, in ASCII. Nothing else: the name comes from outside and is run as a program.
_FUNCTION: Final = re.compile(r"[a-z_$][\w$]*(?:\.[a-z_$][\w$]*)*", re.ASCII | re.IGNORECASE)
#: Longer names have been used to make whole files of another kind out of them.
_LONGEST: Final = 128
#: In JSON they are plain characters; to JavaScript before 2019 they ended the line in the middle of a text.
_LINE_ENDS: Final = str.maketrans({"\u2028": "\\u2028", "\u2029": "\\u2029"})


class EncodeJSONP(EncodeJSON):
    """Write JSON as the call of a function: `callback({"success": true})`, for pages of other sites.

    Send it with the content type application/javascript and the header `x-content-type-options: nosniff`.

    Args:
        callback: the name of the function: names of JavaScript with dots between them, at most 128 characters; of a
            list, the first. Left out: what lies at `callback` in the baton. Another name is a ValueError.
        fallback_to_json: if there is no callback, write plain JSON; if off, that is a ValueError.

    Example:
        - set-values: {mapping: {callback: shop.show, answer: {success: true}}}
        - encode-jsonp: {input_path: answer, output_path: content}
    """

    name = "encode-jsonp"

    def __init__(self, callback: OrPath[str] = CALLBACK_PATH, fallback_to_json: bool = True, **json: Any) -> None:
        super().__init__(**json)
        if not isinstance(callback, BatonPath):
            try:
                _function_called(callback)
            except ValueError as error:
                raise ConfigurationError(str(error), hint="write a name such as callback or shop.show") from error
        self._callback, self._fallback_to_json = callback, fallback_to_json

    def process_input(self, input: Any, baton: Baton) -> str:
        callback = self.get_input(baton, self._callback, None)
        if isinstance(callback, list | tuple):
            callback = callback[0] if callback else None
        if not callback and not self._fallback_to_json:
            raise ValueError(f"there is no name of a callback at {self._callback!r}")
        encoded = super().process_input(input, baton).translate(_LINE_ENDS)
        return f"{_function_called(callback)}({encoded})" if callback else encoded


def _function_called(name: Any) -> str:
    """The name, if it is one and nothing more.

    Raises:
        ValueError: it is not.
    """
    if isinstance(name, str) and len(name) <= _LONGEST and _FUNCTION.fullmatch(name):
        return name
    raise ValueError(f"the callback {written(name)} is no name of a JavaScript function")
