"""Steps that draw what runs here."""

from __future__ import annotations

from typing import Literal

from piped import Path, Processor, RuntimeEnvironment
from piped.pipelines.drawing import dot, mermaid, text
from piped.pipelines.processor import Baton


class _Drawing(Processor):
    def __init__(self, output_path: Path = "dot") -> None:
        super().__init__()
        self._output_path = output_path

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        self._environment = runtime_environment

    def process(self, baton: Baton) -> Baton:
        return self.get_resulting_baton(baton, self._output_path, self.draw())

    def draw(self) -> str:
        raise NotImplementedError


class DiagramPipelines(_Drawing):
    """Draw all pipelines, as a text: in the language of Graphviz unless told otherwise.

    Args:
        output_path: where to put the text; '' makes it the baton.
        format: dot is for Graphviz, mermaid for documents, text for people.

    Example:
        - diagram-pipelines: {output_path: dot}
    """

    name = "diagram-pipelines"

    def __init__(self, output_path: Path = "dot", format: Literal["dot", "mermaid", "text"] = "dot") -> None:
        super().__init__(output_path)
        self._format = format

    def draw(self) -> str:
        graphs = self._environment.graphs.values()
        if self._format == "text":
            return "\n".join(map(text, graphs))
        return dot(graphs) if self._format == "dot" else mermaid(graphs)


class DiagramDependencies(_Drawing):
    """Draw who needs whom, and who is ready, in the language of Graphviz.

    Args:
        output_path: where to put the text; '' makes it the baton.

    Example:
        - diagram-dependencies: {output_path: dot}
    """

    name = "diagram-dependencies"

    def draw(self) -> str:
        return self._environment.dependency_manager.get_dot()
