// jose, a second verifier of our tokens and keys. It runs once for each
// algorithm that signs tokens.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as jose from 'jose';
import { algorithm, control, gateway, grantTo, newKey, projectId } from './postern.mjs';

const jwks = jose.createRemoteJWKSet(new URL(`${control}/.well-known/jwks.json`));
const expected = { issuer: control, audience: gateway, typ: 'at+jwt', algorithms: [algorithm], requiredClaims: ['exp', 'iat', 'jti', 'sub', 'client_id', 'scope'] };

test('a token verifies with the published keys', async () => {
  const key = await newKey();
  const { payload, protectedHeader } = await jose.jwtVerify(await grantTo(key), jwks, expected);
  assert.deepEqual([payload.sub, payload.client_id, payload.project_id, payload.gen], [key.id, key.id, projectId, 1]);
  assert.equal(payload.exp - payload.iat, 3600);
  assert.deepEqual(Object.keys(protectedHeader).sort(), ['alg', 'kid', 'typ']);
});

test('what is published are public keys for signatures, named by their IDs', async () => {
  const { keys } = await (await fetch(`${control}/.well-known/jwks.json`)).json();
  assert.ok(keys.length > 0);
  for (const key of keys) {
    assert.deepEqual([key.use, key.alg, 'd' in key, 'k' in key], ['sig', algorithm, false, false]);
    assert.equal((await jose.importJWK(key)).type, 'public');
  }
  assert.equal(new Set(keys.map((key) => key.kid)).size, keys.length);
});

test('it refuses what is not as expected', async () => {
  const raw = await grantTo(await newKey());
  const [header, payload, signature] = raw.split('.');
  const edited = jose.base64url.encode(JSON.stringify({ ...jose.decodeJwt(raw), project_id: 'prj_other' }));
  const flipped = Buffer.from(signature, 'base64url');
  flipped[5] ^= 1;
  for (const [name, forged, options] of [
    ['another audience', raw, { audience: 'https://elsewhere.example' }],
    ['another issuer', raw, { issuer: gateway }],
    ['another type', raw, { typ: 'JWT' }],
    ['another algorithm', raw, { algorithms: ['RS256'] }],
    ['later than it lives', raw, { currentDate: new Date(Date.now() + 3_601_000) }],
    ['an edited claim', `${header}.${edited}.${signature}`, {}],
    ['an edited signature', `${header}.${payload}.${flipped.toString('base64url')}`, {}],
  ]) {
    await assert.rejects(jose.jwtVerify(forged, jwks, { ...expected, ...options }), jose.errors.JOSEError, name);
  }
});
