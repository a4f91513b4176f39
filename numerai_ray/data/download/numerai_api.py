"""Numerai's API: the one module that knows the numerapi client.

What the client does by itself is only as good as a first try: it waits without limit for an answer, and turns every
refusal and broken connection into an empty answer, which ends as ``KeyError: 'data'``. Here each request has a time
limit, is tried again when that may help, and fails with what happened. Files are not fetched with it (see
`transfer`).
"""

import logging
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numerapi
import numerapi.base_api
import requests

from numerai_ray.config.versions import newest, version_number
from numerai_ray.errors import EnvironmentFault, RequestError
from numerai_ray.system.http import PATIENT, OnRetry, PassingFault, Patience, network_reason, patiently

API_URL_VARIABLE = "NUMERAI_RAY_API_URL"

# What numerapi's download_dataset asks before it downloads.
_DATASET_QUERY = """
query ($filename: String! $round: Int $tournament: Int) {
    dataset(filename: $filename round: $round tournament: $tournament)
}
"""

_KEYS_QUERY = "query { account { username apiTokens { name public_id scopes } } }"


class NumeraiApi:
    """Numerai's tournament API, or the one that ``$NUMERAI_RAY_API_URL`` names.

    Every method raises :class:`EnvironmentFault` when the API cannot be reached or does not answer, and
    :class:`RequestError` when it refuses; no message holds a key.
    """

    def __init__(self, patience: Patience = PATIENT, on_retry: OnRetry = lambda _why, _wait_s: None):
        self.url = _use_url(os.environ.get(API_URL_VARIABLE))
        with _root_log_untouched():
            self._client = _Client(patience, on_retry)

    def dataset_names(self) -> tuple[str, ...]:
        """All files there are, as ``v5.2/train.parquet``."""
        with self._well_formed():
            return tuple(str(name) for name in self._client.list_datasets())

    def dataset_url(self, name: str) -> str:
        """Where to fetch a file right now; the address expires and carries a signature, so show it to nobody."""
        variables = {"filename": name, "round": None, "tournament": self._client.tournament_id}
        with self._well_formed():
            url = self._client.raw_query(_DATASET_QUERY, variables)["data"]["dataset"]
        if not (isinstance(url, str) and url.startswith(("https://", "http://"))):
            raise EnvironmentFault(f"{self.url}: gave no address for {name}; try again later")
        return url

    @property
    def keys(self) -> tuple[str, str] | None:
        """API keys from the environment or numerapi's own places; for a header, and nothing else."""
        keys: Any = self._client.token
        return (str(keys[0]), str(keys[1])) if keys else None

    def require_keys(self) -> None:
        """Raise :class:`RequestError` without API keys, before anything is asked."""
        if self.keys is None:
            raise RequestError(
                "no API key: set NUMERAI_PUBLIC_ID and NUMERAI_SECRET_KEY (Numerai, account settings, API keys; an "
                "upload needs the scope 'upload submissions')"
            )

    def models(self) -> dict[str, str]:
        """Ids of the account's models of the Classic tournament, by name; any key that may read will do."""
        self.require_keys()
        with self._well_formed():
            return {str(name): str(own) for name, own in self._client.get_models().items()}

    def round_performances(self, model_id: str) -> list[dict[str, Any]]:
        """Every round of a model as numerapi gives it: scores, payout, stake at risk; times and amounts parsed."""
        with self._well_formed(), warnings.catch_warnings():
            # numerapi prefers `submission_scores`, which knows neither stakes nor payouts.
            warnings.simplefilter("ignore", DeprecationWarning)
            return [dict(each) for each in self._client.round_model_performances_v2(model_id)]

    def key_scopes(self) -> tuple[str, tuple[str, ...]]:
        """The account's name and what the key in use may do; () where Numerai does not tell.

        Raises:
            RequestError: there is no key, or Numerai does not take it.

        """
        account = self.ask(_KEYS_QUERY, {}, True)  # noqa: FBT003
        own = self.keys[0] if self.keys else ""
        with self._well_formed():
            tokens = account.get("apiTokens") or []
            scopes = next((each.get("scopes") or [] for each in tokens if each.get("public_id") == own), [])
            return str(account.get("username") or ""), tuple(str(each) for each in scopes)

    def ask(self, query: str, variables: Mapping[str, Any], again: bool) -> Any:  # noqa: FBT001
        """The value of an authorized query's one field.

        ``again`` says that it may be sent more than once: what changes something at Numerai is not, because an
        answer that was lost does not tell whether it was done.
        """
        self.require_keys()
        with self._well_formed():
            data = self._client.authorized(query, dict(variables), again=again)["data"]
            return next(iter(data.values()))

    @contextmanager
    def _well_formed(self) -> Iterator[None]:
        try:
            yield
        except (KeyError, TypeError, AttributeError) as error:
            raise EnvironmentFault(f"{self.url}: its answer lacks what was asked for ({error!r})") from None


