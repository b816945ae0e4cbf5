"""The chart, as helm renders it: it configures what there is, and refuses what cannot work."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import yaml
from twisted.trial.unittest import SynchronousTestCase

from giftless.app import permissions
from giftless.app.config import Config
from giftless.runtime.plans import PATIENCE
from tests.containers.configuring import configured
from tests.docs.pages import ROOT
from tests.support.servers import find_command

HELM = ROOT / "etc" / "helm"
CHART = HELM / "giftless"
SEVERAL = HELM / "several.yaml"

#: Says who a key of SSH is.
KEYRING = "config.ssh.keys[0].type=github"

#: Everything that may be switched on.
ALL = (
    "metrics.enabled=true",
    "metrics.serviceMonitor.enabled=true",
    "metrics.from[0].podSelector.matchLabels.app=prometheus",
    "autoscaling.enabled=true",
    "ssh.enabled=true",
    "ssh.hostKeysSecret=ssh",
    KEYRING,
)


class ChartTestCase(SynchronousTestCase):
    """Is skipped where there is no helm."""

    def setUp(self) -> None:
        self.helm = find_command("helm")
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir()

    def run_helm(
        self, *settings: str, values: Path | None = None, release: str = "lfs"
    ) -> subprocess.CompletedProcess[str]:
        """Render the chart."""
        arguments = [word for setting in settings for word in ("--set", setting)]
        if values is not None:
            arguments += ["--values", str(values)]
        return subprocess.run(
            [self.helm, "template", release, CHART, *arguments],
            capture_output=True,
            text=True,
            check=False,
            env={"HOME": str(self.directory), "PATH": "/usr/bin:/bin"},
        )

    def render(self, *settings: str, values: Path | None = None) -> dict[str, dict[str, Any]]:
        """Return what is rendered, by its kind."""
        rendered = self.run_helm(*settings, values=values)
        self.assertEqual(rendered.returncode, 0, rendered.stderr)
        self.text = rendered.stdout
        found = [each for each in yaml.safe_load_all(rendered.stdout) if each]
        return {
            each["kind"] + each["metadata"]["name"].removeprefix("lfs-giftless"): each
            for each in found
        }

    def refusal(self, *settings: str, values: Path | None = None) -> str:
        """Return why the chart cannot be rendered."""
        rendered = self.run_helm(*settings, values=values)
        self.assertNotEqual(rendered.returncode, 0, settings)
        return rendered.stderr

    def load(self, rendered: dict[str, dict[str, Any]]) -> Config:
        """Load the configuration that the container gets."""
        container = pod(rendered)["containers"][0]
        environ = {each["name"]: each["value"] for each in container.get("env", [])}
        text = rendered["ConfigMap"]["data"]["giftless.yaml"]
        return configured(text, environ, self.directory)


def pod(rendered: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the pod of the deployment."""
    found: dict[str, Any] = rendered["Deployment"]["spec"]["template"]["spec"]
    return found


