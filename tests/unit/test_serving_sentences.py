"""What the facts say, word for word, in both languages."""

import math

import pandas as pd
import pytest

from features.catalogue import CUSTOMER_MEASURES, MEASURES, Feature
from serving.lists import table
from serving.words import reasons
from serving.words.sentences import number, sentence, words

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
        "Logins fell 62% in the last 14 days (16, against 42 in the 14 days before).",
        "直近14日間のログインは16回で、その前の14日間（42回）から62%減少しています。",
    ),
    (
        "trend",
        7,
        trend(1234, 1000),
        "Logins rose 23% in the last 7 days (1,234, against 1,000 in the 7 days before).",
        "直近7日間のログインは1,234回で、その前の7日間（1,000回）から23%増加しています。",
    ),
    (
        "count",
        28,
        trend(1001, 1000),
        "Logins hardly changed in the last 28 days (1,001, against 1,000 in the 28 days before).",
        "直近28日間のログインは1,001回で、その前の28日間（1,000回）とほぼ同じです。",
    ),
    (
        "count",
        28,
        trend(12, 12),
        "Logins stayed at 12 in the last 28 days, as in the 28 days before.",
        "直近28日間のログインは12回で、その前の28日間と同じです。",
    ),
    (
        "count",
        28,
        trend(2, 9),
        "Logins: 2 in the last 28 days, against 9 in the 28 days before.",
        "直近28日間のログインは2回で、その前の28日間は9回でした。",
    ),
    (
        "count",
        28,
        trend(0, 42),
        "No logins in the last 28 days, against 42 in the 28 days before.",
        "直近28日間にログインはありませんが、その前の28日間は42回ありました。",
    ),
    (
        "count",
        28,
        trend(0, 0),
        "No logins in the last 28 days, nor in the 28 days before.",
        "直近28日間、その前の28日間ともログインはありません。",
    ),
    ("count", 1, {"count": 3}, "Logins: on record 3 times in the last day.", "直近1日間のログインの記録は3件です。"),
    ("count", 28, {"count": 1}, "Logins: on record once in the last 28 days.", "直近28日間のログインの記録は1件です。"),
    (
        "count",
        28,
        {"count": 0},
        "No logins on record in the last 28 days.",
        "直近28日間にログインの記録はありません。",
    ),
    (
        "count",
        14,
        trend(71, 69),
        "Logins hardly changed in the last 14 days (71, against 69 in the 14 days before).",
        "直近14日間のログインは71回で、その前の14日間（69回）とほぼ同じです。",
    ),
    (
        "count",
        14,
        trend(90, 100),
        "Logins fell 10% in the last 14 days (90, against 100 in the 14 days before).",
        "直近14日間のログインは90回で、その前の14日間（100回）から10%減少しています。",
    ),
    (
        "trend",
        28,
        {"trend": -1.2},
        "Logins fell in the last 28 days, compared with the 28 days before.",
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
        "Logins averaged 3.14 in the last 28 days.",
        "直近28日間のログインの平均は3.14です。",
    ),
    (
        "mean",
        28,
        {"mean": None},
        "Logins: no value in the last 28 days.",
        "直近28日間にログインの値はありません。",
    ),
    (
        "recency",
        None,
        {"recency": 12},
        "Logins: the last on record was 12 days ago.",
        "ログインの最後の記録は12日前です。",
    ),
    (
        "recency",
        None,
        {"recency": 12, "gap": 3.4},
        "Logins: the last was 12 days ago; the usual gap is 3.4 days.",
        "最後のログインは12日前で、通常の間隔は3.4日です。",
    ),
    (
        "recency",
        None,
        {"recency": 1, "gap": 2},
        "Logins: the last on record was the day before this list.",
        "ログインの最後の記録はリスト基準日の前日です。",
    ),
    (
        "recency",
        None,
        {"recency": None},
        "No logins on record in the period looked at.",
        "集計期間内にログインの記録はありません。",
    ),
    (
        "tenure",
        None,
        {"tenure": 400},
        "Logins: on record for at least 400 days.",
        "ログインの記録は少なくとも400日前からあります。",
    ),
    (
        "tenure",
        None,
        {"tenure": None},
        "No logins on record in the period looked at.",
        "集計期間内にログインの記録はありません。",
    ),
    ("gap", None, {"gap": 1}, "Logins: the usual gap is 1 day.", "ログインの通常の間隔は1日です。"),
    (
        "gap",
        None,
        {"gap": None},
        "Logins: too little in the period looked at to know a usual gap.",
        "集計期間内のログインの記録が少なく、通常の間隔は分かりません。",
    ),
    (
        "gap_ratio",
        None,
        {"gap_ratio": 3.5, "recency": 12, "gap": 3.4},
        "Logins: the last was 12 days ago, 3.5 times the usual gap of 3.4 days.",
        "最後のログインから12日が経過し、通常の間隔（3.4日）の3.5倍になっています。",
    ),
    (
        "gap_ratio",
        None,
        {"gap_ratio": 10 / 156, "recency": 10, "gap": 156.04},
        "Logins: the last was 10 days ago; the usual gap is 156 days.",
        "最後のログインは10日前で、通常の間隔は156日です。",
    ),
    (
        "gap_ratio",
        None,
        {"gap_ratio": 1.04, "recency": 26, "gap": 25},
        "Logins: the last was 26 days ago; the usual gap is 25 days.",
        "最後のログインは26日前で、通常の間隔は25日です。",
    ),
    (
        "gap_ratio",
        None,
        {"gap_ratio": 0.5, "recency": 1, "gap": 2},
        "Logins: the last on record was the day before this list.",
        "ログインの最後の記録はリスト基準日の前日です。",
    ),
    (
        "gap_ratio",
        None,
        {"gap_ratio": 2.5},
        "Logins: the silence is 2.5 times the usual gap.",
        "ログインのない期間は、通常の間隔の2.5倍です。",
    ),
    (
        "gap_ratio",
        None,
        {"gap_ratio": 0.25},
        "Logins: the silence is within the usual gap.",
        "ログインのない期間は、通常の間隔の範囲内です。",
    ),
    (
        "spike",
        None,
        {"spike": -2.25},
        "Logins in the last 7 days: 2.2 standard deviations below the usual week.",
        "直近7日間のログインは、普段の週より少なく、その差は普段のばらつき（標準偏差）の2.2倍です。",
    ),
    (
        "spike",
        None,
        {"spike": 0.1},
        "Logins in the last 7 days: about as many as in a usual week.",
        "直近7日間のログインは、普段の週とほぼ同じです。",
    ),
    ("days_to_renewal", None, {"days_to_renewal": 45}, "Renewal in 45 days.", "契約更新まで45日です。"),
    (
        "days_to_renewal",
        None,
        {"days_to_renewal": 0},
        "The renewal is due on the day of this list.",
        "リスト基準日が契約更新日です。",
    ),
    (
        "days_to_renewal",
        None,
        {"days_to_renewal": -1},
        "The renewal date passed 1 day ago.",
        "契約更新日を1日過ぎています。",
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
        "利用開始から1,200日経過しています。",
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
        ({"last": None, "change": None}, "NPS: no value in the period looked at.", "集計期間内にNPSの値はありません。"),
    ],
)
def test_ratings(facts, english, japanese):
    assert sentence(feature("last", label=NPS), facts, "en") == english
    assert sentence(feature("last", label=NPS), facts, "ja") == japanese


