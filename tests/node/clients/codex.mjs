// Codex CLI in its default set-up: a home with nothing but a provider that has a base URL and a key.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { promisify } from 'node:util';
import { baseURL, client, requestsOf, unique } from '../house.mjs';

const PATIENCE_MS = 120_000;
const program = createRequire(import.meta.url).resolve('@openai/codex/bin/codex.js');
const folder = mkdtempSync(join(tmpdir(), 'waypost-codex-'));
const home = join(folder, 'home');
const work = join(folder, 'work');
after(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));

// The first part is all that it takes; the second keeps the program from asking other hosts.
const config = () => `model_provider = "waypost"

[model_providers.waypost]
name = "Waypost"
base_url = "${baseURL()}"
env_key = "WAYPOST_API_KEY"
wire_api = "responses"

[analytics]
enabled = false
`;

/** Runs the program; gives its final message. */
async function codex(...args) {
  const said = join(folder, 'said.txt');
  rmSync(said, { force: true });
  const { PATH } = process.env;
  // Nothing listens on the proxy's port: no host but this one is reached.
  const env = {
    PATH,
    HOME: home,
    CODEX_HOME: home,
    WAYPOST_API_KEY: client().apiKey,
    HTTP_PROXY: 'http://127.0.0.1:9',
    HTTPS_PROXY: 'http://127.0.0.1:9',
    NO_PROXY: '127.0.0.1',
  };
  const options = ['--skip-git-repo-check', '--output-last-message', said];
  const running = promisify(execFile)(process.execPath, [program, 'exec', ...args, ...options], {
    cwd: work,
    env,
    timeout: PATIENCE_MS,
    killSignal: 'SIGKILL',
  });
  running.child.stdin.end();
  const { stdout, stderr } = await running;
  return readFileSync(said, 'utf8').trim() || assert.fail(`no message:\n${stdout}\n${stderr}`);
}

test('Codex: two turns, the first with a call of its shell', async () => {
  for (const made of [home, work]) mkdirSync(made);
  writeFileSync(join(home, 'config.toml'), config());
  const key = unique();
  const command = { cmd: 'echo $((6 * 7)) > answer.txt && cat answer.txt' };
  const call = Buffer.from(JSON.stringify(command)).toString('base64url');
  const script =
    `key=${key}&reasoning_tokens=3&call64=exec_command:${call}` +
    '&then&reasoning_tokens=2&say=The+answer+is+42.&then&say=Still+42.';
  const model = ['--model', `scripted?${script}`];
  // In place of its own sandbox, which needs rights that a machine for tests may not give.
  const free = '--dangerously-bypass-approvals-and-sandbox';
  assert.equal(await codex(free, ...model, 'What is the answer?'), 'The answer is 42.');
  assert.equal(readFileSync(join(work, 'answer.txt'), 'utf8').trim(), '42');
  assert.equal(await codex('resume', '--last', free, ...model, 'And now?'), 'Still 42.');

  const requests = (await requestsOf(key)).map(({ body }) => body);
  assert.equal(requests.length, 3);
  const output = requests[1].messages.find(({ role }) => role === 'tool');
  assert.match(output.content, /\b42\b/);
  const heard = JSON.stringify(requests[2].messages);
  for (const said of ['What is the answer?', 'The answer is 42.', 'And now?']) {
    assert.equal(heard.split(said).length, 2, `${said} once in ${heard}`);
  }
  // Its default tools have a hosted one, which the model does not see.
  const names = requests[0].tools.map((tool) => tool.function.name);
  assert(names.includes('exec_command'), names.join());
  assert(!names.includes('web_search'), names.join());
});
