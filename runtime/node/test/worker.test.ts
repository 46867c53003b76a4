// A whole worker, over a real socket pair.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FLAG_END, hello, RESET, T } from '../src/protocol.ts';
import { frame, Host, request } from './host.ts';

const limit = { timeout: 10_000 };
const u32 = (n: number): Buffer => { const b = Buffer.alloc(4); b.writeUInt32BE(n); return b; };

test('results that cannot be sent cost their own request and no other', limit, async (t) => {
  const host = await Host.ready(t);
  const cases = {
    throwsUnshowable: 'handler_threw', throwsLater: 'handler_threw', throwsOwnCause: 'handler_threw', throwsBadFields: 'handler_threw',
    thenGetter: 'handler_threw', thenThrows: 'handler_threw', statusGetter: 'handler_threw', usedResponse: 'result_invalid',
    headerUndefined: 'result_invalid', headerObject: 'result_invalid', headersText: 'result_invalid', headersLarge: 'result_invalid',
    circular: 'result_invalid', rejects: 'handler_threw', missing: 'handler_not_found', constructor: 'handler_not_found', __proto__x: 'handler_not_found',
  };
  let stream = 0;
  for (const [handler, code] of Object.entries(cases)) {
    const f = await host.call(++stream, request(handler));
    const said = JSON.parse(f.payload.toString()) as Record<string, unknown>;
    assert.deepEqual([handler, f.type, said['code'], typeof said['message'], typeof said['stack']], [handler, T.ERROR, code, 'string', 'string']);
    assert.equal((await host.call(++stream, request('fine'))).type, T.RESPONSE);
  }
});

test('answers as the kinds of results say', limit, async (t) => {
  const host = await Host.ready(t);
  const cases: [string, number, string, string][] = [
    ['fine', 200, 'application/json', '{"a":1}'], ['nothing', 204, '', ''], ['text', 200, 'text/plain; charset=utf-8', 'grüß'],
    ['bytes', 200, 'application/octet-stream', '\x01\x02'], ['self', 200, 'application/json', '{"own":["self"]}'], ['headers', 200, 'set-cookieaset-cookieb', ''],
  ];
  for (const [i, [handler, status, type, body]] of cases.entries()) {
    const f = await host.call(i + 1, request(handler));
    assert.equal(f.payload.readUInt16BE(0), status, handler);
    assert.ok(f.payload.toString().endsWith(type + body), `${handler}: ${f.payload.toString()}`);
    assert.ok(f.flags & FLAG_END, handler);
  }
  assert.equal((await host.call(99, request('streamed'))).payload.readUInt16BE(0), 201);
  assert.equal((await host.next((f) => f.type === T.DATA && f.stream === 99)).payload.toString(), 'streamed');
});

test('bodies are read as their content-type says', limit, async (t) => {
  const host = await Host.ready(t);
  const cases: [string, string, string][] = [
    ['application/json', '{"a":[1]}', '{"body":{"a":[1]},"raw":9,"type":"object"}'], ['application/problem+json', '1', '{"body":1,"raw":1,"type":"number"}'],
    ['application/x-www-form-urlencoded', '?a=1+2&b=1&b=2', '{"body":{"?a":"1 2","b":["1","2"]},"raw":14,"type":"object"}'],
    ['text/plain', 'x', '{"body":"x","raw":1,"type":"string"}'], ['application/json', '', '{"body":null,"raw":0,"type":"undefined"}'],
  ];
  for (const [i, [type, body, want]] of cases.entries()) {
    const f = await host.call(i + 1, request('echo', Buffer.from(body), type));
    assert.ok(f.payload.toString().endsWith(want), f.payload.toString());
  }
  for (const [i, bad] of ['{', '{"a":1}x', 'undefined', '\ufeff1'].entries()) {
    const f = await host.call(100 + i, request('echo', Buffer.from(bad)));
    assert.match(f.payload.toString(), /"code":"body_malformed"/);
  }
});

test('voice: what a callback and voiceWebhook answer', limit, async (t) => {
  const host = await Host.ready(t);
  const said = (text: string): string => `{"type":"SAY","say":{"text":"${text}","voiceName":"Emma"}}`;
  const cases: [string, string, string, number, string][] = [
    ['pie', 'application/json', '{"event":"pie","callid":"c-1","menuResult":{"value":"sales"}}', 200, '{"instructions":[{"name":"say","text":"sales c-1 61","locale":"en-US"}]}'],
    ['pie', 'text/plain', '{"event":"pie"}', 200, '{}'], ['pie', 'application/json', '[]', 400, ''], ['pie', 'application/json', '', 400, ''], ['pie', 'text/plain', 'pie', 400, ''],
    ['voiceWebhook', 'application/cloudevents+json', '{"event":"call.incoming","call":{"callId":"c-2"}}', 200,
      `{"callName":"caller","commands":[{"command":"answer"},{"command":"messages","messages":[${said('c-2')}],"events":{"onFinish":[{"command":"hangup"}]}}]}`],
    ['voiceWebhook', 'application/json', '{"event":"call.busy","call":{"callId":"c-2"}}', 204, ''], ['voiceWebhook', 'application/json', '{"event":"call.hangup"}', 204, ''],
    ['voiceWebhook', 'application/json', '{}', 400, ''], ['voiceWebhook', 'application/json', '', 400, ''],
  ];
  for (const [i, [handler, type, body, status, want]] of cases.entries()) {
    const f = await host.call(i + 1, request(handler, Buffer.from(body), type));
    assert.deepEqual([f.type, f.payload.readUInt16BE(0)], [T.RESPONSE, status], `${handler} ${body}: ${f.payload.toString()}`);
    assert.ok(f.payload.toString().endsWith(want), f.payload.toString());
  }
});

