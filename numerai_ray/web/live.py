"""Live: one look a second at the files of all experiments, told to every open page as server-sent events.

Looking starts with the first page and ends with the last one. What a page has not read yet is replaced by what is
newer, so a page that sleeps for days costs no more than one entry an experiment.
"""

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

LOOK_S = 1.0
# Of one core looking may take this share, until looks are so many times as far apart.
SHARE, LONGEST = 0.003, 5.0
# After so many looks without a change nothing seems to run: then looks are that many times as far apart.
QUIET_LOOKS, QUIET = 60, 3.0
# Sent when nothing happens, so that proxies keep the line open and a page that went away is noticed.
HEARTBEAT_S = 15.0
MOST_PAGES = 64

# By experiment's key: what an event says of it.
Seen = dict[str, dict[str, Any]]


class Mailbox:
    """What one page has not been told yet: the latest of each experiment."""

    def __init__(self) -> None:
        self._waiting: Seen = {}
        self._there = asyncio.Event()

    def put(self, key: str, event: dict[str, Any]) -> None:
        """Replace what waits for this experiment; that files changed is remembered until it was told."""
        changed = event.get("changed") or self._waiting.get(key, {}).get("changed")
        self._waiting[key] = {**event, "changed": bool(changed)}
        self._there.set()

    async def take(self, patience_s: float) -> Seen:
        """All that waits, as soon as there is anything; empty after ``patience_s`` without."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._there.wait(), patience_s)
        self._there.clear()
        waiting, self._waiting = self._waiting, {}
        return waiting


class Live:
    """Tells mailboxes what changed.

    Args:
        look: gives, by experiment's key, ``stamp`` (changes with its files), ``state`` and ``running``.
        every_s: seconds between two looks.

    """

    def __init__(self, look: Callable[[], Seen], every_s: float = LOOK_S):
        self._look = look
        self._every_s = every_s
        self._mailboxes: set[Mailbox] = set()
        self._before: Seen = {}
        self._task: asyncio.Task[None] | None = None

    @property
    def pages(self) -> int:
        """How many pages are open."""
        return len(self._mailboxes)

    def join(self) -> Mailbox | None:
        """A mailbox for a page that was opened; None when there are too many."""
        if len(self._mailboxes) >= MOST_PAGES:
            return None
        mailbox = Mailbox()
        for key, event in self._before.items():
            mailbox.put(key, _event(event, changed=False))
        self._mailboxes.add(mailbox)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._watch())
        return mailbox

    def leave(self, mailbox: Mailbox) -> None:
        """The page was closed."""
        self._mailboxes.discard(mailbox)
        if not self._mailboxes:
            self.close()

    def close(self) -> None:
        """Stop looking."""
        if self._task is not None:
            self._task.cancel()
        self._task, self._before = None, {}

    async def _watch(self) -> None:
        quiet = 0
        while True:
            began = time.perf_counter()
            now = await asyncio.to_thread(self._look)
            took = time.perf_counter() - began
            for key in self._before.keys() - now.keys():
                self._tell(key, {"state": "gone", "running": None, "changed": True})
            for key, event in now.items():
                before = self._before.get(key)
                if before != event:
                    # The first look knows no change: whoever has just opened the page has read it all.
                    changed = bool(self._before) and (before is None or before["stamp"] != event["stamp"])
                    changed = changed or (before is not None and before["state"] != event["state"])
                    self._tell(key, _event(event, changed=changed))
            quiet = 0 if now != self._before else quiet + 1
            self._before = now
            # On a busy machine, or with many experiments, a look takes longer: then there are fewer of them.
            every = self._every_s * (QUIET if quiet >= QUIET_LOOKS else 1.0)
            await asyncio.sleep(max(every, min(took / SHARE, LONGEST * self._every_s)))

    def _tell(self, key: str, event: dict[str, Any]) -> None:
        for mailbox in self._mailboxes:
            mailbox.put(key, event)


def _event(seen: dict[str, Any], *, changed: bool) -> dict[str, Any]:
    return {"state": seen["state"], "running": seen["running"], "changed": changed}


def as_event(key: str, event: dict[str, Any]) -> bytes:
    """One server-sent event; JSON has no line ends."""
    return f"data: {json.dumps({'key': key, **event}, separators=(',', ':'))}\n\n".encode()
