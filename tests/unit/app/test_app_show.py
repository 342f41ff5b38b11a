"""`piped list`, `show` and `schema`."""

import json

BUNDLE = {
    "site.yaml": "plugins: {bundles: {mine: [shown_bundle]}}\n",
    "shown_bundle.py": (
        "from dataclasses import dataclass\n"
        "from piped import processor, provider\n"
        "@processor('shout')\n"
        "def shout(baton, *, marks: int = 1):\n"
        "    '''Make a text loud.\n"
        "\n"
        "    Args:\n"
        "        marks: how many exclamation marks.\n"
        "    '''\n"
        "@dataclass(frozen=True)\n"
        "class Megaphone:\n"
        "    '''One megaphone.\n"
        "\n"
        "    Args:\n"
        "        volume: how loud it is.\n"
        "    '''\n"
        "    volume: int\n"
        "@provider('megaphones', dict[str, Megaphone])\n"
        "class Megaphones:\n"
        "    '''Megaphones as resources.'''\n"
        "    def configure(self, runtime_environment): pass\n"
    ),
}


def test_everything_that_exists_is_listed_with_what_it_is(piped):
    """One line each, processors and providers; either alone when asked for."""
    everything = piped("list").stdout
    processors = piped("list", "processors").stdout
    providers = piped("list", "providers").stdout
    wait = next(line for line in processors.splitlines() if line.startswith("wait "))
    web = next(line for line in providers.splitlines() if line.startswith("web "))
    assert len(wait.split()) > 2
    assert wait in everything
    assert web in everything
    assert wait not in providers
    assert web not in processors


def test_what_a_bundle_holds_is_listed_and_shown(piped, write):
    """-c reads the bundles of a configuration: one's own processors and providers are documented like the others."""
    write(BUNDLE)
    listed = piped("list", "-c", "site.yaml").stdout
    assert "Make a text loud." in listed
    assert "Megaphones as resources." in listed
    shown = piped("show", "shout", "-c", "site.yaml").stdout
    assert "how many exclamation marks." in shown
    section = piped("show", "megaphones", "-c", "site.yaml").stdout
    assert "## megaphones.<name>" in section
    assert "how loud it is." in section


def test_a_page_that_is_redirected_is_markdown(piped):
    """A heading, a table of the options, an example."""
    page = piped("show", "set-value").stdout
    assert page.startswith("# set-value\n")
    assert "| option" in page
    assert "Example:" in page
    assert page.endswith("\n")
    assert not page.endswith("\n\n")


def test_a_section_is_shown_by_the_part_that_is_asked_for(piped):
    """`piped show ticks` shows what stands below `ticks`."""
    assert "## ticks.interval.<name>" in piped("show", "ticks").stdout


def test_a_wrong_name_gets_advice(piped):
    """What does not exist is a wrong command line, with the closest name."""
    done = piped("show", "set-valeu")
    assert done.exit_code == 2
    assert "there is no processor or section 'set-valeu' – did you mean 'set-value'?" in done.stderr
    assert "see piped list" in piped("show", "qqqqqq").stderr


def test_the_schema_is_json_and_knows_the_bundles(piped, write):
    """Editors complete and check what stands in a configuration, one's own sections included."""
    write(BUNDLE)
    plain, own = (json.loads(piped("schema", *options).stdout) for options in ((), ("-c", "site.yaml")))
    assert {"pipelines", "web", "drain"} <= set(plain["properties"])
    assert set(own["properties"]) - set(plain["properties"]) == {"megaphones"}


def test_what_stands_below_a_path_of_a_site_is_shown(piped):
    """`piped show web` tells the keys of `__config__`, where a reader looks for them."""
    page = piped("show", "web").stdout
    assert "web.<name>.routing.__config__" in page
    assert "no_resource_processor" in page
