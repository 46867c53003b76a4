import type { FunctionContext, FunctionRequest } from '@postern/functions';

interface Event { scheme: string; id: string; type: string }

// What came. It is of this worker only: a real function keeps it in a store.
const came: Event[] = [];

function keep(request: FunctionRequest, id: string, type: string) {
  came.push({ scheme: request.identity!.scheme!, id, type });
  return { received: true };
}

/** GitHub names a delivery in a header, which it does not sign: good for a log, for nothing else. */
export async function pushed(context: FunctionContext, request: FunctionRequest) {
  return keep(request, request.headers['x-github-delivery'] ?? '', request.headers['x-github-event'] ?? '');
}

/** A sender that got no answer sends again, with another signature: the message's ID tells that it is the same. */
export async function paid(context: FunctionContext, request: FunctionRequest) {
  const id = request.identity!.messageId!;
  if (came.some((event) => event.id === id)) return { received: true, again: true };
  return keep(request, id, request.body.type);
}

export async function messaged(context: FunctionContext, request: FunctionRequest) {
  return keep(request, request.identity!.messageId!, request.body.type);
}

/** What came, for callers with an access key. */
export async function events() {
  return { events: came };
}
