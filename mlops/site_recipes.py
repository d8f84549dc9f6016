"""The recipe that a training follows: one of public data by its name, or a site's own, made of what is stored there.

What is stored of a site is read here and handed to a pure recipe. Good readings alone, late ones too, as they lie;
nothing from before the newest regime of any of a machine's sensors, since a row shows all of them together.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from mlops import ledger, live_tracks, loader, serving
from mlops.learning.contract import Feature, NotAtHand, Recipe, Signature
from mlops.learning.examples import Track
from mlops.live_tracks import LOOKS_BACK_US, Wanted
from mlops.models import Training
from mlops.multivariate import Multivariate
from mlops.recipes import RECIPES
from mlops.recipes.anomaly import OUTPUTS
from mlops.recipes.machine_anomaly import SHAPE, Stored, step, taught_anew
from mlops.serving import Fit, Machine
from mlops.thresholds import NothingSaid
from sensors import labels, regimes, series
from sensors.columns import DAY_US, SECOND_US, Bool, Int64, from_instant, to_instant
from sensors.models import Equipment, Label, Sensor, Site

AT_ONCE_US = 7 * DAY_US
"""Of a machine's readings, what is in memory at a time."""
LEAST_ROWS, MOST_ROWS = 200, 200_000
"""Of one machine, below which it is left out; of all together, above which rows are further apart."""
LEAST_READINGS = 20


@dataclass(frozen=True, slots=True)
class Window:
    """What of a machine is learned from, in microseconds: from its newest regime or as far as the look-back goes."""

    fit: Fit
    since: int
    until: int


def recipe_of(training: Training) -> Recipe:
    """Raises ``NotAtHand`` and, where there is a champion that cannot be opened, ``loader.Silent``."""
    if "site" not in training.options:
        return RECIPES[training.name]
    site, kind = Site.objects.get(pk=training.options["site"]), training.options["equipment_class"]
    machines, champion = _machines(site, kind), _champion(training.name)
    is_step = bool(training.options.get("incremental"))
    if is_step and champion is None:
        raise NotAtHand(f"A champion of {training.name} to go on from")
    signature = champion[1] if is_step and champion is not None else _signature(machines, site, kind)
    windows = _windows(machines, signature, days=training.options["look_back_days"])
    if not is_step:
        signature = replace(signature, period_us=_period(windows))
    stored = _stored(windows, signature)
    if not stored.tracks:
        raise NotAtHand(f"A {kind} of {site} with {LEAST_ROWS} rows of readings of {_names(signature)}")
    named = {
        "name": training.name, "about": f"Does a {kind} of {site} run as it did before?", "signature": signature,
        "source": _source(stored, signature, site, kind),
    }  # fmt: skip
    before = champion[0] if champion is not None and champion[1].features == signature.features else None
    if not is_step or before is None:
        return taught_anew(stored, before, **named)
    try:
        return step(stored, before, **named)
    except NothingSaid as error:
        raise NotAtHand("A label in the earlier part of the readings that the champion does not know") from error


def _champion(name: str) -> tuple[Multivariate, Signature] | None:
    version = ledger.champion(name)
    speaker = None if version is None else loader.opened(version)
    if speaker is None or not isinstance(speaker.learned, Multivariate):
        return None
    return speaker.learned, speaker.signature


# Which machines and features


def _machines(site: Site, kind: str) -> list[Machine]:
    found = serving.machines(of=Equipment.objects.filter(site=site, equipment_class__iexact=kind))
    if not found:
        raise NotAtHand(f"A {kind} of {site} with a sensor that is tagged as a feature")
    return found


def _signature(machines: Sequence[Machine], site: Site, kind: str) -> Signature:
    """Of the features that more than half of the machines have in one unit."""
    counts = Counter((name, tagged.unit) for one in machines for name, tagged in one.sensors.items())
    chosen = sorted(feature for feature, count in counts.items() if 2 * count > len(machines))
    if not chosen:
        raise NotAtHand(f"A feature that most machines of class {kind} of {site} have in one unit")
    sensors = [tagged.id for one in machines for tagged in one.sensors.values()]
    kinds = dict(Sensor.objects.filter(pk__in=sensors).order_by("-pk").values_list("feature", "kind"))
    features = tuple(Feature(name, unit, kinds[name]) for name, unit in chosen)
    rows = SHAPE.reach
    return Signature(features, OUTPUTS, rows=rows, least=rows, equipment_class=kind, site=site.pk)


def _names(signature: Signature) -> str:
    return ", ".join(feature.name for feature in signature.features)


# From when to when, and how far apart


