// Which keys a pattern means. A pattern is looked at once; a key then costs as many steps as it has characters, for each 31
// elements of the pattern, whatever either of them is: no pattern takes for ever.

/** A pattern that means nothing, or more than a key can. */
export class PatternError extends TypeError {
  readonly code = 'pattern_invalid';
}

/** How many elements a pattern may have; a key has no more characters. */
const MOST = 512;
const WORD = 31;

interface Element { fits(c: number): boolean }

export class Glob {
  /** Every key that fits begins with it. */
  readonly prefix: string;
  /** What fits is what begins with the prefix, and nothing else need be looked at. */
  readonly prefixOnly: boolean;
  readonly #elements: Element[] = [];
  /** Bit i: before element i anything may stand. */
  readonly #stars: Int32Array;
  readonly #masks = new Map<number, Int32Array>();
  readonly #words: number;

  constructor(pattern: string) {
    const stars = new Set<number>();
    let prefix: string | undefined;
    let literal = '';
    const chars = Array.from(pattern, (c) => c.codePointAt(0)!);
    for (let i = 0; i < chars.length; i++) {
      const c = chars[i]!;
      if (c === 0x2a /* * */) {
        stars.add(this.#elements.length);
        prefix ??= literal;
      } else if (c === 0x3f /* ? */) {
        this.#elements.push({ fits: () => true });
        prefix ??= literal;
      } else if (c === 0x5b /* [ */) {
        i = this.#set(pattern, chars, i);
        prefix ??= literal;
      } else {
        if (c === 0x5c /* \ */ && ++i === chars.length) throw new PatternError(`the pattern ${JSON.stringify(pattern)} ends with a backslash; write two for one`);
        const own = chars[i]!;
        this.#elements.push({ fits: (x) => x === own });
        literal += String.fromCodePoint(own);
      }
      if (this.#elements.length > MOST) throw new PatternError(`a pattern has at most ${MOST} characters`);
    }
    this.prefix = prefix ?? literal;
    this.prefixOnly = stars.size === 1 && stars.has(this.#elements.length) && literal === this.prefix && Array.from(literal).length === this.#elements.length;
    this.#words = Math.ceil((this.#elements.length + 1) / WORD);
    this.#stars = new Int32Array(this.#words);
    for (const at of stars) this.#stars[Math.floor(at / WORD)]! |= 1 << (at % WORD);
  }

  matches(key: string): boolean {
    if (this.prefixOnly) return key.startsWith(this.prefix);
    const words = this.#words;
    const now = new Int32Array(words); // bit i: the first i elements have been found
    now[0] = 1;
    for (const char of key) {
      const mask = this.#mask(char.codePointAt(0)!);
      let carry = 0;
      for (let w = 0; w < words; w++) {
        const found = now[w]! & mask[w]!;
        now[w] = ((found << 1) & 0x7fff_ffff) | carry | (now[w]! & this.#stars[w]!);
        carry = (found >>> (WORD - 1)) & 1;
      }
    }
    const end = this.#elements.length;
    return ((now[Math.floor(end / WORD)]! >>> (end % WORD)) & 1) === 1;
  }

  /** Bit i: element i fits the character. */
  #mask(c: number): Int32Array {
    let mask = this.#masks.get(c);
    if (mask === undefined) {
      mask = new Int32Array(this.#words);
      this.#elements.forEach((e, i) => { if (e.fits(c)) mask![Math.floor(i / WORD)]! |= 1 << (i % WORD); });
      this.#masks.set(c, mask);
    }
    return mask;
  }

  /** Reads [abc], [a-z] and [!a-z] from i on; returns where it ends. */
  #set(pattern: string, chars: readonly number[], i: number): number {
    const ranges: [number, number][] = [];
    const not = chars[i + 1] === 0x21 /* ! */ || chars[i + 1] === 0x5e /* ^ */;
    if (not) i++;
    for (let first = true; ; first = false) {
      let from = chars[++i];
      if (from === 0x5d /* ] */ && !first) break;
      if (from === 0x5c) from = chars[++i];
      let to = from;
      if (chars[i + 1] === 0x2d /* - */ && chars[i + 2] !== 0x5d && i + 2 < chars.length) {
        i += 2;
        to = chars[i] === 0x5c ? chars[++i] : chars[i];
      }
      if (from === undefined || to === undefined) throw new PatternError(`the pattern ${JSON.stringify(pattern)} has a [ without a ]; write \\[ for the character`);
      if (from > to) throw new PatternError(`the pattern ${JSON.stringify(pattern)} has a range that ends before it begins`);
      ranges.push([from, to]);
    }
    this.#elements.push({ fits: (c) => ranges.some(([from, to]) => c >= from && c <= to) !== not });
    return i;
  }
}
