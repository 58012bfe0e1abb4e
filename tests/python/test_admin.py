"""The admin API, every resource, on a server of its own; answers validated strictly.

The SDK's types are the oracle: a field that they do not know fails, unless we say that it is ours.
"""

import asyncio
import os
import secrets
import time

import openai
import pytest
from conftest import Process
from openai import AsyncOpenAI, OpenAI


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """An organization that nobody else changes."""
    admin_key = "sk-admin-" + secrets.token_hex(32)
    command = [os.environ["WAYPOST_BIN"], "serve", "--listen", "127.0.0.1:0", "--data-dir", "data"]
    env = {"WAYPOST_ADMIN_KEY": admin_key, "WAYPOST_UPSTREAM_URL": "http://127.0.0.1:9/v1"}
    process = Process(tmp_path_factory.mktemp("admin"), "waypost", command, env)
    try:
        process.start()
        yield process.url + "/v1", admin_key
    finally:
        process.stop()


def test_every_resource(server):
    base_url, admin_key = server
    with OpenAI(
        admin_api_key=admin_key,
        base_url=base_url,
        max_retries=0,
        _strict_response_validation=True,
    ) as client:
        organization = client.admin.organization
        project = projects(organization)
        account = service_accounts(organization, project, base_url)
        admin_keys(organization, base_url)
        federation(organization, project, account)
        audit(organization, project)


def test_asynchronous_client(server):
    base_url, admin_key = server

    async def story():
        async with AsyncOpenAI(
            admin_api_key=admin_key, base_url=base_url, _strict_response_validation=True
        ) as client:
            projects = client.admin.organization.projects
            made = await projects.create(name="async")
            assert [p.id async for p in projects.list(limit=1)][-1] == made.id

    asyncio.run(story())


def known(model, *ours):
    """Every field is one that the SDK's type has, or one that we say is ours."""
    extra = set(model.model_extra or {}) - set(ours)
    assert not extra, f"{type(model).__name__} has the unknown fields {extra}"
    for name in model.model_fields_set:
        value = getattr(model, name)
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, openai.BaseModel):
                # `name`: what changed is told also where the types stop at the role.
                known(part, "object", "name")
    return model


def refused(error, call, *args, param=None, code=None, **kwargs):
    try:
        call(*args, **kwargs)
    except error as caught:
        assert caught.request_id and caught.request_id.startswith("req_")
        assert caught.param == param, caught
        assert code is None or caught.code == code, caught
        return caught
    raise AssertionError(f"{call} should have been refused")


def projects(organization):
    project = known(organization.projects.create(name="sdk"))
    assert known(organization.projects.retrieve(project.id)) == project
    assert known(organization.projects.update(project.id, name="sdk 2")).name == "sdk 2"
    names = [f"page {n}" for n in range(5)]
    made = [organization.projects.create(name=name) for name in names]
    # The SDK follows the cursors by itself.
    listed = [p.name for p in organization.projects.list(limit=2)]
    assert listed == ["sdk 2", *names], listed
    for extra in made:
        archived = known(organization.projects.archive(extra.id))
        assert archived.status == "archived" and archived.archived_at
    assert [p.id for p in organization.projects.list()] == [project.id]
    assert len(list(organization.projects.list(include_archived=True))) == 6
    refused(openai.NotFoundError, organization.projects.retrieve, "proj_nobody")
    refused(openai.BadRequestError, organization.projects.create, name="", param="name")
    return project


def service_accounts(organization, project, base_url):
    accounts = organization.projects.service_accounts
    made = known(accounts.create(project.id, name="with key"))
    assert made.role == "member" and made.api_key.value.startswith("sk-svcacct-")
    keyless = known(
        accounts.create(project.id, name="keyless", create_service_account_only=True)
    )
    assert keyless.role == "none" and keyless.api_key is None
    updated = known(accounts.update(made.id, project_id=project.id, role="owner", name="n"))
    assert (updated.role, updated.name) == ("owner", "n")
    assert known(accounts.retrieve(made.id, project_id=project.id)) == updated
    assert [a.id for a in accounts.list(project.id, limit=1)] == [made.id, keyless.id]

    second = known(
        accounts.api_keys.create(
            made.id, project_id=project.id, name="second", scopes=["api.model.read"]
        )
    )
    refused(
        openai.BadRequestError,
        accounts.api_keys.create,
        made.id,
        project_id=project.id,
        scopes=["api.nonsense"],
        param="scopes[0]",
    )
    keys = organization.projects.api_keys
    listed = [known(key) for key in keys.list(project.id, owner_project_access="active")]
    assert [key.id for key in listed] == [made.api_key.id, second.id]
    assert listed[1].owner.service_account.id == made.id
    assert known(keys.retrieve(second.id, project_id=project.id)) == listed[1]
    worker = OpenAI(
        api_key=made.api_key.value,
        admin_api_key=made.api_key.value,
        base_url=base_url,
        max_retries=0,
    )
    refused(openai.PermissionDeniedError, worker.admin.organization.projects.list)
    assert keys.delete(made.api_key.id, project_id=project.id).deleted
    refused(openai.AuthenticationError, worker.admin.organization.projects.list)
    return made


