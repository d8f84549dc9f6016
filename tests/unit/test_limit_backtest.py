"""Whether a sensor's past bears out what is told of its limits, on made series of which it is known."""

from __future__ import annotations

import numpy as np
import pytest

from mlops import limit_backtest
from mlops.learning.examples import Track
from sensors.columns import SECOND_US, Float64

HOUR_US = 3_600 * SECOND_US
HORIZON = 24 * HOUR_US


def hourly(value: Float64) -> Track:
    return Track("s", np.arange(len(value)) * HOUR_US, np.asarray(value, np.float64)[:, None])


def borne_out(value: Float64, *, above: bool = True) -> Float64:
    return limit_backtest.shares(hourly(value), above=above, window=72, horizon_us=HORIZON)


def test_a_steady_ramp_is_borne_out_at_every_origin_and_only_on_its_side() -> None:
    ramp = 0.1 * np.arange(400) + np.random.default_rng(1).normal(0, 0.3, 400)
    found = borne_out(ramp)
    assert len(found) == 15 and found.mean() > 0.7
    assert len(borne_out(ramp, above=False)) == 0
    assert borne_out(-ramp, above=False) == pytest.approx(found)


def test_a_ramp_that_turns_round_at_each_origin_is_not_borne_out() -> None:
    saw = np.concatenate([np.abs((np.arange(400) % 48) - 24.0)])
    found = limit_backtest.shares(hourly(saw), above=True, window=20, horizon_us=HORIZON)
    assert len(found) == 0
    found = limit_backtest.shares(hourly(saw), above=True, window=24, horizon_us=HORIZON)
    assert len(found) > 3 and found.mean() < 0.3


def test_what_does_not_drift_is_asked_nothing_and_gaps_are_no_rows() -> None:
    assert len(borne_out(np.random.default_rng(2).normal(0, 1, 400))) <= 2
    assert len(borne_out(np.empty(0))) == 0 and len(borne_out(np.full(90, np.nan))) == 0
    ramp = 0.1 * np.arange(400)
    ramp[100:200] = np.nan
    assert len(borne_out(ramp)) < 15


def test_rows_behind_an_origin_change_nothing_before_it() -> None:
    ramp = 0.1 * np.arange(200) + np.random.default_rng(3).normal(0, 0.3, 200)
    assert borne_out(ramp)[: len(borne_out(ramp[:150]))].tolist() == borne_out(ramp[:150]).tolist()
