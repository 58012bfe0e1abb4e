// Streams a background response to its end, through lost connections and restarts of the server.
//
//     npm install openai
//     export OPENAI_BASE_URL=http://127.0.0.1:8080/v1 OPENAI_API_KEY=sk-...
//     node examples/resume.mjs your-model "Write a long story."
//
// Every event is seen exactly once, in order. Two things make it so: the events of a background
// response are numbered and kept, so reading goes on after the last number seen; and the request
// that creates the response has an `Idempotency-Key`, so repeating it cannot start a second one.

import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import OpenAI from 'openai';

const TERMINAL = ['response.completed', 'response.incomplete', 'response.failed'];
const GIVE_UP_AFTER_MS = 600_000;

/** What a restart looks like from here; anything else is an error to show, not to repeat. */
const worthRepeating = (error) =>
  error instanceof OpenAI.APIConnectionError ||
  error instanceof OpenAI.InternalServerError ||
  error instanceof OpenAI.RateLimitError ||
  // What `fetch` throws when a connection breaks in the middle of a stream.
  error instanceof TypeError;

/** All events of one background response, each once. */
async function* eventsOf(client, request) {
  const headers = { 'Idempotency-Key': randomUUID() };
  let [responseId, lastSeen] = [undefined, undefined];
  let [pause, lastNews] = [100, Date.now()];
  for (;;) {
    try {
      const stream = responseId
        ? await client.responses.retrieve(responseId, { stream: true, starting_after: lastSeen })
        : await client.responses.create({ ...request, background: true, stream: true }, { headers });
      for await (const event of stream) {
        if (event.type === 'response.created') responseId = event.response.id;
        lastSeen = event.sequence_number;
        [pause, lastNews] = [100, Date.now()];
        yield event;
        if (TERMINAL.includes(event.type)) return;
      }
      // The stream ended before the response did: the server shuts down.
    } catch (error) {
      if (!worthRepeating(error) || Date.now() - lastNews > GIVE_UP_AFTER_MS) throw error;
      console.error(`\n[${error.constructor.name}: trying again]`);
    }
    await sleep(pause);
    pause = Math.min(pause * 2, 5_000);
  }
}

const [model, input] = process.argv.slice(2);
const client = new OpenAI({ maxRetries: 0 });
let response;
for await (const event of eventsOf(client, { model, input })) {
  if (event.type === 'response.output_text.delta') process.stdout.write(event.delta);
  response = event.response ?? response;
}
console.log();
if (response.status !== 'completed') {
  const reason = response.error ?? response.incomplete_details;
  console.error(`${response.id} is ${response.status}: ${JSON.stringify(reason)}`);
  process.exitCode = 1;
}
