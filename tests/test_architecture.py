"""Who may import whom, what importing costs, and what no file may do."""

from __future__ import annotations

import ast
import functools
import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROJECT = ("genhub", "training", "space", "app")
FILES = sorted(path for part in PROJECT for path in [*ROOT.glob(f"{part}/**/*.py"), *ROOT.glob(f"{part}.py")])
NAMES = [path.relative_to(ROOT).as_posix() for path in FILES]
HEAVY = (
    *("accelerate", "datasets", "diffusers", "gradio", "jsonargparse", "matplotlib", "scipy", "sklearn"),
    *("spaces", "tensorboard", "torch_fidelity", "torchvision", "trackio", "transformers", "training", "space"),
)


@functools.cache
def tree(name: str) -> ast.Module:
    return ast.parse((ROOT / name).read_text(encoding="utf-8"))


def imports(name: str, top_level_only: bool = False) -> set[str]:
    """Modules that a file imports; those inside functions and TYPE_CHECKING blocks only if asked for."""
    nodes = tree(name).body if top_level_only else list(ast.walk(tree(name)))
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: imports are absolute"
            found.update([node.module, *(f"{node.module}.{alias.name}" for alias in node.names)])
    return found


def roots(name: str, **options) -> set[str]:
    return {module.partition(".")[0] for module in imports(name, **options)}


def of(part: str) -> list[str]:
    return [name for name in NAMES if name.startswith((f"{part}/", f"{part}.py"))]


def test_the_files_are_found():
    for name in ("genhub/images.py", "genhub/models/base.py", "training/train.py", "space/view.py", "app.py"):
        assert name in NAMES


# -- imports run one way: app → space → genhub ← training


@pytest.mark.parametrize(
    ("part", "banned"),
    [
        ("genhub", {"training", "space", "app", "gradio", "spaces", "accelerate"}),
        ("space", {"training", "app"}),
        ("training", {"space", "app", "gradio"}),
        ("app", {"training"}),
    ],
)
def test_imports_run_one_way(part, banned):
    assert {name: roots(name) & banned for name in of(part) if roots(name) & banned} == {}


@pytest.mark.parametrize(
    "name", ["genhub/errors.py", "genhub/images.py", "genhub/latents.py", "genhub/layers.py", "genhub/losses.py"]
)
def test_the_ground_floor_imports_nothing_of_the_project(name):
    assert roots(name).isdisjoint(PROJECT)


def test_the_library_has_no_import_cycles():
    """Each module of genhub can be loaded first."""

    def local(name: str) -> set[str]:
        paths = {module.replace(".", "/") for module in imports(name, top_level_only=True)}
        return {path for path in NAMES if path.removesuffix(".py").removesuffix("/__init__") in paths} - {
            "genhub/__init__.py"
        }

    waiting = {name: local(name) - {name} for name in of("genhub")}
    while waiting:
        ready = {name for name, needed in waiting.items() if not needed & waiting.keys()}
        assert ready, f"these import each other: {sorted(waiting)}"
        waiting = {name: needed for name, needed in waiting.items() if name not in ready}


@pytest.mark.parametrize("name", of("genhub"))
def test_heavy_packages_are_imported_where_they_are_used(name):
    assert roots(name, top_level_only=True).isdisjoint(HEAVY)


def test_importing_the_library_imports_nothing_heavy():
    modules = [name.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for name in of("genhub")]
    code = f"""
import importlib, json, sys
for name in {modules}:
    module = importlib.import_module(name)
import genhub
public = [getattr(genhub, name) for name in genhub.__all__]
print(json.dumps(sorted({{name.partition(".")[0] for name in sys.modules}})))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    loaded = set(json.loads(done.stdout))
    assert {"torch", "genhub"} <= loaded
    assert loaded.isdisjoint(HEAVY)


def test_every_public_name_is_there_and_listed():
    genhub = importlib.import_module("genhub")
    assert set(genhub.__all__) <= set(dir(genhub))
    for name in genhub.__all__:
        assert getattr(genhub, name).__doc__, name
    with pytest.raises(AttributeError, match="has no attribute 'GenHubCGann'"):
        _ = genhub.GenHubCGann


# -- what no file may do

UNPICKLERS = {"pickle", "cPickle", "dill", "joblib", "cloudpickle", "shelve", "marshal"}
CORES = {"joblib", "joblib.cpu_count"}  # how many a container grants: the one thing that joblib is here for


def calls(name: str):
    """Dotted names of everything that a file calls."""
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


@pytest.mark.parametrize("name", NAMES)
def test_nothing_unpickles(name):
    able = {module for module in imports(name) if module.partition(".")[0] in UNPICKLERS}
    assert able in (set(), CORES)
    for called, node in calls(name):
        assert called not in ("torch.load", "torch.jit.load", "torch.hub.load", "np.load", "numpy.load"), (
            f"{name}:{node.lineno}: {called}"
        )
        assert not any(keyword.arg == "allow_pickle" for keyword in node.keywords), f"{name}:{node.lineno}"
    assert "trust_remote_code" not in (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_nothing_runs_text_as_code_or_leaves_from_inside(name):
    for called, node in calls(name):
        assert called not in ("eval", "exec", "os.system", "exit", "quit", "os._exit"), (
            f"{name}:{node.lineno}: {called}"
        )


@pytest.mark.parametrize("name", NAMES)
def test_what_users_type_is_never_checked_by_assert(name):
    """``python -O`` drops assertions. Only ``raise AssertionError`` for what cannot happen is left."""
    assert [node.lineno for node in ast.walk(tree(name)) if isinstance(node, ast.Assert)] == []


@pytest.mark.parametrize("name", of("genhub"))
def test_the_library_never_prints(name):
    assert "print" not in {called for called, _ in calls(name)}


# Where something else than an image is brought to or from bytes, and how often.
SCALED = {
    "genhub/data.py": 1,  # the sixteen levels of digits
    "genhub/metrics/memorization.py": 1,  # distances
    "space/neighbours.py": 1,  # distances
    "space/pages/data.py": 1,  # places on an axis
    "training/records.py": 1,  # shares of classes as a picture
}


@pytest.mark.parametrize("name", [name for name in NAMES if name != "genhub/images.py"])
def test_only_one_module_scales_pixels(name):
    """Factors of pixel ranges elsewhere are a second place that converts, and sooner or later another convention."""
    products = (
        node
        for node in ast.walk(tree(name))
        if isinstance(node, (ast.BinOp, ast.AugAssign)) and isinstance(node.op, (ast.Mult, ast.Div))
    )
    factors = [
        value.value for node in products for value in ast.iter_child_nodes(node) if isinstance(value, ast.Constant)
    ]
    assert len([factor for factor in factors if factor in (127.5, 255, 256)]) == SCALED.get(name, 0)
