"""The Space as the web sees it: its first response, its empty states, its API."""

import base64
import io
import re
from pathlib import Path

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient
from gradio_client import Client
from gradio_client.exceptions import AppError
from PIL import Image

import genhub
from genhub import hub
from space import precomputed
from space.catalog import read_catalog
from space.server import MAX_SESSIONS, MAX_WAITING, build
from space.shell import ASSETS
from space.view import read_view

CATALOG = read_catalog()


@pytest.fixture(scope="module")
def api(served):
    return Client(served.get_blocks().local_url, verbose=False, analytics_enabled=False)


def said(served, name, *arguments):
    """All that the server sends to who calls one of its functions, over the network."""
    address = f"{served.get_blocks().local_url}gradio_api/call/{name}"
    joined = httpx.post(address, json={"data": arguments}, timeout=60).raise_for_status()
    return httpx.get(f"{address}/{joined.json()['event_id']}", timeout=60).text


def view_of(dataset, **fields):
    return read_view({"dataset": dataset, **{key: str(value) for key, value in fields.items()}}, CATALOG)[0]


# -- the first response -----------------------------------------------------------------------------------------------


def test_the_first_screen_is_what_the_models_make(engine):
    stored = {result.job: result for result in precomputed.read(CATALOG)}
    for name, dataset in CATALOG.items():
        for live in engine.compare(view_of(name, models=",".join(info.name for info in dataset.compared))):
            assert live.job in stored, "the first screen is out of date: run python -m space.precomputed"
            kept = stored[live.job]
            assert (kept.pixels.int() - live.pixels.int()).abs().max() <= 2
            assert kept.parameters == live.parameters
            assert kept.labels == live.labels


def test_a_first_screen_of_other_weights_is_left_out(bundle):
    assert len(precomputed.read(read_catalog())) == 1
    weights = bundle / "cgan-digits" / "model.safetensors"
    weights.write_bytes(weights.read_bytes() + b" ")
    assert precomputed.read(read_catalog()) == []


def test_the_first_response_has_images_and_loads_no_model(monkeypatch):
    monkeypatch.setattr(genhub, "load", lambda *args, **options: pytest.fail("a model was loaded"))
    web = TestClient(build())
    page = web.get("/")
    first = next(iter(CATALOG.values()))
    assert page.text.count('src="data:image/png;base64,') == 10 * len(first.leading)
    assert page.text.count("precomputed") >= len(first.leading)
    assert web.head("/").status_code == 200


def test_the_page_loads_nothing_from_elsewhere():
    web = TestClient(build())
    page = web.get("/")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "://" not in page.text
    for path in ASSETS.glob("*.*s"):
        addresses = [line for line in path.read_text().splitlines() if "://" in line]
        allowed = ("postMessage", 'createElementNS("http://www.w3.org/2000/svg"')  # a name, not an address
        assert all(any(part in line for part in allowed) for line in addresses), addresses


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_has_the_contrast_that_wcag_asks_for(theme):
    pairs = re.findall(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\);", (ASSETS / "genhub.css").read_text())
    colors = {name: light if theme == "light" else dark for name, light, dark in pairs}
    for ground in ("paper", "card", "tint"):
        assert contrast(colors["ink"], colors[ground]) >= 4.5
    for text in ("soft", "accent", "ae", "vae", "cvae", "gan", "cgan", "hybrid", "diffusion", "sd"):
        assert contrast(colors[text], colors["card"]) >= 4.5
    assert contrast(colors["soft"], colors["paper"]) >= 4.5
    for ground in ("paper", "card"):
        assert contrast(colors["edge"], colors[ground]) >= 3, "borders of controls"


