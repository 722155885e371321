"""The leaderboard without a browser: rows, columns, sorting, charts, CSV."""

import csv
import dataclasses
import io
import json
import math
import re

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from genhub import list_models
from space import charts, progress
from space.board import (
    METRICS,
    STUDY,
    Column,
    Entry,
    columns_of,
    ranked,
    read_board,
    read_figures,
    read_reported,
    study_entries,
    usual_samples,
)
from space.catalog import read_catalog
from space.families import FAMILIES
from space.findings import findings
from space.pages import leaderboard
from space.pages.leaderboard import as_csv, best_of, chosen, curves_of, read_choice
from space.progress import FOLDER, MOMENTS, frames_of, spaced, top_rows
from space.server import build
from space.sheets import sheets_of
from space.shell import ASSETS

CATALOG = read_catalog()
BOARD = read_board(CATALOG)


def entry(name, dataset="toys", family="GenHubGAN", origin="bundled", costs=None, samples=0, **figures):
    found = {Column(metric, "judge-a"): value for metric, value in figures.items()}
    kind = next((one for one in FAMILIES if one.model_class == family), None)
    senseless = frozenset({"reconstruction_mse"})
    return Entry(name, kind, origin, dataset, found, {}, senseless, costs or {}, samples=samples)


# -- rows and columns -------------------------------------------------------------------------------------------------


def test_every_evaluated_model_has_its_recorded_figures():
    rows = {(row.name, row.dataset): row for row in BOARD if row.origin == "bundled"}
    for dataset in CATALOG.values():
        for info in dataset.models:
            record = json.loads(info.metrics_file.read_text())
            row = rows[info.name, dataset.name]
            assert {column.metric: value for column, value in row.figures.items()} == record["metrics"]
            judges = {column.judge for column in row.figures} - {""}
            protocol = record["protocol"]
            assert judges <= {protocol.get("extractor") or protocol.get("features"), protocol.get("anomalies")}
            assert row.costs["parameters"] > 1000
            assert row.samples == protocol["samples"]


def write_table(folder, digest, **systems):
    """A study's table as training/study.py writes it; systems: name → metrics."""
    protocol = {"dataset": "toys (JPEG copy)", "extractor": "judge", "extractor_sha256": digest * 9}
    rows = [{"system": name, "metrics": metrics, "spread": {"fid": 0.5}} for name, metrics in systems.items()]
    for row in rows:
        if "/" in row["system"]:
            row |= {"runs": {"seed-0": {"protocol": protocol}}, "parameters": {"model": 7, "discriminator": 9}}
    path = folder / digest / "table.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"images": 300_000, "rows": rows}))
    return path


def test_figures_of_two_judges_never_share_a_column(tmp_path):
    first = study_entries(write_table(tmp_path, "aaa", **{"toys/cgan-1": {"fid": 3.0, "laplacian_ratio": 1.0}}))
    second = study_entries(write_table(tmp_path, "bbb", **{"toys/dcgan-1": {"fid": 2.0, "laplacian_ratio": 2.0}}))
    mine, other = Column("fid", "judge", "aaaaaa"), Column("fid", "judge", "bbbbbb")
    found = first + second
    assert columns_of(found) == [mine, other, Column("laplacian_ratio", "")]
    assert [row.figures[column] for row, column in zip(found, (mine, other), strict=True)] == [3.0, 2.0]
    assert found[0].answer(other) == found[1].answer(mine) == "missing"
    assert found[0].spreads == {mine: 0.5}
    assert [row.name for row in read_board({}, tmp_path)] == ["toys/cgan-1", "toys/dcgan-1"]


def test_a_study_says_what_its_rows_are(tmp_path):
    names = {"toys/cgan-1": "cgan", "toys/sadcgan-1": "gan", "toys/experiment-3": "gan", "toys/vae-gan": "hybrid"}
    names |= {
        "toys/ae-dense": "ae",
        "toys/cvae": "cvae",
        "toys/beta-vae": "vae",
        "toys/wgan-gp-1": "gan",
        "floor": None,
        "ceiling": None,
    }
    rows = study_entries(write_table(tmp_path, "aaa", **{name: {"fid": 1.0} for name in names}))
    names |= {"real images": names.pop("floor"), "noise": names.pop("ceiling")}
    assert {row.name: row.family and row.family.slug for row in rows} == names
    kinds = {row.name: row.kind for row in rows}
    assert all("DCGAN" not in kind for kind in kinds.values()), "which of the GANs it is says the name of a row"
    assert "GAN" in kinds.values()
    assert {row.name for row in rows if row.origin == "reference"} == {"real images", "noise"}
    assert {row.dataset for row in rows} == {"toys"}
    assert rows[0].costs == {"parameters": 7.0}


