// Foreground responses: text, structure, tools, images, logprobs, chains, deletion.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import OpenAI from 'openai';
import { WEATHER, client, collect, lastUpstreamRequest, numbers } from './house.mjs';

const PIXEL =
  'data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk' +
  'YPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==';

test('a plain answer, and GET', async () => {
  const { responses } = client();
  const response = await responses.create({ model: 'scripted?tokens=20', input: 'Count.' });
  assert.equal(response.status, 'completed');
  assert.equal(response.output_text, numbers(20));
  assert.equal(response.usage.output_tokens, 20);
  assert.deepEqual(await responses.retrieve(response.id), response);
});

test('a limit makes it incomplete', async () => {
  const response = await client().responses.create({
    model: 'scripted?tokens=50',
    input: 'x',
    max_output_tokens: 16,
  });
  assert.equal(response.status, 'incomplete');
  assert.equal(response.incomplete_details.reason, 'max_output_tokens');
});

test('function tools, there and back', async () => {
  const { responses } = client();
  const options = { model: 'scripted?tools=2&tokens=0', tools: [WEATHER] };
  const first = await responses.create({ ...options, input: 'Weather?' });
  const calls = first.output.filter(({ type }) => type === 'function_call');
  assert.equal(calls.length, 2);
  assert.deepEqual(JSON.parse(calls[0].arguments), { city: 'Paris', days: 3 });
  const second = await responses.create({
    ...options,
    previous_response_id: first.id,
    input: calls.map(({ call_id }) => ({ type: 'function_call_output', call_id, output: 'sun' })),
  });
  assert.equal(second.status, 'completed');
  assert(!second.output.some(({ type }) => type === 'function_call'));
});

test('parsed function arguments', async () => {
  const response = await client().responses.parse({
    model: 'scripted?tools=1&tokens=0',
    input: 'x',
    tools: [WEATHER],
  });
  const call = response.output.find(({ type }) => type === 'function_call');
  assert.deepEqual(call.parsed_arguments, { city: 'Paris', days: 3 });
});

test('a structured format reaches the model server as it is', async () => {
  const schema = {
    type: 'object',
    properties: { zebra: { type: 'string' }, apple: { type: 'integer' } },
    required: ['zebra', 'apple'],
    additionalProperties: false,
  };
  const model = 'scripted?generate=text&prompt_tokens=91';
  const format = { type: 'json_schema', name: 'animal', schema, strict: true };
  const response = await client().responses.create({ model, input: 'x', text: { format } });
  assert.equal(response.text.format.name, 'animal');
  const sent = (await lastUpstreamRequest(model)).response_format;
  assert.deepEqual(sent, {
    type: 'json_schema',
    json_schema: { name: 'animal', schema, strict: true },
  });
  assert.deepEqual(Object.keys(sent.json_schema.schema.properties), ['zebra', 'apple']);
});

test('logprobs', async () => {
  const response = await client().responses.create({
    model: 'scripted?tokens=3&logprobs=1',
    input: 'x',
    include: ['message.output_text.logprobs'],
    top_logprobs: 1,
  });
  const [{ logprobs }] = response.output[0].content;
  assert.equal(logprobs.map(({ token }) => token).join(''), numbers(3));
});

test('an image as input', async () => {
  const model = 'scripted?tokens=1&prompt_tokens=92';
  const content = [
    { type: 'input_text', text: 'What is this?' },
    { type: 'input_image', image_url: PIXEL, detail: 'low' },
  ];
  await client().responses.create({ model, input: [{ role: 'user', content }] });
  const { messages } = await lastUpstreamRequest(model);
  assert.deepEqual(messages[0].content[1], {
    type: 'image_url',
    image_url: { url: PIXEL, detail: 'low' },
  });
});

test('a chain of responses', async () => {
  const { responses } = client();
  const model = 'scripted?tokens=2&prompt_tokens=93';
  const first = await responses.create({ model, input: 'one' });
  const second = await responses.create({ model, input: 'two', previous_response_id: first.id });
  await responses.create({ model, input: 'three', previous_response_id: second.id });
  const { messages } = await lastUpstreamRequest(model);
  assert.deepEqual(
    messages.map(({ content }) => content),
    ['one', numbers(2), 'two', numbers(2), 'three'],
  );
});

test('input items, page by page', async () => {
  const { responses } = client();
  const input = [0, 1, 2, 3, 4].map((n) => ({ role: 'user', content: `item ${n}` }));
  const response = await responses.create({ model: 'scripted?tokens=1', input });
  const items = await collect(responses.inputItems.list(response.id, { limit: 2, order: 'asc' }));
  assert.deepEqual(
    items.map(({ content }) => content[0].text),
    input.map(({ content }) => content),
  );
});

test('deleted and unstored responses are not found', async () => {
  const { responses } = client();
  const stored = await responses.create({ model: 'scripted?tokens=1', input: 'x' });
  await responses.delete(stored.id);
  await assert.rejects(responses.retrieve(stored.id), OpenAI.NotFoundError);
  const unstored = await responses.create({ model: 'scripted?tokens=1', input: 'x', store: false });
  await assert.rejects(responses.retrieve(unstored.id), OpenAI.NotFoundError);
});

test('models and chat completions', async () => {
  const models = await collect(client().models.list());
  assert(models.some(({ id }) => id === 'scripted'));
  const request = { model: 'scripted?tokens=5', messages: [{ role: 'user', content: 'x' }] };
  const answer = await client().chat.completions.create(request);
  assert.equal(answer.choices[0].message.content, numbers(5));
  const runner = client().chat.completions.stream(request);
  assert.equal(await runner.finalContent(), numbers(5));
});
