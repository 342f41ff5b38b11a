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


SERVICES = {
    "site.yaml": "plugins: {bundles: {mine: [kept_services]}}\n",
    "kept_services.py": (
        "from piped import PipedService\n"
        "class Sweeper(PipedService):\n"
        "    '''Sweeps the floor.\n"
        "\n"
        "    Every minute.\n"
        "    '''\n"
        "class Silent(PipedService):\n"
        "    pass\n"
    ),
}


def test_services_are_listed_under_a_heading_of_their_own(piped, write):
    """They have no section, and a summary only if somebody has written one for them."""
    write(SERVICES)
    everything = piped("list", "-c", "site.yaml").stdout.splitlines()
    begin = everything.index("Services")
    assert everything[begin + 1 : begin + 3] == ["Silent", f"{'Sweeper':<32} Sweeps the floor."]
    assert begin > everything.index("Providers, by their section of the configuration")
    assert "Sweeper" not in piped("list", "providers", "-c", "site.yaml").stdout
    assert piped("list", "services", "-c", "site.yaml").stdout.splitlines() == everything[begin:]
    assert "Services" not in piped("list").stdout.splitlines()


def test_a_service_is_shown_by_its_name_or_its_full_name(piped, write):
    """With what its author says, and what becomes of it; not with what its base says of services in general."""
    write(SERVICES)
    fate = "It is made and configured when a process starts, and started and stopped with it if it is enabled.\n"
    page = f"# kept_services.Sweeper\n\nSweeps the floor.\n\nEvery minute.\n\n{fate}"
    assert piped("show", "Sweeper", "-c", "site.yaml").stdout == page
    assert piped("show", "kept_services.Sweeper", "-c", "site.yaml").stdout == page
    assert piped("show", "Silent", "-c", "site.yaml").stdout == f"# kept_services.Silent\n\n{fate}"
    assert "did you mean 'Sweeper'?" in piped("show", "Sweper", "-c", "site.yaml").stderr


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


def test_a_section_that_two_providers_read_has_one_page(piped):
    """Nobody reads the same table of options twice; the page is that of the provider that is named first."""
    shown = piped("show", "zmq").stdout
    assert shown.count("# zmq\n") == 2  # the title, and the heading of the table
    assert "`zmq.socket.<name>`" in shown


def test_a_wrong_name_gets_advice(piped):
    """What does not exist is a wrong command line, with the closest name."""
    done = piped("show", "set-valeu")
    assert done.exit_code == 2
    assert "there is no processor, section or service 'set-valeu' – did you mean 'set-value'?" in done.stderr
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
