// Calls handlers in a user's own unit tests, without a server: what they are given and how their answer is read is the runtime's own code.
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { assets } from './assets.ts';
import { BodyError } from './body.ts';
import { Clients } from './clients.ts';
import { type Environment, requireVariable } from './config.ts';
import { fromEvent, toEvent } from './event.ts';
import { inspect } from './loader.ts';
import { REQ, type Table } from './protocol.ts';
import { Request } from './request.ts';
import { type Reply, ResultError, toReply } from './result.ts';
import { Cache } from './state/cache.ts';
import { MemoryCache } from './state/memorycache.ts';
import { MemoryStorage } from './state/memorystorage.ts';
import { Storage } from './state/storage.ts';
import type { CallInit, FunctionCache, FunctionContext, FunctionIdentity, FunctionStorage } from './types.ts';

/** What to call a handler with. All of it may be left out. */
export interface TestRequest {
  /** GET, or POST where there is a body. */
  method?: string;
  /** Below the function's address; "/" if it is left out. A query may follow. */
  path?: string;
  query?: URLSearchParams | Readonly<Record<string, string | readonly string[]>>;
  headers?: Readonly<Record<string, string>>;
  /** What the route's pattern has taken from the path, and the pattern. */
  params?: Readonly<Record<string, string>>;
  route?: string;
  /** Text, bytes, a form, or anything that JSON can say. */
  body?: unknown;
  /** Gives the body as a ReadableStream, as a handler with "body": "stream" has it. */
  stream?: boolean;
  /** Who calls; somebody with an access key if it is left out, nobody if it is null. */
  identity?: FunctionIdentity | null;
  ip?: string;
  signal?: AbortSignal;
  context?: TestContext;
}

/** What a handler finds in its context. Members that are not named here are taken as they are, such as a fake client: { sms: fake }. */
export interface TestContext {
  /** The variables and secrets; nothing of the process's own environment. */
  env?: Readonly<Record<string, string>>;
  /** The other functions of the project, by name: their handlers. */
  functions?: Readonly<Record<string, Handler>>;
  readonly [member: string]: unknown;
}

/** Handlers take what theirs takes: a context and a request, data or an event. */
export type Handler = (...given: any[]) => unknown;

/** How events look; a handler that is called with it takes events. */
export interface TestStyle {
  event?: 'simple' | 'v2';
}

/** What the gateway would send. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Uint8Array;
  text(): string;
  json(): any;
}

/** A module whose handlers are found as the runtime finds them. */
export interface TestModule {
  /** The names of the handlers. */
  readonly handlers: readonly string[];
  readonly auth: null | '*' | readonly string[];
  /** Calls a handler by its name. Callbacks get their data, handlers of events an event. */
  call(name: string, request?: TestRequest): Promise<Answer>;
}

const somebody: FunctionIdentity = Object.freeze({ keyId: 'pak_test', projectId: 'prj_test', method: 'basic', scopes: Object.freeze(['invoke']) });

/**
 * Calls a handler of a context and a request or, with a style, one of events. A body that does not parse is 400, as at the gateway. What the
 * handler throws is thrown, and so is what is wrong with its result.
 */
async function call(handler: Handler, request: TestRequest = {}, style: TestStyle = {}): Promise<Answer> {
  let came: Request;
  try {
    came = given(request);
  } catch (err) {
    if (!(err instanceof BodyError)) throw err;
    return answer(toReply({ statusCode: 400, headers: { 'content-type': 'application/problem+json' }, body: { status: 400, code: 'body_malformed', detail: err.message } }), 'GET');
  }
  const where = contextOf(request.context ?? {}, came);
  if (style.event === undefined) return answer(toReply(await handler(where, came)), came.method);
  return answer(toReply(fromEvent(await handler(toEvent(style.event, came, Date.now()), where))), came.method);
}

