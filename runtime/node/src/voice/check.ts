// What the builders check before a wrong answer reaches a call: each failure throws at once, and says which limit it is.
// No message repeats a text, a number or a credential, since errors end in logs.

/** A call of a builder that the platform would refuse, or would take for something else. */
export class VoiceError extends Error {
  override name = 'VoiceError';
}

export function refuse(message: string): never {
  throw new VoiceError(message);
}

const kindOf = (v: unknown): string => (v === null ? 'null' : Array.isArray(v) ? 'an array' : v === undefined ? 'nothing' : `a ${typeof v}`);

/** A string of min to max characters, each code point counted once. */
export function text(what: string, v: unknown, max: number, min = 1): string {
  if (typeof v !== 'string') refuse(`${what} must be a string, not ${kindOf(v)}`);
  const n = v.length <= max ? v.length : [...v].length;
  if (v.length < min) refuse(`${what} is empty`);
  if (n > max) refuse(`${what} has ${n} characters; at most ${max} are allowed`);
  return v;
}

/** A whole number of min to max. */
export function whole(what: string, v: unknown, min: number, max: number): number {
  if (typeof v !== 'number' || !Number.isSafeInteger(v) || v < min || v > max) {
    refuse(`${what} must be a whole number from ${min} to ${max}, not ${typeof v === 'number' ? v : kindOf(v)}`);
  }
  return v;
}

export function flag(what: string, v: unknown): boolean {
  if (typeof v !== 'boolean') refuse(`${what} must be true or false, not ${kindOf(v)}`);
  return v;
}

export function oneOf<T extends string>(what: string, v: unknown, values: readonly T[]): T {
  if (!values.includes(v as T)) refuse(`${what} must be one of ${values.join(', ')}`);
  return v as T;
}

/** A short name of ours or the platform's: letters, digits, ".", "_" and "-". */
export function name(what: string, v: unknown, max = 64): string {
  const s = text(what, v, max);
  if (!/^[A-Za-z0-9._-]+$/.test(s)) refuse(`${what} may have letters, digits, ".", "_" and "-" only`);
  return s;
}

/** A telephone number as E.164 has it; the leading "+" may be left out. */
export function phone(what: string, v: unknown): string {
  const s = text(what, v, 16);
  if (!/^\+?[0-9]{3,15}$/.test(s)) refuse(`${what} must be digits with a leading "+", as E.164 has it`);
  return s;
}

/** An absolute address with one of the schemes, such as "https:". */
export function address(what: string, v: unknown, schemes: readonly string[]): string {
  const s = text(what, v, 2048);
  if (/[\s\u0000-\u001f\u007f[\]]/.test(s) || !URL.canParse(s) || !schemes.includes(new URL(s).protocol)) {
    refuse(`${what} must be an address that begins with ${schemes.map((x) => `${x}//`).join(' or ')}`);
  }
  return s;
}

/** A SIP address: with or without its scheme, user and host. */
export function sip(what: string, v: unknown): string {
  const s = text(what, v, 256);
  if (!/^(sips?:)?[^\s@<>"]+@[A-Za-z0-9.:[\]-]+(;[^\s<>"]*)?$/.test(s)) refuse(`${what} must be a SIP address, such as user@sip.example.com`);
  return s;
}

/** Tones: digits, "#", and "w", which is a pause of half a second. */
export function tones(what: string, v: unknown): string {
  const s = text(what, v, 256);
  if (!/^[0-9#w]+$/.test(s)) refuse(`${what} may have 0-9, # and w only`);
  return s;
}

/** A locale or the name of a voice, such as en-US or en-US/male. */
export function locale(what: string, v: unknown): string {
  const s = text(what, v, 64);
  if (!/^[A-Za-z][A-Za-z0-9_/-]*$/.test(s)) refuse(`${what} must be a locale or a voice, such as en-US`);
  return s;
}

export function callHeaders(what: string, v: unknown): { key: string; value: string }[] {
  if (!Array.isArray(v)) refuse(`${what} must be an array of { key, value }`);
  return v.map((h: unknown, i) => {
    const { key, value } = options(`${what}[${i}]`, h, ['key', 'value']);
    return { key: text(`${what}[${i}].key`, key, 256), value: text(`${what}[${i}].value`, value, 4096, 0) };
  });
}

/** An object with members of these names alone; what is undefined counts as absent. A misspelt option is refused and not dropped without a word. */
export function options(what: string, v: unknown, names: readonly string[]): Record<string, unknown> {
  if (v === undefined) return {};
  if (typeof v !== 'object' || v === null || Array.isArray(v)) refuse(`${what} must be an object, not ${kindOf(v)}`);
  const out: Record<string, unknown> = Object.create(null);
  for (const [k, value] of Object.entries(v)) {
    if (!names.includes(k)) refuse(`${what} has no option ${JSON.stringify(k)}; it takes ${names.join(', ')}`);
    if (value !== undefined) out[k] = value;
  }
  return out;
}

/** Checks what is there with the check of its name, and leaves out what is not; members come in the order of the checks. */
export function members(what: string, given: Record<string, unknown>, checks: Record<string, (what: string, v: any) => unknown>): Record<string, unknown> {
  const out: Record<string, unknown> = {};
  for (const [k, check] of Object.entries(checks)) {
    if (given[k] !== undefined) out[k] = check(`${what}: ${k}`, given[k]);
  }
  return out;
}

/** Nobody publishes one; a caller has hung up long before. */
export const MAX_PROMPT = 4000;

/** A prompt as menus, queues and playFiles have it: plain text is spoken, #tts[…], #ssml[…] and #href[…], joined with ";", stay as they are. */
export function prompt(what: string, v: unknown): string {
  const s = text(what, v, MAX_PROMPT);
  if (/^#(tts|ssml|href)\[[^\]]*\](;#(tts|ssml|href)\[[^\]]*\])*$/.test(s)) return s;
  // A "]" would end the directive, and let the rest of the text be one: #href[…] of whoever wrote it.
  if (/[\]\u0000-\u001f]/.test(s)) refuse(`${what} cannot have a "]" or a control character in its text`);
  return `#tts[${s}]`;
}
