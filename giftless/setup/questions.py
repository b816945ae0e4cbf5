"""The questions, in their order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from giftless.base.watched_file import FileProblem
from giftless.setup.answers import ANONYMOUS, Answers, Part
from giftless.setup.asking import KEEP, Asking, AskingProblem
from giftless.setup.edge_questions import ask_edge
from giftless.setup.kinds import DATA, FOLDER, IDENTITIES, STORAGES, Field, Kind
from giftless.setup.plan import Wishes
from giftless.setup.users import FirstUser, UserName
from giftless.setup.values import Choice, Choices, DataPath, Password, Path, ServicePath, Workers

#: How many processes are proposed at most.
_MAX_WORKERS: Final = 4


@dataclass(frozen=True)
class Machine:
    """What proposals depend on.

    :ivar folder: the directory of the configuration.
    :ivar data: the directory of the daemon's data.
    :ivar service: whether the daemon is a service of systemd: it may listen on ports below
        1024, and sees no files of users.
    :ivar processors: how many there are.
    :ivar user: who runs this.
    :ivar exists: tells whether there is a file.
    :ivar hash_password: makes a hash of a password.
    :ivar make_secret: makes a key, or a password.
    """

    folder: str
    data: str
    service: bool
    processors: int
    user: str
    exists: Callable[[str], bool]
    hash_password: Callable[[str], str]
    make_secret: Callable[[], str]


@dataclass
class Interview:
    """One run of all questions.

    :param asking: asks them.
    :param present: what the configuration stands for now; ``None`` if there is none.
    :param others: whether it knows people in ways that are not asked for.
    :ivar secrets: what files of secrets are to hold, by path.
    """

    asking: Asking
    machine: Machine
    present: Answers | None
    others: bool = False
    secrets: dict[str, str] = field(default_factory=dict, repr=False)

    def run(self) -> tuple[Answers, Wishes]:
        """Ask everything.

        :raises AskingProblem: if there is no answer to something.
        """
        storage = self._storage()
        identities = self._identities()
        user = self._first_user(identities)
        anonymous = self._anonymous(identities)
        old_edge = None if self.present is None else self.present.edge
        edge = ask_edge(self.asking, self.present is not None, old_edge, self.machine.service)
        workers = self.asking.ask(
            "workers",
            "How many processes serve",
            Workers(),
            self.present.workers if self.present else min(_MAX_WORKERS, self.machine.processors),
            present=self.present is not None,
        )
        state_dir = self.asking.quietly(
            "state-dir",
            self.present.state_dir if self.present else f"{self.machine.data}/state",
            ServicePath() if self.machine.service else Path(),
        )
        answers = Answers(storage, identities, anonymous, edge, workers, state_dir)
        return answers, Wishes(dict(self.secrets), user)

    def _storage(self) -> Part | None:
        old = None if self.present is None else self.present.storage
        self.asking.say("Where do objects go?")
        kind = self._kind("storage", STORAGES, old)
        if kind is None:
            return None
        return Part(kind, self._values(STORAGES[kind], old if old and old.kind == kind else None))

    def _kind(self, option: str, kinds: Mapping[str, Kind], old: Part | None) -> str | None:
        words = [*kinds]
        if self.present is not None and old is None:
            words.append(KEEP)
        for each, kind in kinds.items():
            self.asking.say(f"  {each:<8} {kind.words}")
        proposal = old.kind if old else words[-1] if KEEP in words else words[0]
        kept = self.present is not None
        chosen = self.asking.ask(option, "Storage", Choice(*words), proposal, present=kept)
        return None if chosen == KEEP else str(chosen)

    def _values(self, kind: Kind, old: Part | None) -> dict[str, Any]:
        """Ask for what a kind needs."""
        values: dict[str, Any] = {}
        for each in kind.fields:
            if each.needs and not values.get(each.needs):
                values[each.key] = ""
            elif each.hidden:
                values[each.key] = self._secret(each, old)
            else:
                values[each.key] = self._value(each, old)
        return values

    def _value(self, each: Field, old: Part | None) -> Any:
        default = self._default(each)
        before = None if old is None else old.values[each.key]
        form = each.form
        if isinstance(form, DataPath) and self.machine.service:
            form = ServicePath()
        value = self.asking.ask(
            each.option, each.question, form, before or default, old is not None, default != ""
        )
        # What the configuration leaves out is the plugin's own default.
        kept = before == "" and value == default and not self.asking.gave(each.option)
        return "" if kept else value

    def _secret(self, each: Field, old: Part | None) -> Any:
        """Ask for a secret: the answer, or the path of the file that it stands in."""
        before = "" if old is None else old.values.get(each.key, "")
        needed = each.default is None or each.hidden == "file"
        secret = self.asking.ask_secret(
            each.source, each.question, each.form, present=bool(before), needed=needed
        )
        if each.hidden == "value":
            return before if secret is None else secret
        path = before or self._default(each)
        if secret is not None:
            self.secrets[path] = secret
        return path

    def _default(self, each: Field) -> Any:
        if each.default is None:
            return None
        text = each.default.replace(FOLDER, self.machine.folder)
        text = text.replace(DATA, self.machine.data)
        return text if each.hidden else each.form.parse(text)

    def _identities(self) -> tuple[Part, ...] | None:
        old = None if self.present is None else self.present.identities
        if self.present is not None and old is None and not self.asking.gave("identities"):
            self.asking.say("Who people are stays as the configuration says.")
            return None
        self.asking.say("How are people known?  Any of these, with commas, or none:")
        for each, kind in IDENTITIES.items():
            self.asking.say(f"  {each:<8} {kind.words}")
        before = {part.kind: part for part in old or ()}
        proposal = ["basic"] if old is None else [*before]
        chosen = self.asking.ask(
            "identities",
            "Identities",
            Choices(*IDENTITIES),
            proposal,
            present=self.present is not None,
            needed=False,
        )
        parts = tuple(
            Part(kind, self._values(IDENTITIES[kind], before.get(kind))) for kind in chosen
        )
        for part in parts:
            # A configuration may have its key, or where to get it, in another option.
            key_file = part.values["key_file"] if part.kind == "jwt" else ""
            if key_file and not self.machine.exists(key_file):
                self.secrets[key_file] = self.machine.make_secret()
        return parts

    def _first_user(self, identities: tuple[Part, ...] | None) -> FirstUser | None:
        basic = next((part for part in identities or () if part.kind == "basic"), None)
        # Without a file of passwords, users have keys of SSH.
        if basic is None or not basic.values["htpasswd"]:
            return None
        if self.machine.exists(basic.values["htpasswd"]) and not self.asking.gave("first-user"):
            return None
        name = self.asking.ask(
            "first-user", "The first user, who may do everything", UserName(), self.machine.user
        )
        password = self.asking.ask_secret(
            "password-from", f"The password of {name}", Password(), made=True
        )
        made = "" if password else self.machine.make_secret()
        try:
            hashed = self.machine.hash_password(password or made)
        except FileProblem as error:
            raise AskingProblem(f"--identities: {error}") from None
        return FirstUser(name, hashed, made)

    def _anonymous(self, identities: tuple[Part, ...] | None) -> str:
        # Whoever the configuration knows beside these is somebody, too.
        nobody = identities == () and not self.others
        words = ANONYMOUS[1:] if nobody else ANONYMOUS
        proposal = self.present.anonymous if self.present else "read" if nobody else "none"
        question = f"What may anybody do without a credential ({', '.join(words)})"
        return str(
            self.asking.ask(
                "anonymous",
                question,
                Choice(*words),
                proposal if proposal in words else None,
                present=self.present is not None,
            )
        )