@pytest.mark.parametrize(
    ("measure", "facts", "english", "japanese"),
    [
        (
            "change",
            {"change": 1.6, "last": 19},
            "Price per seat rose from 17.4 to 19.",
            "席単価は17.4から19に上がっています。",
        ),
        (
            "change",
            {"change": 0.004, "last": 17.404},
            "Price per seat stayed at 17.4.",
            "席単価は17.4のまま変わっていません。",
        ),
        (
            "change",
            {"change": None},
            "Price per seat: no earlier value to compare with in the period looked at.",
            "集計期間内に比較できる前回の席単価はありません。",
        ),
        (
            "mean",
            {"mean": 0.996, "longest": 0.87, "longest_days": 90},
            "Price per seat averaged 1.00 in the last 28 days (0.87 in the last 90 days).",
            "直近28日間の席単価の平均は1.00で、直近90日間では0.87です。",
        ),
        (
            "count",
            {"count": 2},
            "Price per seat: on record 2 times in the last 28 days.",
            "直近28日間の席単価の記録は2件です。",
        ),
        (
            "recency",
            {"recency": 12},
            "Price per seat: the last on record was 12 days ago.",
            "席単価の最後の記録は12日前です。",
        ),
    ],
)
def test_a_thing_with_a_value(measure, facts, english, japanese):
    price = feature(measure, 28, label={"en": "Price per seat", "ja": "席単価"})
    assert sentence(price, facts, "en") == english
    assert sentence(price, facts, "ja") == japanese


