// How a value of the cache becomes text: as JSON.stringify does, but for what would come back as something else without a word.

/** A value that cannot be kept as it is. */
export class ValueError extends TypeError {
  readonly code = 'cache_value_invalid';
}

export function toJSON(value: unknown): string {
  let text: string | undefined;
  try {
    text = JSON.stringify(value, refuse);
  } catch (err) {
    // A cycle, or what a toJSON threw: Node's own message names the way to it.
    if (err instanceof TypeError && !(err instanceof ValueError) && err.message.includes('circular')) throw new ValueError(`the value cannot be kept: ${err.message.split('\n')[0]}`);
    throw err;
  }
  if (text === undefined) throw new ValueError('undefined cannot be kept; delete the key, or set null');
  return text;
}

/** Members that are undefined are left out, as everywhere in JSON. */
function refuse(this: Record<string, unknown>, member: string, value: unknown): unknown {
  switch (typeof value) {
    case 'function': case 'symbol': case 'bigint':
      throw new ValueError(`${named(member)} is a ${typeof value}, which JSON cannot say${typeof value === 'bigint' ? '; keep its toString()' : ''}`);
    case 'object':
      if (value instanceof Map || value instanceof Set) throw new ValueError(`${named(member)} is a ${value instanceof Map ? 'Map, which JSON would make {}; keep Object.fromEntries(…)' : 'Set, which JSON would make {}; keep Array.from(…)'}`);
      if (ArrayBuffer.isView(this[member]) || value instanceof ArrayBuffer) throw new ValueError(`${named(member)} is bytes, which are no JSON; keep them in context.storage, or as text in base64`);
  }
  return value;
}

const named = (member: string): string => (member === '' ? 'the value' : `the member ${JSON.stringify(member)} of the value`);
