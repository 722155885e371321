"""A loopback double of the Hub's HTTP API: enough to create, upload, inspect and download repositories.

Those of models go by `user/name`, Spaces by `spaces/user/name`, as in the addresses of the Hub.

Two servers on 127.0.0.1: the Hub itself, and the large-file storage that its answers point to, so that a
client meets the same change of host as on the real Hub. Everything is in memory; a test reads the state of
the double directly, and the client under test reaches it by `HF_ENDPOINT` or `HfApi(endpoint=double.url)`.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

WRITE_TOKEN = "token-of-alice-with-write"
READ_TOKEN = "token-of-alice-with-read-only"
OTHER_TOKEN = "token-of-bob-with-write"
TOKENS = {WRITE_TOKEN: ("alice", "write"), READ_TOKEN: ("alice", "read"), OTHER_TOKEN: ("bob", "write")}


@dataclass(frozen=True)
class File:
    """One file of a commit; `oid` is the git blob hash of a regular file, the sha256 of a large one."""

    content: bytes
    oid: str
    lfs: bool


@dataclass
class Repo:
    """A repository: commits by hash, and branches that point to them."""

    id: str
    private: bool
    gated: bool = False
    commits: dict[str, dict[str, File]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)

    def commit(self, branch: str, files: dict[str, File], message: str) -> str:
        listing = "".join(f"{path} {file.oid}\n" for path, file in sorted(files.items()))
        seed = f"{self.branches.get(branch)} {len(self.commits)} {message}\n{listing}"
        sha = hashlib.sha1(seed.encode()).hexdigest()
        self.commits[sha] = files
        self.branches[branch] = sha
        self.messages.append(message)
        return sha

    def sha(self, revision: str) -> str | None:
        return self.branches.get(revision) or (revision if revision in self.commits else None)


@dataclass
class Fault:
    """What goes wrong, and when: the `first`-th request that matches, and the `times - 1` after it.

    `action` is `cut` (half of the body passes, then the connection closes), `stall` (half of the body is
    read, then nothing happens until the client dies), or a status code to answer with.
    """

    method: str
    path: str
    action: str | int
    first: int = 1
    times: int = 1
    seen: int = 0

    def strikes(self, method: str, path: str) -> bool:
        if method != self.method or not re.search(self.path, path):
            return False
        self.seen += 1
        return self.first <= self.seen < self.first + self.times


class Reply(Exception):
    """An answer that ends the handling of a request; error answers carry the Hub's error code."""

    def __init__(self, status: int, body: object = None, error_code: str | None = None, **headers: str) -> None:
        super().__init__(status)
        self.status = status
        self.headers = dict(headers)
        if error_code:
            self.headers["X-Error-Code"] = error_code
            self.headers["X-Error-Message"] = body["error"] if isinstance(body, dict) else error_code
        self.body = body if isinstance(body, bytes) else json.dumps(body if body is not None else {}).encode()


class Server(ThreadingHTTPServer):
    """A server that can hang up: connections that a client keeps open would outlive an ordinary one."""

    daemon_threads = True

    def __init__(self, *args: object) -> None:
        self.connections: list[socket.socket] = []
        super().__init__(*args)

    def get_request(self) -> tuple[socket.socket, object]:
        connection, address = super().get_request()
        self.connections.append(connection)
        return connection, address

    def stop(self) -> None:
        self.shutdown()
        self.server_close()
        for connection in self.connections:
            with contextlib.suppress(OSError):  # the client was faster
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:
        """Silent: clients that are killed, or hung up on, are what the double is for."""


