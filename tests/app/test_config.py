"""Loading the configuration: defaults, a file, the environment."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from msgspec import inspect
from twisted.trial.unittest import SynchronousTestCase

from giftless.app.config import Config, EndpointOptions, load, located
from giftless.base.files import MAX_FILE
from giftless.base.units import Duration, Size
from giftless.errors import ConfigError


class ConfigTestCase(SynchronousTestCase):
    """A test case that loads configurations.

    :ivar file: the name of the last file that was loaded.
    """

    file = ""

    def load(self, text: str | None = None, **environ: str) -> Config:
        """Load a file with this text, or none, in this environment."""
        self.file = ""
        if text is not None:
            self.file = self.mktemp()
            Path(self.file).write_text(text, encoding="utf-8", errors="surrogateescape")
        return load(self.file or None, {"PATH": "/bin", "HOME": "/root", **environ}).config

    def refusal(self, text: str | None = None, **environ: str) -> str:
        """Return why a configuration cannot be used, without the file's name."""
        error = self.assertRaises(ConfigError, self.load, text, **environ)
        message = str(error)
        self.assertEqual(len(message.splitlines()), 1, message)
        if self.file and message.startswith(self.file):
            message = "FILE" + message.removeprefix(self.file)
        return re.sub(r" \(line \d+, column \d+\)$", "", message)


class SourceTests(ConfigTestCase):
    def test_without_a_file_the_defaults_serve(self) -> None:
        loaded = load(None, {})
        self.assertEqual(loaded.source, "")
        self.assertEqual(loaded.config, Config())
        self.assertEqual(loaded.config.endpoints, ["tcp:8080:interface=127.0.0.1"])
        self.assertEqual(loaded.config.storage, {"type": "local"})
        self.assertEqual(loaded.config.auth, [{"type": "anonymous", "access": "read-write"}])

    def test_nesting_and_aliases_are_bounded(self) -> None:
        """In the file, in a variable that holds a section, and in a variable's name."""
        for text in ("auth: " + "[" * 3000, "auth: &a [*a]"):
            self.assertIn("is not valid YAML", self.refusal(text))
        self.refusal(GIFTLESS_AUTH="[" * 3000)
        self.refusal(GIFTLESS_AUTH="&a [{type: anonymous, x: *a}]")
        self.assertIn("more levels", self.refusal(**{"GIFTLESS_STORAGE" + "__A" * 3000: "x"}))

    def test_a_file_is_read(self) -> None:
        loaded = self.load("threads: 5\nstorage: {type: local, path: /x}\n")
        self.assertEqual(loaded.threads, 5)
        self.assertEqual(loaded.storage, {"type": "local", "path": "/x"})

    def test_the_file_is_remembered(self) -> None:
        self.load("")
        self.assertEqual(load(self.file, {}).source, self.file)

    def test_the_environment_may_name_the_file(self) -> None:
        self.load("threads: 5")
        loaded = load(None, {"GIFTLESS_CONFIG": self.file})
        self.assertEqual((loaded.source, loaded.config.threads), (self.file, 5))

    def test_the_command_line_goes_before_the_environment(self) -> None:
        self.load("threads: 5")
        loaded = load(self.file, {"GIFTLESS_CONFIG": "/nowhere"})
        self.assertEqual(loaded.source, self.file)

    def test_an_empty_file_is_a_file(self) -> None:
        """Its owner has been told what the defaults are."""
        for text in ("", "\n", "# nothing\n", "---\n"):
            self.assertEqual(self.load(text), Config())

    def test_a_file_that_cannot_be_read_is_named(self) -> None:
        for path in ("/nowhere/giftless.yaml", "/"):
            error = self.assertRaises(ConfigError, load, path, {})
            self.assertTrue(str(error).startswith(f"{path}: cannot be read: "))

    def test_a_file_that_is_not_yaml_is_named_with_the_place(self) -> None:
        self.assertRegex(self.refusal("a: {b"), r"^FILE: is not valid YAML: .*line 1, column")
        for text in ("\udcff\udcfe", "a: 2024-13-45", "a: " + "9" * 5000, "\x00", "[" * 20_000):
            self.assertTrue(self.refusal(text).startswith("FILE: is not valid YAML: "), text[:20])

    def test_a_file_that_is_no_mapping_is_refused(self) -> None:
        for text, found in (("- a", "a list"), ("5", "5"), ("storage", "text")):
            self.assertEqual(
                self.refusal(text), f"FILE: found {found}, but the file must be a mapping of keys"
            )

    def test_a_configuration_does_not_show_what_is_in_it(self) -> None:
        loaded = self.load(
            "secret: s3cr3t-s3cr3t-s3cr3t-s3cr3t-s3cr3t\nauth: [{type: x, key: t0k3n}]"
        )
        self.assertNotIn("s3cr3t", repr(loaded))
        self.assertNotIn("t0k3n", repr(load(self.file, {})))

    def test_the_defaults_are_nobodys_to_change(self) -> None:
        """Each load starts from fresh ones."""
        self.load(GIFTLESS_AUTH__0__ACCESS="read", GIFTLESS_STORAGE__PATH="/x")
        self.assertEqual(self.load(), Config())


