// The real server, a scripted model server and an OIDC issuer.
//
// `cargo xtask test --only node` builds the programs and names them in the environment. Every
// process ends with the test run: by its handle, or because its parent is gone.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { openSync, closeSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import OpenAI from 'openai';

export const AUDIENCE = 'https://waypost.example/tests';
export const SUBJECT = 'system:serviceaccount:tests:worker';
const PATIENCE_MS = 20_000;

const folder = mkdtempSync(join(tmpdir(), 'waypost-node-'));
export const parent = ['--parent-pid', String(process.pid)];
const { WAYPOST_BIN } = process.env;
export const { WAYPOST_TESTKIT_BIN } = process.env;

/** A program that writes its address to a ready file. */
export class Process {
  constructor(name, program, args, env = {}) {
    Object.assign(this, { name, program, args, env, child: null, url: '' });
  }

  async start(...more) {
    const ready = join(folder, `${this.name}.ready`);
    rmSync(ready, { force: true });
    const log = join(folder, `${this.name}.log`);
    const output = openSync(log, 'a');
    const args = [...this.args, '--ready-file', ready, ...more];
    const env = { ...process.env, ...this.env };
    this.child = spawn(this.program, args, { cwd: folder, env, stdio: ['ignore', output, output] });
    closeSync(output);
    const deadline = Date.now() + PATIENCE_MS;
    while (!existsSync(ready)) {
      assert.equal(this.child.exitCode, null, `${this.name} ended:\n${readFileSync(log, 'utf8')}`);
      assert(Date.now() < deadline, `${this.name} does not serve`);
      await sleep(10);
    }
    this.url = readFileSync(ready, 'utf8').trim();
  }

  async end(signal) {
    const { child } = this;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill(signal);
    const killer = setTimeout(() => child.kill('SIGKILL'), PATIENCE_MS);
    await ended;
    clearTimeout(killer);
  }
}

export const adminKey = `sk-admin-${randomBytes(32).toString('hex')}`;
export const upstream = new Process('upstream', WAYPOST_TESTKIT_BIN, ['upstream', ...parent]);
export const issuer = new Process('issuer', WAYPOST_TESTKIT_BIN, ['issuer', ...parent]);
export const waypost = new Process(
  'waypost',
  WAYPOST_BIN,
  ['serve', '--config', 'waypost.toml'],
  { WAYPOST_ADMIN_KEY: adminKey },
);

/** Where a file of tests starts an MCP server of its own. */
export const everything = `http://127.0.0.1:${await freePort()}`;

let key;

// One scripted model server as four: a sound one, a weak one, one whose model knows no tools if its
// script says `capabilities=completion`, and one that speaks the Responses API itself.
before(async () => {
  await upstream.start();
  await issuer.start();
  writeFileSync(
    join(folder, 'waypost.toml'),
    `data_dir = "data"

[identity]
allow_private_issuers = ["${issuer.url}"]

[responses]
lease = "1s"

[tools.mcp]
allow_private_servers = ["${everything}"]

[[upstreams]]
name = "weak"
base_url = "${upstream.url}/v1"
models = ["weak?*"]
dialect = "generic"

[[upstreams]]
name = "plain"
base_url = "${upstream.url}/v1"
models = ["plain?*"]
dialect = "ollama"

[[upstreams]]
name = "native"
base_url = "${upstream.url}/v1"
models = ["native?*"]
api = "responses"

[[upstreams]]
name = "scripted"
base_url = "${upstream.url}/v1"
dialect = "llama.cpp"
`,
  );
  await post(`${upstream.url}/__about`, {
    server: 'ollama',
    capabilities: ['completion', 'tools'],
  });
  await waypost.start('--listen', '127.0.0.1:0');
  const { projects } = administrator().admin.organization;
  const project = await projects.create({ name: 'node-tests' });
  const account = await projects.serviceAccounts.create(project.id, { name: 'worker' });
  key = account.api_key.value;
});

after(async () => {
  for (const started of [waypost, issuer, upstream]) await started.end('SIGTERM');
  rmSync(folder, { recursive: true, force: true });
});

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

export const baseURL = () => `${waypost.url}/v1`;

/** A client with a key of the tests' project, or with the given options. */
export const client = (options = {}) =>
  new OpenAI({ baseURL: baseURL(), apiKey: key, maxRetries: 0, ...options });

export const administrator = () =>
  new OpenAI({ baseURL: baseURL(), adminAPIKey: adminKey, apiKey: null, maxRetries: 0 });

/** A token of the issuer. */
export async function jwt({ sub = SUBJECT, aud = AUDIENCE, lifetime = 600, claims = {} } = {}) {
  const reply = await post(`${issuer.url}/__token`, { sub, aud, lifetime, claims });
  return (await reply.json()).token;
}

export const post = (url, body) =>
  fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });

/** The requests for model names whose script has this `key`, with how they were answered. */
export async function requestsOf(key) {
  return (await (await fetch(`${upstream.url}/__requests?key=${key}`)).json()).requests;
}

/** A `key` for a script that is counted on its own. */
export const unique = () => randomBytes(6).toString('hex');

/** The last request for a model name that only one test uses. */
export async function lastUpstreamRequest(model) {
  const { requests } = await (await fetch(`${upstream.url}/__stats`)).json();
  return requests.map(({ body }) => body).filter((body) => body?.model === model).at(-1);
}

export async function until(condition, ms = 10_000) {
  const deadline = Date.now() + ms;
  for (;;) {
    const value = await condition();
    if (value) return value;
    assert(Date.now() < deadline, 'it did not come true in time');
    await sleep(20);
  }
}

/** What the scripted model answers with so many tokens. */
export const numbers = (count) => Array.from({ length: count }, (_, n) => `${n} `).join('');

export async function collect(items) {
  const all = [];
  for await (const item of await items) all.push(item);
  return all;
}

/** Numbers from `first` on, without a gap. */
export function gapless(events, first = 0) {
  assert.deepEqual(
    events.map((event) => event.sequence_number),
    events.map((_, at) => first + at),
  );
}

export const textOf = (events) =>
  events.filter((e) => e.type === 'response.output_text.delta').map((e) => e.delta).join('');

/** Without what the SDK adds to the wire's object. */
export const plain = (value) =>
  JSON.parse(
    JSON.stringify(value, (name, inner) =>
      ['output_text', 'output_parsed', 'parsed', 'parsed_arguments', '_request_id'].includes(name)
        ? undefined
        : inner,
    ),
  );

export const WEATHER = {
  type: 'function',
  name: 'get_weather',
  description: 'The weather of a city',
  parameters: {
    type: 'object',
    properties: { city: { type: 'string' }, days: { type: 'integer' } },
    required: ['city', 'days'],
    additionalProperties: false,
  },
  strict: true,
};
