// Turns what a handler returned into a status, headers and a body.
import type { FunctionResponse } from './types.ts';

/** What a handler returned cannot be sent. */
export class ResultError extends Error {}

export interface Reply {
  status: number;
  /** Name, value, name, value; names in lower case. */
  headers: readonly string[];
  body: string | Uint8Array | Streamed | null;
}

/** A body that comes bit by bit. */
export type Streamed = ReadableStream<unknown> | AsyncIterable<unknown> | Generator<unknown>;

const justJSON: readonly string[] = ['content-type', 'application/json'];
const justText: readonly string[] = ['content-type', 'text/plain; charset=utf-8'];
const justBinary: readonly string[] = ['content-type', 'application/octet-stream'];

/** The headers of answers that have none of their own: these very arrays, so that who sends them may keep what it makes of them. */
export const alone = [justJSON, justText, justBinary];

export function toReply(result: unknown): Reply {
  if (result === null || result === undefined) return { status: 204, headers: [], body: null };
  if (typeof result === 'object') {
    if (!isPlain(result) && result instanceof Response) return fromResponse(result);
    if (typeof (result as FunctionResponse).statusCode === 'number') return fromParts(result as FunctionResponse);
  }
  const { type, body } = encode(result);
  return { status: 200, headers: type, body };
}

/** Of these nothing is an instance; and to ask that of Node's own classes loads them. */
function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null || prototype === Array.prototype;
}

function fromParts(r: FunctionResponse): Reply {
  if (!Number.isInteger(r.statusCode) || r.statusCode < 200 || r.statusCode > 599) {
    throw new ResultError(`statusCode must be a whole number from 200 to 599, not ${r.statusCode}`);
  }
  const headers: string[] = [];
  let typed = false;
  for (const [name, value] of entries(r.headers)) {
    const lower = name.toLowerCase();
    typed ||= lower === 'content-type';
    for (const one of Array.isArray(value) ? value : [value]) push(headers, lower, one);
  }
  if (r.cookies !== undefined) {
    if (!Array.isArray(r.cookies)) throw new ResultError('cookies must be an array of set-cookie headers');
    for (const one of r.cookies) push(headers, 'set-cookie', one);
  }
  if (r.body === null || r.body === undefined || bodiless.has(r.statusCode)) return { status: r.statusCode, headers, body: null };
  const { type, body } = encode(r.body);
  if (headers.length === 0) return { status: r.statusCode, headers: type, body };
  if (!typed) headers.push(...type);
  return { status: r.statusCode, headers, body };
}

function fromResponse(r: Response): Reply {
  if (r.status < 200) throw new ResultError(`a Response with status ${r.status} cannot be sent`);
  const headers: string[] = [];
  r.headers.forEach((value, name) => push(headers, name, value)); // set-cookie comes once for each
  return { status: r.status, headers, body: r.body as ReadableStream<Uint8Array> | null };
}

/** Statuses whose answers have no body (RFC 9110 section 6.4.1). */
const bodiless = new Set([204, 205, 304]);

interface Encoded { type: readonly string[]; body: string | Uint8Array | Streamed }

function encode(body: unknown): Encoded {
  if (typeof body === 'string') return { type: justText, body };
  if (body instanceof Uint8Array) return { type: justBinary, body };
  const special = typeof body === 'object' && body !== null && !isPlain(body) ? encodeSpecial(body) : undefined;
  if (special !== undefined) return special;
  let text: string | undefined;
  try {
    text = JSON.stringify(body);
  } catch (err) {
    throw new ResultError(`the result cannot be written as JSON: ${(err as Error).message}`);
  }
  if (text === undefined) throw new ResultError(`a handler cannot return a ${typeof body}`);
  return { type: justJSON, body: text };
}

/** What is neither text nor data: bytes in another form, what comes bit by bit, and what would be lost as JSON; undefined of anything else. */
function encodeSpecial(body: object): Encoded | undefined {
  if (ArrayBuffer.isView(body)) return { type: justBinary, body: new Uint8Array(body.buffer, body.byteOffset, body.byteLength) };
  if (body instanceof ArrayBuffer) return { type: justBinary, body: new Uint8Array(body) };
  if (typeof (body as Generator).next === 'function' && Symbol.iterator in body) return { type: justBinary, body: body as Generator<unknown> };
  if (Symbol.asyncIterator in body) return { type: justBinary, body: body as AsyncIterable<unknown> }; // also streams, of the Web's and Node's
  if (body instanceof Blob) return { type: body.type === '' ? justBinary : ['content-type', body.type], body: body.stream() };
  if (body instanceof URLSearchParams) return { type: ['content-type', 'application/x-www-form-urlencoded;charset=UTF-8'], body: String(body) };
  if (body instanceof FormData) {
    const form = new Response(body);
    return { type: ['content-type', form.headers.get('content-type')!], body: form.body! };
  }
  if (body instanceof Map || body instanceof Set) throw new ResultError(`a ${body.constructor.name} would be lost in JSON: return an object or an array made of it`);
  if (body instanceof Promise) throw new ResultError('the body of the result is a promise: await it');
  return undefined;
}

/** The headers of a result; a Headers object has no properties, and would be lost without a word. */
function entries(headers: unknown): Iterable<[string, unknown]> {
  if (headers === undefined || headers === null) return [];
  if (headers instanceof Headers) return headers;
  if (typeof headers !== 'object' || Array.isArray(headers)) throw new ResultError('headers must be an object of names and values');
  return Object.entries(headers);
}

/** All names and values of an answer together, in bytes: a response block must fit into one frame. */
const MAX_HEADERS = 65536;
const MAX_HEADER_STRINGS = 2048;

const token = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/; // RFC 9110 section 5.6.2, lower case
const value = /^[\t\x20-\x7e\x80-\xff]*$/; // RFC 9110 section 5.5

function push(headers: string[], name: string, v: unknown): void {
  if (typeof v !== 'string' && typeof v !== 'number' && typeof v !== 'boolean') {
    throw new ResultError(`the value of the header ${JSON.stringify(name)} must be a string or a number, not ${v === null ? 'null' : typeof v}`);
  }
  const text = String(v);
  if (!token.test(name) || name.length > 256) throw new ResultError(`${JSON.stringify(name)} is no header name`);
  if (!value.test(text) || text.length > 65535) throw new ResultError(`the value of the header ${name} has characters that cannot be sent, or too many`);
  headers.push(name, text);
  if (headers.length > MAX_HEADER_STRINGS || headers.reduce((n, s) => n + s.length, 0) > MAX_HEADERS) {
    throw new ResultError(`the headers are more than ${MAX_HEADERS} bytes, or more than ${MAX_HEADER_STRINGS / 2}`);
  }
}
