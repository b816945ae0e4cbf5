"""Questions, with and without somebody to ask."""

from __future__ import annotations

from collections.abc import Iterable

from twisted.trial.unittest import SynchronousTestCase

from giftless.auth.passwords.htpasswd import Passwords
from giftless.setup.answers import Edge
from giftless.setup.asking import AskingProblem
from giftless.setup.editing import Refused
from giftless.setup.proxies import mark
from giftless.setup.seals import sealed
from giftless.setup.validity import plain_data
from tests.setup.support import DATA, FOLDER, Desk

URL = "https://lfs.example.com"

#: What is proposed for a proxy.
EDGE = Edge("proxy", "127.0.0.1:8080", proxy="caddy")


class Typist:
    """Somebody at a terminal, who types what is prepared, and leaves then.

    :ivar told: what was shown, prompts included.
    """

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)
        self.told: list[str] = []

    def say(self, text: str) -> None:
        """See :class:`giftless.setup.asking.Conversation`."""
        self.told.append(text)

    def ask(self, prompt: str) -> str:
        """See :class:`giftless.setup.asking.Conversation`."""
        self.told.append(prompt)
        try:
            return next(self._lines)
        except StopIteration:
            raise EOFError from None

    ask_secretly = ask


class TerminalTests(SynchronousTestCase):
    #: Storage, S3's fields, identities, files of users, the user, anonymous, TLS, workers.
    answers = (
        *("s3", "lfs", "", "", "KEY", "the secret"),
        *("basic", "", "", "bob", "pass word"),
        *("read", "proxy", "nginx", "lfs.example.com", URL, "", "", "", "", "3"),
    )

    def test_what_is_typed_is_what_is_written(self) -> None:
        desk, typist = Desk(), Typist(self.answers)
        desk.write(desk.plan({}, typist))
        data = plain_data(desk.text)
        self.assertEqual(data["storage"]["secret_access_key"], "the secret")
        self.assertEqual(data["public_url"], URL)
        self.assertEqual(data["workers"], 3)
        users = Passwords.parse(desk.files[f"{FOLDER}/htpasswd"])
        self.assertEqual([*users.hashes], ["bob"])
        # The first answer for the URL was none.
        self.assertTrue(any("https://" in each and "begin" in each for each in typist.told))
        for each in typist.told:
            self.assertNotIn("the secret", each)
            self.assertNotIn("pass word", each)

    def test_whoever_leaves_at_any_question_leaves_nothing(self) -> None:
        for number in range(len(self.answers)):
            desk = Desk()
            self.assertRaises(EOFError, desk.plan, {}, Typist(self.answers[:number]))

    def test_a_second_run_proposes_what_is_there(self) -> None:
        desk = Desk()
        desk.write(desk.plan({}, Typist(self.answers)))
        typist = Typist([""] * 50)
        self.assertEqual([*desk.plan({}, typist).files], [])
        for shown in ("[s3]", "[lfs]", "[KEY]", "[basic]", "[read]", "[nginx]", f"[{URL}]", "[3]"):
            self.assertTrue([each for each in typist.told if shown in each], shown)

    def test_one_answer_changes_one_thing(self) -> None:
        desk = Desk()
        desk.write(desk.plan({}, Typist(self.answers)))
        before = desk.text
        desk.write(desk.plan({}, Typist(["", "other", *[""] * 50])))
        self.assertEqual(desk.text, before.replace("bucket: lfs", "bucket: other"))

    def test_an_answer_is_taken_back_by_a_dash(self) -> None:
        desk = Desk()
        desk.run(storage="s3", s3_bucket="lfs", s3_endpoint="http://minio:9000", public_url=URL)
        desk.write(desk.plan({}, Typist(["", "", "", "-", *[""] * 50])))
        self.assertNotIn("endpoint_url", plain_data(desk.text)["storage"])


