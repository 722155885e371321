"""Publish a trained model: render its card from the records of the run, and upload its folder to the Hub.

    python training/publish.py FOLDER --repo-id user/name [--private] [--revision main] [--dry-run]

FOLDER is a run folder (its `final/` is published) or a model folder. One commit holds everything, so that a
repository never shows half a model; after a cut upload the same command sends what is missing.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import tempfile
from pathlib import Path

from huggingface_hub import HfApi, constants, get_token
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, HTTPError
from huggingface_hub.utils import validate_repo_id
from safetensors import SafetensorError, safe_open

if not __package__:  # run as a script: import from the root, not from this folder, whose names hide other packages
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from genhub import hub
from genhub.pipelines import what_lacks
from training import cards

WEIGHTS = ("config.json", "model.safetensors")
RECORDS = ("samples.png", "training_log.jsonl", "training_config.yaml", "training_summary.json", "metrics.json")
PIPELINE_SUFFIXES = {".json", ".txt", ".safetensors"}
DISCRIMINATOR = tuple(f"discriminator/{name}" for name in WEIGHTS)


class PublishError(Exception):
    """The model was not published; the message says what was given, what is allowed and what to do."""


def publish(
    folder: str | Path,
    repo_id: str,
    *,
    private: bool = False,
    revision: str = "main",
    token: str | None = None,
    dry_run: bool = False,
) -> str:
    """Upload the model in `folder` to the model repository `repo_id`, which is created if it does not exist.

    Args:
        folder: run folder, or model folder with config.json and model.safetensors.
        repo_id: `user/name` or `organisation/name`.
        private: of a repository that is created now; an existing one keeps its visibility.
        revision: branch to commit to, created from main if it does not exist.
        token: with write permission; None takes it from HF_TOKEN or from `hf auth login`.
        dry_run: print the files and the card, and send nothing.

    Returns:
        The URL of the repository.

    Raises:
        PublishError: for every reason that a user can do something about.
    """
    check_repo_id(repo_id)
    model = find_model(Path(folder))
    with tempfile.TemporaryDirectory(prefix="genhub-publish-") as staged:
        files = stage(model, Path(staged), repo_id)
        if dry_run:
            print(listing(Path(staged), files, repo_id))
            return f"{constants.ENDPOINT}/{repo_id}"
        if token is None and (token := get_token()) is None:
            raise PublishError(
                "not logged in: no token in HF_TOKEN and none stored; "
                "create one with write permission on your Hub settings page, then run: hf auth login"
            )
        if not re.fullmatch(r"[!-~]+", token):
            raise PublishError("the token has a character that no token has; copy it again, or run: hf auth login")
        require_hub()
        try:
            return upload(HfApi(token=token), Path(staged), files, repo_id, private=private, revision=revision)
        except (HTTPError, OSError, RuntimeError, ValueError) as error:
            raise PublishError(explain(error, repo_id).replace(token, "…")) from error


def upload(api: HfApi, staged: Path, files: list[str], repo_id: str, *, private: bool, revision: str) -> str:
    """Create what does not exist yet and commit all files at once; returns the repository's URL."""
    url = str(api.create_repo(repo_id, private=private, exist_ok=True))
    if revision != constants.DEFAULT_REVISION:
        api.create_branch(repo_id, branch=revision, exist_ok=True)
    before = api.model_info(repo_id, revision=revision).sha
    commit = api.upload_folder(
        repo_id=repo_id,
        folder_path=staged,
        revision=revision,
        commit_message="Publish model with its card and records",
    )
    print(f"{'already up to date' if commit.oid == before else f'published {len(files)} files'}: {url}")
    return url


def check_repo_id(repo_id: str) -> None:
    """Raise PublishError unless the id is `user/name` in the characters that the Hub allows."""
    try:
        validate_repo_id(repo_id)
        if "/" not in repo_id:
            raise HFValidationError("the user or organisation is missing")
    except HFValidationError as error:
        raise PublishError(
            f"--repo-id: expected user/name in letters, digits, '-', '_' and '.', got {repo_id!r} ({error}); "
            "for example: --repo-id alice/cgan-digits"
        ) from error


def find_model(folder: Path) -> Path:
    """The model folder in what the user named: itself, or its final/. Raises PublishError."""
    if not folder.is_dir():
        raise PublishError(f"{folder}: no such folder; give a run folder or a folder made by save_pretrained")
    for model in (folder, folder / "final"):
        if all((model / name).is_file() for name in WEIGHTS):
            return model
        if (model / hub.PIPELINE).is_file():
            if lacking := what_lacks(model):
                raise PublishError(f"{model}: the pipeline lacks the weights of {', '.join(lacking)}; save it again")
            return model
    found = ", ".join(sorted(path.name for path in folder.iterdir())[:10]) or "nothing"
    unfinished = "; the run has not finished: resume it first" if (folder / "checkpoints").is_dir() else ""
    raise PublishError(
        f"{folder}: no model in it; {' and '.join(WEIGHTS)} must be there or in final/; found: {found}{unfinished}"
    )


