"""The fixed words and the style of the check's page."""

from features.config import Language

_KEY = '<b class="{0}"></b>'
_TRAIN, _WAIT, _TEST, _HORIZON, _BAR, _BAR_TEST = (
    _KEY.format(name) for name in ("train", "wait", "test", "horizon", "bar", "bartest")
)
WORDS: dict[Language, dict[str, str]] = {
    "en": {
        "title": "Data check",
        "about": "Events from {first} to {last}. Checked on {today}.",
        "verdict_ok": "The data pass",
        "verdict_warning": "The data pass, with {warnings} to look at",
        "verdict_error": "The data do not pass: {errors} to correct, {warnings} to look at",
        "next_fine": "Next:",
        "next_error": "Correct what is marked ERROR, then check again:",
        "page": "The page with pictures",
        "customers": "customers",
        "events": "events used",
        "features": "features",
        "dates": "mature as-of dates",
        "had": "customers with the outcome",
        "share": "rows with the outcome",
        "findings": "Findings",
        "level": "Level",
        "check": "Check",
        "found": "Found",
        "needed": "Needed",
        "todo": "What to do",
        "colon": ": ",
        "folds": "What is trained and tested when",
        "folds_key": f"One line per test date. {_TRAIN} as-of dates to train on; {_WAIT} the wait until the outcomes of the last "
        f"of them are known (gap, horizon, grace, settle); {_TEST} the test date; {_HORIZON} its own horizon. The wait ends "
        "on or before the test date, so that nothing is learnt from its future.",
        "outcomes": "Customers with the outcome, by as-of date",
        "outcomes_key": f"{_BAR} dates to train on, {_BAR_TEST} test dates; above each its share of the customers at risk, – "
        "where the outcome is not known yet.",
        "silent": "Silent customers, by as-of date",
        "silent_key": "The share of the customers at risk without any event for more than 7, 28 and 90 days. A sudden rise "
        "that no one in the business can explain is a gap in the data.",
        "streams": "Events per week, by stream",
        "streams_key": "Whole weeks, counted back from the newest day. A dashed line marks where a feed stopped or dropped. "
        "The number in the caption is the total.",
    },
    "ja": {
        "title": "データ点検",
        "about": "対象データ：{first} ～ {last}　点検日：{today}",
        "verdict_ok": "データに問題はありません",
        "verdict_warning": "データは利用できます（確認が必要な点：{warnings}件）",
        "verdict_error": "このままでは利用できません（要修正：{errors}件、要確認：{warnings}件）",
        "next_fine": "次のコマンド：",
        "next_error": "「不合格」の項目を修正し、もう一度点検してください：",
        "page": "図入りのレポート",
        "customers": "顧客数",
        "events": "使用した記録",
        "features": "特徴量",
        "dates": "結果が確定した基準日",
        "had": "予測対象が発生した顧客",
        "share": "発生率（行の割合）",
        "findings": "点検結果",
        "level": "判定",
        "check": "点検項目",
        "found": "結果",
        "needed": "合格の目安",
        "todo": "対応",
        "colon": "：",
        "folds": "学習と評価の時期",
        "folds_key": f"1行が1つの評価日です。{_TRAIN} 学習に使う基準日　{_WAIT} 最後の学習用基準日の結果が確定するまでの待ち時間"
        f"（猶予・予測期間など）　{_TEST} 評価日　{_HORIZON} 評価日の予測期間。待ち時間は評価日までに終わるため、"
        "未来の情報は学習に使われません。",
        "outcomes": "予測対象が発生した顧客数（基準日別）",
        "outcomes_key": f"{_BAR} 学習用の基準日　{_BAR_TEST} 評価日。棒の上の数字は対象顧客に占める割合、"
        "「–」は結果がまだ確定していないことを示します。",
        "silent": "動きのない顧客の割合（基準日別）",
        "silent_key": "対象顧客のうち、7日・28日・90日を超えて何の記録もない顧客の割合です。"
        "事業上の理由が思い当たらない急な増加は、データの欠落が疑われます。",
        "streams": "週別の記録件数（種類別）",
        "streams_key": "最新の日からさかのぼった1週間単位の件数です。破線は、連携が途絶えた、または急減した時点を示します。"
        "見出しの数字は合計件数です。",
    },
}
STYLE = """
:root{color-scheme:light;--ink:#1a1a1a;--soft:#595959;--line:#d0d0d0;--blue:#0072b2;--orange:#d55e00}
*{box-sizing:border-box;-webkit-print-color-adjust:exact;print-color-adjust:exact}
body{margin:0;background:#fff;color:var(--ink);font:15px/1.55 system-ui,"Segoe UI","Hiragino Sans","Yu Gothic UI",Meiryo,
"Noto Sans CJK JP","Noto Sans JP",sans-serif}
main{max-width:1080px;margin:0 auto;padding:24px 20px 48px}
h1{font-size:1.6rem;margin:0}h2{font-size:1.15rem;margin:0 0 .4rem}
section{margin:0 0 2rem;break-inside:avoid}section>p{color:var(--soft);margin:.2rem 0 .6rem;max-width:62rem}
.about{color:var(--soft);margin:.2rem 0 1.2rem}
.verdict{display:flex;gap:18px;align-items:center;border:2px solid var(--line);border-left-width:12px;border-radius:6px;
padding:14px 18px;margin-bottom:1rem}
.verdict h2{font-size:1.35rem;margin:0}.verdict p{color:inherit;margin:.2rem 0 0}.verdict .mark{font-size:2rem;margin:0}
.verdict.ok{border-color:var(--blue)}.verdict.warning{border-color:#a66f00}.verdict.error{border-color:#b3261e}
code{background:#f2f2f2;border-radius:4px;padding:.1em .4em;font:.92em ui-monospace,Consolas,Menlo,monospace;
overflow-wrap:anywhere}
dl{display:grid;grid-template-columns:repeat(auto-fit,minmax(140px,1fr));gap:10px;margin:0 0 1.8rem}
dl div{border:1px solid var(--line);border-radius:6px;padding:8px 12px}dt{color:var(--soft);font-size:.85rem}
dd{margin:0;font-size:1.3rem;font-variant-numeric:tabular-nums}
table{border-collapse:collapse;width:100%;margin-bottom:2rem;font-size:.93rem}
th,td{text-align:left;vertical-align:top;padding:7px 10px;border-bottom:1px solid var(--line)}
th{border-bottom:2px solid var(--ink)}td:nth-child(1){white-space:nowrap}td:nth-child(2){font-weight:600;min-width:8.5em}
td:nth-child(3){min-width:15em}.of{font-weight:400;color:var(--soft);font-size:.88em}tr{break-inside:avoid}
.level{font-weight:600}tr.error td{background:#fdecea}tr.warning td{background:#fff6e0}
tr.error .level{color:#b3261e}tr.warning .level{color:#7a5200}tr.ok .level{color:#00527f}
img{display:block;width:100%;height:auto}
.small{display:grid;grid-template-columns:repeat(auto-fill,minmax(290px,1fr));gap:14px 20px}
figure{margin:0;break-inside:avoid}figcaption{font-size:.88rem;text-align:center}
b{display:inline-block;vertical-align:-.1em;width:1.5em;height:.9em;margin:0 .15em}
b.train,b.bar{background:var(--blue)}b.train{width:.6em;height:.6em;vertical-align:.05em}
b.wait{background:repeating-linear-gradient(135deg,#767676 0 1px,#fff 1px 4px);border:1px solid #767676}
b.test{background:var(--orange);width:.65em;height:.65em;transform:rotate(45deg);vertical-align:.02em}
b.horizon{border:2px solid var(--orange)}
b.bartest{border:1px solid var(--orange);background:repeating-linear-gradient(135deg,var(--orange) 0 1px,#fff 1px 4px)}
@media (max-width:720px){thead{display:none}tr,td{display:block;border:0;padding:3px 10px}
tr{border-bottom:1px solid var(--line);padding:8px 0}td:nth-child(n+4):before{color:var(--soft);content:"→ "}}
@media print{main{max-width:none;padding:0}body{font-size:11px}@page{size:A4;margin:14mm}}
"""
