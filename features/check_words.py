"""The sentences of the checks in both languages: found, needed, what to do."""

CHECKS = {
    "usable rows": {"en": "usable rows", "ja": "行の有効性"},
    "future times": {"en": "future times", "ja": "未来の日時"},
    "time order": {"en": "time order", "ja": "時間の前後関係"},
    "repeated rows": {"en": "repeated rows", "ja": "行の重複"},
    "time zone": {"en": "time zone", "ja": "タイムゾーン"},
    "feeds": {"en": "feeds", "ja": "データの到着"},
    "volume": {"en": "volume", "ja": "データ量の急減"},
    "observed until": {"en": "observed until", "ja": "観測の終わり"},
    "history": {"en": "history", "ja": "データの期間"},
    "customers": {"en": "customers", "ja": "顧客数"},
    "outcomes": {"en": "outcomes", "ja": "予測対象の件数"},
    "test dates": {"en": "test dates", "ja": "評価に使う基準日"},
    "leakage": {"en": "leakage", "ja": "未来の情報の混入"},
    "recomputation": {"en": "recomputation", "ja": "過去時点での再計算"},
}
LEVELS = {
    "ok": {"en": "OK", "ja": "合格"},
    "warning": {"en": "WARNING", "ja": "注意"},
    "error": {"en": "ERROR", "ja": "不合格"},
}
_USABLE = "every row has a time and a known customer", "すべての行に日時と登録済みの顧客IDがあること"
_ORDER = "nothing happens before it can", "起こり得ない順序のデータがないこと"


def _lost(english: str, japanese: str, todo: str, todo_ja: str) -> dict[str, tuple[str, str, str]]:
    return {
        "en": (f"{{rows:,}} rows ({{share:.1%}}) {english}", _USABLE[0], todo),
        "ja": (f"{{rows:,}}行（{{share:.1%}}）{japanese}", _USABLE[1], todo_ja),
    }