@pytest.mark.parametrize(("given", "seeds"), [(3, 3), (1, 1), (0, 1), (None, 1), ("x", 1)])
def test_a_row_says_of_how_many_seeds_it_is_the_mean(tmp_path, given, seeds):
    path = write_table(tmp_path, "aaa", **{"toys/cgan-1": {"fid": 1.0}})
    table = json.loads(path.read_text())
    table["rows"][0]["seeds"] = given
    path.write_text(json.dumps(table))
    [row] = study_entries(path)
    assert row.seeds == seeds


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "5", '"x"', '{"rows": 3}', '{"rows": [1, null, {}]}', '{"rows": [{"system": "a"}]}'),
        '{"rows": [{"system": "a", "metrics": {"fid": "NaN"}, "runs": 5}]}',
    ],
)
def test_a_table_that_makes_no_sense_has_no_rows(tmp_path, text):
    (tmp_path / "toys.json").write_text(text)
    assert study_entries(tmp_path / "toys.json") == []
    assert study_entries(tmp_path / "none.json") == []


@pytest.mark.parametrize(
    ("metric", "spread", "written"),
    [
        ("reconstruction_mse", 0.0000312, "0.00003"),
        ("frechet_distance", 0.19, "0.2"),
        ("frechet_distance", 12.3, "10"),
        ("recall", 0, "0"),
        ("class_accuracy", 0.0042, "0.4%"),
    ],
)
def test_a_spread_is_written_without_powers_of_ten(metric, spread, written):
    assert METRICS[metric].write_spread(spread) == written


def test_what_is_no_number_is_left_out():
    given = {"fid": 2.5, "kid": math.inf, "precision": True, "recall": None, "x": 3, "y": "4", "z": [5]}
    values, errors = read_figures({"metrics": given, "spread": {"fid": 0.1, "x": "?"}}, {"features": "j"})
    assert values == {Column("fid", "j"): 2.5, Column("x", "j"): 3.0}
    assert errors == {Column("fid", "j"): 0.1}
    assert read_figures({"metrics": 5, "spread": None}, {}) == ({}, {})


def test_reported_figures_stay_apart(tmp_path):
    path = tmp_path / "reported.yaml"
    path.write_text(
        "extractor: theirs\nsystems:\n  toys/a: {fid: 3.5, note: lucky}\n  toys/b: {loss: 1}\n  else/c: {fid: 1}\n"
    )
    extractor, rows = read_reported("toys", path)
    assert extractor == "theirs"
    assert [(row.name, row.fid, row.kid, row.note) for row in rows] == [("toys/a", 3.5, None, "lucky")]
    assert read_reported("toys", tmp_path / "none.yaml") == ("", [])


def test_what_has_no_meaning_is_not_missing():
    row = entry("a", fid=1.0)
    fid, mse, kid = Column("fid", "judge-a"), Column("reconstruction_mse", ""), Column("kid", "judge-a")
    assert (row.answer(fid), row.answer(mse), row.answer(kid)) == (1.0, "senseless", "missing")
    assert row.complete([fid, mse])
    assert not row.complete([fid, kid])


def test_rows_without_a_figure_come_last_either_way():
    fid = Column("fid", "judge-a")
    rows = [entry("none"), entry("worse", fid=9.0), entry("better", fid=1.0)]
    assert [row.name for row in ranked(rows, fid, False)] == ["better", "worse", "none"]
    assert [row.name for row in ranked(rows, fid, True)] == ["worse", "better", "none"]
    assert [row.name for row in ranked(rows, None, False)] == ["better", "none", "worse"]
    assert [row.name for row in ranked(rows, None, True)] == ["worse", "none", "better"]


def test_the_floor_is_never_the_best_model():
    fid = Column("fid", "judge-a")
    rows = [entry("floor", origin="reference", fid=0.1), entry("a", fid=2.0), entry("b", fid=3.0)]
    assert best_of(fid, rows, 0) == 2.0
    assert best_of(fid, rows[:2], 0) is None


