from __future__ import annotations

import io
import math
import re
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io

from mlops import asking, cards
from mlops.learning import artifact, evaluation, figures, leaks, run, splits
from mlops.learning.contract import Feature, Guard, Measure, NotAtHand, Signature
from mlops.learning.evaluation import Comparison, Interval
from mlops.learning.examples import Examples, Track, at_the_end, everywhere
from mlops.learning.kinds import KINDS
from mlops.learning.search import search
from mlops.names import NAMES
from mlops.recipes import RECIPES
from tests import made_models
from tests.made_models import SIGNATURE, Line, Wear

NOWHERE = Path("nowhere")


def quiet(what: str, share: float) -> None:
    assert 0 <= share <= 1, what


@pytest.fixture(autouse=True)
def made() -> Iterator[None]:
    KINDS["made-line"] = made_models.from_parts
    yield
    del KINDS["made-line"]


def tracks(*values: Any) -> list[Track]:
    return [Track(f"m{k}", np.arange(len(v)), np.asarray(v, float).reshape(len(v), -1)) for k, v in enumerate(values)]


def test_a_question_is_about_the_last_row_that_is_known() -> None:
    examples = everywhere(tracks([1, 2, 3], [7, 8]), [np.arange(3.0), np.arange(2.0)])
    assert examples.now[:, 0].tolist() == [1, 2, 3, 7, 8]
    assert examples.at.tolist() == [0, 1, 2, 0, 1]
    assert examples.take(examples.truth == 1).now[:, 0].tolist() == [2, 8]
    assert at_the_end(examples.tracks, np.zeros(2)).now[:, 0].tolist() == [3, 8]


def test_a_fingerprint_tells_data_apart_and_nothing_else() -> None:
    first = everywhere(tracks([1, 2, 3]), [np.arange(3.0)])
    again = everywhere(tracks([1, 2, 3]), [np.arange(3.0)])
    other = everywhere(tracks([1, 2, 4]), [np.arange(3.0)])
    assert first.fingerprint() == again.fingerprint() != other.fingerprint()
    assert first.fingerprint() != first.take(np.array([0, 1])).fingerprint()


def test_a_split_by_time_leaves_a_gap_and_holds_out_the_end_of_each_machine() -> None:
    examples = everywhere(tracks(range(10), range(10)), [np.zeros(10), np.zeros(10)])
    learn, held = splits.by_time(examples, held_out=0.3, gap=2)
    assert learn.end.tolist() == [1, 2, 3, 4, 5] * 2
    assert held.end.tolist() == [8, 9, 10] * 2


def test_a_split_by_machine_parts_machines() -> None:
    examples = everywhere(tracks(*[range(3)] * 10), [np.zeros(3)] * 10)
    learn, held = splits.by_track(examples, held_out=0.3, seed=1)
    assert set(learn.track.tolist()).isdisjoint(held.track.tolist())
    assert (len(learn), len(held)) == (21, 9)


# Leaks


def parted(value: Any, truth: Any) -> tuple[Examples, Examples]:
    value, truth = np.asarray(value, float), np.asarray(truth, float)
    return splits.by_time(everywhere([Track("m", np.arange(len(value)), value)], [truth]), held_out=0.3, gap=1)


def signature(*names: str, rows: int = 1) -> Signature:
    return Signature(tuple(map(Feature, names)), (Feature("y"),), rows=rows)


LOT = np.random.default_rng(3)
NOISE = LOT.normal(size=200)
FAILS = (LOT.uniform(size=200) < 0.2).astype(float)
SOME = FAILS * (LOT.uniform(size=200) < 0.5)


@pytest.mark.parametrize(
    ("feature", "truth", "said"),
    [
        (SOME, FAILS, "only where the truth is 1"),
        (FAILS * 3 + 1, FAILS, "alone parts"),
        (-np.cumsum(np.abs(NOISE)), np.cumsum(np.abs(NOISE)), "ranks as the truth"),
    ],
)
def test_a_feature_that_defines_the_label_fails_the_training(feature: Any, truth: Any, said: str) -> None:
    learn, held = parted(np.column_stack([NOISE, feature]), truth)
    with pytest.raises(leaks.Leak, match=said):
        leaks.check(learn, held, signature("noise", "flag"), admitted={})
    leaks.check(learn, held, signature("noise", "flag"), admitted={"flag": "it is what the machine measures"})


def test_features_that_only_help_pass() -> None:
    learn, held = parted(np.column_stack([NOISE, FAILS + LOT.normal(0, 0.7, 200)]), FAILS)
    leaks.check(learn, held, signature("noise", "hint"), admitted={})


