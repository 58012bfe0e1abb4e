// A real MCP server, `@modelcontextprotocol/server-everything`, behind the `mcp` tool: listed and
// called over Streamable HTTP, with sessions and event streams.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { client, collect, everything, gapless } from './house.mjs';

const entry = createRequire(import.meta.url).resolve(
  '@modelcontextprotocol/server-everything/dist/index.js',
);
let server;

before(async () => {
  const port = new URL(everything).port;
  server = spawn(process.execPath, [entry, 'streamableHttp'], {
    env: { ...process.env, PORT: port },
    stdio: 'ignore',
  });
  for (let tries = 0; ; tries += 1) {
    const up = await fetch(`${everything}/mcp`).catch(() => null);
    if (up) break;
    assert(server.exitCode === null && tries < 500, 'server-everything does not serve');
    await sleep(20);
  }
});

after(async () => {
  if (server?.exitCode !== null) return;
  const ended = once(server, 'exit');
  server.kill('SIGKILL');
  await ended;
});

const tool = (options = {}) => ({
  type: 'mcp',
  server_label: 'everything',
  server_url: `${everything}/mcp`,
  require_approval: 'never',
  ...options,
});

const calls = (name, args) => {
  const text = encodeURIComponent(JSON.stringify(args));
  return `scripted?tools=1&tool_names=everything__${name}&tool_args=${text}`;
};

test('its tools are listed and called', async () => {
  const { responses } = client();
  const events = await collect(
    responses.create({
      model: calls('echo', { message: 'hello' }),
      input: 'x',
      tools: [tool()],
      stream: true,
    }),
  );
  gapless(events);
  const { type, response } = events.at(-1);
  assert.equal(type, 'response.completed');
  const [list, call, message] = response.output;
  assert(list.tools.length > 5);
  assert(list.tools.every(({ input_schema }) => input_schema.type === 'object'));
  assert.deepEqual([call.status, call.error], ['completed', null]);
  assert.match(call.output, /hello/);
  assert.equal(message.type, 'message');
});

test('content that is not text is JSON, and structured content is said once', async () => {
  const { responses } = client();
  const outputOf = async (name, args) => {
    const request = { model: calls(name, args), input: 'x', tools: [tool()] };
    const response = await responses.create(request);
    const call = response.output.find(({ type }) => type === 'mcp_call');
    assert.equal(call.status, 'completed', JSON.stringify(call));
    return call.output;
  };
  const image = await outputOf('get-tiny-image', {});
  const block = image.split('\n').find((line) => line.startsWith('{'));
  assert.equal(JSON.parse(block).type, 'image');
  const weather = await outputOf('get-structured-content', { location: 'Chicago' });
  assert.equal(typeof JSON.parse(weather), 'object');
});

test('what it refuses is an error of the call', async () => {
  const { responses } = client();
  const response = await responses.create({
    model: calls('get-sum', { a: 'one', b: 2 }),
    input: 'x',
    tools: [tool()],
  });
  const call = response.output.find(({ type }) => type === 'mcp_call');
  assert.equal(call.status, 'failed');
  assert(['mcp_tool_execution_error', 'mcp_protocol_error'].includes(call.error.type));
});
