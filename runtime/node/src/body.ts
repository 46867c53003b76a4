// Request bodies, read as their content-type says.
import { isUtf8 } from 'node:buffer';
import { parseMultipart } from './multipart.ts';

/** The body could not be read as its content-type says. */
export class BodyError extends Error {}

/** JSON and forms parsed, text as a string, anything else as the bytes that came. Throws BodyError. */
export function parseBody(header: string, raw: Buffer): unknown {
  const type = header.split(';', 1)[0]!.trim().toLowerCase();
  if (type === 'application/json' || type.endsWith('+json')) return parseJSON(textOf(header, raw, true));
  if (type === 'application/x-www-form-urlencoded') return parsePairs(textOf(header, raw, false));
  if (type === 'multipart/form-data') return parseMultipart(header, raw);
  if (type.startsWith('text/')) return textOf(header, raw, false);
  return raw;
}

/** Text in the charset that the header names. JSON whose UTF-8 is broken is no JSON: what a signature covered must be what is read. */
export function textOf(header: string, raw: Buffer, strict: boolean): string {
  const charset = /;\s*charset\s*=\s*"?([^\s;"]+)/i.exec(header)?.[1]?.toLowerCase() ?? 'utf-8';
  if (charset === 'utf-8' || charset === 'utf8' || charset === 'us-ascii') {
    if (strict && !isUtf8(raw)) throw new BodyError('the body is no JSON: it is not in UTF-8');
    return raw.toString('utf8');
  }
  try {
    return new TextDecoder(charset, { fatal: strict, ignoreBOM: true }).decode(raw);
  } catch (err) {
    throw new BodyError(`the body is not in ${charset.slice(0, 40)}, or this is no charset that is known: ${(err as Error).message}`);
  }
}

function parseJSON(text: string): unknown {
  try {
    // A member __proto__ is harmless until somebody copies it, and then it is the copy's prototype. Nobody means it.
    return text.includes('proto__') || text.includes('\\u') ? JSON.parse(text, withoutPrototype) : JSON.parse(text);
  } catch (err) {
    throw new BodyError(`the body is no JSON: ${(err as Error).message}`);
  }
}

const withoutPrototype = (key: string, value: unknown): unknown => (key === '__proto__' ? undefined : value);

const MAX_PAIRS = 10_000;

function parsePairs(text: string): Record<string, string | string[]> {
  let pairs = 1;
  for (let at = text.indexOf('&'); at >= 0; at = text.indexOf('&', at + 1)) {
    if (++pairs > MAX_PAIRS) throw new BodyError(`the form has more than ${MAX_PAIRS} fields`);
  }
  return parseForm(text);
}

/** Pairs of a query or form. The result has no prototype, so no name can mean anything else. */
export function parseForm(text: string): Record<string, string | string[]> {
  const out: Record<string, string | string[]> = Object.create(null);
  if (text === '') return out;
  // URLSearchParams takes one leading "?" away; here it is part of the first name.
  for (const [name, value] of new URLSearchParams(text[0] === '?' ? `?${text}` : text)) add(out, name, value);
  return out;
}

/** One value under a name, an array under one that stands several times. */
export function add<V>(out: Record<string, V | V[]>, name: string, value: V): void {
  const before = out[name];
  if (before === undefined) out[name] = value;
  else if (Array.isArray(before)) before.push(value);
  else out[name] = [before, value];
}

/** Cookies by their names; of several of one name the first, which is of the most exact path (RFC 6265 section 5.4). */
export function parseCookies(header: string | undefined): Record<string, string> {
  const out: Record<string, string> = Object.create(null);
  for (const pair of header?.split(';') ?? []) {
    const at = pair.indexOf('=');
    const name = pair.slice(0, at).trim();
    if (at < 0 || name in out) continue;
    const value = pair.slice(at + 1).trim().replace(/^"(.*)"$/, '$1');
    try {
      out[name] = decodeURIComponent(value);
    } catch {
      out[name] = value;
    }
  }
  return out;
}
