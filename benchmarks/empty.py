"""The measure of the service's speed: a BentoML service as it comes, that takes the same request and says nothing."""

import bentoml

from serving.scores.schema import ScoreRequest


@bentoml.service(name="empty", workers=1)
class Empty:
    """Same pydantic input, a dictionary as output, BentoML's own defaults."""

    @bentoml.api(route="/score")
    async def score(self, request: ScoreRequest, /) -> dict:
        return {}
