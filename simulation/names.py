"""Made-up company names, half of them Japanese."""

import numpy as np

FIRST_JA = (
    "青葉", "みなと", "さくら", "光和", "東雲", "瑞穂", "若竹", "朝日野", "北斗", "白樺",
    "千鳥", "双葉", "翠", "大樹", "清流", "星野", "富岳", "松風", "山吹", "桜庭",
)  # fmt: skip
SECOND_JA = (
    "製作所", "商事", "物流", "システムズ", "食品", "精機", "電機", "建設",
    "テクノロジー", "薬品", "データサービス", "印刷", "運輸", "化学", "ソリューションズ",
)  # fmt: skip
FIRST_EN = (
    "Alder", "Birch", "Cedar", "Copper", "Crescent", "Fjord", "Harbor", "Juniper", "Kestrel", "Lantern",
    "Maple", "Meridian", "North", "Orchard", "Pine", "Quarry", "River", "Summit", "Tidal", "Willow",
)  # fmt: skip
SECOND_EN = (
    "Analytics", "Foods", "Freight", "Health", "Interiors", "Labs", "Logistics", "Media", "Motors",
    "Networks", "Paper", "Robotics", "Systems", "Textiles", "Works",
)  # fmt: skip
SUFFIX_EN = ("Inc.", "Ltd.", "GmbH", "Group", "Co.")


def draw(rng: np.random.Generator, n: int) -> list[str]:
    """n names; two companies may share one, as in life."""
    picks = rng.integers(0, 2**31, (n, 4))
    return [_japanese(row) if row[0] % 2 else _english(row) for row in picks.tolist()]


def _japanese(pick: list[int]) -> str:
    name = FIRST_JA[pick[1] % len(FIRST_JA)] + SECOND_JA[pick[2] % len(SECOND_JA)]
    return f"株式会社{name}" if pick[3] % 3 == 0 else f"{name}株式会社"


def _english(pick: list[int]) -> str:
    first, second = FIRST_EN[pick[1] % len(FIRST_EN)], SECOND_EN[pick[2] % len(SECOND_EN)]
    return f"{first} {second} {SUFFIX_EN[pick[3] % len(SUFFIX_EN)]}"
