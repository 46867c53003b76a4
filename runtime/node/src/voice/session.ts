// What commands of one answer must know of each other: the names that are taken, the legs that were dialled, the menus around them.
import { refuse } from './check.ts';
import type { Call, Command, Endpoint } from './commands.ts';

/** The name of the leg that called, which an answer to call.incoming gives it. */
export const CALLER = 'caller';

const MAX_DEPTH = 16;

export class Session {
  readonly #taken = new Map<string, Set<string>>();
  /** The legs that must end when the caller goes. */
  readonly legs: string[] = [];
  /** The leg that is answered; undefined where its name cannot be known. */
  readonly caller: string | undefined;
  /** The number of ours that is in this call: the one that was called, or that calls. */
  readonly own: Endpoint | undefined;
  readonly #menus: ReadonlySet<string>[] = [];
  #depth = 0;

  constructor(call: Call | undefined, caller: string) {
    const outbound = call?.direction === 'OUTBOUND';
    const named = call?.['callName'];
    this.caller = outbound ? (typeof named === 'string' && named !== '' ? named : undefined) : caller;
    const own = outbound ? call.from : call?.to;
    this.own = own?.type === 'PHONE' || own?.type === 'SIP' ? own : undefined;
  }

  /** Takes a name, which nothing else of its kind may have in a session. */
  take(kind: string, name: string): string {
    const taken = this.#of(kind);
    if (taken.has(name)) refuse(`the ${kind} ${name} is taken; names are unique in a session`);
    taken.add(name);
    return name;
  }

  /** A name that nobody chose: the word, or the word with -2, -3 and so on. */
  unnamed(kind: string, word: string): string {
    const taken = this.#of(kind);
    let name = word;
    for (let n = 2; taken.has(name); n++) name = `${word}-${n}`;
    return this.take(kind, name);
  }

  #of(kind: string): Set<string> {
    const taken = this.#taken.get(kind) ?? new Set();
    this.#taken.set(kind, taken);
    return taken;
  }

  /** Runs what stands inside of a menu command, where gotoMenu finds its menus. */
  within<T>(menus: ReadonlySet<string>, run: () => T): T {
    this.#menus.push(menus);
    try {
      return run();
    } finally {
      this.#menus.pop();
    }
  }

  knows(menu: string): boolean { return this.#menus.at(-1)?.has(menu) ?? false; }

  /** Runs what is nested. A flow that holds itself would not end. */
  deeper(run: () => Command[]): Command[] {
    if (++this.#depth > MAX_DEPTH) refuse(`flows are nested deeper than ${MAX_DEPTH}`);
    try {
      return run();
    } finally {
      this.#depth--;
    }
  }
}
