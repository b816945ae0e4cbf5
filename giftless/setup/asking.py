"""Get answers from the command line, from a terminal, or from what is proposed."""

from __future__ import annotations

import getpass
import warnings
from collections.abc import Collection, Mapping
from typing import Any, Final, Protocol

from giftless.setup.files import FilesProblem, read
from giftless.setup.values import Form

#: What is chosen to leave the configuration as it is, where that is nothing else to choose.
KEEP: Final = "keep"

#: What is typed for no answer, where there is a proposal.
NOTHING: Final = "-"


class AskingProblem(Exception):
    """There is no answer; the text says which option gives it."""


class Conversation(Protocol):
    """Where a person is."""

    def say(self, text: str) -> None:
        """Show a line."""

    def ask(self, prompt: str) -> str:
        """Ask for a line.

        :raises EOFError: if there is none any more.
        """

    def ask_secretly(self, prompt: str) -> str:
        """Ask for a line that is not shown.

        :raises EOFError: if there is none any more, or what is typed would be shown.
        """


class Terminal:
    """The one that standard input and output are connected to."""

    def say(self, text: str) -> None:
        """See :class:`Conversation`."""
        print(text, flush=True)

    def ask(self, prompt: str) -> str:
        """See :class:`Conversation`."""
        return input(prompt)

    def ask_secretly(self, prompt: str) -> str:
        """See :class:`Conversation`."""
        with warnings.catch_warnings():
            warnings.simplefilter("error", getpass.GetPassWarning)
            try:
                return getpass.getpass(prompt)
            except getpass.GetPassWarning:
                raise EOFError("what is typed would be shown") from None


class Asking:
    """Asks one question after the other.

    :param given: what the command line says, by the names of options.
    :param terminal: where a person can be asked; ``None`` if nobody can.
    :param proposed: whether what is proposed counts as the answer, if nobody says another.
    :param environ: the environment, for secrets.
    :ivar person: whether there is somebody to talk to.
    """

    def __init__(
        self,
        given: Mapping[str, str | None],
        terminal: Conversation | None,
        proposed: bool,
        environ: Mapping[str, str],
    ) -> None:
        self._given = given
        self._terminal = terminal
        self._proposed = proposed
        self._environ = environ
        self.person = terminal is not None and not proposed
        self._used: set[str] = set()

    def gave(self, option: str) -> bool:
        """Whether the command line has an answer."""
        return self._given.get(option) is not None

    def refuse_unused(self, elsewhere: Collection[str]) -> None:
        """Refuse options that no question was asked for: they would change nothing.

        :param elsewhere: those that are no answers.
        :raises AskingProblem: if there is one.
        """
        for option, text in self._given.items():
            if text is not None and option not in {*self._used, *elsewhere}:
                raise AskingProblem(f"--{option}: does not belong to the other answers")

    def say(self, text: str) -> None:
        """Tell something to somebody who is asked."""
        if self.person and self._terminal is not None:
            self._terminal.say(text)

    def quietly(self, option: str, proposal: Any, form: Form) -> Any:
        """Return what the command line says, or else what is proposed; ask nobody."""
        text = self._of(option)
        return proposal if text is None else self._parse(option, text, form)

    def ask(
        self,
        option: str,
        question: str,
        form: Form,
        proposal: Any = None,
        present: bool = False,
        needed: bool = True,
    ) -> Any:
        """Ask for a value.

        :param proposal: what is proposed, as a value; ``None`` for nothing.
        :param present: whether that is the answer of today, and not only a proposal.
        :param needed: whether there must be one.
        :raises AskingProblem: if there is none, or one that is not allowed.
        """
        text = self._of(option)
        if text is not None:
            return self._checked(option, self._parse(option, text, form), needed)
        if not self.person:
            if proposal is not None and (present or self._proposed):
                return self._checked(option, proposal, needed)
            raise self._missing(option, question)
        shown = "" if proposal is None else form.show(proposal)
        if present and proposal not in ("", None, [], {}) and not _parses(form, shown, proposal):
            shown = "as it is"
        prompt = f"{question}{f' [{shown}]' if shown else ''}: "
        while True:
            typed = self._terminal_ask(prompt).strip()
            if not typed and proposal is not None and (shown or not needed):
                return proposal
            try:
                value = form.parse("" if typed == NOTHING and not needed else typed)
                if needed and value in ("", []):
                    raise ValueError("an answer is needed")
                return value
            except ValueError as error:
                self.say(f"  {error}")

    def ask_secret(
        self,
        option: str,
        question: str,
        form: Form,
        present: bool = False,
        needed: bool = True,
        made: bool = False,
    ) -> str | None:
        """Ask for a secret.

        :param present: whether there is one, which stays if nobody says another.
        :param needed: whether there must be one.
        :param made: whether one can be made if nobody says another.
        :returns: ``None`` if nothing changes, or one is to be made.
        :raises AskingProblem: if it cannot be had.
        """
        source = self._of(option)
        if source is not None:
            return self._from(option, source, form, made)
        if not self.person:
            if present or not needed or (made and self._proposed):
                return None
            raise self._missing(option, question)
        hint = "Enter keeps it" if present else "Enter makes one" if made else "Enter for none"
        hint = f" ({hint})" if present or made or not needed else ""
        while True:
            typed = self._secretly(f"{question}{hint}: ")
            if not typed and (present or made or not needed):
                return None
            try:
                value: str = form.parse(typed)
                if not value:
                    raise ValueError("an answer is needed")
                return value
            except ValueError as error:
                self.say(f"  {error}")

    def _of(self, option: str) -> str | None:
        """Return what the command line says."""
        self._used.add(option)
        return self._given.get(option)

    def _from(self, option: str, source: str, form: Form, made: bool) -> str | None:
        """Take a secret from where an option says; ``None`` if one is to be made."""
        kind, _, name = source.partition(":")
        if kind == "env" and name in self._environ:
            text = self._environ[name]
        elif kind == "file" and name:
            text = _first_line(option, name)
        elif source == "generate" and made:
            return None
        else:
            kinds = "env:NAME (a variable that is set) or file:PATH"
            more = ", or generate" if made else ""
            raise AskingProblem(f"--{option}: a secret is taken from {kinds}{more}")
        return str(self._checked(option, self._parse(option, text, form), needed=True))

    def _terminal_ask(self, prompt: str) -> str:
        assert self._terminal is not None
        return self._terminal.ask(prompt)

    def _secretly(self, prompt: str) -> str:
        assert self._terminal is not None
        return self._terminal.ask_secretly(prompt)

    def _parse(self, option: str, text: str, form: Form) -> Any:
        try:
            return form.parse(text)
        except ValueError as error:
            raise AskingProblem(f"--{option}: {error}") from None

    def _checked(self, option: str, value: Any, needed: bool) -> Any:
        if needed and value in ("", []):
            raise AskingProblem(f"--{option}: an answer is needed")
        return value

    def _missing(self, option: str, question: str) -> AskingProblem:
        hint = "" if self._proposed else ", or --yes for what is proposed"
        return AskingProblem(f"there is no answer to '{question}': give --{option}{hint}")


def _first_line(option: str, path: str) -> str:
    try:
        content = read(path)
    except FilesProblem as error:
        raise AskingProblem(f"--{option}: {error}") from None
    if content is None:
        raise AskingProblem(f"--{option}: there is no such file")
    return content.decode(errors="surrogateescape").partition("\n")[0].removesuffix("\r")


def _parses(form: Form, shown: str, value: Any) -> bool:
    """Whether what is shown of a value stands for it."""
    try:
        return bool(form.parse(shown) == value)
    except ValueError:
        return False
