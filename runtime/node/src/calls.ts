// Calls of other functions: HTTP over the server's internal door, with the token that the host gave this worker.
import { Agent, type IncomingMessage, request } from 'node:http';
import { once } from 'node:events';
import type { Pass } from './protocol.ts';
import type { CallInit, Functions as Api } from './types.ts';

// What a call shows, and where; the host sends another in time. User code never sees it.
let pass: Pass | undefined;

export function setPass(given: Pass): void { pass = given; }

// Idle connections are this side's to close, so the server keeps them for longer. More calls than sockets wait for one.
const agent = new Agent({ keepAlive: true, maxSockets: 256, maxFreeSockets: 64, timeout: 60_000 });

/** What a call needs of the invocation that makes it. */
export interface Caller {
  readonly id: string;
  /** How many calls of functions by functions led to it. */
  readonly hops: number;
  header(name: string): string | undefined;
  /** Calls f when it is over, also if it is; returns what takes that back. */
  whenOver(f: () => void): () => void;
}

const functionName = /^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$/;
const projectId = /^prj_[0-9a-z]{1,60}$/;
const bodiless = new Set(['GET', 'HEAD']);
const nullBody = new Set([204, 205, 304]);

/** Headers that are the connection's, or the runtime's to say. A caller's own may be passed on as they came, so they are left out without a word. */
const ours = /^(host|connection|keep-alive|proxy-connection|te|trailer|transfer-encoding|upgrade|content-length|expect|x-postern-.*)$/;

/** Of an answer: its length, and that it is the gateway's own. */
const kept = new Set(['content-length', 'x-postern-refused']);

/** Traces go on through a call, unless it says otherwise. */
const traces = ['traceparent', 'tracestate'];

export class Functions implements Api {
  readonly #caller: Caller;

  constructor(caller: Caller) {
    this.#caller = caller;
  }

  async call(name: string, init: CallInit = {}): Promise<Response> {
    if (!functionName.test(name)) throw new TypeError(`${JSON.stringify(name)} is no function name`);
    if (init.project !== undefined && !projectId.test(init.project)) throw new TypeError(`${JSON.stringify(init.project)} is no project ID`);
    if (pass === undefined) throw new Error(`the function ${name} cannot be called: the server has given this worker no token`);
    const { type, body } = encode(init.body);
    const method = init.method?.toUpperCase() ?? (body === undefined ? 'GET' : 'POST');
    if (body !== undefined && bodiless.has(method)) throw new TypeError(`a call with the method ${method} has no body`);
    const headers = new Headers(init.headers as Record<string, string> | undefined);
    for (const key of [...headers.keys()]) if (ours.test(key)) headers.delete(key);
    if (type !== undefined && !headers.has('content-type')) headers.set('content-type', type);
    for (const key of traces) {
      const value = this.#caller.header(key);
      if (value !== undefined && !headers.has('traceparent')) headers.set(key, value);
    }
    const { socket, token } = pass;
    const fields: Record<string, string> = Object.fromEntries(headers);
    fields['host'] = init.project === undefined ? `${name}.internal` : `${name}.${init.project}.internal`;
    fields['x-postern-token'] = token;
    fields['x-postern-request'] = this.#caller.id;
    fields['x-postern-hops'] = String(this.#caller.hops + 1);
    if (body instanceof ReadableStream) fields['transfer-encoding'] = 'chunked';
    else if (body !== undefined || !bodiless.has(method)) fields['content-length'] = String(body?.length ?? 0);
    return this.#send(name, { socketPath: socket, method, path: target(init), headers: fields }, body, init);
  }

  #send(name: string, to: object, body: Uint8Array | ReadableStream<Uint8Array> | undefined, init: CallInit): Promise<Response> {
    return new Promise((resolve, reject) => {
      init.signal?.throwIfAborted();
      let why: unknown; // it was broken off by this side
      const req = request({ agent, ...to });
      const stop = (reason: unknown): void => {
        why ??= reason;
        req.destroy();
      };
      const aborted = (): void => { stop(init.signal!.reason); };
      const late = (): void => { stop(new DOMException(`the call of the function ${name} took longer than ${init.timeout} ms`, 'TimeoutError')); };
      const timer = init.timeout === undefined ? undefined : setTimeout(late, init.timeout);
      init.signal?.addEventListener('abort', aborted);
      const free = this.#caller.whenOver(() => { stop(new Error(`the call of the function ${name} was cut off: the invocation that made it is over`)); });
      const failed = (err: Error): unknown => why ?? new Error(`the call of the function ${name} failed: ${err.message}`, { cause: err });
      req.on('response', (res) => {
        if (res.headers['x-postern-refused'] === 'function_not_found') {
          res.resume();
          reject(new Error(`there is no function ${name} that this function may call`));
          return;
        }
        resolve(toResponse(res, String(req.method), failed));
      });
      req.on('error', (err) => { reject(failed(err)); });
      req.on('close', () => {
        clearTimeout(timer);
        init.signal?.removeEventListener('abort', aborted);
        free();
        reject(failed(new Error('the connection was closed'))); // if nothing was said before
      });
      if (body instanceof ReadableStream) pour(body, req).catch(stop);
      else req.end(body);
    });
  }
}