SAID: dict[str, dict[str, tuple[str, str, str]]] = {
    "usable rows: fine": {
        "en": ("all {rows:,} rows are used", _USABLE[0], ""),
        "ja": ("{rows:,}行すべてを使用しています", _USABLE[1], ""),
    },
    "usable rows: without_time": _lost(
        "have no time and are not used",
        "に日時がなく、使用していません",
        "fill the time column, or leave these rows out",
        "日時の列を補うか、該当行を除いてください",
    ),
    "usable rows: without_id": _lost(
        "have no customer id and are not used",
        "に顧客IDがなく、使用していません",
        "fill the id column, or leave these rows out",
        "顧客IDの列を補うか、該当行を除いてください",
    ),
    "usable rows: of_unknown_customers": _lost(
        "belong to no known customer and are not used",
        "の顧客IDが顧客表にないため、使用していません",
        "add these customers to the customer table, or check data.yaml: id",
        "該当する顧客を顧客表に加えるか、data.yaml の id を確認してください",
    ),
    "future times: fine": {
        "en": ("no row lies after today", "no row after today", ""),
        "ja": ("今日より後の日時を持つ行はありません", "今日より後の行がないこと", ""),
    },
    "future times: after_today": {
        "en": (
            "{rows:,} rows ({share:.1%}) lie after today and are not used",
            "no row after today",
            "correct the times; when they are hours ahead, check data.yaml: naive_times",
        ),
        "ja": (
            "{rows:,}行（{share:.1%}）が今日より後の日時のため、使用していません",
            "今日より後の行がないこと",
            "日時を修正してください。数時間だけ先の場合は data.yaml の naive_times を確認してください",
        ),
    },
    "time order: fine": {
        "en": (
            "no stream begins before its customers, ends before it begins, is known before it happens",
            _ORDER[0],
            "",
        ),
        "ja": ("顧客の登録前の記録、開始前の終了、発生前の取り込みはいずれもありません", _ORDER[1], ""),
    },
    "time order: before_known": {
        "en": (
            "{share:.1%} of the events ({rows:,}) lie before the customer is known",
            "at most {limit:.1%}",
            "check the time column, and data.yaml: customers.known_from",
        ),
        "ja": (
            "{rows:,}件（{share:.1%}）が顧客の登録日より前です",
            "{limit:.1%}以下",
            "日時の列と data.yaml の customers.known_from を確認してください",
        ),
    },
    "time order: before_subscription": {
        "en": (
            "{share:.1%} of the events ({rows:,}) lie before the first subscription",
            "at most {limit:.1%}",
            "check the time columns of the stream and of the subscriptions",
        ),
        "ja": (
            "{rows:,}件（{share:.1%}）が最初の契約の開始日より前です",
            "{limit:.1%}以下",
            "記録と契約の日時の列を確認してください",
        ),
    },
    "time order: ending_before_they_begin": {
        "en": (
            "{rows:,} rows ({share:.1%}) end before they begin and count as ended",
            _ORDER[0],
            "correct the columns `at` and `until`",
        ),
        "ja": (
            "{rows:,}行（{share:.1%}）の終了が開始より前で、終了済みとして扱っています",
            _ORDER[1],
            "at と until の列を修正してください",
        ),
    },
    "time order: known_too_early": {
        "en": (
            "{rows:,} rows ({share:.1%}) were known before they happened",
            "at most {limit:.1%}; the clocks of two systems may differ by an hour",
            "check the columns `at` and `known` and their time zones; the later of the two is used",
        ),
        "ja": (
            "{rows:,}行（{share:.1%}）の取り込みが発生より前です",
            "{limit:.1%}以下（システム間の時計のずれは1時間まで許容）",
            "at と known の列とタイムゾーンを確認してください。遅いほうの日時を使っています",
        ),
    },
    "repeated rows: fine": {
        "en": ("no row stands twice in its table", "each event once", ""),
        "ja": ("同じ行が二度含まれる表はありません", "1つの出来事につき1行", ""),
    },
    "repeated rows: differing": {
        "en": (
            "{rows:,} rows ({share:.1%}) share customer, time, value and entity with another and differ elsewhere: each "
            "counts",
            "each event once",
            "",
        ),
        "ja": (
            "{rows:,}行（{share:.1%}）は顧客・日時・値・対象が他の行と同じですが、ほかの列が異なるため別の出来事として数えています",
            "1つの出来事につき1行",
            "",
        ),
    },
    "repeated rows: same": {
        "en": (
            "{rows:,} rows ({share:.1%}) repeat another row in every column but load time and row number",
            "each event once",
            "remove the repeated rows, or keep them when each row stands for an event of its own",
        ),
        "ja": (
            "{rows:,}行（{share:.1%}）は、取り込み日時と行番号を除くすべての列が他の行と同じです",
            "1つの出来事につき1行",
            "重複した行を除いてください。それぞれが別の出来事であれば、そのままで構いません",
        ),
    },
    "time zone: fine": {
        "en": (
            "read as {zone}, and nothing speaks against it",
            "quiet hours at night, no date shifted by its zone",
            "",
        ),
        "ja": ("{zone} の時刻として不自然な点はありません", "静かな時間帯が夜間にあり、日付がずれていないこと", ""),
    },
    "time zone: shifted_dates": {
        "en": (
            "{rows:,} times ({share:.0%}) are exactly midnight {clock}: dates that become the day before in {zone}",
            "a date keeps its day",
            "make the column a date without a time, or give naive_times the zone in which it is midnight",
        ),
        "ja": (
            "{rows:,}件（{share:.0%}）が {clock} のちょうど0時です。日付だけの値が {zone} では前日になります",
            "日付が前日にずれないこと",
            "列を時刻のない日付型にするか、0時となるタイムゾーンを naive_times に指定してください",
        ),
    },
    "time zone: quiet_days": {
        "en": (
            "it is quiet from {begin}:00 to {end}:00 in {zone}, in the daytime",
            "quiet hours at night, unless a machine writes these rows",
            "check data.yaml: timezone and naive_times, and the zone the loader attaches",
        ),
        "ja": (
            "{zone} の{begin}時から{end}時、日中に記録がほとんどありません",
            "静かな時間帯が夜間にあること（機械的に書き込まれる記録を除く）",
            "data.yaml の timezone と naive_times、取り込み時のタイムゾーンを確認してください",
        ),
    },
    "feeds: fine": {
        "en": ("all {streams} streams are alive", "no pause over 7 days and twice the longest before", ""),
        "ja": ("{streams}種類の記録はすべて届いています", "7日、かつ過去最長の空白の2倍を超える途絶がないこと", ""),
    },
    "feeds: empty": {
        "en": ("no event of a known customer", "events up to the end of the data", "check the feed and its id column"),
        "ja": (
            "登録済みの顧客の記録がありません",
            "データの終わりまで記録があること",
            "連携とIDの列を確認してください",
        ),
    },
    "feeds: silent": {
        "en": (
            "silent for {quiet} days since {last}; its longest pause before was {pause} days",
            "at most {limit} days of silence",
            "check the feed",
        ),
        "ja": (
            "{last} を最後に{quiet}日間途絶えています（それまでの最長の空白は{pause}日）",
            "途絶は{limit}日以内",
            "データ連携を確認してください",
        ),
    },
    "volume: fine": {
        "en": ("no stream dropped for good from one week to the next", "weeks as full as the weeks before", ""),
        "ja": ("前週から急減したまま戻らない記録はありません", "週ごとの件数がそれまでと同じ水準であること", ""),
    },
    "volume: dropped": {
        "en": (
            "since {since} about {after:,} events a week, {before:,} before: {share:.0%} less, {weeks} weeks in a row",
            "every week at least {kept:.0%} of the quietest of the eight weeks before",
            "ask whether the feed or the tracking changed; leave it when the business did",
        ),
        "ja": (
            "{since} 以降は週約{after:,}件で、それ以前の約{before:,}件から{share:.0%}減り、{weeks}週続いています",
            "毎週、直前8週の最小値の{kept:.0%}以上",
            "連携や計測の変更がなかったか確認してください。事業側の変化であれば対応は不要です",
        ),
    },
    "observed until: fine": {
        "en": ("the tables reach {newest}", "observed_until within 7 days of the newest event", ""),
        "ja": ("データは {newest} まであります", "observed_until が最新の記録から7日以内であること", ""),
    },
    "observed until: beyond": {
        "en": (
            "observed_until is {beyond} days after the newest event ({newest}): silence would count as outcome",
            "at most 7 days",
            "give the day until which the tables are complete",
        ),
        "ja": (
            "observed_until が最新の記録（{newest}）より{beyond}日後で、空白が予測対象として数えられてしまいます",
            "7日以内",
            "データが揃っている最終日を指定してください",
        ),
    },
    "history: fine": {
        "en": ("{dates} mature as-of dates, {rows:,} rows", "{wanted} dates ({tests} to test, 2 to train)", ""),
        "ja": ("結果が確定した基準日は{dates}日分、{rows:,}行", "{wanted}日分（評価{tests}、学習2）", ""),
    },
    "history: short": {
        "en": (
            "{dates} mature as-of dates found",
            "{wanted} needed ({tests} to test, 2 to train)",
            "give more history, or shorten outcome.horizon_days or windows.days",
        ),
        "ja": (
            "結果が確定した基準日は{dates}日分です",
            "{wanted}日分（評価{tests}、学習2）",
            "より長い期間のデータを用意するか、outcome.horizon_days または windows.days を短くしてください",
        ),
    },
    "history: no_date": {
        "en": (
            "no as-of date: the data are shorter than the longest window ({longest} days)",
            "more than {longest} days, then gap and horizon",
            "shorten windows.days or give more history",
        ),
        "ja": (
            "基準日を置けません。データの期間が最長の集計期間（{longest}日）に足りません",
            "{longest}日に加えて、予測期間までの日数",
            "windows.days を短くするか、より長い期間のデータを用意してください",
        ),
    },
    "history: no_train": {
        "en": (
            "no test date has a train date {span} days before it (gap, horizon, grace, settle)",
            "a train date for each test date",
            "give more history, or shorten outcome.horizon_days",
        ),
        "ja": (
            "どの評価日にも、{span}日以上前の学習用基準日がありません（猶予・予測期間などの合計）",
            "評価日ごとに学習用の基準日があること",
            "より長い期間のデータを用意するか、outcome.horizon_days を短くしてください",
        ),
    },
    "customers: fine": {
        "en": ("{customers:,} customers at risk as of {day}", "at least {enough}", ""),
        "ja": ("{day} 時点の対象顧客は{customers:,}件です", "{enough}件以上", ""),
    },
    "customers: few": {
        "en": (
            "{customers:,} customers at risk as of {day}",
            "at least {enough}, so that customers can be told apart",
            "widen `population`, or expect a simple rule to be served",
        ),
        "ja": (
            "{day} 時点の対象顧客は{customers:,}件です",
            "{enough}件以上（顧客どうしを比べるため）",
            "population を広げてください。広げられない場合は単純なルールでの運用になります",
        ),
    },
    "outcomes: fine": {
        "en": ("{had:,} customers with the outcome, {share:.1%} of the rows", "at least {enough}", ""),
        "ja": ("予測対象が発生した顧客は{had:,}件、行の{share:.1%}です", "{enough}件以上", ""),
    },
    "outcomes: few": {
        "en": (
            "{had:,} customers with the outcome, {share:.1%} of the rows",
            "{enough}; under {enough} only simple models compete, under 20 only rules",
            "give more history or customers, or choose a more frequent outcome",
        ),
        "ja": (
            "予測対象が発生した顧客は{had:,}件、行の{share:.1%}です",
            "{enough}件以上（{enough}件未満は簡単なモデルのみ、20件未満はルールのみ）",
            "期間か顧客を増やすか、より頻度の高い事象を予測対象にしてください",
        ),
    },
    "outcomes: none": {
        "en": (
            "no customer with the outcome",
            "{enough}; under {enough} only simple models compete, under 20 only rules",
            "check `outcome` and the table it is read from",
        ),
        "ja": (
            "予測対象が発生した顧客がいません",
            "{enough}件以上（{enough}件未満は簡単なモデルのみ、20件未満はルールのみ）",
            "outcome と、その元になる表を確認してください",
        ),
    },
    "outcomes: all": {
        "en": (
            "every customer has the outcome on every date",
            "customers with and without it",
            "check `outcome` and the table it is read from",
        ),
        "ja": (
            "すべての基準日で、すべての顧客に予測対象が発生しています",
            "発生した顧客と発生しなかった顧客の両方",
            "outcome と、その元になる表を確認してください",
        ),
    },
    "test dates: fine": {
        "en": (
            "at least {least:,} customers with and without the outcome on every test date",
            "at least {enough} of each",
            "",
        ),
        "ja": (
            "どの評価日にも、予測対象が発生した顧客・しなかった顧客が{least:,}件以上います",
            "それぞれ{enough}件以上",
            "",
        ),
    },
    "test dates: few": {
        "en": (
            "too few to grade on: {days} (customers with / without the outcome)",
            "at least {enough} of each on every test date",
            "use fewer, longer-spaced as-of dates, a longer horizon, or more customers",
        ),
        "ja": (
            "評価には少なすぎる基準日：{days}（発生した顧客／しなかった顧客）",
            "評価日ごとにそれぞれ{enough}件以上",
            "基準日の間隔や予測期間を長くするか、顧客を増やしてください",
        ),
    },
    "leakage: fine": {
        "en": ("none of {features} features tells the outcome alone", "ROC AUC of each at most {limit:.2f}", ""),
        "ja": (
            "{features}個の特徴量のうち、単独で予測対象を言い当てるものはありません",
            "各特徴量の ROC AUC が{limit:.2f}以下",
            "",
        ),
    },
    "leakage: later_times": {
        "en": (
            "{later:,} of {rows:,} rows hold a time at or after their as-of date",
            "only what was known before the date",
            "it is today's value: remove it or give its history",
        ),
        "ja": (
            "{rows:,}行のうち{later:,}行が、基準日以降の日時を含んでいます",
            "基準日より前に分かっていた値だけであること",
            "現在の値です。項目から外すか、変更履歴（changes）を用意してください",
        ),
    },
    "leakage: tells": {
        "en": (
            "alone it tells the outcome (ROC AUC {auc:.3f})",
            "at most {limit:.2f}",
            "exclude it or correct its times",
        ),
        "ja": (
            "単独で予測対象を言い当てています（ROC AUC {auc:.3f}）",
            "{limit:.2f}以下",
            "exclude で外すか、元の日時を修正してください",
        ),
    },
    "leakage: changes_after": {
        "en": (
            "{after:,} of {changes:,} changes of customers with the outcome ({share:.0%}) lie after its horizon began",
            "about {expected:.0%}, were the changes independent of the outcome",
            "it follows the outcome: make sure `at` and `known` say when it was recorded, or exclude it",
        ),
        "ja": (
            "予測対象が発生した顧客の変更{changes:,}件のうち{after:,}件（{share:.0%}）が、予測期間の開始後です",
            "予測対象と無関係なら{expected:.0%}程度",
            "予測対象の発生後に変わる項目です。at と known が記録した日であることを確かめるか、exclude で外してください",
        ),
    },
    "recomputation: fine": {
        "en": (
            "{rows:,} rows on {dates} dates rebuilt without anything known later: every feature the same",
            "no feature moves",
            "",
        ),
        "ja": (
            "{dates}日分の{rows:,}行を、その後に分かった情報を消して作り直しても、全特徴量が同じ値でした",
            "値が変わる特徴量がないこと",
            "",
        ),
    },
    "recomputation: moved": {
        "en": (
            "{moved:,} of {rows:,} values change when everything known on or after the date is deleted",
            "no feature moves",
            "it sees the future: exclude it, or correct the measure in features/windows.py",
        ),
        "ja": (
            "基準日以降に分かった情報を消すと、{rows:,}個のうち{moved:,}個の値が変わります",
            "値が変わる特徴量がないこと",
            "未来の情報を見ています。exclude で外すか、features/windows.py の計算を修正してください",
        ),
    },
    "recomputation: other_rows": {
        "en": (
            "{rows:,} rows become {left:,} when everything known on or after the date is deleted",
            "the same customers at risk",
            "the population sees the future: correct features/population.py",
        ),
        "ja": (
            "基準日以降に分かった情報を消すと、{rows:,}行が{left:,}行に変わります",
            "対象顧客が変わらないこと",
            "対象顧客の判定が未来の情報を見ています。features/population.py を修正してください",
        ),
    },
}
