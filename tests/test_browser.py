"""The Space as a visitor meets it, in a real browser."""

import io
import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import expect

import genhub
from space.catalog import read_catalog

CATALOG = read_catalog()
FIRST = next(iter(CATALOG.values()))
PIXELS = """images => Promise.all(images.map(async image => {
    await image.decode();
    const canvas = document.createElement("canvas");
    canvas.width = image.naturalWidth; canvas.height = image.naturalHeight;
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0);
    const values = Array.from(context.getImageData(0, 0, canvas.width, canvas.height).data);
    const gray = values.filter((_, i) => i % 4 === 0);
    return {spread: Math.max(...gray) - Math.min(...gray), key: values.join(), size: canvas.width};
}))"""


def settle(page):
    """Wait until nothing is being asked and every card is live, or made beforehand by a slow model."""
    page.wait_for_function(
        """() => document.querySelector('#content').getAttribute('aria-busy') === 'false'
            && [...document.querySelectorAll('.card')].every(
                card => card.querySelector('.origin') && (card.matches('[data-slow]')
                    || card.querySelector('.origin').textContent === 'live'))"""
    )


def shown(page):
    """model → keys of its images, all of them real pictures."""
    galleries = {}
    for card in page.locator(".card").all():
        images = card.locator(".pixels img").evaluate_all(PIXELS)
        assert all(image["spread"] > 20 for image in images), "a blank image"
        galleries[card.locator("code").first.inner_text()] = [image["key"] for image in images]
    return galleries


def choose(page, name, value):
    page.locator(f'input[name="{name}"][value="{value}"]').check()
    settle(page)


def test_first_screen_has_galleries_of_real_images_without_a_click(page):
    page.goto("/")
    expect(page.locator(".card")).to_have_count(len(FIRST.leading))
    settle(page)
    galleries = shown(page)
    assert list(galleries) == [model.name for model in FIRST.leading]
    assert len(galleries) >= 4
    assert all(len(images) == 10 for images in galleries.values())
    everything = [image for images in galleries.values() for image in images]
    assert len(set(everything)) == len(everything), "images repeat"
    tops = [card.locator(".pixels img").first.bounding_box()["y"] for card in page.locator(".card").all()]
    assert tops[0] < 800, "the galleries of the first row belong on the first screen"
    assert tops.count(tops[0]) >= 3
    for card in page.locator(".card").all():
        assert card.locator("dt").all_inner_texts()[:3] == ["Time per image", "Parameters", "Class accuracy"]


def test_images_are_there_without_any_script(browser, url):
    context = browser.new_context(base_url=url, java_script_enabled=False)
    page = context.new_page()
    page.goto("/")
    images = page.locator(".pixels img")
    expect(images).to_have_count(10 * len(FIRST.leading))
    sizes = images.evaluate_all("images => images.map(image => image.naturalWidth)")
    assert set(sizes) == {FIRST.leading[0].image_shape[2]}
    page.goto("/?seed=9")
    expect(page.locator("noscript .note")).to_contain_text("Making new images needs JavaScript.")
    page.locator("noscript .note a").click()
    expect(images).to_have_count(10 * len(FIRST.leading))
    for name in ("#theme", "#dice", "#copy-link", "#copy-code"):
        expect(page.locator(name)).to_be_hidden()
    names = [model.name for model in FIRST.leading]
    page.locator(f'input[value="{names[0]}"]').uncheck()
    page.locator("#controls noscript button").click()
    expect(page.locator(".card .name code")).to_have_text(names[1:])
    context.close()


def test_without_any_script_the_system_chooses_the_theme(browser, url):
    papers = []
    for scheme in ("light", "dark"):
        context = browser.new_context(base_url=url, java_script_enabled=False, color_scheme=scheme)
        page = context.new_page()
        page.goto("/latent")
        papers.append(page.screenshot(clip={"x": 2, "y": 2, "width": 1, "height": 1}))
        context.close()
    assert papers[0] != papers[1]


def test_every_image_says_what_it_is_and_keeps_its_pixels_crisp(page):
    page.goto("/?dataset=digits&class=7&n=3")
    settle(page)
    images = page.locator(".pixels img")
    alts = images.evaluate_all("images => images.map(image => image.alt)")
    assert len(set(alts)) == len(alts) == 3
    assert [alt.split(" by ")[0] for alt in alts] == [f"Digits image {i}" for i in range(3)]
    assert all("asked for: 7" in alt and "cgan-digits" in alt for alt in alts)
    assert images.first.evaluate("image => getComputedStyle(image).imageRendering") == "pixelated"