def _windows(machines: Sequence[Machine], signature: Signature, *, days: int) -> list[Window]:
    """The look-back ends at the newest reading of any of the machines, whatever the clock says."""
    fits = [fit for fit in serving.fits(asdict(signature), machines) if fit.sensors]
    sensors = [sensor for fit in fits for sensor in fit.sensors]
    table = series.newest(sensors)
    newest = dict(zip(table["sensor_id"].tolist(), table["measured_at"].tolist(), strict=True))
    known = [(fit, until) for fit in fits if (until := live_tracks.known_until(fit, newest, signature)) is not None]
    begun = dict(Sensor.objects.filter(pk__in=sensors).annotate(begun=regimes.newest()).values_list("pk", "begun"))
    start = max((until for _, until in known), default=0) - days * DAY_US
    found = []
    for fit, until in known:
        ends = (at for sensor in fit.sensors for at in (begun[sensor], series.oldest_at(sensor)))
        since = [from_instant(at) for at in ends if at is not None]
        found.append(Window(fit, max([start, *since]), until))
    return [one for one in found if one.since < one.until]


def _period(windows: Sequence[Window]) -> int:
    """Of the feature that is read least often, in whole seconds; longer where there would be too many rows."""
    sensors = [sensor for one in windows for sensor in one.fit.sensors]
    told = dict(Sensor.objects.filter(pk__in=sensors).values_list("pk", "period_seconds"))
    usual = [told[sensor] or _measured_seconds(sensor, one) for one in windows for sensor in one.fit.sensors]
    period = max(usual, default=1) * SECOND_US
    rows = sum((one.until - one.since) / period for one in windows)
    return period * max(1, math.ceil(rows / MOST_ROWS))


def _measured_seconds(sensor: int, window: Window) -> int:
    """The median time between the newest readings."""
    at: Int64 = np.empty(0, np.int64)
    for back in LOOKS_BACK_US:
        start = max(window.since, window.until - back)
        at = series.raw([sensor], start=start, end=window.until + 1, only_good=True).at
        if len(at) >= LEAST_READINGS or start == window.since:
            break
    return math.ceil(np.median(np.diff(at)) / SECOND_US) if len(at) > 1 else 1


# What is stored


def _stored(windows: Sequence[Window], signature: Signature) -> Stored:
    tracks, faults, said = [], [], []
    for window in windows:
        parts = list(_parts(window, signature))
        at = np.concatenate([part.at for part in parts]) if parts else np.empty(0, np.int64)
        value = np.concatenate([part.value for part in parts]) if parts else np.empty((0, len(signature.features)))
        if np.isfinite(value).all(axis=1).sum() < LEAST_ROWS:
            continue
        tracks.append(Track(window.fit.machine.tag, at, value))
        fault, anything = _labelled(window, at, signature.period_us)
        faults.append(fault)
        said.append(anything)
    return Stored(tracks, faults, said)


def _parts(window: Window, signature: Signature) -> Iterator[Track]:
    """The rows at the multiples of the period, as when the model is asked. The first is a period after the beginning:
    its values may be so old."""
    period, alone = signature.period_us, replace(signature, rows=1)
    first, last = -(-window.since // period) + 1, window.until // period
    step = max(1, AT_ONCE_US // period)
    for number in range(first, last + 1, step):
        part = Wanted(window.fit, number * period, min(last, number + step - 1) * period)
        track = live_tracks.read([part], alone)[window.fit.machine.id]
        inside = track.at >= part.since
        yield Track(track.unit, track.at[inside], track.value[inside])


def _labelled(window: Window, at: Int64, period: int) -> tuple[Bool, Bool]:
    """Of each row whether a reading in it may be one of a fault, and whether anything was said of it."""
    fault, said = np.zeros(len(at), np.bool_), np.zeros(len(at), np.bool_)
    start, end = to_instant(window.since), to_instant(window.until)
    for kind, first, last in labels.windows(window.fit.machine.id, window.fit.sensors, start=start, end=end):
        inside = (at >= first) & (at < last + period)
        said |= inside
        if kind == Label.Kind.FAULT:
            fault |= inside
    return fault, said


def _source(stored: Stored, signature: Signature, site: Site, kind: str) -> str:
    ends = [(int(track.at[0]), int(track.at[-1])) for track in stored.tracks]
    first, last = (to_instant(at) for at in (min(a for a, _ in ends), max(b for _, b in ends)))
    machines = ", ".join(track.unit for track in stored.tracks[:20])
    return (
        f"stored readings of {len(stored.tracks)} machines of class {kind} of {site} ({machines}), "
        f"{first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC, every {signature.period_us // SECOND_US} s: measured"
    )
