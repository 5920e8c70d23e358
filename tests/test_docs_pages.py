"""The site is whole: every model and command has a page, tables have every setting, and links lead somewhere."""

from __future__ import annotations

import configparser
import re
import sys
from pathlib import Path

import pytest
from recbole.utils import get_model

from recbole_mm.commands.cli import COMMANDS
from recbole_mm.configuration.recbole_settings import SETTING_TABLE
from recbole_mm.recbole_bridge.own_names import MODELS
from recbole_mm.settings.parameters import defaults

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
sys.path.insert(0, str(DOCS))
from extension import built, facts, links  # noqa: E402

PAGES = sorted(DOCS.rglob("*.md"))
LINKED = [*PAGES, *(ROOT / name for name in ("README.md", "RESULTS.md", "CONTRIBUTING.md", "benchmarks/README.md"))]
TOCTREE = re.compile(r"^```\{toctree\}\n(.*?)^```", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#{1,6} +(.+?)\s*$", re.MULTILINE)


def anchors(file: Path) -> set[str]:
    """Return what links can lead to in a Markdown file, as the site and hosts of code name headings."""
    headings = HEADING.findall(links.outside(file.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_library_has_its_licence() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    extras = {name: text for name, text in config["options.extras_require"].items() if name != "dev"}
    needed = {"always": f"recbole\n{config['options']['install_requires']}"}
    needed |= {f"`{name}`": text for name, text in extras.items()}
    wanted = {(re.split(r"[\[<>=]", line)[0], where) for where, text in needed.items() for line in text.split()}
    page = (DOCS / "licences.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([\w.-]+) \| (always|`\w+`) \| .+ \|$", page, re.MULTILINE)
    assert set(rows) == wanted
    assert len(rows) == len(wanted)


@pytest.mark.parametrize("model", MODELS)
def test_every_model_has_a_page_with_every_setting(model: str) -> None:
    page = (DOCS / "models" / f"{model.lower()}.md").read_text(encoding="utf-8")
    assert page.startswith(f"# {model}\n")
    assert f"```{{model}} {model}\n```" in page
    assert "$$" in page
    index = (DOCS / "models" / "index.md").read_text(encoding="utf-8")
    assert f"| [{model}]({model.lower()}.md)" in index
    settings, *others = facts.model_tables(model)
    found = defaults(get_model(model).parameter_class)
    assert [row[:2] for row in settings.rows] == [(name, repr(value)) for name, value in found.items()]
    assert all(len(row) == len(table.header) for table in (settings, *others) for row in table.rows)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_page_with_every_option(command: str) -> None:
    name = command.replace(" ", "_")
    page = (DOCS / "commands" / f"{name}.md").read_text(encoding="utf-8")
    assert f"```{{command}} {command}\n```" in page
    index = (DOCS / "commands" / "index.md").read_text(encoding="utf-8")
    assert f"| [`{command}`]({name}.md) | {COMMANDS[command]} |" in index
    rows = [row for table in facts.command_tables(command) for row in table.rows]
    names = {re.split(r"[=,]", first)[0] for first, _ in rows}
    options = {option for option in facts.parser_of(command)._option_string_actions if option.startswith("--")}
    assert names >= options - {"--help"}
    assert all(meaning or first in ("--name=NAME", "--model=MODEL") for first, meaning in rows)
    assert len(rows) == len(facts.parser_of(command)._actions) - 1


def test_the_table_of_settings_has_all() -> None:
    names = {row[0] for row in facts.every_setting().rows}
    assert names >= set(SETTING_TABLE) | {"threads", "exclude_seen", "train_histories", "user_group_edges"}


@pytest.mark.parametrize("page", LINKED, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in links.links(page.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        if "://" in target:
            continue
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


def test_every_page_is_in_a_table_of_contents() -> None:
    listed = {DOCS / "index.md"}
    for page in PAGES:
        for text in TOCTREE.findall(page.read_text(encoding="utf-8")):
            listed |= {page.parent / f"{line}.md" for line in text.split("\n") if line and not line.startswith(":")}
    assert listed == set(PAGES)


def test_links_out_of_the_site_become_names() -> None:
    page = DOCS / "guide" / "running.md"
    text = "[a](../../RESULTS.md#b) [c](../../setup.cfg) [d](../settings.md) [e](https://f.org)\n```text\n[g](../../h.md)\n```\n"
    led = "[a](../results.md#b) c [d](../settings.md) [e](https://f.org)\n```text\n[g](../../h.md)\n```\n"
    assert links.led(text, page, page) == led


def test_what_a_built_page_must_not_have(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(
        '<script src="https://cdn.org/x.js"></script><a href="#b">b</a><a href="c.html">c</a><a id="d" href="#d">d</a>'
    )
    (tmp_path / "e.css").write_text("@font-face { src: url(https://fonts.org/f.woff) }")
    assert list(built.problems(tmp_path)) == [
        "a.html loads https://cdn.org/x.js",
        "a.html: #b has no such anchor",
        "a.html: c.html does not exist",
        "e.css loads from elsewhere",
    ]
