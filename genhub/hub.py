"""From what a user typed to a folder on disk: bundled, then local, then cached, then the Hub."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HFValidationError,
    HTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import validate_repo_id

from genhub.errors import LoadError, nearest
from genhub.paths import typed_path
from genhub.prompts import captions

PRETRAINED = Path(__file__).parent / "pretrained"
FILES = ("config.json", "model.safetensors")
PIPELINE = "model_index.json"  # marks a folder that is a pipeline of diffusers
RECORD = "genhub.json"  # beside it: what a pipeline trained here was trained on, and how it is meant to be sampled
OPTIONAL_FILES = ("README.md", "samples.png")  # the card and its picture
CONNECT_SECONDS = 3.0


def bundled_names() -> list[str]:
    """Names of the models that come with the package, sorted."""
    return sorted(path.parent.name for name in (FILES[0], PIPELINE) for path in PRETRAINED.glob(f"*/{name}"))


def local_path(given: str) -> Path:
    """Where a name lies, or would lie, on this machine: bundled, else the path that it is. Raises LoadError."""
    return PRETRAINED / given if given in bundled_names() else typed_path(given, LoadError)


def resolve(given: str, *, subfolder: str | None = None, **options: Any) -> Path:
    """The folder that holds ``config.json`` and ``model.safetensors`` of a bundled name, a path or a Hub id.

    Args:
        given: what the user typed. A bundled name wins, then an existing folder, then a Hub id ``user/name``.
        subfolder: folder below it.
        options: revision, token, cache_dir, force_download and local_files_only of ``hf_hub_download``.

    Raises:
        LoadError: with what was given, what was found, and what to type instead.
    """
    local = local_path(given)
    if local.is_dir():
        folder = local / subfolder if subfolder else local
        if not folder.is_dir():
            raise LoadError(f"{given}: has no folder {subfolder!r}; found: {listing(local)}")
        return folder
    if local.exists():
        raise LoadError(f"{given}: is a file; give the folder that holds config.json and model.safetensors")
    if not is_hub_id(given):
        raise LoadError(
            f"{given}: no bundled model, no folder and no Hub id 'user/name' by that name; "
            f"{nearest(given, bundled_names())}"
        )
    return download(given, subfolder, **options)


def is_hub_id(given: str) -> bool:
    """Whether the Hub could have a repository ``user/name`` by that name."""
    try:
        validate_repo_id(given)
    except HFValidationError:
        return False
    return given.count("/") == 1


def download(repo_id: str, subfolder: str | None, **options: Any) -> Path:
    """Fetch a model's files from the cache or the Hub and return their folder. Raises LoadError."""
    prefix = f"{subfolder}/" if subfolder else ""
    where = {key: options[key] for key in ("cache_dir", "revision") if options.get(key)}
    if not options.get("force_download"):
        cached = [try_to_load_from_cache(repo_id, prefix + name, **where) for name in FILES]
        if all(isinstance(path, str) for path in cached):
            return Path(cached[0]).parent
    if options.get("local_files_only") or constants.is_offline_mode():
        raise LoadError(f"{repo_id}: not in the local cache, and offline mode forbids the network; go online once")
    require_reachable(repo_id)
    with explained(repo_id, f"{prefix}config.json or {prefix}{FILES[1]}", options.get("revision")):
        for name in OPTIONAL_FILES:
            try:
                hf_hub_download(repo_id, prefix + name, **options)
            except EntryNotFoundError:
                continue
        config = Path(hf_hub_download(repo_id, prefix + FILES[0], **options))
        # The weights of the same commit, even if another one is pushed at this moment.
        snapshot = config.parents[len(Path(prefix + FILES[0]).parts) - 1]
        hf_hub_download(repo_id, prefix + FILES[1], **{**options, "revision": snapshot.name})
        return config.parent


