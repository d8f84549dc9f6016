"""The benchmarks of detection on other people's data, in small: that their scorer is right and that they run."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.bench import faults, nab, nab_scoring, results, skab

NAB = results.DATA / "nab"
pytestmark = pytest.mark.skipif(not NAB.exists(), reason=f"the real data sets are not at hand ({results.DATA})")

PUBLISHED = {
    "ARTime": (70.94, 61.48, 76.24),
    "numenta": (70.56, 67.41, 74.62),
    "contextOSE": (70.05, 65.64, 73.90),
    "earthgeckoSkyline": (57.14, 45.88, 62.65),
    "knncad": (55.67, 44.73, 60.80),
    "relativeEntropy": (48.21, 39.67, 52.32),
    "randomCutForest": (54.82, 42.57, 61.98),
    "windowedGaussian": (25.12, 2.12, 35.17),
}
"""Standard, low FP, low FN on the 29 open series, from the publisher's own scorer."""


@pytest.fixture(scope="module")
def corpus() -> Mapping[str, nab_scoring.Series]:
    return nab_scoring.load(NAB)


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_scores_of_a_published_detector_come_out_of_its_raw_output(
    name: str, corpus: Mapping[str, nab_scoring.Series]
) -> None:
    found = nab_scoring.score(corpus, nab_scoring.scores_of(NAB / "published" / name, corpus))
    assert tuple(round(outcome.score, 2) for outcome in found.values()) == PUBLISHED[name]


def test_the_benchmark_of_nab_in_small(corpus: Mapping[str, nab_scoring.Series]) -> None:
    few = nab_scoring.take(corpus, lambda one: one.name.split("/")[1] in FEW)
    detectors = {**nab.shipped(few), **nab.published(few), **nab.trivial(few)}
    found = {one["name"]: one for one in nab.bench(few, detectors)}
    assert found["nothing: standard"]["value"] == 0
    assert found["Bellwether: standard"]["goal"] == "> 74"
    assert found["Bellwether: standard"]["value"] <= 100
    assert {f"{name}: low FN, groups left out in turn" for name in PUBLISHED} <= set(found)
    assert found["everything: standard, artificialNoAnomaly"]["value"] == 4032 - 604


FEW = ("art_flatline.csv", "art_daily_jumpsup.csv", "iio_us-east-1_i-a2eb1cd9_NetworkIn.csv")


def test_the_benchmark_of_skab_in_small() -> None:
    rigs = skab.load(sorted((results.DATA / "skab").glob("valve*/*.csv"))[:2])
    assert [len(rig.sensors) for rig in rigs] == [8, 8]
    found = {one["name"]: one for one in skab.bench(rigs)}
    assert found["everything: F1 of rows"]["value"] == pytest.approx(0.7, abs=0.02)
    assert found["everything: false alarm rate"]["value"] == 100
    assert found["Bellwether: events hit"]["unit"] == "of 2"


def test_the_benchmark_of_sensor_faults_in_small() -> None:
    given = [one for one in faults.stretches() if one.name in {"Temperature", "artificialNoAnomaly/art_noisy.csv"}]
    kinds = [kind for kind in faults.KINDS if kind.name in {"stuck", "clock at half its pace", "shift of 10 spreads"}]
    found = {one["name"]: one["value"] for one in faults.report(list(faults.injected(given, kinds)))}
    assert found["sensor: stuck: of the right kind"] == 100
    assert found["sensor: clock at half its pace: of the right kind"] == 100
    assert found["fault of the machine: only the sensor called sick"] == 0
    assert [one["value"] for one in faults.clean(given)] == [0, 0]
