// Turns what a handler returned into a status, headers and a body.
import type { FunctionResponse } from './types.ts';

/** What a handler returned cannot be sent. */
export class ResultError extends Error {}

export interface Reply {
  status: number;
  /** Name, value, name, value; names in lower case. */
  headers: string[];
  body: string | Uint8Array | ReadableStream<Uint8Array> | null;
}

const JSON_TYPE = 'application/json';
const TEXT_TYPE = 'text/plain; charset=utf-8';
const BINARY_TYPE = 'application/octet-stream';

export function toReply(result: unknown): Reply {
  if (result === null || result === undefined) return { status: 204, headers: [], body: null };
  if (result instanceof Response) return fromResponse(result);
  if (typeof result === 'object' && typeof (result as FunctionResponse).statusCode === 'number') return fromParts(result as FunctionResponse);
  const { type, body } = encode(result);
  return { status: 200, headers: ['content-type', type], body };
}

function fromParts(r: FunctionResponse): Reply {
  if (!Number.isInteger(r.statusCode) || r.statusCode < 200 || r.statusCode > 599) {
    throw new ResultError(`statusCode must be a whole number from 200 to 599, not ${r.statusCode}`);
  }
  const headers: string[] = [];
  let typed = false;
  for (const [name, value] of Object.entries(r.headers ?? {})) {
    const lower = name.toLowerCase();
    typed ||= lower === 'content-type';
    for (const one of Array.isArray(value) ? value : [value]) push(headers, lower, one);
  }
  if (r.body === null || r.body === undefined) return { status: r.statusCode, headers, body: null };
  const { type, body } = encode(r.body);
  if (!typed) headers.push('content-type', type);
  return { status: r.statusCode, headers, body };
}

function fromResponse(r: Response): Reply {
  if (r.status < 200) throw new ResultError(`a Response with status ${r.status} cannot be sent`);
  const headers: string[] = [];
  r.headers.forEach((value, name) => push(headers, name, value)); // set-cookie comes once for each
  return { status: r.status, headers, body: r.body as ReadableStream<Uint8Array> | null };
}

function encode(body: unknown): { type: string; body: string | Uint8Array | ReadableStream<Uint8Array> } {
  if (typeof body === 'string') return { type: TEXT_TYPE, body };
  if (body instanceof Uint8Array) return { type: BINARY_TYPE, body };
  if (body instanceof ReadableStream) return { type: BINARY_TYPE, body };
  let text: string | undefined;
  try {
    text = JSON.stringify(body);
  } catch (err) {
    throw new ResultError(`the result cannot be written as JSON: ${(err as Error).message}`);
  }
  if (text === undefined) throw new ResultError(`a handler cannot return a ${typeof body}`);
  return { type: JSON_TYPE, body: text };
}

const token = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/; // RFC 9110 section 5.6.2, lower case
const value = /^[\t\x20-\x7e\x80-\xff]*$/; // RFC 9110 section 5.5

function push(headers: string[], name: string, v: unknown): void {
  const text = String(v);
  if (!token.test(name) || name.length > 256) throw new ResultError(`${JSON.stringify(name)} is no header name`);
  if (!value.test(text) || text.length > 65535) throw new ResultError(`the value of the header ${name} has characters that cannot be sent, or too many`);
  headers.push(name, text);
}
