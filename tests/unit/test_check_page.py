"""The page and the table of a check: every finding is there, in both languages, from any data that can be read."""

import sys
from datetime import date, datetime, timedelta
from html import escape
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest

from features import config
from features.__main__ import main
from features.checks import findings, quality, table
from features.checks import page as pages
from features.snapshot_config import SnapshotConfig
from tests import company

TODAY = date(2027, 1, 1)
BASE64 = "data:image/svg+xml;base64,"


def report_of(path: Path, *overrides: str) -> quality.Report:
    return quality.check(config.load(path, SnapshotConfig, overrides), TODAY)


@pytest.fixture(scope="module")
def troubled(tmp_path_factory):
    """A company with a warning and errors, Japanese labels and signs that HTML must not take for its own."""
    folder = tmp_path_factory.mktemp("troubled")
    people, rows = company.logins(weeks=60)
    clicks = [{"id": "c001", "at": datetime(2025, 1, 6) + timedelta(days=d)} for d in range(200)]
    company.tables(folder, customers=people, logins=pd.concat([rows, rows.iloc[:500]]), clicks=clicks)
    label = {"en": "Log-ins <b> & more", "ja": 'ログイン<b>＆"他"'}
    streams = {"login": {"label": label}, "click": {"table": "clicks.parquet", "at": "at"}}
    return company.configs(folder, {"streams": streams})


def parsed(page: str) -> ElementTree.Element:
    """The page as a tree. Raises ParseError unless every tag is closed in order."""
    return ElementTree.fromstring(page)


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_the_page_holds_every_finding_and_is_well_formed(troubled, lang):
    report = report_of(troubled)
    page = pages.page(report, troubled, lang, TODAY)
    text = " ".join(" ".join(parsed(page).itertext()).split())
    levels = {finding.level for finding in report.findings}
    assert levels == {"ok", "warning", "error"}
    for finding in report.findings:
        words = (findings.title(finding.check, lang), findings.word(finding.level, lang), *finding.told(lang))
        assert [word for word in words if " ".join(word.split()) not in text] == []
    assert page.startswith("<!DOCTYPE html>") and f'lang="{lang}"' in page
    assert f"python -m features check {troubled}" in text


def test_the_page_needs_nothing_from_elsewhere(troubled):
    page = parsed(pages.page(report_of(troubled), troubled, "en", TODAY))
    images = [element for element in page.iter() if element.tag.endswith("img")]
    assert len(images) == 5 and all(image.get("src").startswith(BASE64) and image.get("alt") for image in images)
    assert not [element for element in page.iter() if element.tag.endswith(("script", "link", "iframe"))]
    assert not [element for element in page.iter() if element.get("href")]


def test_pictures_hold_numerals_alone(troubled):
    from base64 import b64decode

    page = parsed(pages.page(report_of(troubled), troubled, "ja", TODAY))
    sources = [element.get("src") for element in page.iter() if element.tag.endswith("img")]
    for source in sources:
        picture = ElementTree.fromstring(b64decode(source.removeprefix(BASE64)))
        texts = ["".join(element.itertext()) for element in picture.iter() if element.tag.endswith("}text")]
        assert texts and set("".join(texts)) <= set("0123456789-–,.% \n")


def test_labels_are_text_and_never_markup(troubled):
    page = pages.page(report_of(troubled), troubled, "ja", TODAY)
    assert escape('ログイン<b>＆"他"') in page and "ログイン<b>" not in page


def test_the_same_data_give_the_same_page(troubled):
    twice = [pages.page(report_of(troubled), troubled, "en", TODAY) for _ in range(2)]
    assert twice[0] == twice[1]


