"""Runs held against each other by time."""

import json
import re

import pytest
from PIL import Image

from training import curves
from training.pictures import PICTURES


def write_run(folder, name, pace, distances, accuracy=None, judge="judge 12ab"):
    """A log of 100 steps of 64 images between checkpoints, each step taking ``pace`` seconds."""
    lines = []
    for i, distance in enumerate(distances, 1):
        step = 100 * i
        for logged in (step - 50, step):
            lines.append({"step": logged, "images": 64 * logged, "seconds": pace * logged, "generator_loss": 1.0})
        judged = {"judge": judge, "probe_frechet_distance": distance}
        lines.append(
            {"step": step, "quality": distance, **judged, **({"probe_class_accuracy": accuracy} if accuracy else {})}
        )
    path = folder / name / "log.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path.parent)


def rows(text):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]


def test_the_table_tells_the_best_so_far_at_equal_times(tmp_path, capsys):
    slow = write_run(tmp_path, "slow", 1.2, [8.0, 4.0, 2.0], accuracy=0.5)  # a checkpoint every 2 minutes
    fast = write_run(tmp_path, "fast", 0.6, [9.0, 3.0, 5.0])  # every minute, and the last is worse
    assert curves.main([slow, fast]) == 0
    head, _, *lines = rows(capsys.readouterr().out)
    assert head == ["minutes", slow, fast]
    found = {float(minutes): cells for minutes, *cells in lines}
    assert list(found) == [0.5 * i for i in range(1, 13)], "as long as the longest run"
    assert found[0.5] == ["–", "–"]
    assert found[1.0] == ["–", "9.00 after 6 k images"]
    assert found[2.0] == ["8.00, 50.0 % after 6 k images", "3.00 after 13 k images"]
    assert found[3.0][1] == "3.00 after 13 k images", "the best weights are kept"
    assert found[6.0] == ["2.00, 50.0 % after 19 k images", "–"], "it ended after three minutes"


def test_bundled_models_have_their_curve_and_it_can_be_drawn(tmp_path, capsys):
    path = tmp_path / "curves.png"
    assert curves.main(["cgan-mnist", "projected-gan-mnist", "--output", str(path)]) == 0
    assert "cgan-mnist | projected-gan-mnist" in capsys.readouterr().out
    with Image.open(path) as picture:
        assert picture.width > 300


def test_runs_of_one_name_are_told_apart(tmp_path):
    """A drawing in SVG names its texts, so that its legend can be read."""
    runs = [write_run(tmp_path / day, "mine", 1.0, [3.0, 2.0]) for day in ("monday", "tuesday")]
    for given, expected in ((runs, runs), (runs[:1], ["mine"])):
        path = tmp_path / "curves.svg"
        assert curves.main([*given, "--output", str(path)]) == 0
        assert re.findall(r"<!-- (.*mine) -->", path.read_text()) == expected


@pytest.mark.parametrize("suffix", PICTURES)
def test_every_kind_of_picture_that_is_allowed_is_written(tmp_path, suffix):
    path = tmp_path / f"curves{suffix}"
    assert curves.main([write_run(tmp_path, "mine", 1.0, [3.0, 2.0]), "--output", str(path)]) == 0
    assert path.stat().st_size > 1000


def test_runs_of_different_judges_are_not_compared(tmp_path, capsys):
    old, new = write_run(tmp_path, "old", 1.0, [3.0], judge="judge 34cd"), write_run(tmp_path, "new", 1.0, [3.0])
    assert curves.main([old, new]) == 2
    assert f"{old} by judge 34cd; {new} by judge 12ab" in capsys.readouterr().err
    assert curves.main([new, new]) == 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("nothere", "error: nothere: no bundled model"),
        ("~no-such-user-here/run", "error: ~no-such-user-here/run: no path can be that"),
        ("diffusion-mnist", "error: diffusion-mnist: its log has no Fréchet distances"),
        ("ae-mnist", "error: ae-mnist: its log has no Fréchet distances"),
    ],
)
def test_what_has_no_curve_is_one_error(given, message, capsys):
    assert curves.main([given]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(message)
    assert captured.err.count("\n") == 1
    assert not captured.out


def test_a_picture_of_another_kind_is_refused_before_anything_is_read(capsys):
    with pytest.raises(SystemExit):
        curves.main(["nowhere", "--output", "curves.txt"])
    assert "--output: expected a name that ends in .png, .jpg" in capsys.readouterr().err


def test_a_run_shorter_than_its_log_lines_says_so(tmp_path, capsys):
    (tmp_path / "log.jsonl").write_text('{"step": 5, "probe_frechet_distance": 3.0, "judge": "a"}\n')
    assert curves.main([str(tmp_path)]) == 2
    assert "its log tells no time; train for more steps than log_every" in capsys.readouterr().err
