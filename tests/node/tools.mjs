// Tools and structured answers through the SDK's zod helpers.
//
// The scripted model server makes its arguments from the schemas it is sent (`generate=calls`), so
// what the SDK parses went the whole way: from zod to a schema, through the server, and back.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import OpenAI from 'openai';
import { zodFunction, zodResponseFormat, zodResponsesFunction, zodTextFormat } from 'openai/helpers/zod';
import { z } from 'zod';
import { client, collect, requestsOf, unique } from './house.mjs';

const CALLS = 'scripted?generate=calls';
const TEXT = 'scripted?generate=text';
const messages = [{ role: 'user', content: 'x' }];

const Place = z.object({ city: z.string(), country: z.string().nullable() });
const Forecast = z.object({
  place: Place,
  unit: z.enum(['C', 'F']),
  days: z.number().int().min(2).max(9),
  tags: z.array(z.string()).min(2),
  kind: z.union([z.object({ long: z.literal(true) }), z.object({ short: z.literal(true) })]),
});
const Answer = z.object({ summary: z.string(), steps: z.array(Place).min(1), score: z.number() });

const forecast = zodResponsesFunction({ name: 'forecast', parameters: Forecast });
const chatForecast = zodFunction({ name: 'forecast', parameters: Forecast });
const LOOSE = {
  type: 'function',
  name: 'search',
  parameters: {
    type: 'object',
    properties: { query: { type: 'string' }, limit: { type: 'integer' } },
    required: ['query'],
  },
};

const calls = ({ output }) => output.filter(({ type }) => type === 'function_call');

function judge(parsed) {
  assert.deepEqual(Forecast.parse(parsed), parsed);
  assert.equal(parsed.unit, 'C');
  assert.deepEqual(parsed.kind, { long: true });
}

test('responses.parse with a zod function', async () => {
  const { responses } = client();
  const response = await responses.parse({ model: CALLS, input: 'x', tools: [forecast] });
  const [call] = calls(response);
  assert.equal(call.name, 'forecast');
  judge(call.parsed_arguments);
});

test('responses.parse with a zod text format', async () => {
  const text = { format: zodTextFormat(Answer, 'answer') };
  const { output_parsed } = await client().responses.parse({ model: TEXT, input: 'x', text });
  assert.deepEqual(Answer.parse(output_parsed), output_parsed);
});

test('tools and a text format in one loop', async () => {
  const { responses } = client();
  const options = {
    model: CALLS,
    tools: [forecast],
    text: { format: zodTextFormat(Answer, 'answer') },
  };
  const first = await responses.parse({ ...options, input: 'x' });
  const [call] = calls(first);
  judge(call.parsed_arguments);
  const second = await responses.parse({
    ...options,
    previous_response_id: first.id,
    input: [{ type: 'function_call_output', call_id: call.call_id, output: 'rain' }],
  });
  assert.deepEqual(calls(second), []);
  Answer.parse(second.output_parsed);
});

test('the stream helper parses arguments', async () => {
  const stream = client().responses.stream({ model: CALLS, input: 'x', tools: [forecast] });
  const events = await collect(stream);
  assert(events.some(({ type }) => type === 'response.function_call_arguments.delta'));
  judge(calls(await stream.finalResponse())[0].parsed_arguments);
});

test('chat.completions.parse, runTools and the stream helper', async () => {
  const { completions } = client().chat;
  const options = {
    model: CALLS,
    messages,
    tools: [chatForecast],
    response_format: zodResponseFormat(Answer, 'answer'),
  };
  const parsed = await completions.parse(options);
  judge(parsed.choices[0].message.tool_calls[0].function.parsed_arguments);
  const streamed = await completions.stream(options).finalChatCompletion();
  judge(streamed.choices[0].message.tool_calls[0].function.parsed_arguments);
  const seen = [];
  const tool = zodFunction({
    name: 'forecast',
    parameters: Forecast,
    function: (asked) => {
      seen.push(asked);
      return 'rain';
    },
  });
  const runner = completions.runTools({ ...options, tools: [tool] });
  Answer.parse((await runner.finalChatCompletion()).choices[0].message.parsed);
  assert.equal(seen.length, 1);
  judge(seen[0]);
});

for (const broken of ['trailing_comma', 'fence', 'unclosed', 'single_quotes']) {
  test(`arguments with ${broken} are repaired`, async () => {
    const model = `weak?generate=calls&break=${broken}`;
    const response = await client().responses.parse({ model, input: 'x', tools: [forecast] });
    judge(calls(response)[0].parsed_arguments);
    const parsed = await client().chat.completions.parse({ model, messages, tools: [chatForecast] });
    judge(parsed.choices[0].message.tool_calls[0].function.parsed_arguments);
  });
}

test('wrong arguments are asked for again', async () => {
  const key = unique();
  const model = `weak?key=${key}&generate=calls&break=wrong_enum&then&generate=calls`;
  const response = await client().responses.parse({ model, input: 'x', tools: [forecast] });
  judge(calls(response)[0].parsed_arguments);
  assert.equal((await requestsOf(key)).length, 2);
});

test('a model that knows no tools calls them', async () => {
  const key = unique();
  const plain = 'capabilities=completion&generate=text&ignores=tools';
  const model = `plain?key=${key}&${plain}&branch=1&then&${plain}`;
  const { responses } = client();
  const first = await responses.parse({ model, input: 'x', tools: [forecast] });
  const [call] = calls(first);
  judge(call.parsed_arguments);
  const [{ body }] = await requestsOf(key);
  assert.equal(body.tools, undefined);
  assert.equal(body.response_format.type, 'json_schema');
});

test('strict is resolved where it is left out', async () => {
  const { responses } = client();
  const response = await responses.create({ model: CALLS, input: 'x', tools: [LOOSE] });
  const [tool] = response.tools;
  assert.equal(tool.strict, true);
  assert.deepEqual(tool.parameters.required, ['query', 'limit']);
  assert.equal(tool.parameters.additionalProperties, false);
  assert.deepEqual((await responses.retrieve(response.id)).tools, response.tools);
});

test('a schema that strict mode cannot take is refused', async () => {
  const asked = client().responses.create({
    model: CALLS,
    input: 'x',
    tools: [{ ...LOOSE, strict: true }],
  });
  await assert.rejects(asked, (error) => {
    assert(error instanceof OpenAI.BadRequestError);
    assert.equal(error.code, 'invalid_function_parameters');
    assert.equal(error.param, 'tools[0].parameters');
    return true;
  });
});
