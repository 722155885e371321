"""A study: which runs it makes, in which order, what it survives, and what its table says."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from PIL import Image
from tiny_runs import tiny_recipe, write_recipe

import genhub
from training import pictures, results, study
from training.agreement import MISTAKEN, agreement
from training.config import recipe_names
from training.pictures import contact_sheets, draw_study
from training.settings import ConfigError
from training.tables import REPORTED, collect, write_tables

PROTOCOL = {"dataset": "digits", "split": "test", "test_images": 297, "extractor": "pixels", "extractor_sha256": "0"}


def finish(study_folder: Path, run: str, distance: float, protocol: dict = PROTOCOL, **log) -> None:
    """A finished run, ``seed-0/cgan-cifar10``, as far as a study looks at it, and its result."""
    folder = study_folder / "runs" / run
    (folder / "final").mkdir(parents=True, exist_ok=True)
    record = {"protocol": protocol, "metrics": {"frechet_distance": distance}, "spread": {"frechet_distance": 0.5}}
    for path in (folder / "final" / "metrics.json", folder / "metrics.json"):
        path.write_text(json.dumps(record))
    facts = {"parameters": {"model": 70, "discriminator": 30}, "images_seen": 64, "hardware": "CPU"}
    facts |= {"images_per_second": 10.0, "best": {"step": 4}}
    (folder / "summary.json").write_text(json.dumps(facts))
    lines = [{"step": i, "images": 8 * i, "discriminator_loss": float(i), "generator_loss": 2.0} for i in range(1, 21)]
    lines += [{"step": 20, **log}] if log else []
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    results.write_result(folder, study_folder / f"{run}.json")


@pytest.fixture
def no_images(monkeypatch):
    """Finished runs of which nothing is drawn: there is no model in them."""
    monkeypatch.setattr(results, "made_by", lambda *_: None)


@pytest.fixture
def names(tmp_path) -> list[str]:
    """Two recipes, the dearer one first."""
    wide = {"class": "GenHubVAE", "latent_dim": 4, "encoder": [{"op": "flatten"}, {"op": "dense", "width": 512}]}
    wide["decoder"] = [{"op": "dense", "width": 64}, {"op": "reshape", "size": 8, "act": "sigmoid"}]
    return [
        write_recipe(tmp_path, tiny_recipe("vae", model=wide, name="wide", max_images=1), "wide"),
        write_recipe(tmp_path, tiny_recipe("vae", name="narrow", max_images=1), "narrow"),
    ]


def begin(names: list[str], output: Path, *more: str) -> int:
    return study.main([*names, "--images", "64", "--output", str(output), *more])


def fake(monkeypatch, code: str) -> None:
    """Replace the training command by a script that is given the run folder."""
    monkeypatch.setattr(study, "command", lambda job, *rest: [sys.executable, "-c", code, str(job.folder)])
    monkeypatch.setattr(results, "made_by", lambda *_: None)  # there is no model in what it makes


DONE = """
import json, os, sys
folder = sys.argv[1]
os.makedirs(folder + "/final")
record = {"protocol": {"extractor": "pixels"}, "metrics": {"frechet_distance": len(folder)}, "spread": {}}
facts = {"parameters": {"model": 1}, "images_seen": 64, "hardware": "CPU", "images_per_second": 1, "best": {"step": 1}}
for name, value in (("final/metrics", record), ("summary", facts), ("metrics", record)):
    json.dump(value, open(f"{folder}/{name}.json", "w"))
