"""The only hand-over to serving: a folder of text files, each with its SHA-256. Nothing is ever unpickled."""

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import ValidationError

from features.errors import DataError
from training.calibration import Calibrator
from training.columns import encode
from training.curve import Curve
from training.info import Info, Reference
from training.models import KINDS, Served, dump
from training.spread import Spread

MANIFEST, CURVE, SPREAD = "manifest.json", "curve.json", "spread.json"


@dataclass(frozen=True)
class Bundle:
    """Made by ``seal`` or ``load``. n rows, f features; margins and contributions are log-odds.

    curve: None where one horizon was asked for; spread: None where the data are too few for an interval.
    """

    info: Info
    model: Served
    calibrator: Calibrator
    reference: Reference
    sha256: str
    curve: Curve | None = None
    spread: Spread | None = None

    @property
    def version(self) -> str:
        return self.sha256[:12]

    @property
    def base_margin(self) -> float:
        """m₀: the margin from which contributions are counted."""
        return self.reference.base_margin

    @property
    def base_probability(self) -> float:
        """p₀ = g(m₀): the starting point of the reasons, not the base rate."""
        return float(self.calibrator(self.base_margin))

    def matrix(self, frame: pd.DataFrame) -> np.ndarray:
        """(n, f) float64 in the bundle's column order; null and unknown category → NaN. Raises DataError."""
        return encode(frame, self.info.features)

    def margin(self, matrix: np.ndarray) -> np.ndarray:
        """(n,) raw log-odds."""
        return self.model.margin(matrix)

    def probability(self, margin: np.ndarray) -> np.ndarray:
        """(n,) calibrated scores."""
        return self.calibrator(margin)

    def interval(self, matrix: np.ndarray, margin: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """Low and high, (n,) each: the scores other customers of the same kind might have led to. None: not known."""
        return self.spread.interval(matrix, margin, self.calibrator) if self.spread else None

    def risks(self, matrix: np.ndarray, probability: np.ndarray) -> dict[str, np.ndarray]:
        """The score at each horizon of the curve: days as text -> (n,); empty without a curve."""
        if self.curve is None:
            return {}
        return {str(days): risk for days, risk in zip(self.curve.horizons, self.curve.risks(matrix, probability).T)}

    def contributions(self, matrix: np.ndarray) -> np.ndarray:
        """(n, f) log-odds; with ``base_margin`` they sum to the margin within 1e-9."""
        return self.model.contributions(matrix)

    def percentile(self, probability: np.ndarray) -> np.ndarray:
        """(n,) 0..100: the share of reference scores below, ties counted half."""
        scores = np.asarray(self.reference.scores)
        below, upto = (np.searchsorted(scores, probability, side) for side in ("left", "right"))
        return 50.0 * (below + upto) / len(scores)

    def band(self, probability: np.ndarray) -> np.ndarray:
        """(n,) "high" (top 10% of reference scores), "medium" (next 20%) or "low"."""
        percentile = self.percentile(probability)
        return np.where(percentile >= 90, "high", np.where(percentile >= 70, "medium", "low"))


def seal(
    info: Info,
    model: Served,
    calibrator: Calibrator,
    reference: Reference,
    curve: Curve | None = None,
    spread: Spread | None = None,
) -> Bundle:
    """A bundle in memory, with the checksum its folder will have."""
    made = Bundle(info, model, calibrator, reference, "", curve, spread)
    return replace(made, sha256=_sha256(_manifest(_files(made))))


def save(bundle: Bundle, folder: Path) -> None:
    """Write the bundle to a new folder, or over an old one; equal bundles give equal bytes."""
    files = _files(bundle)
    _write({**files, MANIFEST: _manifest(files)}, folder)


def load(folder: Path) -> Bundle:
    """Read and verify a bundle. Raises DataError naming the missing, extra, changed or unknown file."""
    folder = Path(folder)
    files = _verified(folder)
    try:
        info = Info.model_validate_json(files["bundle.json"])
        reference = Reference.model_validate_json(files["reference.json"])
        kind = KINDS[info.kind]
        model = kind.parse(files[kind.file].decode())
        calibrator = Calibrator(**json.loads(files["calibrator.json"]))
        curve = Curve.parse(files[CURVE].decode()) if CURVE in files else None
        spread = Spread.parse(files[SPREAD].decode()) if SPREAD in files else None
    except KeyError as error:
        raise DataError(f"{folder.name}: {error.args[0]} is missing; train again") from None
    except (ValidationError, ValueError, TypeError) as error:
        problem = str(error).splitlines()[0]
        raise DataError(f"{folder.name}: schema not known to this version ({problem}); train again") from None
    return Bundle(info, model, calibrator, reference, _sha256((folder / MANIFEST).read_bytes()), curve, spread)


def place(folder: Path, home: Path, model: str, data: str = "") -> str:
    """Put a bundle where the service reads it and make it the champion of ``model``; returns its SHA-256.

    The copy is verified before ``champion-<model>.json`` is atomically replaced; ``sequence`` only rises, and begins
    with the clock, so that a file made anew is newer than the one removed. data: name of the data set it is to be
    served on, where it is known. Raises DataError for a bundle of another one.
    """
    bundle = load(folder)
    if bundle.info.model != model:
        raise DataError(f"{folder}: holds the model {bundle.info.model}, not {model}; give a {model} bundle")
    if data and bundle.info.data and bundle.info.data != data:
        raise DataError(
            f"{folder}: was trained on the data set {bundle.info.data}, not {data}; "
            f"give a bundle trained on {data}, or train one with its YAML"
        )
    target, pointer = home / "bundles" / bundle.sha256, _pointer(home, model)
    home.mkdir(parents=True, exist_ok=True)
    with _alone(home):
        if not target.exists():
            _write({path.name: path.read_bytes() for path in folder.iterdir()}, target)
        load(target)
        first = {"sha256": bundle.sha256, "sequence": time.time_ns() // 1_000_000, "before": []}
        old: dict = _pointed(pointer) if pointer.exists() else first
        before = old["before"] if old["sha256"] == bundle.sha256 else [*old["before"], old["sha256"]]
        _point(pointer, {"sha256": bundle.sha256, "model": model, "sequence": old["sequence"] + 1, "before": before})
    return bundle.sha256


def give_back(home: Path, model: str) -> Bundle:
    """Make the champion before the present one the champion again. Raises DataError when there is none, or no more."""
    pointer = _pointer(home, model)
    with _alone(home) if pointer.exists() else nullcontext():
        old: dict = _pointed(pointer) if pointer.exists() else {"before": []}
        if not old["before"]:
            raise DataError(f"{model}: no champion before the present one; promote a registered version instead")
        *before, sha256 = old["before"]
        bundle = load(home / "bundles" / sha256)
        _point(pointer, {"sha256": sha256, "model": model, "sequence": old["sequence"] + 1, "before": before})
    return bundle


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """One at a time changes a pointer, so that no two share a number."""
    held = os.open(home, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)


def _point(pointer: Path, content: dict) -> None:
    """Replace the pointer, on the disk and as a whole."""
    fresh = pointer.with_suffix(".fresh")
    with fresh.open("w") as file:
        file.write(dump(content))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(pointer)


def champion(home: Path, model: str) -> Path | None:
    """The folder of the placed champion; None when there is none."""
    pointer = _pointer(home, model)
    return home / "bundles" / _pointed(pointer)["sha256"] if pointer.exists() else None


def _pointed(pointer: Path) -> dict:
    try:
        content = json.loads(pointer.read_text())
        before = [str(sha256) for sha256 in content.get("before", [])]
        return {"sha256": str(content["sha256"]), "sequence": int(content["sequence"]), "before": before}
    except (ValueError, KeyError, TypeError):
        todo = "put it back from a backup, or remove it, with what rollback knows, and promote or train again"
        raise DataError(f"{pointer.name}: damaged; {todo}") from None


def _pointer(home: Path, model: str) -> Path:
    return home / f"champion-{model}.json"


def _files(bundle: Bundle) -> dict[str, bytes]:
    texts = {
        bundle.model.file: bundle.model.text(),
        "calibrator.json": dump(vars(bundle.calibrator)),
        "bundle.json": dump(bundle.info.model_dump(mode="json")),
        "reference.json": dump(bundle.reference.model_dump(mode="json")),
        **{name: part.text() for name, part in ((CURVE, bundle.curve), (SPREAD, bundle.spread)) if part},
    }
    return {name: text.encode() for name, text in texts.items()}


def _write(files: Mapping[str, bytes], folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=".bundle-", dir=folder.parent))
    for name, content in files.items():
        (fresh / name).write_bytes(content)
    fresh.chmod(0o755)
    shutil.rmtree(folder, ignore_errors=True)
    fresh.rename(folder)


def _manifest(files: Mapping[str, bytes]) -> bytes:
    return dump({name: _sha256(content) for name, content in files.items()}).encode()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _verified(folder: Path) -> dict[str, bytes]:
    if not (folder / MANIFEST).is_file():
        raise DataError(f"{folder}: {MANIFEST} is missing; give the folder of a bundle")
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
    except ValueError:
        raise DataError(f"{folder}: {MANIFEST} is not JSON; train again or copy the folder again") from None
    found = {path.name for path in folder.iterdir()} - {MANIFEST}
    for name in sorted(found ^ set(manifest)):
        state = "not in the manifest" if name in found else "missing"
        raise DataError(f"{folder.name}: {name} is {state}; train again or copy the folder again")
    files = {name: (folder / name).read_bytes() for name in sorted(found)}
    for name, content in files.items():
        if _sha256(content) != manifest[name]:
            raise DataError(f"{folder.name}: {name} was changed; train again or copy the folder again")
    return files