class OptionTests(SynchronousTestCase):
    def test_without_a_terminal_the_missing_option_is_named(self) -> None:
        for given, option in (
            ({}, "--storage"),
            ({"storage": "s3"}, "--s3-bucket"),
            ({"storage": "s3", "s3-bucket": "x", "s3-key-id": "K"}, "--s3-region"),
            ({"storage": "local", "local-path": "/srv"}, "--identities"),
        ):
            error = self.assertRaises(AskingProblem, Desk().plan, given, None, None, False)
            self.assertIn(f"give {option}, or --yes", str(error))

    def test_what_nobody_can_propose_is_needed_in_any_case(self) -> None:
        for given, option in (
            ({"storage": "s3"}, "--s3-bucket"),
            ({"storage": "s3", "s3-bucket": "x", "s3-key-id": "K"}, "--s3-secret-from"),
            ({"identities": "oidc"}, "--oidc-issuer"),
            ({"identities": "none", "anonymous": "read"}, "--public-url"),
            ({"tls": "files"}, "--certificate"),
        ):
            error = self.assertRaises(AskingProblem, Desk().plan, given)
            self.assertIn(f"give {option}", str(error))

    def test_what_is_not_allowed_names_its_option(self) -> None:
        for given in (
            {"storage": "ftp"},
            {"identities": "basic,nis"},
            {"first-user": "a:b"},
            {"first-user": "*"},
            {"first-user": "../x"},
            {"password-from": "hunter2"},
            {"password-from": "env:IS_NOT_SET"},
            {"password-from": "file:/is/not/there"},
            {"identities": "none", "anonymous": "none"},
            {"tls": "files", "public-url": "http://lfs.example.com"},
            {"public-url": URL, "certificate": "/etc/$x.pem"},
            {"listen": "8080x"},
            {"s3-bucket": "not-of-a-directory"},
            {"tls": "none", "certificate": "/etc/x.pem"},
            {"identities": "none", "anonymous": "read", "password-from": "generate"},
        ):
            *_, option = given
            error = self.assertRaises(AskingProblem, Desk().plan, {"public-url": URL, **given})
            self.assertIn(f"--{option}:", str(error))
            self.assertNotIn("hunter2", str(error))

    def test_secrets_come_from_files_and_variables(self) -> None:
        path = self.mktemp()
        with open(path, "w") as file:
            file.write("from a file\r\nand more\n")
        for source, secret in ((f"file:{path}", "from a file"), ("env:KEY", "from a variable")):
            desk = Desk()
            given = {"storage": "azure", "azure-container": "x", "azure-account": "y"}
            given |= {"azure-key-from": source, "public-url": URL}
            plan = desk.plan(given, environ={"KEY": "from a variable"})
            desk.write(plan)
            self.assertEqual(plain_data(desk.text)["storage"]["account_key"], secret)
            self.assertTrue(next(f for f in plan.files if f.path == desk.layout.config).private)
            self.assertNotIn(secret, repr(plan))

    def test_what_was_made_is_told_by_a_file_alone(self) -> None:
        desk = Desk()
        plan = desk.plan({"public-url": URL, "first-user": "bob"})
        own = [file.path for file in plan.files if file.own]
        self.assertEqual(own, [f"{FOLDER}/bob.password"])
        self.assertNotIn("made", repr(plan))


