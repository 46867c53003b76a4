// What becomes of a handler's result.
import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { ResultError, toReply } from '../src/result.ts';
import { FLAG_END, T } from '../src/protocol.ts';
import { frame, Host, request } from './host.ts';

/** A reply with its body as text. */
async function sent(result: unknown): Promise<[number, string[], string]> {
  const { status, headers, body } = toReply(result);
  if (body === null || typeof body === 'string' || body instanceof Uint8Array) return [status, [...headers], body === null ? '' : Buffer.from(body as string).toString()];
  let text = '';
  for await (const chunk of body as AsyncIterable<Uint8Array | string>) text += typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString();
  return [status, [...headers], text];
}

const binary = ['content-type', 'application/octet-stream'];
const json = ['content-type', 'application/json'];

for (const [name, make, headers, body, status] of [
  ['undefined', () => undefined, [], '', 204], ['null', () => null, [], '', 204], ['a string', () => 'grüß', ['content-type', 'text/plain; charset=utf-8'], 'grüß', 200], ['an empty string', () => '', ['content-type', 'text/plain; charset=utf-8'], '', 200],
  ['a number', () => 7, json, '7', 200], ['a boolean', () => false, json, 'false', 200], ['an object', () => ({ ok: true }), json, '{"ok":true}', 200], ['an array', () => [1, 'a'], json, '[1,"a"]', 200],
  ['a date', () => new Date(0), json, '"1970-01-01T00:00:00.000Z"', 200], ['an object of a class', () => new (class P { a = 1; })(), json, '{"a":1}', 200], ['an object without a prototype', () => Object.assign(Object.create(null), { a: 1 }), json, '{"a":1}', 200],
  ['an object with toJSON', () => ({ toJSON: () => 'x' }), json, '"x"', 200], ['a body without a statusCode is data', () => ({ body: 'x' }), json, '{"body":"x"}', 200],
  ['a statusCode alone', () => ({ statusCode: 202 }), [], '', 202], ['a statusCode with an object', () => ({ statusCode: 201, body: { a: 1 } }), json, '{"a":1}', 201], ['a statusCode with text', () => ({ statusCode: 404, body: 'none' }), ['content-type', 'text/plain; charset=utf-8'], 'none', 404],
  ['a type of its own', () => ({ statusCode: 200, headers: { 'Content-Type': 'text/csv' }, body: 'a,b' }), ['content-type', 'text/csv'], 'a,b', 200],
  ['a header that repeats', () => ({ statusCode: 200, headers: { 'Set-Cookie': ['a=1', 'b=2'] } }), ['set-cookie', 'a=1', 'set-cookie', 'b=2'], '', 200],
  ['cookies', () => ({ statusCode: 200, cookies: ['a=1; HttpOnly', 'b=2'], body: 'x' }), ['set-cookie', 'a=1; HttpOnly', 'set-cookie', 'b=2', 'content-type', 'text/plain; charset=utf-8'], 'x', 200],
  ['a redirect', () => ({ statusCode: 303, headers: { location: '/next' } }), ['location', '/next'], '', 303], ['no body where there is none', () => ({ statusCode: 204, body: 'x' }), [], '', 204], ['nor of what has not changed', () => ({ statusCode: 304, headers: { etag: '"a"' }, body: {} }), ['etag', '"a"'], '', 304],
  ['a Buffer', () => Buffer.from('ab'), binary, 'ab', 200], ['a part of a buffer', () => new Uint8Array(Buffer.from('abcd')).subarray(1, 3), binary, 'bc', 200], ['an ArrayBuffer', () => new Uint8Array(Buffer.from('ab')).buffer, binary, 'ab', 200],
  ['a DataView', () => new DataView(new Uint8Array(Buffer.from('abc')).buffer, 1), binary, 'bc', 200], ['a Uint16Array', () => Uint16Array.of(0x6261), binary, 'ab', 200],
  ['a Blob', () => new Blob(['ab'], { type: 'image/png' }), ['content-type', 'image/png'], 'ab', 200], ['a Blob without a type', () => new Blob(['ab']), binary, 'ab', 200], ['a File', () => ({ statusCode: 200, body: new File(['ab'], 'a.txt', { type: 'text/plain' }) }), ['content-type', 'text/plain'], 'ab', 200],
  ['URLSearchParams', () => new URLSearchParams({ a: '1 2' }), ['content-type', 'application/x-www-form-urlencoded;charset=UTF-8'], 'a=1+2', 200],
  ['a Response', () => new Response('ab', { status: 202, headers: { 'x-a': '1' } }), ['content-type', 'text/plain;charset=UTF-8', 'x-a', '1'], 'ab', 202], ['a Response in JSON', () => Response.json({ a: 1 }), json, '{"a":1}', 200], ['a Response without a body', () => new Response(null, { status: 204 }), [], '', 204],
  ['a ReadableStream', () => new Blob(['ab']).stream(), binary, 'ab', 200], ["a Readable of Node's", () => Readable.from(['a', Buffer.from('b')]), binary, 'ab', 200],
  ['an async generator', async function* () { yield 'a'; yield Buffer.from('b'); }, binary, 'ab', 200], ['a generator', function* () { yield 'a'; yield Buffer.from('b'); }, binary, 'ab', 200],
  ['server-sent events', () => ({ statusCode: 200, headers: { 'content-type': 'text/event-stream' }, body: (async function* () { yield 'data: 1\n\n'; })() }), ['content-type', 'text/event-stream'], 'data: 1\n\n', 200],
] as [string, () => unknown, string[], string, number][]) {
  test(`sends ${name}`, async () => assert.deepEqual(await sent(make()), [status, headers, body]));
}

