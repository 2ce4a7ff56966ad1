"""How deep a body may be nested, and what every answer carries."""

import json

from hypothesis import given
from hypothesis import strategies as st

from serving.guards import safety
from serving.guards.safety import depth

texts = st.text(alphabet='[]{}"\\,: aé\n', max_size=8)
values = st.recursive(
    st.none() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=40,
)


def nested(value):
    """The plain answer: how deep a value is nested."""
    if isinstance(value, list):
        return 1 + max(map(nested, value), default=0)
    return 1 + max(map(nested, value.values()), default=0) if isinstance(value, dict) else 0


@given(values, st.integers(0, 8), st.booleans())
def test_depth_is_that_of_the_value(value, limit, ascii_only):
    body = json.dumps(value, ensure_ascii=ascii_only).encode()
    assert depth(body, limit) == (nested(value) <= limit)


@given(st.binary(max_size=60), st.integers(0, 3))
def test_any_bytes_have_an_answer(body, limit):
    assert depth(body, limit) in (True, False)
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return
    assert depth(body, limit) or nested(value) > limit


def test_the_limit_is_the_last_depth_that_is_taken():
    for make in (lambda n: b"[" * n + b"]" * n, lambda n: b'{"a":' * n + b"1" + b"}" * n):
        assert depth(make(20)) and not depth(make(21)) and not depth(make(100_000))
    assert depth(b"[" + b"{}," * 10_000 + b"{}]")
    assert not depth(b"[" * 100_000), "never closed"
    assert depth(json.dumps("[" * 1_000).encode()) and depth(json.dumps(['"' + "[" * 1_000] * 30).encode())


def test_headers_are_raw_and_small():
    names = [name for name, _ in [*safety.HEADERS, safety.NO_STORE, safety.PRIVATE]]
    assert all(name == name.lower() and isinstance(name, bytes) for name in names)
    assert dict(safety.HEADERS)[b"x-content-type-options"] == b"nosniff"
    assert safety.NO_STORE[1] == b"no-store" and b"private" in safety.PRIVATE[1]
