"""The compiled windows equal plain loops over the raw events, and nothing known later reaches them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features import kernel
from features.calendar import local_days
from features.rollup import NEVER, daily
from features.windows import compute
from tests import oracle
from tests.oracle import MEASURES, MICRO, WINDOWED, Event
from tests.spec.tables import columns

WINDOWS = (1, 7, 28)
ALL = [(name, days) for name in MEASURES for days in (WINDOWS if name in WINDOWED else (None,))]
HISTORIES = (1, 5, 30, 400)
FIRST, END = -5, 75  # day numbers; the first ones lie before 1970
START = datetime(1970, 1, 1, tzinfo=UTC)

values = st.one_of(
    st.none(),
    st.sampled_from([0, MICRO, -MICRO]),
    st.integers(-(10**6) * MICRO, 10**6 * MICRO),
)
histories = st.sampled_from(HISTORIES)


@st.composite
def an_event(draw):
    day = draw(st.integers(FIRST, END))
    return Event(
        customer=draw(st.integers(0, 2)),
        day=day,
        known=day + draw(st.sampled_from([0, 0, 0, 1, 2, 7, 20, 40])),
        time=draw(st.integers(0, 2)),
        value=draw(values),
        entity=draw(st.integers(-1, 4)),
        until=draw(st.one_of(st.just(NEVER), st.integers(day, day + 40))),
    )


@st.composite
def some_events(draw):
    """Events of which some stand twice and some share the customer, day and time of another."""
    events = draw(st.lists(an_event(), max_size=25))
    again = draw(st.lists(st.sampled_from(events), max_size=10)) if events else []
    return events + [_beside(draw, event) for event in again]


def _beside(draw, event):
    """The same event once more, or one of the same day with another value, day known or entity."""
    changed = draw(st.sampled_from(["nothing", "value", "known", "entity"]))
    other = {"value": values, "known": st.integers(event.day, event.day + 9), "entity": st.integers(-1, 4)}
    return replace(event, **{name: draw(own) for name, own in other.items() if name == changed})


@st.composite
def a_case(draw):
    """Events, keys that often lie exactly where an event enters or leaves a window, days of history.

    Some cases are of few customers on many dates, with most rows known late.
    """
    events, history_days = draw(some_events()), draw(histories)
    edges = [0, 1, history_days, history_days + 1, *WINDOWS, 2 * 7, 9 * 7]
    keys = draw(st.lists(st.tuples(st.integers(0, 3), st.integers(FIRST, END + 50)), min_size=1, max_size=6))
    if draw(st.booleans()):
        first, step = draw(st.integers(FIRST, 30)), draw(st.sampled_from([1, 2, 7]))
        keys += [(0, first + step * k) for k in range(draw(st.integers(30, 45)))]
        late = st.sampled_from([0, 1, 2, 3, 9, 30])
        events = [replace(e, customer=min(e.customer, 1), known=e.day + draw(late)) for e in events]
    if events:
        for event in draw(st.lists(st.sampled_from(events), max_size=10)):
            day = draw(st.sampled_from([event.day, event.known, min(event.until, END)]))
            keys.append((event.customer, day + draw(st.sampled_from(edges))))
    return events, keys, history_days


def windows(events, keys, history_days, measures=ALL):
    customer, as_of = (np.array(column, np.int32) for column in zip(*keys, strict=True))
    return compute(daily(columns(events)), customer, as_of, measures, history_days)


def assert_equal_to_the_oracle(found, events, keys, history_days):
    """Equal up to the last digits, in which a division or a logarithm may differ; a difference is named."""
    expected = np.array(oracle.compute(events, keys, ALL, history_days))
    assert found.shape == expected.shape
    assert found.dtype == np.float64
    different = [
        f"{ALL[column]} of {keys[row]}: {found[row, column]}, expected {expected[row, column]}"
        for row, column in np.argwhere(~np.isclose(found, expected, rtol=1e-12, atol=0, equal_nan=True))
    ]
    assert not different, different


@given(a_case())
def test_windows_equal_the_oracle(case):
    assert_equal_to_the_oracle(windows(*case), *case)


@given(a_case(), st.randoms(use_true_random=False))
def test_the_order_of_events_and_keys_does_not_matter(case, random):
    events, keys, history_days = case
    order = random.sample(range(len(keys)), len(keys))
    shuffled = random.sample(events, len(events))
    found = windows(shuffled, [keys[k] for k in order], history_days)
    np.testing.assert_array_equal(found, windows(*case)[order])


@given(a_case(), some_events())
def test_what_happens_or_is_known_later_never_changes_a_feature(case, more):
    events, keys, history_days = case
    as_of = keys[-1][1]
    keys = [(customer, as_of) for customer in range(3)]
    past = [event for event in events if max(event.day, event.known) < as_of]
    later = [event for event in more if max(event.day, event.known) >= as_of]
    expected = windows(past, keys, history_days)
    np.testing.assert_array_equal(windows(events, keys, history_days), expected)
    np.testing.assert_array_equal(windows(later + past, keys, history_days), expected)


@given(a_case())
def test_what_is_older_than_the_history_never_changes_a_feature(case):
    events, keys, history_days = case
    as_of = keys[-1][1]
    keys = [(customer, as_of) for customer in range(3)]
    recent = [event for event in events if event.day >= as_of - history_days]
    np.testing.assert_array_equal(windows(events, keys, history_days), windows(recent, keys, history_days))


@given(a_case())
def test_a_customer_alone_gets_what_it_gets_among_others(case):
    events, keys, history_days = case
    found = windows(*case)
    for row, (customer, as_of) in enumerate(keys):
        own = [event for event in events if event.customer == customer]
        np.testing.assert_array_equal(windows(own, [(customer, as_of)], history_days)[0], found[row])


@given(a_case(), st.lists(st.sampled_from(ALL), min_size=1, max_size=5))
def test_a_measure_does_not_depend_on_the_others_asked_for(case, asked):
    picked = windows(*case)[:, [ALL.index(measure) for measure in asked]]
    np.testing.assert_array_equal(windows(*case, asked), picked)


@given(a_case(), st.sampled_from([1, 7, 28, 90]))
def test_seen_is_whether_an_event_was_visible_in_the_last_days(case, days):
    events, keys, _ = case
    as_of = sorted({day for _, day in keys})
    activity = daily(columns(events))
    offset = kernel.offsets(activity.customer, 3)
    found = kernel.seen(offset, activity.day, activity.known, np.array(as_of, np.int32), days)
    expected = [[bool(oracle.visible(events, customer, day, days)) for day in as_of] for customer in range(3)]
    np.testing.assert_array_equal(found, np.array(expected).reshape(3, len(as_of)))


@st.composite
def a_moment(draw, zone):
    """An instant in µs near a local midnight around the clock changes of March and October 2025."""
    month, day = draw(st.sampled_from([(3, 28), (10, 24)]))
    midnight = datetime(2025, month, day + draw(st.integers(0, 3)), tzinfo=zone)
    hour = 3_600_000_000
    beside = draw(st.sampled_from([-1, 0, 1]) | st.integers(-4 * hour, 4 * hour))
    return (midnight - START) // timedelta(microseconds=1) + beside


@pytest.mark.parametrize("name", ["Europe/Berlin", "Asia/Tokyo"])
@given(data=st.data())
def test_instants_near_midnight_and_clock_changes_equal_the_oracle(name, data):
    zone = ZoneInfo(name)
    moment = a_moment(zone)
    facts = data.draw(st.lists(st.tuples(moment, moment, values), min_size=1, max_size=15))

    def day(instant):
        local = (START + timedelta(microseconds=instant)).astimezone(zone)
        return local.date().toordinal() - START.toordinal()

    looped = [Event(0, day(at), day(known), time=at, value=value) for at, known, value in facts]
    localised = local_days(np.array([[at, known] for at, known, _ in facts], np.int64), name).tolist()
    events = [replace(event, day=at, known=known) for event, (at, known) in zip(looped, localised, strict=True)]
    keys = [(0, event.day + step) for event in looped for step in (0, 1, 3)]
    assert_equal_to_the_oracle(windows(events, keys, 400), looped, keys, 400)
