"""Real or fake, Leaderboard, Data, Learn and use: as a visitor meets them, in a real browser."""

import re

import pytest
from browser import serving, violations
from playwright.sync_api import expect
from tiny_images import write_image_folder

PAGES = ("play?dataset=digits", "leaderboard?dataset=mnist", "data?dataset=digits", "learn?card=cgan-mnist")


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    """A Space that reaches a stand-in for MNIST, but not CIFAR-10."""
    home = tmp_path_factory.mktemp("space")
    write_image_folder(home / "data" / "mnist", size=28)
    with serving(home / "log.txt", GENHUB_DATA=str(home / "data")) as address:
        yield address


def opened(page, path):
    """Go there and wait until nothing is on its way."""
    page.goto(f"/{path}")
    if path.startswith("play"):
        expect(page.locator("#left button")).to_be_enabled()
    if path.startswith("data"):
        expect(page.locator("#random img")).to_be_visible()
    if path.startswith("learn"):
        page.locator("#inside-form").scroll_into_view_if_needed()
        expect(page.locator("#inside-steps img").first).to_be_visible()


@pytest.mark.parametrize("page", ["light", "dark"], indirect=True)
def test_every_page_is_accessible_and_fits_a_phone(page):
    for path in PAGES:
        page.set_viewport_size({"width": 1280, "height": 800})
        opened(page, path)
        assert violations(page) == [], path
        images = page.locator("img")
        assert all(images.evaluate_all("images => images.map(image => image.alt)")), path
        rendering = "images => images.map(image => getComputedStyle(image).imageRendering)"
        assert set(images.evaluate_all(rendering)) <= {"pixelated"}, path
        page.set_viewport_size({"width": 360, "height": 740})
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, path
        breaking = "cells => cells.map(cell => getComputedStyle(cell).overflowWrap)"
        cells = page.locator(".prose td:first-child, .prose th")
        assert set(cells.evaluate_all(breaking)) <= {"normal"}, f"{path}: words are broken in the middle"


def test_the_game_is_played_with_keys_and_keeps_the_score(page):
    opened(page, "play?dataset=digits")
    sizes = page.locator(".side img").evaluate_all("images => images.map(image => image.src.length)")
    assert len(set(sizes)) == 1
    page.keyboard.press("ArrowDown")  # which scrolls a page where nothing was touched
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#status")).to_contain_text(re.compile("Right!|Fooled!"))
    expect(page.locator("#next")).to_be_focused()
    truths = page.locator(".truth").all_inner_texts()
    assert sum(text.startswith("Real") for text in truths) == sum(text.startswith("Fake") for text in truths) == 1
    page.keyboard.press("ArrowRight")  # no round is open: nothing may count
    page.keyboard.press("Enter")
    expect(page.locator("#status")).to_have_text("Which one is real?")
    expect(page.locator("#content")).to_be_focused()
    page.keyboard.press("Enter")  # again, and too late: no guess
    expect(page.locator("#next")).to_be_hidden()
    page.keyboard.press("ArrowDown")
    expect(page.locator("#score-tie")).to_have_text("1")
    page.locator("#next").click()
    expect(page.locator("#status")).to_have_text("Which one is real?")
    page.locator("#right button").click()
    expect(page.locator("#next")).to_be_visible()

    def score():
        return {key: int(page.locator(f"#score-{key}").inner_text()) for key in ("right", "wrong", "tie", "best")}

    before = score()
    assert before["right"] + before["wrong"] == 2
    assert before["tie"] == 1
    row = page.locator("#fooled tbody tr")
    expect(row).to_have_count(1)
    assert row.locator("td").first.inner_text() == "3"
    share = round(100 * (before["wrong"] + 0.5) / 3)
    assert f"{share} %" in row.inner_text()
    page.reload()
    assert score() == before
    page.locator("#reset").click()
    expect(page.locator("#reset")).to_have_css("opacity", "0.5")
    assert set(score().values()) == {0}
    page.reload()
    assert set(score().values()) == {0}


