// The Agents SDK runs its tool loop against the server, over both APIs.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  Agent,
  OpenAIChatCompletionsModel,
  OpenAIResponsesModel,
  Runner,
  setTracingDisabled,
  tool,
} from '@openai/agents';
import { z } from 'zod';
import { client, unique } from './house.mjs';

setTracingDisabled(true);

const Stop = z.object({ city: z.string(), nights: z.number().int() });
const Plan = z.object({ title: z.string(), stops: z.array(Stop), budget: z.number().nullable() });

/** Tools that note what they are called with. */
function desk() {
  const seen = [];
  const noting = (name, parameters) =>
    tool({
      name,
      description: `The ${name}`,
      parameters,
      execute: (asked) => {
        seen.push([name, asked]);
        return 'done';
      },
    });
  const book = noting('book', z.object({ stop: Stop, refundable: z.boolean() }));
  const weather = noting('weather', z.object({ city: z.string(), days: z.number().nullable() }));
  return { seen, tools: [book, weather] };
}

const names = (seen) => seen.map(([name]) => name).sort();
const runner = new Runner({ tracingDisabled: true });

for (const Model of [OpenAIResponsesModel, OpenAIChatCompletionsModel]) {
  const model = (query, server = 'scripted') => new Model(client(), `${server}?${query}`);

  test(`${Model.name}: the tool loop`, async () => {
    const { seen, tools } = desk();
    const agent = new Agent({ name: 'clerk', model: model('generate=calls&tools=2'), tools });
    const { finalOutput } = await runner.run(agent, 'Plan a trip.');
    assert(finalOutput.startsWith('0 1 2 '), finalOutput);
    assert.deepEqual(names(seen), ['book', 'weather']);
    const [, booked] = seen.find(([name]) => name === 'book');
    Stop.parse(booked.stop);
    assert.equal(booked.refundable, true);
  });

  test(`${Model.name}: tools, then an output type`, async () => {
    const { seen, tools } = desk();
    const agent = new Agent({ name: 'clerk', model: model('generate=calls'), tools, outputType: Plan });
    const { finalOutput } = await runner.run(agent, 'Plan a trip.');
    assert.deepEqual(Plan.parse(finalOutput), finalOutput);
    assert.deepEqual(names(seen), ['book']);
  });

  test(`${Model.name}: streamed`, async () => {
    const { seen, tools } = desk();
    const agent = new Agent({ name: 'clerk', model: model('generate=calls'), tools });
    const result = await runner.run(agent, 'Plan a trip.', { stream: true });
    const kinds = new Set();
    for await (const event of result) kinds.add(event.type);
    await result.completed;
    assert(kinds.has('raw_model_stream_event') && kinds.has('run_item_stream_event'));
    assert(result.finalOutput.startsWith('0 1 2 '));
    assert.equal(seen.length, 1);
  });

  test(`${Model.name}: a weak model runs the same loop`, async () => {
    const { seen, tools } = desk();
    const query =
      'generate=calls&break=trailing_comma,fence&then&generate=calls&break=missing_key' +
      '&then&generate=calls&then&say=done';
    const weak = model(`key=${unique()}&${query}`, 'weak');
    const agent = new Agent({ name: 'clerk', model: weak, tools });
    const { finalOutput } = await runner.run(agent, 'Plan a trip.');
    assert.equal(finalOutput, 'done');
    assert.deepEqual(names(seen), ['book', 'book']);
    for (const [, { stop }] of seen) Stop.parse(stop);
  });
}
