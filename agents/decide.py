"""Stage 4, pure: what an anomaly means for the machine's alarm and its work order, or by name why nothing is done.

For each machine and failure mode, in event time:

1. An anomaly counts from its on-delay on, if it was still seen then; it no longer counts when its off-delay has passed
   after its end. On and off are facts of the readings, so how they were cut into runs does not matter.
2. The alarm is active while one or more anomalies count. It opens or re-opens with the first of them and returns when
   the last of them is over and the machine's clock has got there.
3. Its priority is what people laid down for the anomaly, else it follows from the machine's criticality and the
   severity; it rises while the alarm is open, never sinks. An advisory is noted, and opens when it rises above that.
4. Alarms of a priority that calls for work have an order; a fault of an instrument has an order and no alarm (P4).
5. Late anomalies change nothing (P5).
   What is hidden (shelved, by design, out of service) is decided like everything else, but calls for no work, by that
   name; where it still stands when it is no longer hidden, it calls for work then.
6. Triage (``maintenance.triage``) judges each anomaly by its history: a false positive does not count, or not before
   the instant from which on it is none; a doubtful one calls for a priority one lower. What has counted once goes on
   counting until it is over: a label changes no alarm that stands, but its priority can still rise.

Where several anomalies of one machine and mode wait for their on-delay at once, the opening bears the instant of the
one that was known first; when the alarm returns, and that it does, is the same however the readings were cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from agents import credibility, urgency, withheld
from agents.urgency import NONE, ORDER_OCCURRED, ORDER_OPENED
from maintenance import alarm_life, triage
from maintenance.alarm_life import Action, AlarmState, Condition, OrderState, Situation, State
from maintenance.verdicts import Step, Verdict, suppression_at

INSTRUMENT_PRIORITY = {"CRITICAL": "MEDIUM", "HIGH": "MEDIUM", "MEDIUM": "LOW", "LOW": "LOW"}
"""Criticality of the machine -> priority of the order to see to its instrument."""

DOUBTED = "DOUBTED"


def decide(situations: Sequence[Situation]) -> list[Verdict]:
    """One verdict per situation, in their order. The same situation gives the same verdict, keys included."""
    return [_instrument(s) if any(c.instrument for c in s.conditions) else _machine(s) for s in situations]


def _machine(situation: Situation) -> Verdict:
    known = credibility.judged(situation)
    live = sorted((c for c in known if c.held_until != credibility.NEVER), key=lambda c: (c.on, c.anomaly_id))
    false = [c for c in known if c.held_until == credibility.NEVER]
    case = _Case(situation, live)
    case.run()
    case.explain()
    steps = [*_late(situation), *_held_back(false), *case.steps]
    settled = [c.anomaly_id for c in situation.conditions if c.retrospective]
    settled += [c.anomaly_id for c in live if _is_settled(c, case.changed_at)]
    settled += [c.anomaly_id for c in false if c.ended_at is not None]
    return Verdict(situation, tuple(steps), tuple(sorted(settled)), case.alarm, credibility.news(situation))


def _held_back(conditions: Sequence[Condition]) -> list[Step]:
    """Say once of each why it does not count."""
    told = ((c, credibility.why_held(c)) for c in conditions)
    return [_nothing(c, reason, at=c.last_at) for c, reason in told if f"{NONE}:{reason}" not in c.decided]


def _is_settled(condition: Condition, over: int | None) -> bool:
    """Whether it is over, and all that it could change was decided."""
    if condition.off is None:
        return False
    return not condition.counts or (over is not None and condition.off <= over)


def _late(situation: Situation) -> list[Step]:
    return [_nothing(c, "late", at=c.last_at) for c in situation.conditions if c.retrospective]


def _nothing(condition: Condition, reason: str, *, at: int) -> Step:
    return Step(NONE, reason, at, f"anomaly/{condition.anomaly_id}/{reason}", condition.anomaly_id)


class _Case:
    """One machine and failure mode, walked along event time from where its alarm stands to where it gets."""

    def __init__(self, situation: Situation, live: Sequence[Condition]) -> None:
        self.situation = situation
        self.counting = [c for c in live if c.counts]
        self.waiting = [c for c in live if not c.counts]
        self.alarm = situation.alarm
        self.order = situation.order
        self.steps: list[Step] = []
        self.told = {c.anomaly_id for c in live if any(not e.startswith((NONE, DOUBTED)) for e in c.decided)}
        self.covered: set[int] = set()

    @property
    def changed_at(self) -> int | None:
        return self.alarm.changed_at if self.alarm else self.situation.judged_until

    def run(self) -> None:
        while self._activate() or self._return():
            pass

    def _activate(self) -> bool:
        """Open or re-open for the first condition that counts after the alarm was last changed."""
        if self.alarm and self.alarm.active:
            return False
        since = self.changed_at
        fresh = [c for c in self.counting if since is None or c.off is None or c.off > since]
        if not fresh:
            return False
        cause = fresh[0]
        at = cause.on if since is None else max(cause.on, since)
        cover, _ = self._cover(at)
        priority = self._priority(cover)
        if self.alarm is None or self.alarm.state is State.NORMAL:
            peak = max(c.peak_score for c in cover)
            alarm = alarm_life.opened(at=at, priority=priority, sensor_id=cause.sensor_id, peak_score=peak)
            action = Action.NOTED if alarm.is_advisory else Action.OPENED
            self._tell(action, "condition-stands", at, cause, self._judged(alarm, cover))
        else:
            alarm = alarm_life.step(self.alarm, Action.REOPENED, at=at, priority=priority)
            self._tell(Action.REOPENED, "active-again", at, cause, self._judged(alarm, cover))
        self._call_for_work(alarm, at, cause, again=True)
        return True

    def _return(self) -> bool:
        """Raise the active alarm as far as what it covers calls for, and return it once all of that is over."""
        alarm = self.alarm
        if alarm is None or not alarm.active:
            return False
        cover, end = self._cover(alarm.raised_at)
        self.covered |= {c.anomaly_id for c in cover}
        peak = max([alarm.peak_score, *(c.peak_score for c in cover)])
        alarm = self.alarm = self._judged(replace(alarm, peak_score=peak), cover)
        alarm = self._raise(alarm, cover)
        if suppression_at(self.situation, self.situation.clock) not in withheld.REASONS:
            self._catch_up(alarm, cover)
        clock = self.situation.clock
        if end is None or clock is None or clock < end:
            return False
        last = max(cover, key=lambda c: (c.off or 0, c.anomaly_id)) if cover else None
        self._tell(Action.RETURNED, "back-to-normal", end, last, alarm_life.step(alarm, Action.RETURNED, at=end))
        return True

    def _raise(self, alarm: AlarmState, cover: Sequence[Condition]) -> AlarmState:
        priority = self._priority(cover) if cover else alarm.priority
        if alarm_life.higher(priority, alarm.priority) == alarm.priority:
            return alarm
        worst = urgency.most_urgent(cover, criticality=self.situation.criticality)
        at = max(worst.peak_at, alarm.raised_at)
        advised = alarm.is_advisory
        action, reason = (Action.OPENED, "no-longer-advisory") if advised else (Action.RAISED, "higher-priority")
        alarm = alarm_life.step(alarm, action, at=at, priority=priority)
        self._tell(action, reason, at, worst, alarm)
        self._call_for_work(alarm, at, worst, again=advised)
        return alarm

    def _cover(self, since: int) -> tuple[list[Condition], int | None]:
        """What keeps an alarm active that became so at ``since``, and when the last of it is over; None = not yet.

        Something that waits for its on-delay may turn out to bridge the end, so the end is not known before it did.
        """
        cover: list[Condition] = []
        end: int | None = since
        for condition in self.counting:
            off = condition.off
            at_the_start = condition.on <= since and (off is None or off > since or condition.on == since)
            bridges = condition.on > since and (end is None or condition.on < end)
            if at_the_start or bridges:
                cover.append(condition)
                end = None if end is None or off is None else max(end, off)
        if end is not None and any(c.ended_at is None and c.on < end for c in self.waiting):
            return cover, None
        return cover, end

    def _priority(self, cover: Sequence[Condition]) -> str:
        criticality = self.situation.criticality
        return urgency.priority_of(urgency.most_urgent(cover, criticality=criticality), criticality=criticality)

    def _judged(self, alarm: AlarmState, cover: Sequence[Condition]) -> AlarmState:
        """The alarm with the verdict on the most credible of what keeps it active, and with what is laid down for the
        most urgent; as it was where nothing does."""
        if not cover:
            return alarm
        best = min(cover, key=lambda c: list(triage.Verdict).index(triage.Verdict(c.verdict)))
        holds = urgency.most_urgent(cover, criticality=self.situation.criticality).definition
        return replace(alarm, verdict=best.verdict, reasons=best.reasons, definition=holds)

    def _tell(self, action: Action, reason: str, at: int, cause: Condition | None, alarm: AlarmState) -> None:
        anomaly_id = cause.anomaly_id if cause else None
        key = f"alarm/{self.situation.machine_id}/{self.situation.failure_mode}/{action}/{at}/{anomaly_id or 0}"
        if action is Action.RAISED:
            key += f"/{alarm.priority}"
        self.alarm = alarm
        self.steps.append(Step(action, reason, at, key, anomaly_id, alarm=alarm))
        if anomaly_id is not None:
            self.told.add(anomaly_id)

    def _call_for_work(self, alarm: AlarmState, at: int, cause: Condition, *, again: bool) -> None:
        """What the alarm's becoming active (``again``), or only more urgent, means for the work order."""
        action, reason, after = urgency.work_for(alarm.priority, self.order, again=again)
        if hidden := withheld.REASONS.get(suppression_at(self.situation, at)):
            action, reason, after = NONE, hidden, None
        self.order = after or self.order
        key = f"{self.steps[-1].key}/order"
        self.steps.append(Step(action, reason, at, key, cause.anomaly_id, order=after))

    def _catch_up(self, alarm: AlarmState, cover: Sequence[Condition]) -> None:
        """Call for the work that was withheld while the alarm was hidden: it still stands and nobody hides it."""
        for c in filter(withheld.to_make_up_for, cover):
            action, _, after = urgency.work_for(alarm.priority, self.order, again=False)
            self.order = after or self.order
            if after is not None:
                key = f"anomaly/{c.anomaly_id}/{withheld.NO_LONGER_HIDDEN}"
                self.steps += [Step(action, withheld.NO_LONGER_HIDDEN, alarm.raised_at, key, c.anomaly_id, order=after)]

    def explain(self) -> None:
        """Say of everything that led to nothing why it did."""
        held = [c for c in self.waiting if c.verdict == triage.Verdict.FALSE_POSITIVE]
        self.steps += _held_back(held)
        for c in self.waiting:
            if c not in held:
                reason = "in-on-delay" if c.ended_at is None else "shorter-than-on-delay"
                self._explain(c, reason, at=c.last_at)
        for c in self.counting:
            if c.verdict == triage.Verdict.DOUBTFUL:
                self._doubt(c)
            if c.anomaly_id not in self.told:
                reason = "already-open" if c.anomaly_id in self.covered else "already-over"
                self._explain(c, reason, at=c.on)
            clock = self.situation.clock
            if c.off is not None and clock is not None and c.off > clock:
                self._explain(c, "in-off-delay", at=c.last_at)

    def _doubt(self, condition: Condition) -> None:
        against = credibility.doubts(condition)
        if f"{DOUBTED}:{against}" not in condition.decided:
            key = f"anomaly/{condition.anomaly_id}/doubted/{against}"
            self.steps.append(Step(DOUBTED, against, condition.on, key, condition.anomaly_id))

    def _explain(self, condition: Condition, reason: str, *, at: int) -> None:
        if f"{NONE}:{reason}" not in condition.decided:
            self.steps.append(_nothing(condition, reason, at=at))