def stage(model: Path, staged: Path, repo_id: str) -> list[str]:
    """Copy what will be published, so that a run which goes on cannot change it midway; returns the paths.

    Only the files of a model's repository are taken: whatever else lies in the folder stays on this machine.
    """
    for name in (*WEIGHTS, *DISCRIMINATOR, *RECORDS, *pipeline_files(model)):
        source = model / name
        if source.is_file():
            target = staged / name
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(source, target)
    for weights in staged.rglob("*.safetensors"):
        check_weights(weights, model / weights.relative_to(staged))
    card = model / "README.md"
    written = card.read_text(encoding="utf-8") if card.is_file() else None
    try:
        kept = written is not None and not cards.is_rendered(written)
        text = written if kept else cards.render_card(staged, repo_id)
    except ValueError as error:
        raise PublishError(str(error).replace(str(staged), str(model))) from error
    (staged / "README.md").write_text(text, encoding="utf-8")
    if kept:
        print(f"{card}: edited by hand, published as it is")
    return sorted(path.relative_to(staged).as_posix() for path in staged.rglob("*") if path.is_file())


def pipeline_files(model: Path) -> list[str]:
    """What beside the records belongs to a pipeline of diffusers; nothing for another model."""
    if not (model / hub.PIPELINE).is_file():
        return []
    parts = [name for name in hub.read_json(model / hub.PIPELINE, model.name) if (model / name).is_dir()]
    found = [path for part in parts for path in (model / part).iterdir() if path.suffix in PIPELINE_SUFFIXES]
    found += model.glob("metrics-*.json")
    return [hub.PIPELINE, hub.RECORD, *(path.relative_to(model).as_posix() for path in found)]


def check_weights(path: Path, shown: Path) -> None:
    """Raise PublishError for a truncated or foreign file: opening compares the header with the size."""
    try:
        with safe_open(path, framework="np") as file:
            names = list(file.keys())
    except (SafetensorError, OSError) as error:
        raise PublishError(f"{shown}: truncated or damaged ({error}); save the model again") from error
    if not names:
        raise PublishError(f"{shown}: holds no weights; save the model again")


def listing(staged: Path, files: list[str], repo_id: str) -> str:
    sizes = [f"{(staged / name).stat().st_size:>12,}  {name}" for name in files]
    card = (staged / "README.md").read_text(encoding="utf-8")
    return "\n".join([f"would publish to {constants.ENDPOINT}/{repo_id}:", *sizes, "", card])


def require_hub() -> None:
    """Raise PublishError within seconds where the client itself would retry for much longer."""
    if constants.is_offline_mode():
        raise PublishError("offline mode is on: publishing needs the network; unset HF_HUB_OFFLINE and run it again")
    problem = hub.unreachable(constants.ENDPOINT)
    if problem:
        raise PublishError(f"{problem}; nothing was uploaded: check the network and run the same command again")


def explain(error: BaseException, repo_id: str) -> str:
    """One line on why the Hub refused or the upload was cut, and what to do about it."""
    refusal = next((e for e in chain(error) if isinstance(e, HfHubHTTPError)), None)
    status = refusal.response.status_code if refusal else None
    said = (refusal.server_message if refusal else None) or str(chain(error)[-1])
    said = " ".join(said.split()) or type(error).__name__
    match status:
        case 401:
            return f"the Hub does not accept the token (401: {said}); log in again: hf auth login"
        case 403:
            return (
                f"no permission to write to {repo_id} (403: {said}); "
                "use a token with write permission, or an id under your own name or organisation"
            )
        case 404:
            return f"{repo_id}: not found or not visible to this token (404: {said}); check the id and the token"
        case 400 | 413 | 422:
            return f"the Hub refused the files ({status}: {said}); nothing was published"
        case None if isinstance(error, ValueError):
            return f"the Hub refused the card or the files: {said}"
    return (
        f"the upload to {repo_id} was cut ({f'{status}: ' if status else ''}{said}); the repository is as it "
        "was: run the same command again, what has arrived is not sent twice"
    )


def chain(error: BaseException) -> list[BaseException]:
    """The error and its causes, outermost first."""
    errors = [error]
    while errors[-1].__cause__ is not None:
        errors.append(errors[-1].__cause__)
    return errors


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="publish.py", description="Publish a trained model to the Hub.")
    parser.add_argument("folder", type=Path, help="run folder, or model folder such as genhub/pretrained/NAME")
    parser.add_argument("--repo-id", required=True, help="user/name; created if it does not exist")
    parser.add_argument("--private", action="store_true", help="create the repository as private")
    parser.add_argument("--revision", default="main", help="branch to commit to; created if it does not exist")
    parser.add_argument("--dry-run", action="store_true", help="show the files and the card, send nothing")
    parser.add_argument("--token", help="better: HF_TOKEN or hf auth login, which other users cannot see")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 0 published, 2 a problem for the user (one line on stderr), 130 interrupted."""
    args = parse(arguments)
    try:
        publish(
            args.folder,
            args.repo_id,
            private=args.private,
            revision=args.revision,
            token=args.token,
            dry_run=args.dry_run,
        )
    except PublishError as error:
        print(f"publish.py: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("publish.py: interrupted; run the same command again to complete the upload", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