class MessageTests(ConfigTestCase):
    def test_an_error_names_file_key_found_and_allowed(self) -> None:
        for text, message in (
            ("threads: many", "threads: found text, allowed is a whole number from 1 to 1000"),
            ("threads: 0", "threads: found 0, allowed is a whole number from 1 to 1000"),
            ("log_format: xml", "log_format: found text, allowed is one of: json, text"),
            ("endpoints: [5]", "endpoints.0: found 5, allowed is text or a section with keys"),
            (
                "endpoints: tcp:80",
                ("endpoints: found text, allowed is a list, each item text or a section with keys"),
            ),
            ("endpoints: [{front: http}]", "endpoints.0.listen: is missing, and has no default"),
            ("endpoints: [a, {listen: 5}]", "endpoints.1.listen: found 5, allowed is text"),
            (
                "endpoints: [{lisen: a}]",
                (
                    "endpoints.0.lisen: unknown key; did you mean 'listen'?"
                    " allowed here: client_certificates, front, listen"
                ),
            ),
            ("endpoints: []", "endpoints: found an empty list, allowed is one endpoint or more"),
            ("auth: []", "auth: found an empty list, allowed is one authenticator or more"),
            ("auth: [read]", "auth.0: found text, allowed is a section with keys"),
            ("transfers: []", "transfers: found an empty list, allowed is one transfer or more"),
            ("storage: local", "storage: found text, allowed is a section with keys"),
            (
                "limits: {header_bytes: 5}",
                "limits.header_bytes: found 5, allowed is a whole number from 1024 to 1048576",
            ),
            ("limits: [5]", "limits: found a list, but this is a section with keys"),
            (
                "actions: {lifetime: 0}",
                "actions.lifetime: found 0, allowed is a whole number, at least 1",
            ),
            (
                "{shutdown_timeout: -1}",
                "shutdown_timeout: found -1, allowed is a whole number, at least 0",
            ),
        ):
            self.assertEqual(self.refusal(text), f"FILE: {message}")

    def test_an_unknown_key_is_named_with_what_may_have_been_meant(self) -> None:
        for text, path, meant in (
            ("storag: {}", "storag", "storage"),
            ("endpoint: []", "endpoint", "endpoints"),
            ("public-url: x", "public-url", "public_url"),
            ("limits: {batch_object: 1}", "limits.batch_object", "batch_objects"),
        ):
            message = self.refusal(text)
            self.assertTrue(
                message.startswith(f"FILE: {path}: unknown key; did you mean '{meant}'? allowed"),
                message,
            )
        self.assertIn(
            "allowed here: access, actions, admin, aliases, auth, catalogue, certificate_header,",
            self.refusal("zzz: 1"),
        )

    def test_an_error_of_a_variable_names_the_variable(self) -> None:
        for name, value, message in (
            (
                "GIFTLESS_THREADS",
                "x",
                "threads: found text, allowed is a whole number from 1 to 1000",
            ),
            ("GIFTLESS_LIMITS__HEADER_BYTES", "5", "limits.header_bytes: found 5, allowed is a"),
            ("GIFTLESS_LIMITS", "{header_bytes: 5}", "limits.header_bytes: found 5, allowed is a"),
            ("GIFTLESS_LIMITS", "5", "limits: found 5, but this is a section with keys"),
            (
                "GIFTLESS_ENDPOINTS",
                "[5]",
                "endpoints.0: found 5, allowed is text or a section with keys",
            ),
            ("GIFTLESS_ENDPOINTS", "[]", "endpoints: found an empty list, allowed is one"),
            ("GIFTLESS_LIMITS__HEADER_BYTES__X", "5", "limits.header_bytes: found a section, "),
            ("GIFTLESS_THREADZ", "5", "threadz: unknown key; did you mean 'threads'?"),
            ("GIFTLESS_LIMITS__IDLE_TIME", "5", "limits.idle_time: unknown key; did you mean"),
            ("GIFTLESS_TRUSTED_PROXIES__0", "x", "trusted_proxies.0: found text, allowed is an"),
        ):
            for text in (None, "threads: 7"):
                message_found = self.refusal(text, **{name: value})
                self.assertTrue(
                    message_found.startswith(f"environment {name}: {message}"), message_found
                )

    def test_an_error_of_the_file_names_the_file_whatever_else_is_set(self) -> None:
        message = self.refusal(
            "threads: x", GIFTLESS_STORAGE__PREFIX="x", GIFTLESS_LIMITS="{}", GIFTLESS_CONFIG="y"
        )
        self.assertTrue(message.startswith("FILE: threads: found text"), message)

    def test_an_error_found_later_is_located_too(self) -> None:
        """Plugins look at their options after everything has been read."""
        error = ConfigError("storage.path", "cannot be used")
        for source, environ, where in (
            ("a.yaml", {}, "a.yaml"),
            ("", {}, "embedded defaults"),
            ("a.yaml", {"GIFTLESS_STORAGE__PATH": "/x"}, "environment GIFTLESS_STORAGE__PATH"),
            ("a.yaml", {"GIFTLESS_STORAGE": "{}"}, "environment GIFTLESS_STORAGE"),
            ("a.yaml", {"GIFTLESS_STORAGE__PATHS": "/x"}, "a.yaml"),
            ("a.yaml", {"GIFTLESS_STOR": "/x"}, "a.yaml"),
        ):
            self.assertEqual(
                str(located(error, source, "", environ)), f"{where}: storage.path: cannot be used"
            )
        self.assertEqual(str(located(ConfigError("", "x"), "a.yaml", "", {})), "a.yaml: x")

    def test_an_error_of_the_file_has_a_line_and_a_column(self) -> None:
        text = "threads: 5\nstorage:\n  type: local\n  pathh: x\nauth: [a,\n {b: c}]\n"
        for error, place in (
            (ConfigError("threads", "x"), (1, 1)),
            (ConfigError("storage.type", "x"), (3, 3)),
            (ConfigError("storage.pathh", "x"), (4, 3)),
            (ConfigError("storage", "x", "pathh"), (4, 3)),
            # What is missing is missing in its section.
            (ConfigError("storage.bucket", "x"), (2, 1)),
            (ConfigError("auth.0", "x"), (5, 8)),
            (ConfigError("auth.1.b.c", "x"), (6, 3)),
        ):
            found = str(located(error, "a.yaml", text, {}))
            self.assertTrue(found.endswith(f": x (line {place[0]}, column {place[1]})"), found)
        self.assertEqual(str(located(ConfigError("a", "x"), "a.yaml", text, {})), "a.yaml: a: x")
        self.assertEqual(
            str(located(ConfigError("threads", "x"), "a.yaml", text, {"GIFTLESS_THREADS": "5"})),
            "environment GIFTLESS_THREADS: threads: x",
        )

    @given(
        st.dictionaries(
            st.sampled_from(["storage", "auth", "limits", "threads", "secret", "a", "endpoints"])
            | st.text(max_size=5),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.text(),
                lambda inner: (
                    st.lists(inner, max_size=3)
                    | st.dictionaries(st.text(max_size=5), inner, max_size=3)
                ),
            ),
            max_size=4,
        )
    )
    def test_any_mapping_is_a_configuration_or_an_error_of_one_line(
        self, data: dict[str, Any]
    ) -> None:
        path = Path(self.mktemp())
        path.write_bytes(msgspec.yaml.encode(data))
        try:
            load(str(path), {})
        except ConfigError as error:
            self.assertTrue(str(error).startswith(f"{path}: "))
            self.assertEqual(len(re.split(r"[\r\n]", str(error))), 1)


