"""Loading from and pushing to the Hub, against a double of it: network, cache, offline, and every refusal."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from hub_double import OTHER_TOKEN, WRITE_TOKEN, Fault, HubDouble, large_file
from huggingface_hub import ModelCard, constants
from run_folder import make_run, tiny_cgan

from genhub import GenHubCGAN, GenHubDiscriminator, GenHubGAN, LoadError, hub, load
from training import cards

REPO = "alice/cgan-digits"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    final = make_run(tmp_path_factory.mktemp("finished") / "run") / "final"
    (final / "README.md").write_text(cards.render_card(final, REPO))
    return final


@pytest.fixture
def double():
    with HubDouble() as hub:
        yield hub


@pytest.fixture
def client(double, tmp_path, monkeypatch):
    """Points the client in this process at the double, logged in as alice, with an empty cache."""
    monkeypatch.setattr(constants, "ENDPOINT", double.url)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", double.url + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setenv("HF_TOKEN", WRITE_TOKEN)
    return double


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def same_weights(one, other):
    ours, theirs = one.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)


# -- loading -------------------------------------------------------------------------------------------------

CHILD = """
import json, sys, time
from genhub import GenHubCGAN, GenHubDiscriminator, LoadError
model = GenHubCGAN.from_pretrained(sys.argv[1])
critic = GenHubDiscriminator.from_pretrained(sys.argv[1], subfolder="discriminator")
images = model.generate(2, labels="3", seed=5)
result = {"images": images.flatten().tolist(), "logits": critic(images, model.condition("3", 2)).tolist()}
started = time.monotonic()
try:
    GenHubCGAN.from_pretrained("alice/never-loaded")
except LoadError as error:
    result["error"] = str(error)
print(json.dumps({**result, "seconds": time.monotonic() - started}))
"""


def child(double, home, repo_id):
    """Loads in a fresh process that knows the double by HF_ENDPOINT only, as a user's own script would."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGING"))}
    settings = {"HF_ENDPOINT": double.url, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"}
    done = subprocess.run(
        [sys.executable, "-c", CHILD, repo_id],
        env={**inherited, **settings},
        cwd=Path(__file__).resolve().parent.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def test_network_then_cache_then_offline_in_fresh_processes(double, finished, tmp_path):
    double.add(REPO, contents(finished), lfs=True)
    model = GenHubCGAN.from_pretrained(finished)
    expected = model.generate(2, labels="3", seed=5).flatten().tolist()
    online = child(double, tmp_path / "home", REPO)
    assert online["images"] == pytest.approx(expected, abs=1e-6)
    assert len(online["logits"]) == 2
    assert "alice/never-loaded" in online["error"]
    assert double.leaked_authorization == []
    double.stop()
    cached = child(double, tmp_path / "home", REPO)
    assert cached["images"] == online["images"]
    assert cached["logits"] == online["logits"]
    assert "cannot be reached" in cached["error"]
    assert cached["seconds"] < 4


@pytest.mark.parametrize("lfs", [True, False])
def test_a_download_gives_the_published_model(client, finished, lfs):
    client.add(REPO, contents(finished), lfs=lfs)
    local, remote = GenHubCGAN.from_pretrained(finished), GenHubCGAN.from_pretrained(REPO)
    assert same_weights(local, remote)
    assert remote.metadata == {"name": "cgan-digits", "dataset": "digits"}
    assert not remote.training
    critic = GenHubDiscriminator.from_pretrained(REPO, subfolder="discriminator")
    assert same_weights(critic, GenHubDiscriminator.from_pretrained(finished, subfolder="discriminator"))
    assert type(load(REPO)) is GenHubCGAN


def test_a_model_may_lie_deep_in_a_repository(client, finished):
    files = contents(finished)
    client.add("alice/many", {f"digits/small/{name}": data for name, data in files.items()})
    model = load("alice/many", subfolder="digits/small")
    assert same_weights(model, GenHubCGAN.from_pretrained(finished))


def test_only_what_a_model_needs_is_downloaded(client, finished):
    client.add(REPO, contents(finished))
    GenHubCGAN.from_pretrained(REPO)
    fetched = {path.partition("/resolve/")[2].partition("/")[2] for _, path, _ in client.requests}
    assert fetched - {""} == {"README.md", "samples.png", "config.json", "model.safetensors"}


def test_the_cache_answers_without_the_network(client, finished):
    client.add(REPO, contents(finished))
    first = GenHubCGAN.from_pretrained(REPO)
    client.requests.clear()
    assert same_weights(GenHubCGAN.from_pretrained(REPO), first)
    assert client.requests == []


def test_force_download_sees_a_new_commit(client, finished, tmp_path):
    client.add(REPO, contents(finished))
    GenHubCGAN.from_pretrained(REPO)
    tiny_cgan(seed=1).save_pretrained(tmp_path / "new")
    client.add(REPO, contents(tmp_path / "new"))
    renewed = GenHubCGAN.from_pretrained(REPO, force_download=True)
    assert same_weights(renewed, GenHubCGAN.from_pretrained(tmp_path / "new"))


def test_a_revision_is_loaded_by_branch_and_by_commit(client, finished, tmp_path):
    old = client.add(REPO, contents(finished))
    tiny_cgan(seed=1).save_pretrained(tmp_path / "new")
    client.add(REPO, contents(tmp_path / "new"))
    assert same_weights(GenHubCGAN.from_pretrained(REPO, revision=old), GenHubCGAN.from_pretrained(finished))
    assert same_weights(GenHubCGAN.from_pretrained(REPO, revision="main"), GenHubCGAN.from_pretrained(tmp_path / "new"))


def test_a_private_model_needs_its_owner(client, finished):
    client.create(REPO, private=True)
    client.add(REPO, contents(finished))
    with pytest.raises(LoadError, match="no such public repository"):
        GenHubCGAN.from_pretrained(REPO, token=OTHER_TOKEN)
    assert GenHubCGAN.from_pretrained(REPO, token=WRITE_TOKEN).num_classes == 10


def test_without_a_login_public_models_load_and_missing_ones_are_said_to_be_missing(client, finished, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    client.add(REPO, contents(finished))
    assert GenHubCGAN.from_pretrained(REPO).num_classes == 10
    with pytest.raises(LoadError, match=r"alice/nothing: no such public repository"):
        GenHubCGAN.from_pretrained("alice/nothing")


def test_a_token_that_the_hub_does_not_know(client, finished):
    client.add(REPO, contents(finished))
    with pytest.raises(LoadError, match=r"does not accept the token; .*hf auth login.*token=False"):
        GenHubCGAN.from_pretrained(REPO, token="token-that-nobody-has")
    assert GenHubCGAN.from_pretrained(REPO, token=False).num_classes == 10


def broken(finished, tmp_path, change):
    folder = Path(shutil.copytree(finished, tmp_path / "broken"))
    change(folder)
    return contents(folder)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda folder: (folder / "config.json").unlink(), ["is not a GenHub model", "config.json"]),
        (
            lambda folder: (folder / "model.safetensors").unlink(),
            ["is not a GenHub model", "model.safetensors"],
        ),
        (lambda folder: (folder / "config.json").write_text("{"), ["config.json is no valid JSON"]),
        (
            lambda folder: (folder / "config.json").write_text('{"class": "Unet"}'),
            ["class 'Unet'", "GenHubCGAN"],
        ),
        (
            lambda folder: (folder / "model.safetensors").write_bytes(b"\x08" + bytes(30)),
            ["model.safetensors is truncated or damaged"],
        ),
    ],
)
def test_a_repository_that_holds_no_sound_model(client, finished, tmp_path, change, words):
    client.add(REPO, broken(finished, tmp_path, change))
    with pytest.raises(LoadError) as error:
        GenHubCGAN.from_pretrained(REPO)
    assert all(word in str(error.value) for word in [REPO, *words])


