"""Values: what the page asks for, as JSON; what commands print as well is made by the same functions.

Everything is read from an experiment's folder, which may hold anything: what is damaged becomes a message, ids are
looked up in the ledger before they become file names, and texts without end are cut.
"""

import json
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from numerai_ray.config import leaves, parse_yaml, read_text
from numerai_ray.config.plan import LoadedPlan, load_plan
from numerai_ray.config.plan_schema import Stage
from numerai_ray.config.shipped import find_shipped
from numerai_ray.errors import ConfigError, DataError, NumeraiRayError, RequestError
from numerai_ray.experiment.answer import Answer, experiment_answer
from numerai_ray.experiment.ledger import read_ledger
from numerai_ray.experiment.notes import read_notes
from numerai_ray.experiment.records import RoundRecord
from numerai_ray.report.plots.rounds import rounds_info
from numerai_ray.report.plots.sweeps import sweeps_info
from numerai_ray.report.reading import Reading
from numerai_ray.report.sections.answer import answer_block
from numerai_ray.session.places import defaults_here
from numerai_ray.session.reading import leaderboard_json, per_era_json
from numerai_ray.session.side_by_side import Chosen, side_by_side
from numerai_ray.session.status import answer_json, as_written, best_variant, state_of, status_json
from numerai_ray.system.json_text import without_nan
from numerai_ray.web.joint import joint_lines
from numerai_ray.web.sources import Source, Sources

# The longest text of a file that reaches the page, and the longest key.
MOST_TEXT, MOST_KEY = 4000, 200
# Of a log its end: a page is no place to read megabytes.
LOG_BYTES = 64 * 1024
MOST_COMPARED = 12
ENSEMBLE = ("ensemble_results", "ensemble_page", "ensemble_failure")
# Files whose change makes most values anew.
STAMPED = ("plan", "ledger", "notes", *ENSEMBLE)
# Files that decide the answer and the leaderboard: both cost the most, and neither a note nor a report changes them.
DECISIVE = ("plan", "ledger", *ENSEMBLE)
# Files that ``status`` tells of.
OF_STATUS = (*STAMPED, "report", "html")


