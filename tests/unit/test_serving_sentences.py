"""What the facts say, word for word, in both languages."""

import math

import pytest

from features.catalogue import CUSTOMER_MEASURES, MEASURES, Feature
from serving.sentences import number, sentence, words

LOGIN = {"en": "Logins", "ja": "ログイン"}
TICKET = {"en": "Support tickets", "ja": "問い合わせ"}
NPS = {"en": "NPS", "ja": "NPS"}


def feature(measure, days=None, label=LOGIN, family="login", unit="count"):
    return Feature(f"login_{measure}", "login", measure, days, family, "number", unit, label)


def trend(count, prior):
    return {"count": count, "trend": math.log((count + 1) / (prior + 1))}


SAID = [
    (
        "count",
        14,
        trend(16, 42),
        "Logins fell 62% in the last 14 days (16, against 42 in the 14 before).",
        "直近14日間のログインは16回で、その前の14日間（42回）から62%減少しています。",
    ),
    (
        "trend",
        7,
        trend(1234, 1000),
        "Logins rose 23% in the last 7 days (1,234, against 1,000 in the 7 before).",
        "直近7日間のログインは1,234回で、その前の7日間（1,000回）から23%増加しています。",
    ),
    (
        "count",
        28,
        trend(1001, 1000),
        "Logins hardly changed in the last 28 days (1,001, against 1,000 in the 28 before).",
        "直近28日間のログインは1,001回で、その前の28日間（1,000回）からほぼ横ばいです。",
    ),
    (
        "count",
        28,
        trend(12, 12),
        "Logins stayed at 12 in the last 28 days, as in the 28 before.",
        "直近28日間のログインは12回で、その前の28日間と同じです。",
    ),
    (
        "count",
        28,
        trend(2, 9),
        "Logins: 2 in the last 28 days, against 9 in the 28 before.",
        "直近28日間のログインは2回です（その前の28日間は9回）。",
    ),
    (
        "count",
        28,
        trend(0, 42),
        "No logins in the last 28 days, against 42 in the 28 before.",
        "直近28日間にログインはありません（その前の28日間は42回）。",
    ),
    (
        "count",
        28,
        trend(0, 0),
        "No logins in the last 28 days, nor in the 28 before.",
        "直近28日間、その前の28日間ともログインはありません。",
    ),
    ("count", 1, {"count": 3}, "Logins: 3 in the last day.", "直近1日間のログインは3回です。"),
    ("count", 28, {"count": 0}, "No logins in the last 28 days.", "直近28日間にログインはありません。"),
    (
        "trend",
        28,
        {"trend": -1.2},
        "Logins fell in the last 28 days, compared with the 28 before.",
        "直近28日間のログインは、その前の28日間と比べて減少しています。",
    ),
    (
        "days",
        28,
        {"days": 1},
        "Logins on 1 day in the last 28 days.",
        "直近28日間のうち、ログインがあったのは1日です。",
    ),
    ("days", 28, {"days": 0}, "No logins in the last 28 days.", "直近28日間にログインはありません。"),
    (
        "sum",
        28,
        {"sum": 1234.5},
        "Logins totalled 1,234 in the last 28 days.",
        "直近28日間のログインの合計は1,234です。",
    ),
    (
        "mean",
        28,
        {"mean": 3.14159},
        "Logins averaged 3.1 in the last 28 days.",
        "直近28日間のログインの平均は3.1です。",
    ),
    (
        "mean",
        28,
        {"mean": None},
        "No logins with a value in the last 28 days.",
        "直近28日間に値のあるログインはありません。",
    ),
    ("recency", None, {"recency": 12}, "Logins: the last was 12 days ago.", "最後のログインは12日前です。"),
    (
        "recency",
        None,
        {"recency": 12, "gap": 3.4},
        "Logins: the last was 12 days ago; the usual gap is 3.4 days.",
        "最後のログインは12日前です（通常の間隔は3.4日）。",
    ),
    (
        "recency",
        None,
        {"recency": 1, "gap": 2},
        "Logins: the last was the day before this list.",
        "最後のログインはこのリストの前日です。",
    ),
    ("recency", None, {"recency": None}, "No logins on record.", "ログインの記録がありません。"),
    ("tenure", None, {"tenure": 200}, "Logins: the first was 200 days ago.", "最初のログインは200日前です。"),
    ("tenure", None, {"tenure": None}, "No logins on record.", "ログインの記録がありません。"),
    ("gap", None, {"gap": 1}, "Logins: the usual gap is 1 day.", "ログインの通常の間隔は1日です。"),
    (
        "gap",
        None,
        {"gap": None},
        "Too few logins on record to know a usual gap.",
        "ログインの記録が少ないため、通常の間隔は分かりません。",
    ),
    (
        "gap_ratio",
        None,
        {"gap_ratio": 3.5, "recency": 12, "gap": 3.4},
        "Logins: the last was 12 days ago, 3.5 times the usual gap of 3.4 days.",
        "最後のログインは12日前で、通常の間隔（3.4日）の3.5倍が経過しています。",
    ),
    (
        "gap_ratio",
        None,
        {"gap_ratio": 0.25},
        "Logins: the silence is 0.25 times the usual gap.",
        "ログインのない期間は、通常の間隔の0.25倍です。",
    ),
    (
        "spike",
        None,
        {"spike": -2.25},
        "Logins in the last 7 days: below the usual week (-2.2 standard deviations).",
        "直近7日間のログインは、普段の週を下回っています（-2.2標準偏差）。",
    ),
    (
        "spike",
        None,
        {"spike": 0.1},
        "Logins in the last 7 days: about as many as in a usual week.",
        "直近7日間のログインは、普段の週とほぼ同じです。",
    ),
    ("days_to_renewal", None, {"days_to_renewal": 45}, "Renewal in 45 days.", "契約更新まで45日です。"),
    ("days_to_renewal", None, {"days_to_renewal": 0}, "The renewal is due today.", "本日が契約更新日です。"),
    (
        "days_to_renewal",
        None,
        {"days_to_renewal": -1},
        "The renewal date passed 1 day ago.",
        "契約更新日から1日過ぎています。",
    ),
    (
        "days_to_renewal",
        None,
        {"days_to_renewal": None},
        "No renewal date on record.",
        "契約更新日の記録がありません。",
    ),
    (
        "tenure_days",
        None,
        {"tenure_days": 1200},
        "A customer for 1,200 days.",
        "取引開始から1,200日経過しています。",
    ),
]


