// A workload without an API key, through the SDK's own workload identity code. The SDK's token URL
// is fixed: a `fetch` that sends that one address to Waypost is the recipe.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import OpenAI, { OAuthError } from 'openai';
import {
  AUDIENCE, SUBJECT, administrator, baseURL, client, issuer, jwt, numbers, until, waypost,
} from './house.mjs';

const TOKEN_URL = 'https://auth.openai.com/oauth/token';

/** Sends the SDK's token exchange to Waypost, and everything else where it belongs. */
const rewriting = (tokenURL) => (url, options) =>
  fetch(String(url) === TOKEN_URL ? tokenURL : url, options);

async function federation() {
  const { projects, workloadIdentityProviders: providers } = administrator().admin.organization;
  const project = await projects.create({ name: 'federated' });
  const account = await projects.serviceAccounts.create(project.id, {
    name: 'keyless',
    create_service_account_only: true,
  });
  const provider = await providers.create({
    type: 'oidc',
    name: `cluster ${randomBytes(4).toString('hex')}`,
    issuer: issuer.url,
    audience: AUDIENCE,
  });
  const rule = {
    project_id: project.id,
    service_account_id: account.id,
    attribute_matchers: { sub: SUBJECT },
  };
  const made = await providers.federationRules.create(provider.id, rule);
  return { provider: provider.id, account: account.id, rule, ruleId: made.id };
}

const keyless = (trust, getToken = () => jwt()) =>
  new OpenAI({
    baseURL: baseURL(),
    apiKey: null,
    maxRetries: 0,
    fetch: rewriting(`${waypost.url}/oauth/token`),
    workloadIdentity: {
      identityProviderId: trust.provider,
      serviceAccountId: trust.account,
      provider: { tokenType: 'jwt', getToken },
    },
  });

test('a keyless workload answers, streams and lists', async () => {
  const workload = keyless(await federation());
  const response = await workload.responses.create({ model: 'scripted?tokens=3', input: 'x' });
  assert.equal(response.output_text, numbers(3));
  const stream = workload.responses.stream({ model: 'scripted?tokens=3', input: 'x' });
  assert.equal((await stream.finalResponse()).output_text, numbers(3));
  assert((await workload.models.list()).data.length > 0);
});

test('a revoked token is exchanged again', async () => {
  const trust = await federation();
  let asked = 0;
  const workload = keyless(trust, () => {
    asked += 1;
    return jwt();
  });
  const ask = () => workload.responses.create({ model: 'scripted?tokens=1', input: 'x' });
  await ask();
  const { federationRules: rules } = administrator().admin.organization.workloadIdentityProviders;
  await rules.delete(trust.ruleId, { workload_identity_provider_id: trust.provider });
  await until(() => ask().then(() => false, (error) => error.status === 401), 3_000);
  await rules.create(trust.provider, trust.rule);
  const before = asked;
  const answered = () => ask().catch(() => null);
  assert.equal((await until(answered, 3_000)).status, 'completed');
  assert(asked > before);
});

test('refused tokens say what OAuth says', async () => {
  const trust = await federation();
  // A wrong audience is told only once the signature is verified: the keys must be at hand.
  await keyless(trust, () => jwt()).models.list();
  for (const [token, code] of [
    [{ sub: 'somebody:else' }, 'invalid_grant'],
    [{ aud: 'https://elsewhere.example' }, 'invalid_subject_token'],
    [{ lifetime: -600 }, 'invalid_subject_token'],
    [{ claims: { iss: 'https://issuer.example' } }, 'invalid_grant'],
  ]) {
    const workload = keyless(trust, () => jwt(token));
    await assert.rejects(workload.models.list(), (error) => {
      assert(error instanceof OAuthError, String(error));
      assert.deepEqual([error.status, error.error_code], [401, code]);
      return true;
    });
  }
});

test('a callable key works too', async () => {
  const trust = await federation();
  const reply = await fetch(`${waypost.url}/oauth/token`, {
    method: 'POST',
    body: new URLSearchParams({
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
      subject_token: await jwt(),
      identity_provider_id: trust.provider,
      service_account_id: trust.account,
    }),
  });
  const { access_token: token, token_type: type } = await reply.json();
  assert.equal(type, 'Bearer');
  assert.equal(reply.headers.get('cache-control'), 'no-store');
  const workload = client({ apiKey: async () => token });
  assert((await workload.models.list()).data.length > 0);
});