/** A cache and a storage in memory, empty; calls that are given the same share it: { context: { ...state } }. */
const state = (): { cache: FunctionCache; storage: FunctionStorage } => ({ cache: new Cache(new MemoryCache()), storage: new Storage(new MemoryStorage()) });

/** Finds the handlers of a module, as `await import('./function.js')` gives it. `style` and `eventFormat` are those of the manifest. Its calls share a state. */
function load(namespace: object, manifest: { style?: 'event' | 'context'; eventFormat?: 'simple' | 'v2' } = {}): TestModule {
  const { handlers, auth, events } = inspect(namespace, { style: manifest.style, format: manifest.eventFormat });
  const shared = state();
  return {
    handlers: [...handlers.keys()],
    auth,
    async call(name, request) {
      const handler = handlers.get(name);
      if (handler === undefined) throw new Error(`there is no handler ${name}; there are ${[...handlers.keys()].join(', ')}`);
      return call(handler, { ...request, context: { ...shared, ...request?.context } }, events === undefined ? {} : { event: events });
    },
  };
}

/** A context, for code that takes one and is no handler. */
const context = (init: TestContext = {}): FunctionContext => contextOf(init, given({}));

function contextOf(init: TestContext, request: Request): FunctionContext {
  const { env = {}, functions = {}, ...more } = init;
  const clients = new Clients(env);
  const made = {
    config: Object.freeze({
      projectId: env['PROJECT_ID'] ?? 'prj_test', functionName: env['POSTERN_FUNCTION_NAME'] ?? 'test', environment: env['NODE_ENV'] ?? 'test', variables: env,
      requireVariable: (key: string) => requireVariable(env as Environment, key),
    }),
    env, log: console, assets, functions: { call: (name: string, said?: CallInit) => other(functions, name, said) }, identity: request.identity, requestId: request.requestId,
    timestamp: new Date().toISOString(), ...state(), database: env['POSTERN_DATABASE'] ?? join(tmpdir(), `postern-test-${process.pid}.db`),
    get voice() { return clients.voice; }, get conversation() { return clients.conversation; }, get sms() { return clients.sms; }, get numbers() { return clients.numbers; },
  };
  Object.defineProperties(made, Object.getOwnPropertyDescriptors(more));
  return made as unknown as FunctionContext;
}

/** A call of another function, as that function would be called. */
async function other(functions: Readonly<Record<string, Handler>>, name: string, init: CallInit = {}): Promise<Response> {
  if (!Object.hasOwn(functions, name)) throw new Error(`there is no function ${name} that this function may call`);
  const query = new URLSearchParams();
  for (const [key, value] of init.query instanceof URLSearchParams ? init.query : Object.entries(init.query ?? {})) for (const one of [value].flat()) if (one !== undefined) query.append(key, String(one));
  const { status, headers, body } = await call(functions[name]!, {
    ...(init.method !== undefined && { method: init.method }), ...(init.path !== undefined && { path: init.path }), query, body: init.body,
    headers: Object.fromEntries(new Headers(init.headers as Record<string, string> | undefined)),
    identity: { ...somebody, method: 'function', functionId: 'fn-test', functionName: 'test', parentRequestId: 'req_test' },
  });
  return new Response([204, 205, 304].includes(status) ? null : Buffer.from(body), { status, headers });
}

