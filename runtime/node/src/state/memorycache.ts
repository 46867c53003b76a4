// The cache in this process's memory: for unit tests, without a host.
import { type CacheKeeper, coded } from './cache.ts';

export class MemoryCache implements CacheKeeper {
  readonly #entries = new Map<string, { text: string; end: number }>();
  readonly #now: () => number;

  /** `now` is a clock in milliseconds; without one it is the system's. */
  constructor(now: () => number = Date.now) { this.#now = now; }

  async get(keys: readonly string[]): Promise<(string | undefined)[]> { return keys.map((key) => this.#live(key)?.text); }

  async has(key: string): Promise<boolean> { return this.#live(key) !== undefined; }

  async set(key: string, text: string, ms: number): Promise<void> { this.#entries.set(key, { text, end: this.#now() + ms }); }

  async delete(key: string): Promise<boolean> { return this.#live(key) !== undefined && this.#entries.delete(key); }

  async extend(key: string, ms: number): Promise<boolean> {
    const entry = this.#live(key);
    if (entry !== undefined) entry.end = this.#now() + ms;
    return entry !== undefined;
  }

  async increment(key: string, by: number, ms: number): Promise<number> {
    const entry = this.#live(key) ?? { text: '0', end: this.#now() + ms };
    if (!/^-?\d+$/.test(entry.text)) throw coded(new Error('the value is no whole number, or the sum would be too large to be exact'), 'cache_not_a_number');
    const sum = Number(entry.text) + by;
    if (!Number.isSafeInteger(sum)) throw coded(new Error('the sum would be too large to be exact'), 'cache_not_a_number');
    entry.text = String(sum);
    this.#entries.set(key, entry);
    return sum;
  }

  async keys(prefix: string): Promise<string[]> {
    return sorted([...this.#entries.keys()].filter((key) => key.startsWith(prefix) && this.#live(key) !== undefined));
  }

  #live(key: string): { text: string; end: number } | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined || entry.end > this.#now()) return entry;
    this.#entries.delete(key);
    return undefined;
  }
}

/** In the order of their bytes as UTF-8, which is not that of JavaScript's strings. */
export function sorted(names: readonly string[]): string[] {
  return names.map((name) => Buffer.from(name)).sort(Buffer.compare).map(String);
}
