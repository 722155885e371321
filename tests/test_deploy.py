"""The documented command that puts the Space on the Hub, run as documented against a double of the Hub."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hub_double import WRITE_TOKEN, HubDouble

from space.originals import FOLDER

ROOT = Path(__file__).parent.parent
SPACE = "spaces/alice/genhub"
PARTS = ("genhub", "space", "training", "model_cards")


def documented() -> list[str]:
    """The words of the command in the README, for alice."""
    [command] = re.findall(r"^hf upload USER/genhub .*(?:\\\n.*)*", (ROOT / "README.md").read_text(), re.MULTILINE)
    return shlex.split(command.replace("\\\n", " ").replace("USER", "alice"))


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """The project as somebody has it who worked with it: with an environment, runs and caches."""
    folder = tmp_path_factory.mktemp("clone") / "genhub"
    unwanted = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for part in PARTS:
        shutil.copytree(ROOT / part, folder / part, ignore=unwanted)
    for file in ("app.py", "README.md", "LICENSE", "requirements.txt", "pyproject.toml", ".gitignore"):
        shutil.copy(ROOT / file, folder)
    for litter in (".venv/bin/python", "runs/a/log.jsonl", "space/__pycache__/x.pyc", ".git/HEAD", ".ruff_cache/x"):
        path = folder / litter
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("litter")
    return folder


@pytest.fixture(scope="module")
def uploaded(clone, tmp_path_factory):
    """What the Hub holds after the command."""
    home = tmp_path_factory.mktemp("home")
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGING"))}
    with HubDouble(lambda path: "lfs" if path.endswith((".safetensors", ".png")) else "regular") as double:
        settings = {"HF_ENDPOINT": double.url, "HF_HOME": str(home), "HF_TOKEN": WRITE_TOKEN, "HF_HUB_DISABLE_XET": "1"}
        command = [str(Path(sys.executable).parent / "hf"), *documented()[1:]]
        environment = {**inherited, **settings}
        done = subprocess.run(command, cwd=clone, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        assert double.leaked_authorization == []
        return double.files(SPACE)


def test_everything_that_the_space_needs_arrives_and_no_litter(clone, uploaded):
    wanted = {path.relative_to(clone).as_posix() for part in PARTS for path in (clone / part).rglob("*")}
    wanted = {path for path in wanted if (clone / path).is_file() and "__pycache__" not in path}
    wanted |= {"app.py", "README.md", "LICENSE", "requirements.txt", "pyproject.toml"}
    assert wanted <= uploaded.keys()
    assert uploaded.keys() - wanted <= {".gitattributes", ".gitignore"}
    for path in wanted:
        assert uploaded[path] == (clone / path).read_bytes()


def test_the_front_matter_is_what_a_space_needs(uploaded):
    front = yaml.safe_load(uploaded["README.md"].decode().split("---")[1])
    assert front["sdk"] == "gradio"
    assert front["app_file"] in uploaded
    assert len(front["short_description"]) <= 60
    assert re.fullmatch(r"\d+\.\d+\.\d+", front["sdk_version"])
    required = uploaded["requirements.txt"].decode()
    for package in ("torch", "gradio", "datasets", "markdown-it-py"):
        assert re.search(rf"^{package}\b", required, re.MULTILINE), package


def test_what_arrived_starts(uploaded, tmp_path):
    for path, content in uploaded.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)
    code = """
import genhub, space
from fastapi.testclient import TestClient
from app import demo
web = TestClient(demo)
print(genhub.__file__, space.__file__, [web.get(path).status_code for path in ("/", "/play", "/learn")])
"""
    inherited = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", FOLDER)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=inherited, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert str(tmp_path / "genhub") in done.stdout
    assert "[200, 200, 200]" in done.stdout