def test_shuffled_time_fails_the_training() -> None:
    track = Track("m", np.array([3, 1, 2]), np.zeros((3, 2)))
    examples = everywhere([track], [np.arange(3.0)])
    with pytest.raises(leaks.Leak, match="does not ascend"):
        leaks.check(examples, examples, signature("a", "b"), admitted={})


def test_what_is_held_out_must_be_later_than_what_is_learned() -> None:
    examples = everywhere([Track("m", np.arange(20), LOT.normal(size=(20, 2)))], [LOT.normal(size=20)])
    first, last = examples.take(np.arange(10)), examples.take(np.arange(10, 20))
    leaks.check(first, last, signature("a", "b"), admitted={})
    with pytest.raises(leaks.Leak, match="not later"):
        leaks.check(last, first, signature("a", "b"), admitted={})


def test_the_same_rows_on_both_sides_fail_the_training() -> None:
    value = LOT.normal(size=(20, 2))
    twin = [Track("m", np.arange(20), value), Track("copy", np.arange(20), value)]
    examples = everywhere(twin, [LOT.normal(size=20)] * 2)
    with pytest.raises(leaks.Leak, match="duplicates"):
        leaks.check(examples.take(examples.track == 0), examples.take(examples.track == 1), signature("a", "b"),
                    admitted={})  # fmt: skip


# Figures and the gate


def test_the_figures_are_those_of_slow_and_obvious_ones() -> None:
    answer, truth = LOT.normal(50, 20, 30), LOT.normal(50, 20, 30)
    late = sum(math.exp(-d / 13) - 1 if d < 0 else math.exp(d / 10) - 1 for d in (answer - truth).tolist())
    assert figures.phm08(answer, truth) == pytest.approx(late)
    assert figures.rmse(answer, truth) == pytest.approx(math.sqrt(sum((answer - truth) ** 2) / 30))
    assert figures.pinball(answer, truth, quantile=0.5) == pytest.approx(np.mean(np.abs(answer - truth)) / 2)
    assert figures.coverage(truth - 1, truth + np.repeat([1.0, -0.5], 15), truth) == 0.5
    alarm, worn = answer > 50, truth > 50
    found = figures.confusion(alarm, worn)
    hits = sum(a and b for a, b in zip(alarm, worn, strict=True))
    assert found["precision"] == pytest.approx(hits / alarm.sum())
    assert found["recall"] == pytest.approx(hits / worn.sum())
    assert found["f1"] == pytest.approx(
        2 * found["precision"] * found["recall"] / (found["precision"] + found["recall"])
    )
    with pytest.raises(ValueError, match="nothing to measure"):
        figures.rmse(np.empty(0), np.empty(0))


def test_blocks_are_drawn_whole() -> None:
    blocks = np.repeat(np.arange(6), [1, 2, 3, 4, 5, 6])
    for index in evaluation.draws(blocks, seed=1):
        numbers, counts = np.unique(blocks[index], return_counts=True)
        assert all(count % (number + 1) == 0 for number, count in zip(numbers, counts, strict=True))
    assert not list(evaluation.draws(np.repeat([0, 1], 50), seed=1))


def test_the_interval_of_dependent_answers_is_wider_than_that_of_as_many_independent_ones() -> None:
    recipe = Wear(machines=20, rows=30)
    examples = recipe.load(NOWHERE)
    shift = np.repeat(np.random.default_rng(1).normal(0, 1, 20), 30)
    wrong = {"wear": examples.truth + shift}
    by_machine = evaluation.judge(recipe, wrong, {}, examples, seed=1).figures["rmse"]
    alone = replace(examples, track=np.arange(len(examples)))
    shuffled = {"wear": examples.truth + np.random.default_rng(2).permutation(shift)}
    each = [recipe.measure({"wear": shuffled["wear"][i]}, examples.take(i))["rmse"]
            for i in evaluation.draws(alone.track, seed=1)]  # fmt: skip
    low, high = np.quantile(each, [0.025, 0.975])
    assert by_machine.high - by_machine.low > 2 * (high - low)


BETTER = Interval(0.5, 0.2, 0.8)
GATE = {
    "better": (BETTER, 0.0, []),
    "by less than the margin": (Interval(0.05, 0.02, 0.08), 0.0, ["less than 0.1"]),
    "perhaps not at all": (Interval(0.5, -0.1, 1.1), 0.0, ["may be nothing"]),
    "of too few blocks": (Interval(0.5, math.nan, math.nan), 0.0, ["too few"]),
    "not measured": (Interval(math.nan, math.nan, math.nan), 0.0, ["could not be measured"]),
    "with more false alarms": (BETTER, 0.02, ["false_alarms: worse"]),
    "with false alarms that nobody knows": (BETTER, math.nan, ["false_alarms: worse"]),
}


