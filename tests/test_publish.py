"""training/publish.py against a double of the Hub: what arrives, what stays, what is said when it fails."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hub_double import OTHER_TOKEN, READ_TOKEN, WRITE_TOKEN, Fault, HubDouble
from huggingface_hub import constants
from run_folder import METRICS, MODEL_FILES, make_run, tiny_cgan, write_json
from safetensors.torch import save_file

from genhub import hub
from training import cards, publish

SCRIPT = Path(publish.__file__)
REPO = "alice/cgan-digits"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("finished") / "run")


@pytest.fixture
def run(finished, tmp_path):
    return Path(shutil.copytree(finished, tmp_path / "run"))


@pytest.fixture(params=["regular", "lfs"])
def mode(request):
    return request.param


@pytest.fixture
def double():
    with HubDouble() as hub:
        yield hub


@pytest.fixture
def client(double, tmp_path, monkeypatch):
    """Points this process at the double, with alice logged in; returns a way to run the command."""
    monkeypatch.setattr(constants, "ENDPOINT", double.url)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setenv("HF_TOKEN", WRITE_TOKEN)
    return lambda folder, *options: publish.main([str(folder), "--repo-id", REPO, *options])


def command(folder, endpoint, home, *options, **environment):
    """Arguments of subprocess.run for the real command, in a fresh process with its own settings."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGING"))}
    settings = {
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(home),
        "HF_TOKEN": WRITE_TOKEN,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }
    return {
        "args": [sys.executable, str(SCRIPT), str(folder), "--repo-id", REPO, *options],
        "env": {**inherited, **settings, **environment},
        "cwd": home.parent,
        "text": True,
    }


def last_line(captured):
    assert "Traceback" not in captured
    return captured.strip().splitlines()[-1]


# -- what arrives --------------------------------------------------------------------------------------------


def test_the_command_publishes_the_run_and_a_rerun_changes_nothing(client, double, mode, run, tmp_path, capsys):
    double.upload_mode = mode
    first = subprocess.run(**command(run, double.url, tmp_path / "home"), capture_output=True)
    assert first.returncode == 0, first.stderr
    assert f"{double.url}/{REPO}" in first.stdout
    published = double.files(REPO)
    assert set(published) - {".gitattributes"} == MODEL_FILES
    for name in MODEL_FILES - {"README.md"}:
        assert published[name] == (run / "final" / name).read_bytes(), name
    assert published["README.md"].decode() == cards.render_card(run / "final", REPO)
    assert double.repos[REPO].messages == ["initial commit", "Publish model with its card and records"]
    assert (double.count("PUT", ".") > 0) is (mode == "lfs")
    assert double.leaked_authorization == []

    assert client(run) == 0
    assert "already up to date" in capsys.readouterr().out
    assert len(double.repos[REPO].messages) == 2


def test_small_files_also_arrive_by_the_streamed_path_of_hf_xet(double, run, tmp_path):
    done = subprocess.run(**command(run, double.url, tmp_path / "home", HF_HUB_DISABLE_XET="0"), capture_output=True)
    assert done.returncode == 0, done.stderr
    assert set(double.files(REPO)) - {".gitattributes"} == MODEL_FILES


def test_only_the_files_of_a_model_leave_the_machine(client, double, run):
    final = run / "final"
    for name in ("notes.txt", "optimizer.pt", ".env", "discriminator/scratch.bin"):
        (final / name).write_bytes(b"private")
    assert client(final) == 0
    assert set(double.files(REPO)) - {".gitattributes"} == MODEL_FILES


def test_records_that_only_the_run_folder_has_stay_there(client, double, run):
    """They are not made to be published: a config names folders of this machine."""
    (run / "final" / "training_config.yaml").unlink()
    (run / "config.yaml").write_text("dataset: /home/someone/digits\n")
    assert client(run) == 0
    assert set(double.files(REPO)) - {".gitattributes"} == MODEL_FILES - {"training_config.yaml"}


def test_a_model_alone_is_enough(client, double, tmp_path):
    tiny_cgan().save_pretrained(tmp_path / "model")
    assert client(tmp_path / "model") == 0
    published = double.files(REPO)
    assert set(published) - {".gitattributes"} == {"README.md", "config.json", "model.safetensors"}
    assert "No measurement has been recorded." in published["README.md"].decode()


def test_the_local_folder_is_left_as_it_was(client, run):
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert client(run) == 0
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_an_existing_repository_keeps_its_other_files(client, double, run):
    double.add(REPO, {"figures/loss.png": b"mine", "README.md": b"# old\n"})
    assert client(run) == 0
    assert double.files(REPO)["figures/loss.png"] == b"mine"
    assert double.files(REPO)["README.md"].decode() == cards.render_card(run / "final", REPO)


@pytest.mark.parametrize("private", [True, False])
def test_private_is_passed_on(client, double, run, private):
    assert client(run, *["--private"] * private) == 0
    assert double.repos[REPO].private is private


