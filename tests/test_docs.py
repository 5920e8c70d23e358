"""Commands and code on the pages of the site do what the pages say: its blocks run in order, in a folder of its own.

A comment before a block marks it: `file: NAME` is written into that file, `fails: WHY` ends with exit code 2, and
`not run: WHY` is only read: the command line understands its commands, and its Python compiles.
"""

from __future__ import annotations

import glob
import re
import shlex
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from recbole_mm.commands import cli

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
FENCE = re.compile(r"^(?:<!-- (file|not run|fails): (.+?) -->\n)?```(\S*).*?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LANGUAGES = {"shell", "python", "text", "yaml", "toml"}  # and directives of the site, {NAME}
OTHERS = ("make", "pip", "python", "python3", "torchrun", "ray", "curl")  # programs that are not the pack's


class Block(NamedTuple):
    mark: str
    what: str
    language: str
    text: str

    @property
    def runs(self) -> bool:
        return self.language in ("shell", "python") and self.mark in ("", "fails")


def blocks(page: Path) -> list[Block]:
    return [Block(*found) for found in FENCE.findall(page.read_text(encoding="utf-8"))]


def commands(block: Block) -> list[list[str]]:
    lines = block.text.replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def given(words: list[str]) -> list[str] | None:
    """Return what the command line of the pack is given, None for another program."""
    if words[0] == "recbole-mm":
        return words[1:]
    if words[:2] == ["python", "run_recbole_mm.py"]:
        return ["run", *words[2:]]
    assert words[0] in OTHERS, words
    return None


def expanded(words: list[str]) -> list[str]:
    """Return the words with names of files for patterns, as a shell has them."""
    return [name for word in words for name in (sorted(glob.glob(word)) or [word])]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def run_block(block: Block, names: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    if block.language == "python":
        exec(block.text, names)
        return
    for words in commands(block):
        told = given(words)
        assert told is not None, f"{words} is not the pack's: mark its block"
        code = cli.main(expanded(told))
        assert code == (2 if block.mark == "fails" else 0), f"{words}\n{capsys.readouterr().err[-2000:]}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_is_understood(page: Path) -> None:
    for block in blocks(page):
        assert block.language in LANGUAGES or block.language.startswith("{"), block
        if block.language == "python":
            compile(block.text, str(page), "exec")
        for words in commands(block) if block.language == "shell" and block.mark != "fails" else ():
            if told := given(words):
                assert cli._read(*cli._command(told)) is not None


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if any(block.runs for block in blocks(page))], ids=name_of)
def test_the_blocks_of_a_page_run(page: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(ROOT / "dataset" / "microvideo", tmp_path / "dataset" / "microvideo")
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks(page):
        if block.mark == "file":
            Path(block.what).parent.mkdir(parents=True, exist_ok=True)
            Path(block.what).write_text(block.text, encoding="utf-8")
        elif block.runs:
            run_block(block, names, capsys)


def test_blocks_are_found_with_their_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- file: b.yaml -->\n```yaml\nc: 1\n```\n\n```shell\nrecbole-mm models \\\n  MHCR  # one\n```\n")
    first, second = blocks(page)
    assert first == ("file", "b.yaml", "yaml", "c: 1\n")
    assert (second.runs, commands(second)) == (True, [["recbole-mm", "models", "MHCR"]])
