"""A list as an Excel workbook: typed cells, text that is only ever text, in the reader's language."""

import io
from collections.abc import Iterable, Mapping
from datetime import date
from itertools import chain
from tempfile import TemporaryDirectory
from typing import Any

from features.config import Language
from serving.lists.risk_list import REASONS
from serving.words.sentences import words

MEDIA = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
MOST_SHEET_ROWS = 20_000
NOTHING_ACTIVE = {"strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
FORMATS = {
    "share": "0.0%",
    "points": "+0.0%;-0.0%;0.0%",
    "percentile": "0.0",
    "money": "#,##0.00",
    "whole": "0",
    "date": "yyyy-mm-dd",
    "text": "@",
}
WIDTHS = {"share": 9, "points": 9, "percentile": 10, "money": 15, "whole": 7, "date": 12, "text": 18}
KINDS = {
    "rank": "whole",
    **dict.fromkeys(("score", "low", "high"), "share"),
    "change": "points",
    "percentile": "percentile",
    **dict.fromkeys(("value_at_risk", "gain"), "money"),
    "renewal": "date",
}
FIRST = ("rank", "customer_id", "name", "owner", "score", "low", "high", "band", "percentile", "change")
LAST = ("value_at_risk", "gain", "action", "renewal", "segment_name", "stage_name")
TITLE_ROWS, REASON_WIDTH = 2, 60
LONGEST_NAME, FORBIDDEN = 31, dict.fromkeys(map(ord, "[]:*?/\\'"), "-")


def workbook(about: Mapping[str, Any], rows: Iterable[Mapping[str, Any]], lang: Language) -> bytes:
    """The file. about, rows: as ``risk_list.about`` and ``risk_list.told``; rows are written as they come."""
    import xlsxwriter

    made = io.BytesIO()
    with TemporaryDirectory(prefix="tsunagi-") as folder:
        options = {"constant_memory": True, "tmpdir": folder, **NOTHING_ACTIVE}
        with xlsxwriter.Workbook(made, options) as book:
            book.set_properties({"title": _title(about, lang), "author": "Tsunagi"})
            _sheet(book, about, rows, lang)
    return made.getvalue()


def _sheet(book: Any, about: Mapping[str, Any], rows: Iterable[Mapping[str, Any]], lang: Language) -> None:
    remaining, said = iter(rows), words(lang)
    first = next(remaining, None)
    columns = _columns(list((first or {}).get("risks") or {}), said)
    formats = {kind: book.add_format({"num_format": code}) for kind, code in FORMATS.items()}
    head = book.add_format({"bold": True, "text_wrap": True, "bottom": 1, "valign": "top"})
    sheet = book.add_worksheet(_name(about, said))
    for place, (_, kind, _) in enumerate(columns):
        wide = REASON_WIDTH if columns[place][0].startswith("reason_") else WIDTHS[kind]
        sheet.set_column(place, place, wide, formats[kind])
    sheet.freeze_panes(TITLE_ROWS + 1, 3)
    sheet.write_string(0, 0, _title(about, lang), book.add_format({"bold": True}))
    sheet.write_string(1, 0, " ".join(part for part in (about["note"], about["legend"]) if part))
    for place, (_, _, title) in enumerate(columns):
        sheet.write_string(TITLE_ROWS, place, title, head)
    number = TITLE_ROWS
    for number, row in enumerate(chain([first] if first else [], remaining), TITLE_ROWS + 1):
        _row(sheet, number, _cells(row, said), columns, formats)
    sheet.autofilter(TITLE_ROWS, 0, number, len(columns) - 1)


def _columns(horizons: list[str], said: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(key, kind, title) of each column."""
    titles = said["sheet"]
    plain = [(name, KINDS.get(name, "text"), titles[name]) for name in (*FIRST, *LAST)]
    risks = [(f"risk_{days}", "share", titles["risk"].format(days=days)) for days in horizons]
    numbers = range(1, REASONS + 1)
    pairs = [((f"reason_{n}", "text", titles["reason"]), (f"points_{n}", "points", titles["points"])) for n in numbers]
    reasons = [(key, kind, title.format(n=n)) for n, pair in zip(numbers, pairs) for key, kind, title in pair]
    return [*plain[: len(FIRST)], *risks, *reasons, *plain[len(FIRST) :]]


def _cells(row: Mapping[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
    """A row by column, in words."""
    cells = dict(row)
    cells["band"], cells["action"] = said["bands"][row["band"]], said["actions"][row["action"]]
    cells |= {f"risk_{days}": risk for days, risk in (row["risks"] or {}).items()}
    for number, reason in enumerate(row["reasons"], 1):
        cells |= {f"reason_{number}": reason["text"], f"points_{number}": reason["points"]}
    return cells


def _row(sheet: Any, number: int, cells: Mapping[str, Any], columns: Any, formats: Mapping[str, Any]) -> None:
    for place, (key, kind, _) in enumerate(columns):
        value = cells.get(key)
        if value is None:
            continue
        if kind == "text":
            sheet.write_string(number, place, str(value), formats[kind])
        elif kind == "date":
            sheet.write_datetime(number, place, date.fromisoformat(value), formats[kind])
        else:
            sheet.write_number(number, place, value, formats[kind])


def _title(about: Mapping[str, Any], lang: Language) -> str:
    said = words(lang)
    model = said["models"].get(about["model"], about["model"])
    words_of = {**about, "model": model, "Model": model[:1].upper() + model[1:]}
    return str(said["sheet_title"]).format(**words_of)


def _name(about: Mapping[str, Any], said: Mapping[str, Any]) -> str:
    """A sheet's name may hold 31 characters, some never."""
    model = said["models"].get(about["model"], about["model"])
    return f"{model} {about['as_of']}".translate(FORBIDDEN)[-LONGEST_NAME:]
