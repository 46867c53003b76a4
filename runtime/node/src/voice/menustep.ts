// One menu of Voice 2, or several of one command.
import { flag, name, refuse, text, whole } from './check.ts';
import type { Command, MenuStep, Message, Prompt } from './commands.ts';
import { type CommandBuilder, emit, type Flow, flow } from './flow.ts';
import { playMessage, sayMessage } from './messages.ts';
import type { Session } from './session.ts';

/** What a menu says: at most ten messages. */
export class PromptBuilder {
  readonly #messages: Message[] = [];
  #bargeIn: boolean | undefined;

  say(words: string, opts: { voice?: string; format?: 'TEXT' | 'SSML' } | string = {}): this {
    const { voice, format } = typeof opts === 'string' ? { voice: opts, format: undefined } : opts;
    return this.#add(sayMessage('prompt', words, voice, format));
  }

  play(url: string): this { return this.#add(playMessage('prompt', url)); }

  /** Whether a key stops the prompt; the platform's default is true. */
  bargeIn(allowed = true): this {
    this.#bargeIn = flag('bargeIn', allowed);
    return this;
  }

  build(): Prompt {
    if (this.#messages.length === 0) refuse('the prompt says nothing');
    return { messages: [...this.#messages], ...(this.#bargeIn !== undefined && { allowBargeIn: this.#bargeIn }) };
  }

  #add(m: Message): this {
    if (this.#messages.length === 10) refuse('a prompt has at most 10 messages');
    this.#messages.push(m);
    return this;
  }
}

type Said = string | ((prompt: PromptBuilder) => unknown);

function prompt(said: Said): Prompt {
  const p = new PromptBuilder();
  if (typeof said === 'function') said(p);
  else p.say(said);
  return p.build();
}

/** Describes a menu. Further menus of the same command, for gotoMenu, are described with menu. */
export class MenuItemBuilder {
  readonly #name: string;
  /** All of the command, by name; shared by its menus. */
  readonly #all: Map<string, MenuItemBuilder>;
  readonly #step: MenuStep = {};
  readonly #options = new Map<string, CommandBuilder>();
  readonly #matches = new Map<string, CommandBuilder>();
  #fail: CommandBuilder | undefined;

  constructor(called: string, all: Map<string, MenuItemBuilder> = new Map()) {
    this.#name = called;
    this.#all = all;
    all.set(called, this);
  }

  /** What the caller hears: text, or what a function says, plays and lets be interrupted. */
  prompt(said: Said): this { return this.#set({ prompt: prompt(said) }); }
  /** What the caller hears again; the prompt if it is left out. */
  repeatPrompt(said: Said): this { return this.#set({ repeatPrompt: prompt(said) }); }
  /** How many keys make one input: 1 to 100; the platform's default is 1. */
  maxLength(n: number): this { return this.#set({ maximumInputLength: whole('maxLength', n, 1, 100) }); }
  /** How many keys it takes at least: 1 to 100. */
  minLength(n: number): this { return this.#set({ minimumInputLength: whole('minLength', n, 1, 100) }); }
  /** Seconds to wait for a key: 1 to 60; the platform's default is 5. */
  timeout(seconds: number): this { return this.#set({ inputTimeoutDurationSeconds: whole('timeout', seconds, 1, 60) }); }
  /** How often it asks again: 0 to 10; the platform's default is 2. */
  repeats(n: number): this { return this.#set({ repeatCount: whole('repeats', n, 0, 10) }); }

  /** What ends the input at once, such as "#": at most 10 keys. It is a part of the input. */
  terminator(keys: string): this {
    if (!/^[0-9*#]{1,10}$/.test(keys)) refuse('terminator: one to ten of 0-9, * and #');
    return this.#set({ terminatingSequence: keys });
  }

  /** What those very keys do: 0-9, * and #. Options are tried before matches. */
  option(keys: string, then: Flow): this {
    if (typeof keys !== 'string' || !/^[0-9*#]{1,100}$/.test(keys)) refuse('option: the keys must be of 0-9, * and #; match takes a pattern');
    return this.#lead(this.#options, keys.replaceAll('*', '\\*'), flow('option', then));
  }

  /** What keys do that match a regular expression, in the order of the calls. */
  match(pattern: string | RegExp, then: Flow): this {
    if (pattern instanceof RegExp && pattern.flags !== '') refuse('match: the pattern cannot have flags');
    const source = text('match: the pattern', pattern instanceof RegExp ? pattern.source : pattern, 256);
    try {
      new RegExp(source);
    } catch {
      refuse('match: the pattern is no regular expression');
    }
    return this.#lead(this.#matches, source, flow('match', then));
  }

  /** What is done when nothing matched, and it asked often enough. */
  onFail(then: Flow): this {
    if (this.#fail !== undefined) refuse('onFail stands twice');
    this.#fail = flow('onFail', then);
    return this;
  }

  /** Another menu of this command. */
  menu(called: string, describe: (menu: MenuItemBuilder) => unknown): this {
    const key = name('menu: the name', called, 16);
    if (this.#all.has(key)) refuse(`the menu ${key} is there already`);
    describe(new MenuItemBuilder(key, this.#all));
    return this;
  }

  /** The command; of the menu that the builder began with. */
  make(s: Session): Command {
    const names = new Set(this.#all.keys());
    const menus: Record<string, MenuStep> = Object.create(null);
    s.within(names, () => { for (const [key, m] of this.#all) menus[key] = m.#finish(s); });
    return { command: 'menu', startMenu: this.#name, menus: { ...menus } };
  }

  #finish(s: Session): MenuStep {
    const matches: Record<string, Command[]> = Object.create(null);
    for (const [keys, b] of [...this.#options, ...this.#matches]) matches[keys] = emit(b, s);
    return { ...this.#step, ...(Object.keys(matches).length > 0 && { matches: { ...matches } }), ...(this.#fail !== undefined && { onFail: emit(this.#fail, s) }) };
  }

  #set(more: MenuStep): this {
    Object.assign(this.#step, more);
    return this;
  }

  #lead(into: Map<string, CommandBuilder>, key: string, to: CommandBuilder): this {
    if (this.#options.has(key) || this.#matches.has(key)) refuse('the same keys stand twice in a menu');
    if (this.#options.size + this.#matches.size === 50) refuse('a menu leads to at most 50');
    into.set(key, to);
    return this;
  }
}
