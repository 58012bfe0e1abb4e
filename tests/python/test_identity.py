"""A workload without an API key, through the SDK's own workload identity code."""

import time

import openai
import pytest
from conftest import SUBJECT, numbers, until
from openai import AsyncOpenAI, OpenAI


def test_callable_key_and_token_exchange_url(house, federation):
    auth = federation.auth()
    with house.client(auth.get_token) as client:
        assert client.responses.create(model="scripted?tokens=3", input="x").output_text == numbers(3)
        first = auth.get_token()
        assert client.models.list().data, "the token opens models, too"
        assert auth.get_token() == first, "the SDK keeps the token"
    assert first.count(".") == 2 and first.startswith("eyJ")


def test_callable_key_async(house, federation):
    import asyncio

    async def story():
        auth = federation.auth()
        async with house.async_client(auth.get_token_async) as client:
            response = await client.responses.create(model="scripted?tokens=4", input="x")
            return response.output_text

    assert asyncio.run(story()) == numbers(4)


def test_workload_identity_option(house, federation):
    client = OpenAI(
        base_url=house.base_url, workload_identity=federation.identity(), max_retries=0
    )
    client._workload_identity_auth.token_exchange_url = house.token_url
    with client:
        assert client.responses.create(model="scripted?tokens=2", input="x").output_text == numbers(2)


def test_workload_identity_option_async(house, federation):
    import asyncio

    async def story():
        client = AsyncOpenAI(
            base_url=house.base_url, workload_identity=federation.identity(), max_retries=0
        )
        client._workload_identity_auth.token_exchange_url = house.token_url
        async with client:
            stream = await client.responses.create(model="scripted?tokens=2", input="x", stream=True)
            return [event.type async for event in stream][-1]

    assert asyncio.run(story()) == "response.completed"


def test_revoked_token_is_exchanged_again(house, federation, organization):
    asked = []

    def get_token():
        asked.append(time.monotonic())
        return house.jwt()

    client = OpenAI(
        base_url=house.base_url, workload_identity=federation.identity(get_token), max_retries=0
    )
    client._workload_identity_auth.token_exchange_url = house.token_url
    rules = organization.workload_identity_providers.federation_rules
    with client:
        client.responses.create(model="scripted?tokens=1", input="x")
        assert len(asked) == 1
        old = client._workload_identity_auth.get_token()
        rules.update(federation.rule, workload_identity_provider_id=federation.provider, enabled=False)

        def refused():
            with house.client(old) as bare:
                try:
                    bare.models.list()
                except openai.AuthenticationError:
                    return True

        revoked_at = time.monotonic()
        until(refused, seconds=3)
        assert time.monotonic() - revoked_at < 2
        with pytest.raises(openai.AuthenticationError):
            client.responses.create(model="scripted?tokens=1", input="x")

        # Another rule: the old tokens stay dead, and new ones can be had.
        rules.delete(federation.rule, workload_identity_provider_id=federation.provider)
        rules.create(
            federation.provider,
            project_id=federation.project,
            service_account_id=federation.account,
            attribute_matchers={"sub": SUBJECT},
        )
        until(lambda: exchange(house, federation).is_success, seconds=3)
        client._workload_identity_auth._store_token({"access_token": old, "expires_in": 3600.0})
        before = len(asked)
        assert client.responses.create(model="scripted?tokens=1", input="x").status == "completed"
        assert len(asked) == before + 1, "the 401 made the SDK exchange once and ask again"


@pytest.mark.parametrize(
    "claims",
    [
        {"subject": "system:serviceaccount:tests:other"},
        {"audience": "https://somebody.else"},
        {"lifetime": -600},
        {"iss": "https://issuer.example"},
    ],
    ids=["subject", "audience", "expired", "issuer"],
)
def test_refused_tokens(house, federation, claims):
    # A wrong audience is told only once the signature is verified: the keys must be at hand.
    federation.auth().get_token()
    auth = federation.auth(lambda: house.jwt(**claims))
    with pytest.raises(openai.OAuthError) as refused:
        auth.get_token()
    told = "audience" in claims or "lifetime" in claims
    expected = "invalid_subject_token" if told else "invalid_grant"
    assert (refused.value.status_code, refused.value.error) == (401, expected)
    assert house.issuer.url not in str(refused.value)


def test_restricted_rule_narrows(house, federation, organization):
    rules = organization.workload_identity_providers.federation_rules
    rules.update(
        federation.rule,
        workload_identity_provider_id=federation.provider,
        permissions={"type": "restricted", "scopes": ["api.model.read"]},
    )
    auth = federation.auth()
    with house.client(auth.get_token) as client:
        until(lambda: scoped(house, federation) == "api.model.read", seconds=3)
        auth.invalidate_token()
        assert client.models.list().data
        with pytest.raises(openai.PermissionDeniedError):
            client.responses.create(model="scripted", input="x")


def scoped(house, federation):
    return exchange(house, federation).json().get("scope")


def exchange(house, federation, **more):
    return house.http.post(
        house.token_url,
        json={
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "subject_token": house.jwt(),
            "identity_provider_id": federation.provider,
            "service_account_id": federation.account,
            **more,
        },
    )


def test_exchange_answer_on_the_wire(house, federation):
    reply = exchange(house, federation)
    assert reply.status_code == 200
    assert reply.headers["cache-control"] == "no-store"
    body = reply.json()
    assert set(body) == {
        "access_token",
        "issued_token_type",
        "token_type",
        "expires_in",
        "expires_at",
    }
    assert body["token_type"] == "Bearer" and 0 < body["expires_in"] <= 600
    assert abs(body["expires_at"] - time.time() - body["expires_in"]) < 5


def test_access_token_is_no_admin_key(house, federation):
    token = federation.auth().get_token()
    with OpenAI(base_url=house.base_url, admin_api_key=token, max_retries=0) as client:
        with pytest.raises((openai.PermissionDeniedError, openai.AuthenticationError)):
            client.admin.organization.projects.list()


