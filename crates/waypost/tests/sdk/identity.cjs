// Keyless access through OpenAI's own Node SDK: the recipe of docs/identity.md.
//
// Usage: node identity.cjs BASE_URL PROVIDER_ID SERVICE_ACCOUNT_ID GOOD_TOKEN BAD_TOKEN,
// with NODE_PATH leading to the package `openai`. Exits with 0 when everything held.

const assert = require('node:assert/strict');
const { OpenAI, OAuthError } = require('openai');

const [baseUrl, identityProviderId, serviceAccountId, good, bad] = process.argv.slice(2);
let exchanges = 0;

// The SDK has no option for the token URL, but it exchanges with the `fetch` it is given.
const toWaypost = (url, init) => {
  if (String(url) === 'https://auth.openai.com/oauth/token') {
    exchanges += 1;
    url = `${baseUrl}/oauth/token`;
  }
  return fetch(url, init);
};

const client = (subjectToken) =>
  new OpenAI({
    baseURL: `${baseUrl}/v1`,
    apiKey: null,
    workloadIdentity: {
      identityProviderId,
      serviceAccountId,
      clientId: 'reports',
      refreshBufferSeconds: 60,
      provider: { tokenType: 'jwt', getToken: async () => subjectToken },
    },
    fetch: toWaypost,
    maxRetries: 0,
  });

async function main() {
  const workload = client(good);
  await workload.models.list();
  await workload.models.list();
  assert.equal(exchanges, 1, 'the token is kept until it is due');

  const token = await workload._workloadIdentityAuth.getToken();
  const revoked = await fetch(`${baseUrl}/oauth/revoke`, {
    method: 'POST',
    body: new URLSearchParams({ token }),
  });
  assert.equal(revoked.status, 200);
  await workload.models.list();
  assert.equal(exchanges, 2, 'a 401 makes the SDK exchange again');

  await assert.rejects(client(bad).models.list(), (error) => {
    assert(error instanceof OAuthError, error);
    assert.equal(error.status, 401);
    assert.equal(error.error_code, 'invalid_subject_token');
    return true;
  });
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
