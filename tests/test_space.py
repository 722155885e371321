"""The Space without a browser: its inference layer, its links, its API, its first response."""

import io
import shutil
import threading
import time
import types
import zipfile

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from PIL import Image

import genhub
from space import inference, precomputed, zerogpu
from space.abilities import abilities
from space.cards import count, duration
from space.catalog import Dataset, read_catalog
from space.closer import look
from space.download import archive
from space.inference import Busy, Engine
from space.lane import Lane
from space.pages.compare import columns
from space.result import Failure
from space.server import build
from space.snippet import snippet
from space.view import View, read_view

CATALOG = read_catalog()


def all_of(dataset: Dataset) -> str:
    """All models of a dataset, as a link names them."""
    return ",".join(info.name for info in dataset.compared)


def view_of(dataset, **fields):
    return read_view({"dataset": dataset, **{key: str(value) for key, value in fields.items()}}, CATALOG)[0]


# -- inference --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dataset", CATALOG)
def test_images_depend_on_seed_class_and_place_alone(engine, dataset):
    def pixels(**fields):
        results = engine.compare(view_of(dataset, models=all_of(CATALOG[dataset]), **fields))
        assert all(result.live for result in results)
        return {result.job.model: result for result in results}

    base, fewer = pixels(seed=5, n=6), pixels(seed=5, n=2)
    other_seed, other_class = pixels(seed=6, n=6), pixels(seed=5, n=6, **{"class": 7})
    for model in CATALOG[dataset].compared:
        made = base[model.name].pixels
        assert made.shape == (6, *model.image_shape)
        assert made.float().std() > 5, "blank images"
        assert (made[:2].int() - fewer[model.name].pixels.int()).abs().max() <= 1
        assert not torch.equal(made, other_seed[model.name].pixels)
        told = base[model.name].labels is not None
        assert torch.equal(made, other_class[model.name].pixels) != told
        assert other_class[model.name].labels == ((7,) * 6 if told else None)


def test_the_judge_is_asked_about_what_is_shown(engine):
    for dataset in CATALOG.values():
        for result in engine.compare(view_of(dataset.name, seed=5, n=6, models=all_of(dataset))):
            if dataset.judge is None:
                assert result.judged is None
                assert result.accuracy is None
                continue
            expected = genhub.load(dataset.judge).predict(result.pixels).argmax(dim=1).tolist()
            assert list(result.judged) == expected
            if result.labels is not None:
                right = [a == b for a, b in zip(result.labels, expected, strict=True)]
                assert result.accuracy == sum(right) / 6


def test_an_autoencoder_reconstructs_the_images_beside_it(engine):
    for dataset in CATALOG.values():
        for info in dataset.compared:
            if info.model_class == "GenHubAE":
                view = View(dataset.name, 2, 9, 4, (dataset.source.name, info.name))
                original, copied = engine.compare(view)
                assert copied.source == original.job.model
                again = genhub.load(info.name).reconstruct(genhub.images.to_signed(original.pixels))
                assert torch.equal(copied.pixels, genhub.images.to_uint8(again))


def test_results_and_models_are_kept(engine, monkeypatch):
    view = view_of("digits", seed=11)
    engine.compare(view_of("digits", seed=10))
    first = engine.compare(view)
    monkeypatch.setattr(engine, "compute", lambda *args: pytest.fail("computed twice"))
    assert engine.compare(view) == first
    monkeypatch.setattr(inference, "MAX_RESULTS", 2)
    engine.keep(first[0].job, first[0])
    assert len(engine.results) == 2


@pytest.mark.parametrize(("granted", "used"), [(2, 2), (6, 4)])
def test_the_engine_takes_no_more_cores_than_it_is_granted(granted, used, monkeypatch):
    """Nor more than torch would: four here."""
    chosen = []
    monkeypatch.setattr(inference, "cpu_count", lambda: granted)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    monkeypatch.setattr(torch, "set_num_threads", chosen.append)
    Engine(CATALOG)
    assert chosen == [used]


def test_what_was_made_beforehand_is_not_pushed_out(monkeypatch):
    monkeypatch.setattr(inference, "MAX_RESULTS", 2)
    engine = Engine(CATALOG, precomputed.read(CATALOG))
    for i in range(3):
        engine.keep(i, "what a visitor asked")
    assert len(engine.results) == 2
    for dataset in CATALOG:
        assert all(kept and not kept.live for kept in engine.kept_results(view_of(dataset)))


def test_one_comparison_computes_at_a_time(monkeypatch):
    engine = Engine(CATALOG)
    running, most = [], []
    compute = engine.compute_here

    def slow(*args):
        running.append(1)
        most.append(len(running))
        time.sleep(0.05)
        running.pop()
        return compute(*args)

    monkeypatch.setattr(engine, "compute", slow)
    views = [view_of("digits", seed=seed) for seed in range(6)]
    threads = [threading.Thread(target=engine.compare, args=(view,)) for view in views]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1
    assert all(None not in engine.kept_results(view) for view in views)


def test_a_lane_that_stays_taken_is_said():
    engine = Engine(CATALOG)
    engine.lane.patience = 0.01
    with engine.lane.turn(), pytest.raises(Busy, match="try again"):
        engine.compare(view_of("digits"))


