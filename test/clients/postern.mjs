// What the tests of this folder share: where the server is, keys of their own,
// and how to count. The Go test that runs them starts a server for each and
// says where it is in the environment.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { once } from 'node:events';

const { CLIENTS_ALGORITHM, CLIENTS_GATEWAY, CLIENTS_CONTROL, CLIENTS_PROJECT_ID, CLIENTS_KEY_ID, CLIENTS_KEY_SECRET } = process.env;
assert.ok(CLIENTS_KEY_SECRET, 'run me by `go test -run TestClients ./cmd/postern`');

export const algorithm = CLIENTS_ALGORITHM;
export const control = CLIENTS_CONTROL;
export const gateway = CLIENTS_GATEWAY;
export const projectId = CLIENTS_PROJECT_ID;
/** The function with one guarded handler; its address and that of the handler. */
export const est = `${gateway}/fn/est`;
export const trunks = `${est}/v1/projects/${projectId}/trunks`;

export const basic = (id, secret) => `Basic ${btoa(`${id}:${secret}`)}`;

/** grantTo gets a key a token with nothing but fetch. */
export async function grantTo(key) {
  const response = await fetch(`${control}/oauth2/token`, {
    method: 'POST',
    headers: { authorization: basic(key.id, key.secret) },
    body: new URLSearchParams({ grant_type: 'client_credentials' }),
  });
  const body = await response.json();
  assert.equal(response.status, 200, JSON.stringify(body));
  return body.access_token;
}

let administrator;

const administer = (method, path, body) => administerProject(method, `/accessKeys${path}`, body);

/** administerProject asks the control plane for something of the project. */
export async function administerProject(method, path, body) {
  administrator ??= grantTo({ id: CLIENTS_KEY_ID, secret: CLIENTS_KEY_SECRET });
  const response = await fetch(`${control}/v1/projects/${projectId}${path}`, {
    method,
    headers: { authorization: `Bearer ${await administrator}`, 'content-type': 'application/json' },
    body: body && JSON.stringify(body),
  });
  const text = await response.text();
  assert.ok(response.ok, `${method} ${path}: ${response.status} ${text}`);
  return text && JSON.parse(text);
}

let made = 0;

/** newKey makes an access key that may call functions. */
export async function newKey(more = {}) {
  const displayName = `client ${process.pid}-${made++}`;
  const { accessKey, secret } = await administer('POST', '', { displayName, scopes: ['invoke'], ...more });
  return { id: accessKey.accessKeyId, secret };
}

/** revoke ends a key. */
export const revoke = (key) => administer('DELETE', `/${key.id}`);

/** ran is how often the guarded handler ran for a key. */
export async function ran(key) {
  const response = await fetch(`${est}/calls?key=${key.id}`);
  return (await response.json()).ran;
}

/**
 * counting is a proxy in front of a listener that hands everything on as it
 * came, and keeps what was answered.
 */
export async function counting(t, target) {
  const seen = [];
  const server = createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const { host, connection, 'content-length': length, ...headers } = request.headers;
    const answer = await fetch(target + request.url, {
      method: request.method,
      headers,
      body: chunks.length > 0 ? Buffer.concat(chunks) : undefined,
      redirect: 'manual',
    });
    const body = Buffer.from(await answer.arrayBuffer());
    seen.push({ at: performance.now(), status: answer.status, path: request.url, challenge: answer.headers.get('www-authenticate') });
    const { 'content-encoding': encoding, 'transfer-encoding': transfer, ...back } = Object.fromEntries(answer.headers);
    response.writeHead(answer.status, back).end(body);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return { url: `http://127.0.0.1:${server.address().port}`, seen, statuses: () => seen.map((s) => s.status) };
}