def test_fewer_samples_are_said_and_win_no_figure_that_depends_on_them(monkeypatch):
    fid, kid = Column("fid", "judge-a"), Column("kid", "judge-a")
    rows = [entry("slow", samples=1000, fid=1.0, kid=1.0)]
    rows += [entry(name, samples=5000, fid=value, kid=value) for name, value in (("a", 2.0), ("b", 3.0), ("c", 4.0))]
    usual = usual_samples([*rows, entry("ae")])
    assert usual == 5000
    assert (best_of(fid, rows, usual), best_of(kid, rows, usual)) == (2.0, 1.0)
    counts = {row.name: row.samples for row in study_entries(STUDY / "mnist" / "table.json")}
    assert {counts[name] for name in ("real images", "noise", "mnist/gan")} == {10_000}
    assert counts["mnist/ae"] == 0
    fewer = [dataclasses.replace(row, samples=2000) if row.name == "projected-gan-mnist" else row for row in BOARD]
    monkeypatch.setattr(leaderboard, "read_board", lambda catalog: fewer)
    page = re.sub(r"\s+", " ", TestClient(build()).get("/leaderboard?dataset=mnist").text)
    assert page.count(", 2,000 samples</span>") == 1
    assert ", 10,000 samples</span>" not in page
    nearest = re.search(r'class="who">projected-gan-mnist<.*?</tr>', page)[0].split("<td>")
    assert not any("best" in cell for cell in nearest[1:4])  # distance, precision, recall


# -- links ------------------------------------------------------------------------------------------------------------


def test_links_restore_their_choice():
    choice, notes = read_choice({}, BOARD, CATALOG)
    assert notes == []
    assert frames_of(CATALOG[choice.dataset].model(choice.curve)), "it opens with a film"
    columns = columns_of([row for row in BOARD if row.dataset == choice.dataset])
    for changes in ({"sort": None}, {"sort": columns[-1], "descending": True}, {"everything": True, "complete": True}):
        link = choice.link(**changes)
        params = dict(pair.split("=") for pair in link.partition("?")[2].split("&"))
        assert read_choice(params, BOARD, CATALOG)[0].link() == link


@pytest.mark.parametrize("field", leaderboard.FIELDS)
@pytest.mark.parametrize("value", ["<b>x</b>", "nope", "\0", "x" * 3000])
def test_unknown_choices_fall_back_and_are_said(web, field, value):
    answer = web.get("/leaderboard", params={field: value})
    assert answer.status_code == 200
    assert "<b>x" not in answer.text
    assert f"There is no {field}" in answer.text
    assert web.get("/leaderboard.csv", params={field: value}).status_code == 200


def test_complete_rows_and_families_filter():
    fid = Column("fid", "judge-a")
    board = [
        entry("full", fid=1.0, recall=2.0),
        entry("half", fid=3.0),
        entry("vae", family="GenHubVAE", fid=4.0, recall=1.0),
    ]
    names = {}
    for key, params in {"all": {}, "complete": {"complete": "yes"}, "gan": {"family": "gan"}}.items():
        choice, notes = read_choice(params, board, {})
        assert notes == []
        names[key] = [row.name for row in chosen(choice, board)[2]]
    assert names == {"all": ["full", "half", "vae"], "complete": ["full", "vae"], "gan": ["full", "half"]}
    assert choice.sort == fid


def test_the_csv_has_what_the_table_has(web):
    choice, _ = read_choice({"dataset": "mnist"}, BOARD, CATALOG)
    _, columns, rows = chosen(choice, BOARD)
    answer = web.get("/leaderboard.csv?dataset=mnist")
    assert answer.headers["content-disposition"] == 'attachment; filename="genhub-mnist.csv"'
    assert answer.text == as_csv(rows, columns)
    table = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["name"] for row in table] == [row.name for row in rows]
    for read, row in zip(table, rows, strict=True):
        assert read["samples"] == str(row.samples)
        for column in columns:
            assert read[column.key] == ("" if column not in row.figures else repr(row.figures[column]))


def test_the_table_is_sorted_by_plain_links(web):
    html = web.get("/leaderboard?dataset=mnist&sort=name&order=up").text
    names = re.findall(r'class="who">([^<]+)<', html.replace("<wbr>", ""))
    assert names == sorted(names)
    assert len(names) >= 4
    assert 'aria-sort="ascending"' in html


# -- charts -----------------------------------------------------------------------------------------------------------


def test_a_mark_leads_to_the_row_of_its_name_and_a_legend_says_its_kind(web):
    page = web.get("/leaderboard?dataset=mnist&sort=recall@classifier-mnist:b14c27").text
    marks = set(re.findall(r'<a href="#(row-[^"]+)"', page))
    assert "row-mnist/gan" in marks
    assert marks <= set(re.findall(r'<tr id="(row-[^"]+)"', page))
    legend = re.search(r'<p class="legend">.*?</p>', page, re.DOTALL)[0]
    assert all(f"{kind}</span>" in legend for kind in ("Diffusion", "GAN", "real images"))


