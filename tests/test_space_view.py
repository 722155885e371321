"""Links: what a view is written as, and what becomes of odd ones."""

from urllib.parse import parse_qsl

import numpy as np
import pytest

from space.catalog import read_catalog
from space.view import MAX_IMAGES, MAX_SEED, TRUNCATION, View, check_view, read_view

CATALOG = read_catalog()


@pytest.mark.parametrize("dataset", CATALOG)
def test_a_link_restores_its_view(dataset):
    models = tuple(model.name for model in CATALOG[dataset].compared)[:2]
    for label in (None, 3):
        view = View(dataset, label, MAX_SEED, 7, models)
        assert read_view(dict(parse_qsl(view.query(CATALOG))), CATALOG) == (view, [])
    empty = View(dataset, None, 0, 1, ())
    assert read_view(dict(parse_qsl(empty.query(CATALOG))), CATALOG) == (empty, [])


def test_a_link_is_readable():
    view = View("digits", 7, 3, 8, ("cgan-digits",))
    assert view.query(CATALOG) == "dataset=digits&class=7&seed=3&n=8&models=cgan-digits"


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        ("seed", "-1", 0),
        ("seed", "1e20", MAX_SEED),
        ("seed", "9" * 399, MAX_SEED),
        ("seed", "9" * 5000, 0),
        ("seed", "inf", MAX_SEED),
        ("seed", "nan", 0),
        ("seed", "abc", 0),
        ("seed", "3.5", 0),
        ("n", "0", 1),
        ("n", "1000000000", MAX_IMAGES),
        ("n", "-inf", 1),
        ("n", "eight", 10),
        ("truncation", "1.5", 1),
        ("truncation", "-1", 0),
        ("truncation", "nan", 1),
        ("truncation", "half", 1),
    ],
)
def test_odd_numbers_are_replaced_and_said(field, text, value):
    view, notes = read_view({"dataset": "digits", field: text}, CATALOG)
    assert getattr(view, field) == value
    assert len(notes) == 1
    assert str(value) in notes[0]
    assert len(notes[0]) < 120


@pytest.mark.parametrize(
    "params", [{"dataset": "imagenet"}, {"class": "cow"}, {"class": "10"}, {"class": "-1"}, {"models": "gpt,<b>"}]
)
def test_unknown_names_fall_back_and_are_said(params):
    view, notes = read_view({"dataset": "digits", **params}, CATALOG)
    assert view.label is None
    assert view.models == tuple(model.name for model in CATALOG[view.dataset].leading)
    assert len(notes) == 1


def test_no_link_is_too_odd_to_be_read():
    random = np.random.default_rng(0)
    pieces = [
        "digits",
        "mnist",
        "all",
        "7",
        "-",
        "1e999",
        "0x10",
        "%",
        "<b>",
        "\0",
        "é",
        "٣",
        "nan",
        ",",
        " ",
        "9" * 30,
    ]
    for _ in range(3000):
        fields = ("dataset", "class", "seed", "n", "models", "truncation", "other")
        params = {field: "".join(random.choice(pieces, random.integers(0, 4))) for field in fields}
        view, notes = read_view(params, CATALOG)
        again, quiet = read_view(dict(parse_qsl(view.query(CATALOG))), CATALOG)
        assert (again, quiet) == (view, [])
        assert 1 <= view.n <= MAX_IMAGES
        assert 0 <= view.seed <= MAX_SEED
        assert all(len(note) < 160 for note in notes)


def test_arguments_are_checked_not_corrected():
    good = {"dataset": "digits", "label": "7", "seed": 3, "n": 8, "models": ["cgan-digits"]}
    assert check_view(CATALOG, **good) == View("digits", 7, 3, 8, ("cgan-digits",))
    bad = {
        "dataset": ["mnits", None, ["digits"]],
        "label": ["cow", None, True, {}, 10],
        "seed": [-1, 2**32, 1e20, "abc", None, True],
        "n": [0, MAX_IMAGES + 1, "many"],
        "models": [[], "cgan-digits", ["nope"], [{}], 5],
        "truncation": [-0.1, 1.1, float("nan"), "half", None, True],
    }
    for field, values in bad.items():
        for value in values:
            with pytest.raises(ValueError, match=f"^{field}: "):
                check_view(CATALOG, **{**good, field: value})


def test_sums_of_hundredths_are_hundredths():
    assert TRUNCATION.check(0.1 + 0.2, "truncation") == 0.3
