"""Learn and use without a browser: cards, code, the look inside."""

import base64
import io
import re
from html import unescape

import httpx
import pytest
import torch
from fastapi.testclient import TestClient
from PIL import Image
from tiny import build as build_model

import genhub
from genhub.images import to_uint8
from space.catalog import read_catalog
from space.examples import EXAMPLES
from space.families import FAMILIES, KINDS
from space.inference import Engine
from space.inside import MOMENTS, SHOWN, denoising_of, look_inside
from space.lessons import LESSONS, PAPERS
from space.manuals import card_html, to_html
from space.pages import learn

CATALOG = read_catalog()


@pytest.fixture(scope="module")
def web(served):
    return TestClient(served)


def picture(uri):
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


# -- cards ------------------------------------------------------------------------------------------------------------

HOSTILE = """---
license: mit
---
# Title <script>alert(1)</script>

<img src=x onerror=alert(1)> and <b onclick="x()">bold</b> <!-- hidden -->

[a](javascript:alert(1)) [b](data:text/html,x) [c](https://example.org/?q="><script>) [d](vbscript:x)

![pixel](https://example.org/track.png) ![samples](samples.png) ![" onload="alert(1)](samples.png)

| a <i>x</i> | b |
|---|---|
| `<u>` | [j](JaVaScRiPt:alert(1)) |

```python" onmouseover="alert(1)
</code></pre><script>alert(1)</script>
```

<https://example.org/<script>> &lt;script&gt;alert(1)&lt;/script&gt;
"""


def test_a_hostile_card_brings_no_markup():
    html = str(to_html(HOSTILE, 'name"><script>'))
    tags = re.findall(r"<\s*/?\s*([a-zA-Z0-9]+)([^>]*)>", html)
    allowed = {"h3", "p", "a", "img", "div", "table", "thead", "tbody", "tr", "th", "td", "pre", "code", "strong", "em"}
    assert {name for name, _ in tags} <= allowed
    for _, attributes in tags:
        outside = re.sub(r'"[^"]*"', '""', attributes)
        assert not re.search(r"\bon[a-z]+\s*=", outside)
    links = re.findall(r'href="([^"]*)"', html)
    assert links
    assert all(link.startswith("https://example.org/") for link in links)
    assert all(source.startswith("sheet?model=") for source in re.findall(r'src="([^"]*)"', html))
    assert "hidden" not in html
    assert "license: mit" not in html


@pytest.mark.parametrize("info", genhub.list_models(), ids=lambda info: info.name)
def test_every_bundled_card_is_rendered_whole(info):
    html = str(card_html(info))
    words = re.sub(r"<[^>]+>", " ", html)
    assert info.name in words
    for heading in re.findall(r"^## (.+)$", (info.folder / "README.md").read_text(), re.MULTILINE):
        assert f"<h4>{heading}</h4>" in html
    assert "<th></th>" not in html
    regions = re.findall(r'role="region" aria-label="([^"]+)"', html)
    assert len(set(regions)) == len(regions) == html.count("<table>")
    assert html.count("<table>") == html.count('<div class="scroll" tabindex="0"')
    assert "model-index" not in words


def test_cards_and_sheets_are_found_by_name_alone(web):
    for info in genhub.list_models():
        assert f'aria-label="Card of {info.name}"' in web.get(f"/learn?card={info.name}").text
        answer = web.get(f"/sheet?model={info.name}")
        assert answer.headers["content-type"] == "image/png"
        assert answer.content == (info.folder / "samples.png").read_bytes()
    for name in ("../cgan-digits", "cgan-digits/..", "/etc/passwd", "cgan-digits%00", "", "cgan-digits/samples.png"):
        assert web.get("/sheet", params={"model": name}).status_code == 404
    page = web.get("/learn", params={"card": "<script>alert(1)</script>"})
    assert "There is no model" in page.text
    assert "<script>alert" not in page.text


# -- lessons and code -------------------------------------------------------------------------------------------------