"""


def test_every_system_of_the_reports_has_a_recipe_and_the_study_of_a_folder_takes_them_all():
    reported = yaml.safe_load(REPORTED.read_text(encoding="utf-8"))["systems"]
    chosen = study.choose_recipes(["cifar10", "mnist"])
    assert set(reported) <= set(chosen)
    for name in ("wgan-1", "wgan-gp-1", "wgan-2", "wgan-gp-2", "cgan-1-augmented", "vae-gan", "cvae", "beta-vae"):
        assert f"cifar10/{name}" in chosen
    assert {f"mnist/experiment-{i}" for i in range(1, 11)} <= set(chosen)
    assert not [name for name in chosen if name.endswith(("classifier", "guide"))]
    assert not [name for name in chosen if "projected" in name or "without" in name or "diffusion" in name]
    for dataset in ("cifar10", "mnist"):
        documented = json.loads((study.ROOT / "docs" / "study" / dataset / "study.json").read_text())["systems"]
        assert set(study.choose_recipes([dataset])) == set(documented)
    assert study.choose_recipes(["mnist/vae", "mnist/ae", "mnist/vae"]) == ["mnist/vae", "mnist/ae"]
    assert set(chosen) < set(recipe_names())


def test_cheapest_first_and_what_is_done_is_skipped(names, tmp_path, monkeypatch, capsys):
    fake(monkeypatch, DONE)
    assert begin(names, tmp_path / "out", "--seeds", "2") == 0
    started = [line.split(":")[0] for line in capsys.readouterr().out.splitlines() if "started" in line]
    wide, narrow = names
    assert started == [f"{name}, seed {seed}" for seed in (0, 1) for name in (narrow, wide)]
    assert begin(names, tmp_path / "out", "--seeds", "2") == 0
    out = capsys.readouterr().out
    assert "4 of 4 runs are done, 0 to do" in out
    assert "started" not in out


def statuses(output: Path) -> dict[str, str]:
    """The state of every system of a study's table."""
    return {row["system"]: row["status"] for row in json.loads((output / "table.json").read_text())["rows"]}


def test_a_study_goes_on_from_its_results_where_the_runs_are_lost(names, tmp_path, monkeypatch, capsys):
    fake(monkeypatch, DONE)
    assert begin(names[:1], tmp_path / "out", "--runs", str(tmp_path / "runs")) == 0
    assert not (tmp_path / "out" / "runs").exists()
    before = (tmp_path / "out" / "table.md").read_text()
    shutil.rmtree(tmp_path / "runs")
    assert begin(names[:1], tmp_path / "out") == 0
    assert "1 of 1 runs are done, 0 to do" in capsys.readouterr().out
    assert (tmp_path / "out" / "table.md").read_text() == before
    assert begin(names, tmp_path / "out") == 0
    assert "1 of 2 runs are done, 1 to do" in capsys.readouterr().out


def test_a_run_that_finished_as_the_study_was_killed_is_not_lost(names, tmp_path, monkeypatch, capsys):
    fake(monkeypatch, DONE)
    assert begin(names[:1], tmp_path / "out") == 0
    (tmp_path / "out" / "seed-0" / "wide.json").unlink()
    fake(monkeypatch, "raise SystemExit('trained again')")
    assert begin(names[:1], tmp_path / "out") == 0
    assert "1 of 1 runs are done, 0 to do" in capsys.readouterr().out


def test_a_run_that_fails_does_not_stop_the_others_and_is_tried_again(names, tmp_path, monkeypatch):
    output = tmp_path / "out"
    fake(monkeypatch, "import sys\nif 'narrow' in sys.argv[1]: sys.exit('error: loss is nan')\n" + DONE)
    assert begin(names, output) == 0
    assert statuses(output) == {names[0]: "done", names[1]: "failed: loss is nan"}
    assert "(failed: loss is nan)" in (output / "table.md").read_text()
    fake(monkeypatch, DONE)
    assert begin(names, output) == 0
    assert set(statuses(output).values()) == {"done"}


def test_a_run_whose_files_cannot_be_read_has_failed_and_stops_no_other(names, tmp_path, monkeypatch):
    output = tmp_path / "out"
    fake(monkeypatch, DONE + "\nif 'narrow' in folder: open(folder + '/summary.json', 'w').write('{')\n")
    for moment in ("as it ends", "as the next study begins"):
        assert begin(names, output) == 0
        found = statuses(output)
        assert found.pop(names[0]) == "done"
        [why] = found.values()
        assert "summary.json" in why, moment
        assert "delete the folder" in why, moment
    shutil.rmtree(output / "runs" / "seed-0" / "narrow")
    fake(monkeypatch, DONE)
    assert begin(names, output) == 0
    assert set(statuses(output).values()) == {"done"}


def test_a_run_that_is_killed_says_so(names, tmp_path, monkeypatch):
    fake(monkeypatch, "import os, signal; print('error: of a warning'); os.kill(os.getpid(), signal.SIGKILL)")
    assert begin(names[:1], tmp_path / "out") == 0
    assert statuses(tmp_path / "out") == {names[0]: "failed: killed by SIGKILL"}


def test_figures_that_do_not_compare_do_not_stop_a_study(names, tmp_path, monkeypatch, capsys):
    extractor = "'narrow' if 'narrow' in folder else 'wide'"
    fake(monkeypatch, DONE.replace('"pixels"', extractor))
    assert begin(names, tmp_path / "out") == 2
    out, err = capsys.readouterr()
    assert "wide.yaml, seed 0: done" in out
    assert "no table: " in out
    assert "measured with different protocols" in err