def test_all_models_and_the_best_of_each_kind_are_one_click_away(page):
    page.goto("/?dataset=mnist&class=3&n=2")
    settle(page)
    page.get_by_role("link", name=f"all {len(FIRST.compared)}", exact=True).click()
    page.wait_for_url(f"**seed=0&n=2&models={','.join(model.name for model in FIRST.compared)}")
    expect(page.locator(".card")).to_have_count(len(FIRST.compared))
    page.get_by_role("link", name="best of each kind").click()
    page.wait_for_url(f"**class=3&**models={','.join(model.name for model in FIRST.leading)}")
    expect(page.locator(".card")).to_have_count(len(FIRST.leading))
    assert page.locator('input[name="models"]:checked').count() == len(FIRST.leading)


def test_class_and_seed_change_what_is_shown(page):
    page.goto(f"/?dataset={FIRST.name}&n=4")
    settle(page)
    before = shown(page)
    told = {model.name for model in FIRST.leading if model.class_names}
    told |= {model.name for model in FIRST.leading if model.model_class == "GenHubAE" and FIRST.source.class_names}
    choose(page, "class", "7")
    sevens = shown(page)
    for name in before:
        assert (before[name] != sevens[name]) == (name in told)
    assert "class=7" in page.url
    page.locator("#seed").fill("12")
    page.keyboard.press("Enter")
    page.wait_for_url("**seed=12**")
    settle(page)
    other = shown(page)
    assert all(other[name] != sevens[name] for name in other)
    page.locator("#dice").click()
    page.wait_for_url(lambda address: "seed=12&" not in address)
    settle(page)
    assert all(images != other[name] for name, images in shown(page).items())


def test_dataset_models_and_number_change_what_is_shown(page):
    page.goto("/")
    settle(page)
    page.get_by_role("radio", name="CIFAR-10").check()
    page.wait_for_url("**dataset=cifar10**")
    settle(page)
    names = [model.name for model in CATALOG["cifar10"].leading]
    assert list(shown(page)) == names
    choose(page, "class", "frog")
    assert "class=frog" in page.url
    page.locator(f'input[value="{names[0]}"]').uncheck()
    page.wait_for_url(f"**models={names[1]},**")
    settle(page)
    assert list(shown(page)) == names[1:]
    page.locator("#n").focus()
    page.keyboard.press("Home")
    page.wait_for_url("**n=1&**")
    settle(page)
    assert all(len(images) == 1 for images in shown(page).values())


def test_changing_ones_mind_about_the_dataset_leaves_a_whole_form(page):
    page.goto("/?dataset=cifar10&n=2")
    settle(page)
    page.get_by_role("radio", name="Digits").check()
    page.get_by_role("radio", name="CIFAR-10").check()
    settle(page)
    choose(page, "class", "ship")
    assert "dataset=cifar10&class=ship&" in page.url


def test_a_late_answer_does_not_take_back_what_was_changed_since(page):
    page.goto("/?dataset=digits&n=10")
    settle(page)
    held = []
    page.route("**/gradio_api/call/view", lambda route: held.append(route) if not held else route.continue_())
    page.locator("#n").focus()
    with page.expect_request("**/gradio_api/call/view"):
        page.keyboard.press("ArrowRight")
    page.evaluate("""() => {
        const later = window.setTimeout;
        window.setTimeout = (work, time, ...rest) => later(work, time === PAUSE ? 2000 : time, ...rest);
    }""")
    page.keyboard.press("ArrowRight")
    with page.expect_response("**/gradio_api/call/view/*") as answer:
        held[0].continue_()
    answer.value.finished()
    page.wait_for_url("**n=12&**")
    settle(page)
    expect(page.locator("#n-shown")).to_have_text("12")
    assert len(shown(page)["cgan-digits"]) == 12


def test_no_model_is_a_designed_state(page):
    page.goto("/?dataset=digits")
    settle(page)
    page.locator('input[name="models"]').uncheck()
    expect(page.get_by_role("heading", name="No model is chosen")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="No model is chosen")).to_be_visible()