class EnvironmentTests(ConfigTestCase):
    def test_a_variable_sets_a_key(self) -> None:
        self.assertEqual(self.load(GIFTLESS_THREADS="5").threads, 5)
        self.assertEqual(self.load("threads: 7", GIFTLESS_THREADS="5").threads, 5)

    def test_a_variable_sets_a_key_of_a_section_and_leaves_the_rest(self) -> None:
        text = "storage: {type: other, bucket: b}\nlimits: {idle_timeout: 90}"
        loaded = self.load(
            text, GIFTLESS_STORAGE__PREFIX="team-a", GIFTLESS_LIMITS__HEADER_TIMEOUT="3"
        )
        self.assertEqual(loaded.storage, {"type": "other", "bucket": "b", "prefix": "team-a"})
        self.assertEqual((loaded.limits.idle_timeout, loaded.limits.header_timeout), (90, 3))

    def test_a_variable_completes_the_default_of_a_section(self) -> None:
        loaded = self.load(GIFTLESS_STORAGE__PREFIX="team-a")
        self.assertEqual(loaded.storage, {"type": "local", "prefix": "team-a"})

    def test_digits_index_a_list(self) -> None:
        loaded = self.load(
            "auth: [{type: a}, {type: b}]",
            GIFTLESS_AUTH__1__TYPE="c",
            GIFTLESS_AUTH__0__KEY="k",
        )
        self.assertEqual(loaded.auth, [{"type": "a", "key": "k"}, {"type": "c"}])

    def test_the_next_index_appends(self) -> None:
        loaded = self.load(
            GIFTLESS_AUTH__1__TYPE="b",
            GIFTLESS_AUTH__2__TYPE="c",
            GIFTLESS_ENDPOINTS__1="tcp:1",
            GIFTLESS_TRUSTED_PROXIES__0="10.0.0.0/8",
            GIFTLESS_TRUSTED_PROXIES__1="unix",
        )
        self.assertEqual([section["type"] for section in loaded.auth], ["anonymous", "b", "c"])
        self.assertEqual(loaded.endpoints, ["tcp:8080:interface=127.0.0.1", "tcp:1"])
        self.assertEqual(loaded.trusted_proxies, ["10.0.0.0/8", "unix"])

    def test_lists_and_sections_appear_where_there_are_none(self) -> None:
        loaded = self.load(
            "storage: {type: x, path: /x}",
            GIFTLESS_STORAGE__ZONES__0__NAME="a",
            GIFTLESS_STORAGE__ZONES__0__SIZE="3",
            GIFTLESS_STORAGE__PATH__BELOW="y",
        )
        self.assertEqual(
            loaded.storage,
            {"type": "x", "zones": [{"name": "a", "size": "3"}], "path": {"below": "y"}},
        )

    def test_an_index_that_is_none_is_refused(self) -> None:
        for name in (
            "GIFTLESS_AUTH__X",
            "GIFTLESS_AUTH__2__TYPE",
            "GIFTLESS_AUTH__-1__TYPE",
            "GIFTLESS_AUTH__\u00b2__TYPE",
        ):
            self.assertEqual(
                self.refusal(**{name: "x"}),
                "environment GIFTLESS_AUTH__…: allowed behind it is the index of a list of 1,"
                " from 0",
            )

    def test_variables_replace_an_endpoint_that_is_a_string_by_a_section(self) -> None:
        for text in ("", "endpoints: [tcp:1]"):
            config = self.load(
                text, GIFTLESS_ENDPOINTS__0__FRONT="http", GIFTLESS_ENDPOINTS__0__LISTEN="tcp:2"
            )
            self.assertEqual(config.endpoints, [EndpointOptions(listen="tcp:2", front="http")])

    def test_a_key_below_a_string_is_unknown(self) -> None:
        self.assertIn(
            "environment GIFTLESS_ENDPOINTS__0__…: endpoints.0: unknown key",
            self.refusal("endpoints: [tcp:1]", GIFTLESS_ENDPOINTS__0__X="y"),
        )

    def test_a_section_that_is_written_wrongly_is_not_replaced_by_its_parts(self) -> None:
        """Who may do what would be something else than was said."""
        for text in ("[{type: jwt, key: hunter2", "hunter2"):
            self.assertEqual(
                self.refusal(GIFTLESS_AUTH=text, GIFTLESS_AUTH__0__TYPE="anonymous"),
                "environment GIFTLESS_AUTH: is neither a section nor a list, but other variables"
                " set keys in it",
            )
        empty = self.load(GIFTLESS_AUTH="", GIFTLESS_AUTH__0__TYPE="anonymous")
        self.assertEqual(empty.auth, [{"type": "anonymous"}])

    def test_a_section_that_is_written_wrongly_shows_no_secret(self) -> None:
        key = "hunter2"
        for text, variables, path in (
            ("", {"GIFTLESS_STORAGE": f"{{type: s3, secret_access_key: {key}"}, "storage"),
            ("", {"GIFTLESS_AUTH": f"[{{type: jwt, key: {key}"}, "auth"),
            ("", {"GIFTLESS_AUTH__0": f"{{type: jwt, key: {key}"}, "auth.0"),
            ("", {"GIFTLESS_CORS": f"secret={key}"}, "cors"),
            (f"storage: 'type: s3, secret_access_key: {key}'", {}, "storage"),
            (f"secret:{key}", {}, "FILE: found text, but"),
        ):
            problem = self.refusal(text, **variables)
            self.assertIn(path, problem)
            self.assertIn("found text, ", problem)
            self.assertNotIn(key, problem)

    def test_a_file_that_is_no_yaml_shows_none_of_its_lines(self) -> None:
        for text in (
            'secret: "hunter2',
            "storage: {secret_access_key: hunter2: 5",
            "secret: *hunter2",
            "secret: !hunter2",
        ):
            problem = self.refusal(text)
            self.assertRegex(problem, r"^FILE: is not valid YAML: .*line 1, column")
            self.assertNotIn("hunter2", problem)

    def test_a_variable_may_hold_a_whole_section_or_list(self) -> None:
        loaded = self.load(
            GIFTLESS_STORAGE="{type: x, path: /x}",
            GIFTLESS_ENDPOINTS="[tcp:1, tcp:2]",
            GIFTLESS_LIMITS="{idle_timeout: 99}",
        )
        self.assertEqual(loaded.storage, {"type": "x", "path": "/x"})
        self.assertEqual(loaded.endpoints, ["tcp:1", "tcp:2"])
        self.assertEqual(loaded.limits.idle_timeout, 99)

    def test_a_variable_may_add_to_another_ones_section(self) -> None:
        loaded = self.load(
            GIFTLESS_STORAGE="{type: x, path: /x}",
            GIFTLESS_STORAGE__PREFIX="p",
            GIFTLESS_ENDPOINTS="[tcp:1]",
            GIFTLESS_ENDPOINTS__1="tcp:2",
            GIFTLESS_ENDPOINTS__2__LISTEN="tcp:3",
            GIFTLESS_AUTH__0="{type: x, key: k}",
            GIFTLESS_AUTH__0__KEY="j",
        )
        self.assertEqual(loaded.auth, [{"type": "x", "key": "j"}])
        self.assertEqual(loaded.storage, {"type": "x", "path": "/x", "prefix": "p"})
        self.assertEqual(loaded.endpoints, ["tcp:1", "tcp:2", EndpointOptions(listen="tcp:3")])

    def test_another_type_replaces_the_section(self) -> None:
        """Of the file and of the defaults: the plugin has other keys."""
        loaded = self.load(
            "storage: {type: local, path: /x, store: {type: local, path: /y}}",
            GIFTLESS_STORAGE__TYPE="cache",
            GIFTLESS_STORAGE__BEFORE="b",
            GIFTLESS_AUTH__0__TYPE="github",
            GIFTLESS_AUTH__0__ORGS="[acme]",
        )
        self.assertEqual(loaded.storage, {"type": "cache", "before": "b"})
        self.assertEqual(loaded.auth, [{"type": "github", "orgs": "[acme]"}])
        nested = self.load(
            "storage: {type: cache, store: {type: local, path: /y}}",
            GIFTLESS_STORAGE__STORE__TYPE="s3",
            GIFTLESS_STORAGE__STORE__BUCKET="b",
        )
        self.assertEqual(nested.storage, {"type": "cache", "store": {"type": "s3", "bucket": "b"}})

    def test_the_same_type_leaves_the_section(self) -> None:
        loaded = self.load("storage: {type: local, path: /x}", GIFTLESS_STORAGE__TYPE="local")
        self.assertEqual(loaded.storage, {"type": "local", "path": "/x"})

    def test_lists_have_more_than_ten_items(self) -> None:
        items = {f"GIFTLESS_ENDPOINTS__{index}": f"tcp:{index}" for index in range(12)}
        self.assertEqual(self.load(**items).endpoints, [f"tcp:{index}" for index in range(12)])
        self.refusal(**{"GIFTLESS_ENDPOINTS__" + "9" * 5000: "tcp:1"})

    def test_what_kubernetes_sets_for_a_service_is_explained(self) -> None:
        for name, value in (
            ("GIFTLESS_SERVICE_HOST", "10.0.0.1"),
            ("GIFTLESS_SERVICE_PORT", "80"),
            ("GIFTLESS_SERVICE_PORT_HTTP", "80"),
            ("GIFTLESS_PORT", "tcp://10.0.0.1:80"),
            ("GIFTLESS_PORT_80_TCP", "tcp://10.0.0.1:80"),
            ("GIFTLESS_PORT_80_TCP_ADDR", "10.0.0.1"),
            ("GIFTLESS_ADMIN_SERVICE_HOST", "10.0.0.1"),
            ("GIFTLESS_ADMIN_PORT", "tcp://10.0.0.1:80"),
        ):
            problem = self.refusal(**{name: value})
            self.assertTrue(problem.startswith(f"environment {name}: is no key, but "), problem)
            self.assertIn("enableServiceLinks: false", problem)
        # What somebody may have meant for an option.
        self.assertIn("unknown key", self.refusal(GIFTLESS_PORT="9000"))

    def test_case_does_not_matter_after_the_prefix(self) -> None:
        self.assertEqual(self.load(GIFTLESS_threads="5").threads, 5)

    def test_other_variables_are_nobodys_business(self) -> None:
        self.assertEqual(
            self.load(THREADS="5", GIFTLESSTHREADS="x", giftless_threads="y"), Config()
        )

    def test_every_scalar_can_be_overridden(self) -> None:
        """Each key of the configuration, with a value that is not its default."""
        seen = 0
        for names, shape, default in _scalars(Config()):
            text, expected = _another(shape, default)
            loaded: Any = self.load(**{"GIFTLESS_" + "__".join(names).upper(): text})
            for name in names:
                loaded = getattr(loaded, name)
            self.assertEqual(loaded, expected, names)
            self.assertNotEqual(loaded, default, names)
            seen += 1
        self.assertGreater(seen, 20)