def test_the_game_leaves_keys_to_who_is_elsewhere_on_the_page(page):
    opened(page, "play?dataset=digits")
    page.get_by_role("navigation").get_by_role("link").first.focus()
    page.keyboard.press("ArrowRight")
    page.locator("#left button").focus()
    page.keyboard.press("ArrowDown")  # the round is still open for this one
    expect(page.locator("#score-tie")).to_have_text("1")
    assert (page.locator("#score-right").inner_text(), page.locator("#score-wrong").inner_text()) == ("0", "0")


def test_two_tabs_add_to_one_score(page):
    opened(page, "play?dataset=digits")
    other = page.context.new_page()
    opened(other, "play?dataset=digits")
    for tab in (page, other, page):
        tab.locator("#tie").click()
        expect(tab.locator("#next")).to_be_visible()
        tab.locator("#next").click()
        expect(tab.locator("#status")).to_have_text("Which one is real?")
    expect(page.locator("#score-tie")).to_have_text("3")


def test_a_round_that_is_over_is_said(page):
    opened(page, "play?dataset=digits")
    page.route("**/guess?*", lambda route: route.fulfill(json={"problem": "That round is over."}), times=1)
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#status")).to_have_text("That round is over. Which one is real?")


def test_a_spoilt_score_is_no_problem(page):
    page.goto("/play?dataset=digits")
    spoilt = '{"right": -3, "wrong": "x", "families": {"<b>a</b>": {"rounds": 2, "fooled": "1"}, "b": null}}'
    page.evaluate("text => localStorage.setItem('genhub-play-digits', text)", spoilt)
    page.reload()
    expect(page.locator("#left button")).to_be_enabled()
    assert page.locator("#score-right").inner_text() == "0"
    assert page.locator("#fooled b").count() == 0


def test_a_dataset_out_of_reach_offers_digits(page):
    page.goto("/play?dataset=cifar10")
    expect(page.get_by_role("heading", name="The real images are not here")).to_be_visible()
    page.get_by_role("link", name="Play with Digits").click()
    expect(page.locator("#left button")).to_be_enabled()
    page.goto("/data?dataset=cifar10")
    expect(page.get_by_role("heading", name="The images are not here")).to_be_visible()
    page.get_by_role("link", name="Look at Digits").click()
    expect(page.locator("#random img")).to_be_visible()


def test_the_game_takes_its_real_images_from_the_folder(page):
    opened(page, "play?dataset=mnist")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#next")).to_be_visible()
    assert page.locator(".truth a").get_attribute("href").startswith("./?dataset=mnist&")


def test_the_board_sorts_in_place_and_without_scripts_alike(page, browser, url):
    opened(page, "leaderboard?dataset=mnist")
    page.evaluate("window.stayed = true")
    page.get_by_role("link", name="System").click()
    expect(page.locator("thead th").first).to_have_attribute("aria-sort", "ascending")
    assert page.evaluate("window.stayed"), "the page was loaded anew"
    expect(page.get_by_role("link", name="System")).to_be_focused()
    assert "sort=name" in page.url
    expect(page.locator("#status")).to_contain_text("sorted by name")
    for name, then in (("All columns", "Main columns"), ("Complete rows only", "Show all rows"), ("Show all rows", "")):
        page.get_by_role("link", name=name).press("Enter")
        expect(page.get_by_role("link", name=then or "Complete rows only")).to_be_focused()
    page.get_by_role("link", name="Main columns").click()
    expect(page.get_by_role("link", name="All columns")).to_be_focused()
    page.go_back()
    expect(page.get_by_role("link", name="Main columns")).to_be_visible()
    page.go_forward()
    expect(page.get_by_role("link", name="All columns")).to_be_visible()
    assert page.evaluate("window.stayed"), "going back and forth loaded the page anew"
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    assert download.value.suggested_filename == "genhub-mnist.csv"
    names = page.locator(".who").all_inner_texts()
    context = browser.new_context(base_url=url, java_script_enabled=False)
    plain = context.new_page()
    plain.goto(page.url)
    assert plain.locator(".who").all_inner_texts() == names
    plain.get_by_role("link", name="System").click()
    assert plain.locator(".who").all_inner_texts()[: len(names)] == names[::-1]
    context.close()


