"""What the docs say of the declarations is what the declarations say."""

from pathlib import Path

import pytest

from wattswap_mqtt.contract.docs_tables import TABLES, fill, fresh_docs, main
from wattswap_mqtt.core.errors import ConfigError

DOCS = Path(__file__).parents[2] / "docs"


def test_the_docs_are_up_to_date():
    stale = [path.name for path, text in fresh_docs(DOCS).items() if path.read_text("utf-8") != text]
    assert not stale, "run `wattswap docs` and look at the difference"


@pytest.mark.parametrize("name", TABLES)
def test_tables_are_square(name):
    filled = fill(f"before\n<!-- table: {name} -->\nSTALE\n<!-- end -->\nafter\n")
    assert filled.startswith(f"before\n<!-- table: {name} -->\n| ")
    assert filled.endswith("|\n<!-- end -->\nafter\n")
    assert "STALE" not in filled
    lines = filled.splitlines()[2:-2]
    assert len(lines) > 2
    assert len({line.replace("\\|", "").count("|") for line in lines}) == 1
    assert fill(filled) == filled


def test_an_unknown_table_is_said():
    with pytest.raises(ConfigError, match="'cats'"):
        fill("<!-- table: cats -->\n<!-- end -->")


def test_writing_and_checking(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="docs folder"):
        main(check=True)
    (tmp_path / "docs" / "deep").mkdir(parents=True)
    page = tmp_path / "docs" / "deep" / "page.md"
    page.write_text("<!-- table: codes -->\n<!-- end -->\n", "utf-8")
    assert main(check=True) == 1
    assert "out of date" in capsys.readouterr().out
    assert main(check=False) == 0
    assert "`too_large`" in page.read_text("utf-8")
    assert main(check=True) == 0
    assert capsys.readouterr().out.count("written") == 2
