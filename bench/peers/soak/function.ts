// What functions do all day, in one.
import type { FunctionContext, FunctionRequest } from '@postern/functions';

export const auth = ['guarded'];

export const guarded = () => ({ received: null });
export const json = (_: FunctionContext, request: FunctionRequest<any>) => ({ received: request.body.items.length });
export const bytes = (_: FunctionContext, request: FunctionRequest<Uint8Array>) => ({ received: request.body.length });
export const throws = () => { throw new Error('as it should'); };

export async function* stream() {
  for (let i = 0; i < 8; i++) yield new Uint8Array(4096);
}

export async function cache(context: FunctionContext, request: FunctionRequest) {
  const key = String(request.query['key']);
  await context.cache.set(key, { key }, 60);
  return { received: (await context.cache.get<{ key: string }>(key))?.key };
}

export async function storage(context: FunctionContext, request: FunctionRequest) {
  const key = String(request.query['key']);
  await context.storage.write(key, key.repeat(100));
  return { received: String(await context.storage.read(key)).length / 100 };
}

export function setup(runtime: any) {
  runtime.onWebSocket('/socket', (ws: any) => { ws.onmessage = (event: any) => { ws.send(event.data); }; });
}
