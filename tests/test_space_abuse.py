"""What strangers send: fuzzed calls of every endpoint, path tricks, oversized requests, markup."""

import asyncio
import base64
import inspect
import random
import time

import gradio as gr
import httpx
import pytest
from fastapi.testclient import TestClient

from space.doors import MAX_BODY
from space.lane import Busy, Lane
from space.server import MAX_UNREAD, Unread, build

CALLS = 10_000
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"0" * 40).decode()
VALUES = [
    *(None, True, False, 0, 1, -1, 7, 2**32, 2**70, 1e308, -0.5, 0.5, float("nan"), float("inf")),
    *(
        "",
        "all",
        "digits",
        "mnist",
        "7",
        "-1",
        "cow",
        "cgan-digits",
        "vae-mnist",
        "walk",
        "spherical",
        "<b>",
        "\0",
        "é" * 50,
    ),
    *(
        "../../etc/passwd",
        "/etc/passwd",
        "file:///etc/passwd",
        "http://127.0.0.1:1/",
        "data:image/png;base64," + PNG,
        PNG,
    ),
    *([], ["cgan-digits"], ["vae-mnist", "nope"], [None], [[]], {}, {"path": "/etc/passwd"}, {"a": 1}, b"bytes"),
    *(
        "dataset=digits&n=3",
        "do=map&dataset=digits&x=nan",
        "dataset=mnist&class=7&i=99",
        "%00=%ff&&=",
        "models=none",
        "x" * 5000,
    ),
    *([0.0] * 3, [float("nan")], ["a"], [1e400]),
]


@pytest.fixture
def server(monkeypatch):
    """A server whose lane is always taken, so that arguments are judged and nothing is computed."""

    class Taken:
        def __enter__(self):
            raise Busy

        def __exit__(self, *exception):
            pass

    monkeypatch.setattr(Lane, "turn", lambda self: Taken())
    return build()


def test_fuzzed_calls_are_answered_or_refused_in_a_sentence(server):
    source = random.Random(0)
    endpoints = [(function, inspect.signature(function).parameters) for function, _ in server._deferred_apis]
    assert {function.__name__ for function, _ in endpoints} >= {"compare", "interpolate", "reconstruct", "models"}
    said = []
    for turn in range(CALLS):
        function, parameters = endpoints[turn % len(endpoints)]
        arguments = {name: source.choice(VALUES) for name in parameters if source.random() < 0.9}
        for name, parameter in parameters.items():
            if parameter.default is parameter.empty and name not in arguments:
                arguments[name] = source.choice(VALUES)
        try:
            answer = function(**arguments)
            if inspect.isgenerator(answer):
                list(answer)
        except gr.Error as error:
            said.append(str(error.message))
    assert len(said) > CALLS / 4
    assert {len(text) > 10 for text in said} == {True}
    assert max(map(len, said)) < 900
    assert not any("Traceback" in text for text in said)


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=/etc/passwd",
        "/file=/etc/passwd",
        "/gradio_api/file=../../etc/passwd",
        "/gradio_api/file/etc/passwd",
        "/gradio_api/upload",
        "/gradio_api/proxy=http://127.0.0.1:1/",
        "/gradio_api/deep_link?session_hash=x",
        "/ui/../app.py",
        "/ui/%2e%2e/server.py",
        "/ui/..%2f..%2fpyproject.toml",
        "/ui//etc/passwd",
        "/walk.gif/../../etc/passwd",
        "/static/../../../etc/passwd",
        "/monitoring",
        *(
            f"/gradio_api/{name}"
            for name in ("process_recording", "custom_component/a/b/c/d", "vibe-code/", "theme.css")
        ),
        *(
            f"/gradio_api/{name}"
            for name in ("run-history/buckets", "runs", "stream/x", "dev/reload", "upload_progress")
        ),
    ],
)
def test_no_file_of_the_machine_is_readable(served, path):
    for method in ("GET", "POST", "HEAD"):
        answer = httpx.request(method, served.get_blocks().local_url.rstrip("/") + path)
        assert answer.status_code in (404, 405)
        assert "root:" not in answer.text
        assert "import" not in answer.text


def test_the_api_is_open(served):
    for path in ("/gradio_api/info", "/gradio_api/openapi.json", "/gradio_api/startup-events", "/config"):
        assert httpx.get(served.get_blocks().local_url.rstrip("/") + path, timeout=60).status_code == 200
    asked = httpx.post(f"{served.get_blocks().local_url}gradio_api/call/models", json={"data": ["digits"]}, timeout=60)
    assert asked.json()["event_id"]


def test_answers_that_nobody_fetches_are_forgotten(served):
    queue = served.get_blocks()._queue
    for _ in range(MAX_UNREAD + 20):
        while len(queue):
            time.sleep(0.01)
        httpx.post(f"{served.get_blocks().local_url}gradio_api/call/models", json={"data": []}, timeout=60)
    assert len(queue.pending_messages_per_session) == MAX_UNREAD


def test_who_waits_longest_is_not_forgotten():
    class Waiting:
        session_hash = "0"

    unread = Unread({"event": Waiting()})
    for i in range(2 * MAX_UNREAD - 2):
        unread[str(i)] = asyncio.Queue()
        if i % 2:
            unread[str(i)].put_nowait("an answer")
    assert "0" in unread
    assert len(unread) == MAX_UNREAD
    assert len([key for key in unread if int(key) % 2]) == MAX_UNREAD - 1, "those that were read go first"


def test_a_picture_of_no_model_says_so(web):
    answer = web.get("/picture", params={"dataset": "digits", "models": "none"})
    assert answer.status_code == 400
    assert "No model is chosen." in answer.text
    assert "Compare the models" in answer.text
    assert "training/train.py" not in answer.text


def test_who_comes_when_all_are_here_is_asked_to_come_again(server):
    web = TestClient(server)
    for path in (
        "/picture?dataset=digits&seed=5",
        "/download?dataset=digits&seed=5",
        "/walk.gif?dataset=digits&from=5",
    ):
        answer = web.get(path)
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        assert "training/train.py" not in answer.text


def test_oversized_requests_are_refused(web):
    answer = web.post("/gradio_api/call/reconstruct", content=b"x", headers={"Content-Length": str(MAX_BODY + 1)})
    assert answer.status_code == 413
    assert web.get("/", headers={"Content-Length": "many"}).status_code == 413


@pytest.mark.parametrize("path", ["/", "/latent", "/reconstruct", "/picture", "/nowhere"])
def test_markup_in_queries_stays_text(web, path):
    attack = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
    fields = (
        "dataset",
        "class",
        "model",
        "models",
        "do",
        "seed",
        "from",
        "i",
        "method",
        "__theme",
        "<script>alert(1)</script>",
    )
    for field in fields:
        answer = web.get(path, params={"dataset": "digits", field: attack}, headers={"Accept": "text/html"})
        assert answer.status_code == (404 if path == "/nowhere" else 200)
        assert "<script>alert" not in answer.text
        assert "<img src=x" not in answer.text


def test_unknown_addresses_are_a_page_for_people_and_json_for_programs(web):
    assert "There is no such page" in web.get("/nowhere", headers={"Accept": "text/html"}).text
    assert web.get("/nowhere", headers={"Accept": "application/json"}).json() == {"detail": "Not Found"}
