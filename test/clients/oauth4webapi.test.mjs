// oauth4webapi, a strict client of OAuth 2, against a real server. It runs
// once for each algorithm that signs tokens.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import * as oauth from 'oauth4webapi';
import { algorithm, basic, control, est, gateway, newKey, projectId, ran, revoke, trunks } from './postern.mjs';

const insecure = { [oauth.allowInsecureRequests]: true };
const issuer = new URL(control);
let as;

before(async () => {
  as = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, { algorithm: 'oauth2', ...insecure }));
});

const posted = ['basic', oauth.ClientSecretBasic], formed = ['post', oauth.ClientSecretPost];

/** grant asks for a token with a key. */
async function grant(key, { parameters = {}, authenticate = oauth.ClientSecretBasic, ...options } = {}) {
  const client = { client_id: key.id };
  const response = await oauth.clientCredentialsGrantRequest(as, client, authenticate(key.secret), parameters, { ...insecure, ...options });
  return oauth.processClientCredentialsResponse(as, client, response);
}

/** call calls the guarded handler. */
const call = (token, options = {}) => oauth.protectedResourceRequest(token, 'GET', new URL(trunks), undefined, undefined, { ...insecure, ...options });

/** refused is what the library makes of a 401 that has a challenge. */
const refused = (scheme, error) => (e) => {
  assert.ok(e instanceof oauth.WWWAuthenticateChallengeError, `${e.stack}`);
  assert.equal(e.status, 401);
  const challenge = e.cause.find((c) => c.scheme === scheme);
  assert.ok(challenge, JSON.stringify(e.cause));
  assert.equal(challenge.parameters.error, error);
  assert.ok(!JSON.stringify(e.cause).includes('expired'));
  return true;
};

/** told is what it makes of an error in the body. */
const told = (error) => (e) => {
  assert.ok(e instanceof oauth.ResponseBodyError, `${e.stack}`);
  assert.deepEqual([e.status, e.error], [400, error]);
  assert.ok(e.error_description);
  return true;
};

test('the metadata is that of this issuer, and of no other', async () => {
  assert.equal(as.issuer, control);
  for (const name of ['token_endpoint', 'introspection_endpoint', 'revocation_endpoint', 'jwks_uri']) {
    assert.ok(as[name].startsWith(`${control}/`), name);
  }
  assert.deepEqual([as.grant_types_supported, as.response_types_supported], [['client_credentials'], []]);
  assert.ok(as.dpop_signing_alg_values_supported.includes('ES256'));
  const response = await oauth.discoveryRequest(issuer, { algorithm: 'oauth2', ...insecure });
  await assert.rejects(oauth.processDiscoveryResponse(new URL(gateway), response), { code: oauth.JSON_ATTRIBUTE_COMPARISON });
});

for (const [name, authenticate] of [posted, formed]) {
  test(`client_secret_${name}: a token that RFC 9068 describes opens the handler`, async () => {
    const key = await newKey();
    const token = await grant(key, { authenticate });
    assert.deepEqual([token.token_type, token.scope], ['bearer', 'invoke']);
    assert.ok(token.expires_in === 3599 || token.expires_in === 3600, `${token.expires_in}`);
    const claims = await oauth.validateJwtAccessToken(as, new Request(trunks, { headers: { authorization: `Bearer ${token.access_token}` } }), gateway,
      { signingAlgorithms: [algorithm], ...insecure });
    assert.deepEqual([claims.sub, claims.client_id, claims.project_id, claims.scope], [key.id, key.id, projectId, 'invoke']);
    const response = await call(token.access_token);
    assert.equal(response.status, 200);
    assert.equal((await response.json()).trunks[0].name, key.id);
    assert.equal(await ran(key), 1);
  });

  test(`client_secret_${name}: a wrong secret and an unknown key are one error`, async () => {
    const key = await newKey();
    const wrong = { ...key, secret: (await newKey()).secret };
    const unknown = { id: 'pak_00000000000000000000000000', secret: key.secret };
    for (const bad of [wrong, unknown, { ...key, secret: 'a+b/c==&%' }]) {
      const error = await grant(bad, { authenticate }).catch((e) => e);
      refused('basic', undefined)(error);
      const { error_verbose, error_hint, ...body } = await error.response.json();
      assert.deepEqual(body, { error: 'invalid_client', error_description: error_verbose });
    }
  });
}