def test_several_at_once(names, tmp_path, monkeypatch):
    """Each of two runs waits for the other to begin."""
    wait = """
import os, sys, time, pathlib
folder = pathlib.Path(sys.argv[1])
(folder.parent / (folder.name + ".here")).touch()
while len(list(folder.parent.glob("*.here"))) < 2: time.sleep(0.05)
"""
    fake(monkeypatch, wait + DONE)
    assert begin(names, tmp_path / "out", "--jobs", "2") == 0
    assert len(list((tmp_path / "out" / "seed-0").glob("*.json"))) == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_runs_in_order_and_starts_no_more(names, tmp_path, monkeypatch, number):
    orderly = """
import pathlib, signal, sys, time
note = pathlib.Path(sys.argv[1] + ".ended")
def end(*_):
    note.write_text("checkpoint")
    sys.exit(130)
signal.signal(signal.SIGTERM, end)
pathlib.Path(sys.argv[1] + ".ready").touch()
while True: time.sleep(0.05)
"""
    fake(monkeypatch, orderly)
    output = tmp_path / "out"

    def interrupt() -> None:
        while not list(output.glob("runs/seed-0/*.ready")):
            time.sleep(0.05)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=interrupt, daemon=True)
    thread.start()
    assert begin(names, output) == 130
    thread.join()
    assert [path.name for path in output.glob("runs/seed-0/*.ended")] == ["narrow.ended"]
    assert not list(output.glob("runs/seed-0/*.failed")), "to be stopped is no failure"


def test_two_recipes_of_one_name_are_refused(names, tmp_path, monkeypatch, capsys):
    fake(monkeypatch, "pass")
    recipe = yaml.safe_load(Path(names[0]).read_text())
    (tmp_path / "twin.yaml").write_text(yaml.safe_dump(recipe))
    twin = str(tmp_path / "twin.yaml")
    assert begin([names[0], twin], tmp_path / "out") == 2
    assert f"another recipe of the study is called {recipe['name']}, too; rename one" in capsys.readouterr().err
    begin([names[0]], tmp_path / "out")
    assert begin([twin], tmp_path / "out") == 2
    assert f"{names[0]} of this study is called {recipe['name']}, too; rename one" in capsys.readouterr().err


def test_two_studies_do_not_write_to_one_folder(names, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    with study.alone(tmp_path / "out"):
        assert begin(names, tmp_path / "out", "--runs", str(tmp_path / "elsewhere")) == 2
    assert "another command or a run of it is still at work in" in capsys.readouterr().err


def test_a_damaged_study_is_one_error(tmp_path, capsys):
    (tmp_path / "study.json").write_text('{"a": 1}')
    assert study.main(["--table", "--output", str(tmp_path)]) == 2
    assert "study.json: is no record of a study; restore it, or delete it to begin anew" in capsys.readouterr().err


def test_a_study_is_alone_in_its_folder(tmp_path):
    with study.alone(tmp_path), pytest.raises(ConfigError, match="is still at work"), study.alone(tmp_path):
        pass
    with study.alone(tmp_path):
        pass


def test_commands_share_budget_and_cores_and_are_assessed_six_times(names, tmp_path, monkeypatch):
    monkeypatch.setattr(study, "cpu_count", lambda: 6)
    options, overrides = study.parse(
        [*names, "--images", "4001", "--output", str(tmp_path), "--jobs", "3", "--", "--ema=0"]
    )
    [job, _] = study.plan(options, overrides)
    words = study.command(job, options, overrides)
    flags = dict(zip(words[2:-1:2], words[3:-1:2], strict=True))
    assert flags["--recipe"] == names[1]
    assert (flags["--max-images"], flags["--max-steps"], flags["--max-minutes"]) == ("4001", "null", "null")
    assert flags["--checkpoint-every"] == "84"  # a sixth of 501 steps of 8 images, rounded up
    assert flags["--threads"] == "2"
    assert words[-1] == "--ema=0"
    job.folder.mkdir(parents=True)
    (job.folder / "config.yaml").touch()
    assert study.command(job, options, overrides)[2:4] == ["--resume", str(job.folder)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["cifar", "--images", "8"], "cifar: no such recipe or folder of recipes; did you mean 'cifar10'?"),
        (
            ["mnist/vae", "digits/cgan", "--images", "8"],
            "digits/cgan: is a recipe for digits; a study is of",
        ),
        (["digits/cgan"], "give recipes, or the name of their folder, and --images"),
        (["digits/cgan", "--images", "0"], "--images: expected at least 1, got 0"),
        (["--table"], "--output: "),
        (["digits/cgan", "--images", "8", "--", "--max-stpes", "3"], "--max_stpes: no such option"),
    ],
)
def test_wrong_arguments(arguments, message, tmp_path, capsys):
    assert study.main(["--output", str(tmp_path / "out"), *arguments]) == 2
    assert capsys.readouterr().err.startswith(f"error: {message}")


