// The Vercel AI SDK with its default settings: the Responses API, items by reference.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createOpenAI } from '@ai-sdk/openai';
import { Output, embedMany, generateText, isStepCount, streamText, tool } from 'ai';
import { z } from 'zod';
import { Process, WAYPOST_TESTKIT_BIN, baseURL, client, everything, parent, requestsOf, unique } from '../house.mjs';

const mcp = new Process('mcp', WAYPOST_TESTKIT_BIN, ['mcp', ...parent]);
before(() => mcp.start('--listen', new URL(everything).host));
after(() => mcp.end('SIGTERM'));

const openai = () => createOpenAI({ baseURL: baseURL(), apiKey: client().apiKey });
const steps = isStepCount(5);

/** A tool that notes what it is called with. */
function desk() {
  const seen = [];
  const weather = tool({
    description: 'The weather of a city',
    inputSchema: z.object({ city: z.string(), days: z.number().int().optional() }),
    execute: async (asked) => {
      seen.push(asked);
      return `sunny in ${asked.city}`;
    },
  });
  return { seen, tools: { weather } };
}

const CALL = 'reasoning_tokens=3&call=weather:{"city":"Paris"}';
const TWO_TURNS = `${CALL}&then&reasoning_tokens=2&say=It+is+sunny.&then&${CALL}&then&say=Still+sunny.`;

/** What the model server was told, as plain text of its last request. */
async function lastHeard(key) {
  return JSON.stringify((await requestsOf(key)).at(-1).body.messages);
}

// The SDK takes one of these names for a reasoning model and the other not: it sends other items.
for (const name of ['gpt-5.1', 'gpt-4.1']) {
  test(`${name}: two turns, each with a tool call`, async () => {
    const [key, { seen, tools }] = [unique(), desk()];
    const model = openai()(`${name}?key=${key}&${TWO_TURNS}`);
    const messages = [{ role: 'user', content: 'The weather in Paris?' }];
    const first = await generateText({ model, messages, tools, stopWhen: steps });
    assert.equal(first.text, 'It is sunny.');
    assert.equal(first.finishReason, 'stop');
    messages.push(...first.responseMessages, { role: 'user', content: 'And now?' });
    const second = await generateText({ model, messages, tools, stopWhen: steps });
    assert.equal(second.text, 'Still sunny.');
    assert.deepEqual(seen.map(({ city }) => city), ['Paris', 'Paris']);
    const heard = await lastHeard(key);
    for (const said of ['The weather in Paris?', 'It is sunny.', 'And now?']) {
      assert.equal(heard.split(said).length, 2, `${said} once in ${heard}`);
    }
    assert.equal(heard.split('sunny in Paris').length, 3, heard);
  });

  test(`${name}: two turns, streamed`, async () => {
    const [key, { seen, tools }] = [unique(), desk()];
    const model = openai()(`${name}?key=${key}&${TWO_TURNS}`);
    const messages = [{ role: 'user', content: 'The weather in Paris?' }];
    for (const wanted of ['It is sunny.', 'Still sunny.']) {
      const turn = streamText({ model, messages, tools, stopWhen: steps, onError: ({ error }) => { throw error; } });
      let text = '';
      for await (const delta of turn.textStream) text += delta;
      assert.equal(text, wanted);
      messages.push(...(await turn.responseMessages), { role: 'user', content: 'And now?' });
    }
    assert.equal(seen.length, 2);
  });
}

test('an object, and an object after a tool call', async () => {
  const plan = Output.object({ schema: z.object({ title: z.string(), stops: z.array(z.string()) }) });
  const bare = await generateText({ model: openai()('gpt-5.1?generate=calls'), prompt: 'Plan.', output: plan });
  assert.equal(typeof bare.output.title, 'string');
  const { seen, tools } = desk();
  const model = openai()(`gpt-5.1?key=${unique()}&${CALL}&then&say={"title":"x","stops":["y"]}`);
  const { output } = await generateText({ model, prompt: 'Plan.', tools, output: plan, stopWhen: steps });
  assert.deepEqual(output, { title: 'x', stops: ['y'] });
  assert.equal(seen.length, 1);
});

test('a custom tool, and its result on the next turn', async () => {
  const seen = [];
  const query = openai().tools.customTool({ description: 'Runs SQL', format: { type: 'text' } });
  const tools = { query: { ...query, execute: async (input) => (seen.push(input), 'one row') } };
  const key = unique();
  const model = openai()(`gpt-5.1?key=${key}&reasoning_tokens=2&custom=query:SELECT+1&then&say=One.`);
  const { text } = await generateText({ model, prompt: 'Ask.', tools, stopWhen: steps });
  assert.equal(text, 'One.');
  assert.deepEqual(seen, ['SELECT 1']);
  assert((await lastHeard(key)).includes('one row'));
});

