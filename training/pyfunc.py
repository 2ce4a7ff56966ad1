"""The script MLflow keeps with a model: the bundle as a pyfunc (``mlflow models serve``, ``spark_udf``)."""

from pathlib import Path

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext

from training.bundle import load


class Scorer(PythonModel):
    """Snapshot rows in, one calibrated score each out."""

    def load_context(self, context: PythonModelContext) -> None:
        self.bundle = load(Path(context.artifacts["bundle"]))

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict | None = None
    ) -> pd.DataFrame:
        matrix = self.bundle.matrix(model_input)
        score = self.bundle.probability(self.bundle.margin(matrix))
        return pd.DataFrame({"score": score}, index=model_input.index)


set_model(Scorer())