def test_another_budget_needs_another_folder(names, tmp_path, monkeypatch, capsys):
    fake(monkeypatch, DONE)
    assert begin(names, tmp_path / "out") == 0
    assert study.main([*names, "--images", "65", "--output", str(tmp_path / "out")]) == 2
    assert "holds a study of images 64, not 65" in capsys.readouterr().err


# -- the table --------------------------------------------------------------------------------------------------------


@pytest.fixture
def output(tmp_path, no_images) -> Path:
    """A study of four systems and three seeds, and its floor."""
    systems = {name: {"name": f"{name.split('/')[1]}-cifar10", "flops": 2e9} for name in REPORTED_SYSTEMS}
    (tmp_path / "study.json").write_text(json.dumps({"images": 64, "systems": systems}))
    finish(tmp_path, "seed-0/dcgan-1-cifar10", 30.0)
    finish(tmp_path, "seed-1/dcgan-1-cifar10", 34.0, alarm="divergence: frechet_distance is 90")
    finish(tmp_path, "seed-0/cgan-1-cifar10", 20.0)
    (tmp_path / "runs" / "seed-0" / "wgan-1-cifar10.log").touch()
    (tmp_path / "runs" / "seed-0" / "wgan-1-cifar10.failed").write_text("no memory\n")
    (tmp_path / "floor").mkdir()
    record = {"protocol": PROTOCOL, "metrics": {"frechet_distance": 1.0}}
    (tmp_path / "floor" / "metrics.json").write_text(json.dumps(record))
    return tmp_path


REPORTED_SYSTEMS = ("cifar10/dcgan-1", "cifar10/cgan-1", "cifar10/wgan-1", "cifar10/vae")


def test_rows_are_ranked_and_hold_means_over_seeds(output):
    rows = collect(output, output / "runs")
    assert [row["system"] for row in rows] == [
        "floor", "cifar10/cgan-1", "cifar10/dcgan-1", "cifar10/vae", "cifar10/wgan-1"
    ]  # fmt: skip
    assert [row["status"] for row in rows] == ["measured", "done", "done", "waiting", "failed: no memory"]
    one, several = rows[1], rows[2]
    assert (one["metrics"], one["spread"]) == ({"frechet_distance": 20.0}, {"frechet_distance": 0.5})
    assert several["metrics"] == {"frechet_distance": 32.0}
    assert several["spread"]["frechet_distance"] == pytest.approx(8**0.5)
    assert (several["seeds"], several["alarms"]["divergence"]) == (2, 1)
    assert one["losses"] == {"discriminator_loss": 19.5, "generator_loss": 2.0}  # of the last tenth, steps 19 and 20
    assert one["theirs"]["fid"] == 36.45
    assert "Inception" in one["theirs"]["extractor"]


def test_tables_keep_ours_and_theirs_apart(output):
    write_tables(output, output / "runs")
    text = (output / "table.md").read_text()
    heads, _, *rows = [line.split(" | ") for line in text.splitlines() if line.startswith("|")]
    row = dict(zip((head.strip("| ") for head in heads), (cell.strip("| ") for cell in rows[1]), strict=True))
    assert row["system"] == "cifar10/cgan-1"
    assert row["Fréchet distance"] == "20.0 ± 0.5"
    assert (row["their FID"], row["their KID"], row["their d / g loss"]) == ("36.45", "0.0203", "0.11 / 6.623")
    assert (row["d / g loss"], row["parameters"], row["GFLOP/image"]) == ("19.5 / 2", "100", "2")
    with (output / "table.csv").open(newline="") as file:
        lines = {line["system"]: line for line in csv.DictReader(file)}
    assert lines["cifar10/dcgan-1"]["metrics.frechet_distance"] == "32.0"
    assert lines["cifar10/dcgan-1"]["theirs.fid"] == "53.24"
    assert len(json.loads((output / "table.json").read_text())["rows"]) == 5