@pytest.mark.parametrize("lang", ["en", "ja"])
@pytest.mark.parametrize("width", [60, 100, 160])
def test_the_table_is_as_wide_as_the_terminal(troubled, capsys, lang, width):
    from rich.cells import cell_len

    table.show(report_of(troubled), lang, width)
    said = capsys.readouterr().out
    assert max(cell_len(line) for line in said.splitlines()) <= width
    assert all(findings.word(level, lang) in said for level in ("ok", "warning", "error"))


def check(monkeypatch, capsys, *arguments) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["features", "check", *map(str, arguments)])
    code = main()
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    return code, said.out, said.err


def test_the_page_lies_in_the_workspace_and_its_path_is_told(troubled, monkeypatch, capsys, workspace, tmp_path):
    _, out, _ = check(monkeypatch, capsys, troubled)
    path = workspace / "tiny" / "check-churn.html"
    assert str(path) in out and parsed(path.read_text(encoding="utf-8")) is not None
    named = tmp_path / "new" / "page.html"
    _, out, _ = check(monkeypatch, capsys, troubled, "--html", named, "--lang", "ja")
    assert str(named) in out and "点検" in named.read_text(encoding="utf-8")
    assert [file.name for file in named.parent.iterdir()] == ["page.html"]


def _one_customer(folder: Path) -> None:
    people, rows = company.logins(customers=1)
    company.tables(folder, customers=people, logins=rows)


def _nobody_leaves(folder: Path) -> None:
    rows = [{"id": f"c{i}", "at": datetime(2025, 1, 1) + timedelta(days=d)} for i in range(12) for d in range(300)]
    company.tables(folder, customers=[{"id": f"c{i}"} for i in range(12)], logins=rows)


def _three_rows(folder: Path) -> None:
    rows = [{"id": "a", "at": datetime(2025, 1, 1) + timedelta(days=90 * i)} for i in range(3)]
    company.tables(folder, customers=[{"id": "a"}, {"id": "b"}], logins=rows)


def _three_rows_of_one_day(folder: Path) -> None:
    rows = [{"id": "a", "at": datetime(2025, 1, 1, 9 + i)} for i in range(3)]
    company.tables(folder, customers=[{"id": "a"}, {"id": "b"}], logins=rows)


def _japanese_names(folder: Path) -> None:
    people, rows = company.logins()
    ids = {name: f"株式会社{name}" for name in people["id"]}
    company.tables(folder, customers=people.replace(ids), logins=rows.replace(ids))


@pytest.mark.parametrize("lang", ["en", "ja"])
@pytest.mark.parametrize(
    ("write", "codes"),
    [
        (_one_customer, {0, 1}),
        (_nobody_leaves, {1}),
        (_three_rows, {1}),
        (_three_rows_of_one_day, {1}),
        (_japanese_names, {0, 1}),
    ],
)
def test_small_and_strange_data_get_a_page(tmp_path, monkeypatch, capsys, write, codes, lang):
    write(tmp_path)
    page = tmp_path / "page.html"
    code, out, _ = check(monkeypatch, capsys, company.configs(tmp_path), "--html", page, "--lang", lang)
    assert code in codes and str(page) in out
    assert parsed(page.read_text(encoding="utf-8")) is not None


@pytest.mark.parametrize("empty", ["customers", "logins"])
def test_an_empty_table_is_one_line(tmp_path, monkeypatch, capsys, empty):
    people, rows = company.logins()
    frames = {"customers": people, "logins": rows}
    company.tables(tmp_path, **(frames | {empty: frames[empty].iloc[:0]}))
    code, _, err = check(monkeypatch, capsys, company.configs(tmp_path))
    assert code == 2 and len([line for line in err.splitlines() if line.startswith("error:")]) == 1


def test_events_of_strangers_alone_are_one_line(tmp_path, monkeypatch, capsys):
    people, rows = company.logins()
    company.tables(tmp_path, customers=people, logins=rows.assign(id="stranger"))
    code, _, err = check(monkeypatch, capsys, company.configs(tmp_path))
    assert code == 2 and "no event of any stream belongs to a known customer" in err
