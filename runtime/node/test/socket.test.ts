// A WebSocket of a function, with the host played by the test.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { FLAG_BINARY, FLAG_END, MAX_DATA, MESSAGE_COST, T, Table, WINDOW_SIZE } from '../src/protocol.ts';
import { Session, type SocketOutlet } from '../src/socket.ts';
import type { FunctionSocket, SocketHandler, SocketOptions } from '../src/types.ts';

const TEXT = FLAG_END;
const BINARY = FLAG_END | FLAG_BINARY;

function table(headers: string[]): Table {
  const strings = ['req-1', 'GET', '/ws', '/ws', 'a=1', '127.0.0.1', '', '', 'none', '', 'socket', ...headers];
  const head = Buffer.alloc(2 + 2 * strings.length);
  head.writeUInt16BE(strings.length, 0);
  strings.forEach((s, i) => head.writeUInt16BE(Buffer.byteLength(s), 2 + 2 * i));
  return new Table(Buffer.concat([head, Buffer.from(strings.join(''))]).toString('latin1'), false);
}

class Host implements SocketOutlet {
  readonly sent: { type: number; flags: number; payload: Buffer }[] = [];
  readonly logs: string[] = [];
  head: readonly string[] = [];
  credit = 0;
  over = false;
  congested = false;
  session!: Session;
  send(type: number, flags: number, _stream: number, payload: Uint8Array): void { this.sent.push({ type, flags, payload: Buffer.from(payload) }); }
  sendWindow(_stream: number, n: number): void { this.credit += n; }
  sendResponseHead(_stream: number, status: number, headers: readonly string[]): void { assert.equal(status, 101); this.head = headers; }
  log(_level: number, text: string, id: string): void { this.logs.push(`${id}: ${text.split('\n')[0]!}`); }
  forgetSocket(): void { this.over = true; }
  drained(): Promise<void> { return Promise.resolve(); }
  text(s: string): void { this.session.message(Buffer.from(s), TEXT); }
  get messages(): string[] { return this.sent.filter((f) => f.type === T.MESSAGE).map((f) => f.payload.toString()); }
  get close(): [number, string] | undefined {
    const f = this.sent.find((x) => x.type === T.CLOSE);
    return f && [f.payload.readUInt16BE(0), f.payload.toString('utf8', 2)];
  }
}

/** A socket whose handler is given; returns the host, and what the handler has. */
function open(handler: SocketHandler, options: SocketOptions = {}, headers: string[] = []): { host: Host; ws: FunctionSocket } {
  const host = new Host();
  let ws!: FunctionSocket;
  host.session = new Session(host, 7, table(headers), { handler: (w, r, c) => { ws = w; return handler(w, r, c); }, options });
  host.session.start();
  return { host, ws };
}

test('a handler is given an open socket, the request and a context', () => {
  let seen: unknown[] = [];
  const { ws } = open((w, r, c) => { seen = [w.readyState, w.OPEN, w.url, w.protocol, w.extensions, r.query['a'], r.requestId, c.requestId]; });
  assert.deepEqual(seen, [1, 1, '/ws?a=1', '', '', '1', 'req-1', 'req-1']);
  assert.deepEqual([ws.CONNECTING, ws.CLOSING, ws.CLOSED], [0, 2, 3]);
});

test('messages reach each kind of listener: text as a string in an event, as bytes in on', () => {
  const seen: unknown[] = [];
  const { host } = open((w) => {
    w.onmessage = (e) => { seen.push(e.data, e.target === w); };
    w.addEventListener('message', (e) => { seen.push(e.type); });
    w.on('message', (data, isBinary) => { seen.push(Buffer.isBuffer(data), isBinary); });
    w.once('message', (data) => { seen.push(`once ${String(data)}`); });
  });
  host.text('grüß');
  host.session.message(Buffer.of(1, 2), BINARY);
  assert.deepEqual(seen, ['grüß', true, 'message', true, false, 'once grüß', Buffer.of(1, 2), true, 'message', true, true]);
});

for (const [type, kind] of [['arraybuffer', 'ArrayBuffer'], ['blob', 'Blob'], ['nodebuffer', 'Buffer']] as const) {
  test(`binaryType ${type}`, () => {
    let data: object = {};
    const { host } = open((w) => { w.binaryType = type; w.onmessage = (e) => { data = e.data as object; }; });
    host.session.message(Buffer.of(1, 2), BINARY);
    assert.equal(data.constructor.name, kind);
  });
}

test('a message in parts is one message, and may be larger than the window', () => {
  const seen: string[] = [];
  const { host } = open((w) => { w.on('message', (d) => { seen.push(String(d)); }); });
  const part = Buffer.alloc(MAX_DATA, 'x');
  let window = WINDOW_SIZE;
  for (let i = 0; i < 16; i++) {
    window -= MAX_DATA + MESSAGE_COST;
    assert.ok(window + host.credit >= 0, 'no room was given');
    host.session.message(part, i === 15 ? TEXT : 0);
  }
  assert.deepEqual(seen.map((s) => s.length), [16 * MAX_DATA]);
});