/** The request as it would come from the host: the runtime's own, over a block that never was on a wire. */
function given(r: TestRequest): Request {
  const { type, bytes } = encode(r.body);
  const [path, search] = split(r.path ?? '/');
  const query = new URLSearchParams(search);
  for (const [name, value] of r.query instanceof URLSearchParams ? r.query : Object.entries(r.query ?? {})) for (const one of [value].flat()) query.append(name, one);
  const who = r.identity === undefined ? somebody : r.identity;
  const strings: Record<number, string> = {
    [REQ.ID]: 'req_test', [REQ.METHOD]: r.method ?? (bytes === undefined ? 'GET' : 'POST'), [REQ.PATH]: path, [REQ.QUERY]: query.toString(), [REQ.IP]: r.ip ?? '127.0.0.1',
    [REQ.KEY]: who?.keyId ?? '', [REQ.PROJECT]: who?.projectId ?? '', [REQ.AUTH]: who?.method ?? 'none', [REQ.SCOPES]: who?.scopes.join(' ') ?? '', [REQ.MODE]: r.stream === true ? 'stream' : 'buffered',
  };
  const pairs = [
    ...Object.entries({ ...(type !== undefined && { 'content-type': type }), ...lower(r.headers ?? {}) }),
    ...Object.entries(r.params ?? {}).map(([name, value]) => [`:${name}`, wire(value)]), ...(r.route === undefined ? [] : [[':', wire(r.route)]]),
    ...Object.entries({
      '::scheme': who?.scheme, '::id': who?.messageId, '::function': who?.functionName, '::function-id': who?.functionId, '::request': who?.parentRequestId,
    }).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  ] as [string, string][];
  const table = { get: (i: number) => strings[i] ?? '', pairs: (_: number, f: (name: string, value: string) => void) => { for (const [name, value] of pairs) f(name, value); } };
  const request = new Request({ id: strings[REQ.ID]!, table: table as Table, signal: r.signal ?? new AbortController().signal });
  if (r.stream === true) request.body = new Blob(bytes === undefined ? [] : [bytes]).stream();
  else if (bytes !== undefined) request.setBody(bytes);
  return request;
}

/** Text as header values carry it: a character for each byte. */
const wire = (text: string): string => Buffer.from(text).toString('latin1');

const lower = (headers: Readonly<Record<string, string>>): Record<string, string> => Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));

function split(target: string): [path: string, search: string] {
  const at = target.indexOf('?');
  return at < 0 ? [decodeURIComponent(target), ''] : [decodeURIComponent(target.slice(0, at)), target.slice(at + 1)];
}

function encode(body: unknown): { type?: string; bytes?: Buffer<ArrayBuffer> } {
  if (body === undefined || body === null) return {};
  if (typeof body === 'string') return { type: 'text/plain; charset=utf-8', bytes: Buffer.from(body) };
  if (body instanceof URLSearchParams) return { type: 'application/x-www-form-urlencoded', bytes: Buffer.from(body.toString()) };
  if (body instanceof Uint8Array) return { type: 'application/octet-stream', bytes: Buffer.from(body) };
  return { type: 'application/json', bytes: Buffer.from(JSON.stringify(body)) };
}

async function answer(reply: Reply, method: string): Promise<Answer> {
  const headers = new Headers();
  for (let i = 0; i < reply.headers.length; i += 2) headers.append(reply.headers[i]!, reply.headers[i + 1]!);
  const whole = await bytesOf(reply.body);
  const body = method === 'HEAD' ? new Uint8Array(0) : whole;
  const text = (): string => new TextDecoder().decode(body);
  return { status: reply.status, headers, body, text, json: () => JSON.parse(text()) as unknown };
}

async function bytesOf(body: Reply['body']): Promise<Uint8Array> {
  if (body === null) return new Uint8Array(0);
  if (typeof body === 'string') return new TextEncoder().encode(body);
  if (body instanceof Uint8Array) return body;
  const chunks: Uint8Array[] = [];
  for await (const chunk of body as AsyncIterable<unknown>) {
    if (typeof chunk !== 'string' && !(chunk instanceof Uint8Array)) throw new ResultError('a streamed body must consist of bytes (Uint8Array) or strings');
    chunks.push(typeof chunk === 'string' ? new TextEncoder().encode(chunk) : chunk);
  }
  return new Uint8Array(Buffer.concat(chunks));
}

/** Calls handlers without a server. */
export const testing: {
  readonly call: typeof call;
  readonly load: typeof load;
  readonly context: typeof context;
  readonly state: typeof state;
} = Object.freeze({ call, load, context, state });
