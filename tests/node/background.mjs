// Background mode: polling, cancelling, resuming at every event, surviving a crash.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import OpenAI from 'openai';
import { WEATHER, client, collect, gapless, numbers, textOf, until, waypost } from './house.mjs';

const SLOW = 'scripted?tokens=400&delay_ms=20';
const TERMINAL = ['completed', 'failed', 'incomplete', 'cancelled'];

const settled = (responses, id) =>
  until(async () => {
    const response = await responses.retrieve(id);
    return TERMINAL.includes(response.status) && response;
  });

test('polling', async () => {
  const { responses } = client();
  const created = await responses.create({
    model: 'scripted?tokens=12',
    input: 'x',
    background: true,
  });
  assert.deepEqual(created.output, []);
  const done = await settled(responses, created.id);
  assert.deepEqual([done.status, done.output_text], ['completed', numbers(12)]);
});

test('resuming at every event', async () => {
  const { responses } = client();
  const events = await collect(
    responses.create({
      model: 'scripted?tokens=15&tools=1&reasoning_tokens=3',
      input: 'x',
      tools: [WEATHER],
      background: true,
      stream: true,
    }),
  );
  gapless(events);
  const { id } = events[0].response;
  for (const { sequence_number: starting_after } of events) {
    const rest = await collect(responses.retrieve(id, { stream: true, starting_after }));
    assert.deepEqual(rest, events.slice(starting_after + 1));
  }
});

test('resuming while it runs, with the helper', async () => {
  const { responses } = client();
  const stream = await responses.create({
    model: 'scripted?tokens=60&delay_ms=5',
    input: 'x',
    background: true,
    stream: true,
  });
  const seen = [];
  for await (const event of stream) {
    seen.push(event);
    if (seen.length === 20) break;
  }
  const { id } = seen[0].response;
  const starting_after = seen.at(-1).sequence_number;
  const resumed = responses.stream({ response_id: id, starting_after });
  const rest = await collect(resumed);
  gapless(rest, starting_after + 1);
  assert.equal(textOf([...seen, ...rest]), numbers(60));
  assert.equal((await resumed.finalResponse()).output_text, numbers(60));
});

test('cancelling, twice and too late', async () => {
  const { responses } = client();
  const created = await responses.create({ model: SLOW, input: 'x', background: true });
  const cancelled = await responses.cancel(created.id);
  assert.deepEqual([cancelled.status, cancelled.output], ['cancelled', []]);
  assert.equal((await responses.cancel(created.id)).status, 'cancelled');
  const done = await responses.create({ model: 'scripted?tokens=1', input: 'x' });
  await assert.rejects(responses.cancel(done.id), (error) => {
    assert(error instanceof OpenAI.BadRequestError);
    assert.match(error.message, /Cannot cancel a synchronous response\./);
    return true;
  });
});

test('cancelling ends the stream', async () => {
  const { responses } = client();
  const stream = await responses.create({ model: SLOW, input: 'x', background: true, stream: true });
  const events = [];
  for await (const event of stream) {
    events.push(event);
    if (events.length === 8) await responses.cancel(events[0].response.id);
  }
  const { type, response } = events.at(-1);
  assert.deepEqual([type, response.status], ['response.failed', 'cancelled']);
});

test('a stream that cannot be resumed', async () => {
  const { responses } = client();
  const { id } = await responses.create({ model: 'scripted?tokens=1', input: 'x' });
  await assert.rejects(responses.retrieve(id, { stream: true }), (error) => {
    assert(error instanceof OpenAI.BadRequestError);
    assert.equal(error.param, 'stream');
    return true;
  });
});

test('killed in the middle', async () => {
  const { responses } = client();
  const stream = await responses.create({
    model: 'scripted?tokens=150&delay_ms=10',
    input: 'x',
    background: true,
    stream: true,
  });
  const seen = [];
  const address = waypost.url.replace('http://', '');
  await assert.rejects(async () => {
    for await (const event of stream) {
      seen.push(event);
      if (seen.length === 40) await waypost.end('SIGKILL');
    }
    throw new Error('the stream ended');
  });
  await waypost.start('--listen', address);
  const { id } = seen[0].response;
  const starting_after = seen.at(-1).sequence_number;
  seen.push(...(await collect(responses.retrieve(id, { stream: true, starting_after }))));
  gapless(seen);
  assert.equal(textOf(seen), numbers(150));
  assert.equal((await responses.retrieve(id)).output_text, numbers(150));
});