test('messages wait for who listens later, without credit', async () => {
  const seen: string[] = [];
  const { host } = open(async (w) => { await wait(5); w.onmessage = (e) => { seen.push(e.data as string); }; });
  host.text('early');
  assert.deepEqual(seen, []);
  await wait(20);
  host.text('late');
  assert.deepEqual(seen, ['early', 'late']);
});

test('a handler that does not read gives no credit: empty messages fill the window too', () => {
  const { host } = open(() => {});
  for (let i = 0; i < WINDOW_SIZE / MESSAGE_COST; i++) host.text('');
  assert.deepEqual([host.credit, host.over], [0, false]);
  host.text('');
  assert.equal(host.over, true);
  assert.match(host.logs[0]!, /more of a message than the window/);
});

test('for await takes one message after the other, and gives credit as it goes', async () => {
  const seen: unknown[] = [];
  let go: (() => void) | undefined;
  const { host } = open(async (w) => {
    for await (const m of w) {
      seen.push(m);
      await new Promise<void>((resolve) => { go = resolve; });
    }
    seen.push('over');
  });
  for (let i = 0; i < 3; i++) host.session.message(Buffer.alloc(MAX_DATA, 'x'), TEXT);
  await wait(1);
  assert.equal(seen.length, 1);
  for (let i = 2; i <= 3; i++) {
    go!();
    await wait(1);
    assert.equal(seen.length, i);
  }
  assert.ok(host.credit >= MAX_DATA, 'no credit was given');
  go!();
  host.session.closed(1000, '');
  await wait(1);
  assert.equal(seen.at(-1), 'over');
});

test('pause holds messages back, and resume gives them', () => {
  const seen: string[] = [];
  const { host, ws } = open((w) => { w.on('message', (d) => { seen.push(String(d)); }); w.pause(); });
  host.text('a');
  assert.deepEqual([seen, ws.isPaused], [[], true]);
  ws.resume();
  assert.deepEqual(seen, ['a']);
});

test('bufferedAmount says what the client has not been ready to take, and drained waits for it', async () => {
  const { host, ws } = open(() => {});
  const done: unknown[] = [];
  for (let i = 0; i < 5; i++) ws.send(new Uint8Array(MAX_DATA), (err?: Error) => { done.push(err); });
  ws.send('x'.repeat(3 * MAX_DATA));
  assert.equal(host.messages.length, 3);
  assert.equal(ws.bufferedAmount, 5 * MAX_DATA);
  let drained = false;
  void ws.drained().then(() => { drained = true; });
  host.session.window(2 * (MAX_DATA + MESSAGE_COST));
  await wait(1);
  assert.deepEqual([ws.bufferedAmount, drained, done.length], [3 * MAX_DATA, false, 5]);
  host.session.window(WINDOW_SIZE);
  await wait(1);
  assert.deepEqual([ws.bufferedAmount, drained], [0, true]);
  const last = host.sent.filter((f) => f.type === T.MESSAGE).slice(-3);
  assert.deepEqual(last.map((f) => f.flags), [0, 0, FLAG_END]);
});

test('what may be sent, in the order in which it was', async () => {
  const { host, ws } = open(() => {});
  ws.send('text');
  ws.send(new Blob(['blob']));
  ws.send(Uint8Array.of(65).buffer);
  ws.send(new DataView(Uint8Array.of(66).buffer));
  await wait(5);
  assert.deepEqual(host.sent.map((f) => [f.payload.toString(), f.flags]), [['text', TEXT], ['blob', BINARY], ['A', BINARY], ['B', BINARY]]);
  for (const bad of [{}, null, undefined, [1]]) assert.throws(() => { ws.send(bad as unknown as string); }, TypeError);
});

test('a client that takes nothing ends the socket before the worker is full', () => {
  const { host, ws } = open(() => {});
  for (let i = 0; i < 300; i++) ws.send(new Uint8Array(MAX_DATA));
  assert.deepEqual(host.close, [1011, 'the handler failed']);
  assert.match(host.logs[0]!, /await ws.drained\(\)/);
  assert.ok(ws.bufferedAmount <= 17 << 20);
});

test('close goes behind what was sent, and is answered', () => {
  const seen: unknown[] = [];
  const { host, ws } = open((w) => { w.onclose = (e) => { seen.push(e.code, e.reason, e.wasClean, w.readyState); }; w.on('close', (code, reason) => { seen.push(code, String(reason)); }); });
  ws.send(new Uint8Array(5 * MAX_DATA));
  ws.close(4000, 'done');
  assert.deepEqual([ws.readyState, host.close], [2, undefined]);
  host.session.window(WINDOW_SIZE);
  assert.deepEqual(host.close, [4000, 'done']);
  ws.send('late');
  host.text('late too');
  host.session.closed(4000, 'done');
  assert.deepEqual([seen, host.over, ws.readyState], [[4000, 'done', true, 3, 4000, 'done'], true, 3]);
});