class FileTests(ConfigTestCase):
    """Values in files that variables name."""

    def written(self, content: bytes) -> str:
        """Make a file, and return its name."""
        path = self.mktemp()
        Path(path).write_bytes(content)
        return path

    def test_a_variable_may_name_the_file_of_a_value(self) -> None:
        for content in (b"https://lfs.example.com", b"https://lfs.example.com\r\n"):
            loaded = self.load(
                "public_url: http://x", GIFTLESS_PUBLIC_URL_FILE=self.written(content)
            )
            self.assertEqual(loaded.public_url, "https://lfs.example.com")

    def test_a_value_that_is_no_text_is_read_as_yaml(self) -> None:
        loaded = self.load(
            GIFTLESS_THREADS_FILE=self.written(b"5\n"),
            GIFTLESS_AUTH_FILE=self.written(b"- type: jwt\n  key: k\n"),
            GIFTLESS_LIMITS__IDLE_TIMEOUT_FILE=self.written(b"99"),
        )
        self.assertEqual((loaded.threads, loaded.limits.idle_timeout), (5, 99))
        self.assertEqual(loaded.auth, [{"type": "jwt", "key": "k"}])

    def test_a_key_of_that_name_is_that_key(self) -> None:
        self.assertEqual(self.load(GIFTLESS_SECRET_FILE="/nowhere").secret_file, "/nowhere")

    def test_only_variables_name_such_files(self) -> None:
        """A file of YAML may hold the value itself."""
        self.assertIn("unknown key", self.refusal("public_url_file: /x"))
        self.assertIn("unknown key", self.refusal(GIFTLESS_LIMITS="{idle_timeout_file: /x}"))

    def test_the_value_is_given_once(self) -> None:
        self.assertEqual(
            self.refusal(GIFTLESS_THREADS="5", GIFTLESS_THREADS_FILE="/x"),
            "environment GIFTLESS_THREADS_FILE: threads_file: is set beside 'threads';"
            " set one of them",
        )

    def test_a_part_of_the_value_is_not_given_beside_the_file(self) -> None:
        """It would be ignored: the file has the whole."""
        for part in ("GIFTLESS_AUTH__0__TYPE", "GIFTLESS_AUTH__0"):
            told = self.refusal(GIFTLESS_AUTH_FILE="/x", **{part: "anonymous"})
            self.assertIn("auth_file: is set beside 'auth'", told)

    def test_a_mistake_in_the_value_is_told_of_the_variable(self) -> None:
        told = self.refusal("{}", GIFTLESS_PUBLIC_URL_FILE=self.written(b"hunter2"))
        self.assertTrue(told.startswith("environment GIFTLESS_PUBLIC_URL_FILE: "), told)

    def test_the_mark_of_utf8_is_no_part_of_the_value(self) -> None:
        file = self.written(b"\xef\xbb\xbfhttp://x\r\n")
        self.assertEqual(self.load(GIFTLESS_PUBLIC_URL_FILE=file).public_url, "http://x")

    def test_what_is_wrong_with_a_file_is_told_without_what_is_in_it(self) -> None:
        pipe = self.mktemp()
        os.mkfifo(pipe)
        for file, problem in (
            ("/nowhere/at-all", "cannot be read: No such file or directory"),
            ("/", "cannot be read: Is a directory"),
            ("", "cannot be read: No such file or directory"),
            ("x\0y", "there can be no file of that name"),
            (pipe, "is no ordinary file"),
            ("/dev/zero", "is no ordinary file"),
            (self.written(b"\n"), "is empty"),
            (self.written(b"1" * (MAX_FILE + 1)), "has more than 1048576 bytes"),
            (self.written(b"\xff"), "is no text in UTF-8"),
            (self.written(b"hunter2"), "found text, allowed is a whole number from 1 to 1000"),
        ):
            told = self.refusal("threads: 3", GIFTLESS_THREADS_FILE=file)
            self.assertTrue(
                told.startswith("environment GIFTLESS_THREADS_FILE: threads_file: "), told
            )
            self.assertIn(problem, told)
            self.assertNotIn("hunter2", told)