def test_a_line_that_is_too_long_is_said_at_once():
    lane = Lane(places=0)
    with lane.turn():
        start = time.monotonic()
        with pytest.raises(Busy), lane.turn():
            pytest.fail("the lane was taken")
        assert time.monotonic() - start < 1


def test_long_work_lets_those_who_wait_go_first():
    lane, order = Lane(), []

    def work(name):
        with lane.turn():
            order.append(name)

    with lane.turn():
        threads = []
        for name in "abc":
            threads.append(threading.Thread(target=work, args=(name,)))
            threads[-1].start()
            while len(lane.line) <= len(threads):
                time.sleep(0.001)
        lane.give_way()
        order.append("long")
        lane.give_way()
    assert order == ["a", "b", "c", "long"]
    for thread in threads:
        thread.join()
    assert not lane.line


def test_truncation_draws_images_together(engine):
    def variance(truncation):
        [result] = engine.compare(view_of("digits", n=12, truncation=truncation, models="cgan-digits", **{"class": 3}))
        return result.pixels.float().var(dim=0).mean()

    assert variance(0) < 0.01
    assert variance(0) < variance(0.5) < variance(1)


def test_work_is_kept_under_its_arguments(engine):
    def work(engine, number):
        return [number, len(engine.lane.line)]

    first = engine.run(work, 7, dataset="digits")
    assert first == [7, 1], "it did not hold the lane"
    assert engine.run(work, 7, dataset="digits") is first
    assert engine.run(work, 8, dataset="digits") == [8, 1]


@pytest.mark.parametrize("dataset", CATALOG)
def test_a_closer_look_names_its_opinions(engine, dataset):
    for info in CATALOG[dataset].compared:
        view = view_of(dataset, n=4, models=info.name)
        if abilities(info).slow:  # looked at once it is made
            assert look(engine, view, 99) is None
            engine.compare(view)
        close = look(engine, view, 99)
        assert close.i == 3
        assert close.sharpness == close.result.sharpness[3] > 0
        assert len(close.judge) == (3 if CATALOG[dataset].judge else 0)
        if close.judge:
            seen = CATALOG[dataset].class_name(close.result.judged, 3)
            assert close.judge[0][0] == seen
            assert 0.3 < sum(share for _, share in close.judge) <= 1.001
        assert (close.critic is not None) == (info.folder / "discriminator").is_dir()
        if close.critic:
            places = {look(engine, view, i).critic.place for i in range(4)}
            assert places == {1, 2, 3, 4}


def test_a_broken_model_does_not_break_the_others(bundle):
    shutil.copytree(bundle / "cgan-digits", bundle / "whole-digits")
    weights = bundle / "cgan-digits" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    catalog = read_catalog()
    view, _ = read_view({"n": "2", "models": all_of(catalog["digits"])}, catalog)
    broken, whole = Engine(catalog).compare(view)
    assert isinstance(broken, Failure)
    assert "truncated" in broken.reason
    assert len(whole.pixels) == 2
    page = TestClient(build()).get(f"/?n=2&models={','.join(view.models)}")
    assert page.status_code == 200


def test_a_gpu_is_borrowed_where_spaces_is_installed(monkeypatch):
    borrowed = []
    fake = types.SimpleNamespace(GPU=lambda function: lambda *args: borrowed.append(1) or function(*args))
    monkeypatch.setattr(zerogpu, "spaces", fake)
    Engine(CATALOG).compare(view_of("digits"))
    assert borrowed == [1]


# -- what a visitor takes home ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("fields", [{"seed": 3, "n": 6, "class": 7}, {"seed": 0, "n": 11}])
@pytest.mark.parametrize("dataset", CATALOG)
def test_the_snippet_makes_what_is_shown(engine, dataset, fields, tmp_path, monkeypatch):
    view = view_of(dataset, **fields)
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(snippet(view, CATALOG[dataset]), "snippet", "exec"), names)
    for result in engine.compare(view):
        assert torch.equal(names["images"][result.job.model], result.pixels)
        assert (tmp_path / f"{result.job.model}.png").is_file()


def test_the_download_holds_the_shown_pixels(engine):
    view = view_of("digits", seed=3, n=4)
    results = engine.compare(view)
    with zipfile.ZipFile(io.BytesIO(archive(view, CATALOG["digits"], results))) as file:
        names = file.namelist()
        assert len({name.split("/")[0] for name in names}) == 1
        for result in results:
            inside = sorted(name for name in names if f"/{result.job.model}/" in name)
            decoded = [np.array(Image.open(io.BytesIO(file.read(name)))) for name in inside]
            assert np.array_equal(np.stack(decoded), result.pixels[:, 0].numpy())
        assert any(name.endswith("reproduce.py") for name in names)
        assert any(name.endswith("all.png") for name in names)


def test_numbers_are_written_for_people():
    assert [count(n) for n in (12, 3500, 190_753, 3_120_000, 25_600_000)] == ["12", "3.5 k", "191 k", "3.1 M", "26 M"]
    assert [duration(s) for s in (0.00021, 0.0042, 0.031, 1.26)] == ["0.21 ms", "4.2 ms", "31 ms", "1.3 s"]
    assert [columns(n) for n in (1, 4, 5, 10, 40)] == [1, 4, 5, 5, 8]