def test_dots_lie_inside_and_in_order():
    dots = [charts.Dot(10.0**i, float(i), f"model-{i}", "gan") for i in range(1, 6)]
    plot = charts.scatter(dots, "cost", "quality", charts.short)
    xs, ys = [dot.x for dot in plot.dots], [dot.y for dot in plot.dots]
    assert xs == sorted(xs)
    assert ys == sorted(ys, reverse=True)
    assert all(plot.left < x < plot.right for x in xs)
    assert all(plot.top < y <= plot.bottom for y in ys)


def test_labels_never_cover_each_other_or_a_dot():
    dots = [charts.Dot(100 * 1.5 ** (i % 4), 1 + i % 3, f"a-model-with-a-name-{i}", "gan") for i in range(12)]
    plot = charts.scatter(dots, "cost", "quality", charts.short)
    boxes = [(dot.x - 6, dot.y - 6, dot.x + 6, dot.y + 6) for dot in plot.dots]
    boxes = sorted(set(boxes))
    for dot in plot.dots:
        if dot.label:
            x, y, anchor = dot.label
            width = charts.CHARACTER * len(dot.dot.name)
            start = x - {"start": 0, "middle": width / 2, "end": width}[anchor]
            boxes.append((start, y - charts.LINE + 3, start + width, y + 3))
    assert len(boxes) > 12
    assert not any(charts.overlap(a, b) for i, a in enumerate(boxes) for b in boxes[:i])


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 43.5), (-3, 0.2), (1e-5, 3e-5), (1e6, 9e6)])
def test_ticks_are_round_and_inside(low, high):
    found = charts.steps(low, high)
    assert 3 <= len(found) <= 8
    assert all(low - 1e-9 <= value <= high + 1e-9 for value in found)


@pytest.mark.parametrize(("low", "high"), [(500e3, 1.5e6), (1, 1000), (0.02, 0.9), (3.1e6, 3.9e6)])
def test_ticks_of_a_logarithm_are_inside(low, high):
    found = charts.log_steps(low, high)
    assert len(found) >= 2
    assert all(low <= value <= high for value in found)


def test_nothing_to_draw_is_no_chart():
    assert (
        charts.scatter([charts.Dot(0.0, 1.0, "a", "gan"), charts.Dot(1.0, math.nan, "b", "gan")], "", "", str) is None
    )
    assert charts.lines([("line-0", [(1.0, 2.0)]), ("line-1", [(1.0, math.inf), (2.0, 1.0)])], "", "", str) is None
    assert charts.scatter([charts.Dot(5.0, 5.0, "a", "gan")], "", "", charts.short).dots


def test_a_wide_range_is_drawn_on_a_logarithmic_axis():
    def heights(*values):
        rows = [entry(f"m{i}", costs={"parameters": 10.0}, fid=value) for i, value in enumerate(values)]
        return [dot.y for dot in leaderboard.plot(rows, Column("fid", "judge-a"), "parameters").dots]

    def level(real):
        rows = [entry(f"m{i}", costs={"parameters": 10.0}, fid=value) for i, value in enumerate((1.0, 10.0, 100.0))]
        return leaderboard.plot(rows, Column("fid", "judge-a"), "parameters", real).level

    assert level(None) is level(0.001) is None, "beyond the points"
    assert level(10.0) == heights(1.0, 10.0, 100.0)[1]
    for values, even in (((1.0, 10.0, 100.0), True), ((1.0, 2.0, 4.0), False)):
        a, b, c = heights(*values)
        assert (abs((a - b) - (b - c)) < 1) == even


def test_findings_are_those_of_the_document():
    for title, least in (("MNIST", 5), ("CIFAR-10", 3)):
        html = str(findings(title))
        assert html.count("<li>") >= least
        assert "study/" not in html, "a picture that the page cannot show"
        assert "href" not in html, "a link that the page cannot follow"
    assert findings("MNI") == findings("Digits") == ""


