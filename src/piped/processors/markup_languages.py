"""Steps that read HTML and XML."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from piped import ConfigurationError, MappingProcessor, Path, Processor, get_path, load_name
from piped.pipelines.processor import Baton

#: The rest of a tag behind its name. It never gives back what it took, and what it takes outside of quotation marks
#: ends at the next tag: the time that a text needs grows with its length only, whatever a stranger has written.
_IN_TAG: Final = r"""(?:[^<>"']++|"[^"]*+"|'[^']*+')*+>"""
#: Comments, scripts and style sheets that nobody ends go on to the end of the text, as in a browser.
_MARKUP: Final = re.compile(
    rf"""<!--(?:-?>|.*?--!?>|.*)
    |<(script|style)(?=[\s/>]){_IN_TAG}(?:.*?</\1(?=[\s/>])[^>]*+>?|.*)
    |</?[a-z]{_IN_TAG}
    |</?[a-z][^<>]*+>  # with a quotation mark that is none
    |<[!?](?:[^>]*+>|.*)""",
    re.DOTALL | re.IGNORECASE | re.VERBOSE,
)


class RemoveMarkup(MappingProcessor):
    """Take the markup out of HTML and the blanks off its ends, so that its text is left.

    Scripts, style sheets and comments go with their content, up to the end of the text if nobody ends them. A tag that
    nobody ends is text, as any other `<`. References such as `&amp;` stay as they are written.
    This is no sanitizer: to show text of strangers in a page, escape it.

    Example:
        - set-value: {path: comment, value: "<p title='a > b'>Tom &amp; <b>Jerry</b></p>"}
        - remove-markup: {mapping: [comment: text]}
    """

    name = "remove-markup"

    def process_mapping(self, input: Any, input_path: Path, output_path: Path | None, baton: Baton) -> str:
        if not isinstance(input, str):
            raise TypeError(f"what lies at {input_path!r} is no text but {type(input).__name__}")
        return text_of(input)


def text_of(markup: str) -> str:
    """The text of HTML, without blanks at its ends.

    Example:
        >>> text_of("<p>1 < 2 <!-- <b> --><br/>&lt;3</p>")
        '1 < 2 &lt;3'
    """
    return _MARKUP.sub("", markup).strip()


class ProcessXPaths(Processor):
    """Collect what XPath expressions find in XML.

    What an expression finds is put at the end of the list at its output path, which is made if it is missing: elements
    of lxml, texts, or numbers. What is no XML is a ValueError, and so is a document that declares entities, which could
    make gigabytes of a few lines. Nothing else is read than the document itself.

    Needs lxml: pip install 'piped[xml]'.

    Args:
        xml_path: where the XML is: text or bytes.
        xpaths: where to collect, for each expression.
        namespaces: the namespaces that the expressions name, by their prefixes.

    Example:
        - set-value: {path: xml, value: "<users><user name='Ada'>admin</user><user name='Bo'/></users>"}
        - process-xpaths:
            xml_path: xml
            xpaths:
                //user/@name: names
                //user[@name='Ada']/text(): roles
    """

    name = "process-xpaths"

    def __init__(self, xml_path: Path, xpaths: dict[str, Path], namespaces: Mapping[str, str] | None = None) -> None:
        super().__init__()
        try:
            # Only now: every start of Piped imports this module, and few use lxml.
            self._etree = load_name("lxml.etree")
        except ImportError as error:
            raise ConfigurationError(f"lxml is not installed ({error})", hint="pip install 'piped[xml]'") from error
        self._xml_path = xml_path
        self._xpaths = [(self._compiled(xpath, namespaces), output_path) for xpath, output_path in xpaths.items()]
        for output_path in xpaths.values():
            if not output_path:
                raise ConfigurationError("what is found cannot replace the baton", hint="name a path for it")

    def process(self, baton: Baton) -> Baton:
        document = self._parsed(get_path(baton, self._xml_path))
        for xpath, output_path in self._xpaths:
            found = xpath(document)
            collected = get_path(baton, output_path, [])
            if not isinstance(collected, list):
                raise TypeError(f"what lies at {output_path!r} is no list but {type(collected).__name__}")
            collected.extend(found if isinstance(found, list) else [found])
            self.get_resulting_baton(baton, output_path, collected)
        return baton

    def _compiled(self, xpath: str, namespaces: Mapping[str, str] | None) -> Any:
        try:
            compiled = self._etree.XPath(xpath, namespaces=namespaces, smart_strings=False)
            compiled(self._etree.Element("any"))  # unknown functions and prefixes are only found out now
        except self._etree.XPathError as error:
            raise ConfigurationError(f"{xpath!r} cannot be used as XPath: {error}") from error
        return compiled

    def _parsed(self, xml: Any) -> Any:
        is_text = isinstance(xml, str)
        if not is_text and not isinstance(xml, bytes):
            raise ValueError(f"what lies at {self._xml_path!r} is no XML but {type(xml).__name__}")
        # A text has been decoded already, whatever encoding it declares.
        parser = self._etree.XMLParser(
            encoding="utf-8" if is_text else None,
            resolve_entities=False,
            load_dtd=False,
            no_network=True,
            huge_tree=False,
        )
        try:
            document = self._etree.fromstring(xml.encode() if is_text else xml, parser)
        except self._etree.XMLSyntaxError as error:
            raise ValueError(f"what lies at {self._xml_path!r} is no XML: {error.msg}") from None
        declarations = document.getroottree().docinfo.internalDTD
        # That they are left alone is not enough: in attributes, and for string(), they are filled in all the same.
        if declarations is not None and any(declarations.iterentities()):
            raise ValueError(f"the XML at {self._xml_path!r} declares entities")
        return document
