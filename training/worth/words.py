"""The words for profit, slices and contacted customers."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from features.config import Language


@cache
def words() -> dict[Language, dict[str, Any]]:
    """Everything said of them, in both languages."""
    return yaml.safe_load(Path(__file__).with_name("words.yaml").read_text(encoding="utf-8"))