def _instrument(situation: Situation) -> Verdict:
    """A fault of an instrument: one order to see to the instruments of the machine, and never an alarm.

    What is hidden stays unsettled while it lasts, so that it calls for its order when it is no longer hidden.
    """
    steps = _late(situation)
    live = [c for c in situation.conditions if not c.retrospective]
    hiding = {c.anomaly_id: reason for c in live if (reason := _why_withheld(situation, c))}
    fresh = [c for c in live if f"{NONE}:{hiding.get(c.anomaly_id)}" not in c.decided]
    steps += [_nothing(c, hiding[c.anomaly_id], at=c.started_at) for c in fresh if c.anomaly_id in hiding]
    order = situation.order
    priority = INSTRUMENT_PRIORITY[situation.criticality]
    for c in sorted((c for c in live if c.anomaly_id not in hiding), key=lambda c: (c.started_at, c.anomaly_id)):
        if order is None:
            order = OrderState(None, priority, "INSTRUMENTATION", 1)
            action, reason = ORDER_OPENED, "instrument-fault"
        elif order.completed_at is not None:
            order = urgency.reopened(order, priority=priority, maintenance_type="INSTRUMENTATION")
            action, reason = urgency.ORDER_REOPENED, "came-back-soon"
        else:
            order = replace(order, occurrences=order.occurrences + 1)
            action, reason = ORDER_OCCURRED, "order-already-open"
        key = f"order/{situation.machine_id}/{situation.failure_mode}/{c.anomaly_id}"
        steps.append(Step(action, reason, c.started_at, key, c.anomaly_id, detail=c.kind, order=order))
    stays = {c.anomaly_id for c in live if c.anomaly_id in hiding and c.ended_at is None}
    settled = tuple(c.anomaly_id for c in situation.conditions if c.anomaly_id not in stays)
    return Verdict(situation, tuple(steps), settled)


def _why_withheld(situation: Situation, condition: Condition) -> str | None:
    """Why nothing is called for, as far as a fault is known."""
    at = situation.clock if condition.ended_at is None else condition.ended_at
    return withheld.REASONS.get(suppression_at(situation, at))
