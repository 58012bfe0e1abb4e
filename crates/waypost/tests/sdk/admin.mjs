// The admin API through OpenAI's own Node SDK.
//
// Usage: node admin.mjs BASE_URL ADMIN_KEY, with the package `openai` to be
// found from the folder that WAYPOST_TEST_NODE names, or from here. Exits with
// 0 when everything held.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { resolve } from 'node:path';

const from = process.env.WAYPOST_TEST_NODE;
const require = createRequire(from ? resolve(from, 'x.js') : import.meta.url);
const { OpenAI } = require('openai');

const [baseURL, adminAPIKey] = [`${process.argv[2]}/v1`, process.argv[3]];
const client = new OpenAI({ adminAPIKey, baseURL, apiKey: null, maxRetries: 0 });
const { projects, adminAPIKeys, auditLogs } = client.admin.organization;

const all = async (pages) => {
  const items = [];
  for await (const item of await pages) items.push(item);
  return items;
};

const project = await projects.create({ name: 'node' });
assert.equal((await projects.retrieve(project.id)).status, 'active');
assert.equal((await projects.update(project.id, { name: 'node 2' })).name, 'node 2');
for (const n of [1, 2, 3]) await projects.create({ name: `page ${n}` });
const names = (await all(projects.list({ limit: 2 }))).map((p) => p.name);
assert.deepEqual(names, ['node 2', 'page 1', 'page 2', 'page 3']);

const accounts = projects.serviceAccounts;
const account = await accounts.create(project.id, { name: 'worker' });
assert.match(account.api_key.value, /^sk-svcacct-[0-9A-Za-z_-]{43}$/);
const inProject = { project_id: project.id };
const updated = await accounts.update(account.id, { ...inProject, role: 'owner' });
assert.equal(updated.role, 'owner');
const key = await accounts.apiKeys.create(account.id, { ...inProject, scopes: ['api.model.read'] });
const keys = await all(projects.apiKeys.list(project.id, { limit: 1 }));
assert.deepEqual(keys.map((k) => k.id), [account.api_key.id, key.id]);
assert.equal(keys[0].owner.service_account.id, account.id);
assert.equal((await projects.apiKeys.delete(key.id, inProject)).deleted, true);

const worker = new OpenAI({ adminAPIKey: account.api_key.value, baseURL, apiKey: null, maxRetries: 0 });
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

const events = await all(auditLogs.list({ limit: 2, project_ids: [project.id] }));
assert.deepEqual(
  events.map((event) => event.type).reverse(),
  [
    'project.updated',
    'service_account.created',
    'api_key.created',
    'service_account.updated',
    'api_key.created',
    'api_key.deleted',
    'service_account.deleted',
    'project.archived',
  ],
);
assert.deepEqual(events[4]['service_account.updated'].changes_requested, { role: 'owner' });
const since = await all(auditLogs.list({ effective_at: { gte: events.at(-1).effective_at }, event_types: ['project.archived'] }));
assert.equal(since.length, 1);
console.log("the Node SDK's admin client works");
