"""One example of everything the OpenAPI description speaks of; a test holds each against its schema."""

from typing import Any

Json = dict[str, Any]
CUSTOMER, MODEL, DAY = "A-000001", "churn", "2026-02-01"
HORIZON = {"start": "2026-02-08", "end": "2026-04-09"}
NEXT = "OWI3YzE0ZDBhMmY1ZTgxM1sxN10"
REASON = {
    "family": "login",
    "direction": "raises",
    "log_odds": 1.13,
    "points": 0.21,
    "facts": {"feature": "login_recency", "days": None, "recency": 40, "gap": 2},
    "text": "Logins: the last was 40 days ago; the usual gap is 2 days.",
}
HEAD = {"model": MODEL, "as_of": DAY, "model_version": "2d46c1a4cd7f", "grade": "A"}
ABOUT = {
    **HEAD,
    "horizon": HORIZON,
    "base_rate": 0.08,
    "reference": 0.1,
    "note": None,
    "legend": "Customers to contact come first.",
    "interval": "Range, low to high (95%).",
}
SCORE = {"score": 0.31, "low": 0.27, "high": 0.36, "band": "high", "rank": 4}
ROW = {
    **SCORE,
    "customer_id": CUSTOMER,
    "name": "株式会社さくら",
    "percentile": 93.5,
    "change": 0.06,
    "segment": "cannot_lose",
    "stage": "mature",
    "rfm": "155",
    "segment_name": "Cannot lose",
    "stage_name": "Mature",
    "risks": {"30": 0.2, "60": 0.31},
    "reasons": [REASON],
    "value_at_risk": 3720.0,
    "gain": 540.0,
    "owner": "ann@example.com",
    "renewal": "2026-03-31",
    "held_out": False,
    "action": "contact",
}
WRITTEN = {"by": "crm", "created_at": "2026-02-01T00:10:00Z"}
CONTACT = {
    **{"id": 1, "customer_id": CUSTOMER, "at": "2026-01-30T01:00:00Z", "channel": "call", "note": "更新の相談"},
    **WRITTEN,
}
ACTION = {
    **{"id": 1, "model": MODEL, "customer_id": CUSTOMER, "as_of": DAY, "kind": "snoozed", "until": "2026-02-09"},
    **{"note": None, **WRITTEN},
}
PAST = {**HEAD, **SCORE}
WORD = {name: ABOUT[name] for name in ("as_of", "model_version", "grade", "reference", "base_rate", "horizon")} | SCORE
SIDE = {"points": 0.21, "facts": REASON["facts"], "text": REASON["text"]}
LISTED = {name: ABOUT[name] for name in ("base_rate", "reference", "horizon")} | HEAD
RESULT = {
    **{"customer_id": CUSTOMER, "status": "ok", "status_text": None, "basis": "list", "score": 0.31, "low": 0.27},
    **{"high": 0.36, "risks": {"30": 0.2, "60": 0.31}, "band": "high", "percentile": 93.5, "base_rate": 0.08},
    **{"reference": 0.1, "as_of": DAY, "horizon": HORIZON, "reasons": [REASON], "missing": [], "ignored_events": 0},
    **{"model_version": "2d46c1a4cd7f", "grade": "A", "stale": False},
}
FEATURE = {"name": "login_recency", "family": "login", "source": "login", "measure": "recency", "days": None}
SERVED = LISTED | {"rule": None, "rows": 5000, "list_version": "2d46c1a4cd7f", "stale": False, "why_stale": None}

