"""`piped draw`, and the command line of `piped trace`."""

import pytest

SITE = "pipelines:\n  hello: [passthrough, {wait: {delay: 1}}]\n  other: [passthrough]\n"


@pytest.fixture
def site(write):
    write({"site.yaml": SITE})


@pytest.mark.usefixtures("site")
def test_pipelines_are_drawn_as_text(piped):
    """All of them with an empty line in between, and a line end at the end."""
    drawn = piped("draw", "site.yaml").stdout
    hello, other = drawn.split("\n\n")
    assert hello.splitlines()[0] == "hello"
    assert "wait" in hello
    assert other.splitlines()[0] == "other"
    assert drawn.endswith("\n")
    assert not drawn.endswith("\n\n")


@pytest.mark.usefixtures("site")
def test_only_the_pipelines_that_are_named_are_drawn(piped):
    """By their names, in the order in which they are asked for."""
    drawn = piped("draw", "site.yaml", "other", "hello").stdout
    assert drawn.index("other") < drawn.index("hello")
    assert "hello" not in piped("draw", "site.yaml", "other").stdout


def test_a_pipeline_is_found_with_a_dash_for_its_underscore(piped, tmp_path):
    """As a `processor:` finds it."""
    (tmp_path / "dash.yaml").write_text("pipelines: {my_pipe: [passthrough]}\n")
    assert piped("draw", "dash.yaml", "my-pipe").stdout.startswith("my_pipe\n")


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize(("form", "begin"), [("dot", "digraph"), ("mermaid", "flowchart")])
def test_pipelines_are_drawn_for_other_programs(piped, form, begin):
    """For Graphviz, and for documents that draw mermaid."""
    drawn = piped("draw", "site.yaml", "--format", form).stdout
    assert drawn.startswith(begin)
    assert "hello" in drawn
    assert "other" in drawn


@pytest.mark.usefixtures("site")
def test_a_pipeline_that_does_not_exist_is_a_wrong_command_line(piped):
    """With the closest name."""
    done = piped("draw", "site.yaml", "helo")
    assert done.exit_code == 2
    assert "there is no pipeline 'helo' – did you mean 'hello'?" in done.stderr


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--baton", "{x"], "'--baton': this is no JSON: Expecting property name"),
        (["--baton", "-"], "'--baton': this is no JSON: Expecting value"),
        (["--wait", "soon"], "'--wait'"),
        (["--wait", "-1"], "'--wait'"),
    ],
)
def test_a_wrong_command_line_traces_nothing(piped, options, told):
    """What cannot be a baton or a time is told before anything is read."""
    done = piped("trace", "site.yaml", "hello", *options, input="nothing that is JSON")
    assert done.exit_code == 2
    assert told in done.stderr
