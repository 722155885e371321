"""The frame around the pages: navigation, addresses, files."""

import re

import pytest

from space.pages import PAGES
from space.shell import ASSETS, HERE


@pytest.mark.parametrize("page", [page.PAGE for page in PAGES], ids=lambda page: page.name)
def test_every_page_marks_itself_in_the_navigation(web, page):
    answer = web.get(page.path)
    assert answer.status_code == 200
    assert web.head(page.path).status_code == 200
    assert f"<title>{page.title} · GenHub</title>" in answer.text.replace("&amp;", "&")
    assert answer.text.count('id="content"') == 1
    if len(PAGES) > 1:
        links = re.findall(r'<li><a href="([^"]+)"( aria-current="page")?>', answer.text)
        assert [link for link, _ in links] == [other.PAGE.href for other in PAGES]
        assert [link for link, current in links if current] == [page.href]


@pytest.mark.parametrize("page", [page.PAGE for page in PAGES], ids=lambda page: page.name)
def test_every_file_a_page_asks_for_is_there(web, page):
    files = re.findall(r'(?:href|src)="(ui/[^"]+)"', web.get(page.path).text)
    assert len(files) >= 4
    assert all(web.get(f"/{file}").status_code == 200 for file in files)
    own = [f"{page.name}.{kind}" for kind in ("css", "js") if (ASSETS / f"{page.name}.{kind}").is_file()]
    assert all(any(f"ui/{name}?" in file for file in files) for name in own)


def test_pages_have_addresses_and_files_of_their_own():
    pages = [page.PAGE for page in PAGES]
    assert len({page.path for page in pages}) == len({page.name for page in pages}) == len(pages)
    assert all(re.fullmatch(r"/[a-z]*", page.path) for page in pages)
    known = {page.name for page in pages} | {"genhub", "theme"}
    assert {path.stem for path in ASSETS.glob("*.*s")} <= known
    assert (HERE / "templates" / "layout.html").is_file()
