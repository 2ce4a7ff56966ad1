"""Published lists over HTTP: which there are, and the rows of one, filtered, sorted, page by page or as a stream."""

from collections.abc import Iterator
from datetime import date
from itertools import chain
from typing import Annotated, Any
from urllib.parse import urlencode

import orjson
from pydantic import Field
from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session
from starlette.responses import Response, StreamingResponse

from serving.http import cursor, spreadsheet
from serving.http.questions import OfList
from serving.http.reading import known_model, run_tag
from serving.http.replies import JSON, Ask, plain
from serving.http.scalars import DAY, Day, Model
from serving.http.spreadsheet import MOST_SHEET_ROWS
from serving.life.live import Live
from serving.lists import risk_list
from serving.problem import Detail, Refusal
from serving.stores import store
from serving.stores.records import Published, Run, Score

CSV, XLSX = "text/csv", spreadsheet.MEDIA
MEDIA = {"json": JSON, "csv": CSV, "xlsx": XLSX}
PIECE = 1_000
GONE = "the rows of this list were removed for their age; ask for a newer list"
THINNED = "the reasons of this list were removed for their age while it was read; ask again for it without them"
Real = Annotated[float, Field(allow_inf_nan=False)]
Kept = Annotated[str, Field(min_length=1, pattern=r"^[^\x00]+$")]  # an id of the data may hold more than one asked for
PLACE = tuple[cursor.Id, Real, Kept]
PLACES: dict[str, Any] = {
    "rank": tuple[cursor.Id, cursor.Id, Kept],
    "change": tuple[cursor.Id, Real | None, Kept],
    "renewal": tuple[cursor.Id, Day | None, Kept],
}
FILTERS = ("owner", "band", "segment", "stage", "action")


def lists(live: Live, ask: Ask) -> Response:
    """Which lists are published, newest first."""
    asked, pages_of = ask.query, ["lists", ask.query.model]
    models = [known_model(live, asked.model)] if asked.model else list(live.config.models)
    after = cursor.place(pages_of, asked.cursor, tuple[Day, Model])
    found = select(Run).join(Published, Published.run_id == Run.id).where(Published.model.in_(models))
    if after:
        day, model = after
        same_day = and_(Published.as_of == day, Published.model > model)
        found = found.where(or_(Published.as_of < day, same_day))
    with Session(live.engine) as session:
        ordered = found.order_by(Published.as_of.desc(), Published.model)
        runs = list(session.scalars(ordered.limit(asked.limit + 1)))
    headers, shown = ask.tag([[*run_tag(run), run.rows] for run in runs]), runs[: asked.limit]
    last = [shown[-1].as_of.isoformat(), shown[-1].model] if len(runs) > asked.limit else None
    following = cursor.cursor(pages_of, last) if last else None
    return plain({"lists": [_entry(run) for run in shown], "next": following}, headers)


def _entry(run: Run) -> dict[str, Any]:
    names = ("model", "rows", "grade", "rule", "base_rate", "reference")
    head = {name: getattr(run, name) for name in names}
    days = {"start": run.horizon_start.isoformat(), "end": run.horizon_end.isoformat()}
    when = f"{run.ended_at.isoformat()}Z" if run.ended_at else None
    kept = {"published_at": when, "rows_kept": run.state != "pruned", "reasons_kept": risk_list.reasons_kept(run)}
    return {**head, "as_of": run.as_of.isoformat(), "model_version": run.version, "horizon": days, **kept}


def one(live: Live, ask: Ask) -> Response:
    """One list as JSON, CSV or a spreadsheet: all of it in pieces, or a page with the cursor of the next."""
    asked: OfList = ask.query
    pages_of = ["list", ask.parameters["model"], ask.parameters["as_of"], *_selected(asked)]
    after = cursor.place(pages_of, asked.cursor, place_form(asked.sort))
    with Session(live.engine) as session:
        run = _found(session, live, ask.parameters["model"], ask.parameters["as_of"], after)
        if run.state == "pruned":
            raise Refusal(410, GONE)
        headers = ask.tag([*run_tag(run), run.rows, len(live.erased().dates)])
        session.expunge(run)
    pages = Pages(live, run, asked, (after[1], after[2]) if after else None)
    begin = pages.page(asked.limit) if asked.limit is not None else None
    following = cursor.cursor(pages_of, [run.id, *begin]) if begin else None
    if following:
        headers["link"] = f'<?{_again(ask, following)}>; rel="next"'
    return _written(ask, run, pages.rows(), following, headers)


def place_form(sort: str) -> Any:
    """What a cursor of this order holds: the list, the value in the order and the customer of the last row."""
    return PLACES.get(sort.removeprefix("-"), PLACE)


def _selected(asked: OfList) -> list[Any]:
    return [*(getattr(asked, name) for name in FILTERS), asked.min_value, asked.sort]


def _again(ask: Ask, following: str) -> str:
    """The query of the next page."""
    given = ask.query.model_dump(mode="json", exclude_unset=True)
    return urlencode({**given, "cursor": following})


