import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { HostCalls, HostError } from '../src/hostcalls.ts';
import { appendFields, readFields } from '../src/protocol.ts';
import { Cache } from '../src/state/cache.ts';
import { Glob } from '../src/state/glob.ts';
import { HostCache } from '../src/state/hostcache.ts';
import { MemoryCache } from '../src/state/memorycache.ts';

const lines = (file: string): any[] => readFileSync(`../../internal/state/testdata/${file}`, 'utf8').trim().split('\n').map((line) => JSON.parse(line));

interface Step { after?: number; do: 'getMany'; args: [string[]]; want?: unknown; error?: string }

for (const { name, steps } of lines('cache.jsonl') as { name: string; steps: Step[] }[]) {
  test(`cache: ${name}`, async () => {
    let now = 1_774_751_400_000;
    const cache = new Cache(new MemoryCache(() => now));
    for (const [i, step] of steps.entries()) {
      now += (step.after ?? 0) * 1000;
      const done = cache[step.do](...step.args) as Promise<unknown>;
      if (step.error !== undefined) await assert.rejects(done, { code: step.error }, `step ${i + 1}`);
      else if (step.do === 'getMany') assert.deepEqual(Array.from(await cache.getMany(...step.args)), step.want, `step ${i + 1}`);
      else assert.deepEqual(await done ?? null, step.want ?? null, `step ${i + 1}`);
    }
  });
}

test('cache: patterns', () => {
  const all = lines('glob.jsonl') as { pattern: string; fits: string[]; not: string[]; invalid?: true }[];
  assert.ok(all.length > 30);
  for (const { pattern, fits, not, invalid } of all) {
    if (invalid) {
      assert.throws(() => new Glob(pattern), { code: 'pattern_invalid' }, pattern);
      continue;
    }
    const glob = new Glob(pattern);
    for (const key of fits) {
      assert.ok(glob.matches(key), `${pattern} fits ${key}`);
      assert.ok(key.startsWith(glob.prefix), `${glob.prefix} begins ${key}`);
    }
    for (const key of not) assert.ok(!glob.matches(key), `${pattern} does not fit ${key}`);
  }
});

test('cache: no pattern takes for ever', () => {
  const began = process.cpuUsage();
  for (const pattern of ['*a'.repeat(256) + 'b', '*' + 'a'.repeat(500) + 'b', '?*'.repeat(250) + 'b', '[a-z]*'.repeat(80) + '!']) {
    const glob = new Glob(pattern);
    for (let i = 0; i < 200; i++) assert.equal(glob.matches('a'.repeat(512)), false);
  }
  const { user } = process.cpuUsage(began);
  assert.ok(user < 4_000_000, `${user} µs`);
  assert.throws(() => new Glob('a'.repeat(513)), { code: 'pattern_invalid' });
});

test('cache: what JSON cannot say is refused, and touches nothing', async () => {
  const cache = new Cache(new MemoryCache());
  await cache.set('k', 'before');
  const cycle: Record<string, unknown> = { a: {} };
  cycle['a'] = { b: cycle };
  for (const [what, value, says] of [
    ['undefined', undefined, /undefined cannot be kept/],
    ['a function', () => 1, /the value is a function/],
    ['a member that is a function', { a: { go() {} } }, /the member "go" of the value is a function/],
    ['a symbol', [Symbol('x')], /the member "0" of the value is a symbol/],
    ['a BigInt', { n: 1n }, /the member "n" of the value is a bigint.*toString/],
    ['a cycle', cycle, /circular/],
    ['a Map', { m: new Map() }, /the member "m" of the value is a Map.*fromEntries/],
    ['a Set', new Set([1]), /the value is a Set.*Array\.from/],
    ['a Buffer', Buffer.from('x'), /the value is bytes/],
    ['bytes', { b: new Uint8Array(3) }, /the member "b" of the value is bytes.*context\.storage/],
  ] as const) {
    await assert.rejects(cache.set('k', value), (err: Error & { code?: string }) => err instanceof TypeError && err.code === 'cache_value_invalid' && says.test(err.message), what);
  }
  await assert.rejects(cache.set('k', { toJSON() { throw new Error('own'); } }), /^Error: own$/);
  await assert.rejects(cache.set('k', 'x'.repeat(512 << 10)), { code: 'cache_value_too_large', name: 'RangeError' });
  assert.equal(await cache.get('k'), 'before');
});

test('cache: what JSON says another way comes back so', async () => {
  const cache = new Cache(new MemoryCache());
  const at = new Date(0);
  await cache.set('k', { a: undefined, b: [undefined, NaN], at, n: { toJSON: () => 'own' } });
  assert.deepEqual(await cache.get('k'), { b: [null, null], at: '1970-01-01T00:00:00.000Z', n: 'own' });
});

test('cache: a value is a copy', async () => {
  const cache = new Cache(new MemoryCache());
  const value = { list: [1] };
  await cache.set('k', value);
  value.list.push(2);
  const got = await cache.get<typeof value>('k');
  got!.list.push(3);
  assert.deepEqual(await cache.get('k'), { list: [1] });
});

