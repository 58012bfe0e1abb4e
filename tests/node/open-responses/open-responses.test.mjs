// The compliance suite of Open Responses, judged by its own report.
//
// `cargo xtask test --only open-responses` copies the suite of a checkout beside this file. It is
// TypeScript and names Bun as its runner.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { baseURL, client } from '../house.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const PATIENCE_MS = 120_000;

const NO_WEBSOCKET = 'Waypost has no WebSocket transport';
const NO_COMPACTION = 'Waypost has no POST /v1/responses/compact';

/** What fails, by the suite's ids. One that passes has to be taken out. */
const FAILS = new Map([
  ['websocket-response', NO_WEBSOCKET],
  ['websocket-sequential-responses', NO_WEBSOCKET],
  ['websocket-continuation', NO_WEBSOCKET],
  ['websocket-reconnect-store-false-recovery', NO_WEBSOCKET],
  ['websocket-previous-response-not-found', NO_WEBSOCKET],
  ['websocket-failed-continuation-evicts-cache', NO_WEBSOCKET],
  ['websocket-compact-new-chain', NO_COMPACTION],
  ['compact-response', NO_COMPACTION],
  ['compact-missing-model', NO_COMPACTION],
]);

// The suite asks one model for everything: it calls where there are tools, and talks elsewhere.
for (const [over, model] of [
  ['a server of Chat Completions', 'scripted?generate=calls'],
  ['a server of the Responses API', 'native?generate=calls'],
]) {
  test(`Open Responses over ${over}`, async (t) => {
    const results = await run(model);
    assert(results.some(({ status }) => status === 'passed'), 'nothing passed');
    for (const result of results) await t.test(result.name, (t) => judge(t, result));
  });
}

function judge(t, { id, status, errors = [] }) {
  const reason = FAILS.get(id);
  if (status === 'skipped') {
    t.skip(errors.join('; '));
  } else if (reason) {
    assert.equal(status, 'failed', `${id} passes now: its line in ${import.meta.url} can go`);
    t.diagnostic(`fails, as it may: ${reason}`);
  } else {
    assert.equal(status, 'passed', `${id}: ${errors.join('; ')}`);
  }
}

/** The results that the suite reports. */
async function run(model) {
  const { apiKey } = client();
  const bun = spawn(
    runner(),
    ['run', '--no-install', 'bin/compliance-test.ts', '--json', '--base-url', baseURL(), '--model', model],
    {
      cwd: here,
      // Bun asks a proxy that the environment names, for this machine too.
      env: { ...process.env, OPENRESPONSES_API_KEY: apiKey, NO_PROXY: '127.0.0.1', no_proxy: '127.0.0.1' },
      stdio: ['ignore', 'pipe', 'inherit'],
      timeout: PATIENCE_MS,
      killSignal: 'SIGKILL',
    },
  );
  const [report, [code, signal]] = await Promise.all([text(bun.stdout), once(bun, 'close')]);
  assert.equal(signal, null, `the suite does not end: ${report}`);
  // It ends with 1 where a test failed, and where it could not run any.
  assert(report.startsWith('{'), `the suite ended with ${code} and without a report: ${report}`);
  return JSON.parse(report).results;
}

/** Bun's program for this machine: the only one that npm installs of them all. */
function runner() {
  const packages = join(here, 'node_modules', '@oven');
  const program = readdirSync(packages).map((name) => join(packages, name, 'bin', 'bun')).find(existsSync);
  assert(program, `npm installed no Bun for this machine below ${packages}`);
  return program;
}
