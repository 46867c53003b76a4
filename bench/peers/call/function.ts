// What each peer does, as a function: it counts what it was sent.
export const auth = ['webhook'];

export function webhook(_: unknown, request: { body: any }) {
  const { body } = request;
  return { received: body === undefined ? null : body instanceof Uint8Array ? body.length : body.items.length };
}

/** Keeps a worker's place for a second, so that another one is started. */
export async function wait() {
  await new Promise((resolve) => { setTimeout(resolve, 1000); });
}