test('cache: arguments of a wrong kind are refused', async () => {
  const cache = new Cache(new MemoryCache()) as any;
  for (const key of [undefined, null, 1, {}, ['a'], Symbol.iterator, '\ud800', 'a'.repeat(513), 'ü'.repeat(257)]) {
    for (const done of [() => cache.set(key, 1), () => cache.get(key), () => cache.has(key), () => cache.delete(key), () => cache.extend(key, 1), () => cache.increment(key), () => cache.getMany(['a', key])]) {
      await assert.rejects(done, { code: 'cache_key_invalid' }, String(key));
    }
  }
  await assert.rejects(cache.getMany('abc'), { code: 'cache_key_invalid' });
  for (const ttl of [0, -1, -0.5, NaN, Infinity, -Infinity, '60', null, 1e10, {}]) {
    await assert.rejects(cache.set('k', 1, ttl), { code: 'cache_ttl_invalid', name: 'RangeError' }, String(ttl));
    await assert.rejects(cache.extend('k', ttl), { code: 'cache_ttl_invalid' }, String(ttl));
    await assert.rejects(cache.increment('n', 1, ttl), { code: 'cache_ttl_invalid' }, String(ttl));
  }
  await assert.rejects(cache.extend('k'), { code: 'cache_ttl_invalid' });
  for (const by of [1.5, NaN, '1', 2 ** 53, null]) await assert.rejects(cache.increment('n', by), { code: 'cache_not_a_number' }, String(by));
  await assert.rejects(cache.keys(/a/), { code: 'pattern_invalid' });
  assert.deepEqual(await cache.keys(), []);
});

test('cache: getMany is a record by key, and its values in order', async () => {
  const cache = new Cache(new MemoryCache());
  await cache.set('2', 'two');
  await cache.set('__proto__', 'odd');
  const got = await cache.getMany(['none', '2', '1', '__proto__']);
  assert.equal(got['2'], 'two');
  assert.equal(got['none'], null);
  assert.equal(got['__proto__'], 'odd');
  assert.equal(got['constructor'], undefined);
  const [first, second, ...rest] = got;
  assert.deepEqual([first, second, rest], [null, 'two', [null, 'odd']]);
  assert.deepEqual(Object.keys(got).sort(), ['1', '2', '__proto__', 'none']);
});

/** A host that answers each call with what a function says. */
function hostOf(answer: (op: string, fields: string[]) => (string | Buffer)[] | Error): HostCalls {
  const calls = new HostCalls();
  calls.attach((call, payload) => {
    const b = Buffer.from(payload);
    const op = b.toString('latin1', 1, 1 + b[0]!);
    const out = answer(op, readFields(b, 1 + b[0]!, b.length).map(String));
    const parts: Uint8Array[] = [Buffer.of(out instanceof Error ? 1 : 0)];
    if (out instanceof Error) parts.push(Buffer.from(JSON.stringify({ code: (out as HostError).code, message: out.message })));
    else appendFields(parts, out.map((f) => Buffer.from(f)));
    const result = Buffer.concat(parts);
    setImmediate(() => { calls.result(call, result, 0, result.length); });
  });
  return calls;
}

test('cache: the calls that the host gets', async () => {
  const seen: string[][] = [];
  const cache = new Cache(new HostCache(hostOf((op, fields) => {
    seen.push([op, ...fields]);
    if (op === 'cache.get') return fields.slice(0, 2).map((k) => (k === 'none' ? '' : JSON.stringify(k))); // two at a time
    if (op === 'cache.keys') return fields[1] === '' ? ['1', 'a', 'b*'] : ['', 'c'];
    return op === 'cache.increment' ? ['7'] : op === 'cache.set' ? [] : ['1'];
  })));
  await cache.set('k', { a: 1 }, 0.0001);
  assert.deepEqual(Array.from(await cache.getMany(['a', 'none', 'c'])), ['a', null, 'c']);
  assert.deepEqual([await cache.get('none'), await cache.has('h'), await cache.delete('d'), await cache.extend('e', 1.5), await cache.increment('n', -2)], [null, true, true, true, 7]);
  assert.deepEqual(await cache.keys('[abc]'), ['a', 'c']);
  assert.deepEqual(seen, [['cache.set', 'k', '{"a":1}', '1'], ['cache.get', 'a', 'none', 'c'], ['cache.get', 'c'], ['cache.get', 'none'], ['cache.has', 'h'], ['cache.delete', 'd'],
    ['cache.extend', 'e', '1500'], ['cache.increment', 'n', '-2', '3600000'], ['cache.keys', '', ''], ['cache.keys', '', 'b*']]);
});

test('cache: what the host refuses is told', async () => {
  const cache = new Cache(new HostCache(hostOf(() => new HostError('cache_full', 'no room'))));
  await assert.rejects(cache.set('k', 1), { name: 'HostError', code: 'cache_full', message: 'no room' });
  await assert.rejects(cache.get('k'), { code: 'cache_full' });
});
