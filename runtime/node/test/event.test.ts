import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromEvent, toEvent } from '../src/event.ts';
import { Table } from '../src/protocol.ts';
import { Request } from '../src/request.ts';
import { ResultError, toReply } from '../src/result.ts';
import type { EventV2, FunctionEvent } from '../src/types.ts';

const guarded = { key: 'pak_1', project: 'prj_1', method: 'apikey', scopes: 'invoke control' };

function request(pairs: string[], body: Uint8Array | string = '', query = '', who = guarded): Request {
  const strings = ['req_1', 'POST', 'handler', '/customers/é', query, '192.0.2.1', who.key, who.project, who.method, who.scopes, 'buffered', ...pairs].map((s) => Buffer.from(s));
  const head = Buffer.alloc(2 + 2 * strings.length);
  head.writeUInt16BE(strings.length, 0);
  strings.forEach((s, i) => head.writeUInt16BE(s.length, 2 + 2 * i));
  const r = new Request({ id: 'req_1', table: new Table(Buffer.concat([head, ...strings]).toString('latin1'), false), signal: AbortSignal.abort() });
  r.rawBody = Buffer.from(body);
  return r;
}

const routed = [':', 'POST /customers/{customerId}', ':customerId', 'é', 'host', 'a.localhost', 'content-type', 'application/json', 'cookie', 'a=1; b=2'];
const simple = (r: Request): FunctionEvent => toEvent('simple', r, 0) as FunctionEvent;
const plain = (v: unknown): unknown => JSON.parse(JSON.stringify(v));

test('a simple event', () => {
  assert.deepEqual(plain(simple(request(routed, '{"a":1}', 'q=1&q=2&p=x%20y'))), {
    httpMethod: 'POST', path: '/customers/é', resource: 'POST /customers/{customerId}', pathParameters: { customerId: 'é' },
    queryStringParameters: { q: '2', p: 'x y' }, multiValueQueryStringParameters: { q: ['1', '2'], p: ['x y'] },
    headers: { host: 'a.localhost', 'content-type': 'application/json', cookie: 'a=1; b=2' }, body: '{"a":1}', isBase64Encoded: false,
    requestContext: { requestId: 'req_1', identity: { apiKeyId: 'pak_1', projectId: 'prj_1', scopes: ['invoke', 'control'], method: 'apikey', sourceIp: '192.0.2.1' } },
  });
});

test('an event of API Gateway, version 2.0', () => {
  assert.deepEqual(plain(toEvent('v2', request(routed, '{"a":1}', 'q=1&q=2&p=x%20y'), Date.UTC(2026, 2, 12, 19, 3, 58))), {
    version: '2.0', routeKey: 'POST /customers/{customerId}', rawPath: '/customers/é', rawQueryString: 'q=1&q=2&p=x%20y', cookies: ['a=1', 'b=2'],
    headers: { host: 'a.localhost', 'content-type': 'application/json' }, queryStringParameters: { q: '1,2', p: 'x y' }, pathParameters: { customerId: 'é' },
    body: '{"a":1}', isBase64Encoded: false,
    requestContext: {
      requestId: 'req_1', routeKey: 'POST /customers/{customerId}', stage: '$default', domainName: 'a.localhost', domainPrefix: 'a', time: '12/Mar/2026:19:03:58 +0000', timeEpoch: 1773342238000,
      identity: { apiKeyId: 'pak_1', projectId: 'prj_1', scopes: ['invoke', 'control'], method: 'apikey', sourceIp: '192.0.2.1' },
      http: { method: 'POST', path: '/customers/é', protocol: 'HTTP/1.1', sourceIp: '192.0.2.1', userAgent: '' },
    },
  });
  const bare = plain(toEvent('v2', request([':', '/{path...}', ':path', '']), 0)) as EventV2;
  assert.deepEqual([bare.routeKey, 'body' in bare, 'cookies' in bare, 'queryStringParameters' in bare, bare.pathParameters], ['ANY /{path...}', false, false, false, { path: '' }]);
  assert.equal((toEvent('v2', request([]), 0) as EventV2).routeKey, '$default');
});

