"""What all tests share."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

# Caches and settings, ours and those of other libraries, are never those of the person who runs the tests. Libraries
# read them when they are imported, hence before anything else. The tests' own Hub is on this machine: no proxy.
for name in list(os.environ):
    if name.startswith(("HF_", "HUGGING", "GENHUB_")) or name in ("TRANSFORMERS_OFFLINE", "XDG_CACHE_HOME"):
        del os.environ[name]
HOME = tempfile.mkdtemp(prefix="genhub-tests-")
for name in ("HF_HOME", "GENHUB_CACHE", "MPLCONFIGDIR", "TORCHINDUCTOR_CACHE_DIR", "GRADIO_TEMP_DIR"):
    os.environ[name] = HOME
os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"
atexit.register(shutil.rmtree, HOME, ignore_errors=True)

import pytest  # noqa: E402
import torch  # noqa: E402

# The networks of the tests are too small to share: a second thread only waits for the first, badly on a busy machine.
torch.set_num_threads(1)


# What the Space's tests share. Its libraries are imported when a test asks for it.


@pytest.fixture(scope="module")
def engine():
    """The inference layer over all bundled models."""
    from space.catalog import read_catalog
    from space.inference import Engine

    return Engine(read_catalog())


@pytest.fixture(scope="module")
def web():
    """A client of the Space's pages, without Gradio's queue."""
    from fastapi.testclient import TestClient

    from space.server import build

    return TestClient(build())


@pytest.fixture(scope="module")
def served():
    """The Space with its API, on a port of this machine."""
    from space.server import build

    server = build()
    server.launch(prevent_thread_lock=True, quiet=True, run_history=False)
    yield server
    server.get_blocks().close(verbose=False)


@pytest.fixture
def bundle(tmp_path, monkeypatch):
    """A copy of the digits model that a test may break, as the only bundled model."""
    from genhub import hub

    shutil.copytree(hub.PRETRAINED / "cgan-digits", tmp_path / "cgan-digits")
    monkeypatch.setattr(hub, "PRETRAINED", tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    """The address of ``python app.py``."""
    from browser import serving

    with serving(tmp_path_factory.mktemp("space") / "log.txt") as address:
        yield address


@pytest.fixture(scope="module")
def browser():
    from browser import launch
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = launch(playwright)
        yield browser
        browser.close()


@pytest.fixture
def page(browser, url, request):
    """A page on a laptop's screen, light unless a parameter says dark, that must end without errors and without having
    left the machine."""
    from browser import Watch

    context = browser.new_context(
        base_url=url,
        viewport={"width": 1280, "height": 800},
        color_scheme=getattr(request, "param", "light"),
        permissions=["clipboard-read", "clipboard-write"],
    )
    page = context.new_page()
    page.set_default_timeout(120_000)
    watch = Watch(page)
    yield page
    context.close()
    assert watch.faults == []
