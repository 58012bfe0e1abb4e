// Streams through the SDK's own accumulator: no exception, and the end equals `GET`.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WEATHER, client, collect, gapless, numbers, plain, textOf } from './house.mjs';

const SHAPES = {
  text: { model: 'scripted?tokens=60' },
  'emoji in pieces': { model: 'scripted?tokens=24&shape=emoji&split_utf8=1&delay_ms=1' },
  reasoning: { model: 'scripted?tokens=5&reasoning_tokens=9' },
  refusal: { model: 'scripted?refusal=I+must+not' },
  'one tool': { model: 'scripted?tools=1', tools: [WEATHER] },
  'text and three tools': { model: 'scripted?tools=3&tokens=4&tool_interleave=1', tools: [WEATHER] },
  'arguments at the end': { model: 'scripted?tools=2&tool_style=args_at_end', tools: [WEATHER] },
  logprobs: {
    model: 'scripted?tokens=4&logprobs=1',
    include: ['message.output_text.logprobs'],
    top_logprobs: 1,
  },
};

for (const background of [false, true]) {
  const where = background ? 'background' : 'foreground';
  for (const [shape, options] of Object.entries(SHAPES)) {
    test(`raw stream, ${where}: ${shape}`, async () => {
      const { responses } = client();
      const events = await collect(
        responses.create({ ...options, input: 'x', stream: true, background }),
      );
      gapless(events);
      assert.equal(events[0].type, 'response.created');
      const { type, response } = events.at(-1);
      assert.equal(type, 'response.completed');
      assert.deepEqual(plain(await responses.retrieve(response.id)), plain(response));
    });

    test(`stream helper, ${where}: ${shape}`, async () => {
      const { responses } = client();
      const stream = responses.stream({ ...options, input: 'x', background });
      const events = await collect(stream);
      const final = await stream.finalResponse();
      gapless(events);
      const stored = await responses.retrieve(final.id);
      assert.deepEqual(plain(final), plain(stored));
      assert.equal(final.output_text, stored.output_text);
    });
  }
}

test('a model server that breaks is never completed', async () => {
  for (const fault of ['eof_after=5', 'cut_after=5', 'reset_after=5', 'error_after=5']) {
    const { responses } = client();
    const events = await collect(
      responses.create({ model: `scripted?tokens=20&${fault}`, input: 'x', stream: true }),
    );
    assert.equal(events.at(-1).type, 'response.failed', fault);
    assert.equal(events.at(-1).response.error.code, 'server_error');
    assert.equal(textOf(events), numbers(5));
  }
});