def admin_keys(organization, base_url):
    keys = organization.admin_api_keys
    made = known(keys.create(name="ops", expires_in_seconds=600))
    assert made.value.startswith("sk-admin-")
    assert 590 <= made.expires_at - made.created_at <= 600
    with OpenAI(admin_api_key=made.value, base_url=base_url) as ops:
        assert [k.id for k in ops.admin.organization.admin_api_keys.list()] == [made.id]
    shown = known(keys.retrieve(made.id))
    assert shown.last_used_at and abs(shown.last_used_at - time.time()) < 60
    assert [known(k).id for k in keys.list(order="desc", limit=1)] == [made.id]
    assert keys.delete(made.id).deleted
    refused(openai.NotFoundError, keys.retrieve, made.id)


def federation(organization, project, account):
    providers = organization.workload_identity_providers
    jwk = {
        "kty": "EC",
        "crv": "P-256",
        "kid": "k1",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    }
    made = known(
        providers.create(
            name="ci",
            type="oidc",
            issuer="https://issuer.example.com",
            audience="https://api.openai.com/v1",
            verification={"type": "uploaded_jwks", "jwks": {"keys": [jwk]}},
        )
    )
    assert made.verification.jwks == {"keys": [jwk]}
    known(
        providers.create(
            name="discovered", type="oidc", issuer="https://two.example.com", audience="a"
        )
    )
    assert [known(p).name for p in providers.list(limit=1, order="desc")] == ["discovered", "ci"]
    changed = known(
        providers.update(
            made.id,
            description="d",
            verification={"type": "discovery", "discovery_url": None},
        )
    )
    assert changed.verification.type == "discovery" and changed.description == "d"
    assert known(providers.retrieve(made.id)) == changed
    refused(
        openai.BadRequestError,
        providers.update,
        made.id,
        attribute_transformations=[{"attribute": "openai.x", "expression": "assertion.sub"}],
        param="attribute_transformations",
        code="unsupported_parameter",
    )

    rules = providers.federation_rules
    matchers = {"sub": "repo:openai/*", "protected": True, "run": 7}
    rule = known(
        rules.create(
            made.id,
            attribute_matchers=matchers,
            project_id=project.id,
            service_account_id=account.id,
            permissions={"type": "restricted", "scopes": ["api.model.request"]},
        )
    )
    assert rule.attribute_matchers == matchers
    assert type(rule.attribute_matchers["protected"]) is bool
    refused(
        openai.ConflictError,
        rules.create,
        made.id,
        attribute_matchers={"sub": "x"},
        project_id=project.id,
        service_account_id=account.id,
    )
    ids = {"workload_identity_provider_id": made.id}
    updated = known(rules.update(rule.id, **ids, enabled=False, name="n"))
    assert not updated.enabled and updated.permissions == rule.permissions
    assert known(rules.retrieve(rule.id, **ids)) == updated
    assert [r.id for r in rules.list(made.id, service_account_id=account.id)] == [rule.id]
    refused(openai.BadRequestError, providers.delete, made.id)
    assert rules.delete(rule.id, **ids).deleted
    assert providers.delete(made.id).deleted


def audit(organization, project):
    logs = organization.audit_logs
    ours = ("object", "ip_address", "user_agent", "request_id")
    every = [known(event, *ours) for event in logs.list(limit=3)]
    assert [e.id for e in every] == [e.id for e in logs.list(limit=100)]
    assert all(event.actor.api_key.id for event in every)
    last = every[-1]
    assert last.type == "project.created" and last.project_created.data.title == "sdk"
    types = ["project.archived", "workload_identity_provider_mapping.deleted"]
    some = list(logs.list(event_types=types))
    assert {event.type for event in some} == set(types)
    assert some[0].workload_identity_provider_mapping_deleted.project_id == project.id
    scoped = list(logs.list(project_ids=[project.id], event_types=["service_account.created"]))
    assert len(scoped) == 2 and scoped[0].project.id == project.id
    start = last.effective_at
    assert len(list(logs.list(effective_at={"gte": start, "lt": start + 3600}))) == len(every)
    assert not list(logs.list(effective_at={"lt": start}))
    before = logs.list(before=every[4].id, limit=2)
    assert [event.id for event in before.data] == [event.id for event in every[2:4]]