def test_a_link_restores_the_view(page):
    page.goto(f"/?dataset={FIRST.name}")
    settle(page)
    choose(page, "class", "3")
    page.locator("#seed").fill("77")
    page.wait_for_url("**seed=77**")
    page.locator("#n").focus()
    page.keyboard.press("ArrowLeft")
    page.wait_for_url("**n=9&**")
    page.locator("#truncation").fill("0.37")
    page.wait_for_url("**truncation=0.37&**")
    page.locator(f'input[value="{FIRST.leading[0].name}"]').uncheck()
    page.wait_for_url(f"**models={FIRST.leading[1].name},**")
    settle(page)
    page.get_by_role("button", name="Copy link").click()
    link = page.evaluate("navigator.clipboard.readText()")
    before = shown(page)
    page.goto("about:blank")
    page.goto(link)
    settle(page)
    assert shown(page) == before
    assert page.url == link
    assert page.locator('input[name="class"]:checked').input_value() == "3"
    assert page.locator("#seed").input_value() == "77"
    assert page.locator("#n").input_value() == "9"
    assert page.locator("#truncation").input_value() == "0.37"
    assert not page.locator(f'input[value="{FIRST.leading[0].name}"]').is_checked()


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("seed=-1", "below 0: using 0"),
        ("seed=1e20", "above 4294967295: using 4294967295"),
        ("seed=abc", "not a whole number: using 0"),
        ("n=0", "below 1: using 1"),
        ("n=1000000000", "above 40: using 40"),
        ("dataset=imagenet", "no dataset “imagenet”"),
        ("class=<img src=x onerror=alert(1)>", "no class “<img src=x onerror=alert(1)>”"),
        ("models=<script>alert(1)</script>", "no model “<script>alert(1)</script>”"),
    ],
)
def test_odd_links_are_answered_in_words(page, query, says):
    page.on("dialog", lambda dialog: pytest.fail("a script of the link ran"))
    page.goto(f"/?{query}")
    settle(page)
    expect(page.locator(".note", has_text=says)).to_be_visible()
    assert all(shown(page).values())


def test_odd_typing_is_answered_in_words(page):
    page.goto("/?dataset=digits&n=2")
    settle(page)
    page.locator("#seed").fill("-1")
    expect(page.locator(".note", has_text="below 0: using 0")).to_be_visible()
    page.locator("#seed").fill("1e20")
    expect(page.locator(".note", has_text="above 4294967295")).to_be_visible()
    page.locator("#seed").fill("5")
    page.wait_for_url("**seed=5**")
    settle(page)
    expect(page.locator(".note:visible")).to_have_count(0)
    assert len(shown(page)["cgan-digits"]) == 2


@pytest.mark.parametrize("dataset", CATALOG)
def test_a_phone_has_no_sideways_scroll(page, dataset):
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto(f"/?dataset={dataset}&class=7&n=12")
    settle(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.mouse.wheel(500, 0)
    assert page.evaluate("window.scrollX") == 0
    assert page.locator(".pixels img").first.bounding_box()["y"] < 740, "no image on the first screen"
    expect(page.get_by_text("nearer to the average")).to_be_visible()


def test_everything_can_be_reached_by_keyboard(page):
    page.goto("/?dataset=digits")
    settle(page)
    reached = []
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.name || document.activeElement.id"))
    for name in (
        "theme",
        "dataset",
        "class",
        "seed",
        "dice",
        "n",
        "truncation",
        "models",
        "copy-link",
        "download",
        "copy-code",
    ):
        assert name in reached, f"{name} is not reached: {reached}"


def test_an_image_is_looked_at_closely_by_keyboard(page):
    page.goto("/?dataset=mnist&n=4&models=cgan-mnist")
    settle(page)
    links = page.locator(".pixels a")
    links.first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(links.nth(2)).to_be_focused()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="A closer look")
    expect(dialog.get_by_text("The judge sees")).to_be_visible()
    large = dialog.locator("img.large")
    assert large.evaluate_all(PIXELS)[0]["key"] == page.locator(".pixels img").nth(2).evaluate_all(PIXELS)[0]["key"]
    with page.expect_download() as download:
        dialog.get_by_role("link", name="Download PNG").click()
    assert Path(download.value.path()).read_bytes().startswith(b"\x89PNG")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(links.nth(2)).to_be_focused()
    address = links.nth(2).get_attribute("href")
    page.goto(f"/{address}")
    expect(page.get_by_role("heading", name="Image 2 of cgan-mnist")).to_be_visible()
    expect(page.locator("img.large")).to_be_visible()
    page.get_by_role("button", name="Copy link").click()
    assert page.evaluate("navigator.clipboard.readText()") == page.url


def test_a_late_answer_does_not_change_what_is_looked_at(page):
    page.goto("/?dataset=digits&n=4")
    settle(page)
    first = []

    def hold(route):
        if "i=1" in route.request.post_data and not first:
            first.append(route)  # goes on when the second look is there
        else:
            route.continue_()

    page.route("**/gradio_api/call/closer", hold)
    links, dialog = page.locator(".pixels a"), page.get_by_role("dialog", name="A closer look")
    links.nth(1).click()
    page.keyboard.press("Escape")
    links.nth(3).click()
    expect(dialog.locator("img.large")).to_have_attribute("alt", links.nth(3).locator("img").get_attribute("alt"))
    with page.expect_response("**/gradio_api/call/closer/*") as answer:
        first[0].continue_()
    answer.value.finished()
    page.evaluate("() => new Promise(requestAnimationFrame)")
    expect(dialog.locator("img.large")).to_have_attribute("alt", links.nth(3).locator("img").get_attribute("alt"))
    dialog.get_by_role("link", name="Is it copied?").press("Enter")
    expect(page.locator("#nearest")).to_be_focused()


