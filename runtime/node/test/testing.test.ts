// What users call their handlers with in tests of their own.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createConfig, createIceBuilder, created, type EventHandler, type FunctionHandler, type FunctionRequest } from '../src/index.ts';
import { testing } from '../src/testing.ts';

const echo: FunctionHandler = (_context, r) => ({
  method: r.method, path: r.path, url: r.url, headers: { ...r.headers }, query: { ...r.query }, params: { ...r.params }, route: r.route, body: r.body, raw: r.rawBody.length, ip: r.ip, identity: r.identity,
});
const somebody = { keyId: 'pak_test', projectId: 'prj_test', method: 'basic', scopes: ['invoke'] };

test('a handler is given a request as the gateway would give it', async () => {
  assert.deepEqual((await testing.call(echo)).json(),
    { method: 'GET', path: '/', url: '/', headers: {}, query: {}, params: {}, route: '', raw: 0, ip: '127.0.0.1', identity: somebody });
  const whole = await testing.call(echo, {
    method: 'PUT', path: '/gr%C3%BC%C3%9Fe?a=1', query: { b: ['2', '3'] }, headers: { 'X-One': '1' }, params: { name: 'grüße' }, route: 'PUT /{name}', body: { n: 1 }, ip: '192.0.2.7', identity: null,
  });
  assert.deepEqual(whole.json(), {
    method: 'PUT', path: '/grüße', url: '/grüße?a=1&b=2&b=3', headers: { 'content-type': 'application/json', 'x-one': '1' }, query: { a: '1', b: ['2', '3'] }, params: { name: 'grüße' }, route: 'PUT /{name}',
    body: { n: 1 }, raw: 7, ip: '192.0.2.7', identity: null,
  });
  for (const [body, type, want] of [['x', 'text/plain; charset=utf-8', 'x'], [new URLSearchParams({ a: '1' }), 'application/x-www-form-urlencoded', { a: '1' }], [false, 'application/json', false]] as const) {
    const got = (await testing.call(echo, { body })).json();
    assert.deepEqual([got.method, got.headers['content-type'], got.body], ['POST', type, want]);
  }
  const signed = { ...somebody, keyId: '', method: 'signature', scheme: 'stripe', messageId: 'evt_1' };
  assert.deepEqual((await testing.call(echo, { identity: signed })).json().identity, signed);
});

test('a handler that streams gets a stream', async () => {
  const count = async (_: unknown, r: FunctionRequest<ReadableStream<Uint8Array>>): Promise<number> => {
    let n = 0;
    for await (const chunk of r.body) n += chunk.length;
    return n;
  };
  assert.equal((await testing.call(count, { body: new Uint8Array(70_000), stream: true })).text(), '70000');
});

test('the answer is what the gateway would send', async () => {
  const cases: [unknown, number, string | null, string][] = [
    [undefined, 204, null, ''], [{ a: 1 }, 200, 'application/json', '{"a":1}'], ['grüß', 200, 'text/plain; charset=utf-8', 'grüß'], [created({ id: 1 }), 201, 'application/json', '{"id":1}'],
    [new Response('late', { status: 202 }), 202, 'text/plain;charset=UTF-8', 'late'], [new Blob(['streamed']).stream(), 200, 'application/octet-stream', 'streamed'],
  ];
  for (const [result, status, type, body] of cases) {
    const answer = await testing.call(async () => result);
    assert.deepEqual([answer.status, answer.headers.get('content-type'), answer.text()], [status, type, body]);
  }
  const cookies = await testing.call(() => ({ statusCode: 200, headers: { 'Set-Cookie': ['a=1', 'b=2'] } }));
  assert.deepEqual(cookies.headers.getSetCookie(), ['a=1', 'b=2']);
  assert.equal((await testing.call(() => 'x', { method: 'HEAD' })).text(), '');
});

test('a body that does not parse is 400, and the handler does not run', async () => {
  let ran = 0;
  const answer = await testing.call(() => { ran++; }, { body: '{', headers: { 'content-type': 'application/json' } });
  assert.deepEqual([answer.status, answer.json().code, ran], [400, 'body_malformed', 0]);
});

test('what a handler throws is thrown, and so is a result that cannot be sent', async () => {
  await assert.rejects(testing.call(() => { throw new Error('broken'); }), { message: 'broken' });
  await assert.rejects(testing.call(async () => ({ statusCode: 99 })), /statusCode must be a whole number/);
  await assert.rejects(testing.call(() => ({ statusCode: 200, headers: { 'bad name': '1' } })), /no header name/);
});