def test_figures_of_different_extractors_are_not_put_into_one_table(output):
    other = PROTOCOL | {"extractor": "inception"}
    finish(output, "seed-1/cgan-1-cifar10", 21.0, protocol=other)
    with pytest.raises(ConfigError, match="measured with different protocols"):
        collect(output, output / "runs")


def test_what_is_measured_anew_stands_in_results_and_table(output, monkeypatch):
    """Of the runs that are still there: the result of one that is gone stays as it was."""
    shutil.rmtree(output / "runs" / "seed-1")
    asked = []

    def evaluate(words, **_):
        asked.append([Path(word).name for word in words[2:]])
        if words[-1].endswith("final"):
            record = {"protocol": PROTOCOL, "metrics": {"frechet_distance": 5.0}, "spread": {}}
            (Path(words[-1]) / "metrics.json").write_text(json.dumps(record))
        return subprocess.CompletedProcess(words, 0, "", "")

    ours = SimpleNamespace(**vars(subprocess) | {"run": evaluate})  # matplotlib, too, may start a program meanwhile
    monkeypatch.setattr(study, "subprocess", ours)
    assert study.main(["--evaluate-only", "--output", str(output), "--dataset", "digits"]) == 0
    measured = ["--dataset", "digits", "final", "--output", "final"]
    bounds = [["--dataset", "digits", f"--{name}", "--output", name] for name in ("floor", "ceiling")]
    assert asked == [measured, measured, *bounds]
    rows = {row["system"]: row for row in json.loads((output / "table.json").read_text())["rows"]}
    assert rows["cifar10/cgan-1"]["metrics"]["frechet_distance"] == 5.0
    assert rows["cifar10/dcgan-1"]["metrics"]["frechet_distance"] == (5.0 + 34.0) / 2


