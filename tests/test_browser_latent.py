"""Compare, Latent space and Reconstruct in a real browser: accessible, narrow, light, and doing what they say."""

import base64
import gzip
import io
import re
import urllib.request

import pytest
from browser import Watch, violations
from PIL import Image
from playwright.sync_api import expect

from space.shell import ASSETS

ADDRESSES = {
    "compare": "/",
    "picture": "/picture?dataset=digits&models=cgan-digits&i=2&nearest=1",
    "walk": "/latent",
    "map": "/latent?do=map&dataset=digits",
    "sum": "/latent?do=sum&dataset=mnist",
    "projection": "/latent?do=projection&dataset=digits",
    "reconstruct": "/reconstruct",
    "nowhere": "/nowhere",
}
FIRST_SCREEN = 250 * 1024  # bytes


def settle(page):
    page.wait_for_function("() => !document.querySelector('[aria-busy=true]')")


@pytest.mark.parametrize("name", ADDRESSES)
def test_every_page_is_accessible_narrow_and_quiet(browser, url, name):
    """axe-core finds nothing serious, light or dark, and at 360 px nothing scrolls sideways."""
    for scheme, width in (("light", 1280), ("dark", 360)):
        context = browser.new_context(
            base_url=url, color_scheme=scheme, viewport={"width": width, "height": 740}, reduced_motion="reduce"
        )
        page = context.new_page()
        page.set_default_timeout(60_000)
        watch = Watch(page)
        page.goto(ADDRESSES[name])
        settle(page)
        assert violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.locator(".intro p:not(:visible)").count() == 0, "nobody says what the page is for"
        unnamed = page.locator("img:visible:not([alt]), img:visible[alt='']").count()
        assert unnamed == 0
        context.close()
        assert [fault for fault in watch.faults if not (name == "nowhere" and "404" in fault)] == []


def test_the_first_screen_is_light(url):
    def compressed(path):
        request = urllib.request.Request(url + path, headers={"Accept-Encoding": "gzip", "Accept": "text/html"})
        with urllib.request.urlopen(request) as answer:
            data = answer.read()
            plain = gzip.decompress(data) if answer.headers["Content-Encoding"] == "gzip" else data
            return len(data), plain.decode()

    size, html = compressed("")
    images = [base64.b64decode(part) for part in re.findall(r'src="data:image/png;base64,([^"]+)"', html)]
    assert len(images) >= 40
    assert all(Image.open(io.BytesIO(image)).size == (28, 28) for image in images)
    total = size + sum(compressed(path)[0] for path in re.findall(r'(?:href|src)="(ui/[^"]+)"', html))
    assert total <= FIRST_SCREEN, f"{total / 1024:.0f} KiB"


def test_a_walk_plays_and_its_position_is_chosen_by_keyboard(page):
    page.goto("/latent?dataset=digits&steps=6")
    settle(page)
    expect(page.locator("#frames img")).to_have_count(6)
    large = page.locator("#player")
    first = large.get_attribute("src")
    page.locator("#position").focus()
    page.keyboard.press("End")
    expect(page.locator("#position-shown")).to_have_text("6")
    assert large.get_attribute("src") == page.locator("#frames img").nth(5).get_attribute("src") != first
    page.get_by_role("button", name="Play").click()
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    page.wait_for_function("() => document.querySelector('#position').value !== '6'")
    page.get_by_role("button", name="Pause").click()
    with page.expect_download() as download:
        page.get_by_role("link", name="GIF").click()
    with Image.open(download.value.path()) as image:
        assert (image.format, image.n_frames, image.size) == ("GIF", 10, (64, 64))
    page.get_by_role("radio", name="linear").check()
    page.wait_for_url("**method=linear**")
    settle(page)
    page.reload()
    expect(page.get_by_role("radio", name="linear")).to_be_checked()


