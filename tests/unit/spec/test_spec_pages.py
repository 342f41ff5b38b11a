"""What there is to know about a processor or a section is a page that reads well on a terminal."""

from dataclasses import dataclass, field
from typing import Any

from piped.ground.batons import BatonPath
from piped.ground.units import OrPath, Seconds
from piped.spec.pages import list_line, processor_page, section_page
from piped.spec.shapes import Arguments
from piped.spec.spec import Spec


class Followed(str):
    """A text that says what is done."""


@dataclass
class Node:
    """One place.

    Args:
        children: what is below.
    """

    children: dict[str, "Node"] = field(default_factory=dict)
    pace: Seconds = 1


class Client:
    def __init__(self, name: str, nodes: list[Node] | None = None, **options: Any) -> None: ...


PATH = BatonPath("n")


async def wait(
    baton,
    *,
    delay: OrPath[Seconds],
    to: str = Followed("the input path"),
    note: str = "a|b",
    by: OrPath[str] = PATH,
):
    """Hold the baton for a while.

    Then pass it on.

    Args:
        delay: how long to hold it.

    Source: RFC 1.

    Example:
        - wait:
            delay: 0.5
    """


WAIT = """\
# wait

Hold the baton for a while.

Then pass it on.

| option  | must be                               | default        | meaning |
| ------- | ------------------------------------- | -------------- | ------- |
| `delay` | a number of at least 0 (s) or a !path | required       | how long to hold it. |
| `to`    | text                                  | the input path |  |
| `note`  | text                                  | 'a\\|b'         |  |
| `by`    | text or a !path                       | !path n        |  |

Source: RFC 1.

Example:

    - wait:
        delay: 0.5
"""


def test_the_page_of_a_processor():
    """Summary, description, a table of the options with unit and default, source and example."""
    assert processor_page("wait", Spec.of(wait)) == WAIT


def test_the_line_of_a_processor():
    """A list of what exists has one line for each."""
    assert list_line("wait", Spec.of(wait), width=8) == "wait     Hold the baton for a while."


def test_the_page_of_a_section_shows_what_is_written_inside():
    """Mappings inside get tables of their own, under the path at which they are written; one in itself gets one."""

    class Provider:
        """Clients."""

    page = section_page("pb.clients", Spec.of(Provider), dict[str, Arguments[Client]])
    headings = [line for line in page.split("\n") if line.startswith("#")]
    assert headings == ["# pb.clients", "## pb.clients.<name>", "## pb.clients.<name>.nodes[]"]
    assert "`name`" not in page
    assert "Takes any further option." in page
    assert "| `pace`     | a number of at least 0 (s) | 1       |  |" in page
    assert "One place." in page


def test_the_page_of_a_plain_section_says_what_it_must_be():
    """A section without options is still explained."""
    assert "`drain` must be a number of at least 0 (s)." in section_page("drain", Spec.of(Node), Seconds)


def test_a_processor_without_options_says_so():
    """Nobody wonders whether the page is incomplete."""
    assert "No options." in processor_page("passthrough", Spec.of(lambda baton: None))


class Tree:
    """Trees of options."""

    __shape__: Any

    @classmethod
    def __check__(cls, checker: Any, node: Any) -> "Tree": ...


@dataclass
class Leaf:
    """One leaf.

    Args:
        colour: what it looks like.
    """

    colour: str


Tree.__shape__ = {"__config__": Leaf, ...: Tree}


def test_the_page_shows_the_keys_of_what_checks_itself():
    """A class that checks itself has its keys on the page, once however deep they may stand."""
    page = section_page("tree", Spec.of(Leaf), Tree)
    assert page.count("`colour`") == 1
    assert "## tree.__config__" in page


class Plant:
    """The name of a leaf, or one as a mapping."""

    __shape__ = str | Leaf

    @classmethod
    def __check__(cls, checker: Any, node: Any) -> "Plant": ...


def test_the_page_shows_the_options_of_what_may_be_a_mapping():
    """Also what may be written as a name or as a mapping has the options of the mapping on the page."""
    assert "## plant\n\n| option" in section_page("plant", Spec.of(Leaf), Plant)


def test_on_a_terminal_no_line_is_wider_than_it():
    """A table would be broken up there: each option has lines of its own, with the same words."""
    for page in (
        processor_page("wait", Spec.of(wait), columns=40),
        section_page("clients", Spec.of(Client), dict[str, Arguments[Client]], columns=40),
    ):
        listed = [line for line in page.splitlines() if ": " in line or line.startswith("  ")]
        assert listed
        assert max(map(len, listed)) <= 40
        assert "| option" not in page
    assert "children: " in page
    assert "    what is below." in page