def test_a_damaged_result_is_named(output, capsys):
    (output / "seed-0" / "cgan-1-cifar10.json").write_text("{")
    assert study.main(["--table", "--output", str(output)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert "cgan-1-cifar10.json" in error


def order_of(ours: list[float], theirs: list[float | None]) -> list[dict]:
    rows = [
        {"system": f"cifar10/{i}", "metrics": {"frechet_distance": our}, "theirs": {"fid": their} if their else {}}
        for i, (our, their) in enumerate(zip(ours, theirs, strict=True))
    ]
    return [*rows, {"system": "cifar10/cvae", "metrics": {}, "theirs": {"fid": 1.0}}]


@pytest.mark.parametrize(
    ("theirs", "correlation"),
    [([10, 20, 30, 40, 50], 1), ([50, 40, 30, 20, 10], -1), ([10, 20, 30, 50, 40], 0.9), ([10, 10, 30, 40, 50], 0.975)],
)
def test_the_order_of_the_reports_is_compared_with_ours(theirs, correlation):
    ours = [1.0, 2.0, 3.0, 4.0, 500.0]
    found = agreement(order_of(ours, theirs))
    assert found.correlation == pytest.approx(correlation, abs=1e-3)
    assert list(found.systems.values()) == list(zip(theirs, ours, strict=True))


def test_an_order_needs_five_reported_figures_that_are_no_mistakes():
    rows = order_of([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [10, 20, 30, 40, 50, None])
    assert set(agreement(rows).systems) == {f"cifar10/{i}" for i in range(5)}
    rows[2]["theirs"]["note"] = MISTAKEN
    assert agreement(rows) is None


def test_reported_figures_without_sense_are_noted_as_mistakes():
    systems = yaml.safe_load(REPORTED.read_text(encoding="utf-8"))["systems"].values()
    senseless = [theirs for theirs in systems if theirs.get("fid", 0) > 1000]
    assert senseless
    assert senseless == [theirs for theirs in systems if theirs.get("note") == MISTAKEN]


# -- pictures ---------------------------------------------------------------------------------------------------------


def test_pictures_of_a_study(tmp_path):
    """One system with all there is, one whose first seed left no curves, one that is not done."""
    systems = {f"digits/{name}": {"name": name, "flops": 1e9} for name in ("cgan-digits", "old", "other")}
    (tmp_path / "study.json").write_text(json.dumps({"images": 64, "systems": systems}))
    for run in ("seed-0/cgan-digits", "seed-0/old", "seed-1/old"):
        genhub.load("cgan-digits").save_pretrained(tmp_path / "runs" / run / "final")
        finish(tmp_path, run, 3.0, probe_frechet_distance=3.0)
    (tmp_path / "seed-0" / "old.csv").unlink()
    made = draw_study(tmp_path, tmp_path / "runs")
    assert [path.name for path in made] == ["samples.png", "losses.png", "quality.png"]
    for path in made:
        with Image.open(path) as picture:
            assert picture.format == "PNG"
        assert path.stat().st_size < 150_000
    with Image.open(made[0]) as sheet:
        first, second = (sheet.crop((200, top, sheet.width, top + sheet.height // 2)) for top in (0, sheet.height // 2))
    assert len(first.convert("L").getcolors()) > 10, "there are samples on it"
    assert first.tobytes() == second.tobytes(), "the same model, the same seed"


def test_quality_is_drawn_of_every_seed(tmp_path, monkeypatch, no_images):
    systems = {f"digits/{name}": {"name": name, "flops": 1e9} for name in ("cgan-digits", "other")}
    (tmp_path / "study.json").write_text(json.dumps({"images": 64, "systems": systems}))
    for run in ("seed-0/cgan-digits", "seed-1/cgan-digits", "seed-0/other"):
        finish(tmp_path, run, 3.0, probe_frechet_distance=3.0)
    drawn = {}
    monkeypatch.setattr(pictures, "save", lambda figure, path: drawn.update({path.name: figure}))
    draw_study(tmp_path, tmp_path / "runs")
    axes, legend = drawn["quality.png"].axes[0], drawn["quality.png"].legends[0]
    first, second, other = (line.get_color() for line in axes.lines)
    assert first == second != other
    assert [text.get_text() for text in legend.texts] == ["cgan-digits", "other"]


def test_a_picture_of_both_orders(output):
    study = json.loads((output / "study.json").read_text())
    for i, name in enumerate(("dcgan-2", "dcgan-3", "dcgan-4", "wgan-2")):
        study["systems"][f"cifar10/{name}"] = {"name": f"{name}-cifar10", "flops": 1e9}
        finish(output, f"seed-0/{name}-cifar10", 50.0 - i)
    (output / "study.json").write_text(json.dumps(study))
    assert (output / "order.png") in draw_study(output, output / "runs")
    with Image.open(output / "order.png") as picture:
        colours = {colour for _, colour in picture.convert("RGB").getcolors(picture.width * picture.height)}
    assert {(31, 119, 180), (255, 127, 14), (44, 160, 44)} <= colours, "one for each of three families"
    assert "over the 6 systems with an FID of theirs" in write_tables(output, output / "runs").read_text()


def test_curves_are_read_as_they_were_written(tmp_path):
    lines = [
        {"step": 1, "images": 8, "discriminator_loss": 0.5, "generator_loss": None},
        {"step": 2, "images": 16, "discriminator_loss": 0.25, "generator_loss": 1.0},
        {"step": 2, "probe_frechet_distance": 3.5},
        {"step": 3, "probe_frechet_distance": 2.5},
    ]
    curves = results.curves_of(lines)
    results.write_curves(curves, tmp_path / "curves.csv")
    assert results.read_curves(tmp_path / "curves.csv") == curves == {
        "discriminator_loss": [(8, 0.5), (16, 0.25)],
        "generator_loss": [(16, 1.0)],
        "frechet_distance": [(16, 3.5), (24, 2.5)],
    }  # fmt: skip
    assert results.curves_of([{"step": 1, "alarm": "divergence"}]) == {}


def test_contact_sheets(tmp_path):
    made = contact_sheets("cgan-digits", tmp_path / "sheets")
    assert len(made) == 20
    assert made[0].name == "contact-00.png"
    assert made[13].name == "class-03-3.png"
    assert len({path.read_bytes() for path in made}) == 20
    with Image.open(made[0]) as sheet:
        assert sheet.size == (102, 102)  # ten images of 8 pixels, 2 pixels around each


def test_contact_sheets_of_a_run(tmp_path):
    genhub.load("cgan-digits").save_pretrained(tmp_path / "run" / "final")
    (tmp_path / "run" / "config.yaml").write_text("name: x")
    assert len(contact_sheets(str(tmp_path / "run"), tmp_path / "sheets")) == 20


def test_contact_sheets_of_what_makes_no_images(tmp_path, capsys):
    assert study.main(["--contact-sheets", "ae-mnist", "--output", str(tmp_path)]) == 2
    assert capsys.readouterr().err == "error: ae-mnist: a GenHubAE makes no images of its own; name another\n"