def test_every_family_has_a_lesson(web):
    assert set(LESSONS) == set(KINDS)
    html = web.get("/learn").text
    for family, names in learn.families_of(Engine(CATALOG)):
        assert html.count(f'id="lesson-{family.slug}"') == 1
        assert all(f"learn?card={name}#cards" in html for name in names)
    variants = [family for family in FAMILIES if family is not KINDS[family.slug]]
    text = unescape(re.sub(r"</?a\b[^>]*>", "", html))
    assert all(LESSONS[family.slug].relatives in text for family in variants)
    said = " ".join(lesson.paper + lesson.relatives for lesson in LESSONS.values())
    assert len(re.findall(r"\d{4}", said)) == sum(html.count(f'href="{address}"') for address in PAPERS.values())


@pytest.mark.parametrize("i", range(len(EXAMPLES)), ids=lambda i: EXAMPLES[i].title)
def test_the_code_on_the_page_runs(i, served, tmp_path, monkeypatch, capsys):
    page = httpx.get(f"{served.get_blocks().local_url}learn", timeout=60).text
    code = unescape(re.search(rf'<code id="example-{i + 1}">(.*?)</code>', page, re.DOTALL)[1])
    monkeypatch.chdir(tmp_path)
    exec(compile(code, EXAMPLES[i].title, "exec"), {})
    saved = re.findall(r'"(\w+\.png)"', code)
    assert all(Image.open(tmp_path / name).width > 50 for name in saved)
    assert saved or capsys.readouterr().out.strip()


def test_on_the_hub_the_code_names_the_space(web, monkeypatch):
    here = web.get("/learn").text
    assert "Client(&#34;http://testserver&#34;)" in here
    assert "huggingface.co/spaces" not in here
    monkeypatch.setenv("SPACE_ID", "someone/genhub")
    there = web.get("/learn").text
    assert "Client(&#34;someone/genhub&#34;)" in there
    assert 'href="https://huggingface.co/spaces/someone/genhub/tree/main"' in there


# -- the look inside --------------------------------------------------------------------------------------------------


def rows(info):
    return learn.shows_inside(info) and info.model_class != "GenHubDiffusion"


@pytest.mark.parametrize("name", [info.name for info in genhub.list_models() if rows(info)][:8])
def test_the_steps_end_in_the_image_that_the_model_makes(engine, name):
    dataset = next(data for data in CATALOG.values() if any(info.name == name for info in data.models))
    label = 3 if dataset.model(name).class_names else None
    steps = engine.run(look_inside, dataset.name, name, label, 7, dataset=dataset.name, models=(name,))
    made = to_uint8(genhub.load(name).generate(1, labels=label, seed=7))[0]
    shown = torch.tensor(list(picture(steps[-1].src).tobytes()), dtype=torch.uint8)
    assert (shown.reshape(made.shape[1], made.shape[2], -1).permute(2, 0, 1).int() - made.int()).abs().max() <= 1
    sides = [int(step.title.split("×")[0]) for step in steps[1:-1]]
    assert sides == sorted(set(sides))
    assert len(sides) >= 2
    for step in steps:
        assert picture(step.src).size == (step.width, step.height)
        assert step.alt
    assert f"the {SHOWN} liveliest" in steps[1].text
    assert len(genhub.load(name)._forward_hooks) == 0


def test_a_denoising_ends_in_the_image_that_the_model_makes():
    model = build_model("diffusion-labelled")
    pauses = []
    steps = denoising_of(model, 1, 7, lambda: pauses.append(1))
    made = to_uint8(model.generate(1, labels=1, seed=7))[0]
    shown = torch.tensor(list(picture(steps[-1].src).tobytes()), dtype=torch.uint8)
    assert torch.equal(shown.reshape(made.shape[1], made.shape[2], -1).permute(2, 0, 1), made)
    assert len(pauses) == model.num_inference_steps
    assert 1 <= len(steps) - 1 <= MOMENTS
    assert steps[-2].title == f"Step {model.num_inference_steps}"
    assert len({step.src for step in steps}) == len(steps)


@pytest.mark.parametrize(
    "params",
    [{"model": "<b>"}, {"class": "nope"}, {"seed": "-1"}, {"seed": "x"}, {"model": "cgan-mnist", "class": "99"}],
)
def test_odd_questions_about_the_inside_are_answered_in_words(engine, params):
    models = [info for dataset in CATALOG.values() for info in dataset.models if learn.shows_inside(info)]
    values = learn.inside_values(engine, models, params)
    assert len(values["notes"]) == 1
    assert values["model"] in models
