"""What docs/simulate.md shows is what the commands print, and what it says to read the files with reads them."""

import importlib.util
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
SCRIPT = DOCS / "make_simulate.py"


@pytest.fixture(scope="module")
def page():
    spec = importlib.util.spec_from_file_location("make_simulate", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def made(page, tmp_path_factory):
    """The folder in which the page's commands have run, and what they printed."""
    folder = tmp_path_factory.mktemp("simulate")
    return folder, page.blocks(folder)


def test_the_page_shows_what_the_commands_print(page, made):
    text = page.PAGE.read_text("utf-8")
    assert page.filled(text, made[1]) == text, "it is out of date: python docs/make_simulate.py writes it anew"
    assert f"\n`{page.YEAR}`\n" in text
    assert page.PICTURE.stat().st_size < 200_000


def test_what_reads_the_files_reads_them(page, made, monkeypatch, capsys):
    monkeypatch.chdir(made[0])
    programs = re.findall(r"^```python\n(.*?)^```", page.PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    ours = [program for program in programs if "polars" not in program]  # not among what the tests install
    assert len(ours) == len(programs) - 1
    for program in ours:
        exec(compile(program, str(page.PAGE), "exec"), {})  # noqa: S102 - the page's own program
    said = capsys.readouterr().out
    assert "town_00001  2026-06-15" in said
    assert "'imported_kwh': 'kWh'" in said
    assert "'seed': '1'" in said