test('what cannot be granted is a typed error', async () => {
  const key = await newKey();
  await assert.rejects(grant(key, { parameters: { scope: 'control' } }), told('invalid_scope'));
  await assert.rejects(grant(key, { parameters: { scope: 'invoke nonsense' } }), told('invalid_scope'));
  await assert.rejects(grant(key, { parameters: { resource: 'https://elsewhere.example' } }), told('invalid_target'));
  const client = { client_id: key.id };
  const other = await oauth.genericTokenEndpointRequest(as, client, oauth.ClientSecretBasic(key.secret), 'urn:example:grant', {}, insecure);
  await assert.rejects(oauth.processGenericTokenEndpointResponse(as, client, other), told('unsupported_grant_type'));
  await assert.rejects(grant(key, { headers: { dpop: 'e30.e30.e30' } }), told('invalid_dpop_proof'));
});

test('a token for one door does not open another', async () => {
  const key = await newKey();
  const narrow = await grant(key, { parameters: { resource: est } });
  assert.equal((await call(narrow.access_token)).status, 200);
  const elsewhere = await grant(key, { parameters: { resource: control } });
  await assert.rejects(call(elsewhere.access_token), refused('bearer', 'invalid_token'));
  assert.equal(await ran(key), 1);
});

test('introspection tells of a token, and revocation ends it', async () => {
  const [key, mate] = [await newKey(), await newKey()];
  const client = { client_id: key.id }, secret = oauth.ClientSecretPost(key.secret);
  const { access_token: token } = await grant(key);
  const introspect = async () => oauth.processIntrospectionResponse(as, client, await oauth.introspectionRequest(as, client, secret, token, insecure));
  const { active, client_id, scope, token_type, iss, exp } = await introspect();
  assert.deepEqual({ active, client_id, scope, token_type, iss }, { active: true, client_id: key.id, scope: 'invoke', token_type: 'bearer', iss: control });
  assert.ok(exp > Date.now() / 1000 + 3590);
  assert.equal((await call(token)).status, 200);

  const stranger = { client_id: mate.id };
  const response = await oauth.revocationRequest(as, stranger, oauth.ClientSecretBasic(mate.secret), token, insecure);
  await assert.rejects(oauth.processRevocationResponse(response), told('unauthorized_client'));
  assert.equal((await introspect()).active, true);

  for (let i = 0; i < 2; i++) { // RFC 7009 §2.2: what is ended already is no error
    assert.equal(await oauth.processRevocationResponse(await oauth.revocationRequest(as, client, oauth.ClientSecretBasic(key.secret), token, insecure)), undefined);
  }
  assert.deepEqual(await introspect(), { active: false });
  await assert.rejects(call(token), refused('bearer', 'invalid_token'));
  assert.equal(await ran(key), 1);
});