test('handlers of events get events', async () => {
  const handler: EventHandler = (event, context) => ({ statusCode: 201, body: `${event.httpMethod ?? event.version} ${event.body} ${event.requestContext.identity.apiKeyId} ${context.requestId}` });
  assert.equal((await testing.call(handler, { body: { a: 1 } }, { event: 'simple' })).text(), 'POST {"a":1} pak_test req_test');
  assert.equal((await testing.call(handler, { body: { a: 1 } }, { event: 'v2' })).text(), '2.0 {"a":1} pak_test req_test');
  const found = testing.load({ handler });
  assert.equal((await found.call('handler')).text(), 'GET null pak_test req_test');
  assert.equal((await testing.load({ handler }, { eventFormat: 'v2' }).call('handler')).text(), '2.0 undefined pak_test req_test');
});

test('a module is read as the runtime reads it', async () => {
  const found = testing.load({ auth: ['status'], status: () => 'up', Klass: class {}, default: { ice: (_: unknown, data: { callid: string }) => createIceBuilder().say(data.callid).hangup().build(), home: () => 'home' } });
  assert.deepEqual([found.handlers, found.auth], [['status', 'ice', 'home'], ['status']]);
  assert.equal((await found.call('status')).text(), 'up');
  const ice = await found.call('ice', { body: { event: 'ice', callid: 'c-1' } });
  assert.deepEqual([ice.status, ice.json().instructions[0].text, ice.json().action], [200, 'c-1', { name: 'hangup' }]);
  assert.equal((await found.call('ice', { body: [] })).status, 400);
  for (const name of ['Klass', 'auth', 'toString']) await assert.rejects(found.call(name), /there is no handler/);
  assert.throws(() => testing.load({ nothing: 1 }), /exports no function/);
});

test('a context has what it is given, and nothing of the process', async () => {
  process.env['POSTERN_TEST_LEAK'] = 'x';
  const sent: unknown[] = [];
  const sms = { batches: { send: async (what: unknown) => { sent.push(what); } } };
  const handler: FunctionHandler = async (context) => {
    await context.sms!.batches.send('hi');
    return { secret: createConfig(context).requireSecret('TOKEN'), leak: context.env['POSTERN_TEST_LEAK'], conversation: context.conversation, name: context.config.functionName };
  };
  const answer = await testing.call(handler, { context: { env: { TOKEN: 't' }, sms } });
  assert.deepEqual([answer.json(), sent], [{ secret: 't', conversation: null, name: 'test' }, ['hi']]);
  await assert.rejects(testing.call(handler, { context: { sms } }), { name: 'ConfigError', key: 'TOKEN' });
  assert.equal(testing.context({ env: { NODE_ENV: 'production' } }).config.environment, 'production');
  assert.throws(() => testing.context({ env: { SMS_SERVICE_PLAN_ID: 'p', SMS_API_TOKEN: 't' } }).sms, /npm install @sinch\/sdk-core/);
});

test('other functions are handlers by their names', async () => {
  const prices: FunctionHandler = (_, r) => (r.path === '/missing' ? { statusCode: 404 } : { of: r.path, by: r.identity!.method, q: r.query['q'] });
  const handler: FunctionHandler = async ({ functions }, r) => {
    const answer = await functions.call('prices', { path: r.path, query: { q: 1 } });
    return answer.ok ? answer.json() : answer.status;
  };
  const context = { functions: { prices } };
  assert.deepEqual((await testing.call(handler, { path: '/a', context })).json(), { of: '/a', by: 'function', q: '1' });
  assert.equal((await testing.call(handler, { path: '/missing', context })).text(), '404');
  await assert.rejects(testing.call(handler), /there is no function prices that this function may call/);
  await assert.rejects(testing.call(({ functions }) => functions.call('toString'), { context }), /there is no function toString/);
});

test('cache and storage are kept in memory, for a module or as they are given', async () => {
  const count: FunctionHandler = async ({ cache, storage }) => {
    const n = (await cache.get<number>('n') ?? 0) + 1;
    await cache.set('n', n);
    await storage.write(`file-${n}`, 'x');
    return { n, files: (await storage.list()).length };
  };
  const found = testing.load({ count });
  assert.deepEqual([(await found.call('count')).json(), (await found.call('count')).json()], [{ n: 1, files: 1 }, { n: 2, files: 2 }]);
  assert.deepEqual([(await testing.call(count)).json().n, (await testing.call(count)).json().n], [1, 1]);
  const context = testing.state();
  await testing.call(count, { context });
  assert.deepEqual([(await testing.call(count, { context })).json().n, await context.cache.get('n')], [2, 2]);
  await assert.rejects(testing.context().cache.set('', 1), { code: 'cache_key_invalid' });
});