@pytest.mark.parametrize(
    ("measure", "facts", "english", "japanese"),
    [
        (
            "open",
            {"open": 3, "oldest_open_days": 12},
            "Support tickets open: 3 (the oldest for 12 days).",
            "未解決の問い合わせが3件あり、最も古いものは12日経過しています。",
        ),
        ("open", {"open": 1}, "Support tickets open: 1.", "未解決の問い合わせが1件あります。"),
        (
            "open",
            {"open": 0, "oldest_open_days": 0},
            "No support tickets open.",
            "未解決の問い合わせはありません。",
        ),
        (
            "oldest_open_days",
            {"oldest_open_days": 1},
            "Support tickets open: the oldest for 1 day.",
            "未解決の問い合わせのうち、最も古いものは1日経過しています。",
        ),
    ],
)
def test_what_is_still_open(measure, facts, english, japanese):
    assert sentence(feature(measure, label=TICKET), facts, "en") == english
    assert sentence(feature(measure, label=TICKET), facts, "ja") == japanese


@pytest.mark.parametrize(
    ("measure", "facts", "english", "japanese"),
    [
        (
            "slope",
            {"slope": -2.333},
            "Logins fell by 2.33 a week on average over the last 8 weeks.",
            "直近8週間のログインは、1週間あたり平均2.33回のペースで減少しています。",
        ),
        (
            "slope",
            {"slope": 12.25},
            "Logins rose by 12.2 a week on average over the last 8 weeks.",
            "直近8週間のログインは、1週間あたり平均12.2回のペースで増加しています。",
        ),
        (
            "slope",
            {"slope": 0.04},
            "Logins hardly rose or fell over the last 8 weeks.",
            "直近8週間のログインに、目立った増減はありません。",
        ),
        (
            "decline_weeks",
            {"decline_weeks": 3},
            "Logins fell for 3 weeks in a row.",
            "ログインは3週連続で前の週を下回っています。",
        ),
        (
            "decline_weeks",
            {"decline_weeks": 1},
            "Logins in the last 7 days: fewer than in the week before.",
            "直近7日間のログインは、前の週を下回っています。",
        ),
        (
            "decline_weeks",
            {"decline_weeks": 0},
            "Logins in the last 7 days: no fewer than in the week before.",
            "直近7日間のログインは、前の週を下回っていません。",
        ),
    ],
)
def test_the_course_of_the_weeks(measure, facts, english, japanese):
    assert sentence(feature(measure), facts, "en") == english
    assert sentence(feature(measure), facts, "ja") == japanese


