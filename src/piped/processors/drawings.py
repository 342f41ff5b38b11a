"""Steps that draw what runs here."""

from __future__ import annotations

from typing import Any, Literal

from piped import InputOutputProcessor, Path, Processor, RuntimeEnvironment
from piped.pipelines import trace_drawing
from piped.pipelines.drawing import dot, mermaid, text
from piped.pipelines.handovers import Handover
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


class DiagramTrace(InputOutputProcessor):
    """Draw the way of a baton that was traced, in the language of Graphviz.

    What `run-pipeline` puts at its `trace_path` is drawn as edges that are numbered in the order of the steps, with a
    frame around each pipeline. Their colour is the time spent in the step before them: green for little, red for
    much. An edge to an error consumer is dashed red, one where a failure climbs dashed pink; who failed is marked with
    ✗, a result is a diamond, and what was not used is dotted. The first 300 steps get numbers.

    Args:
        show_unused_processors: draw also the processors that the baton did not come to.

    Example:
        - set-value: {path: n, value: 5}
        - run-pipeline: {pipeline: .square, input_path: n, trace_path: trace}
        - diagram-trace: {}
    """

    name = "diagram-trace"

    def __init__(
        self,
        show_unused_processors: bool = True,
        input_path: Path = "trace",
        output_path: Path | None = "dot",
        **options: Any,
    ) -> None:
        super().__init__(input_path=input_path, output_path=output_path, **options)
        self._show_unused = show_unused_processors

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        self._graphs = runtime_environment.graphs

    def process_input(self, input: list[Handover], baton: Baton) -> str:
        return trace_drawing.dot(input, self._graphs, self._show_unused)