def test_the_wrong_class_is_told_the_right_one(client, finished):
    client.add(REPO, contents(finished))
    with pytest.raises(LoadError, match=r"holds a GenHubCGAN, not a GenHubGAN; use GenHubCGAN.from_pretrained"):
        GenHubGAN.from_pretrained(REPO)


def test_gated_missing_and_unknown_revision_are_three_errors(client, finished):
    client.add(REPO, contents(finished))
    client.create("alice/gated", gated=True)
    with pytest.raises(LoadError, match=r"alice/gated: access is gated.*hf auth login"):
        GenHubCGAN.from_pretrained("alice/gated")
    with pytest.raises(LoadError, match=r"alice/nothing: no such public repository"):
        GenHubCGAN.from_pretrained("alice/nothing")
    with pytest.raises(LoadError, match=r"has no revision 'v9'"):
        GenHubCGAN.from_pretrained(REPO, revision="v9")
    with pytest.raises(LoadError, match="discriminators"):
        GenHubDiscriminator.from_pretrained(REPO, subfolder="discriminators")


def test_offline_and_not_cached_fails_at_once(client):
    client.stop()
    started = time.monotonic()
    with pytest.raises(LoadError, match=r"alice/never: .*cannot be reached") as error:
        GenHubCGAN.from_pretrained("alice/never")
    assert time.monotonic() - started < 10
    assert "\n" not in str(error.value)


def test_a_push_in_the_middle_of_a_download_does_not_mix_two_models(client, finished, tmp_path, monkeypatch):
    client.add(REPO, contents(finished))
    tiny_cgan(seed=1).save_pretrained(tmp_path / "new")
    fetch = hub.hf_hub_download

    def fetch_then_push(repo_id, filename, **options):
        path = fetch(repo_id, filename, **options)
        if filename == "config.json":
            client.add(REPO, {**contents(tmp_path / "new"), "config.json": b"{}"})
        return path

    monkeypatch.setattr(hub, "hf_hub_download", fetch_then_push)
    assert same_weights(GenHubCGAN.from_pretrained(REPO), GenHubCGAN.from_pretrained(finished))