@dataclass
class Reader:
    """Makes values of one experiment, each again only when a file that it is made from has changed."""

    source: Source
    _held: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    _making: dict[str, threading.Lock] = field(default_factory=dict)

    def status(self) -> dict[str, Any]:
        """As ``status --json``."""
        shown = self.source.shown
        told = self._made("status", OF_STATUS, lambda: self._status(shown))
        return {**told, **self.live()}

    def leaderboard(self) -> dict[str, Any]:
        """As ``leaderboard --json``, with every row."""
        self._check("plan", "ledger")
        paths, shown = self.source.paths, self.source.shown
        found: dict[str, Any] = self._made("leaderboard", DECISIVE, lambda: leaderboard_json(paths, shown))
        return found

    def per_era(self, variant: str) -> dict[str, Any]:
        """``per_era`` of the results file, as the schema ``results`` has it."""
        paths = self.source.paths
        self._file("results", paths.results(self._id(variant)))
        return per_era_json(paths, variant)

    def overview(self) -> dict[str, Any]:
        """What the page says of an experiment beside its rounds: texts, plan, sweeps, headline, notes."""
        found: dict[str, Any] = self._made("overview", STAMPED, self._overview)
        return found

    def entry(self) -> dict[str, Any]:
        """A line of the list of experiments; ``error`` says what is damaged."""
        source = self.source
        value: dict[str, Any] = {"key": source.key, "experiment": source.shown, "fault": source.fault}
        try:
            value |= self._made("entry", STAMPED, self._entry)
            value |= {"state": state_of(source.paths, self._history(), source.results)}
        except (NumeraiRayError, OSError, ValueError) as error:
            value |= {"state": "damaged", "error": str(error)}
        return value

    def live(self) -> dict[str, Any]:
        """The running round and the state, as ``status --json`` has them."""
        self._check("ledger", "progress")
        paths = self.source.paths
        state = state_of(paths, self._history(), self.source.results)
        now = self._made("running", ("progress",), lambda: as_written(paths)) if state == "running" else None
        return {"state": state, "running": now}

    def diff(self, first: str, second: str) -> dict[str, Any]:
        """Where two variants' complete configurations differ: dotted path, and the value in each."""
        ours, theirs = self._config(first), self._config(second)
        rows = [
            {"path": path, "first": ours.get(path), "second": theirs.get(path)}
            for path in sorted(ours.keys() | theirs.keys())
            if ours.get(path) != theirs.get(path)
        ]
        return {"first": first, "second": second, "rows": rows, "same": len(ours.keys() & theirs.keys()) - len(rows)}

    def log(self, variant: str | None) -> dict[str, Any]:
        """The end of a trial's log, or of the driver's where ``variant`` is None."""
        paths = self.source.paths
        path = paths.driver_log if variant is None else paths.trial_log(self._id(variant))
        try:
            self.source.file("log", path)
            size = path.stat().st_size
            with path.open("rb") as handle:
                handle.seek(max(0, size - LOG_BYTES))
                text = handle.read(LOG_BYTES).decode("utf-8", "replace")
        except FileNotFoundError:
            return {"log": path.name, "lines": None, "bytes": 0, "shown": 0}
        return {"log": path.name, "lines": text.split("\n"), "bytes": size, "shown": min(size, LOG_BYTES)}

    def chosen(self, variant: str) -> Chosen:
        """A variant to compare, once its files were looked at."""
        self._file("results", self.source.paths.results(self._id(variant)))
        with_config = self.source.paths.config(variant)
        self.source.has("config", with_config)
        return Chosen(self.source.key, self.source.paths, variant)

    def page(self) -> bytes:
        """The report as a page."""
        return self._file("html", self.source.paths.html).read_bytes()

    def stamp(self) -> tuple[Any, ...]:
        """Changes whenever a file of the experiment that the page shows does; the running round's own aside."""
        return self.signature(STAMPED)

    def signature(self, kinds: tuple[str, ...]) -> tuple[Any, ...]:
        """Size and time of files; raises where one must not be read."""
        found: list[Any] = []
        for kind in kinds:
            path: Path = getattr(self.source.paths, kind)
            if kind == "ensemble":  # a folder, in which files are replaced
                found.append(_ended(path))
            elif self.source.has(kind, path):
                stat = path.stat()
                found.append((stat.st_mtime_ns, stat.st_size))
            else:
                found.append(None)
        return tuple(found)

    def file_of(self, kind: str, variant: str | None) -> Path:
        """A variant's file, or the driver's log where ``variant`` is None; raises where it must not be read."""
        paths = self.source.paths
        if variant is None:
            return self.source.file("log", paths.driver_log)
        place = {"results": paths.results, "config": paths.config, "log": paths.trial_log}[kind]
        return self.source.file(kind, place(self._id(variant)))

    # -- below -----------------------------------------------------------------------------------------------------

    def _entry(self) -> dict[str, Any]:
        history, overview = self._history(), self.overview()
        best = best_variant(history)
        bmc = None
        if best is not None and best.metrics is not None:
            bmc = best.metrics.primary
        texts = ("name", "idea", "tags", "error", "data_version", "headline")
        return {
            **{key: overview[key] for key in texts},
            "best": None if best is None else {"id": best.id, "primary": bmc},
            "rounds": len(history),
            "variants": len({each.id for record in history for each in record.variants if each.role == "variant"}),
            "last_era": self._last_era(history),
            "started": history[0].started if history else None,
            "updated": _ended(self.source.paths.ledger),
            "notes": len(overview["notes"]),
        }

    def _overview(self) -> dict[str, Any]:
        history = self._history()
        value: dict[str, Any] = {"key": self.source.key, "experiment": self.source.shown, "notes": [], "error": None}
        value |= {"name": self.source.key, "idea": "", "novelty": "", "tags": [], "data_version": None, "stages": []}
        value |= {"joint": None, "sweeps": [], "rounds_plot": None, "answer": None, "headline": None, "margin": None}
        value |= {"budget_rounds": None, "last": 200, "metric": "Metric"}
        try:
            if self.source.has("notes", self.source.paths.notes):
                value["notes"] = [asdict(each) for each in read_notes(self.source.paths.notes)]
        except NumeraiRayError as error:
            value["error"] = str(error)
        try:
            value |= _written(self._file("plan", self.source.paths.plan))
            value |= _of_plan(self.plan(), self.source, history, self.answer())
        except (NumeraiRayError, OSError, ValueError, KeyError, TypeError) as error:
            value["error"] = str(error)
        return value

    def answer(self) -> Answer:
        """The answer so far, worked out once a round."""
        paths, shown = self.source.paths, self.source.shown

        def make() -> Answer:
            return experiment_answer(self.plan(), paths, self._history(), shown)

        found: Answer = self._made("answer", DECISIVE, make)
        return found

    def plan(self) -> LoadedPlan:
        """The plan as it ran, or would on the data root of this machine."""
        path = self._file("plan", self.source.paths.plan)
        found: LoadedPlan = self._made(
            "plan", DECISIVE, lambda: load_plan(path, self._shipped, defaults_here(self._ran_on()))
        )
        return found

    def _shipped(self, kind: str, name: str) -> Path:
        """A baseline or search space by name; of a copy's own baseline the config that it ran, which the copy holds."""
        try:
            return find_shipped(kind, name, self.source.paths.root)
        except ConfigError:
            ran = self._baseline() if kind == "baselines" and self.source.copy is not None else None
            if ran is None:
                raise
            return self._file("config", self.source.paths.config(self._id(ran)))

    def _baseline(self) -> str | None:
        """The id of the baseline's trial; the first base is the baseline where no trial of its own ran."""
        ran = [each for record in self._history() for each in record.variants]
        return next((each.id for role in ("baseline", "base") for each in ran if each.role == role), None)

    def _status(self, shown: str) -> dict[str, Any]:
        return status_json(self.source.paths, shown, self.source.results, self._answer_json)

    def _answer_json(self) -> dict[str, Any] | None:
        """None where the plan cannot be read, as the command says it."""
        try:
            self.plan()
        except NumeraiRayError:
            return None
        return answer_json(self.answer())

    def _ran_on(self) -> Mapping[str, Any]:
        """The first config that it ran, which says its data version and benchmark; empty where there is none."""
        first = next((each.id for record in self._history() for each in record.variants), None)
        try:
            path = None if first is None else self._file("config", self.source.paths.config(self._id(first)))
            return {} if path is None else parse_yaml(read_text(path), str(path))
        except (NumeraiRayError, OSError):
            return {}

    def _history(self) -> list[RoundRecord]:
        found: list[RoundRecord] = self._made("history", ("ledger",), lambda: read_ledger(self.source.paths.ledger))
        return found

    def _id(self, variant: str) -> str:
        """``variant``, which is one of the ledger's and the name of a file rather than a path."""
        if variant not in {each.id for record in self._history() for each in record.variants}:
            raise RequestError("no such variant; load the page again")
        if re.search(r"[/\\\x00]", variant) or variant in (".", "..") or len(variant) > MOST_KEY:
            raise DataError(f"{variant[:60]!r} is no id of a variant; restore the ledger")
        return variant

    def _config(self, variant: str) -> dict[str, Any]:
        path = self._file("config", self.source.paths.config(self._id(variant)))
        return leaves(parse_yaml(read_text(path), str(path)))

    def _last_era(self, history: list[RoundRecord]) -> int | None:
        best = best_variant(history)
        if best is None:
            return None
        try:
            return int(self.per_era(best.id)["era"][-1])
        except (NumeraiRayError, OSError, ValueError, LookupError):
            return None

    def _file(self, kind: str, path: Path) -> Path:
        try:
            return self.source.file(kind, path)
        except FileNotFoundError:
            raise DataError(f"{path.name}: not there; {_why_not(kind)}") from None

    def _check(self, *kinds: str) -> None:
        for kind in kinds:
            self.source.has(kind, getattr(self.source.paths, kind))

    def _made(self, name: str, kinds: tuple[str, ...], make: Callable[[], Any]) -> Any:
        # A page asks for several values at once, and two of them need the same answer: the second waits for it.
        with self._making.setdefault(name, threading.Lock()):
            signature = self.signature(kinds)
            held = self._held.get(name)
            if held is None or held[0] != signature:
                held = (signature, make())
                self._held[name] = held
            return held[1]


