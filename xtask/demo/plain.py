"""The few calls of OpenAI's SDK that the demo makes, over plain HTTP.

For machines where pip cannot install `openai`. Same names, same shapes, none of the comfort: use
the SDK in real programs. Only the standard library is used.
"""

import http.client
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from types import SimpleNamespace

TIMEOUT_SECONDS = 60
GRANT_TYPE = "urn:ietf:params:oauth:grant-type:token-exchange"
TOKEN_TYPE = "urn:ietf:params:oauth:token-type:jwt"


class APIError(Exception):
    """The server refused, or the connection broke."""


class OpenAI:
    def __init__(self, *, base_url, api_key=None, admin_api_key=None, max_retries=0):
        del max_retries
        key = admin_api_key or api_key
        self._base_url, self._key = base_url, key if callable(key) else lambda: key
        self.responses = Responses(self)
        self.admin = SimpleNamespace(organization=Organization(self))

    def _open(self, method, path, body=None):
        headers = {"Authorization": f"Bearer {self._key()}", "Content-Type": "application/json"}
        return _open(method, self._base_url + path, headers, body)

    def _call(self, method, path, body=None):
        with self._open(method, path, body) as reply:
            return _read(reply)


class Responses:
    def __init__(self, client):
        self._client = client

    def create(self, **body):
        return Stream(self._client._open("POST", "/responses", body))

    def retrieve(self, id, *, stream=False, starting_after=None):
        if not stream:
            return self._client._call("GET", f"/responses/{id}")
        query = urllib.parse.urlencode({"stream": "true", "starting_after": starting_after})
        return Stream(self._client._open("GET", f"/responses/{id}?{query}"))


class Organization:
    def __init__(self, client):
        def creator(path):
            def create(*ids, **body):
                return client._call("POST", "/organization" + path.format(*ids), body)

            return create

        providers, project = "/workload_identity_providers", "/projects/{}"
        self.projects = SimpleNamespace(
            create=creator("/projects"),
            service_accounts=SimpleNamespace(create=creator(project + "/service_accounts")),
        )
        self.workload_identity_providers = SimpleNamespace(
            create=creator(providers),
            federation_rules=SimpleNamespace(create=creator(providers + "/{}/federation_rules")),
        )


class Stream:
    """Server-sent events as objects; an end without `[DONE]` is an end all the same."""

    def __init__(self, reply):
        self._reply = reply

    def __iter__(self):
        try:
            for line in self._reply:
                if line.startswith(b"data: {"):
                    yield _object(line[len(b"data: ") :])
        except (OSError, http.client.HTTPException) as error:
            raise APIError(f"the connection broke: {error}") from error

    def close(self):
        self._reply.close()


class WorkloadIdentityAuth:
    """Exchanges the workload's own token for an access token, and again before it expires."""

    def __init__(self, *, workload_identity, token_exchange_url):
        self._identity, self._url = workload_identity, token_exchange_url
        self._token, self._refresh_at = None, 0.0

    def get_token(self):
        if self._token is None or time.monotonic() >= self._refresh_at:
            body = {
                "grant_type": GRANT_TYPE,
                "subject_token_type": TOKEN_TYPE,
                "subject_token": self._identity["provider"]["get_token"](),
                "identity_provider_id": self._identity["identity_provider_id"],
                "service_account_id": self._identity["service_account_id"],
            }
            with _open("POST", self._url, {"Content-Type": "application/json"}, body) as reply:
                answer = _read(reply)
            self._token = answer.access_token
            self._refresh_at = time.monotonic() + answer.expires_in / 2
        return self._token


def _open(method, url, headers, body):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers, method=method)
    try:
        return urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        with error:
            raise APIError(f"{error.code}: {error.read().decode(errors='replace')}") from error
    except (OSError, http.client.HTTPException) as error:
        raise APIError(f"no connection: {error}") from error


def _read(reply):
    try:
        return _object(reply.read())
    except (OSError, http.client.HTTPException) as error:
        raise APIError(f"the connection broke: {error}") from error


def _object(text):
    return json.loads(text, object_hook=lambda fields: SimpleNamespace(**fields))
