# SPDX-License-Identifier: Apache-2.0
"""Changes sent to the API one after the other, each in the journal first; what became of those without an answer."""

import getpass
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from openai_exporter.client.organization import ADMIN_KEYS, MOST_BYTES, OrganizationClient, authorization, is_admin_key
from openai_exporter.client.session import Network, Session
from openai_exporter.config.secret import Credential
from openai_exporter.errors import StartError, UpstreamError
from openai_exporter.limits.change import Change, words
from openai_exporter.limits.journal import Entry, Journal
from openai_exporter.limits.setting import Get, RateLimit, Reader, SpendAlert, Value, alert, rate_limit
from openai_exporter.model import Answer
from openai_exporter.usage.limits import API
from openai_exporter.usage.rows import MalformedError

SCOPE = "api.management.write"
_ATTEMPTS = 5
_LONGEST_WAIT = 60.0
_GLANCE = 0.2
"""Seconds of a wait after which is looked whether something asked to stop."""
_NO_ANSWER = (408, 409)
"""HTTP statuses, besides 2xx and 5xx, after which it is not certain that nothing was changed."""
OF_THIS_ALONE = (400, 404, 422)
"""HTTP statuses that say nothing of other changes, such as for a project that is archived."""
_NOT_SENT = ("credential", "connect", "dns", "proxy", "tls")
"""Reasons of failures before the request is sent."""


class _WritingSession(Session):
    """A session that can also send what changes something; that is never repeated on its own."""

    def send(self, method: str, path: str, body: Any, headers: dict[str, str], *, api: str) -> Any:
        """Send a request with a JSON body, or none."""
        return self._exchange(lambda watchdog: self._request(method, path, watchdog, headers=headers, json=body), api)