def contrast(one, other):
    """Contrast ratio of two colours as WCAG 2.2 defines it."""

    def luminance(color):
        channels = (int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_markup_in_a_link_stays_text():
    attack = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
    for field in ("dataset", "class", "seed", "n", "models"):
        page = TestClient(build()).get("/", params={"dataset": "digits", field: attack})
        assert page.status_code == 200
        assert "<script>alert" not in page.text
        assert "<img src=x" not in page.text
        assert "&lt;script&gt;" in page.text


def test_a_copy_without_models_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(hub, "PRETRAINED", tmp_path)
    web = TestClient(build())
    page = web.get("/?dataset=mnist&seed=-5")
    assert page.status_code == 200
    assert "Nothing to compare yet" in page.text
    assert web.get("/download").status_code == 404


def test_a_dataset_without_a_judge_says_so():
    page = TestClient(build()).get("/?dataset=digits")
    assert "no classifier for Digits is bundled" in page.text


def test_no_model_chosen_is_a_view_too():
    page = TestClient(build()).get("/?dataset=digits&models=none")
    assert "No model is chosen" in page.text
    assert TestClient(build()).get("/download?dataset=digits&models=none").status_code == 200


# -- the API ----------------------------------------------------------------------------------------------------------


def test_four_endpoints_are_public_and_describe_themselves(api, served):
    described = api.view_api(return_format="dict")
    assert set(described["named_endpoints"]) == {"/compare", "/interpolate", "/models", "/reconstruct"}
    functions = {options["api_name"]: function for function, options in served._deferred_apis}
    for name in ("compare", "interpolate", "models", "reconstruct"):
        assert "Returns:" in functions[name].__doc__
    assert described["unnamed_endpoints"] == {}
    types = {
        p["parameter_name"]: p["python_type"]["type"] for p in described["named_endpoints"]["/compare"]["parameters"]
    }
    assert types == {
        **{"dataset": "str", "label": "str", "seed": "int", "n": "int", "models": "None | list[str]"},
        "truncation": "float",
    }


def test_the_examples_of_the_readme_run(served):
    text = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    [code] = [part for part in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "gradio_client" in part]
    names = {}
    exec(code.replace("http://127.0.0.1:7860", served.get_blocks().local_url), names)
    assert {model["name"] for model in names["models"]} >= {"cgan-mnist", "vae-mnist", "cgan-digits"}
    assert [result["model"] for result in names["compared"]["results"]] == ["vae-mnist", "cgan-mnist"]
    assert len(names["walk"]["images"]) == 6
    assert names["walk"]["labels"] == ["3", "5"]
    for result in names["rebuilt"]["results"]:
        data = base64.b64decode(result["reconstruction"].split(",")[1])
        assert Image.open(io.BytesIO(data)).size == (28, 28)
        assert 0 < result["mse"] < 0.1


def test_what_models_says_holds(api):
    for model in api.predict(api_name="/models"):
        loaded = genhub.load(model["name"])
        if hasattr(loaded, "for_dataset"):
            loaded = loaded.for_dataset(model["dataset"])
        assert type(loaded).__name__ == model["class"]
        assert list(loaded.image_shape) == model["image_shape"]
        assert hasattr(loaded, "generate") == model["generates"]
        assert hasattr(loaded, "reconstruct") == model["reconstructs"]


@pytest.mark.parametrize(
    ("endpoint", "wrong"),
    [
        ("/interpolate", {"model": "gpt"}),
        ("/interpolate", {"truncation": 0.125}),
        ("/interpolate", {"steps": 1}),
        ("/interpolate", {"start_label": "cow"}),
        ("/reconstruct", {"image": "/etc/passwd"}),
        ("/reconstruct", {"dataset": "digits"}),
        ("/reconstruct", {"models": ["cgan-mnist"]}),
    ],
)
def test_odd_arguments_are_refused_in_words(api, endpoint, wrong):
    good = {
        "/interpolate": {"model": "cgan-digits", "start_label": "1", "end_label": "2"},
        "/reconstruct": {"image": "x"},
    }
    with pytest.raises(AppError, match=f"^{next(iter(wrong))}: "):
        api.predict(**{**good[endpoint], **wrong}, api_name=endpoint)


@pytest.mark.parametrize("endpoint", ["/compare", "/interpolate"])
def test_what_may_be_left_out_may_be_left_out(api, endpoint):
    assert api.predict(api_name=endpoint)


def test_compare_answers_a_program(api):
    answer = api.predict(dataset="digits", label="7", seed=3, n=4, models=["cgan-digits"], api_name="/compare")
    assert answer["query"] == "dataset=digits&class=7&seed=3&n=4&models=cgan-digits"
    (result,) = answer["results"]
    assert result["labels"] == ["7"] * 4
    assert result["seconds_per_image"] > 0
    model = genhub.load("cgan-digits")
    assert result["parameters"] == model.num_parameters()
    expected = genhub.images.to_uint8(model.generate(4, labels="7", seed=3))
    for uri, pixels in zip(result["images"], expected, strict=True):
        decoded = Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1])))
        assert np.array_equal(np.array(decoded), pixels[0].numpy())


@pytest.mark.parametrize(
    "wrong",
    [
        {"truncation": 0.125},
        {"seed": "abc"},
        {"seed": 1e20},
        {"n": 0},
        {"n": None},
        {"label": {}},
        {"dataset": ["x"]},
        {"models": "cgan"},
    ],
)
def test_wrong_types_are_refused_in_words(api, wrong):
    with pytest.raises(AppError, match=f"^{next(iter(wrong))}: .*(expected|allowed)"):
        api.predict(**{"dataset": "digits", **wrong}, api_name="/compare")


def test_the_queue_is_bounded_and_has_one_lane(served):
    queue = served.get_blocks()._queue
    assert queue.max_size == MAX_WAITING
    lanes = {fn.api_name: (fn.concurrency_id, fn.concurrency_limit) for fn in served.get_blocks().fns.values()}
    assert set(lanes.values()) == {("quick", 1), ("patient", 1)}
    assert lanes["view"][0] == "quick"
    assert lanes["compare"][0] == "patient"


def test_visitors_who_left_are_forgotten(served):
    for _ in range(MAX_SESSIONS + 20):
        assert "event: complete" in said(served, "models")
    assert 0 < len(served.get_blocks().state_holder.session_data) <= MAX_SESSIONS


def test_the_page_is_sent_its_parts_once(served):
    text = said(served, "view", "dataset=digits&n=2")
    assert text.count('"galleries"') == 1
    assert "event: complete" in text


@pytest.mark.parametrize("query", ["seed=%00&n=%ff", "=&&&=", "dataset", "x" * 9000, None, 5, {"a": 1}, ["b"]])
def test_the_pages_own_endpoint_survives_anything(served, query):
    text = said(served, "view", query)
    assert "event: complete" in text
    assert "Traceback" not in text
