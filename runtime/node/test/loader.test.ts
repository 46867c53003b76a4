import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect, LoadError } from '../src/loader.ts';
import { ResultError, toReply } from '../src/result.ts';

const f = (): number => 1;

test('finds own plain functions with a routable name, and nothing else', () => {
  const proto = { inherited: f };
  const main = Object.assign(Object.create(proto) as object, { b: f, ['not an identifier']: f, toString: f, __proto: f });
  const m = inspect({ a: f, default: main, auth: '*', setup: f, then: f, Klass: class {}, value: 1 });
  assert.deepEqual(m.declared.map((d) => d.name), ['a', 'b']);
  assert.equal(m.auth, '*');
});

test('knows what each name stands for', () => {
  const m = inspect({ home: f, ice: f, smsWebhook: f, Webhook: f, webhook: f, default: f });
  assert.deepEqual(Object.fromEntries(m.declared.map((d) => [d.name, d.kind])),
    { Webhook: 'custom', default: 'root', home: 'root', ice: 'callback', smsWebhook: 'service', webhook: 'custom' });
});

for (const [name, ns, code] of [
  ['nothing', {}, 'no_handlers'], ['only values', { a: 1, default: [] }, 'no_handlers'], ['a number for auth', { a: f, auth: 1 }, 'auth_malformed'],
  ['a mixed list for auth', { a: f, auth: ['a', null] }, 'auth_malformed'], ['undefined for auth', { a: f, auth: undefined }, 'auth_malformed'],
  ['auth inside the default export', { a: f, default: { auth: '*' } }, 'auth_malformed'], ['two of a name', { a: f, default: { a: () => 2 } }, 'module_failed'],
] as const) {
  test(`refuses ${name}`, () => assert.throws(() => inspect(ns), (e) => e instanceof LoadError && e.code === code));
}

test('the same function twice is one handler', () => {
  assert.equal(inspect({ a: f, default: { a: f } }).handlers.size, 1);
});

for (const [name, ns, said, style, events] of [
  ['a lone handler', { handler: f }, {}, 'event', 'simple'], ['a lone handler in the default export', { default: { handler: f } }, {}, 'event', 'simple'],
  ['a lone handler, v2', { handler: f }, { format: 'v2' }, 'event', 'v2'], ['a lone handler beside auth and a value', { handler: f, auth: '*', n: 1 }, {}, 'event', 'simple'],
  ['a handler beside another', { handler: f, other: f }, {}, 'context', undefined], ['one of another name', { main: f }, { format: 'v2' }, 'context', undefined],
  ['a lone handler of contexts', { handler: f }, { style: 'context' }, 'context', undefined], ['two of events', { a: f, b: f }, { style: 'event' }, 'event', 'simple'],
] as const) {
  test(`style: ${name}`, () => {
    const m = inspect(ns, said);
    assert.deepEqual([m.style, m.events], [style, events]);
  });
}

for (const bad of [{ statusCode: 199 }, { statusCode: 600 }, { statusCode: NaN }, { statusCode: 200, headers: { 'a b': '1' } }, { statusCode: 200, headers: { a: '1\n2' } },
  { statusCode: 200, headers: { a: '€' } }, { statusCode: 200, body: Symbol('x') }, () => 1, 1n]) {
  test(`cannot send ${typeof bad === 'object' ? JSON.stringify(bad) : typeof bad}`, () => assert.throws(() => toReply(bad), ResultError));
}

test('an object with a statusCode that is no number is data', () => {
  assert.equal(toReply({ statusCode: '200' }).body, '{"statusCode":"200"}');
});
