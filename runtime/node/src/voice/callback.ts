// How a v1 callback is called: with the body as data, and the request behind it.
import type { FunctionContext, FunctionHandler, FunctionRequest, FunctionResult } from '../types.ts';

/** The v1 callbacks. The names mean nothing else wherever they stand. */
export const callbacks: ReadonlySet<string> = new Set(['ice', 'ace', 'pie', 'dice', 'notify']);

type Callback = (context: FunctionContext, data: object, request: FunctionRequest) => FunctionResult | Promise<FunctionResult>;

/**
 * Makes a handler of a callback `(context, data, request)`. A body that is no JSON object is 400, and the callback does not run.
 * Nothing returned is an empty answer, 200 with {}: the platform then does what it does by itself.
 */
export function asHandler(callback: FunctionHandler): FunctionHandler {
  const call = callback as unknown as Callback;
  return (context, request) => {
    const data = objectOf(request);
    if (data === undefined) return { statusCode: 400, body: { error: 'a callback needs a JSON object as its body' } };
    const result = call(context, withCallID(data), request);
    if (typeof (result as PromiseLike<FunctionResult> | null | undefined)?.then === 'function') return Promise.resolve(result).then(answer);
    return answer(result as FunctionResult);
  };
}

const answer = (result: FunctionResult): FunctionResult => result ?? {};

/**
 * The body of a signed message as an object; undefined when it is none. What is signed is the bytes, so JSON is read whatever the
 * content-type calls it.
 */
export function objectOf(request: FunctionRequest): Record<string, unknown> | undefined {
  let data: unknown = request.body;
  if (typeof data !== 'object' || data === null || data instanceof Uint8Array || /form/i.test(request.headers?.['content-type'] ?? '')) {
    try {
      data = JSON.parse(Buffer.from(request.rawBody).toString('utf8'));
    } catch {
      return undefined;
    }
  }
  return typeof data === 'object' && data !== null && !Array.isArray(data) ? (data as Record<string, unknown>) : undefined;
}

/** The wire has callid; some senders and many handlers say callId or CallId. All can be read, and JSON has what was sent. */
function withCallID(data: Record<string, unknown>): object {
  const spellings = ['callid', 'callId', 'CallId'];
  const sent = spellings.find((k) => Object.hasOwn(data, k));
  if (sent === undefined) return data;
  for (const k of spellings) {
    if (!Object.hasOwn(data, k)) Object.defineProperty(data, k, { value: data[sent], enumerable: false, configurable: true, writable: true });
  }
  return data;
}