def test_slow_models_wait_for_the_last_of_quick_changes_only(page):
    page.goto("/?dataset=digits&n=2")
    settle(page)
    pauses = page.evaluate("""async () => {
        const card = document.querySelector(".card");
        card.dataset.slow = "";
        delete card.dataset.ready;
        let pauses = 0;
        const later = window.setTimeout;
        window.setTimeout = (work, time, ...rest) => { pauses += time === SLOW_PAUSE; return later(work, 0, ...rest); };
        let latest = 0;
        for (let i = 1; i <= 5; i += 1) {
            latest = i;
            askSlow(() => latest === i, "dataset=digits&models=none");
        }
        await slowWork;
        window.setTimeout = later;
        return pauses;
    }""")
    assert pauses == 1
    page.evaluate("countCards()")
    expect(page.locator("#status")).to_contain_text("2 images each. 0 of 1 models are here.")


def test_download_and_snippet_give_what_is_shown(page):
    page.goto("/?dataset=digits&class=4&seed=6&n=3")
    settle(page)
    with page.expect_download() as download:
        page.locator("#download").click()
    assert download.value.suggested_filename == "genhub-digits-4-seed6.zip"
    with zipfile.ZipFile(io.BytesIO(Path(download.value.path()).read_bytes())) as file:
        assert sum(name.endswith("-4.png") for name in file.namelist()) == 3
    page.get_by_role("button", name="Copy", exact=True).click()
    code = page.evaluate("navigator.clipboard.readText()")
    assert 'GenHubCGAN.from_pretrained("cgan-digits")' in code
    names = {}
    exec(code.split("\nfor name in")[0], names)
    assert names["images"]["cgan-digits"].shape == (3, *genhub.load("cgan-digits").image_shape)


PAPER = "getComputedStyle(document.body).backgroundColor"


def test_dark_and_light_follow_the_visitor(browser, url):
    for scheme in ("light", "dark"):
        context = browser.new_context(base_url=url, color_scheme=scheme)
        page = context.new_page()
        page.goto("/")
        first = page.evaluate(PAPER)
        page.locator("#theme").click()
        assert page.evaluate(PAPER) != first
        page.reload()
        assert page.evaluate(PAPER) != first, "the choice is forgotten"
        other = context.new_page()
        other.goto("/")
        assert other.evaluate(PAPER) != first, "the choice is forgotten"
        other.goto(f"/?__theme={scheme}")
        assert other.evaluate(PAPER) == first, "the link's theme wins over an earlier visit's"
        context.close()


def test_a_choice_wins_over_the_links_theme_which_other_pages_keep(browser, url):
    context = browser.new_context(base_url=url, color_scheme="light")
    page = context.new_page()
    page.goto("/leaderboard")
    light = page.evaluate(PAPER)
    page.goto("/data?__theme=dark")
    dark = page.evaluate(PAPER)
    assert dark != light
    page.get_by_role("link", name="CIFAR-10", exact=True).click()
    assert page.evaluate(PAPER) == dark
    page.goto("/leaderboard?__theme=dark")
    page.get_by_role("link", name="All columns").click()
    page.wait_for_url("**columns=all**")
    page.reload()
    assert page.evaluate(PAPER) == dark
    page.goto("/?__theme=dark")
    page.locator("#theme").click()
    assert page.evaluate(PAPER) == light
    page.get_by_role("link", name="Data", exact=True).click()
    assert page.evaluate(PAPER) == light
    page.go_back()
    assert page.evaluate(PAPER) == light
    context.close()


def test_a_server_that_is_gone_is_said(browser, url):
    context = browser.new_context(base_url=url)
    page = context.new_page()
    page.goto("/?dataset=digits&n=2")
    settle(page)
    context.set_offline(True)
    page.locator("#dice").click()
    expect(page.get_by_role("alert")).to_contain_text("cannot be reached")
    context.set_offline(False)
    page.get_by_role("button", name="Try again").press("Enter")
    expect(page.locator("#problem")).to_be_hidden()
    expect(page.locator("#content")).to_be_focused()
    settle(page)
    context.close()
