"""The golden run: a simulated company of 500 accounts walked from its tables to the list of its riskiest ten.

    python -m tests.golden.regenerate

writes list.json anew. Read its diff before committing it: every change in it is one that customers would see.
"""

import json
import sys
import tempfile
from pathlib import Path

from tests.golden.house import door

LIST = Path(__file__).with_name("list.json")
ABOUT = ("model", "as_of", "horizon", "grade", "note", "customers")
ROW = ("rank", "customer_id", "band", "action")


def walk(home: Path) -> dict:
    """Simulate, train, publish and read the list by the doors, everything below ``home``; what list.json holds."""
    tables = home / "tables"
    root = ("--set", f"data.root={tables}")
    serving = ("configs/saas/serving.yaml", *root, "--set", "models=[churn]")
    assert door("simulation", "--customers", 500, "--months", 24, "--out", tables).code == 0
    trained = door("training", "train", "configs/saas/churn.yaml", *root, "--json", home=home)
    assert trained.code == 0, trained.err
    assert door("serving", "daily", *serving, home=home).code == 0
    listed = door("serving", "list", *serving[:1], "churn", *serving[1:], "--top", 10, "--json", home=home).json
    head = {name: listed[name] for name in ABOUT} | {"kind": trained.json["kind"], "rule": trained.json["rule"]}
    return head | {"rows": [_row(row) for row in listed["rows"]]}


def _row(row: dict) -> dict:
    """A row without what differs in its last digits from one kind of processor to another."""
    reasons = [{name: reason[name] for name in ("family", "direction", "text")} for reason in row["reasons"]]
    return {name: row[name] for name in ROW} | {"score": round(row["score"], 4), "reasons": reasons}


def main() -> int:
    with tempfile.TemporaryDirectory() as home:
        LIST.write_text(json.dumps(walk(Path(home)), indent=1, ensure_ascii=False) + "\n", "utf-8")
    print(f"{LIST} is written; read its diff before committing it.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
