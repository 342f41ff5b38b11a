"""Definition: a pipeline as it was meant, whichever of the many ways it was written in."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from piped.config.nodes import Node
from piped.ground.errors import Mark
from piped.ground.units import Located


class Kind(Enum):
    """What an element of a pipeline is, by the word that says so."""

    PROCESSOR = "__processor__"
    INLINE = "inline-pipeline"
    EXISTING = "existing"


@dataclass(frozen=True, slots=True, eq=False)
class Element:
    """One element of a pipeline: a processor, a pipeline to be copied in, or one more edge to an existing processor.

    Edges are positions in the `elements` of the Definition, so that a chain may be longer than Python's stack and
    a copy is made by adding a number.
    """

    kind: Kind
    #: Of the processor; of the pipeline to be copied, as it is written; the id of the existing processor.
    name: Located
    where: Mark
    #: The mapping of the processor's options; None when there are none.
    options: Node | None = None
    id: Located | None = None
    consumers: tuple[int, ...] = ()
    error_consumers: tuple[int, ...] = ()
    #: The position of the existing processor, once it was looked up.
    target: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Definition:
    """One pipeline: its elements, the edges between them and where a baton enters; or whom it inherits them from."""

    name: str
    where: Mark
    elements: tuple[Element, ...] = ()
    sources: tuple[int, ...] = ()
    #: What guards every source.
    error_consumers: tuple[int, ...] = ()
    #: The name of the parent, as it is written.
    inherits: Located | None = None
    #: Processors whose options replace those of the parent's, in the order in which they are met.
    overrides: tuple[Element, ...] = ()

    def processor_at(self, index: int) -> int | None:
        """The position of the processor that an edge to `index` leads to; None where an id was not found."""
        element = self.elements[index]
        return element.target if element.kind is Kind.EXISTING else index
