"""Live rounds of a model that was uploaded from a folder: the upload's record, and what Numerai tells since."""

import json
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numerai_account import live_round

from numerai_ray.metrics.sequential import Noise, Promise
from numerai_ray.submission.numerai.account import Offer, PickleState, Slot
from numerai_ray.submission.numerai.record import note_upload
from numerai_ray.submission.numerai.upload import UploadOrder

START = datetime(2026, 1, 6, 13, tzinfo=UTC)  # a Tuesday
NOISE = Noise(overlapping=8e-5, own=2e-5, freedom=100, overlap_eras=4)
BMC = Promise(mean=0.012, standard_error=0.0008, noise=NOISE, eras=900)
CORR = Promise(mean=0.025, standard_error=0.001, noise=NOISE, eras=900)


def uploaded(name: str, model_id: str, promises: dict[str, Any] | None = None) -> None:
    """What an upload at the end of 2025 has left in this folder."""
    Path(f"{name}.pkl").write_bytes(b"a pickle")
    order = UploadOrder(Path(f"{name}.pkl"), Slot(model_id, name), Offer("image-3.12", "3.12"), Offer("dv", "v5.2"))
    promises = {"bmc": asdict(BMC), "corr": asdict(CORR)} if promises is None else promises
    card = {"experiment": "small", "variant": "r05-winner", "promise": {"target": "target_ender_20", **promises}}
    note_upload(order, PickleState("pickle-1", f"{name}.pkl", "validated"), card)
    path = Path(f"{name}.uploads.json")
    value = json.loads(path.read_text())
    value["uploads"][-1]["uploaded"] = "2025-12-31T00:00:00+00:00"
    path.write_text(json.dumps(value))


def weeks_of_rounds(weeks: int, bmc: float, seed: int = 0, open_weeks: int = 2) -> list[dict[str, Any]]:
    """Five rounds a week, the last of them in progress."""
    rng, found = np.random.default_rng(seed), []
    own = bmc + rng.normal(0, 0.005, weeks)
    for number in range(5 * weeks):
        opened = START + timedelta(days=7 * (number // 5) + number % 5)
        scores = {
            "canon_bmc": own[number // 5] + rng.normal(0, 1e-4),
            "canon_corr": own[number // 5] + 0.013,
            "v2_corr20": 0.5,
            "canon_mmc": 0.001,
        }
        done = number < 5 * (weeks - open_weeks)
        found.append(live_round(1100 + number, opened.isoformat(), scores, resolved=done))
    return found
