// @sinch/sdk-core, unmodified, against a server whose tokens live for an hour.
import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import { basic, control, counting, newKey, ran, revoke } from './postern.mjs';
import { through } from './sinch.mjs';

test('it gets a token and uses it', async (t) => {
  const key = await newKey();
  const { list, tokens, calls } = await through(t, key);
  const page = await list();
  assert.deepEqual(page.data.map((trunk) => trunk.name), [key.id]);
  assert.equal(page.hasNextPage, false);
  for (let i = 0; i < 4; i++) await list();
  assert.deepEqual(tokens.statuses(), [200]);
  assert.deepEqual(calls.statuses(), [200, 200, 200, 200, 200]);
  assert.equal(await ran(key), 5);
});

test('ten calls at once need one token', async (t) => {
  const key = await newKey();
  const { list, tokens } = await through(t, key);
  await Promise.all(Array.from({ length: 10 }, list));
  assert.deepEqual(tokens.statuses(), [200]);
  assert.equal(await ran(key), 10);
});

test('a slash at the end of both hosts does no harm', async (t) => {
  const key = await newKey();
  const { list, tokens, calls } = await through(t, key, { slash: true });
  await list();
  assert.deepEqual(tokens.seen.map(({ path, status }) => [path, status]), [['//oauth2/token', 200]]);
  assert.deepEqual(calls.statuses(), [200]);
  assert.equal(await ran(key), 1);
});

test('it renews a token shortly before it expires, once', async (t) => {
  const key = await newKey();
  const { list, tokens, calls } = await through(t, key);
  await list();
  mock.timers.enable({ apis: ['Date'], now: Date.now() + 59.5 * 60_000 });
  await Promise.all([list(), list(), list()]).finally(() => mock.timers.reset());
  await list();
  assert.deepEqual(tokens.statuses(), [200, 200]);
  assert.deepEqual(calls.statuses(), [200, 200, 200, 200, 200]);
});

test('a revoked key ends its token at once, and is not asked for another', async (t) => {
  const key = await newKey();
  const { list, tokens, calls } = await through(t, key);
  await list();
  await revoke(key);
  for (let i = 0; i < 3; i++) await assert.rejects(list(), { statusCode: 401 });
  assert.deepEqual(tokens.statuses(), [200]);
  assert.deepEqual(calls.statuses(), [200, 401, 401, 401]);
  for (const { challenge } of calls.seen.slice(1)) {
    assert.match(challenge, /^Bearer .*error="invalid_token"/);
    assert.doesNotMatch(challenge, /expired/);
  }
  assert.equal(await ran(key), 1);
});

test('a wrong secret is told as 401, after one try', async (t) => {
  const key = await newKey();
  const { list, tokens, calls } = await through(t, { ...key, secret: (await newKey()).secret });
  await assert.rejects(list(), (e) => {
    assert.equal(e.statusCode, 401);
    assert.match(e.data, /invalid_client/);
    assert.ok(!`${e} ${e.data}`.includes(key.secret));
    return true;
  });
  assert.deepEqual(tokens.statuses(), [401]);
  assert.deepEqual(calls.statuses(), []);
  assert.equal(await ran(key), 0);
});

test('a key without the scope gets a token, and no further', async (t) => {
  const key = await newKey({ scopes: ['control'] });
  const { list, tokens, calls } = await through(t, key);
  await assert.rejects(list(), { statusCode: 403 });
  assert.deepEqual([tokens.statuses(), calls.statuses()], [[200], [403]]);
  assert.equal(await ran(key), 0);
});

test('it waits as long as a 429 of the token endpoint says', async (t) => {
  const key = await newKey();
  // The bucket refills ten times a second. Some callers keep it empty until the
  // library has asked, which on a busy machine takes a while.
  const burst = (tokens, enough) => {
    const one = async (_, n) => {
      do {
        const response = await fetch(`${control}/oauth2/token`, {
          method: 'POST',
          headers: { authorization: basic(key.id, key.secret) },
          body: new URLSearchParams({ grant_type: 'client_credentials' }),
        });
        await response.arrayBuffer();
        if (response.status === 429) enough();
      } while (n < 12 && tokens.seen.length === 0);
    };
    return Promise.all(Array.from({ length: 60 }, one));
  };
  // One that comes just after a refill is not refused.
  for (let i = 0; i < 10; i++) {
    const { list, tokens } = await through(t, key);
    let others;
    await new Promise((empty) => { others = burst(tokens, empty); });
    await list();
    await others;
    assert.equal(await ran(key), i + 1);
    if (tokens.seen[0].status !== 429) continue;
    assert.deepEqual(tokens.statuses(), [429, 200]);
    const waited = tokens.seen[1].at - tokens.seen[0].at;
    assert.ok(waited >= 990 && waited < 10_000, `waited ${waited} ms`);
    return;
  }
  assert.fail('the token endpoint was never over its limit');
});

test('a call over the rate of its key is told as 429, and not repeated', async (t) => {
  const key = await newKey({ ratePerSecond: 1 });
  const { list, tokens, calls } = await through(t, key);
  await list();
  const outcomes = await Promise.allSettled(Array.from({ length: 5 }, list));
  const refused = outcomes.filter((o) => o.status === 'rejected');
  assert.ok(refused.length > 0);
  for (const { reason } of refused) assert.equal(reason.statusCode, 429);
  assert.deepEqual(tokens.statuses(), [200]);
  assert.equal(calls.seen.length, 6);
  assert.equal(await ran(key), 6 - refused.length);
});
