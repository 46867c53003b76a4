import type { FunctionContext, FunctionRequest } from '@postern/functions';

// The body goes out as it comes in: neither side ever holds the whole of it.
export function echo(context: FunctionContext, request: FunctionRequest<ReadableStream<Uint8Array>>) {
  return { statusCode: 200, headers: { 'content-type': 'application/octet-stream' }, body: request.body };
}
