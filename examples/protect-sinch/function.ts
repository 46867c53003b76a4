import type { FunctionContext, FunctionRequest } from '@sinch/functions-runtime';

// Callers of webhook must show the project's key.
export const auth = ['webhook'];

export async function webhook(context: FunctionContext, request: FunctionRequest) {
  return { received: request.body };
}

export async function status(context: FunctionContext, request: FunctionRequest) {
  return { ok: true };
}
