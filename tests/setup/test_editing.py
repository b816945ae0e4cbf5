"""Changes of configurations that people have written: nothing is lost."""

from __future__ import annotations

from typing import Any

import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from giftless.base.safe_yaml import load_yaml
from giftless.setup.editing import Refused, edit
from giftless.setup.yaml_text import in_line
from tests.setup.support import Desk
from tests.test_operations import EXAMPLE

HAND_MADE = """\
# Ours.  Ask Wanda before you change it!
workers: 2   # one for each disk
limits: {memory: 128000000, idle_timeout: 90} # see ticket 12
public_url: "https://lfs.example.com"

storage:
  # The old disk.
  type: local
  path: /srv/lfs   # mounted by fstab
  part_size: 67108864
auth: [{type: jwt, key_file: /etc/giftless/jwt.key, leeway: 20}, {type: anonymous}]
state_dir: /var/lib/giftless/state"""


def kept(old: str, new: str) -> list[str]:
    """Return the lines of ``old`` that are not in ``new``, as they were or as comments."""
    lines = set(new.split("\n"))
    return [line for line in old.split("\n") if line.strip() and not {line, f"#{line}"} & lines]


class EditingTests(SynchronousTestCase):
    def test_a_value_is_replaced_where_it_stands(self) -> None:
        text = edit(HAND_MADE, {"public_url": "https://other.example.com", "workers": "auto"})
        self.assertEqual(
            text,
            HAND_MADE.replace('"https://lfs.example.com"', "'https://other.example.com'").replace(
                "workers: 2 ", "workers: auto "
            ),
        )

    def test_a_value_inside_a_section_is_replaced_where_it_stands(self) -> None:
        section = {"type": "local", "path": "/srv/new: disk", "part_size": 67108864}
        text = edit(HAND_MADE, {"storage": section})
        self.assertEqual(text, HAND_MADE.replace("/srv/lfs ", "'/srv/new: disk' "))

    def test_another_section_leaves_the_old_one_as_a_comment(self) -> None:
        text = edit(HAND_MADE, {"storage": {"type": "s3", "bucket": "lfs"}})
        self.assertEqual(kept(HAND_MADE, text), [])
        self.assertIn("\n#  path: /srv/lfs   # mounted by fstab\n", text)
        self.assertEqual(load_yaml(text)["storage"], {"type": "s3", "bucket": "lfs"})
        self.assertEqual(load_yaml(text)["auth"], load_yaml(HAND_MADE)["auth"])

    def test_what_is_missing_is_added_at_the_end(self) -> None:
        text = edit(HAND_MADE, {"trusted_proxies": ["127.0.0.1"]})
        self.assertTrue(text.startswith(f"{HAND_MADE}\n"))
        self.assertTrue(text.endswith("trusted_proxies:\n- 127.0.0.1\n"))

    def test_what_this_has_written_is_replaced_without_a_trace(self) -> None:
        desk = Desk()
        desk.run(public_url="https://lfs.example.com")
        first = desk.text
        desk.run(storage="s3", s3_bucket="lfs")
        self.assertNotIn("It was", desk.text)
        desk.run(storage="local")
        self.assertEqual(desk.text, first)

    def test_other_line_ends_stay(self) -> None:
        text = edit(HAND_MADE.replace("\n", "\r\n"), {"storage": {"type": "s3", "bucket": "x"}})
        self.assertEqual(text.count("\r\n"), text.count("\n"))

    def test_what_cannot_be_kept_is_refused(self) -> None:
        for text in (
            "{storage: {type: local}}",
            "storage: &it {type: local}\nother: *it\n",
            "? storage\n: {type: local}\n",
            "--- {}\n...\n",
        ):
            self.assertRaises(Refused, edit, text, {"storage": {"type": "s3", "bucket": "x"}})

    def test_no_change_changes_nothing(self) -> None:
        self.assertEqual(edit("{nothing: [anybody\n", {}), "{nothing: [anybody\n")

    def test_the_installed_configuration_can_be_changed(self) -> None:
        """Each of its lines stays, in use or as a comment."""
        text = EXAMPLE.read_text()
        desk = Desk()
        desk.files[desk.layout.config] = text.encode()
        self.assertEqual([*desk.plan({}).files], [])
        desk.run(
            storage="s3",
            s3_bucket="lfs",
            identities="basic,github",
            github_orgs="acme",
            tls="proxy",
            public_url="https://lfs.example.com",
        )
        self.assertEqual(kept(text, desk.text), [])
        data = yaml.safe_load(desk.text)
        self.assertEqual(data["storage"], {"type": "s3", "bucket": "lfs", "region": "us-east-1"})
        self.assertEqual([each["type"] for each in data["auth"]], ["basic", "github", "anonymous"])
        self.assertEqual([*desk.plan({}).files], [])


#: What can stand in a configuration, and looks like something else.
_SCALARS = st.one_of(
    st.booleans(),
    st.none(),
    st.integers(-9, 10**6),
    st.floats(allow_nan=False),
    st.text(max_size=20),
    st.sampled_from(["yes", "12:30", "2001-01-01", "- x", "a: b", "#", "*", "&a", "!x", "=", "<<"]),
)
_KEYS = st.one_of(st.text(min_size=1, max_size=8), st.sampled_from(["on", "null", "1", "~"]))
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_KEYS, inner, max_size=3)),
    max_leaves=8,
)


class HostileEditingTests(SynchronousTestCase):
    @given(_SCALARS)
    @example(value="\x85")
    def test_each_value_can_stand_anywhere(self, value: Any) -> None:
        self.assertEqual(load_yaml(f"key: {in_line(value)} # x\n"), {"key": value})
        self.assertEqual(load_yaml(f"[{in_line(value)}, {in_line(value)}]"), [value, value])

    @given(
        st.dictionaries(_KEYS, _VALUES, max_size=4),
        _VALUES,
        _VALUES,
        st.sampled_from([None, True, False]),
        st.sampled_from(["# a comment\n", "", "\n\n", "   # indented\n"]),
    )
    def test_nothing_else_changes(
        self, others: dict[str, Any], old: Any, new: Any, flow: bool | None, words: str
    ) -> None:
        parts = [*others.items()]
        place = len(parts) // 2
        parts.insert(place, ("storage", old))
        written = [
            yaml.safe_dump({key: value}, default_flow_style=flow, allow_unicode=True).strip("{}")
            if flow is not True
            else f"{in_line(key)}: {yaml.safe_dump(value, default_flow_style=True)}".replace(
                "\n...\n", "\n"
            )
            for key, value in parts
        ]
        text = words.join(written)
        try:
            data = load_yaml(text)
        except ValueError:
            return
        if not isinstance(data, dict) or data.get("storage") != old:
            return
        try:
            edited = edit(text, {"storage": new})
        except Refused:
            return
        self.assertEqual(
            yaml.safe_dump(load_yaml(edited)), yaml.safe_dump({**data, "storage": new})
        )
        del written[place]
        self.assertEqual(kept(words.join(written), edited), [])
