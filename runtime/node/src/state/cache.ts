// context.cache: what its members take and give, whoever keeps the values.
import type { FunctionCache } from '../types.ts';
import { Glob } from './glob.ts';
import { toJSON } from './json.ts';

/** Keeps texts under keys. Keys have been looked at; of times, `ms` is from now on. */
export interface CacheKeeper {
  /** Those of the keys, in their order; undefined where there is none. */
  get(keys: readonly string[]): Promise<(string | undefined)[]>;
  has(key: string): Promise<boolean>;
  set(key: string, text: string, ms: number): Promise<void>;
  delete(key: string): Promise<boolean>;
  extend(key: string, ms: number): Promise<boolean>;
  increment(key: string, by: number, ms: number): Promise<number>;
  /** All that begin with a prefix, in the order of their bytes as UTF-8. */
  keys(prefix: string): Promise<string[]>;
}

/** As the host has it. */
export const MAX_KEY = 512;
export const MAX_VALUE = 512 << 10;
export const MAX_TTL = 10 * 366 * 24 * 3600;
const TTL = 3600;

export class Cache implements FunctionCache {
  readonly #keeper: CacheKeeper;

  constructor(keeper: CacheKeeper) { this.#keeper = keeper; }

  async set(key: string, value: unknown, ttl: number = TTL): Promise<void> {
    check(key);
    const ms = milliseconds(ttl);
    const text = toJSON(value);
    const size = Buffer.byteLength(text);
    if (size > MAX_VALUE) throw coded(new RangeError(`a value of the cache has at most ${MAX_VALUE} bytes as JSON; this one has ${size}. What is larger belongs into context.storage`), 'cache_value_too_large');
    await this.#keeper.set(key, text, ms);
  }

  async get<T = any>(key: string): Promise<T | null> {
    check(key);
    const [text] = await this.#keeper.get([key]);
    return text === undefined ? null : JSON.parse(text) as T;
  }

  async getMany<T = any>(keys: readonly string[]): Promise<Record<string, T | null> & Iterable<T | null>> {
    if (!Array.isArray(keys)) throw coded(new TypeError('getMany takes an array of keys'), 'cache_key_invalid');
    keys.forEach(check);
    const texts = keys.length === 0 ? [] : await this.#keeper.get(keys);
    const values = texts.map((text) => (text === undefined ? null : JSON.parse(text) as T));
    const found = Object.create(null) as Record<string, T | null>; // without a prototype: a key may be __proto__
    keys.forEach((key, i) => { found[key] = values[i]!; });
    Object.defineProperty(found, Symbol.iterator, { value: () => values.values() });
    return found as Record<string, T | null> & Iterable<T | null>;
  }

  async has(key: string): Promise<boolean> {
    check(key);
    return this.#keeper.has(key);
  }

  async delete(key: string): Promise<boolean> {
    check(key);
    return this.#keeper.delete(key);
  }

  async extend(key: string, seconds: number): Promise<boolean> {
    check(key);
    return this.#keeper.extend(key, milliseconds(seconds));
  }

  async increment(key: string, by: number = 1, ttl: number = TTL): Promise<number> {
    check(key);
    if (!Number.isSafeInteger(by)) throw coded(new TypeError(`increment adds whole numbers, and not ${String(by)}`), 'cache_not_a_number');
    return this.#keeper.increment(key, by, milliseconds(ttl));
  }

  async keys(pattern: string = '*'): Promise<string[]> {
    if (typeof pattern !== 'string') throw coded(new TypeError('a pattern is a string'), 'pattern_invalid');
    const glob = new Glob(pattern);
    if (Buffer.byteLength(glob.prefix) > MAX_KEY) return [];
    const keys = await this.#keeper.keys(glob.prefix);
    return glob.prefixOnly ? keys : keys.filter((key) => glob.matches(key));
  }
}

function check(key: unknown): void {
  if (typeof key !== 'string') throw coded(new TypeError(`a key of the cache is a string, and not ${key === null ? 'null' : typeof key}`), 'cache_key_invalid');
  const bytes = Buffer.byteLength(key);
  if (bytes === 0 || bytes > MAX_KEY) throw coded(new RangeError(`a key of the cache has 1 to ${MAX_KEY} bytes of UTF-8; this one has ${bytes}`), 'cache_key_invalid');
  if (/\p{Surrogate}/u.test(key)) throw coded(new TypeError('a key of the cache is well-formed: half a surrogate pair is no character'), 'cache_key_invalid');
}

/** Never less than a millisecond. */
function milliseconds(seconds: unknown): number {
  if (typeof seconds !== 'number' || !(seconds > 0 && seconds <= MAX_TTL)) {
    throw coded(new RangeError(`a time to live is a number of seconds, more than 0 and at most ${MAX_TTL}, and not ${String(seconds)}`), 'cache_ttl_invalid');
  }
  return Math.ceil(seconds * 1000);
}

/** An error with the code that the host would give it. */
export const coded = <E extends Error>(err: E, code: string): E & { code: string } => Object.assign(err, { code });
