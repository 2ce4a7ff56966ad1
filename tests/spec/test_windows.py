"""What each measure means. Days are numbers, every interval is half-open, an empty cell is null.

Every table holds for the compiled kernel and for the plain-loop oracle alike.
"""

import math

import numpy as np
import pytest

from features.rollup import NEVER, daily
from features.windows import compute, seats_used
from tests import oracle
from tests.spec.tables import columns, rows, table_events


def check(measure, window, events, expected, history_days=400):
    """For customer 1, on each `as_of` of the expected table, the measure of the events is `value`."""
    events = table_events(events)
    table = rows(expected)
    keys = [(1, int(row["as_of"])) for row in table]
    values = [math.nan if row["value"] is None else row["value"] for row in table]
    customer, as_of = (np.array(column, np.int32) for column in zip(*keys, strict=True))
    compiled = compute(daily(columns(events)), customer, as_of, [(measure, window)], history_days)
    looped = oracle.compute(events, keys, [(measure, window)], history_days)
    np.testing.assert_allclose(compiled[:, 0], values, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(np.array(looped)[:, 0], values, rtol=1e-12, atol=1e-12)


def test_a_window_holds_its_first_day_and_not_its_end():
    check("count", 7, "day\n 93", """
        as_of | value
           93 | 0
           94 | 1
          100 | 1
          101 | 0
    """)  # fmt: skip


def test_an_event_is_visible_only_after_it_was_known():
    check("count", 7, """
        day | known
         93 | 93
         93 | 95
         94 | 99
    """, """
        as_of | value
           94 | 1
           95 | 1
           96 | 2
           99 | 2
          100 | 3
          101 | 1
    """)  # fmt: skip


def test_an_event_recorded_before_it_happens_waits_until_it_happened():
    check("count", 7, """
        day | known
         95 | 80
    """, """
        as_of | value
           90 | 0
           95 | 0
           96 | 1
    """)  # fmt: skip


def test_the_history_ends_where_it_is_said_to():
    check("tenure", None, """
        day
         60
         70
         95
    """, """
        as_of | value
           90 | 30
           91 | 21
          100 | 30
          101 | 6
          125 | 30
          126 |
    """, history_days=30)  # fmt: skip


def test_another_customer_and_no_customer():
    check("count", 28, """
        customer | day
               2 | 95
               2 | 96
    """, """
        as_of | value
          100 | 0
    """)  # fmt: skip


@pytest.mark.parametrize(
    ("measure", "window", "expected"),
    [
        ("count", 7, 0), ("days", 7, 0), ("sum", 7, 0), ("mean", 7, None), ("distinct", 7, 0),
        ("trend", 7, 0), ("recency", None, None), ("tenure", None, None), ("gap", None, None),
        ("gap_ratio", None, None), ("spike", None, 0), ("last", None, None), ("change", None, None),
        ("open", None, 0), ("oldest_open_days", None, 0), ("slope", None, 0), ("decline_weeks", None, 0),
        ("new_users", 7, 0), ("key_user_quiet", None, None),
    ],
)  # fmt: skip
def test_what_nothing_at_all_gives(measure, window, expected):
    cell = "" if expected is None else expected
    check(measure, window, "day | value", f"as_of | value\n 100 | {cell}")


def test_count_counts_events_and_days_counts_days():
    events = """
        day | time
         93 | 1
         93 | 2
         93 | 2
         98 | 1
         99 | 1
    """
    check("count", 7, events, "as_of | value\n 100 | 5\n 99 | 4\n 101 | 2")
    check("days", 7, events, "as_of | value\n 100 | 3\n 99 | 2\n 101 | 2")


def test_a_day_known_in_two_parts_is_one_day():
    check("days", 7, """
        day | known
         95 | 95
         95 | 97
    """, """
        as_of | value
           96 | 1
           97 | 1
           98 | 1
    """)  # fmt: skip


def test_sum_and_mean_pass_over_missing_values():
    events = """
        day | value
         93 | 10
         95 | 2.5
         95 |
         99 | -0.5
    """
    check("sum", 7, events, "as_of | value\n 100 | 12\n 101 | 2\n 94 | 10\n 93 | 0")
    check("mean", 7, events, "as_of | value\n 100 | 4\n 101 | 1\n 94 | 10\n 93 |")


def test_mean_is_null_where_no_event_has_a_value():
    check("mean", 7, "day | value\n 95 |", "as_of | value\n 100 |")


def test_distinct_counts_entities_once_and_leaves_out_the_unknown_one():
    check("distinct", 7, """
        day | known | entity
         93 |       | 0
         93 |       | 0
         95 |       | 4
         96 |       | -1
         96 | 99    | 7
         97 |       | 0
    """, """
        as_of | value
           93 | 0
           94 | 1
           97 | 2
          100 | 3
          101 | 3
          104 | 1
          105 | 0
    """)  # fmt: skip


def test_trend_compares_with_the_window_before():
    check("trend", 7, """
        day
         86
         92
         93
         94
         99
    """, f"""
        as_of | value
          100 | {math.log(4 / 3)}
           93 | {math.log(3)}
          107 | {math.log(1 / 4)}
           86 | 0
    """)  # fmt: skip


def test_recency_is_at_least_one_day_and_tenure_counts_from_the_first():
    events = """
        day | known
         90 | 90
         99 | 101
    """
    check("recency", None, events, "as_of | value\n 90 |\n 91 | 1\n 100 | 10\n 101 | 11\n 102 | 3")
    check("tenure", None, events, "as_of | value\n 90 |\n 91 | 1\n 100 | 10\n 101 | 11\n 102 | 12")


def test_gap_is_the_mean_distance_of_active_days():
    events = """
        day
         80
         80
         84
         90
    """
    check("gap", None, events, "as_of | value\n 81 |\n 84 |\n 85 | 4\n 91 | 5\n 200 | 5")
    check("gap_ratio", None, events, "as_of | value\n 81 |\n 85 | 0.25\n 91 | 0.2\n 100 | 2")


def test_spike_sets_this_week_against_the_eight_before():
    """Weeks before day 100 begin on 93, 86, 79 …; the ninth back, [37, 44), is the last that counts."""
    check("spike", None, """
        day
         36
         37
         43
         86
         92
         93
         99
         99
    """, f"""
        as_of | value
          100 | {(3 - 0.5) / math.sqrt(0.75 + 1)}
           37 | 1
    """)  # fmt: skip


def test_slope_is_the_line_through_the_last_eight_weeks():
    """Weeks before day 100 begin on 93, 86, 79 … 44; what lies before day 44 does not count.

    One event in the newest week alone: x − mean = 3.5, divided by Σ (x − mean)² = 42. The same in the oldest: −3.5.
    """
    check("slope", None, """
        day
         43
         93
    """, f"""
        as_of | value
          100 | {3.5 / 42}
           50 | {3.5 / 42}
          128 | {-0.5 / 42}
          142 | {-2.5 / 42}
          149 | {-3.5 / 42}
          150 | 0
    """)  # fmt: skip


def test_slope_of_one_more_event_each_week_is_one():
    weeks = "\n".join(f"{99 - 7 * week} | {time}" for week in range(8) for time in range(8 - week))
    check("slope", None, f"day | time\n{weeks}", f"as_of | value\n 100 | 1\n 93 | 1\n 86 | {38.5 / 42}")


def test_decline_weeks_counts_back_from_the_last_seven_days():
    """Events in the weeks before day 100, newest first: 0, 1, 3, 3, 4."""
    check("decline_weeks", None, """
        day | time
         92 |
         85 | 1
         85 | 2
         85 | 3
         78 | 1
         78 | 2
         78 | 3
         71 | 1
         71 | 2
         71 | 3
         71 | 4
    """, """
        as_of | value
          100 | 2
           93 | 1
           86 | 0
           79 | 1
           72 | 0
          107 | 0
    """)  # fmt: skip


def test_decline_weeks_is_at_most_eight():
    weeks = "\n".join(f"{99 - 7 * week} | {time}" for week in range(1, 12) for time in range(week))
    check("decline_weeks", None, f"day | time\n{weeks}", "as_of | value\n 100 | 8\n 30 | 1")


def test_a_user_is_new_in_the_window_of_the_first_visible_day():
    """User 4 was seen before the history and counts as new when it comes back; user 7 is known late."""
    check("new_users", 7, """
        day | known | entity
         60 |       | 4
         80 |       | 0
         94 |       | 0
         95 |       | 4
         96 | 99    | 7
         97 |       | 7
         97 |       | -1
    """, """
        as_of | value
           61 | 1
           80 | 0
           81 | 1
           87 | 1
           88 | 0
           98 | 2
          103 | 1
          104 | 0
    """, history_days=30)  # fmt: skip


def test_every_user_is_new_in_a_window_as_long_as_the_history():
    check("new_users", 30, "day | entity\n 80 | 0\n 90 | 0\n 95 | 1", "as_of | value\n 100 | 2", history_days=30)


def test_the_key_user_is_the_one_with_the_most_active_days():
    """User 0 leads until user 1 has as many days and was seen later; two events of one day are one day."""
    check("key_user_quiet", None, """
        day | entity | known
         80 | 0      |
         81 | 0      |
         82 | 0      |
         82 | 1      |
         82 | 1      |
         84 | 1      |
         86 | 1      | 90
         95 | -1     |
    """, """
        as_of | value
           80 |
           81 | 1
           85 | 3
           90 | 8
           91 | 5
          100 | 14
          111 | 25
          112 | 26
          117 |
    """, history_days=30)  # fmt: skip


def test_a_day_of_a_user_known_in_two_parts_is_one_day():
    """User 0 has one day and user 1 two, however often user 0's day is told."""
    check("key_user_quiet", None, """
        day | known | entity
         90 | 90    | 1
         91 | 91    | 1
         92 | 92    | 0
         92 | 93    | 0
         92 | 94    | 0
    """, "as_of | value\n 100 | 9\n 93 | 2")  # fmt: skip


def test_seats_used_is_users_of_the_last_days_per_seat():
    events = table_events("day | entity\n 93 | 0\n 95 | 1\n 95 | 0\n 60 | 2")
    customer, as_of = np.array([1, 1, 1, 1, 2], np.int32), np.array([100, 101, 100, 100, 100], np.int32)
    seats = np.array([4, 4, 0, np.nan, 4])
    found = seats_used(daily(columns(events)), customer, as_of, seats, 7, 400)
    np.testing.assert_array_equal(found, [0.5, 0.5, np.nan, np.nan, 0])
    cases = ((100, 4), (101, 4), (100, 0))
    looped = [oracle.seats_used(oracle.visible(events, 1, day, 400), day, 7, own) for day, own in cases]
    assert looped == [0.5, 0.5, None]


def test_last_is_the_latest_of_a_day_and_the_larger_of_equal_times():
    check("last", None, """
        day | time | value
         90 | 5    | 1
         90 | 9    | 4
         90 | 9    | 3
         90 | 7    | 8
         90 | 10   |
         95 | 1    | 2
    """, """
        as_of | value
           90 |
           91 | 4
           95 | 4
           96 | 2
          100 | 2
    """)  # fmt: skip


def test_last_goes_by_the_day_it_happened_not_the_day_it_was_known():
    check("last", None, """
        day | known | time | value
         90 | 99    | 9    | 1
         90 | 90    | 3    | 2
         95 | 95    | 1    | 3
    """, """
        as_of | value
           91 | 2
           95 | 2
           96 | 3
          100 | 3
    """)  # fmt: skip


def test_change_is_against_the_last_value_of_an_earlier_day():
    check("change", None, """
        day | known | time | value
         80 |       | 1    | 9
         85 | 99    | 1    | 1
         90 |       | 1    | 7
         90 |       | 2    | 6
         95 |       | 1    |
    """, """
        as_of | value
           81 |
           90 |
           91 | -3
           96 | -3
          100 | 5
    """)  # fmt: skip


def test_change_is_the_exact_difference_of_fixed_point_values():
    activity = daily(columns(table_events("day | value\n 90 | 0.1\n 95 | 0.3")))
    found = compute(activity, np.array([1], np.int32), np.array([100], np.int32), [("change", None)], 400)
    assert found.tolist() == [[0.2]]


def test_open_until_the_day_after_its_end():
    """`until` is the day it closed: on that day's midnight it is still open, on the next it is not."""
    events = f"""
        day | known | until
         80 |       | 90
         85 |       | {NEVER}
         85 | 88    | 86
         90 | 93    | 95
         92 |       | 92
    """
    check("open", None, events, """
        as_of | value
           80 | 0
           81 | 1
           86 | 2
           89 | 2
           90 | 2
           91 | 1
           94 | 2
           95 | 2
           96 | 1
    """)  # fmt: skip
    check("oldest_open_days", None, events, """
        as_of | value
           80 | 0
           81 | 1
           90 | 10
           91 | 6
           95 | 10
          200 | 115
    """)  # fmt: skip


def test_open_ones_older_than_the_history_are_forgotten():
    check("open", None, f"day | until\n 60 | {NEVER}", "as_of | value\n 90 | 1\n 91 | 0", history_days=30)