def compared(sources: Sources, readers: Mapping[str, Reader], chosen: list[tuple[str, str]]) -> dict[str, Any]:
    """Variants of any experiments side by side; ``chosen`` are pairs of an experiment's key and a variant's id.

    Raises:
        RequestError: an experiment or a variant is not there, or too many were chosen.

    """
    if len(chosen) > MOST_COMPARED:
        raise RequestError(f"at most {MOST_COMPARED} variants are compared at once, not {len(chosen)}")
    found = []
    for key, variant in chosen:
        source = sources.find(key)
        if source is None:
            raise RequestError("an experiment that was chosen is no longer there; load the page again")
        found.append(readers[source.key].chosen(variant))
    return side_by_side(found)


def json_bytes(value: Any) -> bytes:
    """JSON in UTF-8 without NaN, every text and key in it of bounded length."""
    return json.dumps(_bounded(without_nan(value)), separators=(",", ":")).encode()


def _bounded(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= MOST_TEXT else f"{value[:MOST_TEXT]}… ({len(value):,} characters)"
    if isinstance(value, dict):
        return {key if len(key) <= MOST_KEY else f"{key[:MOST_KEY]}…": _bounded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_bounded(each) for each in value]
    return value


def _written(path: Path) -> dict[str, Any]:
    """Texts of a plan as they stand there, even where it refers to what is not on this machine."""
    plan = parse_yaml(read_text(path), str(path))
    texts = {key: plan[key] for key in ("idea", "novelty") if isinstance(plan.get(key), str)}
    tags = plan.get("tags")
    return texts | {"tags": [str(each) for each in tags[:20]] if isinstance(tags, list) else []}


def _of_plan(loaded: LoadedPlan, source: Source, history: list[RoundRecord], answer: Answer) -> dict[str, Any]:
    plan = loaded.plan
    reading = Reading(loaded, source.paths, tuple(history))
    latest = reading.latest_stage
    sweeps, rounds = sweeps_info(reading), rounds_info(reading)
    return {
        "name": loaded.name,
        "idea": plan.idea,
        "novelty": plan.novelty,
        "tags": plan.tags,
        "data_version": loaded.config("scout", {}).data.version,
        "stages": list(reading.stages),
        "margin": plan.rounds.margin,
        "budget_rounds": plan.budget.rounds,
        "last": reading.comparison.last,
        "metric": reading.metric.titled(reading.comparison.last),
        "sweeps": [] if sweeps is None else [asdict(panel) for panel in sweeps.panels],
        "joint": joint_lines(loaded, history),
        "rounds_plot": None if rounds is None else asdict(rounds),
        "answer": answer_block(answer),
        "headline": None if latest is None else _headline(reading, latest),
    }


def _headline(reading: Reading, stage: Stage) -> dict[str, Any] | None:
    found = reading.headline(stage)
    if found is None:
        return None
    paired = found.paired
    return {
        "stage": found.stage,
        "ours": found.ours,
        "theirs": found.theirs,
        "gain": found.gain,
        "low": None if paired is None else paired.low,
        "high": None if paired is None else paired.high,
        "verdict": reading.verdict(found).replace("**", ""),
    }


def _why_not(kind: str) -> str:
    return {
        "results": "the trial failed, or its file was removed",
        "config": "a benchmark has none, or the file was removed",
        "html": "it is written after the first round",
    }.get(kind, "restore the file")


def _ended(path: Path) -> float | None:
    """When a file was last written, in seconds since 1970."""
    try:
        return path.stat().st_mtime
    except OSError:
        return None
