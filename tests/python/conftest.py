"""The real server, a scripted model server and an OIDC issuer, once for all tests.

`cargo xtask test --only python` builds the programs and names them in the environment. Every
process ends with the test run: by the handle that started it, or because its parent is gone.
"""

import asyncio
import os
import pathlib
import secrets
import subprocess
import time
from dataclasses import dataclass, field

import httpx2
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.auth import WorkloadIdentityAuth

PATIENCE_SECONDS = 20
AUDIENCE = "https://waypost.example/tests"
SUBJECT = "system:serviceaccount:tests:worker"


class Process:
    """A program that writes its address to a ready file."""

    def __init__(self, folder: pathlib.Path, name: str, command: list[str], env: dict[str, str]):
        self.folder, self.name, self.command, self.env = folder, name, command, env
        self.log = folder / f"{name}.log"
        self.child, self.url = None, ""

    def start(self, *more: str) -> "Process":
        ready = self.folder / f"{self.name}.ready"
        ready.unlink(missing_ok=True)
        with self.log.open("a") as log:
            self.child = subprocess.Popen(
                [*self.command, "--ready-file", str(ready), *more],
                cwd=self.folder,
                env={**os.environ, **self.env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not ready.exists():
            assert self.child.poll() is None, f"{self.name} ended:\n{self.log.read_text()}"
            assert time.monotonic() < deadline, f"{self.name} does not serve"
            time.sleep(0.01)
        self.url = ready.read_text().strip()
        return self

    def kill(self) -> None:
        self.child.kill()
        self.child.wait()

    def stop(self) -> None:
        if self.child and self.child.poll() is None:
            self.child.terminate()
            try:
                self.child.wait(PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()


@dataclass
class House:
    """Everything that runs, and how to talk to it."""

    waypost: Process
    upstream: Process
    issuer: Process
    admin_key: str
    http: httpx2.Client = field(default_factory=lambda: httpx2.Client(timeout=20))

    @property
    def base_url(self) -> str:
        return self.waypost.url + "/v1"

    @property
    def token_url(self) -> str:
        return self.waypost.url + "/oauth/token"

    def client(self, key, **options) -> OpenAI:
        return OpenAI(base_url=self.base_url, api_key=key, **{"max_retries": 0, **options})

    def async_client(self, key, **options) -> AsyncOpenAI:
        return AsyncOpenAI(base_url=self.base_url, api_key=key, **{"max_retries": 0, **options})

    def administrator(self) -> OpenAI:
        return OpenAI(
            base_url=self.base_url,
            admin_api_key=self.admin_key,
            max_retries=0,
            _strict_response_validation=True,
        )

    def jwt(self, subject=SUBJECT, audience=AUDIENCE, lifetime=600, **claims) -> str:
        body = {"sub": subject, "aud": audience, "lifetime": lifetime, "claims": claims}
        return self.http.post(self.issuer.url + "/__token", json=body).raise_for_status().json()["token"]

    def upstream_stats(self) -> dict:
        return self.http.get(self.upstream.url + "/__stats").raise_for_status().json()

    def requests_of(self, key: str) -> list[dict]:
        """The requests for model names whose script has this `key`, with how they were answered."""
        reply = self.http.get(self.upstream.url + "/__requests?key=" + key).raise_for_status()
        return reply.json()["requests"]

    def last_upstream_request(self, model: str) -> dict:
        """The last request for a model name that only one test uses."""
        requests = [r["body"] for r in self.upstream_stats()["requests"]]
        return [body for body in requests if isinstance(body, dict) and body.get("model") == model][-1]


@dataclass
class Federation:
    """A provider and a rule that let [`SUBJECT`] act as a service account without a key."""

    house: House
    project: str
    account: str
    provider: str
    rule: str

    def identity(self, get_token=None, **options):
        provider = {"token_type": "jwt", "get_token": get_token or self.house.jwt}
        return {
            "identity_provider_id": self.provider,
            "service_account_id": self.account,
            "provider": provider,
            **options,
        }

    def auth(self, get_token=None) -> WorkloadIdentityAuth:
        return WorkloadIdentityAuth(
            workload_identity=self.identity(get_token), token_exchange_url=self.house.token_url
        )


@pytest.fixture(scope="session")
def house(tmp_path_factory):
    folder = tmp_path_factory.mktemp("house")
    testkit = os.environ["WAYPOST_TESTKIT_BIN"]
    parent = ["--parent-pid", str(os.getpid())]
    upstream = Process(folder, "upstream", [testkit, "upstream", *parent], {})
    issuer = Process(folder, "issuer", [testkit, "issuer", *parent], {})
    admin_key = "sk-admin-" + secrets.token_hex(32)
    waypost = Process(
        folder,
        "waypost",
        [os.environ["WAYPOST_BIN"], "serve", "--config", "waypost.toml"],
        {"WAYPOST_ADMIN_KEY": admin_key},
    )
    try:
        upstream.start()
        issuer.start()
        (folder / "waypost.toml").write_text(configuration(upstream.url, issuer.url))
        waypost.start("--listen", "127.0.0.1:0")
        about = {"server": "ollama", "capabilities": ["completion", "tools"]}
        httpx2.post(upstream.url + "/__about", json=about).raise_for_status()
        house = House(waypost, upstream, issuer, admin_key)
        yield house
        house.http.close()
    finally:
        for process in (waypost, issuer, upstream):
            process.stop()


def configuration(upstream: str, issuer: str) -> str:
    """One scripted model server as three: a sound one, a weak one, and one whose model knows no tools
    if its script says `capabilities=completion`."""
    return f"""
data_dir = "data"

[identity]
allow_private_issuers = ["{issuer}"]

[responses]
lease = "1s"

[[upstreams]]
name = "weak"
base_url = "{upstream}/v1"
models = ["weak?*"]
dialect = "generic"

[[upstreams]]
name = "plain"
base_url = "{upstream}/v1"
models = ["plain?*"]
dialect = "ollama"

[[upstreams]]
name = "scripted"
base_url = "{upstream}/v1"
dialect = "llama.cpp"
"""


@pytest.fixture
def administrator(house):
    with house.administrator() as client:
        yield client


@pytest.fixture
def organization(administrator):
    return administrator.admin.organization


@pytest.fixture(scope="session")
def key(house):
    """A service account's key in a project of its own."""
    with house.administrator() as client:
        organization = client.admin.organization
        project = organization.projects.create(name="python-tests")
        account = organization.projects.service_accounts.create(project.id, name="worker")
        return account.api_key.value


@pytest.fixture
def client(house, key):
    with house.client(key) as client:
        yield client


@pytest.fixture
def federation(house, organization):
    project = organization.projects.create(name="federated")
    account = organization.projects.service_accounts.create(
        project.id, name="keyless", create_service_account_only=True
    )
    provider = organization.workload_identity_providers.create(
        type="oidc",
        name=f"cluster-{secrets.token_hex(4)}",
        issuer=house.issuer.url,
        audience=AUDIENCE,
    )
    rule = organization.workload_identity_providers.federation_rules.create(
        provider.id,
        project_id=project.id,
        service_account_id=account.id,
        attribute_matchers={"sub": SUBJECT},
    )
    yield Federation(house, project.id, account.id, provider.id, rule.id)
    rules = organization.workload_identity_providers.federation_rules
    for left in rules.list(provider.id):
        rules.delete(left.id, workload_identity_provider_id=provider.id)
    organization.workload_identity_providers.delete(provider.id)


@pytest.fixture
def run_async(house, key):
    """Runs `story(client)` with an asynchronous client, to its end."""

    def run(story):
        async def with_client():
            async with house.async_client(key) as client:
                return await story(client)

        return asyncio.run(with_client())

    return run


def until(condition, seconds=10.0, every=0.02):
    """The first true value of `condition()`."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(every)
    return value


def unique() -> str:
    """A `key` for a script that is counted on its own."""
    return secrets.token_hex(6)


def numbers(count: int) -> str:
    """What the scripted model answers with so many tokens."""
    return "".join(f"{number} " for number in range(count))