test('8 MiB out stop at the window, and go on with credit', limit, async (t) => {
  const host = await Host.ready(t);
  await host.call(1, request('large'));
  let got = 0;
  for (let credit = 262144;;) {
    const f = await host.next((x) => x.stream === 1);
    assert.equal(f.type, T.DATA);
    got += f.payload.length;
    assert.ok(got <= credit, 'more than the window');
    if (f.flags & FLAG_END) break;
    if (got === credit) { credit += 262144; host.write(frame(T.WINDOW, 0, 1, u32(262144))); }
  }
  assert.equal(got, 8 << 20);
});

test('8 MiB in are counted by a handler that streams', limit, async (t) => {
  const host = await Host.ready(t);
  host.write(frame(T.REQUEST, 0, 1, request('count', undefined, 'a/b', 'stream')));
  let credit = 262144;
  for (let sent = 0; sent < 8 << 20; sent += 65536, credit -= 65536) {
    while (credit < 65536) credit += (await host.next((f) => f.type === T.WINDOW)).payload.readUInt32BE(0);
    host.write(frame(T.DATA, 0, 1, new Uint8Array(65536)));
  }
  host.write(frame(T.DATA, FLAG_END, 1));
  assert.ok((await host.next((f) => f.type === T.RESPONSE)).payload.toString().endsWith('8388608'));
});

test('a body beyond the window is reset', limit, async (t) => {
  const host = await Host.ready(t);
  host.write(frame(T.REQUEST, 0, 1, request('aborted', undefined, 'a/b', 'stream')));
  for (let i = 0; i < 12; i++) host.write(frame(T.DATA, 0, 1, new Uint8Array(65536)));
  const f = await host.next((x) => x.stream === 1 && x.type !== T.WINDOW);
  assert.deepEqual([f.type, f.payload[0]], [T.RESET, RESET.FLOW]);
});

test('a cancelled request aborts its signal and is not answered', limit, async (t) => {
  const host = await Host.ready(t);
  host.write(frame(T.REQUEST, FLAG_END, 1, request('aborted')));
  host.write(frame(T.RESET, 0, 1, Buffer.of(0)));
  host.write(frame(T.PING, 0, 0, Buffer.alloc(8, 5)));
  await host.next((f) => f.type === T.PONG);
  await host.call(2, request('fine'));
  assert.deepEqual(host.logs.map((l) => [l.id, l.text]), [['req-aborted', 'saw the abort']]);
  host.write(frame(T.DRAIN, 0, 0));
  assert.equal(await host.exited, 0);
  await assert.rejects(host.next((f) => f.stream === 1));
});

test('log lines carry the ID of their request across awaits', limit, async (t) => {
  const host = await Host.ready(t);
  await Promise.all([host.call(1, request('logs')), host.call(2, request('fine'))]);
  assert.deepEqual(host.logs, [{ level: 1, id: 'req-logs', text: 'first' }, { level: 3, id: 'req-logs', text: 'second' }]);
});

test('half a line is not given to the request that writes next', limit, async (t) => {
  const host = await Host.ready(t);
  await host.call(1, request('begins'));
  await host.call(2, request('ends'));
  assert.deepEqual(host.logs.map((l) => [l.id, l.text]), [['req-begins', 'begun by one'], ['req-ends', 'ended by another']]);
});

for (const [handler, code] of [['uncaught', 1], ['leaves', 3]] as const) {
  test(`${handler}: its own request fails, the process ends with ${code}`, limit, async (t) => {
    const host = await Host.ready(t);
    assert.match((await host.call(1, request(handler))).payload.toString(), /"code":"worker_crashed"/);
    assert.equal(await host.exited, code);
  });
}

for (const [name, bytes] of Object.entries({
  'no HELLO': frame(T.PING, 0, 0, Buffer.alloc(8)), 'another magic': frame(T.HELLO, 0, 0, Buffer.from('HTTP/1.1')), garbage: Buffer.from('GET / HTTP/1.1\r\n\r\n'),
  'a promise of 4 GiB': Buffer.from('ffffffff10000000000001', 'hex'), 'another version': frame(T.HELLO, 0, 0, Buffer.from('PSTN\x00\x02{}')),
})) {
  test(`ends at ${name}`, limit, async (t) => {
    const host = new Host(t);
    host.write(bytes);
    assert.equal(await host.exited, 1);
    if (name === 'another version') assert.match((await host.next((f) => f.type === T.FAIL)).payload.toString(), /version_mismatch/);
  });
}

for (const [name, bytes] of Object.entries({
  'a PING of 7 bytes': frame(T.PING, 0, 0, Buffer.alloc(7)), 'a WINDOW of 3 bytes': frame(T.WINDOW, 0, 1, Buffer.alloc(3)), 'a RESET without a reason': frame(T.RESET, 0, 1),
  'too large a DATA': frame(T.DATA, 0, 1, Buffer.alloc(65537)), 'a frame of the worker': frame(T.READY, 0, 0, Buffer.from('{}')),
  'a stream in use': Buffer.concat([frame(T.REQUEST, FLAG_END, 1, request('aborted')), frame(T.REQUEST, FLAG_END, 1, request('fine'))]),
})) {
  test(`a worker that serves ends at ${name}`, limit, async (t) => {
    const host = await Host.ready(t);
    host.write(bytes);
    assert.equal(await host.exited, 1);
    assert.match(host.logs.at(-1)?.text ?? '', /protocol error/);
  });
}

test('ends with the host', limit, async (t) => {
  const host = await Host.ready(t);
  host.close();
  assert.equal(await host.exited, 0);
});