def test_a_phone_shows_a_whole_column_of_figures_beside_the_names(page):
    page.set_viewport_size({"width": 360, "height": 740})
    opened(page, "leaderboard?dataset=mnist")
    heads = page.locator(".figures").first.locator("thead th")
    name, figure = (heads.nth(i).bounding_box() for i in (0, 1))
    assert figure["x"] + figure["width"] <= 360
    page.locator(".scroll").first.evaluate("part => { part.scrollLeft = part.scrollWidth }")
    assert heads.first.bounding_box()["x"] == pytest.approx(name["x"], abs=5), "the names scroll away"


def test_a_click_on_the_board_keeps_what_is_scrolled_and_open(page):
    page.set_viewport_size({"width": 360, "height": 740})
    opened(page, "leaderboard?dataset=mnist")
    left = "part => part.scrollLeft"
    page.locator(".glossary summary").click()
    families, figures = page.locator('.tabs[aria-label="Family"] ul'), page.locator(".scroll").first
    for part in (families, figures):
        part.evaluate("part => { part.scrollLeft = 150 }")
    page.get_by_role("link", name="Training time").click()
    expect(page.get_by_role("link", name="Training time")).to_have_attribute("aria-current", "true")
    assert [part.evaluate(left) for part in (families, figures)] == [150, 150]
    expect(page.locator(".glossary")).to_have_attribute("open", "")


def test_a_slider_shows_how_a_model_learned(page):
    opened(page, "leaderboard?dataset=cifar10&curve=cgan-cifar10")
    slider, shown = page.locator(".film input"), page.locator(".film li:visible img")
    expect(shown).to_have_count(1)
    last = shown.get_attribute("src")
    eager = page.locator('.film img[loading="eager"]')
    expect(eager).to_have_count(0)  # nothing is fetched for who only reads on
    slider.focus()
    assert eager.count() == page.locator(".film li").count()
    page.keyboard.press("Home")
    expect(page.locator(".film output")).to_have_text(re.compile(r"step \d+"))
    expect(shown).to_have_count(1)
    assert shown.get_attribute("src") != last
    assert shown.evaluate("image => image.decode().then(() => image.naturalWidth)") > 300
    page.locator(".film").get_by_role("button", name="Play").click()
    expect(page.locator(".film output")).to_have_text("as bundled")
    expect(page.locator(".film").get_by_role("button", name="Play")).to_be_visible()


def test_the_inside_follows_its_form(page):
    opened(page, "learn")
    last = page.locator("#inside-steps img").last
    before = last.get_attribute("src")
    page.locator('#inside-form input[name="class"][value="7"]').check()
    expect(last).not_to_have_attribute("src", before)
    page.locator('#inside-form input[value="dcgan-mnist"]').check()
    expect(page.locator('#inside-form input[name="class"]')).to_have_count(0)
    page.locator("#inside-seed").fill("-5")
    expect(page.locator("#inside-steps .note")).to_contain_text("below 0")


def test_motion_stops_for_those_who_ask(browser, url):
    context = browser.new_context(base_url=url, reduced_motion="reduce")
    page = context.new_page()
    for path in PAGES:
        page.goto(f"/{path}")
        moving = "[...document.querySelectorAll('*')].filter(e => getComputedStyle(e).animationName !== 'none').length"
        assert page.evaluate(moving) == 0
    context.close()


def test_what_is_chosen_is_seen_in_colours_of_ones_own(page):
    page.emulate_media(forced_colors="active")
    page.goto("/learn")

    def looks(selector, style):
        return set(page.locator(selector).evaluate_all(f"all => all.map(one => getComputedStyle(one).{style})"))

    assert looks(":checked + span", "backgroundColor").isdisjoint(
        looks("input:not(:checked) + span", "backgroundColor")
    )
    assert looks("nav [aria-current]", "borderBottomColor").isdisjoint(
        looks("nav a:not([aria-current])", "borderBottomColor")
    )