def _scalars(
    section: msgspec.Struct, *above: str
) -> list[tuple[tuple[str, ...], inspect.Type, object]]:
    """List every scalar key below a section, with its type and its default."""
    found = []
    for field in msgspec.structs.fields(section):
        names, default = (*above, field.name), getattr(section, field.name)
        if isinstance(default, msgspec.Struct):
            found.extend(_scalars(default, *names))
        elif not isinstance(default, dict | list):
            found.append((names, inspect.type_info(field.type), default))
    return found


def _another(shape: inspect.Type, default: object) -> tuple[str, object]:
    """Return a valid value that is not the default, as text and as it is."""
    match shape:
        case inspect.UnionType(types) if isinstance(default, int):
            (kind,) = [kind for kind in types if isinstance(kind, inspect.LiteralType)]
            return _another(kind, default)
        case inspect.BoolType():
            return str(not default).lower(), not default
        case inspect.IntType(ge=ge):
            value = ge if ge is not None and ge != default else int(str(default)) + 1
            return str(value), value
        case inspect.UnionType((inspect.CustomType() as written, inspect.NoneType())):
            return _another(written, default)
        case inspect.CustomType(cls) if cls is Size:
            return "7M", Size(7_000_000)
        case inspect.CustomType(cls) if cls is Duration:
            return "45min", Duration(2700)
        case inspect.LiteralType(values):
            (other, *_) = [value for value in values if value != default]
            return str(other), other
        case inspect.CustomType():
            return "3d", Duration.of("3d")
        case _:
            return "https://example.org", "https://example.org"