@pytest.mark.parametrize("case", GATE)
def test_the_gate_lets_pass_what_is_better_by_the_margin_and_no_worse(case: str) -> None:
    gain, worse, expected = GATE[case]
    found = evaluation.objections(
        Measure("rmse", "mm", lower_is_better=True, margin=0.1), (Guard("false_alarms", 0.01),),
        Comparison("mean", gain, {"false_alarms": Interval(worse, worse, worse)}),
    )  # fmt: skip
    assert len(found) == len(expected)
    assert all(part in text for part, text in zip(expected, found, strict=True))


def test_a_training_measures_beside_baselines_and_the_champion() -> None:
    champion = Line(2.0, 1.0)
    trained = run.train(Wear(), NOWHERE, others={"champion 1": champion}, tell=quiet)
    assert trained.figures["rmse"].value == pytest.approx(0.4, abs=0.2)
    assert trained.baselines["mean"]["rmse"].value > 4
    assert [one.other for one in trained.beside] == ["mean", "champion 1"]
    assert trained.beside[0].gain.low > 3
    assert [text for text in trained.objections if "champion 1" in text] == list(trained.objections) != []
    assert run.train(Wear(), NOWHERE, others={}, tell=quiet).objections == ()
    card = cards.card(Wear(), trained, pictures={})
    assert "Against it" in card
    assert "load [kN]" in card


class FewPresses(Wear):
    """Each press is judged in its turn; the slope tells by which presses it was taught."""

    def turns(self, examples: Examples) -> list[tuple[Examples, Examples]]:
        return splits.each_track_in_turn(examples)


def test_where_machines_are_few_each_is_judged_by_a_model_that_was_taught_the_others() -> None:
    recipe = FewPresses(machines=6)
    trained = run.train(recipe, NOWHERE, others={}, tell=quiet)
    examples = recipe.load(NOWHERE)
    assert (trained.turns, trained.learn, len(trained.held)) == (6, len(examples), len(examples))
    whole = recipe.fit(examples, recipe.defaults, seed=run.SEED)
    assert trained.learned.parts() == whole.parts()
    apart = []
    for number in range(6):
        mine = examples.take(examples.track == number)
        told = recipe.fit(examples.take(examples.track != number), recipe.defaults, seed=1).answer(mine)
        apart.append(recipe.measure(told, mine)["rmse"])
    assert trained.figures["rmse"].value == pytest.approx(math.sqrt(np.mean(np.square(apart))))
    assert trained.figures["rmse"].value != recipe.measure(whole.answer(examples), examples)["rmse"]
    assert trained.objections == ()
    text = cards.card(recipe, trained, pictures={})
    assert "measured in 6 turns" in text and "not this very one" in text
    assert "turns" not in cards.card(Wear(), run.train(Wear(), NOWHERE, others={}, tell=quiet), pictures={})


def test_where_machines_are_few_a_champion_that_knows_them_all_is_still_to_be_beaten() -> None:
    recipe = FewPresses(machines=6)
    champion = recipe.fit(recipe.load(NOWHERE), {"shrink": 0.0}, seed=1)
    trained = run.train(recipe, NOWHERE, others={"champion 1": champion}, tell=quiet)
    assert any("champion 1" in why for why in trained.objections)


def test_where_machines_are_few_each_turn_searches_among_those_it_learns_from() -> None:
    trained = run.train(replace(FewPresses(machines=6), seconds=0.7), NOWHERE, others={}, tell=quiet)
    assert trained.trials >= 1


def test_a_turn_that_gives_its_truth_away_fails_the_training() -> None:
    class Leaking(FewPresses):
        def turns(self, examples: Examples) -> list[tuple[Examples, Examples]]:
            return [(examples, examples), *splits.each_track_in_turn(examples)]

    with pytest.raises(leaks.Leak):
        run.train(Leaking(machines=6), NOWHERE, others={}, tell=quiet)


def test_a_worse_model_may_not_speak() -> None:
    assert run.train(Wear(bias=9.0), NOWHERE, others={}, tell=quiet).objections


def test_a_training_without_its_data_says_what_is_missing() -> None:
    with pytest.raises(NotAtHand, match=r"nowhere/made\.csv is not at hand"):
        run.train(Wear(machines=0), NOWHERE, others={}, tell=quiet)


def test_a_search_is_at_least_as_good_as_the_defaults_and_ends_in_time() -> None:
    recipe = Wear()
    learn, _ = recipe.split(recipe.load(NOWHERE))
    inner, later = recipe.split(learn)
    usual = recipe.measure(recipe.fit(inner, recipe.defaults, seed=1).answer(later), later)["rmse"]
    found = search(recipe, learn, seconds=0.3, seed=1, tell=quiet)
    assert found.best <= usual
    assert found.trials >= 1
    assert search(recipe, learn, seconds=0.0, seed=1, tell=quiet).settings == recipe.defaults


