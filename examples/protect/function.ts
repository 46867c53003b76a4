import type { FunctionContext, FunctionRequest } from '@postern/functions';

// webhook asks for an access key; what is not listed here is open.
export const auth = ['webhook'];

export async function webhook(context: FunctionContext, request: FunctionRequest) {
  // No check here: without valid credentials this line does not run.
  return { received: request.body ?? null };
}

export async function status(context: FunctionContext, request: FunctionRequest) {
  return { ok: true };
}