test('sends FormData with its boundary', async () => {
  const form = new FormData();
  form.append('a', '1');
  const [status, [, type], text] = await sent(form);
  assert.equal(status, 200);
  assert.match(type!, /^multipart\/form-data; boundary=/);
  assert.match(text, /name="a"\r\n\r\n1\r\n/);
});

for (const [name, bad] of [
  ['a function', () => 1], ['a symbol', Symbol('x')], ['a bigint', 1n], ['a circle', (() => { const o: any = {}; o.o = o; return o; })()], ['a Map', new Map()], ['a Set', new Set()], ['a promise as a body', { statusCode: 200, body: Promise.resolve(1) }],
  ['a status of 99', { statusCode: 99 }], ['a status of 600', { statusCode: 600 }], ['half a status', { statusCode: 200.5 }], ['no status', { statusCode: NaN }], ['cookies that are a string', { statusCode: 200, cookies: 'a=1' }], ['a cookie with a line break', { statusCode: 200, cookies: ['a=1\r\nx: y'] }],
  ['a header with a line break', { statusCode: 200, headers: { a: 'b\nc' } }], ['a header with a name of its own', { statusCode: 200, headers: { 'a b': '1' } }], ['a header that is an object', { statusCode: 200, headers: { a: {} } }],
] as [string, unknown][]) {
  test(`does not send ${name}`, () => assert.throws(() => toReply(bad), ResultError));
}

const limit = { timeout: 10_000 };

test('what streams waits for the window, and is told when nobody reads on', limit, async (t) => {
  const host = await Host.ready(t);
  for (const [i, handler] of ['yields', 'yieldsNode'].entries()) {
    const stream = i + 1;
    await host.call(stream, request(handler));
    let got = 0;
    while (got < 262144) got += (await host.next((f) => f.stream === stream && f.type === T.DATA)).payload.length;
    assert.equal(got, 262144, 'it stops at the window');
    host.write(frame(T.RESET, 0, stream, Buffer.from([0])));
    const said = JSON.parse((await stopped(host, stream)).toString().slice(-30).replace(/^[^{]*/, '')) as { made: number; stopped: boolean };
    assert.deepEqual(said.stopped, true, handler);
    assert.ok(said.made < 40, `${said.made} chunks of 64 KiB were made for a window of four`);
  }
});

/** What the handler tells of the last stream, once it has been stopped. */
async function stopped(host: Host, stream: number): Promise<Buffer> {
  for (let n = 0; ; n++) {
    const f = await host.call(stream * 1000 + n, request('yielded'));
    if (f.payload.includes('"stopped":true') || n === 200) return f.payload;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

test('a stream that throws after it began is broken off', limit, async (t) => {
  const host = await Host.ready(t);
  await host.call(1, request('yieldsThenThrows'));
  const f = await host.next((x) => x.stream === 1 && x.type === T.RESET);
  assert.equal(f.payload[0], 3);
  assert.equal((await host.call(2, request('fine'))).flags & FLAG_END, FLAG_END);
});

test('a chunk that is neither text nor bytes breaks the stream off', limit, async (t) => {
  const host = await Host.ready(t);
  await host.call(1, request('yieldsObjects'));
  assert.equal((await host.next((x) => x.stream === 1 && x.type === T.RESET)).payload[0], 3);
});

test('bodies that are bombs cost their own request', limit, async (t) => {
  const host = await Host.ready(t);
  let stream = 0;
  for (const [type, body] of [['application/json', '['.repeat(200_000)], ['application/json', '{"\\u0061":'.repeat(100_000)], ['multipart/form-data; boundary=X', '--X\r\n'.repeat(40_000)]] as const) {
    const f = await host.call(++stream, request('fine', Buffer.from(body), type));
    assert.match(f.payload.toString(), /"code":"body_malformed"/);
    assert.equal((await host.call(++stream, request('fine'))).type, T.RESPONSE);
  }
  const deep = await host.call(++stream, request('echo', Buffer.from('['.repeat(200_000) + ']'.repeat(200_000))));
  assert.ok(deep.type === T.RESPONSE || deep.type === T.ERROR);
  assert.equal((await host.call(++stream, request('fine'))).type, T.RESPONSE);
});
