"""Answers without a terminal or a machine."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from giftless.setup.answers import Answers
from giftless.setup.asking import Asking, Conversation
from giftless.setup.plan import Layout, Plan, Wishes, decide
from giftless.setup.present import knows_others, read_answers
from giftless.setup.proxies import read_mark
from giftless.setup.questions import Interview, Machine
from giftless.setup.validity import plain_data

#: A hash of bcrypt that is of no password.
HASHED = "$2b$12$" + "a" * 21 + "O" + "b" * 31

FOLDER = "/etc/giftless"
DATA = "/var/lib/giftless"


class Desk:
    """Where the files are that answers become.

    :ivar files: what is there, by path.
    :ivar told: what somebody who is asked was told.
    """

    def __init__(self, folder: str = FOLDER, data: str = DATA, units: str = "") -> None:
        self.layout = Layout(
            f"{folder}/giftless.yaml", units, "[Unit]\n" if units else "", "root", "/opt/bin"
        )
        self._data = data
        self.files: dict[str, bytes] = {}

    @property
    def text(self) -> str:
        """The configuration."""
        return self.files.get(self.layout.config, b"").decode()

    def plan(
        self,
        given: Mapping[str, str],
        terminal: Conversation | None = None,
        environ: Mapping[str, str] | None = None,
        proposed: bool = True,
        exists: Collection[str] = (),
    ) -> Plan:
        """Ask and decide."""
        answers, before, wishes = self.ask(given, terminal, environ, proposed, exists)
        return decide(answers, before, self.layout, wishes, self.files)

    def ask(
        self,
        given: Mapping[str, str],
        terminal: Conversation | None = None,
        environ: Mapping[str, str] | None = None,
        proposed: bool = True,
        exists: Collection[str] = (),
    ) -> tuple[Answers, Answers | None, Wishes]:
        """Ask everything.

        :returns: the answers, those before, and what was answered beside them.
        """
        present, others = None, False
        if self.text.strip():
            mark = read_mark(self.files.get(self.layout.proxy, b"").decode())
            data = plain_data(self.text)
            present = read_answers(data, f"{self._data}/state", mark)
            others = knows_others(data)
        machine = Machine(
            folder=self.layout.folder,
            data=self._data,
            service=bool(self.layout.units),
            processors=2,
            user="alice",
            exists=lambda path: path in self.files or path in exists,
            hash_password=lambda _: HASHED,
            make_secret=lambda: "made " * 8,
        )
        asking = Asking(given, terminal, proposed and terminal is None, environ or {})
        answers, wishes = Interview(asking, machine, present, others).run()
        asking.refuse_unused(())
        return answers, present, wishes

    def write(self, plan: Plan) -> None:
        """Do what was decided."""
        self.files |= {file.path: file.content for file in plan.files}

    def run(self, **given: str) -> Plan:
        """Do all of it, with options whose dashes are written as underscores."""
        plan = self.plan({name.replace("_", "-"): value for name, value in given.items()})
        self.write(plan)
        return plan