def _found(session: Session, live: Live, model: str, day: str, after: tuple[int, Any, str] | None) -> Run:
    """The list of the address; of a later page the one the first page was of. Raises Refusal: 404, 410, 422."""
    as_of = _day(day)
    run = store.published(session, model, as_of) if model in live.config.models else None
    if run is None:
        known = ", ".join(live.config.models)
        raise Refusal(404, f"no list of this model and date is published; models: {known}; or ask for latest")
    if after is None or after[0] == run.id:
        return run
    theirs = select(Run).join(Published, Published.run_id == Run.id).where(Run.id == after[0], Run.model == model)
    begun = session.scalars(theirs).first()
    if begun is None or as_of is not None:
        raise Refusal(410, "this list was made anew since the first page; begin again without a cursor")
    return begun


def _day(text: str) -> date | None:
    if text == "latest":
        return None
    try:
        return date.fromisoformat(text if DAY.fullmatch(text) else "")
    except ValueError:
        message = "a date such as 2026-01-31, or latest"
        raise Refusal(422, "the date does not fit", [Detail("as_of", message)]) from None


class Pages:
    """The rows asked for, read a piece at a time, each in a short transaction of its own."""

    def __init__(self, live: Live, run: Run, asked: OfList, after: tuple[Any, str] | None):
        self._live, self._run, self._asked, self._after = live, run, asked, after
        given = {name: getattr(asked, name) for name in FILTERS}
        self._filters = store.Filters(**given, least_value_at_risk=asked.min_value)
        self._sort = asked.sort.removeprefix("-")
        self._held: list[Score] | None = None
        self._erased = live.erased()

    def page(self, limit: int) -> tuple[Any, str] | None:
        """Hold one page; returns where the next begins, None when there is none."""
        found = self._read(limit + 1, self._after)
        self._held = found[:limit]
        return store.place(self._held[-1], self._sort) if len(found) > limit else None

    def rows(self) -> Iterator[list[Score]]:
        """The page held, else all rows, in pieces; without those whose erasure is not finished."""
        if self._held is not None:
            yield self._others(self._held)
            return
        after, more = self._after, True
        while more:
            some = self._read(PIECE, after)
            yield self._others(some)
            more = len(some) == PIECE
            after = store.place(some[-1], self._sort) if some else None

    def _others(self, rows: list[Score]) -> list[Score]:
        return [row for row in rows if row.customer_id not in self._erased] if self._erased else rows

    def _read(self, limit: int, after: tuple[Any, str] | None) -> list[Score]:
        """Raises Refusal when rows, or reasons said to be kept, may be missing by now.

        An answer that has begun then ends in the middle.
        """
        run, falling = self._run.id, self._asked.sort.startswith("-")
        with Session(self._live.engine, expire_on_commit=False) as session:
            found = store.page(session, run, self._filters, self._sort, limit, after=after, descending=falling)
            state = session.scalar(select(Run.state).where(Run.id == run))
            if state in ("pruned", "removed"):
                raise Refusal(410, GONE)
            if state == "thinned" and risk_list.reasons_kept(self._run):
                raise Refusal(410, THINNED)
            return found


def _written(
    ask: Ask, run: Run, pieces: Iterator[list[Score]], following: str | None, headers: dict[str, str]
) -> Response:
    """The rows in the format chosen. The first piece is read at once, so that a failure is still a problem."""
    lang = ask.query.lang
    if ask.media == JSON:
        return _streamed(_json(run, pieces, following, lang), JSON, headers)
    named = {"content-disposition": f'attachment; filename="{run.model}-{run.as_of}.{_suffix(ask.media)}"'}
    if ask.media == CSV:
        return _streamed(_csv(run, pieces, lang), f"{CSV}; charset=utf-8", headers | named)
    if (ask.query.limit or run.rows) > MOST_SHEET_ROWS:
        most = f"a spreadsheet of at most {MOST_SHEET_ROWS:,} rows is made at once; give a limit, or ask for CSV"
        raise Refusal(422, most, [Detail("limit", f"1 to {MOST_SHEET_ROWS:,} with this format")])
    rows = risk_list.told(run, chain.from_iterable(pieces), lang)
    return Response(spreadsheet.workbook(risk_list.about(run, lang), rows, lang), 200, headers | named, XLSX)


def _suffix(media: str) -> str:
    return next(name for name, own in MEDIA.items() if own == media)


def _json(run: Run, pieces: Iterator[list[Score]], following: str | None, lang: Any) -> Iterator[bytes]:
    head = {**risk_list.about(run, lang), "reasons_kept": risk_list.reasons_kept(run), "next": following, "rows": []}
    yield orjson.dumps(head).removesuffix(b"]}")
    begun = False
    for piece in pieces:
        told = risk_list.told(run, piece, lang)
        text = b",".join(orjson.dumps(row) for row in told)
        yield (b"," if begun and text else b"") + text
        begun = begun or bool(text)
    yield b"]}\n"


def _csv(run: Run, pieces: Iterator[list[Score]], lang: Any) -> Iterator[bytes]:
    lines = risk_list.as_csv(run, chain.from_iterable(pieces), lang)
    while some := "".join(line for _, line in zip(range(PIECE), lines)):
        yield some.encode()


def _streamed(pieces: Iterator[bytes], media: str, headers: dict[str, str]) -> Response:
    begin = next(pieces) + next(pieces, b"")
    return StreamingResponse(chain([begin], pieces), 200, headers, media)
