"""`piped list`, `show` and `schema`: what exists, and how it is written."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterable
from operator import itemgetter

import click

from piped.app.loading import Settings, catalog_of, settings_options
from piped.cases.notation import Case
from piped.catalog.catalog import Catalog, ProviderEntry
from piped.catalog.discovery import discover
from piped.ground.errors import did_you_mean
from piped.runtime.assembly import FRAMEWORK, TESTS
from piped.spec.pages import list_line, processor_page, section_page
from piped.spec.schema import configuration_schema
from piped.spec.spec import Spec

_conf = click.option(
    "-c", "--conf", type=click.Path(), metavar="FILE", help="Also what the bundles of this configuration hold."
)


@click.command("list")
@click.argument("kind", type=click.Choice(["processors", "providers", "services"]), required=False)
@_conf
@settings_options
def list_(settings: Settings, kind: str | None, conf: str | None) -> None:
    """List processors, providers and services, and closed houses.

    \b
    Example:
        piped list processors
        piped list -c site.yaml
    """
    catalog = catalog_of(conf, settings)
    if kind in ("processors", None):
        _list("Processors", ((name, entry.spec) for name, entry in catalog.processors.items()))
    if kind in ("providers", None):
        sections = ((entry.section, entry.spec) for entry in catalog.providers if entry.section)
        _list("Providers, by their section of the configuration", sections)
    if kind in ("services", None) and (services := _services(catalog)):
        _list("Services", ((entry.name, _about(entry)) for entry in services))
    if catalog.closed:
        _heading("Closed")
        for house in catalog.closed:
            click.echo(str(house))


def _list(title: str, lines: Iterable[tuple[str, Spec]]) -> None:
    _heading(title)
    for name, spec in sorted(lines, key=itemgetter(0)):
        click.echo(list_line(name, spec))


def _heading(text: str) -> None:
    click.echo(click.style(text, bold=True))


def _services(catalog: Catalog) -> list[ProviderEntry]:
    """What belongs to no section: services, and providers of Piped 0.7, which may read any."""
    return [entry for entry in catalog.providers if entry.section is None]


def _about(service: ProviderEntry) -> Spec:
    """What a service says about itself; the docstring of its base would tell what services are in general."""
    return service.spec if service.factory.__doc__ else Spec(service.name)


def _names(_ctx: click.Context, _parameter: click.Parameter, begun: str) -> list[str]:
    """What a shell completes."""
    catalog, _ = discover(None, None, ())
    return [name for name in _known(catalog) if name.startswith(begun)]


@click.command()
@click.argument("name", shell_complete=_names)
@_conf
@settings_options
def show(settings: Settings, name: str, conf: str | None) -> None:
    """Show how a processor or a section is written.

    \b
    Example:
        piped show eval-lambda
        piped show web
    """
    catalog = catalog_of(conf, settings)
    pages = _pages(catalog, name)
    if not pages:
        advice = did_you_mean(name, _known(catalog)) or "see piped list"
        raise click.UsageError(f"there is no processor, section or service {name!r} – {advice}")
    click.echo("\n".join(pages), nl=False)


def _known(catalog: Catalog) -> list[str]:
    return [*catalog.processors, *(entry.section or entry.name for entry in catalog.providers), TESTS]


def _pages(catalog: Catalog, name: str) -> list[str]:
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    entry = catalog.find_processor(name)
    pages = [processor_page(name, entry.spec, columns)] if entry else []
    pages += [section_page(TESTS, Spec.of(Case), list[Case], columns)] if name == TESTS else []
    pages += [
        section_page(section, entry.spec, entry.shape, columns)
        for section, entry in catalog.readers().items()
        if f"{section}.".startswith(f"{name}.")
    ]
    return pages + [_service_page(one) for one in _services(catalog) if name in (one.name, one.origin)]


def _service_page(service: ProviderEntry) -> str:
    about = _about(service)
    fate = "It is made and configured when a process starts, and started and stopped with it if it is enabled."
    return "\n\n".join(filter(None, (f"# {service.origin}", about.summary, about.description, fate))) + "\n"


@click.command()
@_conf
@settings_options
def schema(settings: Settings, conf: str | None) -> None:
    """Print a JSON Schema of configurations, for editors.

    \b
    Example:
        piped schema > piped.schema.json
        # and as the first line of a configuration:
        # yaml-language-server: $schema=piped.schema.json
    """
    shapes = FRAMEWORK | {TESTS: list[Case]}
    click.echo(json.dumps(configuration_schema(catalog_of(conf, settings), shapes), indent=2, ensure_ascii=False))