class HubDouble:
    """`with HubDouble() as double:` serves until the block ends.

    `upload_mode` is what the Hub answers per file at preupload: `regular`, `lfs`, or a function of the path.
    `requests` lists (method, path, status) of everything that was answered or cut (status 0).
    """

    def __init__(self, upload_mode: str | Callable[[str], str] = "regular") -> None:
        self.upload_mode = upload_mode
        self.repos: dict[str, Repo] = {}
        self.storage: dict[str, bytes] = {}
        self.faults: list[Fault] = []
        self.requests: list[tuple[str, str, int]] = []
        self.leaked_authorization: list[str] = []
        self.stalled = threading.Event()
        self.lock = threading.RLock()
        self._servers = [self._serve(HubHandler), self._serve(StorageHandler)]
        self.url, self.storage_url = (f"http://127.0.0.1:{server.server_port}" for server in self._servers)

    def _serve(self, handler: type[BaseHTTPRequestHandler]) -> Server:
        server = Server(("127.0.0.1", 0), type(handler.__name__, (handler,), {"double": self}))
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return server

    def __enter__(self) -> HubDouble:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stops both servers; a client then finds nothing at `url`, as when it is offline."""
        while self._servers:
            self._servers.pop().stop()

    def create(self, repo_id: str, *, private: bool = False, gated: bool = False) -> Repo:
        """Adds a repository the way the Hub does: with one commit that holds `.gitattributes`."""
        repo = self.repos[repo_id] = Repo(repo_id, private, gated)
        repo.commit("main", {".gitattributes": regular_file(b"*.safetensors filter=lfs\n")}, "initial commit")
        return repo

    def add(self, repo_id: str, files: dict[str, bytes], *, lfs: bool = False) -> str:
        """Commits `files` to main directly, as another client would have done; returns the commit's hash."""
        repo = self.repos.get(repo_id) or self.create(repo_id)
        entries = {path: large_file(data) if lfs else regular_file(data) for path, data in files.items()}
        self.storage.update({file.oid: file.content for file in entries.values() if file.lfs})
        return repo.commit("main", {**repo.commits[repo.branches["main"]], **entries}, "add files")

    def files(self, repo_id: str, revision: str = "main") -> dict[str, bytes]:
        """The content of a revision, path by path."""
        repo = self.repos[repo_id]
        return {path: file.content for path, file in repo.commits[repo.sha(revision)].items()}

    def count(self, method: str, pattern: str) -> int:
        """How many requests of this method matched the pattern and were answered with success."""
        return sum(m == method and re.search(pattern, p) is not None and 200 <= s < 400 for m, p, s in self.requests)


def regular_file(content: bytes) -> File:
    return File(content, hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest(), lfs=False)


def large_file(content: bytes) -> File:
    return File(content, hashlib.sha256(content).hexdigest(), lfs=True)


