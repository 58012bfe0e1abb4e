// Errors as the SDK's classes, with `code` and `param`.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import OpenAI from 'openai';
import { adminKey, client } from './house.mjs';

const refused = (kind, fields) => (error) => {
  assert(error instanceof kind, String(error));
  for (const [name, value] of Object.entries(fields)) assert.equal(error[name], value);
  assert.match(error.requestID, /^req_/);
  return true;
};

test('a bad request names the field', async () => {
  for (const [options, param] of [
    [{ input: 5 }, 'input'],
    [{ input: 'x', temperature: 'hot' }, 'temperature'],
    [{ input: 'x', no_such_field: 1 }, 'no_such_field'],
    [{ input: 'x', background: true, store: false }, 'background'],
    [{ input: 'x', previous_response_id: 'resp_nobody' }, 'previous_response_id'],
  ]) {
    await assert.rejects(
      client().responses.create({ model: 'scripted', ...options }),
      refused(OpenAI.BadRequestError, { param, type: 'invalid_request_error' }),
    );
  }
});

test('wrong keys', async () => {
  const ask = (apiKey) => client({ apiKey }).responses.create({ model: 'scripted', input: 'x' });
  await assert.rejects(ask('nobody'), refused(OpenAI.AuthenticationError, {}));
  await assert.rejects(ask('workload-identity-auth'), refused(OpenAI.AuthenticationError, {}));
  await assert.rejects(ask(adminKey), refused(OpenAI.PermissionDeniedError, {}));
});

test('what is not there', async () => {
  const { responses } = client();
  const nobody = `resp_${'0'.repeat(32)}`;
  const notFound = refused(OpenAI.NotFoundError, { type: 'invalid_request_error' });
  await assert.rejects(responses.retrieve(nobody), notFound);
  await assert.rejects(responses.cancel(nobody), notFound);
  await assert.rejects(client().get('/no/such/route'), notFound);
});

test('errors of the model server', async () => {
  const ask = (model) => client().responses.create({ model, input: 'x' });
  await assert.rejects(ask('scripted?status=429&retry_after=7'), (error) => {
    assert.equal(error.headers.get('retry-after'), '7');
    return refused(OpenAI.RateLimitError, {})(error);
  });
  await assert.rejects(ask('scripted?status=500'), refused(OpenAI.InternalServerError, {}));
});
