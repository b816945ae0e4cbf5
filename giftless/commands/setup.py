"""``giftless setup``: ask what a server needs, and write the files that it runs with."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from typing import Any, Final

from giftless.base.watched_file import FileProblem
from giftless.commands import Command, CommandError
from giftless.commands.harmless import harmless
from giftless.errors import ConfigError
from giftless.setup import flow, telling
from giftless.setup.asking import Asking, AskingProblem, Terminal
from giftless.setup.editing import Refused
from giftless.setup.files import FilesProblem, WrittenInPart
from giftless.setup.flow import Outcome
from giftless.setup.kinds import IDENTITIES, STORAGES, Field
from giftless.setup.running import check

#: What ends it before anything is changed.
_PROBLEMS: Final = (AskingProblem, FilesProblem, FileProblem, Refused, ConfigError)

#: The options that belong to no kind of storage or identity.
_OPTIONS: Final = (
    ("config", "The configuration; others are written beside it."),
    ("storage", f"Where objects go: {', '.join(STORAGES)}."),
    ("identities", f"How people are known: none, or some of {','.join(IDENTITIES)}."),
    ("first-user", "With basic: the user who may do everything."),
    ("password-from", "The password: file:PATH, env:NAME, or generate."),
    ("anonymous", "What anybody may do: none, read or read-write."),
    ("tls", "Who does TLS: none, files (giftless itself) or proxy."),
    ("proxy", "The proxy: nginx, apache, caddy or other."),
    ("proxy-address", "From where the proxy connects."),
    ("public-url", "The server's URL, as users see it."),
    ("listen", "Where giftless listens: [ADDRESS:]PORT."),
    ("certificate", "The file of the certificate."),
    ("certificate-key", "The file of its private key."),
    ("certificate-chain", "The file of the certificates between."),
    ("workers", "How many processes serve: a number, or auto."),
    ("state-dir", "The directory of the daemon's own state."),
    ("user", "Whom the daemon runs as."),
    ("units", "The directory of systemd's units, or none."),
)


def _source_of(field: Field) -> str:
    """Say from where an answer is taken that is no option itself."""
    return "; from file:PATH or env:NAME" if field.hidden else ""


class SetupCommand(Command):
    """The command line of ``giftless setup``."""

    synopsis = "[--yes] [OPTIONS]"
    longdesc = (
        "Ask where objects go, who may read and write, and how clients reach the server; write"
        " a configuration, and what belongs beside it: files of keys and passwords, units of"
        " systemd, a configuration of nginx, Apache or Caddy. Then run the checks. Run again, it"
        " proposes what is there, and changes only what is answered otherwise. Each answer can"
        " be given as an option; a secret is taken from file:PATH or env:NAME, never from the"
        " command line."
    )
    optParameters: Any = [
        *([name, None, None, words] for name, words in _OPTIONS),
        *(
            [field.source, None, None, f"{kind}: {field.question}{_source_of(field)}."]
            for kinds in (STORAGES, IDENTITIES)
            for kind, about in kinds.items()
            for field in about.fields
        ),
    ]
    optFlags = [
        ["yes", "y", "Ask nothing: what is proposed is the answer to whatever no option says."],
        ["no-check", None, "Do not run the checks at the end."],
    ]

    def run(self) -> None:
        """Ask, write, check, and say what comes next.

        :raises SystemExit: with status 1, if a check has failed.
        """
        given = {name: self[name] for name, *_ in self.optParameters}
        person = sys.stdin.isatty() and sys.stdout.isatty()
        asking = Asking(given, Terminal() if person else None, bool(self["yes"]), os.environ)
        for number in (signal.SIGTERM, signal.SIGHUP):
            # As Ctrl-C does: what is half done is undone.
            signal.signal(number, signal.default_int_handler)
        try:
            outcome = flow.prepare(asking, given, os.environ)
            if not flow.agree(asking, outcome):
                raise CommandError("nothing was changed")
        except _PROBLEMS as error:
            raise CommandError(f"{error}\ngiftless: nothing was changed") from None
        except (EOFError, KeyboardInterrupt):
            raise CommandError("no more answers; nothing was changed") from None
        try:
            flow.carry_out(outcome)
        except _PROBLEMS as error:
            raise CommandError(f"{error}\ngiftless: nothing was changed") from None
        except (WrittenInPart, KeyboardInterrupt) as error:
            problem = str(error) or "interrupted"
            raise CommandError(f"{problem}; each file is whole: run this again") from None
        self._end(outcome)

    def _end(self, outcome: Outcome) -> None:
        """Say what was done, check it, and say what comes next."""
        layout, plan = outcome.layout, outcome.plan
        for file in plan.files:
            print(f"{'changed' if file.old is not None else 'wrote'} {harmless(file.path)}")
            if file.own:
                print("  the password of the first user; remove the file when you have it")
        if not plan.files:
            print(f"{harmless(layout.config)} stays as it is")
        for path, difference in plan.by_hand.items():
            print(f"left {harmless(path)} alone, which somebody has changed; it wants this:")
            print("\n".join(f"  {harmless(line)}" for line in difference.splitlines()))
        passed = True
        if not self["no-check"]:
            print("\nThe checks (giftless check):\n")
            passed = check(layout.config, layout.user, bool(layout.units))
        steps = [*telling.next_steps(outcome.answers, layout, plan, outcome.exists)]
        if steps:
            print("\nRun next:\n")
            print("\n".join(f"  {harmless(step)}" for step in steps))
        if os.geteuid() != 0 and not outcome.exists:
            print("\nFor a service of this machine, run giftless setup as root.")
        line = telling.line_for_users(outcome.answers.edge, outcome.public_url)
        print(f"\nUsers run this in a repository, with its path for ORG/REPO:\n\n  {line}")
        if not passed:
            raise SystemExit(
                "\ngiftless: the files are written and stay, but a check has failed: see above."
                "  What could not be reached may be right all the same; run the checks again with"
                f"\n  giftless check --config {shlex.quote(layout.config)}"
            )
