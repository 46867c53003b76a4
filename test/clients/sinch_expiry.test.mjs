// @sinch/sdk-core, unmodified, against a server whose tokens live for four
// seconds. The client's clock is two minutes slow, or it would renew a token
// before the server can say that it has expired.
import assert from 'node:assert/strict';
import { after, before, describe, mock, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { newKey, ran, revoke } from './postern.mjs';
import { through } from './sinch.mjs';

const lifetime = 4_000;

before(() => mock.timers.enable({ apis: ['Date'], now: Date.now() - 120_000 }));
after(() => mock.timers.reset());

describe('once a token has expired', { concurrency: true }, () => {
  test('it renews an expired token exactly once, and repeats the call', async (t) => {
    const key = await newKey();
    const { list, tokens, calls } = await through(t, key);
    await list();
    await wait(lifetime);
    assert.equal((await list()).data.length, 1);
    await list();
    assert.deepEqual(tokens.statuses(), [200, 200]);
    assert.deepEqual(calls.statuses(), [200, 401, 200, 200]);
    assert.match(calls.seen[1].challenge, /^Bearer .*error="invalid_token".*expired/);
    assert.equal(await ran(key), 3);
  });

  test('ten calls that find it expired at once renew it once', async (t) => {
    const key = await newKey();
    const { list, tokens, calls } = await through(t, key);
    await list();
    await wait(lifetime);
    await Promise.all(Array.from({ length: 10 }, list));
    assert.deepEqual(tokens.statuses(), [200, 200]);
    assert.equal(calls.statuses().filter((status) => status === 401).length, 10);
    assert.equal(await ran(key), 11);
  });

  test('an expired token of a revoked key is not called expired', async (t) => {
    const key = await newKey();
    const { list, tokens, calls } = await through(t, key);
    await list();
    await revoke(key);
    await wait(lifetime);
    await assert.rejects(list(), { statusCode: 401 });
    assert.deepEqual([tokens.statuses(), calls.statuses()], [[200], [200, 401]]);
    assert.doesNotMatch(calls.seen[1].challenge, /expired/);
    assert.equal(await ran(key), 1);
  });
});
