"""Timeline: spans nest by thread, add up, and cost next to nothing when nobody records."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from numerai_ray.system.timeline import Span, chrome_trace, idle_core_s, record, recording, span, table


def fit(began: float, seconds: float, cores: int = 1) -> Span:
    return Span("fit", "worker 1", began, seconds, seconds, seconds, seconds, cores=cores)


def test_what_is_within_a_span_is_not_its_own() -> None:
    with recording() as timeline, span("round"):
        time.sleep(0.02)
        with span("fit"):
            time.sleep(0.05)
    inner, outer = timeline.spans
    assert (inner.name, inner.depth, outer.name, outer.depth) == ("fit", 1, "round", 0)
    assert outer.seconds >= 0.07
    assert outer.own_s == pytest.approx(outer.seconds - inner.seconds)


def test_threads_do_not_nest_in_each_other() -> None:
    @span("report")
    def report() -> None:
        time.sleep(0.01)

    with recording() as timeline, span("round"), ThreadPoolExecutor(1, "aside") as pool:
        pool.submit(report).result()
        report()
    beside, here, whole = timeline.spans
    assert beside.lane.startswith("aside") and beside.depth == 0
    assert whole.own_s == pytest.approx(whole.seconds - here.seconds)


def test_nothing_is_kept_when_nobody_records_and_a_span_is_cheap() -> None:
    began = time.thread_time()
    for _ in range(10_000):
        with span("x"):
            pass
    assert time.thread_time() - began < 0.2
    record(fit(0, 1))
    with recording() as timeline:
        pass
    assert timeline.spans == []


def test_a_span_that_raises_is_measured_and_leaves_no_trace_of_itself() -> None:
    with recording() as timeline:
        with pytest.raises(ValueError, match="no"), span("data"):
            raise ValueError("no")
        with span("plan"):
            pass
    assert [(each.name, each.depth) for each in timeline.spans] == [("data", 0), ("plan", 0)]


def test_the_table_tells_what_has_no_name() -> None:
    main = threading.current_thread().name
    spans = [Span("plan", main, 0, 2, 1, 2, 1), Span("plots", "report_0", 1, 9, 8, 9, 8)]
    rows = [line.split() for line in table(spans, main, 5).splitlines()[1:]]
    assert rows == [
        ["plots", "beside", "1", "9.000", "9.000", "8.000"],
        ["plan", "main", "1", "2.000", "2.000", "1.000"],
        ["(not", "named)", "main", "3.000"],
        ["(all)", "main", "5.000"],
    ]


def test_the_trace_has_a_row_a_thread_and_microseconds_since_the_start() -> None:
    trace = json.loads(json.dumps(chrome_trace([fit(12, 3), Span("plan", "MainThread", 10.5, 1, 1, 1, 1)], 10)))
    events = {each["name"]: each for each in trace["traceEvents"] if each["ph"] == "X"}
    assert (events["plan"]["ts"], events["fit"]["ts"], events["fit"]["dur"]) == (500_000, 2_000_000, 3_000_000)
    assert events["plan"]["tid"] != events["fit"]["tid"]


def test_idle_cores_count_only_while_fits_wait() -> None:
    # Two cores: the second is empty from 4 until the third fit begins at 6; what ends after that waits for nobody.
    assert idle_core_s([fit(0, 6), fit(0, 4), fit(6, 1)], 2) == (2, 12)
    assert idle_core_s([fit(0, 4, cores=2), fit(4, 4, cores=2)], 2) == (0, 8)
    assert idle_core_s([], 2) == (0, 0)