for (const alg of ['ES256', 'Ed25519']) {
  test(`DPoP with ${alg}: the token is worth nothing without its key`, async () => {
    assert.ok(as.dpop_signing_alg_values_supported.includes(alg));
    const key = await newKey();
    const client = { client_id: key.id };
    const DPoP = oauth.DPoP(client, await oauth.generateKeyPair(alg));
    const token = await grant(key, { DPoP });
    assert.equal(token.token_type, 'dpop');

    let sent;
    const response = await call(token.access_token, { DPoP, [oauth.customFetch]: (url, init) => fetch(url, sent = init) });
    assert.equal(response.status, 200);
    assert.equal(await ran(key), 1);

    // A resource server that uses this library takes the token and its proof as well.
    await oauth.validateJwtAccessToken(as, new Request(trunks, sent), gateway, { requireDPoP: true, signingAlgorithms: [algorithm, alg], ...insecure });

    await assert.rejects(call(token.access_token), refused('dpop', 'invalid_dpop_proof')); // as a bearer
    const replayed = await fetch(trunks, sent);
    assert.equal(replayed.status, 401);
    assert.match(replayed.headers.get('www-authenticate'), /invalid_dpop_proof/);
    const thief = oauth.DPoP(client, await oauth.generateKeyPair(alg));
    await assert.rejects(call(token.access_token, { DPoP: thief }), refused('dpop', 'invalid_dpop_proof'));
    const elsewhere = (url, init) => fetch(trunks, init); // the proof is for another path
    await assert.rejects(oauth.protectedResourceRequest(token.access_token, 'GET', new URL(`${est}/calls`), undefined, undefined,
      { DPoP, [oauth.customFetch]: elsewhere, ...insecure }), refused('dpop', 'invalid_dpop_proof'));
    assert.equal(await ran(key), 1);
    assert.equal((await call(token.access_token, { DPoP })).status, 200);

    const { cnf, token_type } = await oauth.processIntrospectionResponse(as, client, await oauth.introspectionRequest(as, client, oauth.ClientSecretBasic(key.secret), token.access_token, insecure));
    assert.deepEqual([cnf.jkt, token_type], [await DPoP.calculateThumbprint(), 'DPoP']);
  });
}

test('a key that is bound by DPoP opens both doors so, and in no other way', async () => {
  const key = await newKey({ scopes: ['invoke', 'control'], binding: 'dpop' });
  await assert.rejects(grant(key), told('invalid_dpop_proof'));
  for (const headers of [{ authorization: basic(key.id, key.secret) }, { 'x-api-key': key.secret }]) {
    assert.equal((await fetch(trunks, { headers })).status, 401);
  }
  assert.equal(await ran(key), 0);
  const DPoP = oauth.DPoP({ client_id: key.id }, await oauth.generateKeyPair('ES256'));
  const { access_token: token } = await grant(key, { DPoP });
  assert.equal((await call(token, { DPoP })).status, 200);
  assert.equal(await ran(key), 1);
  const whoami = (options) => oauth.protectedResourceRequest(token, 'GET', new URL(`${control}/v1/whoami`), undefined, undefined, { ...insecure, ...options });
  assert.equal((await whoami({ DPoP })).status, 200);
  await assert.rejects(whoami(), refused('dpop', 'invalid_dpop_proof'));
});

test('a function describes itself, and its challenge says where', async () => {
  const resource = new URL(est);
  const response = await oauth.resourceDiscoveryRequest(resource, insecure);
  const metadata = await oauth.processResourceDiscoveryResponse(resource, response);
  assert.deepEqual(metadata.authorization_servers, [control]);
  assert.deepEqual(metadata.bearer_methods_supported, ['header']);
  const { status, headers } = await fetch(trunks);
  assert.equal(status, 401);
  const where = /resource_metadata="([^"]+)"/.exec(headers.get('www-authenticate'))[1];
  assert.deepEqual(await (await fetch(where)).json(), metadata);
  await assert.rejects(call('eyJub3QiOiJvdXJzIn0.e30.AAAA'), refused('bearer', 'invalid_token'));
  const nowhere = await oauth.resourceDiscoveryRequest(new URL(`${gateway}/fn/nowhere`), insecure);
  await assert.rejects(oauth.processResourceDiscoveryResponse(new URL(`${gateway}/fn/nowhere`), nowhere), { code: oauth.RESPONSE_IS_NOT_CONFORM });
});

test('a revoked key: its token is inactive, and no other is had', async () => {
  const [key, mate] = [await newKey(), await newKey()];
  const { access_token: token } = await grant(key);
  await revoke(key);
  await assert.rejects(call(token), refused('bearer', 'invalid_token'));
  await assert.rejects(grant(key), refused('basic', undefined));
  const client = { client_id: mate.id };
  assert.deepEqual(await oauth.processIntrospectionResponse(as, client, await oauth.introspectionRequest(as, client, oauth.ClientSecretBasic(mate.secret), token, insecure)), { active: false });
  assert.equal(await ran(key), 0);
});