test('a hosted MCP server, and the turn after it', async () => {
  const key = unique();
  const model = openai()(`gpt-5.1?key=${key}&call=sums__add:{"a":2,"b":3}&then&say=Five.&then&say=Yes.`);
  const mcpTool = openai().tools.mcp({ serverLabel: 'sums', serverUrl: `${mcp.url}/mcp`, requireApproval: 'never' });
  const messages = [{ role: 'user', content: 'Add.' }];
  const first = await generateText({ model, messages, tools: { sums: mcpTool }, stopWhen: steps });
  assert.equal(first.text, 'Five.');
  messages.push(...first.responseMessages, { role: 'user', content: 'Sure?' });
  const second = await generateText({ model, messages, tools: { sums: mcpTool }, stopWhen: steps });
  assert.equal(second.text, 'Yes.');
});

test('embeddings, as the SDK asks for them', async () => {
  const model = openai().embedding('text-embedding-3-small');
  const { embeddings } = await embedMany({ model, values: ['one', 'two'] });
  assert.equal(embeddings.length, 2);
  assert(embeddings.flat().every(Number.isFinite));
});

test('Chat Completions: two turns, each with a tool call', async () => {
  const [key, { seen, tools }] = [unique(), desk()];
  const model = openai().chat(`gpt-4.1?key=${key}&${TWO_TURNS}`);
  const messages = [{ role: 'user', content: 'The weather in Paris?' }];
  for (const wanted of ['It is sunny.', 'Still sunny.']) {
    const { text, responseMessages } = await generateText({ model, messages, tools, stopWhen: steps });
    assert.equal(text, wanted);
    messages.push(...responseMessages, { role: 'user', content: 'And now?' });
  }
  assert.equal(seen.length, 2);
});

/** A model's call of a tool of a fixed form, in base64url. */
const written = (name, asked) =>
  `call64=${name}:${Buffer.from(JSON.stringify(asked)).toString('base64url')}`;

// Tools that the client runs: what each is asked, and what it answers.
const CLIENT_TOOLS = [
  {
    name: 'local_shell',
    make: (execute) => openai().tools.localShell({ execute }),
    asked: { command: ['ls', '-l'] },
    seen: { action: { type: 'exec', command: ['ls', '-l'], env: {} } },
    answer: { output: 'one file' },
  },
  {
    name: 'shell',
    make: (execute) => openai().tools.shell({ execute, environment: { type: 'local' } }),
    asked: { commands: ['pwd', 'ls'], timeout_ms: 5000 },
    seen: { action: { commands: ['pwd', 'ls'], timeoutMs: 5000 } },
    answer: { output: [{ stdout: 'one file', stderr: '', outcome: { type: 'exit', exitCode: 0 } }] },
  },
  {
    name: 'apply_patch',
    make: (execute) => openai().tools.applyPatch({ execute }),
    asked: { operation: { type: 'create_file', path: 'a.txt', diff: '+one "file"\n' } },
    seen: { operation: { type: 'create_file', path: 'a.txt', diff: '+one "file"\n' } },
    answer: { status: 'completed', output: 'one file' },
  },
];

for (const { name, make, asked, seen, answer } of CLIENT_TOOLS) {
  for (const store of [true, false]) {
    test(`${name}, store: ${store}: called, answered, whole and streamed`, async () => {
      for (const streamed of [false, true]) {
        const [key, heard] = [unique(), []];
        const tools = { [name]: make(async (input) => (heard.push(input), answer)) };
        const model = openai()(`gpt-5.1?key=${key}&${written(name, asked)}&then&say=Done.`);
        const providerOptions = { openai: { store } };
        const ask = { model, prompt: 'Go.', tools, stopWhen: steps, providerOptions };
        const text = streamed
          ? await streamText({ ...ask, onError: ({ error }) => { throw error; } }).text
          : (await generateText(ask)).text;
        assert.equal(text, 'Done.');
        const [{ callId, ...input }] = heard.map((one) => JSON.parse(JSON.stringify(one)));
        assert.equal(heard.length, 1);
        assert.deepEqual(input, seen);
        assert((await lastHeard(key)).includes('one file'));
      }
    });
  }
}