for (const [name, code, reason] of [['1005', 1005, ''], ['1006', 1006, ''], ['999', 999, ''], ['1015', 1015, ''], ['2000', 2000, ''], ['5000', 5000, ''], ['a half', 1000.5, ''], ['a reason without a code', undefined, 'x'], ['a long reason', 1000, 'x'.repeat(124)], ['a long reason in bytes', 1000, 'ä'.repeat(62)]] as const) {
  test(`cannot close with ${name}`, () => {
    const { host, ws } = open(() => {});
    assert.throws(() => { ws.close(code, reason); }, RangeError);
    assert.deepEqual([ws.readyState, host.sent.length], [1, 0]);
  });
}

test('a lost connection is an error and a close that was not clean', () => {
  const seen: unknown[] = [];
  const { host } = open((w, r) => {
    w.on('error', (e) => { seen.push(e.message); });
    w.onclose = (e) => { seen.push(e.code, e.wasClean); };
    r.signal.addEventListener('abort', () => { seen.push('aborted'); });
  });
  host.session.closed(1006, '');
  assert.deepEqual(seen, ['aborted', 'the connection was lost', 1006, false]);
  assert.deepEqual(host.close, [1005, '']);
});

for (const [name, handler] of Object.entries({
  'a handler that throws': () => { throw new Error('no'); },
  'a handler that rejects': async () => { await null; throw new Error('no'); },
  'a listener that throws': (w: FunctionSocket) => { w.onmessage = () => { throw new Error('no'); }; },
  'a listener that rejects': (w: FunctionSocket) => { w.on('message', async () => { await null; throw new Error('no'); }); },
  'a loop that throws': async (w: FunctionSocket) => { for await (const _ of w) throw new Error('no'); },
})) {
  test(`${name} ends its socket with 1011, under its request's ID`, async () => {
    let closed = 0;
    const { host } = open((w, r, c) => { w.on('close', (code) => { closed = code; }); return (handler as SocketHandler)(w, r, c); });
    host.text('x');
    await wait(1);
    assert.deepEqual([host.close, host.logs], [[1011, 'the handler failed'], ['req-1: Error: no']]);
    host.text('more');
    host.session.closed(1011, '');
    assert.deepEqual([closed, host.over], [1011, true]);
  });
}

test('subprotocols: the first that is offered, or of those that the handler speaks', () => {
  const offer = ['sec-websocket-protocol', 'a, b'];
  assert.deepEqual(open(() => {}, {}, offer).host.head, ['sec-websocket-protocol', 'a']);
  const { host, ws } = open(() => {}, { protocols: ['x', 'b'] }, offer);
  assert.deepEqual([host.head, ws.protocol], [['sec-websocket-protocol', 'b'], 'b']);
  assert.deepEqual(open(() => {}, { protocols: ['x'] }, offer).host.head, []);
});

test('listeners come and go', () => {
  const seen: string[] = [];
  const a = (): void => { seen.push('a'); };
  const stop = new AbortController();
  const { host, ws } = open((w) => {
    w.on('message', a);
    w.addEventListener('message', a);
    w.addEventListener('message', () => { seen.push('signalled'); }, { signal: stop.signal });
    w.addEventListener('message', () => { seen.push('once'); }, { once: true });
  });
  host.text('');
  stop.abort();
  host.text('');
  ws.off('message', a);
  ws.onmessage = (): void => { seen.push('property'); };
  host.text('');
  ws.onmessage = null;
  const object = { handleEvent: (): void => { seen.push('object'); } };
  ws.addEventListener('message', object);
  ws.addEventListener('message', object); // twice is once, as in a browser
  host.text('');
  ws.removeEventListener('message', object);
  ws.addEventListener('message', () => { seen.push('last'); }, { once: true });
  host.text('');
  ws.removeAllListeners();
  assert.deepEqual(seen, ['a', 'signalled', 'once', 'a', 'property', 'object', 'last']);
});

test('ping is answered while the socket is open, terminate ends it at once', async () => {
  let pongs = 0;
  const { host, ws } = open((w) => { w.on('pong', () => { pongs++; }); w.on('open', () => { pongs += 10; }); });
  ws.ping();
  await wait(1);
  assert.equal(pongs, 11);
  ws.send(new Uint8Array(10 * MAX_DATA));
  ws.terminate();
  ws.ping();
  await wait(1);
  assert.deepEqual([host.close, ws.bufferedAmount, pongs], [[1005, ''], 0, 11]);
});