# Artifacts


def packed() -> bytes:
    return artifact.pack(Line(2.0, 0.1), SIGNATURE, None)


def test_a_model_comes_back_to_the_bit() -> None:
    data = packed()
    learned, taken, reference = artifact.open_(data, sha256=artifact.digest(data))
    examples = Wear().load(NOWHERE)
    assert (taken, reference) == (SIGNATURE, None)
    np.testing.assert_array_equal(learned.answer(examples)["wear"], Line(2.0, 0.1).answer(examples)["wear"])


class Evil:
    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return (Path.touch, ("here.marker",))


def zipped(**names: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in names.items():
            archive.writestr(name, data)
    return out.getvalue()


def stored(kind: str, parts: Any) -> bytes:
    data: bytes = skops.io.dumps({"format": 1, "kind": kind, "parts": parts, "signature": {}})
    return data


def flipped() -> bytes:
    data = bytearray(packed())
    data[len(data) // 2] ^= 1
    return bytes(data)


PICKLE = b"cposix\nsystem\n(S'touch here.marker'\ntR."
MALICIOUS = {
    "a pickle": (lambda: PICKLE, "no archive"),
    "a pickle in an archive": (lambda: zipped(**{"schema.json": PICKLE}), "cannot be read"),
    "a file outside of it": (lambda: zipped(**{"../../evil.py": b"x", "schema.json": b"{}"}), "outside of itself"),
    "more than is allowed": (lambda: zipped(**{"schema.json": bytes(20_001)}), "unpacks to more"),
    "a type that is not allowed": (lambda: stored("made-line", Evil()), "types"),
    "another kind": (lambda: stored("strange", {}), "does not know"),
    "another format": (lambda: skops.io.dumps([1, 2]), "does not know"),
    "parts that are missing": (lambda: stored("made-line", {}), "lacks"),
}


@pytest.mark.parametrize("case", MALICIOUS)
def test_what_is_not_a_model_is_refused(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(artifact, "MOST_BYTES", 20_000)
    make, said = MALICIOUS[case]
    data = make()
    with pytest.raises(artifact.Refused, match=said):
        artifact.open_(data, sha256=artifact.digest(data))
    assert list(tmp_path.iterdir()) == []


def test_a_flipped_byte_is_refused_before_anything_is_opened() -> None:
    with pytest.raises(artifact.Refused, match="sha256"):
        artifact.open_(flipped(), sha256=artifact.digest(packed()))


# What is asked over REST

ASKED = {"features": [{"name": "load", "unit": "kN"}, {"name": "code", "unit": ""}], "least": 2}


def features(**changes: Any) -> dict[str, Any]:
    whole = {"load": {"unit": "kN", "values": [1, None, 3]}, "code": {"unit": "", "values": [1, 2, 3]}}
    return {name: one for name, one in (whole | changes).items() if one is not None}


def test_a_question_comes_in_the_order_of_the_signature() -> None:
    assert asking.rows(ASKED, dict(reversed(features().items()))) == [[1, 1], [None, 2], [3, 3]]
    assert asking.rows(ASKED, features(code={"unit": "count", "values": [1, 2, 3]}))


@pytest.mark.parametrize(
    ("changes", "where", "said"),
    [
        ({"load": None}, "load", "is missing"),
        ({"speed": {"unit": "rpm", "values": [1, 2, 3]}}, "speed", "does not take"),
        ({"load": {"unit": "lbf", "values": [1, 2, 3]}}, "load/unit", "'lbf'; the model takes 'kN'"),
        ({"load": {"unit": "", "values": [1, 2, 3]}}, "load/unit", "no unit"),
        ({"load": {"unit": "kN", "values": [1, math.inf, 3]}}, "load/values", "finite"),
        ({"load": {"unit": "kN", "values": [1, 2]}}, "load", "2 values"),
        ({"load": {"unit": "kN", "values": [1]}, "code": {"unit": "", "values": [1]}}, "", "before it has 2"),
    ],
)
def test_features_that_do_not_fit_are_told_of(changes: dict[str, Any], where: str, said: str) -> None:
    with pytest.raises(asking.Wrong) as caught:
        asking.rows(ASKED, features(**changes))
    assert said in caught.value.errors[where]


def test_who_names_models_without_loading_them_knows_all_of_them() -> None:
    assert {name: recipe.experiment for name, recipe in RECIPES.items()} == NAMES


def test_every_model_has_what_it_is_judged_by_and_a_name_that_fits_addresses() -> None:
    for name, recipe in RECIPES.items():
        assert re.fullmatch("[a-z0-9-]+", name)
        assert recipe.about and recipe.source, name
        assert recipe.signature.features and recipe.signature.outputs, name