def test_a_map_moves_with_the_arrow_keys(page):
    page.goto("/latent?do=map&dataset=digits&gap=0.5&truncation=0.97")
    settle(page)
    expect(page.locator("#truncation")).to_have_value("0.97")
    sources = "images => images.map(image => image.src)"
    before = page.locator("#map img").evaluate_all(sources)
    page.locator("#map").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_url("**x=0.5**")
    settle(page)
    after = page.locator("#map img").evaluate_all(sources)
    assert len(before) == len(after) == 25
    assert before != after
    expect(page.locator("#map")).to_be_focused()
    page.get_by_role("button", name="Back to the start").click()
    page.wait_for_url("**x=0&**")
    settle(page)
    assert page.locator("#map img").evaluate_all(sources) == before


def test_a_held_key_ends_at_the_edge_of_the_map_and_asks_once_at_a_time(page):
    page.goto("/latent?do=map&dataset=digits&gap=1.5&x=17")
    settle(page)
    asked = []
    page.on("request", lambda request: request.url.endswith("/call/latent") and asked.append(request.url))
    page.locator("#map").evaluate("""map => {
        const press = () => map.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true }));
        for (let i = 0; i < 9; i += 1) press();
    }""")
    page.wait_for_url("**x=20&**")
    settle(page)
    assert len(asked) == 1
    expect(page.locator(".note:visible")).to_have_count(0)


def test_another_task_or_dataset_brings_its_fields(page):
    page.goto("/latent?fromclass=8")
    settle(page)
    page.get_by_role("radio", name="CIFAR-10").check()
    expect(page.get_by_label("From class")).to_have_value("cat")
    expect(page.locator(".note:visible")).to_have_count(0)
    page.get_by_role("radio", name="MNIST").check()
    expect(page.get_by_label("From class")).to_have_value("3")
    settle(page)
    page.get_by_role("radio", name="Arithmetic").check()
    expect(page.get_by_label("subtract")).to_be_visible()
    settle(page)
    expect(page.locator(".note:visible")).to_have_count(0)
    page.get_by_role("radio", name="CIFAR-10").check()
    expect(page.get_by_label("subtract").locator("option")).to_contain_text(["airplane", "automobile"])
    settle(page)
    expect(page.locator(".note:visible")).to_have_count(0)
    page.get_by_role("radio", name="Digits").check()
    expect(page.get_by_role("heading", name="No model of Digits packs images")).to_be_visible()


def painted(page):
    """Whether something is drawn on the pad: more than one colour."""
    return page.locator("#pad").evaluate("""pad => {
        const copy = new OffscreenCanvas(pad.width, pad.height).getContext("2d");
        copy.drawImage(pad, 0, 0);
        return new Set(new Uint32Array(copy.getImageData(0, 0, pad.width, pad.height).data.buffer)).size > 1;
    }""")


def test_a_drawing_is_reconstructed_and_its_code_is_turned(page):
    page.goto("/reconstruct?dataset=mnist&class=7&seed=3")
    settle(page)
    rebuilt = page.locator("[data-model=vae-mnist] .rebuilt")
    sample = rebuilt.get_attribute("src")
    box = page.locator("#pad").bounding_box()
    page.mouse.move(box["x"] + 80, box["y"] + 60)
    page.mouse.down()
    for x, y in ((200, 60), (130, 220)):
        page.mouse.move(box["x"] + x, box["y"] + y, steps=6)
    page.mouse.up()
    page.wait_for_function("old => document.querySelector('[data-model=vae-mnist] .rebuilt').src !== old", arg=sample)
    settle(page)
    expect(page.get_by_text("scaled and centred")).to_be_visible()
    drawing = rebuilt.get_attribute("src")
    slider = page.locator("[data-model=vae-mnist] .sliders input").first
    slider.focus()
    page.keyboard.press("End")
    page.wait_for_function("old => document.querySelector('[data-model=vae-mnist] .rebuilt').src !== old", arg=drawing)
    page.locator("[data-model=vae-mnist] .reset").click()
    page.wait_for_function("old => document.querySelector('[data-model=vae-mnist] .rebuilt').src === old", arg=drawing)
    assert page.url.endswith("?dataset=mnist"), "the link says what is not shown"
    assert page.locator("#class").evaluate("select => select.selectedIndex") == -1
    page.get_by_role("radio", name="CIFAR-10").check()
    page.wait_for_url("**?dataset=cifar10")
    settle(page)
    assert painted(page), "the drawing has left the pad"
    page.get_by_role("radio", name="MNIST").check()
    page.wait_for_url("**?dataset=mnist")
    page.locator("#class").select_option("7")
    page.wait_for_url("**?dataset=mnist&class=7&seed=3")
    settle(page)
    assert not painted(page)


