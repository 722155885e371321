"""The search: what its trials are, what prunes them, and that it goes on where it was stopped."""

from __future__ import annotations

import json

import optuna
import pytest
from tiny_runs import reset_accelerate, tiny_recipe, write_recipe

import training.run
import training.search as search
from training.alarms import Diverged
from training.config import parse_config, read_recipe


@pytest.fixture(autouse=True)
def small(monkeypatch):
    reset_accelerate()
    monkeypatch.setattr(training.run, "PROBE", 20)
    monkeypatch.setattr(search, "BATCH_SIZES", (8, 16))


def recipe(folder) -> str:
    return write_recipe(folder, tiny_recipe(optimizer={"lr": 1e-3}, max_images=1, batch_size=8))


def begin(folder, trials: int, *more: str) -> int:
    output = ["--output", str(folder / "out"), "--images", "192", "--trials", str(trials)]
    return search.main(["--recipe", recipe(folder), *output, *more])


def trials_of(folder) -> list[dict]:
    return json.loads((folder / "out" / "trials.json").read_text())


def test_trials_begin_with_the_recipes_own_values_and_the_best_becomes_a_recipe(tmp_path):
    assert begin(tmp_path, 3) == 0
    trials = trials_of(tmp_path)
    assert len(trials) == 3
    assert trials[0] | {"batch_size": 8, "lr": 1e-3, "length": 1.0} == trials[0]
    assert len({trial["lr"] for trial in trials}) == 3
    best = min((trial for trial in trials if trial["state"] == "complete"), key=lambda trial: trial["value"])
    found = parse_config(read_recipe(str(tmp_path / "out" / "best.yaml")))
    assert (found.batch_size, found.optimizer.lr, found.discriminator_optimizer.lr) == (
        best["batch_size"], best["lr"], best["lr"]
    )  # fmt: skip
    assert found.max_images == round(best["length"] * 192)


def test_a_search_goes_on_with_the_trials_it_has(tmp_path):
    assert begin(tmp_path, 1) == 0
    first = trials_of(tmp_path)
    assert begin(tmp_path, 2) == 0
    assert trials_of(tmp_path)[0] == first[0]
    assert len(trials_of(tmp_path)) == 2


def test_a_killed_trial_is_continued_from_its_checkpoint(tmp_path, monkeypatch):
    assess, seen = search.TrialRun.assess, []

    def killed(self):
        seen.append(self.step)
        if len(seen) == 3:
            raise KeyboardInterrupt  # as a signal that comes twice
        assess(self)

    monkeypatch.setattr(search.TrialRun, "assess", killed)
    with pytest.raises(KeyboardInterrupt):
        begin(tmp_path, 1)
    assert begin(tmp_path, 1) == 0
    assert seen == [4, 8, 12, 12, 16, 20, 24], "nothing before the last checkpoint is done twice"
    [only] = trials_of(tmp_path)
    assert (only["state"], only["number"]) == ("complete", 1)
    assert "The best of 1 trials" in (tmp_path / "out" / "best.yaml").read_text()
    assert [path.name for path in (tmp_path / "out").glob("trial-*")] == ["trial-000"]
    storage = optuna.storages.JournalStorage(
        optuna.storages.journal.JournalFileBackend(str(tmp_path / "out" / "trials.log"))
    )
    [killed_one, again] = optuna.load_study(study_name=None, storage=storage).trials
    assert killed_one.params == again.params
    assert sorted(again.intermediate_values) == [1, 2, 3, 4, 5, 6], "what was assessed before is told again"


def test_a_trial_worse_than_the_others_is_pruned(tmp_path, monkeypatch):
    monkeypatch.setattr(search, "UNPRUNED", 1)
    monkeypatch.setattr(search, "LENGTHS", (1.0,))
    count = []

    def assess(self):  # the second trial is worse from the start
        count.append(self.step)
        self.best = {"measure": "frechet_distance", "value": float(len(count)), "step": self.step}
        self.report(self.step, self.best["value"])
        if self.trial.should_prune():
            raise search.Pruned

    monkeypatch.setattr(search.TrialRun, "assess", assess)
    assert begin(tmp_path, 2) == 0
    assert [trial["state"] for trial in trials_of(tmp_path)] == ["complete", "pruned"]
    assert len(count) == 7, "six of the first, one of the second"


def test_another_search_needs_another_folder(tmp_path, capsys):
    assert begin(tmp_path, 1) == 0
    trials = trials_of(tmp_path)
    capsys.readouterr()
    assert begin(tmp_path, 2, "--images", "96") == 2
    assert "--images: " in (message := capsys.readouterr().err)
    assert message.endswith("holds a search with 192, got 96; give the same, or another --output\n")
    assert begin(tmp_path, 2, "--seed", "7") == 2
    assert trials_of(tmp_path) == trials


def test_a_search_in_which_all_diverges_ends(tmp_path, monkeypatch, capsys):
    def diverge(self):
        raise Diverged("step 1: loss is nan")

    monkeypatch.setattr(search.TrialRun, "train", diverge)
    assert begin(tmp_path, 3) == 2
    said = capsys.readouterr()
    assert said.out.count("failed") == 3
    assert said.err.endswith("3 trials of " + recipe(tmp_path) + " diverged; search another one\n")


def test_the_best_of_a_search_in_which_the_rest_diverges_is_kept(tmp_path, monkeypatch):
    train = search.TrialRun.train

    def diverge_later(self):
        if self.folder.name != "trial-000":
            raise Diverged("step 1: loss is nan")
        return train(self)

    monkeypatch.setattr(search.TrialRun, "train", diverge_later)
    assert begin(tmp_path, 2) == 2
    assert [trial["state"] for trial in trials_of(tmp_path)] == ["complete", "fail", "fail"]
    assert (tmp_path / "out" / "best.yaml").is_file()


def test_what_has_no_critic_is_searched_too(tmp_path):
    path = write_recipe(tmp_path, tiny_recipe("vae", optimizer={"lr": 1e-3}, max_images=1, batch_size=8))
    arguments = ["--recipe", path, "--output", str(tmp_path / "out"), "--images", "96", "--trials", "1"]
    assert search.main(arguments) == 0
    assert parse_config(read_recipe(str(tmp_path / "out" / "best.yaml"))).discriminator_optimizer.lr == 2e-4


def test_a_recipes_own_values_are_among_those_that_are_tried(tmp_path, monkeypatch):
    monkeypatch.setattr(search, "BATCH_SIZES", (16, 32))
    monkeypatch.setattr(search, "LEARNING_RATES", (1e-5, 1e-4))
    assert begin(tmp_path, 1) == 0
    [first] = trials_of(tmp_path)
    assert (first["batch_size"], first["lr"]) == (8, 1e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seed", "-1", "--images", "8"], "--seed: expected a whole number from 0 to"),
        (["--trials", "0", "--images", "8"], "--trials: expected at least 1, got 0"),
        (["--recipe", "mnist/experiment-11", "--images", "8"], "recipe: no recipe and no YAML file"),
    ],
)
def test_wrong_arguments(arguments, message, tmp_path, capsys):
    assert search.main([*arguments, "--output", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith(f"error: {message}")
