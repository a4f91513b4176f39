"""Core seconds: what tests take of the processor, fixtures and imports among it, whatever else the machine does.

A plugin of pytest that ``conftest`` brings along. Every run names the tests that have lost their place in the quick
tier; ``pytest -n 2 --core-seconds 30`` adds a table of folders and the thirty dearest tests.
"""

import os
import resource
from collections import defaultdict
from collections.abc import Generator
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import pytest

# Seconds of a core above which a test is slow. Cores, because a busy machine makes no test slow.
QUICK_S = 5.0
TIERS = ("ray", "cluster", "browser", "slow", "long")


def core_seconds() -> float:
    """Of this process, and of those that it started and that have ended."""
    own, ended = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + ended.ru_utime + ended.ru_stime


def is_marked(item: pytest.Item) -> bool:
    return any(item.get_closest_marker(name) for name in TIERS)


def is_quick_tier(config: pytest.Config) -> bool:
    """Whether this run leaves out all other tiers, as ``pytest`` alone does."""
    return "not (ray" in config.option.markexpr


class Spent(NamedTuple):
    """Seconds of a core that one test took; a shared fixture counts with the test that asked for it first."""

    test: str
    marked: bool
    fixtures_s: float
    call_s: float

    @property
    def total_s(self) -> float:
        return self.fixtures_s + self.call_s

    @property
    def folder(self) -> str:
        return "/".join(PurePosixPath(self.test.split("::")[0]).parts[:2])


class CoreSeconds:
    """Collects what each test took, from this process or from those that run tests side by side."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.spent: list[Spent] = []
        self.collected_s: list[float] = []  # one a process
        self.whole_s: list[float] = []

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, Any, Any]:
        return (yield from _timed(item, "setup"))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, Any, Any]:
        return (yield from _timed(item, "call"))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, Any, Any]:
        return (yield from _timed(item, "teardown"))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "teardown":
            return
        took: dict[str, float] = defaultdict(float)
        for name, seconds in report.user_properties:
            took[name] += seconds if name.startswith("core_s.") else 0.0  # type: ignore[operator]
        self.spent.append(
            Spent(
                report.nodeid,
                any(name in report.keywords for name in TIERS),
                took["core_s.setup"] + took["core_s.teardown"],
                took["core_s.call"],
            )
        )

    def pytest_collection_finish(self) -> None:
        self.collected_s.append(core_seconds())

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        if "PYTEST_XDIST_WORKER" in os.environ:
            self.config.workeroutput["core_s"] = (self.collected_s[-1:], core_seconds())  # type: ignore[attr-defined]

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        collected, whole = getattr(node, "workeroutput", {}).get("core_s", ([], 0.0))
        self.collected_s += collected
        self.whole_s.append(whole)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for each in sorted(self.spent, key=lambda each: -each.call_s):
            if not each.marked and each.call_s > QUICK_S:
                terminalreporter.write_line(
                    f"{each.test} took {each.call_s:.0f} s of a core: mark it slow, or make it quick"
                )
        dearest = self.config.getoption("--core-seconds")
        if dearest is not None:
            for line in (*self._folders(), *self._dearest(dearest)):
                terminalreporter.write_line(line)

    def _folders(self) -> Generator[str]:
        yield f"\n{'seconds of a core':<24}{'tests':>8}{'fixtures':>10}{'calls':>10}{'all':>10}"
        folders: dict[str, list[Spent]] = defaultdict(list)
        for each in self.spent:
            folders[each.folder].append(each)
        for folder, tests in sorted(folders.items()):
            yield _row(folder, tests)
        yield _row("tests", self.spent)
        # Of processes side by side each imports everything for itself; the first of them here is that which asks.
        whole = sum(self.whole_s) or core_seconds()
        yield f"{'imports and collection':<24}{'':>28}{sum(self.collected_s):>10.1f}"
        yield f"{'everything':<24}{'':>28}{whole:>10.1f}"

    def _dearest(self, number: int) -> Generator[str]:
        yield f"\n{'fixtures':>10}{'call':>8}"
        for each in sorted(self.spent, key=lambda each: -each.total_s)[:number]:
            yield f"{each.fixtures_s:>10.2f}{each.call_s:>8.2f}  {each.test}"


def _row(name: str, tests: list[Spent]) -> str:
    fixtures, calls = sum(each.fixtures_s for each in tests), sum(each.call_s for each in tests)
    return f"{name:<24}{len(tests):>8}{fixtures:>10.1f}{calls:>10.1f}{fixtures + calls:>10.1f}"


def _timed(item: pytest.Item, phase: str) -> Generator[None, Any, Any]:
    before = core_seconds()
    try:
        return (yield)
    finally:
        item.user_properties.append((f"core_s.{phase}", core_seconds() - before))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--core-seconds",
        type=int,
        metavar="TESTS",
        help="tell what each folder takes of a core, and the dearest TESTS of all",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(CoreSeconds(config), "spent-core-seconds")