/** Sends a body as it is taken, and lets go of it when it is not wanted any more. */
async function pour(body: ReadableStream<Uint8Array>, req: ReturnType<typeof request>): Promise<void> {
  const reader = body.getReader();
  const closed = new Promise<void>((resolve) => { req.once('close', resolve); });
  void closed.then(() => reader.cancel().catch(() => {}));
  for (;;) {
    const { done, value } = await reader.read();
    if (req.destroyed) return;
    if (done) break;
    if (!((value as unknown) instanceof Uint8Array)) throw new TypeError('a streamed body must consist of Uint8Array chunks');
    if (!req.write(value)) await Promise.race([once(req, 'drain').catch(() => {}), closed]);
  }
  req.end();
}

/** An answer as fetch gives it, read from the socket no faster than its body is. */
function toResponse(res: IncomingMessage, method: string, failed: (err: Error) => unknown): Response {
  const headers = new Headers();
  for (let i = 0; i + 1 < res.rawHeaders.length; i += 2) {
    const name = res.rawHeaders[i]!.toLowerCase();
    if (!ours.test(name) || kept.has(name)) headers.append(name, res.rawHeaders[i + 1]!);
  }
  const status = res.statusCode!;
  if (method === 'HEAD' || nullBody.has(status)) {
    res.resume();
    return new Response(null, { status, headers });
  }
  let whole = false;
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      res.pause();
      res.on('data', (chunk: Buffer) => {
        controller.enqueue(new Uint8Array(chunk)); // a copy of its own, which the handler may transfer
        if ((controller.desiredSize ?? 0) <= 0) res.pause();
      });
      res.on('end', () => { whole = true; controller.close(); });
      const broken = (err?: Error): void => {
        if (whole) return;
        whole = true;
        controller.error(failed(err ?? new Error('the answer was cut off')));
      };
      res.on('error', broken).on('close', broken);
    },
    pull() { res.resume(); },
    cancel() {
      whole = true;
      res.destroy();
    },
  }, { highWaterMark: 0 });
  return new Response(body, { status, headers });
}

/** The request target. It is not made plain: a path that can be read in two ways is refused by the gateway, and not repaired here. */
function target(init: CallInit): string {
  let path = init.path ?? '/';
  if (!path.startsWith('/')) throw new TypeError(`the path ${JSON.stringify(path)} does not begin with a slash`);
  path = path.replace(/[^\x21-\x7e]+/g, (s) => encodeURIComponent(s));
  if (init.query === undefined) return path;
  const query = new URLSearchParams();
  const pairs: Iterable<[string, unknown]> = init.query instanceof URLSearchParams ? init.query : Object.entries(init.query);
  for (const [key, value] of pairs) for (const one of [value].flat()) if (one !== undefined) query.append(key, String(one));
  const text = query.toString();
  return text === '' ? path : `${path}${path.includes('?') ? '&' : '?'}${text}`;
}

function encode(body: CallInit['body']): { type?: string; body?: Uint8Array | ReadableStream<Uint8Array> } {
  if (body === undefined || body === null) return {};
  if (typeof body === 'string') return { type: 'text/plain; charset=utf-8', body: Buffer.from(body) };
  if (body instanceof URLSearchParams) return { type: 'application/x-www-form-urlencoded', body: Buffer.from(body.toString()) };
  if (body instanceof Uint8Array) return { type: 'application/octet-stream', body };
  if (body instanceof ReadableStream) return { type: 'application/octet-stream', body: body as ReadableStream<Uint8Array> };
  if (body instanceof ArrayBuffer || ArrayBuffer.isView(body) || body instanceof Blob || body instanceof FormData) {
    const r = new Response(body as ArrayBuffer | Blob | FormData);
    return { type: r.headers.get('content-type') ?? 'application/octet-stream', body: r.body as ReadableStream<Uint8Array> };
  }
  const text = JSON.stringify(body) as string | undefined;
  if (text === undefined) throw new TypeError(`a ${typeof body} cannot be the body of a call`);
  return { type: 'application/json', body: Buffer.from(text) };
}