class RenderingTests(ChartTestCase):
    def test_one_replica_has_a_volume(self) -> None:
        rendered = self.render()
        self.assertEqual(rendered["Deployment"]["spec"]["strategy"], {"type": "Recreate"})
        self.assertIn("PersistentVolumeClaim", rendered)
        self.assertNotIn("PodDisruptionBudget", rendered)
        config = self.load(rendered)
        mounts = {
            each["name"]: each["mountPath"]
            for each in pod(rendered)["containers"][0]["volumeMounts"]
        }
        for path in (config.state_dir, config.storage["path"]):
            self.assertTrue(path.startswith(mounts["data"]), path)
        self.assertEqual(config.auth, [{"type": "anonymous", "access": "read"}])

    def test_several_share_a_bucket_and_a_database(self) -> None:
        rendered = self.render(values=SEVERAL)
        config = self.load(rendered)
        self.assertEqual(config.storage["type"], "s3")
        self.assertNotIn("path", config.storage)
        self.assertEqual(config.public_url, "https://lfs.example.com")
        self.assertEqual(rendered["Deployment"]["spec"]["strategy"]["type"], "RollingUpdate")
        self.assertEqual(rendered["PodDisruptionBudget"]["spec"]["maxUnavailable"], 1)
        self.assertNotIn("PersistentVolumeClaim", rendered)

    def test_secrets_are_files_that_exist_already(self) -> None:
        rendered = self.render(values=SEVERAL)
        self.assertNotIn("Secret", rendered)
        files = {
            f"/run/secrets/giftless/{item['path']}"
            for volume in pod(rendered)["volumes"]
            for source in volume.get("projected", {}).get("sources", [])
            for item in source["secret"]["items"]
        }
        environ = pod(rendered)["containers"][0]["env"]
        self.assertEqual({each["value"] for each in environ}, files)

    def test_a_pod_has_no_rights(self) -> None:
        for rendered in (self.render(), self.render(*ALL, values=SEVERAL)):
            found = pod(rendered)
            self.assertIs(found["enableServiceLinks"], False)
            self.assertIs(found["automountServiceAccountToken"], False)
            self.assertIs(found["securityContext"]["runAsNonRoot"], True)
            self.assertEqual(found["securityContext"]["seccompProfile"], {"type": "RuntimeDefault"})
            self.assertEqual(
                found["containers"][0]["securityContext"],
                {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
            )

    def test_transfers_may_end_before_a_pod_is_killed(self) -> None:
        for settings in ((), ("config.shutdown_timeout=600", "preStopSeconds=30")):
            rendered = self.render(*settings)
            (pause,) = pod(rendered)["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][1:]
            needed = self.load(rendered).shutdown_timeout + PATIENCE + int(pause)
            self.assertGreater(pod(rendered)["terminationGracePeriodSeconds"], needed)

    def test_probes_ask_where_the_daemon_answers(self) -> None:
        rendered = self.render()
        config, container = self.load(rendered), pod(rendered)["containers"][0]
        self.assertIs(config.admin.public_health, True)
        self.assertEqual(container["ports"], [{"name": "http", "containerPort": 8080}])
        self.assertEqual(config.endpoints, ["tcp:8080:interface=\\:\\:"])
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            self.assertEqual(container[probe]["httpGet"]["port"], "http")

    def test_only_prometheus_reaches_the_admin_endpoint(self) -> None:
        closed = self.render()
        self.assertEqual(self.load(closed).admin.endpoints, ["tcp:9090:interface=127.0.0.1"])
        rendered = self.render(*ALL, values=SEVERAL)
        self.assertEqual(self.load(rendered).admin.endpoints, ["tcp:9090:interface=\\:\\:"])
        clients, operators = rendered["NetworkPolicy"]["spec"]["ingress"]
        self.assertNotIn("from", clients)
        self.assertEqual(
            operators["from"], [{"podSelector": {"matchLabels": {"app": "prometheus"}}}]
        )
        self.assertIn("ServiceMonitor", rendered)
        self.assertIn("HorizontalPodAutoscaler", rendered)

    def test_ssh_has_a_service_and_keys_that_exist_already(self) -> None:
        self.assertEqual(self.load(self.render()).ssh.endpoints, [])
        rendered = self.render(*ALL, "ssh.hostKeys={rsa,ed25519}", values=SEVERAL)
        ssh = self.load(rendered).ssh
        self.assertEqual(ssh.endpoints, ["tcp:2222:interface=\\:\\:"])
        self.assertEqual(ssh.keys, [{"type": "github"}])
        found = pod(rendered)
        mounts = {each["name"]: each for each in found["containers"][0]["volumeMounts"]}
        volumes = {each["name"]: each for each in found["volumes"]}
        secret = volumes["host-keys"]["secret"]
        self.assertEqual((secret["secretName"], secret["defaultMode"]), ("ssh", 0o440))
        where = mounts["host-keys"]["mountPath"]
        self.assertEqual(ssh.host_keys, [f"{where}/{each['path']}" for each in secret["items"]])
        self.assertIn({"name": "ssh", "containerPort": 2222}, found["containers"][0]["ports"])
        (port,) = rendered["Service-ssh"]["spec"]["ports"]
        self.assertEqual(port, {"name": "ssh", "port": 22, "targetPort": "ssh"})
        clients, _ = rendered["NetworkPolicy"]["spec"]["ingress"]
        self.assertEqual([each["port"] for each in clients["ports"]], ["http", "ssh"])

    def test_one_replica_may_make_its_own_key_of_ssh(self) -> None:
        rendered = self.render("ssh.enabled=true", "config.ssh.keys[0].type=github")
        self.assertEqual(self.load(rendered).ssh.host_keys, [])
        self.assertNotIn("host-keys", [each["name"] for each in pod(rendered)["volumes"]])

    def test_any_release_has_names_that_kubernetes_takes(self) -> None:
        for release in ("true", f"a.{'b' * 51}"):
            settings = ("metrics.enabled=true", "ssh.enabled=true", KEYRING)
            rendered = self.run_helm(*settings, release=release)
            for each in filter(None, yaml.safe_load_all(rendered.stdout)):
                name = each["metadata"]["name"]
                self.assertRegex(name, r"\A[a-z][a-z0-9-]{0,61}[a-z0-9]\Z")
                self.assertEqual(each["metadata"]["labels"]["app.kubernetes.io/instance"], release)

    def test_names_that_look_like_numbers_are_text(self) -> None:
        file = self.directory / "values.yaml"
        file.write_text(
            "serviceAccount: {create: false, name: '123'}\n"
            "priorityClassName: '1e3'\n"
            "persistence: {existingClaim: '0x1'}\n"
            "ingress: {enabled: true, className: 'yes', tlsSecretName: null}\n"
            "secrets: [{option: secret, secretName: '007', key: '1'}]\n"
        )
        rendered = self.render(values=file)
        found = pod(rendered)
        volumes = {each["name"]: each for each in found["volumes"]}
        (source,) = volumes["secrets"]["projected"]["sources"]
        ingress = rendered["Ingress"]["spec"]
        self.assertEqual(
            (
                found["serviceAccountName"],
                found["priorityClassName"],
                volumes["data"]["persistentVolumeClaim"]["claimName"],
                source["secret"]["name"],
                ingress["ingressClassName"],
            ),
            ("123", "1e3", "0x1", "007", "yes"),
        )
        self.assertEqual(self.load(rendered).public_url, "http://lfs.example.com")

    def test_another_configuration_makes_other_pods(self) -> None:
        sums = set()
        for settings in ((), ("config.threads=5",)):
            template = self.render(*settings)["Deployment"]["spec"]["template"]
            sums.add(template["metadata"]["annotations"]["checksum/config"])
        self.assertEqual(len(sums), 2)

    def test_kubernetes_knows_every_field(self) -> None:
        command = find_command("kubernetes-validate")
        for number, values in enumerate((None, SEVERAL)):
            self.render(*(ALL if values else ()), values=values)
            file = self.directory / f"{number}.yaml"
            file.write_text(self.text)
            found = subprocess.run(
                [command, "--strict", "--no-warn", file],
                capture_output=True,
                text=True,
                check=False,
            )
            self.assertEqual(found.returncode, 0, found.stdout + found.stderr)


class RefusalTests(ChartTestCase):
    def test_several_replicas_share_everything(self) -> None:
        for settings, problem in (
            (["replicaCount=2"], "storage that all share"),
            (["autoscaling.enabled=true"], "storage that all share"),
            (["replicaCount=2", *S3], "cannot share a volume"),
            (["replicaCount=2", "config.storage.type=mirror", *NO_VOLUME], "a mirror is one"),
            (["replicaCount=2", *S3, *NO_VOLUME], "config.locks of type postgresql"),
            (["replicaCount=2", *S3, *NO_VOLUME, *LOCKS], "config.catalogue of type postgresql"),
            (["replicaCount=2", *S3, *NO_VOLUME, *LOCKS, *CATALOGUE], "the same secret"),
            ([*OTHERS, "ssh.enabled=true", KEYRING], "the same keys of SSH"),
        ):
            self.assertIn(problem, self.refusal(*settings))
        nested = "config.storage.store.type=local"
        self.assertIn(
            "all share", self.refusal("replicaCount=2", "config.storage.type=cache", nested)
        )

    def test_objects_are_not_kept_in_a_pod(self) -> None:
        self.assertIn("would be lost", self.refusal(*NO_VOLUME))

    def test_secrets_are_refused_among_the_values(self) -> None:
        """All of those that the daemon itself takes for one."""
        for name in sorted(permissions._SECRETS):
            problem = self.refusal(f"config.auth[0].{name}=hunter2")
            self.assertIn(f"config.auth.0.{name} is a secret", problem)
            self.assertNotIn("hunter2", problem)

    def test_misspelt_values_are_refused(self) -> None:
        for setting in (
            "replicaCont=2",
            "image.tagg=x",
            f"{SECRET},secrets[0].option=auth.0",
            "replicaCount=x",
            "config.locks=none",
            "ingress=null",
        ):
            self.assertIn("values don't meet the specifications", self.refusal(setting))
        self.assertIn("say it in config", self.refusal("env[0].name=GIFTLESS_THREADS"))

    def test_what_the_chart_relies_on_cannot_be_changed(self) -> None:
        for setting, problem in (
            ("config.endpoints={tcp:9999}", "one on port 8080"),
            ("config.admin.endpoints={tcp:1}", "the chart's"),
            ("config.admin.public_health=false", "the chart's"),
            (f"{SECRET},{SECRET.replace('[0]', '[1]')}", "secret is there twice"),
            ("autoscaling.enabled=true,autoscaling.maxReplicas=1", "more than maxReplicas"),
            ("ssh.enabled=true", "who a key is"),
            (f"ssh.enabled=true,{KEYRING},config.ssh.endpoints={{tcp:22}}", "one on port 2222"),
            ("ssh.enabled=true,config.ssh.host_keys={/x}", "into a Secret"),
        ):
            self.assertIn(problem, self.refusal(setting))
        self.assertIn("begin with a digit", self.run_helm(release="1st").stderr)


S3 = ("config.storage.type=s3", "config.storage.bucket=b")
NO_VOLUME = ("persistence.enabled=false",)
LOCKS = ("config.locks.type=postgresql",)
CATALOGUE = ("config.catalogue.type=postgresql",)
SECRET = "secrets[0].option=secret,secrets[0].secretName=s,secrets[0].key=k"
OTHERS = ("replicaCount=2", *S3, *NO_VOLUME, *LOCKS, *CATALOGUE, SECRET)
