"""The steps of ``giftless setup``: read, ask, decide, write, check."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from giftless.app.cpus import available
from giftless.auth.passwords.htpasswd import hash_password
from giftless.setup import machine
from giftless.setup.answers import Answers
from giftless.setup.asking import Asking
from giftless.setup.files import FilesProblem, Owners, read, write
from giftless.setup.plan import Layout, Plan, Wishes, data_folders, decide
from giftless.setup.present import knows_others, read_answers
from giftless.setup.proxies import read_mark
from giftless.setup.questions import Interview, Machine
from giftless.setup.running import is_user, make_user
from giftless.setup.units import DROP_IN, UNIT
from giftless.setup.validity import check_text, plain_data
from giftless.setup.values import Choice

#: What keys and passwords have that are made, in bytes.
_SECRET_BYTES: Final = 24


@dataclass(frozen=True)
class Outcome:
    """What was decided, and is written now.

    :ivar exists: whether there was a configuration before.
    :ivar public_url: the server's URL, as far as the configuration says it; may be empty.
    """

    answers: Answers
    layout: Layout
    plan: Plan
    exists: bool
    public_url: str


def prepare(asking: Asking, given: Mapping[str, str | None], environ: Mapping[str, str]) -> Outcome:
    """Read what is there, ask, and decide; nothing is changed.

    :param given: what the command line says, by the names of options.
    :raises AskingProblem: if there is no answer to something.
    :raises FilesProblem: if a file cannot be read.
    :raises FileProblem: if a file of users cannot be changed.
    :raises ConfigError: if the configuration that is there cannot be used.
    :raises Refused: if it cannot be changed without losing something.
    """
    root = os.geteuid() == 0
    layout = machine.layout(given, environ, root)
    text = _text(layout.config)
    exists = bool(text.strip())
    data_folder = machine.data_folder(environ, root)
    present = None
    others = False
    public_url = ""
    if exists:
        public_url = check_text(layout.config, text).public_url
        data = plain_data(text)
        proxy = (read(layout.proxy) or b"").decode(errors="replace")
        present = read_answers(data, f"{data_folder}/state", read_mark(proxy))
        others = knows_others(data)
    around = Machine(
        folder=layout.folder,
        data=data_folder,
        service=bool(layout.units),
        processors=available(),
        user=environ.get("SUDO_USER") or environ.get("USER") or "admin",
        exists=os.path.lexists,
        hash_password=hash_password,
        make_secret=lambda: secrets.token_urlsafe(_SECRET_BYTES),
    )
    answers, wishes = Interview(asking, around, present, others).run()
    asking.refuse_unused(machine.OPTIONS)
    plan = decide(answers, present, layout, wishes, _found(answers, layout, wishes))
    if answers.edge is not None:
        public_url = answers.edge.public_url
    return Outcome(answers, layout, plan, exists, public_url)


def agree(asking: Asking, outcome: Outcome) -> bool:
    """Show what is to be written to somebody who is asked, who may say no."""
    for file in outcome.plan.files:
        asking.say(f"  {'change' if file.old is not None else 'write'} {file.path}")
    if not asking.person or not outcome.plan.files:
        return True
    return bool(asking.ask("yes", "Write this (yes, no)", Choice("yes", "no"), "yes") == "yes")


def carry_out(outcome: Outcome) -> None:
    """Write everything, or nothing.

    :raises FilesProblem: if that is impossible.
    """
    layout, folders = outcome.layout, data_folders(outcome.plan)
    missing = {path: mode for path, mode in folders.items() if not os.path.isdir(path)}
    if not outcome.plan.files and not missing:
        return
    if layout.units and not is_user(layout.user) and not layout.user.isdecimal():
        make_user(layout.user, data_folder_of(folders))
    write(outcome.plan.files, missing, Owners.of(layout.user))


def data_folder_of(folders: Mapping[str, int]) -> str:
    """Return the first of some directories: the home of a user without one."""
    return next(iter(folders))


def _text(path: str) -> str:
    """Read the configuration; nothing if there is none."""
    try:
        return (read(path) or b"").decode()
    except UnicodeDecodeError:
        raise FilesProblem(f"{path} is not UTF-8; correct it first") from None


def _found(answers: Answers, layout: Layout, wishes: Wishes) -> dict[str, bytes]:
    """Read all files that may be changed."""
    paths = [layout.config, layout.proxy, *wishes.secrets]
    if layout.units:
        paths += [os.path.join(layout.units, name) for name in (UNIT, DROP_IN)]
    for part in answers.identities or ():
        if part.kind == "basic":
            paths += [part.values["htpasswd"], part.values["access"]]
    if wishes.user is not None:
        paths.append(os.path.join(layout.folder, f"{wishes.user.name}.password"))
    found = {path: read(path) for path in paths if path}
    return {path: content for path, content in found.items() if content is not None}