class PresentTests(SynchronousTestCase):
    """Configurations that people have written."""

    def setUp(self) -> None:
        self.desk = Desk()

    def have(self, text: str) -> None:
        """Let there be a configuration."""
        self.desk.files[self.desk.layout.config] = text.encode()

    def test_what_cannot_be_asked_for_stays(self) -> None:
        self.have(
            "storage: {type: encrypted, store: {type: local, path: /srv}, keys: {type: file}}\n"
            "auth: [{type: github, orgs: [a]}, {type: github, orgs: [b]}, {type: anonymous}]\n"
            "endpoints: ['tcp:80', 'unix:/run/x']\n"
            "workers: 8\n"
        )
        self.assertEqual([*self.desk.plan({}).files], [])
        typist = Typist([""] * 50)
        self.assertEqual([*self.desk.plan({}, typist).files], [])
        self.assertTrue([each for each in typist.told if "[keep]" in each])

    def test_options_of_a_section_that_nobody_asks_for_stay(self) -> None:
        self.have(
            "storage: {type: s3, bucket: a, part_size: 67108864}\n"
            "auth:\n  - {type: mirror}\n  - {type: basic, htpasswd: /x/h, access: /x/a, realm: r}\n"
            "  - {type: anonymous}\n"
        )
        self.desk.run(s3_bucket="b", anonymous="none", identities="basic,jwt")
        data = plain_data(self.desk.text)
        self.assertEqual(data["storage"], {"type": "s3", "bucket": "b", "part_size": 67108864})
        kinds = [(each["type"], each.get("realm")) for each in data["auth"]]
        self.assertEqual(kinds, [("mirror", None), ("basic", "r"), ("jwt", None)])

    def test_the_default_that_everybody_writes_is_known(self) -> None:
        self.have("workers: 2\n")
        typist = Typist([""] * 50)
        self.assertEqual([*self.desk.plan({}, typist).files], [])
        self.assertTrue([each for each in typist.told if "[read-write]" in each])
        self.desk.run(anonymous="read")
        auth = plain_data(self.desk.text)["auth"]
        self.assertEqual(auth, [{"type": "anonymous", "access": "read"}])

    def test_a_user_is_added_to_files_that_are_there(self) -> None:
        self.desk.run(public_url=URL, first_user="alice")
        path = f"{FOLDER}/htpasswd"
        before = self.desk.files[path]
        plan = self.desk.plan({"first-user": "alice"})
        self.assertEqual([*plan.files], [])
        self.desk.files[path] = before.rstrip(b"\n")
        self.desk.run(first_user="yes")
        self.assertTrue(self.desk.files[path].startswith(before))
        grants = plain_data(self.desk.files[f"{FOLDER}/access.yaml"].decode())
        self.assertEqual(grants, {"alice": {"**": "admin"}, "yes": {"**": "admin"}})

    def test_a_proxy_that_somebody_has_changed_is_left_alone(self) -> None:
        desk = self.desk
        desk.run(public_url=URL)
        desk.files[desk.layout.proxy] += b"# ours\n"
        plan = desk.run(
            public_url="https://other.example.com", certificate="/c", certificate_key="/k"
        )
        self.assertTrue(desk.files[desk.layout.proxy].endswith(b"# ours\n"))
        self.assertIn("+    server_name other.example.com;", plan.by_hand[desk.layout.proxy])

    def test_files_of_others_are_left_alone(self) -> None:
        units = Desk(units="/etc/systemd/system")
        for desk, path, given in (
            (self.desk, self.desk.layout.proxy, {"public_url": URL}),
            (units, "/etc/systemd/system/giftless.service", {"tls": "none"}),
            (units, "/etc/systemd/system/giftless.service.d/setup.conf", {"tls": "none"}),
        ):
            desk.files = {path: b"ours\n"}
            plan = desk.run(**given)
            self.assertEqual(desk.files[path], b"ours\n")
            self.assertIn("-ours", plan.by_hand[path])

    def test_what_an_unfinished_run_or_another_release_has_written_is_replaced(self) -> None:
        desk = self.desk
        desk.run(public_url=URL, proxy="caddy")
        before = desk.files[desk.layout.proxy]
        desk.files[desk.layout.proxy] = sealed(f"# older\n{mark(EDGE)}\n").encode()
        desk.run()
        self.assertEqual(desk.files[desk.layout.proxy], before)

    def test_a_key_of_jwt_that_stands_elsewhere_stays_there(self) -> None:
        self.have(
            "auth: [{type: jwt, jwks_url: 'https://sso.example.com/jwks', algorithms: [RS256]}]\n"
        )
        plan = self.desk.plan({"workers": "3"})
        self.assertEqual([file.path for file in plan.files], [self.desk.layout.config])

    def test_users_with_keys_of_ssh_alone_get_no_passwords(self) -> None:
        self.have(
            "auth: [{type: basic, access: /etc/giftless/access.yaml}]\n"
            "ssh: {endpoints: ['tcp:2222'], keys: [{type: file, keys_file: /etc/keys}]}\n"
        )
        plan = self.desk.plan({"workers": "3"})
        self.assertEqual([file.path for file in plan.files], [self.desk.layout.config])

    def test_what_to_write_by_hand_shows_no_secret(self) -> None:
        self.have("{storage: {type: s3, bucket: a}, locks: {type: sqlite, path: /x}}\n")
        given = {"s3-key-id": "AK", "s3-secret-from": "env:KEY"}
        refused = self.assertRaises(Refused, self.desk.plan, given, environ={"KEY": "hunter2"})
        self.assertNotIn("hunter2", str(refused))
        self.assertIn("  access_key_id: AK\n  secret_access_key: (a secret)\n", str(refused))

    def test_the_configuration_is_private_whatever_secret_is_in_it(self) -> None:
        self.have("locks: {type: postgresql, conninfo: 'password=hunter2'}\n")
        plan = self.desk.plan({"workers": "3"})
        self.assertEqual([file.private for file in plan.files], [True])

    def test_a_proxy_comes_from_where_it_goes_to(self) -> None:
        for listen, address in (
            ("[::1]:8080", "::1"),
            ("10.0.0.5:80", "10.0.0.5"),
            ("8080", "127.0.0.1"),
        ):
            desk = Desk()
            desk.run(public_url=URL, listen=listen)
            self.assertEqual(plain_data(desk.text)["trusted_proxies"], [address])

    def test_another_proxy_takes_the_place_of_the_first(self) -> None:
        desk = self.desk
        desk.run(public_url=URL)
        desk.run(proxy="caddy", certificate="")
        self.assertIn(b"reverse_proxy 127.0.0.1:8080", desk.files[desk.layout.proxy])
        self.assertEqual([*desk.plan({}).files], [])

    def test_directories_of_data_are_made(self) -> None:
        plan = self.desk.plan({"public-url": URL})
        self.assertEqual(plan.folders, {f"{DATA}/state": 0o700, f"{DATA}/objects": 0o750})