def test_another_branch_is_created(client, double, run):
    assert client(run, "--revision", "v2") == 0
    assert set(double.files(REPO)) == {".gitattributes"}
    assert set(double.files(REPO, "v2")) == {".gitattributes", *MODEL_FILES}
    assert client(run, "--revision", "v2") == 0


def test_an_edited_card_is_published_as_it_is(client, double, run, capsys):
    card = cards.render_card(run / "final").replace("## Use", "## How I use it")
    (run / "final" / "README.md").write_text(card)
    assert client(run) == 0
    assert double.files(REPO)["README.md"].decode() == card
    assert "edited by hand" in capsys.readouterr().out


def test_an_unedited_card_follows_the_records(client, double, run):
    (run / "final" / "README.md").write_text(cards.render_card(run / "final"))
    write_json(run / "final" / "metrics.json", {**METRICS, "metrics": {"class_accuracy": 0.25}})
    assert client(run) == 0
    assert "| 0.25 |" in double.files(REPO)["README.md"].decode()


def test_dry_run_shows_everything_and_sends_nothing(client, double, run, capsys, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    assert client(run, "--dry-run") == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in MODEL_FILES)
    assert cards.render_card(run / "final", REPO) in shown
    assert double.requests == []


# -- cut uploads ---------------------------------------------------------------------------------------------


def test_a_killed_upload_leaves_nothing_and_a_rerun_completes_it(client, double, run, tmp_path):
    double.upload_mode = lambda path: "lfs" if path.endswith((".safetensors", ".png")) else "regular"
    double.faults.append(Fault("PUT", ".", "stall", first=2))
    killed = subprocess.Popen(**command(run, double.url, tmp_path / "home"), stderr=subprocess.DEVNULL)
    assert double.stalled.wait(90)
    deadline = time.monotonic() + 60
    while double.count("PUT", ".") < 2 and time.monotonic() < deadline:  # the two others arrive meanwhile
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.wait(10)
    assert set(double.files(REPO)) == {".gitattributes"}
    assert len(double.storage) == 2

    assert client(run) == 0
    assert set(double.files(REPO)) - {".gitattributes"} == MODEL_FILES
    assert double.count("PUT", ".") == 3  # what had arrived was not sent again


def test_one_cut_connection_is_retried_by_the_client_itself(client, double, run):
    double.upload_mode = "lfs"
    double.faults.append(Fault("PUT", ".", "cut", first=3))
    assert client(run) == 0
    assert set(double.files(REPO)) - {".gitattributes"} == MODEL_FILES


def test_a_storage_that_always_cuts_is_reported_and_a_rerun_completes_it(client, double, run, capsys, monkeypatch):
    double.upload_mode = lambda path: "lfs" if path == "model.safetensors" else "regular"
    double.faults.append(Fault("PUT", ".", "cut", times=1000))
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # the client's pauses between its attempts
    assert client(run) == 2
    message = last_line(capsys.readouterr().err)
    assert f"upload to {REPO} was cut" in message
    assert "run the same command again" in message
    assert set(double.files(REPO)) == {".gitattributes"}
    double.faults.clear()
    assert client(run) == 0
    assert set(double.files(REPO)) - {".gitattributes"} == MODEL_FILES


def test_a_commit_that_fails_on_the_server_is_reported(client, double, run, capsys):
    double.faults.append(Fault("POST", "/commit/", 500))
    assert client(run) == 2
    captured = capsys.readouterr()
    assert "500" in last_line(captured.err)
    assert WRITE_TOKEN not in captured.out + captured.err
    assert client(run) == 0


def test_a_file_that_the_server_refuses_is_reported(client, double, run, capsys):
    double.faults.append(Fault("POST", "/commit/", 413))
    assert client(run) == 2
    assert "the Hub refused the files (413" in last_line(capsys.readouterr().err)


# -- mistakes ------------------------------------------------------------------------------------------------


def spoil(run, what):
    final = run / "final"
    match what:
        case "missing folder":
            shutil.rmtree(run)
        case "empty folder":
            shutil.rmtree(run)
            run.mkdir()
        case "unfinished run":
            shutil.rmtree(final)
        case "no weights":
            (final / "model.safetensors").unlink()
        case "truncated weights":
            weights = (final / "model.safetensors").read_bytes()
            (final / "model.safetensors").write_bytes(weights[:-10])
        case "empty weights":
            save_file({}, final / "model.safetensors")
        case "foreign weights":
            (final / "discriminator" / "model.safetensors").write_bytes(b"\x80\x04 not what it says")
        case "broken record":
            (final / "metrics.json").write_text("{")


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("missing folder", ["no such folder", "save_pretrained"]),
        ("empty folder", ["no model in it", "config.json and model.safetensors", "found: nothing"]),
        ("unfinished run", ["no model in it", "checkpoints", "resume it first"]),
        ("no weights", ["no model in it"]),
        ("truncated weights", ["final/model.safetensors: truncated or damaged", "save the model again"]),
        ("empty weights", ["final/model.safetensors: holds no weights"]),
        ("foreign weights", ["discriminator/model.safetensors: truncated or damaged"]),
        ("broken record", ["final: metrics.json is no valid JSON"]),
    ],
)
def test_a_folder_without_a_sound_model_is_refused_before_the_network(client, double, run, capsys, what, words):
    spoil(run, what)
    assert client(run) == 2
    message = last_line(capsys.readouterr().err)
    assert all(word in message for word in [str(run), *words])
    assert double.requests == []