@contextlib.contextmanager
def explained(repo_id: str, needed: str, revision: str | None) -> Iterator[None]:
    """Turns what the Hub's client raises while it fetches into a LoadError that says what to do."""
    try:
        yield
    except LocalEntryNotFoundError as error:  # the client's word for a connection that broke
        raise LoadError(f"{repo_id}: the download failed ({one_line(error)}); try again") from error
    except GatedRepoError as error:
        raise LoadError(
            f"{repo_id}: access is gated; accept its terms on its page and log in: hf auth login"
        ) from error
    except RepositoryNotFoundError as error:
        raise LoadError(
            f"{repo_id}: no such public repository on the Hub; check the name, or log in: hf auth login"
        ) from error
    except RevisionNotFoundError as error:
        raise LoadError(f"{repo_id}: has no revision {revision!r}; leave it out for main") from error
    except EntryNotFoundError as error:
        raise LoadError(f"{repo_id}: is not a GenHub model: it lacks {needed}") from error
    except LoadError:
        raise
    except (HTTPError, OSError, ValueError) as error:
        reason = error.__cause__ or error if type(error) is ValueError else error  # a forced download's own says little
        if getattr(getattr(reason, "response", None), "status_code", None) == 401:
            raise LoadError(
                f"{repo_id}: the Hub does not accept the token; log in again: hf auth login, or pass token=False"
            ) from error
        raise LoadError(f"{repo_id}: the download failed ({one_line(reason)}); try again") from error


def require_reachable(what: str) -> None:
    """Raise LoadError at once where the Hub's client would retry for many seconds without a route."""
    problem = unreachable(constants.ENDPOINT)
    if problem:
        raise LoadError(
            f"{what}: not bundled and not cached, and {problem}; "
            f"bundled models work offline: {', '.join(bundled_names()) or 'none'}"
        )


def unreachable(endpoint: str) -> str | None:
    """Why no connection to the Hub, or to the proxy in front of it, can be made, in words; None if one can."""
    target = urlsplit(endpoint)
    proxies = {} if proxy_bypass(target.hostname or "") else getproxies()
    proxy = proxies.get(target.scheme) or proxies.get("all")
    url = urlsplit(proxy if "://" in proxy else f"http://{proxy}") if proxy else target
    address = (url.hostname, url.port or {"https": 443, "http": 80}.get(url.scheme, 1080))
    problems = [f"no answer within {CONNECT_SECONDS:g} seconds"]

    def connect() -> None:
        try:
            socket.create_connection(address, timeout=CONNECT_SECONDS).close()
            problems.clear()
        except OSError as error:
            problems[:] = [str(error)]

    # In a thread, because looking up a name has no timeout of its own.
    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(CONNECT_SECONDS)
    return next((f"the Hub at {target.hostname} cannot be reached ({problem})" for problem in problems), None)


def read_config(folder: Path, given: str) -> dict[str, Any]:
    """``config.json`` of a model folder, or the same facts about a pipeline of diffusers.

    Raises LoadError where it is missing or is no JSON object.
    """
    return pipeline_config(folder, given) if (folder / PIPELINE).is_file() else read_json(folder / "config.json", given)


def pipeline_config(folder: Path, given: str) -> dict[str, Any]:
    """What ``config.json`` says of a model, of a pipeline of diffusers: class, classes, size and metadata."""
    record = read_record(folder, given)
    unet, vae = (read_json(folder / part / "config.json", given) for part in ("unet", "vae"))
    try:
        metadata = {"dataset": record.get("dataset", ""), **(record.get("metadata") or {})}
        return {
            "class": "GenHubStableDiffusion",
            "metadata": metadata,
            "class_names": list(captions(metadata["dataset"])) if metadata["dataset"] else [],
            "channels": vae["out_channels"],
            "image_size": unet["sample_size"] * 2 ** (len(vae["block_out_channels"]) - 1),
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise LoadError(f"{given}: {RECORD} or a config.json of the pipeline is damaged ({error!r})") from error


def read_record(folder: Path, given: str) -> dict[str, Any]:
    """``genhub.json`` of a pipeline that was trained here: its data and how it is meant to be sampled; else empty."""
    return read_json(folder / RECORD, given) if (folder / RECORD).is_file() else {}


def read_json(path: Path, given: str) -> dict[str, Any]:
    """A JSON object of a model folder. Raises LoadError where the file is missing, unreadable or something else."""
    if not path.is_file():
        raise LoadError(f"{given}: no {path.name} in the folder; found: {listing(path.parent)}")
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise LoadError(f"{given}: {path.name} cannot be read ({one_line(error)})") from error
    except (ValueError, RecursionError) as error:
        raise LoadError(f"{given}: {path.name} is no valid JSON ({error})") from error
    if not isinstance(value, dict):
        raise LoadError(f"{given}: {path.name} must hold an object, got {type(value).__name__}")
    return value


def one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def listing(folder: Path) -> str:
    if not folder.is_dir():
        return "no folder"
    names = sorted(path.name for path in folder.iterdir())
    return ", ".join(names[:10]) + (", …" if len(names) > 10 else "") if names else "nothing"
