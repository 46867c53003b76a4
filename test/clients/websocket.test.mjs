// WebSockets and streams through an upstream: the client and the server behind are
// others' (ws, and Node's fetch), and only the gateway between them is ours.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import WebSocket, { WebSocketServer } from 'ws';
import { administerProject, gateway, newKey, revoke } from './postern.mjs';

let server;
let sockets;
const seen = [];
const live = `${gateway.replace('http', 'ws')}/fn/live`;

before(async () => {
  server = createServer((request, response) => {
    seen.push(request);
    if (request.url === '/events') {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      let n = 0;
      const timer = setInterval(() => response.write(`data: ${n++}\n\n`), 20);
      response.on('close', () => clearInterval(timer));
      return;
    }
    response.end(JSON.stringify({ url: request.url, headers: request.headers }));
  });
  sockets = new WebSocketServer({ server, path: '/chat', handleProtocols: (offered) => [...offered][0] ?? false });
  sockets.on('connection', (socket, request) => {
    seen.push(request);
    socket.on('error', () => {});
    socket.on('message', (data, binary) => {
      if (String(data) === 'leave') socket.close(4000, 'as you wish');
      else socket.send(data, { binary });
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const document = JSON.stringify({
    version: 1,
    upstreams: {
      live: {
        url: `http://127.0.0.1:${server.address().port}`,
        websocket: { origins: ['https://shop.example'], messageLimit: '64KiB' },
        routes: { 'GET /chat': {}, 'GET /events': {}, '/open/{path...}': { auth: 'none' } },
      },
    },
  });
  await administerProject('PUT', '/gateway', { document });
});

after(() => {
  sockets.clients.forEach((socket) => socket.terminate());
  server.close();
  server.closeAllConnections();
});

/** open resolves when a WebSocket is open, and rejects with the status of a refusal. */
const open = (key, options = {}, protocols = []) =>
  new Promise((resolve, reject) => {
    const headers = { ...(key && { 'x-api-key': key.secret }), ...options.headers };
    const socket = new WebSocket(`${live}/chat`, protocols, { ...options, headers });
    socket.on('open', () => resolve(socket));
    socket.on('unexpected-response', (request, response) => {
      reject(new Error(String(response.statusCode)));
      request.destroy(); // whoever looks at the answer has to end the request
    });
    socket.on('error', reject);
  });

const echo = async (socket, message) => {
  socket.send(message);
  const [data, binary] = await once(socket, 'message');
  return binary ? data : String(data);
};

test('messages go both ways, with the subprotocol that the server chose', async () => {
  const key = await newKey();
  const socket = await open(key, {}, ['v2', 'v1']);
  assert.equal(socket.protocol, 'v2');
  assert.equal(await echo(socket, 'hello'), 'hello');
  assert.equal(await echo(socket, 'x'.repeat(60_000)), 'x'.repeat(60_000));
  assert.deepEqual(await echo(socket, Buffer.from([0, 255])), Buffer.from([0, 255]));
  socket.ping();
  await once(socket, 'pong');
  const { headers } = seen.at(-1);
  assert.equal(headers['x-postern-key-id'], key.id);
  assert.equal(headers['x-api-key'], undefined);
  socket.send('leave');
  const [code, reason] = await once(socket, 'close');
  assert.deepEqual([code, String(reason)], [4000, 'as you wish']);
});

test('without a key, with a dead one, or from another page: refused, and nothing is heard of it', async () => {
  const dead = await newKey();
  await revoke(dead);
  const key = await newKey();
  const before = seen.length;
  await assert.rejects(open(), { message: '401' });
  await assert.rejects(open(dead), { message: '401' });
  await assert.rejects(open(key, { origin: 'https://evil.example' }), { message: '403' });
  await assert.rejects(open(key, { protocolVersion: 8 }), { message: '400' });
  assert.equal(seen.length, before);
  (await open(key, { origin: 'https://shop.example' })).terminate();
});

test('a message above the limit ends it with 1009', async () => {
  const socket = await open(await newKey());
  socket.send('x'.repeat(64 * 1024 + 1));
  const [code] = await once(socket, 'close');
  assert.equal(code, 1009);
});

test('a key that is revoked closes what it opened', async () => {
  const key = await newKey();
  const socket = await open(key);
  assert.equal(await echo(socket, 'hello'), 'hello');
  const closed = once(socket, 'close');
  await revoke(key); // is answered when the gateway has applied it
  const began = performance.now();
  const [code, reason] = await closed;
  assert.deepEqual([code, String(reason)], [1008, 'unauthenticated']);
  assert.ok(performance.now() - began < 100, `it took ${performance.now() - began} ms`);
});

test('events come one by one', async () => {
  const key = await newKey();
  const response = await fetch(`${gateway}/fn/live/events`, { headers: { 'x-api-key': key.secret } });
  assert.equal(response.headers.get('content-type'), 'text/event-stream');
  let text = '';
  for await (const chunk of response.body) {
    text += Buffer.from(chunk);
    if (text.includes('data: 5\n\n')) break;
  }
  assert.match(text, /^data: 0\n\ndata: 1\n\n/);
});

test('a path reaches the server as policy saw it', async () => {
  const answer = await fetch(`${gateway}/fn/live/open/a%3Bb?c=d;e`);
  const { url, headers } = await answer.json();
  assert.equal(url, '/open/a%3Bb?c=d;e');
  assert.equal(headers['x-forwarded-prefix'], '/fn/live');
});