def test_clear_leads_back_to_the_sample(page):
    page.goto("/reconstruct?dataset=mnist&class=4&seed=3")
    settle(page)
    rebuilt = page.locator("[data-model=vae-mnist] .rebuilt")
    sample = rebuilt.get_attribute("src")
    page.locator("#pad").click()
    page.wait_for_url("**?dataset=mnist")
    settle(page)
    assert rebuilt.get_attribute("src") != sample
    assert painted(page)
    page.get_by_role("button", name="Clear").click()
    page.wait_for_url("**?dataset=mnist&class=4&seed=3")
    settle(page)
    assert rebuilt.get_attribute("src") == sample
    assert not painted(page)
    expect(page.locator("#class")).to_have_value("4")


def test_codes_of_two_models_are_turned_at_once(page):
    page.goto("/reconstruct?dataset=mnist&class=7&seed=3")
    settle(page)
    cards = [page.locator(f"[data-model={name}]") for name in ("ae-mnist", "vae-mnist")]
    before = [card.locator(".rebuilt").get_attribute("src") for card in cards]
    page.evaluate("""() => {
        for (const name of ["ae-mnist", "vae-mnist"]) {
            const slider = document.querySelector(`[data-model=${name}] .sliders input`);
            slider.value = slider.max;
            slider.dispatchEvent(new Event("input", { bubbles: true }));
        }
    }""")
    for card, picture in zip(cards, before, strict=True):
        expect(card.locator(".rebuilt")).not_to_have_attribute("src", picture)


def test_an_upload_is_reconstructed_and_a_bad_one_is_said(page, tmp_path):
    page.goto("/reconstruct?dataset=cifar10")
    settle(page)
    before = page.locator(".rebuilt").first.get_attribute("src")
    Image.linear_gradient("L").convert("CMYK").save(tmp_path / "photo.jpg")
    page.locator("#file").set_input_files(tmp_path / "photo.jpg")
    page.wait_for_function("old => document.querySelector('.rebuilt').src !== old", arg=before)
    Image.effect_noise((2400, 2600), 100).save(tmp_path / "large.bmp")
    before = page.locator(".rebuilt").first.get_attribute("src")
    page.locator("#file").set_input_files(tmp_path / "large.bmp")
    page.wait_for_function("old => document.querySelector('.rebuilt').src !== old", arg=before)
    settle(page)
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing")
    page.locator("#file").set_input_files(tmp_path / "bad.png")
    expect(page.get_by_role("alert")).to_contain_text("no picture that can be read")


def test_an_upload_stays_when_the_dataset_changes(page, tmp_path):
    page.goto("/reconstruct?dataset=mnist&class=7")
    settle(page)
    Image.new("RGB", (64, 64), "white").save(tmp_path / "white.png")
    page.locator("#file").set_input_files(tmp_path / "white.png")
    expect(page.get_by_text("It is empty.")).to_be_visible()
    expect(page.get_by_text("An empty picture is not judged.").first).to_be_visible()
    expect(page.locator(".bands")).to_have_count(0)
    page.get_by_role("radio", name="CIFAR-10").check()
    expect(page.locator("[data-model=ae-cifar10] .rebuilt")).to_be_visible()
    settle(page)

    def middle():
        source = page.get_by_alt_text("The picture as ae-cifar10 sees it").get_attribute("src")
        return Image.open(io.BytesIO(base64.b64decode(source.split(",")[1]))).getpixel((16, 16))

    assert middle() == (255, 255, 255)
    expect(page.locator(".note:visible")).to_have_count(0)
    page.get_by_label("Class").select_option("frog")
    page.wait_for_url("**class=frog**")
    settle(page)
    assert middle() != (255, 255, 255)


def test_styles_and_scripts_are_ours():
    for path in ASSETS.glob("*.css"):
        assert not re.search(r"url\(|@import|@font-face", path.read_text()), path.name
