"""The reference: a page for each processor and section, made from the code. Renew it with `make reference`."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from piped.app.loading import Settings, catalog_of
from piped.cases.notation import Case
from piped.catalog.catalog import Catalog
from piped.runtime.assembly import TESTS
from piped.spec.pages import processor_page, section_page
from piped.spec.spec import Spec

FOLDER = Path(__file__).parent / "reference"


def pages() -> dict[str, str]:
    """The text of each page by its path below the folder of the reference.

    Raises:
        SystemExit: a house is closed, whose pages would be missing.
    """
    catalog = catalog_of(None, Settings())
    if catalog.closed:
        raise SystemExit("\n".join(map(str, catalog.closed)))
    made = {
        f"processors/{name}.md": processor_page(name, entry.spec) for name, entry in sorted(catalog.processors.items())
    }
    sections = {section: (entry.spec, entry.shape) for section, entry in catalog.readers().items()}
    sections = dict(sorted((sections | {TESTS: (Spec.of(Case), list[Case])}).items()))
    made |= {f"sections/{section}.md": section_page(section, *what) for section, what in sections.items()}
    return {"README.md": _index(catalog, {section: spec for section, (spec, _) in sections.items()})} | made


def _index(catalog: Catalog, sections: Mapping[str, Spec]) -> str:
    lines = [
        "# Reference",
        "",
        "Made from the code by `make reference`; `piped list` and `piped show NAME` tell the same.",
        "",
        "## Sections of a configuration",
        "",
        *_table("sections", ((section, spec.summary) for section, spec in sections.items())),
        "",
        "## Processors",
        "",
        *_table("processors", ((name, entry.spec.summary) for name, entry in sorted(catalog.processors.items()))),
    ]
    return "\n".join(lines) + "\n"


def _table(folder: str, rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    yield "| name | what it does |"
    yield "|---|---|"
    for name, summary in rows:
        yield f"| [{name}]({folder}/{name}.md) | {summary.replace('|', chr(92) + '|')} |"


def main() -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)
    for path, text in pages().items():
        file = FOLDER / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


if __name__ == "__main__":
    main()
