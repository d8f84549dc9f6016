"""What decide says of a situation, as plain values. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from maintenance import triage
from maintenance.alarm_life import Action, AlarmState, OrderState, Situation, State, Suppression


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


def suppression_at(situation: Situation, at: int | None) -> Suppression:
    """Why what happens at an instant is hidden, if it is; None: now. What the machine's state hides, it hides in event
    time: what was before it went off was seen, however late it is decided."""
    by_state = any(stretch.holds(at) for stretch in situation.stretches)
    return Suppression.BY_DESIGN if by_state and not situation.suppression else situation.suppression


def suppression_of(verdict: Verdict, step: Step) -> Suppression:
    """Why nobody is told of a step, if it is hidden: neither of the return of what nobody was told of."""
    situation = verdict.situation
    if situation.suppression or not situation.stretches:
        return situation.suppression
    instants = {step.at}
    if step.action == Action.RETURNED and step.alarm is not None:
        instants.add(step.alarm.raised_at)
    until = _over_at(verdict, step)
    hidden = any(s.holds(at) and not s.outlasted(until) for s in situation.stretches for at in instants)
    return Suppression.BY_DESIGN if hidden else Suppression.NONE


def _over_at(verdict: Verdict, step: Step) -> int | None:
    """When what begins with a step is over, None where it is not, as far as the verdict goes."""
    later = verdict.steps[verdict.steps.index(step) :]
    return next((one.at for one in later if one.action == Action.RETURNED), None)
