"""The daily list made on Spark's executors is the list made here."""

import json

from features import config
from serving.config import ServingConfig
from tests.engines.world import SPARK
from tests.service import world as worlds
from tests.service.world import World


def test_daily_publishes_the_same_list_on_spark(spark, tmp_path):
    here, there = worlds.make(tmp_path / "here"), worlds.make(tmp_path / "there")
    with there.path.with_name("data.yaml").open("a", encoding="utf-8") as data:
        data.write(f"engine: {json.dumps(SPARK)}\n")
    there = World(there.path, config.load(there.path, ServingConfig))
    assert there.config.data.engine.name == "spark"
    bundle, lists = worlds.bundle(), []
    for world in (here, there):
        world.place(bundle)
        lists.append(world.publish())
    assert lists[0].rows == lists[1].rows > 0
    assert lists[0].content == lists[1].content
    assert lists[0].csv.read_bytes() == lists[1].csv.read_bytes()