class WritingClient(OrganizationClient):
    """Calls of one organization that change something.

    Args:
        credential: where the key is read from; it needs scope api.management.write.
    """

    scopes: ClassVar[str] = f"scope {SCOPE}"

    def __init__(self, base_url: str, credential: Credential, timeout: float, network: Network) -> None:
        super().__init__(base_url, credential, timeout, network)
        self._writing = _WritingSession(base_url, timeout, network)

    def check(self) -> None:
        """Look at the key's form.

        Raises:
            StartError: it cannot be read, or is no admin key.
        """
        try:
            key = self._current_key(API)
        except UpstreamError as error:
            raise StartError(str(error)) from None
        if not is_admin_key(key):
            raise StartError(
                f"{self._credential.place}: this is not an admin key; changes need an admin key with scope {SCOPE}; "
                f"owners make them at {ADMIN_KEYS}"
            )

    def write(self, method: str, path: str, body: Any) -> Answer:
        """Send one change and read the answer.

        Raises:
            UpstreamError: no answer, or an error; PermissionDeniedError names the scope that the key lacks.
        """
        key = self._current_key(API)
        with self._writing.send(method, path, body, authorization(key), api=API) as reply:
            if not 200 <= reply.status < 300:
                raise self._refused(reply, key)
            content = reply.json_object(MOST_BYTES)
            return Answer(content, reply.date, reply.headers.get("x-request-id", ""), reply.headers)

    def close(self) -> None:
        """Cut the running call and close the connections."""
        super().close()
        self._writing.close()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a list of changes.

    Attributes:
        entries: those that were sent.
        problem: why it stopped; empty when all is done.
    """

    entries: tuple[Entry, ...]
    problem: str = ""


@dataclass
class Applier:
    """Sends changes.

    Attributes:
        get: reads what is set, with the key that the changes are made with.
        write: sends one change: method, path and body.
        say: called with the number of each change and its entry, once that is settled.
        stopped: what asks to stop before the next change; empty while nothing does.
    """

    journal: Journal
    organization: str
    get: Get
    write: Callable[[str, str, Any], Answer]
    say: Callable[[int, Entry], None] = lambda number, entry: None
    stopped: Callable[[], str] = lambda: ""
    _rates: dict[str, dict[str, RateLimit]] = field(default_factory=dict)
    _status: int | None = None

    def settle(self) -> Iterator[Entry]:
        """Find out what became of changes whose result is not known; it stays unknown where the setting is gone.

        Raises:
            UpstreamError: what is set could not be read.
        """
        for entry in self.journal.open(self.organization):
            try:
                yield self.journal.settled(self._judged(entry, self.current(entry.change)))
            except UpstreamError as error:
                if error.status not in OF_THIS_ALONE:
                    raise
                yield replace(entry, result="unknown", message=str(error))

    def apply(self, changes: Sequence[Change], command: str, *, skip: bool = False) -> Outcome:
        """Send them in this order; stop at the first that fails, or whose old value is not set any more.

        Args:
            skip: go on after a change that the API rejects for itself alone.
        """
        batch, done, problems = self.journal.last + 1, list[Entry](), list[str]()
        who = f"{_user()}@{socket.gethostname()}"
        for number, change in enumerate(changes, 1):
            if signal := self.stopped():
                return Outcome(tuple(done), "; ".join([*problems, f"stopped by {signal}"]))
            problem, self._status = "", None
            try:
                self._expect(change)
                self._send(Entry(batch, number, "", who, command, self.organization, change, target=change.target))
            except (UpstreamError, StartError) as error:
                problem, self._status = str(error), error.status if isinstance(error, UpstreamError) else None
            entry = self.journal.entries.get((batch, number))  # whatever could be written of it
            if entry is not None:
                done.append(entry)
                if not problem:
                    self.say(number, entry)
                    problem = "" if entry.done else entry.message
            if problem:
                problems.append(f"{change.title}: {problem}")
                if not skip or self._status not in OF_THIS_ALONE:
                    problems += [f"stopped by {signal}" for signal in [self.stopped()] if signal]
                    break
        return Outcome(tuple(done), "; ".join(problems))

    def _expect(self, change: Change) -> None:
        """Check that what is set is what the change was planned on."""
        current = self.current(change)
        if current != change.old:
            raise StartError(
                f"was changed meanwhile, to {words(current)} (not {words(change.old)}); nothing was sent: look again"
            )

    def _send(self, entry: Entry) -> None:
        """Send a change that is put in the journal; settle it there, whatever happens."""
        entry = self.journal.sending(entry)
        for attempt in range(_ATTEMPTS):
            try:
                answer = self.write(*entry.change.request)
            except UpstreamError as error:
                wait = 2.0**attempt if error.retry_after is None else error.retry_after
                if error.status != 429 or attempt == _ATTEMPTS - 1 or not self._waited(min(wait, _LONGEST_WAIT)):
                    self.journal.settled(self._failed(entry, error))
                    return
                continue
            self.journal.settled(self._answered(entry, answer))
            return

    def _waited(self, seconds: float) -> bool:
        """Wait while the API asks to; whether nothing asked to stop meanwhile."""
        end = time.monotonic() + seconds
        while not self.stopped() and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, _GLANCE))
        return not self.stopped()

    def _answered(self, entry: Entry, answer: Answer) -> Entry:
        entry = replace(entry, result="applied", request_id=answer.request_id, value=entry.change.new)
        if entry.change.new is None:
            return entry
        try:
            if entry.change.what == "spend_alert":
                made = alert(answer.body)
                return replace(entry, target=made.id or entry.target, value=made.value)
            if entry.change.what == "rate_limit":
                limits = rate_limit(answer.body).limits
                self._rates.pop(entry.change.project_id, None)
                return replace(entry, value={name: limits.get(name, n) for name, n in entry.change.new.items()})
        except MalformedError:
            pass  # it is set; only the answer says less than it should
        return entry

    def _failed(self, entry: Entry, error: UpstreamError) -> Entry:
        self._status = error.status
        entry = replace(entry, message=str(error), request_id=error.request_id or "")
        if error.status is not None and 300 <= error.status < 500 and error.status not in _NO_ANSWER:
            return replace(entry, result="rejected")
        if error.status is None and error.reason in _NOT_SENT:
            return replace(entry, result="not_applied")
        self._rates.pop(entry.change.project_id, None)
        try:
            return self._judged(entry, self.current(entry.change))
        except UpstreamError as second:
            text = f"{error}; what is set now could not be read either ({second}): look with `limits show`"
            return replace(entry, result="unknown", message=text)

    def _judged(self, entry: Entry, current: Value | None) -> Entry:
        """What became of a change without an answer, by what is set now."""
        if current == entry.change.new:
            target = entry.target
            if entry.change.what == "spend_alert" and not target and (made := self._alert(entry.change)):
                target = made.id
            return replace(entry, result="applied", value=current, target=target)
        if current == entry.change.old:
            message = entry.message or "the program ended before it had an answer"
            return replace(entry, result="not_applied", message=f"{message}; the old value is still set")
        return replace(entry, result="changed", message=f"{entry.message}; {words(current)} is set now".lstrip("; "))

    def current(self, change: Change) -> Value | None:
        """What is set now where a change is to be made."""
        if change.what == "spend_limit":
            cents, _ = Reader(self.get).spend_limit(change.project_id)
            return None if cents is None else {"cents": cents}
        if change.what == "spend_alert":
            there = self._alert(change)
            return None if there is None else there.value
        if change.project_id not in self._rates:
            self._rates[change.project_id] = {rate.id: rate for rate in Reader(self.get).rates(change.project_id)}
        rate = self._rates[change.project_id].get(change.target)
        return None if rate is None else {name: rate.limits.get(name) for name in change.new or {}}

    def _alert(self, change: Change) -> SpendAlert | None:
        """The alert of that id; of a new one, one of the same content, which there is none of before."""
        for there in Reader(self.get).alerts(change.project_id):
            if there.id == change.target or (not change.target and there.value == change.new):
                return there
        return None


def undone(entries: Sequence[Entry]) -> list[Change]:
    """What brings the values before a batch back: its changes that were made, the last one first."""
    return [entry.change.reversed(entry.target, entry.value) for entry in reversed(entries) if entry.done]


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return "unknown"