@pytest.mark.parametrize("lfs", [True, False])
def test_a_download_that_is_cut_once_is_taken_up_again(client, finished, monkeypatch, lfs):
    client.add(REPO, contents(finished), lfs=lfs)
    oid = large_file(contents(finished)["model.safetensors"]).oid
    client.faults.append(Fault("GET", oid if lfs else "/model.safetensors", "cut"))
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # the client's pauses between its attempts
    assert same_weights(GenHubCGAN.from_pretrained(REPO), GenHubCGAN.from_pretrained(finished))


def test_a_download_that_is_always_cut_is_one_error_and_loads_later(client, finished, monkeypatch):
    client.add(REPO, contents(finished))
    client.faults.append(Fault("GET", "/model.safetensors", "cut", times=1000))
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    with pytest.raises(LoadError, match=r"alice/cgan-digits: the download failed .*try again") as error:
        GenHubCGAN.from_pretrained(REPO)
    assert "\n" not in str(error.value)
    client.faults.clear()
    assert same_weights(GenHubCGAN.from_pretrained(REPO), GenHubCGAN.from_pretrained(finished))


def test_damage_in_the_cache_is_told_and_repaired_by_force_download(client, finished, tmp_path):
    client.add(REPO, contents(finished))
    GenHubCGAN.from_pretrained(REPO)
    (weights,) = (tmp_path / "cache").rglob("snapshots/*/model.safetensors")
    weights.resolve().write_bytes(weights.read_bytes()[:-7])
    with pytest.raises(LoadError, match="truncated or damaged"):
        GenHubCGAN.from_pretrained(REPO)
    repaired = GenHubCGAN.from_pretrained(REPO, force_download=True)
    assert same_weights(repaired, GenHubCGAN.from_pretrained(finished))


def never_answers(*address, **options):
    time.sleep(30)
    raise OSError


def test_a_name_server_that_never_answers_does_not_hold_it_up(client, monkeypatch):
    monkeypatch.setattr(socket, "create_connection", never_answers)
    monkeypatch.setattr(hub, "CONNECT_SECONDS", 0.2)
    started = time.monotonic()
    with pytest.raises(LoadError, match="no answer within"):
        GenHubCGAN.from_pretrained("alice/never")
    assert time.monotonic() - started < 10


def test_offline_mode_and_local_files_only_never_touch_the_network(client, finished, monkeypatch):
    client.add(REPO, contents(finished))
    with pytest.raises(LoadError, match="not in the local cache"):
        GenHubCGAN.from_pretrained(REPO, local_files_only=True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(LoadError, match="not in the local cache"):
        GenHubCGAN.from_pretrained(REPO)
    assert client.requests == []


# -- push_to_hub ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["regular", "lfs"])
def test_push_to_hub_round_trip_keeps_the_card(client, finished, mode):
    client.upload_mode = mode
    model = GenHubCGAN.from_pretrained(finished)
    model.push_to_hub(REPO)
    card = (finished / "README.md").read_text()
    assert client.files(REPO)["README.md"].decode() == card
    assert client.files(REPO)["samples.png"] == (finished / "samples.png").read_bytes(), "the card shows it"
    back = GenHubCGAN.from_pretrained(REPO)
    assert same_weights(back, model)
    back.push_to_hub("alice/copy")
    assert client.files("alice/copy")["README.md"].decode() == card
    assert client.files("alice/copy")["config.json"] == client.files(REPO)["config.json"]


@pytest.mark.parametrize("name", [REPO, REPO.split("/")[1]])
@pytest.mark.parametrize("own", [True, False])
def test_a_written_card_stays(client, finished, name, own):
    client.add(REPO, {"README.md": b"# Written by hand\n", "samples.png": b"painted"})
    model = GenHubCGAN.from_pretrained(finished) if own else tiny_cgan()
    model.push_to_hub(name)
    files = client.files(REPO)
    assert (files["README.md"], files["samples.png"]) == (b"# Written by hand\n", b"painted")
    assert "model.safetensors" in files


def test_a_model_without_a_card_gets_one_where_there_is_none(client):
    tiny_cgan().push_to_hub(REPO, private=True)
    data = ModelCard(client.files(REPO)["README.md"].decode()).data
    assert (data.library_name, data.license) == ("genhub", "mit")
    assert client.repos[REPO].private
    tiny_cgan().push_to_hub(REPO)
    assert len(client.repos[REPO].messages) == 2  # nothing had changed


def test_a_push_without_permission_is_refused(client):
    client.create(REPO)
    with pytest.raises(OSError, match="403"):
        tiny_cgan().push_to_hub(REPO, token=OTHER_TOKEN)
    assert set(client.files(REPO)) == {".gitattributes"}


def test_a_push_without_a_route_says_so_at_once(client):
    client.stop()
    with pytest.raises(ConnectionError, match=r"alice/cgan-digits: the Hub at 127\.0\.0\.1 cannot be reached"):
        tiny_cgan().push_to_hub(REPO)
