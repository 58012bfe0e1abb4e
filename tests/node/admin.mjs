// The admin API: every resource, cursors, audit logs.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import OpenAI from 'openai';
import { administrator, baseURL, collect } from './house.mjs';

test('projects, accounts and keys, and their audit log', async () => {
  const { projects, adminAPIKeys, auditLogs } = administrator().admin.organization;
  const project = await projects.create({ name: 'node' });
  assert.equal((await projects.retrieve(project.id)).status, 'active');
  assert.equal((await projects.update(project.id, { name: 'node 2' })).name, 'node 2');
  for (const n of [1, 2, 3]) await projects.create({ name: `page ${n}` });
  const names = (await collect(projects.list({ limit: 2 }))).map(({ name }) => name);
  assert.deepEqual(names.slice(-4), ['node 2', 'page 1', 'page 2', 'page 3']);

  const accounts = projects.serviceAccounts;
  const account = await accounts.create(project.id, { name: 'worker' });
  assert.match(account.api_key.value, /^sk-svcacct-[0-9A-Za-z_-]{43}$/);
  const inProject = { project_id: project.id };
  const updated = await accounts.update(account.id, { ...inProject, role: 'owner' });
  assert.equal(updated.role, 'owner');
  const key = await accounts.apiKeys.create(account.id, {
    ...inProject,
    scopes: ['api.model.read'],
  });
  const keys = await collect(projects.apiKeys.list(project.id, { limit: 1 }));
  assert.deepEqual(keys.map(({ id }) => id), [account.api_key.id, key.id]);
  assert.equal(keys[0].owner.service_account.id, account.id);
  assert.equal((await projects.apiKeys.delete(key.id, inProject)).deleted, true);

  const worker = new OpenAI({
    adminAPIKey: account.api_key.value,
    baseURL: baseURL(),
    apiKey: null,
    maxRetries: 0,
  });
  await assert.rejects(worker.admin.organization.projects.list(), (error) => {
    assert(error instanceof OpenAI.PermissionDeniedError);
    assert.equal(error.code, 'admin_key_required');
    assert.match(error.requestID, /^req_/);
    return true;
  });

  const made = await adminAPIKeys.create({ name: 'ops' });
  assert.match(made.value, /^sk-admin-/);
  assert.equal((await adminAPIKeys.retrieve(made.id)).name, 'ops');
  assert.equal((await adminAPIKeys.delete(made.id)).deleted, true);
  await assert.rejects(adminAPIKeys.retrieve(made.id), OpenAI.NotFoundError);

  assert.equal((await accounts.delete(account.id, inProject)).deleted, true);
  assert.equal((await projects.archive(project.id)).status, 'archived');

  const events = await collect(auditLogs.list({ limit: 2, project_ids: [project.id] }));
  assert.deepEqual(events.map(({ type }) => type).reverse(), [
    'project.created',
    'project.updated',
    'service_account.created',
    'api_key.created',
    'service_account.updated',
    'api_key.created',
    'api_key.deleted',
    'service_account.deleted',
    'project.archived',
  ]);
  assert.deepEqual(events[4]['service_account.updated'].changes_requested, { role: 'owner' });
  const since = await collect(
    auditLogs.list({
      effective_at: { gte: events.at(-1).effective_at },
      event_types: ['project.archived'],
      project_ids: [project.id],
    }),
  );
  assert.equal(since.length, 1);
});

test('providers and rules', async () => {
  const { projects, workloadIdentityProviders: providers } = administrator().admin.organization;
  const project = await projects.create({ name: 'node federation' });
  const account = await projects.serviceAccounts.create(project.id, {
    name: 'keyless',
    create_service_account_only: true,
  });
  assert.equal(account.api_key, null);
  const provider = await providers.create({
    type: 'oidc',
    name: 'node ci',
    issuer: 'https://issuer.example.com',
    audience: 'a',
  });
  assert.deepEqual(provider.verification, { type: 'discovery', discovery_url: null });
  const changed = await providers.update(provider.id, { description: 'd', enabled: false });
  assert.deepEqual([changed.description, changed.enabled], ['d', false]);
  assert.deepEqual(await providers.retrieve(provider.id), changed);

  const rules = providers.federationRules;
  const attribute_matchers = { sub: 'repo:org/*', protected: true, run: 7 };
  const rule = await rules.create(provider.id, {
    attribute_matchers,
    project_id: project.id,
    service_account_id: account.id,
  });
  assert.deepEqual(rule.attribute_matchers, attribute_matchers);
  const of = { workload_identity_provider_id: provider.id };
  assert.equal((await rules.update(rule.id, { ...of, enabled: false })).enabled, false);
  assert.deepEqual((await collect(rules.list(provider.id))).map(({ id }) => id), [rule.id]);
  await assert.rejects(providers.delete(provider.id), OpenAI.BadRequestError);
  assert.equal((await rules.delete(rule.id, of)).deleted, true);
  assert.equal((await providers.delete(provider.id)).deleted, true);
});
