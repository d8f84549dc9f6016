"""What decide says of a situation, as plain values. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from maintenance import triage
from maintenance.alarm_life import AlarmState, OrderState, Situation, State


@dataclass(frozen=True, slots=True)
class Step:
    """One decision: what is done, or that nothing is, and by name why. ``key`` is made of ids, causes and event time.

    ``alarm`` is set where the action changes the alarm, ``order`` where it changes the order: how it stands after it.
    """

    action: str
    reason: str
    at: int
    key: str
    anomaly_id: int | None
    detail: str = ""
    alarm: AlarmState | None = None
    order: OrderState | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is decided for a situation. ``settled``: anomalies that nothing more can come of. ``alarm``: how it stands
    after the steps; without a step its peak or verdict may still have changed. ``triaged``: what triage makes of the
    anomalies, where that is not what is stored."""

    situation: Situation
    steps: tuple[Step, ...]
    settled: tuple[int, ...]
    alarm: AlarmState | None = None
    triaged: tuple[tuple[int, triage.Judgement], ...] = ()

    @property
    def lives(self) -> tuple[Life, ...]:
        """The steps that change an alarm, by the alarm they change, oldest first: one that is closed is followed by
        another. The first is the one that stood before, where there was one."""
        found = [Life(self.situation.alarm, ())] if self.situation.alarm is not None else []
        stands = self.situation.alarm
        for step in self.steps:
            if step.alarm is not None:
                if stands is None or stands.state is State.NORMAL:
                    found.append(Life(None, ()))
                found[-1] = Life(found[-1].before, (*found[-1].steps, step))
                stands = step.alarm
        return tuple(found)


@dataclass(frozen=True, slots=True)
class Life:
    """One alarm as it stood, None for one that is not stored yet, and what happens to it."""

    before: AlarmState | None
    steps: tuple[Step, ...]