@pytest.mark.parametrize("dataset", ["mnist", "cifar10"])
def test_the_comparison_class_by_class_is_shown(web, dataset):
    found = sheets_of(CATALOG[dataset])
    assert found.classes == CATALOG[dataset].class_names
    assert "unkind to diffusion" in found.text
    assert "<table>" in found.text
    page = web.get("/leaderboard", params={"dataset": dataset}).text
    assert page.count("class-sheet?") == 10
    sheet = web.get("/class-sheet", params={"dataset": dataset, "class": found.classes[3]})
    assert Image.open(io.BytesIO(sheet.content)).size == found.size
    assert f'width="{found.size[0]}"' in page
    assert Image.open(io.BytesIO(sheet.content)).width == 8 * 2 * (CATALOG[dataset].models[0].image_shape[2] + 2) + 4
    for wrong in ({}, {"dataset": dataset, "class": "../records.json"}, {"dataset": "digits", "class": "3"}):
        assert web.get("/class-sheet", params=wrong).status_code == 404


def test_the_moments_of_a_training_end_in_the_bundled_sheet():
    info = CATALOG["cifar10"].model("cgan-cifar10")
    frames = frames_of(info)
    assert [frame.when for frame in frames][-1] == "as bundled"
    assert len(frames) >= 4
    pictures = [Image.open(ASSETS / frame.src.removeprefix("ui/")) for frame in frames]
    assert all(picture.size == (frame.width, frame.height) for picture, frame in zip(pictures, frames, strict=True))
    sheet = top_rows(Image.open(info.folder / "samples.png"), info.image_shape[1])
    assert list(sheet.convert("RGB").tobytes()) == list(pictures[-1].convert("RGB").tobytes())


def test_the_moments_of_another_training_are_not_shown(tmp_path, monkeypatch):
    info = CATALOG["cifar10"].model("cgan-cifar10")
    run = tmp_path / "cgan-cifar10"
    (run / "grids").mkdir(parents=True)
    last = json.loads((info.folder / "training_summary.json").read_text())["steps"]
    for step in (90, 100, last):
        Image.new("RGB", (342, 342), (step % 256, 0, 0)).save(run / "grids" / f"step-{step:08d}.png")
    monkeypatch.setattr(progress, "FOLDER", tmp_path / "kept")
    earlier = tmp_path / "kept" / info.name / "step-80.png"
    earlier.parent.mkdir(parents=True)
    earlier.touch()
    assert progress.main([str(run)]) == 0
    assert not earlier.exists()
    assert [frame.when for frame in frames_of(info)] == ["step 90", "step 100", "as bundled"]
    assert frames_of(info)[0].height == 3 * 34 + 2
    kept = tmp_path / "kept" / info.name / "frames.json"
    kept.write_text(kept.read_text().replace('"steps": ', '"steps": 1'))
    assert frames_of(info) == []
    assert progress.main([str(tmp_path / "nobody")]) == 2


def test_of_a_long_training_early_moments_are_kept_most():
    kept = spaced(range(900, 60_000, 900))
    assert kept[:3] == [900, 1800, 2700]
    assert kept[-1] == 59_400
    assert len(kept) <= MOMENTS
    assert sum(step < 15_000 for step in kept) > len(kept) / 2
    assert spaced([3, 5, 9]) == [3, 5, 9]


@pytest.mark.parametrize("folder", sorted(FOLDER.iterdir()), ids=lambda folder: folder.name)
def test_what_is_kept_belongs_to_a_bundled_training(folder):
    assert frames_of(next(info for info in list_models() if info.name == folder.name))


def test_curves_are_what_the_log_says():
    info = CATALOG["cifar10"].model("cgan-cifar10")
    curves = {curve.title: curve for curve in curves_of(info)}
    assert {"Losses", "Class accuracy", "Fréchet distance"} <= curves.keys()
    rows = [json.loads(line) for line in (info.folder / "training_log.jsonl").read_text().splitlines()]
    probes = [row["probe_frechet_distance"] for row in rows if "probe_frechet_distance" in row]
    assert f"from {probes[0]:.3g} to {probes[-1]:.3g}" in curves["Fréchet distance"].text
    [(_, path)] = curves["Fréchet distance"].plot.lines
    assert path.count("L") == len(probes) - 1
    assert [name for _, name in curves["Losses"].legend] == ["Discriminator loss", "Generator loss"]


def test_guided_models_stand_with_their_kind_in_the_tabs():
    plain = entry("plain", family="GenHubCGAN")
    [projected] = [family for family in FAMILIES if family.title == "Projected GAN"]
    guided = dataclasses.replace(entry("guided", family="GenHubCGAN"), family=projected)
    assert leaderboard.families_of([guided, plain]) == [("cgan", "Conditional GAN")]