@pytest.mark.parametrize(("measure", "days", "facts", "english", "japanese"), SAID)
def test_the_sentence_word_for_word(measure, days, facts, english, japanese):
    assert sentence(feature(measure, days), facts, "en") == english
    assert sentence(feature(measure, days), facts, "ja") == japanese


@pytest.mark.parametrize(
    ("facts", "english", "japanese"),
    [
        ({"last": 3, "change": -4}, "NPS fell from 7 to 3.", "NPSは7から3に下がっています。"),
        ({"last": 9, "change": 2}, "NPS rose from 7 to 9.", "NPSは7から9に上がっています。"),
        ({"last": 9, "change": 0}, "NPS stayed at 9.", "NPSは9のまま変わっていません。"),
        ({"last": 9, "change": None}, "NPS: the latest value is 9.", "最新のNPSは9です。"),
        ({"last": None, "change": None}, "NPS: no value on record.", "NPSの記録がありません。"),
    ],
)
def test_ratings(facts, english, japanese):
    assert sentence(feature("last", label=NPS), facts, "en") == english
    assert sentence(feature("last", label=NPS), facts, "ja") == japanese


@pytest.mark.parametrize(
    ("measure", "facts", "english", "japanese"),
    [
        (
            "open",
            {"open": 3, "oldest_open_days": 12},
            "Support tickets open: 3 (the oldest for 12 days).",
            "未完了の問い合わせが3件あります（最も古いものは12日経過）。",
        ),
        ("open", {"open": 1}, "Support tickets open: 1.", "未完了の問い合わせが1件あります。"),
        (
            "open",
            {"open": 0, "oldest_open_days": 0},
            "No support tickets open.",
            "未完了の問い合わせはありません。",
        ),
        (
            "oldest_open_days",
            {"oldest_open_days": 1},
            "Support tickets open: the oldest for 1 day.",
            "未完了の問い合わせのうち、最も古いものは1日経過しています。",
        ),
    ],
)
def test_what_is_still_open(measure, facts, english, japanese):
    assert sentence(feature(measure, label=TICKET), facts, "en") == english
    assert sentence(feature(measure, label=TICKET), facts, "ja") == japanese