class Handler(BaseHTTPRequestHandler):
    """Reads a request, lets a fault strike, finds the route, writes the answer."""

    protocol_version = "HTTP/1.1"
    timeout = 20
    double: HubDouble
    routes: list[tuple[str, str, str]] = []  # noqa: RUF012 (each subclass has its own table)

    def handle_request(self) -> None:
        url = urlsplit(self.path)
        self.query = parse_qs(url.query)
        length = int(self.headers.get("Content-Length") or 0)
        with self.double.lock:
            fault = next((f for f in self.double.faults if f.strikes(self.command, url.path)), None)
        action = fault.action if fault else None
        if action in ("cut", "stall") and length:
            return self.break_upload(action, url.path, length)
        self.content = self.rfile.read(length)
        try:
            if isinstance(action, int):
                # A careless server: it repeats what it was sent, so that a client which prints this leaks it.
                raise Reply(action, {"error": f"refused, got {self.headers.get('Authorization')}"})
            reply = self.route(url.path)
        except Reply as answer:
            reply = answer
        self.record(url.path, reply.status if action != "cut" else 0)
        self.write(reply, half=action == "cut")

    do_GET = do_HEAD = do_POST = do_PUT = handle_request

    def route(self, path: str) -> Reply:
        for method, pattern, name in self.routes:
            match = re.fullmatch(pattern, path) if method == self.command else None
            if match:
                with self.double.lock:
                    return getattr(self, name)(**{k: unquote(v) for k, v in match.groupdict().items()})
        raise Reply(404, {"error": f"The double has no route for {self.command} {path}"})

    def break_upload(self, action: str, path: str, length: int) -> None:
        self.rfile.read(length // 2)
        self.record(path, 0)
        self.close_connection = True
        if action == "stall":
            self.double.stalled.set()
            # Nothing more is answered: this returns when the client dies and its end of the socket closes.
            self.rfile.read(length)

    def record(self, path: str, status: int) -> None:
        with self.double.lock:
            self.double.requests.append((self.command, path, status))

    def write(self, reply: Reply, half: bool) -> None:
        self.send_response(reply.status)
        headers = {
            "Content-Type": "application/json",
            "Content-Length": str(len(reply.body)),
            **reply.headers,
        }
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body[: len(reply.body) // 2] if half else reply.body)
        if half:
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Silent: a failing test reads `double.requests` instead."""


REPO = r"(?P<repo_id>(?:spaces/)?[^/]+/[^/]+)"
API = r"/api/(?:models/)?" + REPO  # /api/models/user/name and /api/spaces/user/name
REV = r"(?P<revision>[^/]+)"


class HubHandler(Handler):
    """The Hub's own routes; every answer follows what the public client expects of the real one."""

    routes = [  # noqa: RUF012
        ("GET", r"/api/whoami-v2", "whoami"),
        ("POST", r"/api/repos/create", "create_repo"),
        ("POST", r"/api/validate-yaml", "validate_yaml"),
        ("POST", rf"{API}/preupload/{REV}", "preupload"),
        ("POST", rf"{API}/commit/{REV}", "commit"),
        ("POST", rf"{API}/branch/{REV}", "create_branch"),
        ("GET", rf"{API}/tree/{REV}", "tree"),
        ("GET", rf"{API}/revision/{REV}", "info"),
        ("GET", API, "info"),
        ("POST", rf"/{REPO}\.git/info/lfs/objects/batch", "lfs_batch"),
        ("POST", r"/lfs/verify", "lfs_verify"),
        ("HEAD", rf"/{REPO}/resolve/{REV}/(?P<path>.+)", "resolve"),
        ("GET", rf"/{REPO}/resolve/{REV}/(?P<path>.+)", "resolve"),
    ]

    def user(self) -> tuple[str | None, str]:
        header = self.headers.get("Authorization")
        if header is None:
            return None, ""
        found = TOKENS.get(header.removeprefix("Bearer "))
        if found is None:
            message = "Invalid credentials in Authorization header"
            raise Reply(401, {"error": message}, **{"X-Error-Message": message})
        return found

    def writer(self, namespace: str) -> None:
        user, role = self.user()
        if user is None:
            raise Reply(401, {"error": "Invalid username or password."})
        if user != namespace or role != "write":
            raise Reply(403, {"error": f"You don't have the rights to write under the namespace {namespace}"})

    def repo(self, repo_id: str) -> Repo:
        repo, user = self.double.repos.get(repo_id), self.user()[0]
        if repo is None or (repo.private and user != owner(repo_id)):
            raise Reply(404 if user else 401, {"error": "Repository not found"}, "RepoNotFound")
        return repo

    def snapshot(self, repo: Repo, revision: str) -> tuple[str, dict[str, File]]:
        sha = repo.sha(revision)
        if sha is None:
            raise Reply(404, {"error": f"Invalid rev id: {revision}"}, "RevisionNotFound")
        return sha, repo.commits[sha]

    def whoami(self) -> Reply:
        user, role = self.user()
        if user is None:
            raise Reply(401, {"error": "Invalid username or password."})
        return Reply(200, {"type": "user", "name": user, "orgs": [], "auth": {"accessToken": {"role": role}}})

    def create_repo(self) -> Reply:
        asked = json.loads(self.content)
        namespace = asked.get("organization") or self.user()[0] or "nobody"
        repo_id = f"{namespace}/{asked['name']}"
        if asked.get("type") == "space":
            if asked.get("sdk") not in ("gradio", "docker", "static"):
                raise Reply(400, {"error": "A Space needs an sdk"})
            repo_id = f"spaces/{repo_id}"
        self.writer(namespace)
        body = {"url": f"{self.double.url}/{repo_id}", "name": repo_id}
        if repo_id in self.double.repos:
            raise Reply(409, {**body, "error": "You already created this repo"}, "RepoAlreadyExists")
        private = bool(asked.get("private")) or asked.get("visibility") == "private"
        self.double.create(repo_id, private=private)
        return Reply(200, body)

    def validate_yaml(self) -> Reply:
        errors = card_errors(json.loads(self.content)["content"])
        body = {"errors": [{"message": error} for error in errors], "warnings": []}
        return Reply(400 if errors else 200, body)

    def preupload(self, repo_id: str, revision: str) -> Reply:
        repo = self.repo(repo_id)
        self.writer(owner(repo_id))
        _, files = self.snapshot(repo, revision)
        mode = self.double.upload_mode
        answers = []
        for entry in json.loads(self.content)["files"]:
            path = entry["path"]
            known = files.get(path)
            answers.append(
                {
                    "path": path,
                    "uploadMode": mode if isinstance(mode, str) else mode(path),
                    "shouldIgnore": False,
                    "oid": known.oid if known else None,
                }
            )
        return Reply(200, {"files": answers, "commitOid": repo.sha(revision)})

    def commit(self, repo_id: str, revision: str) -> Reply:
        repo = self.repo(repo_id)
        self.writer(owner(repo_id))
        _, files = self.snapshot(repo, revision)
        files, summary = dict(files), ""
        for line in self.content.splitlines():
            item = json.loads(line)
            key, value = item["key"], item["value"]
            if key == "header":
                summary = value["summary"]
            elif key == "file":
                files[value["path"]] = regular_file(base64.b64decode(value["content"]))
            elif key == "lfsFile":
                content = self.double.storage.get(value["oid"])
                if content is None or len(content) != value["size"]:
                    raise Reply(400, {"error": f"The large file of {value['path']} was never uploaded"})
                files[value["path"]] = large_file(content)
            elif key == "deletedFile":
                del files[value["path"]]
            else:
                raise Reply(400, {"error": f"Unknown commit operation {key}"})
        sha = repo.commit(revision, files, summary)
        return Reply(200, {"success": True, "commitUrl": f"{self.double.url}/{repo_id}/commit/{sha}", "commitOid": sha})

    def create_branch(self, repo_id: str, revision: str) -> Reply:
        repo = self.repo(repo_id)
        self.writer(owner(repo_id))
        if revision in repo.branches:
            raise Reply(409, {"error": f"Reference already exists: {revision}"})
        repo.branches[revision] = repo.branches["main"]
        return Reply(200, {})

    def tree(self, repo_id: str, revision: str) -> Reply:
        _, files = self.snapshot(self.repo(repo_id), revision)
        entries = []
        for path, file in sorted(files.items()):
            entry = {
                "type": "file",
                "path": path,
                "size": len(file.content),
                "oid": regular_file(file.content).oid,
            }
            if file.lfs:
                entry["lfs"] = {"oid": file.oid, "size": len(file.content), "pointerSize": 128}
            entries.append(entry)
        return Reply(200, entries)

    def info(self, repo_id: str, revision: str = "main") -> Reply:
        repo = self.repo(repo_id)
        sha, files = self.snapshot(repo, revision)
        siblings = [{"rfilename": path} for path in sorted(files)]
        body = {"id": repo_id, "modelId": repo_id, "sha": sha, "private": repo.private, "gated": repo.gated}
        return Reply(200, {**body, "siblings": siblings, "tags": [], "downloads": 0, "likes": 0})

    def lfs_batch(self, repo_id: str) -> Reply:
        self.repo(repo_id)
        self.writer(owner(repo_id))
        objects = []
        for wanted in json.loads(self.content)["objects"]:
            answer = {"oid": wanted["oid"], "size": wanted["size"]}
            if wanted["oid"] not in self.double.storage:
                upload = {
                    "href": f"{self.double.storage_url}/{wanted['oid']}?size={wanted['size']}",
                    "header": {},
                }
                answer["actions"] = {
                    "upload": upload,
                    "verify": {"href": f"{self.double.url}/lfs/verify", "header": {}},
                }
            objects.append(answer)
        return Reply(200, {"transfer": "basic", "objects": objects})

    def lfs_verify(self) -> Reply:
        asked = json.loads(self.content)
        if len(self.double.storage.get(asked["oid"], b"")) != asked["size"]:
            raise Reply(404, {"error": "The large file is not in the storage"})
        return Reply(200, {})

    def resolve(self, repo_id: str, revision: str, path: str) -> Reply:
        repo = self.repo(repo_id)
        if repo.gated:
            raise Reply(403 if self.user()[0] else 401, {"error": f"Access to {repo_id} is restricted"}, "GatedRepo")
        sha, files = self.snapshot(repo, revision)
        headers = {"X-Repo-Commit": sha, "Accept-Ranges": "bytes"}
        file = files.get(path)
        if file is None:
            raise Reply(404, {"error": "Entry not found"}, "EntryNotFound", **headers)
        if file.lfs:
            headers |= {"X-Linked-Etag": f'"{file.oid}"', "X-Linked-Size": str(len(file.content))}
            return Reply(302, b"", None, **headers, Location=f"{self.double.storage_url}/{file.oid}")
        return Reply(200, file.content, None, **headers, ETag=f'"{file.oid}"')


class StorageHandler(Handler):
    """The large-file storage: no accounts here, so a token that reaches it has leaked."""

    routes = [("PUT", r"/(?P<oid>[0-9a-f]{64})", "put"), ("GET", r"/(?P<oid>[0-9a-f]{64})", "get")]  # noqa: RUF012

    def route(self, path: str) -> Reply:
        if self.headers.get("Authorization"):
            self.double.leaked_authorization.append(path)
        return super().route(path)

    def put(self, oid: str) -> Reply:
        size = int(self.query["size"][0])
        if len(self.content) != size or hashlib.sha256(self.content).hexdigest() != oid:
            raise Reply(400, {"error": "The uploaded bytes are not the ones that were announced"})
        self.double.storage[oid] = self.content
        return Reply(200, b"", None, ETag=f'"{oid}"')

    def get(self, oid: str) -> Reply:
        content = self.double.storage.get(oid)
        if content is None:
            raise Reply(404, {"error": "No such object"})
        start = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if start is None:
            return Reply(200, content)
        span = f"bytes {start[1]}-{len(content) - 1}/{len(content)}"
        return Reply(206, content[int(start[1]) :], None, **{"Content-Range": span})


def owner(repo_id: str) -> str:
    return repo_id.split("/")[-2]


def card_errors(content: str) -> list[str]:
    """What the Hub would refuse in a model card's metadata; an empty list for a valid card."""
    match = re.match(r"---\r?\n(.*?)\r?\n---[ \t]*(\r?\n|$)", content, re.DOTALL)
    if match is None:
        return []
    try:
        data = yaml.safe_load(match[1])
    except yaml.YAMLError as error:
        return [f"invalid YAML: {error}"]
    if not isinstance(data, dict):
        return ["metadata must be a mapping"]
    errors = [f'"{key}" must be a string' for key in ("license", "library_name", "pipeline_tag") if bad_text(data, key)]
    errors += [f'"{key}" must be a list of strings' for key in ("tags", "datasets") if bad_list(data, key)]
    for entry in data.get("model-index") or []:
        if not isinstance(entry.get("name"), str) or not entry.get("results"):
            errors.append('"model-index" entries need a name and results')
        for result in entry.get("results") or []:
            if not result.get("task", {}).get("type"):
                errors.append('"model-index" results need a task type')
            if not {"name", "type"} <= result.get("dataset", {}).keys():
                errors.append('"model-index" results need a dataset name and type')
            if not all({"type", "value"} <= metric.keys() for metric in result.get("metrics", [{}])):
                errors.append('"model-index" metrics need a type and a value')
    return errors


def bad_text(data: dict, key: str) -> bool:
    return key in data and not isinstance(data[key], str)


def bad_list(data: dict, key: str) -> bool:
    value = data.get(key, [])
    return not isinstance(value, list) or not all(isinstance(item, str) for item in value)
