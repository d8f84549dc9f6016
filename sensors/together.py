"""One call for many threads: what comes while a call is under way goes into the next one, together.

The first to come calls at once, so a lone caller waits for nobody; there is no timer. Made for transactions, of which a
server ends only so many a second, however little is in each.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Given = TypeVar("Given")
Answer = TypeVar("Answer")


@dataclass(slots=True)
class Ticket(Generic[Given, Answer]):
    """One caller: its turn comes when ``turn`` can be acquired, either with an outcome or to call for those behind."""

    given: Given
    turn: threading.Lock = field(default_factory=threading.Lock)
    answer: Answer | None = None
    error: BaseException | None = None
    done: bool = False


class Together(Generic[Given, Answer]):
    """``call`` takes what several gave, in the order in which it came, and returns an answer for each.

    At most ``most`` go together, and no more than weigh ``heaviest`` (one that is heavier goes alone). An error is
    everybody's if ``shared`` says so; after any other each tries alone, so that it finds the one whose it is.
    """

    def __init__(
        self,
        call: Callable[[Sequence[Given]], Sequence[Answer]],
        *,
        most: int,
        heaviest: int,
        weight: Callable[[Given], int],
        shared: Callable[[BaseException], bool],
    ) -> None:
        self._call, self._most, self._heaviest = call, most, heaviest
        self._weight, self._shared = weight, shared
        self._lock = threading.Lock()
        self._waiting: list[Ticket[Given, Answer]] = []
        self._under_way = False

    def __call__(self, given: Given) -> Answer:
        """The answer to what this caller gave. Raises what ``call`` raises."""
        ticket = Ticket[Given, Answer](given)
        ticket.turn.acquire()
        with self._lock:
            self._waiting.append(ticket)
            leads, self._under_way = not self._under_way, True
        if not leads:
            ticket.turn.acquire()
        if not ticket.done:
            self._lead()
        if ticket.error is not None:
            if not self._shared(ticket.error):
                return self._call([given])[0]
            raise ticket.error
        assert ticket.answer is not None
        return ticket.answer

    def _lead(self) -> None:
        """Call for those who wait, and hand over to the next."""
        with self._lock:
            mine = self._take()
        try:
            for ticket, answer in zip(mine, self._call([ticket.given for ticket in mine]), strict=True):
                ticket.answer = answer
        except BaseException as error:
            for ticket in mine:
                ticket.error = error
            if not isinstance(error, Exception):
                raise
        finally:
            with self._lock:
                following = self._waiting[0] if self._waiting else None
                self._under_way = following is not None
            if following is not None:
                following.turn.release()
            for ticket in mine:
                ticket.done = True
                ticket.turn.release()

    def _take(self) -> list[Ticket[Given, Answer]]:
        """The first of those who wait, as many as may go together."""
        count = weight = 0
        for ticket in self._waiting[: self._most]:
            weight += self._weight(ticket.given)
            if count and weight > self._heaviest:
                break
            count += 1
        mine, self._waiting = self._waiting[:count], self._waiting[count:]
        return mine