@pytest.mark.parametrize("repo_id", ["cgan", "a/b/c", "alice/two words", "alice/x..y", "alice/", "alice/x.git", ""])
def test_a_bad_repository_id_is_refused_before_the_network(client, double, run, capsys, repo_id):
    assert publish.main([str(run), "--repo-id", repo_id]) == 2
    message = last_line(capsys.readouterr().err)
    assert all(word in message for word in ["expected user/name", repr(repo_id), "for example"])
    assert double.requests == []


def test_not_logged_in(client, double, run, capsys, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    assert client(run) == 2
    message = last_line(capsys.readouterr().err)
    assert "not logged in" in message
    assert "hf auth login" in message
    assert double.requests == []


@pytest.mark.parametrize(
    ("token", "words"),
    [
        ("token-that-nobody-has", ["does not accept the token (401", "hf auth login"]),
        (READ_TOKEN, [f"no permission to write to {REPO} (403", "token with write permission"]),
        (OTHER_TOKEN, [f"no permission to write to {REPO} (403", "under your own name"]),
    ],
)
@pytest.mark.parametrize("exists", [True, False])
def test_a_token_that_may_not_write(client, double, run, capsys, token, words, exists):
    if exists:
        double.create(REPO)
    assert client(run, "--token", token) == 2
    captured = capsys.readouterr()
    assert all(word in last_line(captured.err) for word in words)
    assert token not in captured.out + captured.err
    assert not exists or set(double.files(REPO)) == {".gitattributes"}


@pytest.mark.parametrize("token", ["two words", "ends in\n", "t\u00f6ken", ""])
def test_a_token_that_no_request_could_carry(client, double, run, capsys, token):
    assert client(run, "--token", token) == 2
    captured = capsys.readouterr()
    assert "the token has a character that no token has" in last_line(captured.err)
    assert not token or token not in captured.out + captured.err
    assert double.requests == []


def test_interrupting_is_not_a_traceback(client, run, capsys, monkeypatch):
    def interrupted(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(publish, "upload", interrupted)
    assert client(run) == 130
    assert "run the same command again" in last_line(capsys.readouterr().err)


def test_someone_elses_private_repository(client, double, run, capsys):
    double.create(REPO, private=True)
    assert client(run, "--token", OTHER_TOKEN) == 2
    assert "(403" in last_line(capsys.readouterr().err)


def test_a_card_that_the_hub_refuses(client, double, run, capsys):
    (run / "final" / "README.md").write_text("---\nlicense: [mit]\n---\n# Mine\n")
    assert client(run) == 2
    assert '"license" must be a string' in last_line(capsys.readouterr().err)
    assert set(double.files(REPO)) == {".gitattributes"}


# -- no network ----------------------------------------------------------------------------------------------


def test_without_a_route_to_the_hub_it_fails_within_seconds(client, double, run, capsys):
    double.stop()
    started = time.monotonic()
    assert client(run) == 2
    assert time.monotonic() - started < 10  # the client itself would take over twenty
    message = last_line(capsys.readouterr().err)
    assert "the Hub at 127.0.0.1 cannot be reached" in message
    assert "run the same command again" in message


def test_offline_mode(client, double, run, capsys, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert client(run) == 2
    assert "unset HF_HUB_OFFLINE" in last_line(capsys.readouterr().err)
    assert double.requests == []


def never_answers(*address, **options):
    time.sleep(30)
    raise OSError


def test_a_name_server_that_never_answers_does_not_hold_it_up(monkeypatch):
    monkeypatch.setattr(socket, "create_connection", never_answers)
    monkeypatch.setattr(hub, "CONNECT_SECONDS", 0.2)
    started = time.monotonic()
    assert "hub.example cannot be reached (no answer within 0.2 seconds)" in hub.unreachable("https://hub.example")
    assert time.monotonic() - started < 10


def test_behind_a_proxy_the_proxy_is_what_must_answer(double, monkeypatch):
    monkeypatch.setenv("https_proxy", double.url)
    monkeypatch.delenv("no_proxy", raising=False)
    assert hub.unreachable("https://hub.invalid") is None
    monkeypatch.setenv("no_proxy", "hub.invalid")
    assert hub.unreachable("https://hub.invalid") is not None