COMPARED = [
    (
        ("days", {"days": 15, **trend(18, 2)}),
        "Logins on 15 days in the last 28 days (18 in all, against 2 in the 28 before).",
        "直近28日間のうち、ログインがあったのは15日です（計18回、その前の28日間は2回）。",
    ),
    (
        ("days", {"days": 0, **trend(0, 2)}),
        "No logins in the last 28 days, against 2 in the 28 before.",
        "直近28日間にログインはありません（その前の28日間は2回）。",
    ),
    (
        ("sum", {"sum": 7102.4, **trend(3, 1)}),
        "Logins totalled 7,102 in the last 28 days (3 in number, against 1 in the 28 before).",
        "直近28日間のログインの合計は7,102です（計3回、その前の28日間は1回）。",
    ),
    (
        ("mean", {"mean": 0.22, "longest": 0.61, "longest_days": 90}),
        "Logins averaged 0.22 in the last 28 days (0.61 in the last 90 days).",
        "直近28日間のログインの平均は0.22です（直近90日間では0.61）。",
    ),
    (
        ("distinct", {"distinct": 1, "longest": 9, "longest_days": 90}),
        "Logins in the last 28 days: 1 user (9 in the last 90 days).",
        "直近28日間のログインにおけるユーザーの数は1です（直近90日間では9）。",
    ),
]


@pytest.mark.parametrize(("facts", "english", "japanese"), COMPARED)
def test_a_figure_stands_beside_the_customers_own_level(facts, english, japanese):
    measure, numbers = facts
    own = feature(measure, 28, family="login_user_id")
    assert sentence(own, numbers, "en") == english
    assert sentence(own, numbers, "ja") == japanese


def test_entities_are_counted_in_the_plural():
    users = feature("distinct", 28, family="login_user_id")
    assert sentence(users, {"distinct": 3}, "en") == "Logins in the last 28 days: 3 different users."
    assert sentence(users, {"distinct": 1}, "en") == "Logins in the last 28 days: 1 user."
    assert sentence(users, {"distinct": 3}, "ja") == "直近28日間のログインにおけるユーザーの数は3です。"
    categories = feature("distinct", 28, family="login_category")
    assert sentence(categories, {"distinct": 2}, "en") == "Logins in the last 28 days: 2 different categories."


@pytest.mark.parametrize(
    ("unit", "value", "english", "japanese"),
    [
        ("category", "pro", "Plan: pro.", "プランはproです。"),
        ("value", 1200.0, "Plan: 1,200.", "プランは1,200です。"),
        ("flag", 1, "Plan: yes.", "プランに該当します。"),
        ("flag", 0, "Plan: no.", "プランに該当しません。"),
        ("value", None, "Plan: not known.", "プランは不明です。"),
    ],
)
def test_attributes(unit, value, english, japanese):
    plan = feature("attribute", label={"en": "Plan", "ja": "プラン"}, unit=unit)
    assert sentence(plan, {"attribute": value}, "en") == english
    assert sentence(plan, {"attribute": value}, "ja") == japanese


@pytest.mark.parametrize("lang", ["en", "ja"])
@pytest.mark.parametrize("measure", [*MEASURES, *CUSTOMER_MEASURES], ids=lambda measure: measure.name)
def test_every_measure_of_the_catalogue_has_a_phrase(measure, lang):
    for value in (measure.empty, 0, 1, 2.5, -3):
        text = sentence(feature(measure.name, 28), {measure.name: value}, lang)
        assert text.endswith("。" if lang == "ja" else ".") and "{" not in text and "None" not in text


def test_both_languages_say_the_same_things():
    def shape(node):
        return {key: shape(value) for key, value in node.items()} if isinstance(node, dict) else None

    english, japanese = words("en"), words("ja")
    for name in ("sentences", "columns", "bands", "actions"):
        assert shape(english[name]) == shape(japanese[name])
    assert set(english) == set(japanese)


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_nothing_is_called_a_cause(lang):
    said = str(words(lang)["sentences"]) + words(lang)["lowers"]
    assert not any(word in said for word in ("because", "due to ", "caused", "ため解約", "原因", "せいで"))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1234567, "1,234,567"),
        (0.314, "0.31"),
        (56.78, "56.8"),
        (5.0, "5"),
        (-1234.4, "-1,234"),
        (2.04, "2"),
        (0.004, "0"),
    ],
)
def test_numbers_as_people_read_them(value, text):
    assert number(value) == text


def test_a_label_missing_in_one_language_falls_back():
    assert sentence(feature("recency", label={"en": "Logins"}), {"recency": 3}, "ja") == "最後のLoginsは3日前です。"
