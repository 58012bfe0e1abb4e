"""Errors as the SDK's exceptions, with `code` and `param`; and what it retries."""

import openai
import pytest


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"input": 5}, "input"),
        ({"input": "x", "temperature": "hot"}, "temperature"),
        ({"input": "x", "max_output_tokens": 1}, "max_output_tokens"),
        ({"input": "x", "no_such_field": 1}, "no_such_field"),
        ({"input": [{"role": "user", "content": [{"type": "sculpture"}]}]}, "input[0].content[0].type"),
        ({"input": "x", "background": True, "store": False}, "background"),
        ({"input": "x", "previous_response_id": "resp_nobody"}, "previous_response_id"),
    ],
)
def test_bad_request_names_the_field(client, options, param):
    known = {k: v for k, v in options.items() if k != "no_such_field"}
    extra = {k: v for k, v in options.items() if k == "no_such_field"}
    with pytest.raises(openai.BadRequestError) as error:
        client.responses.create(model="scripted", extra_body=extra, **known)
    assert error.value.param == param
    assert error.value.type == "invalid_request_error"
    assert error.value.request_id.startswith("req_")
    assert error.value.message


def test_missing_model(client):
    with pytest.raises(openai.BadRequestError) as error:
        client.responses.create(input="x")
    assert (error.value.param, error.value.code) == ("model", "missing_required_parameter")


@pytest.mark.parametrize("key", ["", "sk-svcacct-nobody", "workload-identity-auth"])
def test_wrong_key(house, key):
    with house.client(key or "x") as client, pytest.raises(openai.AuthenticationError) as error:
        client.responses.create(model="scripted", input="x")
    assert error.value.status_code == 401


def test_admin_key_is_no_project_key(house):
    with house.client(house.admin_key) as client, pytest.raises(openai.PermissionDeniedError):
        client.responses.create(model="scripted", input="x")


def test_other_project_sees_nothing(client, house, organization):
    project = organization.projects.create(name="neighbour")
    account = organization.projects.service_accounts.create(project.id, name="n")
    mine = client.responses.create(model="scripted?tokens=1", input="secret")
    with house.client(account.api_key.value) as neighbour:
        for call in (
            neighbour.responses.retrieve,
            neighbour.responses.cancel,
            neighbour.responses.delete,
            lambda id: neighbour.responses.input_items.list(id),
        ):
            with pytest.raises(openai.NotFoundError):
                call(mine.id)
        with pytest.raises(openai.BadRequestError):
            neighbour.responses.create(
                model="scripted", input="x", previous_response_id=mine.id
            )
    assert client.responses.retrieve(mine.id).id == mine.id


def test_key_with_a_scope(house, organization):
    project = organization.projects.create(name="scoped")
    accounts = organization.projects.service_accounts
    account = accounts.create(project.id, name="reader")
    key = accounts.api_keys.create(account.id, project_id=project.id, scopes=["api.model.read"])
    with house.client(key.value) as client:
        assert client.models.list().data
        with pytest.raises(openai.PermissionDeniedError):
            client.responses.create(model="scripted", input="x")


def test_upstream_errors(client):
    with pytest.raises(openai.RateLimitError) as limited:
        client.responses.create(model="scripted?status=429&retry_after=7", input="x")
    assert limited.value.response.headers["retry-after"] == "7"
    with pytest.raises(openai.InternalServerError) as broken:
        client.responses.create(model="scripted?status=500", input="x")
    assert broken.value.status_code >= 500


def test_sdk_retries_a_rate_limit(house, key):
    model = "scripted?status=429&retry_after=0&fail_first=1&tokens=2&prompt_tokens=82"
    with house.client(key, max_retries=2) as client:
        assert client.responses.create(model=model, input="x").status == "completed"


def test_unknown_route(client):
    with pytest.raises(openai.NotFoundError):
        client.get("/no/such/route", cast_to=object)


def test_malformed_json(house, key):
    reply = house.http.post(
        house.base_url + "/responses",
        content=b'{"model": "scripted", "input": ',
        headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
    )
    assert reply.status_code == 400
    error = reply.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