PATHS = {"customer_id": CUSTOMER, "model": MODEL, "as_of": "latest"}
QUERIES: Json = {
    "lang": "ja",
    "reasons": 3,
    "model": MODEL,
    "customer_id": CUSTOMER,
    "limit": 20,
    "owner": "ann@example.com",
    "band": "high",
    "segment": "cannot_lose",
    "stage": "mature",
    "action": "contact",
    "min_value": 1000,
    "sort": "-value_at_risk",
    "format": "csv",
}
DECIDED = {"model": MODEL, "customer_id": CUSTOMER, "as_of": DAY}
BODIES: dict[str, Json] = {
    "score": {
        "listed": {"value": {"model": MODEL, "customers": [{"customer_id": CUSTOMER}], "reasons": 3, "lang": "ja"}},
        "changed": {
            "value": {
                "model": MODEL,
                "customers": [{"customer_id": CUSTOMER, "changes": {"login_count_28d": 0}}],
            }
        },
    },
    "contact": {
        "call": {"value": {"customer_id": CUSTOMER, "at": "2026-01-30T10:00:00+09:00", "channel": "call"}},
    },
    "action": {
        "done": {"value": {**DECIDED, "kind": "done", "note": "更新済み"}},
        "snoozed": {"value": {**DECIDED, "kind": "snoozed", "until": "2026-02-09"}},
    },
}
ANSWERS: dict[str, Json] = {
    "ready": {
        "status": "ready",
        "reason": None,
        "looked_seconds_ago": 0,
        "models": {MODEL: {"status": "ready", "as_of": DAY}},
    },
    "openapi": {"openapi": "3.1.0"},
    "score": {"model": MODEL, "note": None, "interval": ABOUT["interval"], "results": [RESULT]},
    "customer": {
        "customer_id": CUSTOMER,
        "models": {MODEL: {**ABOUT, **ROW, "status": "ok", "status_text": None, "open_action": ACTION}},
        "contacts": [CONTACT],
        "history": [PAST],
    },
    "history": {
        "customer_id": CUSTOMER,
        "history": [
            {**PAST, "percentile": 93.5, "change": 0.06, "action": "contact", "reference": 0.1, "reasons": [REASON]}
        ],
        "next": NEXT,
    },
    "changes": {
        "customer_id": CUSTOMER,
        "model": MODEL,
        "then": {**WORD, "as_of": "2026-01-25", "score": 0.25},
        "now": WORD,
        "change": 0.06,
        "split": {"between": 0.3, "data": 0.05, "model": 0.01},
        "no_split": None,
        "families": [{"family": "login", "moved": 0.05, "then": {**SIDE, "points": 0.16}, "now": SIDE}],
    },
    "erasure": {"status": "erased"},
    "lists": {
        "lists": [
            {
                **LISTED,
                **{"rows": 5000, "rule": None, "published_at": "2026-02-01T00:05:00Z"},
                **{"rows_kept": True, "reasons_kept": True},
            }
        ],
        "next": None,
    },
    "list": {**ABOUT, "reasons_kept": True, "next": NEXT, "rows": [ROW]},
    "models": {"models": [{"model": MODEL, "name": MODEL, "served": SERVED, "why_not": None}]},
    "card": {
        **{name: ABOUT[name] for name in ("model", "model_version", "grade", "base_rate", "reference")},
        **{"name": MODEL, "sha256": "2d46c1a4cd7f" + "0" * 52, "kind": "lightgbm"},
        "predicts": "The chance of the end of the subscription from 7 to 67 days after the as-of date.",
        "population": {"subscription": "active"},
        "outcome": {"kind": "subscription_end", "gap_days": 7, "horizon_days": 60},
        "metrics": {"roc_auc": {"value": 0.84, "low": 0.81, "high": 0.87}},
        "trained": {"customers_with_outcome": 558},
        "families": [{"family": "login", "features": [FEATURE]}],
        "limits": ["Points say what a behaviour is linked with in the model, not what causes the outcome."],
    },
    "limits": {
        **{"body_bytes": 2_000_000, "body_seconds": 10.0, "handler_seconds": 30.0, "concurrency": 128},
        **{
            "wait_seconds": 0.06,
            "rows_per_call": 1000,
            "reasons": 50,
            "rows_per_page": 10_000,
            "entries_per_page": 1000,
        },
        **{"rows_per_spreadsheet": 20_000, "key": {"name": "crm", "scopes": ["read"], "per_minute": 600}},
    },
    "contact": CONTACT,
    "action": ACTION,
    "actions": {"actions": [ACTION], "next": None},
}
TEXTS = {
    ("live", "text/plain"): "ok\n",
    ("metrics", "text/plain"): '# TYPE tsunagi_data_age_days gauge\ntsunagi_data_age_days{model="churn"} 1\n',
    ("list", "text/csv"): "rank,customer_id,name,score\r\n4,A-000001,株式会社さくら,0.31\r\n",
}
DETAILS = {
    400: "the body is not valid JSON, or it is nested too deeply; send one JSON object",
    401: "a valid API key is needed, in the header X-API-Key or Authorization: Bearer",
    403: "this key may not do this",
    404: "no list knows this customer",
    406: "this address answers with application/json; accept it",
    408: "the body did not arrive within 10 seconds",
    409: "this Idempotency-Key came before with another request; take a new one",
    410: "this list was made anew since the first page; begin again without a cursor",
    413: "the body is over 2,000,000 bytes",
    415: "the body must be JSON in UTF-8: Content-Type: application/json",
    422: "the query does not fit; errors[] names every place",
    429: "too many requests at once; try again soon",
    503: "the store cannot be read now; try again soon",
}
ERRORS: dict[int, list[Json]] = {422: [{"path": "limit", "message": "a whole number such as 20"}]}