def newest_listed(patience: Patience = PATIENT) -> str:
    """The newest data version that Numerai lists.

    Raises:
        RequestError: it lists none.
        EnvironmentFault: Numerai cannot be reached.

    """
    folders = {name.partition("/")[0] for name in NumeraiApi(patience).dataset_names()}
    found = newest(name for name in folders if version_number(name))
    if found is None:
        raise RequestError(f"--version: Numerai lists no data version, only {', '.join(sorted(folders))}; name one")
    return found


class _Client(numerapi.NumerAPI):
    """The client with a time limit, our patience in place of its own, and errors that say what happened."""

    def __init__(self, patience: Patience, on_retry: OnRetry):
        super().__init__(verbosity="critical", show_progress_bars=False)  # type: ignore[no-untyped-call]
        self._patience = patience
        self._on_retry = on_retry

    def raw_query(  # the client's own signature
        self,
        query: str,
        variables: dict[str, Any] | None = None,
        authorization: bool = False,  # noqa: FBT001, FBT002
        **_: int,
    ) -> dict[str, Any]:
        """Send one request; every other method of the client comes through here. Its own retries are ignored."""

        def once() -> Any:
            return numerapi.NumerAPI.raw_query(self, query, variables, authorization, retries=1)

        return patiently(lambda: self._checked(once), self._patience, self._on_retry)

    def authorized(self, query: str, variables: dict[str, Any], *, again: bool) -> dict[str, Any]:
        """One authorized request, tried again only where it may be."""

        def once() -> Any:
            return numerapi.NumerAPI.raw_query(self, query, variables, authorization=True, retries=1)

        patience = self._patience if again else replace(self._patience, tries=1)
        return patiently(lambda: self._checked(once), patience, self._on_retry)

    def _checked(self, once: Callable[[], Any]) -> dict[str, Any]:
        where = numerapi.base_api.API_TOURNAMENT_URL
        call = _Call(once)
        call.start()
        call.join(self._patience.connect_s + self._patience.stall_s)
        if call.is_alive():
            raise PassingFault(f"{where}: no answer within {self._patience.connect_s + self._patience.stall_s:g} s")
        if call.refusal is not None:
            said = self._without_key(str(call.refusal))[:300] or "no reason given"
            raise RequestError(f"{where}: Numerai refuses this request: {said}")
        if call.fault is not None:
            raise self._fault(where, call.fault)
        if not isinstance(call.answer, dict) or not isinstance(call.answer.get("data"), dict):
            raise PassingFault(f"{where}: its answer holds no data")
        return call.answer

    def _fault(self, where: str, fault: BaseException) -> EnvironmentFault:
        response = getattr(fault, "response", None)
        status = getattr(response, "status_code", None)
        if not isinstance(fault, requests.HTTPError) or status is None:
            return PassingFault(f"{where}: {network_reason(fault, self._patience)}")
        said = f"{where}: answers with status {status}"
        if status == 429 or status >= 500:
            return PassingFault(said)
        return EnvironmentFault(f"{said}; check ${API_URL_VARIABLE} and the connection, or try again later")

    def _without_key(self, text: str) -> str:
        # Without keys it is None, whatever numerapi's types say.
        keys: Any = self.token
        for key in keys or ():
            text = text.replace(key, "…")
        return text


class _Call(threading.Thread):
    """One call of the client, in a thread that can be left behind: the client itself has no time limit."""

    def __init__(self, call: Callable[[], Any]):
        super().__init__(daemon=True)
        self._call = call
        self.answer: Any = None
        self.refusal: BaseException | None = None  # what the client raised
        self.fault: BaseException | None = None  # what the client only logged

    def run(self) -> None:
        with _overheard() as heard:
            try:
                self.answer = self._call()
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                # ValueError holds Numerai's words; the others are answers in a form the client did not expect.
                self.refusal = error if isinstance(error, ValueError) else ValueError("its answer cannot be read")
        self.fault = heard[-1] if heard else None


@contextmanager
def _overheard() -> Iterator[list[BaseException]]:
    """The exceptions that this thread's client swallows: it logs each from within the handler that does so."""
    here, heard = threading.get_ident(), list[BaseException]()

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            swallowed = sys.exc_info()[1]
            if record.thread == here and swallowed is not None:
                heard.append(swallowed)

    log, listener = logging.getLogger("numerapi"), Listener(logging.ERROR)
    log.addHandler(listener)
    try:
        yield heard
    finally:
        log.removeHandler(listener)


@contextmanager
def _root_log_untouched() -> Iterator[None]:
    """The client sets up the whole program's log when it is made; with a handler there it leaves it alone.

    What it logs itself stays off the screen: we say it in our own words.
    """
    logging.getLogger("numerapi").propagate = False
    logging.getLogger("numerapi").addHandler(logging.NullHandler())
    root, handler = logging.getLogger(), logging.NullHandler()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)


def _use_url(given: str | None) -> str:
    """Point the client at another API: it reads the address from a name of its module at every request."""
    if given:
        if not given.startswith(("https://", "http://")):
            raise RequestError(f"${API_URL_VARIABLE} must be an address such as https://…, but is {given!r}")
        numerapi.base_api.API_TOURNAMENT_URL = given
    return str(numerapi.base_api.API_TOURNAMENT_URL)
