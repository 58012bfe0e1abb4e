"""Keyless access through OpenAI's own Python SDK: the recipes of docs/identity.md.

Usage: identity.py BASE_URL PROVIDER_ID SERVICE_ACCOUNT_ID GOOD_TOKEN BAD_TOKEN.
Needs the package `openai`, 3.54 or later. Exits with 0 when everything held.
"""

import asyncio
import sys
import urllib.parse
import urllib.request

from openai import AsyncOpenAI, AuthenticationError, OAuthError, OpenAI
from openai.auth import WorkloadIdentityAuth

BASE_URL, PROVIDER_ID, SERVICE_ACCOUNT_ID, GOOD, BAD = sys.argv[1:]
TOKEN_URL = f"{BASE_URL}/oauth/token"


def identity(subject_token=GOOD, service_account_id=SERVICE_ACCOUNT_ID, token_type="jwt"):
    return {
        "identity_provider_id": PROVIDER_ID,
        "service_account_id": service_account_id,
        "provider": {"token_type": token_type, "get_token": lambda: subject_token},
    }


def auth(**kwargs):
    return WorkloadIdentityAuth(
        workload_identity=identity(**kwargs), token_exchange_url=TOKEN_URL
    )


def revoke(token):
    body = urllib.parse.urlencode({"token": token}).encode()
    with urllib.request.urlopen(f"{BASE_URL}/oauth/revoke", data=body) as reply:
        assert reply.status == 200


def oauth_error(code, **kwargs):
    try:
        auth(**kwargs).get_token()
    except OAuthError as caught:
        assert caught.status_code == 401, caught
        assert caught.error == code, caught.error
        return str(caught)
    raise AssertionError(f"no {code}")


def callable_key():
    workload = auth(token_type="id")
    client = OpenAI(base_url=f"{BASE_URL}/v1", api_key=workload.get_token, max_retries=0)
    client.models.list()
    token = workload.get_token()
    assert token == workload.get_token(), "it is kept until it is due"
    revoke(token)
    try:
        client.models.list()
    except AuthenticationError as caught:
        assert caught.code == "token_revoked", caught
    else:
        raise AssertionError("a revoked token was accepted")
    workload.invalidate_token()
    client.models.list()
    assert token != workload.get_token()


async def callable_key_async():
    workload = auth()
    async with AsyncOpenAI(
        base_url=f"{BASE_URL}/v1", api_key=workload.get_token_async, max_retries=0
    ) as client:
        await client.models.list()


def built_in():
    """The SDK's own option; only the token URL is ours. A 401 makes it exchange again."""
    client = OpenAI(base_url=f"{BASE_URL}/v1", workload_identity=identity(), max_retries=0)
    workload = client._workload_identity_auth
    workload.token_exchange_url = TOKEN_URL
    client.models.list()
    token = workload.get_token()
    revoke(token)
    client.models.list()
    assert token != workload.get_token()


callable_key()
asyncio.run(callable_key_async())
built_in()
assert oauth_error("invalid_subject_token", subject_token=BAD) == "The subject token is invalid."
oauth_error("invalid_grant", service_account_id="svc_acct_none")