test('an open handler is told of nobody, and no header passes for a parameter', () => {
  const e = simple(request(['x-a', '1'], '', '', { key: '', project: '', method: 'none', scopes: '' }));
  assert.deepEqual(e.requestContext.identity, { apiKeyId: null, projectId: null, scopes: [], method: 'none', sourceIp: '192.0.2.1' });
  assert.deepEqual([plain(e.pathParameters), e.resource, e.body], [{}, '', null]);
  const r = request([':', '/{__proto__}', ':__proto__', 'x', ':constructor', 'y']);
  assert.deepEqual([Object.getPrototypeOf(r.params), Object.keys(r.params), Object.keys(r.headers)], [null, ['__proto__', 'constructor'], []]);
});

test('a callback says how it was signed and what its sender calls it, and a parameter does not', () => {
  const sender = { key: '', project: '', method: 'signature', scopes: '' };
  const e = simple(request(['::scheme', 'stripe', '::id', 'evt_1', ':', '/{scheme}', ':scheme', 'forged'], '{}', '', sender));
  assert.deepEqual(e.requestContext.identity, { apiKeyId: null, projectId: null, scopes: [], method: 'signature', scheme: 'stripe', messageId: 'evt_1', sourceIp: '192.0.2.1' });
  assert.deepEqual([plain(e.pathParameters), plain(e.headers)], [{ scheme: 'forged' }, {}]);
  assert.deepEqual(request(['::scheme', 'github'], '', '', sender).identity, { keyId: '', projectId: '', method: 'signature', scopes: [], scheme: 'github' });
  assert.equal('scheme' in request(['::scheme', 'github']).identity!, false);
});

test("the function's own user has no key", () => {
  const r = request([], '', '', { key: '', project: 'prj_1', method: 'admin', scopes: 'invoke' });
  assert.deepEqual(r.identity, { keyId: '', projectId: 'prj_1', method: 'admin', scopes: ['invoke'] });
  assert.deepEqual(simple(r).requestContext.identity, { apiKeyId: null, projectId: 'prj_1', scopes: ['invoke'], method: 'admin', sourceIp: '192.0.2.1' });
});

for (const [type, body, want, encoded] of [
  ['text/plain; charset=utf-8', 'grüß', 'grüß', false], ['application/problem+json', '{', '{', false], ['application/x-www-form-urlencoded', 'a=1', 'a=1', false],
  ['image/png', 'abc', 'YWJj', true], ['application/octet-stream', '', null, false], ['application/json', Uint8Array.of(0xff, 0xfe), '//4=', true], ['', 'x', 'x', false],
] as const) {
  test(`a body of type ${type || 'none'}: ${want}`, () => {
    const e = simple(request(type === '' ? [] : ['content-type', type], body));
    assert.deepEqual([e.body, e.isBase64Encoded], [want, encoded]);
  });
}

test('results of events', () => {
  const reply = (r: unknown): unknown => { const { status, headers, body } = toReply(fromEvent(r)); return [status, headers, body instanceof Uint8Array ? Buffer.from(body).toString('hex') : body]; };
  assert.deepEqual(reply({ statusCode: 200, body: '{}' }), [200, ['content-type', 'application/json'], '{}']);
  assert.deepEqual(reply({ statusCode: 404, headers: { 'Content-Type': 'text/html' }, body: '<p>' }), [404, ['content-type', 'text/html'], '<p>']);
  assert.deepEqual(reply({ statusCode: 200, headers: { 'content-type': 'image/png' }, body: 'AQI=', isBase64Encoded: true }), [200, ['content-type', 'image/png'], '0102']);
  assert.deepEqual(reply({ statusCode: 204, multiValueHeaders: { 'X-A': ['1', '2'], 'Set-Cookie': ['a=1'] }, cookies: ['b=2'] }), [204, ['x-a', '1', 'x-a', '2', 'set-cookie', 'a=1', 'set-cookie', 'b=2'], null]);
  assert.deepEqual(reply({ statusCode: 200, body: { a: 1 } }), [200, ['content-type', 'application/json'], '{"a":1}']);
  assert.deepEqual(reply('text'), [200, ['content-type', 'text/plain; charset=utf-8'], 'text']);
  assert.deepEqual(reply(undefined), [204, [], null]);
  assert.deepEqual(reply({ ok: true }), [200, ['content-type', 'application/json'], '{"ok":true}']);
});

for (const bad of [{ statusCode: 200, body: 'not base64', isBase64Encoded: true }, { statusCode: 200, headers: 'a: b' }, { statusCode: 200, multiValueHeaders: [1] }, { statusCode: 99 }, { statusCode: 200, cookies: ['a\nb'] }]) {
  test(`cannot send ${JSON.stringify(bad)}`, () => assert.throws(() => toReply(fromEvent(bad)), ResultError));
}