class CheckTests(ConfigTestCase):
    def test_a_public_url_may_have_a_port_and_a_path(self) -> None:
        for url in (
            "https://lfs.example.com",
            "http://localhost:8080",
            "https://example.com/lfs/",
            "https://[2001:db8::1]:8443",
        ):
            self.assertEqual(self.load(f"public_url: '{url}'").public_url, url)

    def test_other_urls_are_refused(self) -> None:
        for url in (
            "lfs.example.com",
            "//lfs.example.com",
            "ftp://lfs.example.com",
            "https://",
            "https:///path",
            "https://lfs.example.com/?a=b",
            "https://lfs.example.com/?",
            "https://lfs.example.com/#a",
            "https://lfs.example.com/ x",
            "https://lfs.example.com:99999",
            "https://lfs.example.com:x",
            "https://lfs.example.com:0",
            "https://[::1",
            "https://]",
        ):
            message = self.refusal(f"public_url: '{url}'")
            self.assertRegex(message, "^FILE: public_url: found (text|a URL) .*, allowed is http")
            self.assertNotIn(f"{url} ", message)

    def test_a_url_with_a_user_is_refused_without_showing_the_password(self) -> None:
        for user in ("user", "user:password", ":password"):
            self.assertEqual(
                self.refusal(f"public_url: 'https://{user}@lfs.example.com'"),
                "FILE: public_url: found a URL with a user or a password, allowed is"
                " http(s)://host[:port][/path] without query or user",
            )

    def test_hosts_of_the_admin_endpoints_are_names_without_ports(self) -> None:
        hosts = ["admin.example.com", "giftless", "A_b-c"]
        self.assertEqual(self.load(f"admin: {{hosts: {hosts}}}").admin.hosts, hosts)
        for wrong in ("", "a:80", "http://a", "a/b", "*", "*.example.com", "a.", "a b", "a..b"):
            message = self.refusal(f"admin: {{hosts: [x, {wrong!r}]}}")
            self.assertIn("admin.hosts.1: found", message)

    def test_trusted_proxies_are_addresses_networks_or_unix(self) -> None:
        proxies = ["127.0.0.1", "10.0.0.0/8", "10.1.2.3/8", "::1", "fd00::/8", "unix"]
        self.assertEqual(self.load(f"trusted_proxies: {proxies}").trusted_proxies, proxies)
        for wrong in ("localhost", "10.0.0.0/33", "10.0.0", "", "unix:/x", "*"):
            message = self.refusal(f"trusted_proxies: [127.0.0.1, '{wrong}']")
            self.assertTrue(message.startswith("FILE: trusted_proxies.1: found "), message)

    def test_there_is_one_secret(self) -> None:
        self.assertEqual(self.load("secret: abc").secret, "abc")
        self.assertEqual(self.load("secret_file: /x").secret_file, "/x")
        message = self.refusal("secret: abc\nsecret_file: /x")
        self.assertEqual(message, "FILE: secret_file: is set beside 'secret'; set one of them")
        message = self.refusal("secret_file: /x", GIFTLESS_SECRET="abc")
        self.assertIn("is set beside 'secret'", message)

    def test_idle_connections_are_kept_for_at_least_a_minute(self) -> None:
        """Clients keep eight of them; the default must not cut them off."""
        self.assertGreaterEqual(Config().limits.idle_timeout, 60)
        self.assertGreaterEqual(Config().limits.stall_timeout, 60)
