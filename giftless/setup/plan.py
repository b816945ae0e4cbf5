"""Decide which files become what, from answers and from the files that are there."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from giftless.app.config import Config
from giftless.app.permissions import holds_secret, without_secrets
from giftless.base.watched_file import FileProblem
from giftless.setup.answers import SERVICE_DATA, Answers
from giftless.setup.editing import Refused, edit
from giftless.setup.proxies import FILE, proxy_file
from giftless.setup.rendering import new_text
from giftless.setup.seals import is_sealed, sealed
from giftless.setup.sections import changes
from giftless.setup.units import DROP_IN, UNIT, Service, drop_in, is_service_of, memory_of
from giftless.setup.users import FirstUser, with_grant, with_password
from giftless.setup.validity import check_parts, check_text, plain_data
from giftless.setup.values import host_and_port
from giftless.setup.yaml_text import in_block


@dataclass(frozen=True)
class Layout:
    """Where things are.

    :ivar config: the path of the configuration; other files are beside it.
    :ivar units: the directory of systemd's units; empty for none.
    :ivar unit: what giftless's own unit is; empty if the machine has it from elsewhere.
    :ivar user: whom the daemon runs as.
    :ivar programs: where ``twistd`` and ``giftless`` are.
    """

    config: str
    units: str
    unit: str
    user: str
    programs: str

    @property
    def folder(self) -> str:
        """The directory of the configuration."""
        return os.path.dirname(self.config)

    @property
    def proxy(self) -> str:
        """The path of the proxy's configuration."""
        return os.path.join(self.folder, FILE)


@dataclass(frozen=True)
class NewFile:
    """A file that is made or replaced.

    :ivar old: what is in it now; ``None`` if it is missing.
    :ivar private: whether it holds a secret.
    :ivar own: whether only who runs this needs it, and not the daemon.
    """

    path: str
    content: bytes = field(repr=False)
    old: bytes | None = field(repr=False)
    private: bool = False
    own: bool = False


@dataclass(frozen=True)
class Plan:
    """The files and folders that are to be made.

    :ivar files: what is written; the configuration comes last, as it names the others.
    :ivar folders: directories of data that are made if they are missing, with their modes.
    :ivar by_hand: files that others have written or changed: what would have to change in each.
    """

    files: Sequence[NewFile]
    folders: Mapping[str, int]
    by_hand: Mapping[str, str]


@dataclass(frozen=True)
class Wishes:
    """What was answered beside the answers that the configuration keeps.

    :ivar secrets: what files of secrets are to hold, by path.
    :ivar user: the first user.
    """

    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    user: FirstUser | None = None


def decide(
    answers: Answers,
    before: Answers | None,
    layout: Layout,
    wishes: Wishes,
    found: Mapping[str, bytes],
) -> Plan:
    """Decide what is to be done.

    :param before: what the configuration stands for now; ``None`` if there is none.
    :param found: the files that are there, by path.
    :raises ConfigError: if the configuration could not be used then.
    :raises Refused: if the configuration cannot be changed without losing something.
    :raises FileProblem: if one of the other files cannot be used; it begins with its path.
    """
    text = found.get(layout.config, b"").decode()
    data = plain_data(text)
    wanted = changes(answers, before, data)
    try:
        config = edit(text, wanted) if text.strip() else new_text(wanted)
    except Refused as error:
        shown = "\n".join(in_block(key, without_secrets(value)) for key, value in wanted.items())
        raise Refused(f"{error}; write this into it yourself:\n\n{shown}") from None
    files = [*_secrets(answers, wishes, layout, found)]
    by_hand: dict[str, str] = {}
    options = check_text(layout.config, config)
    if wanted:
        check_parts(options)
    old = generated(before, layout, check_text(layout.config, text)) if before else {}
    for path, content in generated(answers, layout, options).items():
        present = found.get(path)
        text = "" if present is None else present.decode(errors="replace")
        if present is None or (is_sealed(text) and is_service_of(layout.config, path, text)):
            files.append(NewFile(path, sealed(content).encode(), present))
        elif content != old.get(path, text):
            by_hand[path] = _difference(old.get(path, text), content, path)
    private = holds_secret({**data, **wanted})
    files.append(NewFile(layout.config, config.encode(), found.get(layout.config), private))
    folders = {answers.state_dir: 0o700, **dict.fromkeys(_objects(answers), 0o750)}
    # Relative ones are the daemon's own affair.
    folders = {path: mode for path, mode in folders.items() if os.path.isabs(path)}
    return Plan([file for file in files if file.content != file.old], folders, by_hand)


def generated(answers: Answers, layout: Layout, options: Config) -> dict[str, str]:
    """Write the files beside the configuration.

    :param options: the configuration.
    :returns: what is in each, by path.
    """
    files = {}
    if answers.edge is not None and answers.edge.proxied:
        files[layout.proxy] = proxy_file(answers.edge)
    if layout.units:
        if layout.unit:
            files[os.path.join(layout.units, UNIT)] = layout.unit
        service = _service(answers, layout, options)
        files[os.path.join(layout.units, DROP_IN)] = drop_in(service)
    return files


def _service(answers: Answers, layout: Layout, options: Config) -> Service:
    edge = answers.edge
    return Service(
        config=layout.config,
        programs=layout.programs,
        user=layout.user,
        written=tuple(path for path in (answers.state_dir, *_objects(answers)) if path[:1] == "/"),
        memory=memory_of(options),
        low_port=edge is not None and host_and_port(edge.listen)[1] < 1024,
    )


def _objects(answers: Answers) -> list[str]:
    """Return the directory of objects, if that is one of this machine and is told."""
    local = answers.storage is not None and answers.storage.kind == "local"
    path = answers.storage.values["path"] if local and answers.storage else ""
    return [path] if isinstance(path, str) and path else []


def _secrets(
    answers: Answers, wishes: Wishes, layout: Layout, found: Mapping[str, bytes]
) -> list[NewFile]:
    files = [
        NewFile(path, f"{secret}\n".encode(), found.get(path), private=True)
        for path, secret in wishes.secrets.items()
    ]
    user = wishes.user
    basic = next((part for part in answers.identities or () if part.kind == "basic"), None)
    if user is None or basic is None:
        return files
    path = basic.values["htpasswd"]
    try:
        passwords = with_password(found.get(path, b""), user)
        files.append(NewFile(path, passwords, found.get(path), private=True))
        new = passwords != found.get(path)
        path = basic.values["access"]
        files.append(NewFile(path, with_grant(found.get(path, b""), user), found.get(path)))
    except FileProblem as error:
        raise FileProblem(f"{path}: {error}") from None
    if user.generated and new:
        path = os.path.join(layout.folder, f"{user.name}.password")
        content = f"{user.generated}\n".encode()
        files.insert(0, NewFile(path, content, found.get(path), private=True, own=True))
    return files


def _difference(old: str, new: str, path: str) -> str:
    return "".join(
        difflib.unified_diff(
            old.splitlines(keepends=True), new.splitlines(keepends=True), path, path
        )
    )


def data_folders(plan: Plan) -> dict[str, int]:
    """Return the directories of a plan, and the service's own above them."""
    below = any(path.startswith(f"{SERVICE_DATA}/") for path in plan.folders)
    return {**({SERVICE_DATA: 0o750} if below else {}), **plan.folders}
