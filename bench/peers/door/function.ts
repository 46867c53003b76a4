// Two handlers that do the same: one asks for a key, one is open.
export const auth = ['guarded'];

export function guarded() {
  return { received: null };
}

export function open() {
  return { received: null };
}