@pytest.mark.parametrize(
    ("measure", "facts", "english", "japanese"),
    [
        (
            "new_users",
            {"new_users": 1},
            "Logins in the last 28 days: 1 new user.",
            "直近28日間に初めてログインがあったユーザー数は1です。",
        ),
        (
            "new_users",
            {"new_users": 2, "distinct": 5},
            "Logins in the last 28 days: 5 different users, 2 of them new.",
            "直近28日間にログインがあったユーザー数は5で、このうち新規は2人です。",
        ),
        (
            "new_users",
            {"new_users": 0, "distinct": 5},
            "Logins in the last 28 days: 5 different users, none of them new.",
            "直近28日間にログインがあったユーザー数は5で、このうち新規はいません。",
        ),
        (
            "new_users",
            {"new_users": 0, "distinct": 1},
            "Logins in the last 28 days: nobody new.",
            "直近28日間に初めてログインがあった人はいません。",
        ),
        (
            "new_users",
            {"new_users": 1, "distinct": 1},
            "Logins in the last 28 days: 1 new user.",
            "直近28日間に初めてログインがあったユーザー数は1です。",
        ),
        (
            "key_user_quiet",
            {"key_user_quiet": 12, "recency": 12},
            "Logins: the most active user was last seen 12 days ago.",
            "ログインのあった日が最も多いユーザーの最後の記録は12日前です。",
        ),
        (
            "key_user_quiet",
            {"key_user_quiet": 30, "recency": 2},
            "Logins: the most active user was last seen 30 days ago, others 2 days ago.",
            "ログインのあった日が最も多いユーザーの最後の記録は30日前で、ほかのユーザーの最後の記録は2日前です。",
        ),
        (
            "key_user_quiet",
            {"key_user_quiet": 1, "recency": 1},
            "Logins: the most active user was last seen the day before this list.",
            "ログインのあった日が最も多いユーザーの最後の記録はリスト基準日の前日です。",
        ),
        (
            "key_user_quiet",
            {"key_user_quiet": None},
            "No logins on record in the period looked at.",
            "集計期間内にログインの記録はありません。",
        ),
        (
            "seats_used",
            {"seats_used": 0.625},
            "Seats used in the last 28 days: 62%.",
            "直近28日間に利用された席の割合は62%です。",
        ),
        (
            "seats_used",
            {"seats_used": 0.0034},
            "Seats used in the last 28 days: 0.3%.",
            "直近28日間に利用された席の割合は0.3%です。",
        ),
        (
            "seats_used",
            {"seats_used": 0},
            "No seat was used in the last 28 days.",
            "直近28日間に利用された席はありません。",
        ),
        ("seats_used", {"seats_used": None}, "The number of seats is not known.", "席数は不明です。"),
    ],
)
def test_the_users_of_an_account(measure, facts, english, japanese):
    own = feature(measure, 28, family="login_user_id")
    assert sentence(own, facts, "en") == english
    assert sentence(own, facts, "ja") == japanese


def test_the_figures_beside_a_users_measure_are_among_its_facts():
    own = [feature(name, days) for name, days in (("new_users", 28), ("distinct", 28), ("key_user_quiet", None))]
    own.append(feature("recency"))
    frame = pd.DataFrame({f.name: [float(position)] for position, f in enumerate(own)})
    facts = reasons.Facts(own, frame)
    assert facts.of("login_new_users", 0) == {"new_users": 0, "distinct": 1}
    assert facts.of("login_key_user_quiet", 0) == {"key_user_quiet": 2, "recency": 3}


