"""What every answer carries to be safe in a browser, and how deep a body may be nested."""

import numpy as np

HEADERS: list[tuple[bytes, bytes]] = [
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
NO_STORE = (b"cache-control", b"no-store")
PRIVATE = (b"cache-control", b"private, no-cache")
TOO_DEEP = "the body is not valid JSON, or it is nested too deeply; send one JSON object"
STEPS = np.zeros(256, np.int8)
STEPS[list(b"[{")], STEPS[list(b"]}")] = 1, -1


def depth(body: bytes, limit: int = 20) -> bool:
    """Whether a JSON text is nested at most ``limit`` deep; brackets in texts do not count. It is not parsed."""
    if body.count(b"[") + body.count(b"{") <= limit:
        return True
    if b"\\" in body:  # pairs first, so that the quote after an escaped backslash still ends its text
        body = body.replace(b"\\\\", b"  ").replace(b'\\"', b"  ")
    signs = np.frombuffer(body, np.uint8)
    in_text = np.cumsum(signs == ord('"'), dtype=np.uint8) & 1
    steps = STEPS[signs] * (in_text == 0)
    return int(np.cumsum(steps, dtype=np.int32).max()) <= limit