COMPARED = [
    (
        ("days", {"days": 15, **trend(18, 2)}),
        "Logins on 15 days in the last 28 days (18 in all, against 2 in the 28 days before).",
        "直近28日間のうち、ログインがあったのは15日（計18回）で、その前の28日間は計2回でした。",
    ),
    (
        ("days", {"days": 0, **trend(0, 2)}),
        "No logins in the last 28 days, against 2 in the 28 days before.",
        "直近28日間にログインはありませんが、その前の28日間は2回ありました。",
    ),
    (
        ("sum", {"sum": 7102.4, **trend(3, 1)}),
        "Logins: 3 in the last 28 days (7,102 in all), against 1 in the 28 days before.",
        "直近28日間のログインは3回（合計7,102）で、その前の28日間は1回でした。",
    ),
    (
        ("mean", {"mean": 0.22, "longest": 0.61, "longest_days": 90}),
        "Logins averaged 0.22 in the last 28 days (0.61 in the last 90 days).",
        "直近28日間のログインの平均は0.22で、直近90日間では0.61です。",
    ),
    (
        ("distinct", {"distinct": 1, "longest": 9, "longest_days": 90}),
        "Logins in the last 28 days: 1 user (9 in the last 90 days).",
        "直近28日間にログインがあったユーザー数は1で、直近90日間では9です。",
    ),
    (
        ("mean", {"mean": 0.921, "longest": 0.919, "longest_days": 90}),
        "Logins averaged 0.92 in the last 28 days.",
        "直近28日間のログインの平均は0.92です。",
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
    assert sentence(users, {"distinct": 3}, "ja") == "直近28日間にログインがあったユーザー数は3です。"
    categories = feature("distinct", 28, family="login_category")
    assert sentence(categories, {"distinct": 2}, "en") == "Logins in the last 28 days: 2 different categories."


@pytest.mark.parametrize(
    ("unit", "value", "english", "japanese"),
    [
        ("category", "pro", "Plan: pro.", "プランはproです。"),
        ("value", 1200.0, "Plan: 1,200.", "プランは1,200です。"),
        ("flag", 1, "Plan: yes.", "プラン：はい。"),
        ("flag", 0, "Plan: no.", "プラン：いいえ。"),
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
    for name in ("sentences", "columns", "bands", "actions", "stages", "segments"):
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
        (-1234.4, "−1,234"),
        (2.04, "2.04"),
        (3.50, "3.5"),
        (17.4, "17.4"),
        (0.996, "1.00"),
        (11.98, "12.0"),
        (0.004, "0.004"),
        (0, "0"),
        (120, "120"),
    ],
)
def test_numbers_as_people_read_them(value, text):
    assert number(value) == text


def test_a_label_missing_in_one_language_falls_back():
    assert (
        sentence(feature("recency", label={"en": "Logins"}), {"recency": 3}, "ja") == "Loginsの最後の記録は3日前です。"
    )


def test_no_japanese_sentence_ends_with_a_bracket_that_would_wrap_alone():
    texts = [text for group in words("ja")["sentences"].values() for text in group.values()]
    assert all(text.endswith("。") and not text.endswith("）。") for text in texts)


def printed(capsys, lang, *rows, model="churn"):
    about = {
        "model": model,
        "as_of": "2026-01-01",
        "customers": 1205,
        "model_version": "0123456789ab",
        "grade": "B",
        "base_rate": 0.07,
        "note": None,
        "legend": words(lang)["legend"],
        "interval": words(lang)["interval"],
    }
    table.show(about, rows, lang)
    return capsys.readouterr().out


def row(*points, change=None, low=None, high=None, risks=None):
    return {
        "rank": 1,
        "customer_id": "A-1",
        "name": None,
        "score": 0.25,
        "low": low,
        "high": high,
        "risks": risks,
        "band": "high",
        "change": change,
        "reasons": [
            {"points": p, "text": f"解約{n}。この点は低いスコアと関連しています。"} for n, p in enumerate(points)
        ],
        "value_at_risk": 5985.2,
        "gain": -0.125,
        "action": "contact",
        "owner": None,
    }


def test_the_title_names_the_model_in_the_readers_language(capsys):
    assert printed(capsys, "en").startswith("Churn as of 2026-01-01: 1,205 customers")
    assert printed(capsys, "ja").startswith("解約予測リスト 2026-01-01時点：対象顧客1,205件")
    assert printed(capsys, "ja", model="upsell").startswith("追加購入予測リスト")
    assert printed(capsys, "en", model="win-back").startswith("Win-back as of")
    assert printed(capsys, "ja", model="win-back").startswith("win-back予測リスト")


def test_the_table_says_how_it_is_ranked_and_what_its_columns_mean(capsys):
    english, japanese = printed(capsys, "en", row(0.1)), printed(capsys, "ja", row(0.1))
    assert "Customers to contact come first" in english and "Value: score × amount" in english
    assert "連絡する顧客" in japanese and "想定影響額：スコア×金額" in japanese
    assert "5,985" in english and "−0.12" in english


def test_a_change_is_shown_when_there_is_one(capsys):
    assert "Change" not in printed(capsys, "en", row(0.1), row(0.1))
    both = printed(capsys, "en", row(0.1), row(0.1, change=-0.031))
    assert "Change" in both and "−3.1" in both and "-3.1" not in both


def test_an_interval_and_other_horizons_are_shown_where_they_are_known(capsys):
    for lang, said, within in (
        ("en", "Range, low to high", "60 days: 31.0%"),
        ("ja", "誰にも予測できない", "60日：31.0%"),
    ):
        nothing = printed(capsys, lang, row(0.1))
        assert said not in nothing and "–" not in nothing and words(lang)["columns"]["risks"] not in nothing
        some = printed(capsys, lang, row(0.1, low=0.1834, high=0.331, risks={"30": 0.25, "60": 0.31}))
        assert said in some.replace("\n", "") and "18.3–33.1%" in some and within in some


def test_the_first_reason_is_always_told_and_faint_ones_are_not(capsys):
    text = printed(capsys, "ja", row(-0.004, 0.003, -0.012))
    assert "−0.4：解約0 " in text and "解約1" not in text and "−1.2：解約2 " in text
    assert "低いスコアと関連" not in text
