// The builders of SVAML: one implementation, of which each event takes its part.
import * as actions from './actions.ts';
import { address, locale, oneOf, refuse, text, tones } from './check.ts';
import { type Menu, type MenuBuilder, type MenuOptions, runnable } from './menu.ts';
import type * as T from './svaml.ts';

/** Of all the cookies that one answer sets. */
const MAX_COOKIES = 1024;

const everywhere = ['say', 'play', 'playFiles', 'setCookie', 'sendDtmf', 'startRecording', 'stopRecording', 'hangup', 'continue', 'runMenu', 'connectConf'] as const;
const connects = ['connectPstn', 'connectSip', 'connectMxp', 'connectAgent', 'park'] as const;

const takes: Readonly<Record<'ICE' | 'ACE' | 'PIE', ReadonlySet<string>>> = {
  ICE: new Set([...everywhere, ...connects, 'answer', 'connectStream']),
  PIE: new Set([...everywhere, ...connects]),
  ACE: new Set(everywhere),
};

class Builder implements T.IceSvamlBuilder {
  readonly #event: keyof typeof takes;
  readonly #instructions: T.SvamlInstruction[] = [];
  #action: T.SvamlAction | undefined;
  #cookies = 0;

  constructor(event: keyof typeof takes) {
    this.#event = event;
  }

  say(words: string, tag = 'en-US'): this { return this.#do('say', () => ({ name: 'say', text: text('say: the text', words, 600), locale: locale('say: the locale', tag) })); }
  play(url: string): this { return this.#do('play', () => ({ name: 'playFiles', ids: [`#href[${address('play: the address', url, ['https:', 'http:'])}]`] })); }

  playFiles(ids: readonly string[], tag?: string): this {
    return this.#do('playFiles', () => {
      if (!Array.isArray(ids) || ids.length === 0) refuse('playFiles needs an array of one file or more');
      const checked = ids.map((id, i) => text(`playFiles: file ${i}`, id, 2048));
      if (tag === undefined && checked.some((id) => /^#(tts|ssml)\[/.test(id))) refuse('playFiles needs a locale for #tts[…] and #ssml[…]');
      return { name: 'playFiles', ids: checked, ...(tag !== undefined && { locale: locale('playFiles: the locale', tag) }) };
    });
  }

  setCookie(key: string, value: string): this {
    return this.#do('setCookie', () => {
      const size = this.#cookies + Buffer.byteLength(text('setCookie: the key', key, MAX_COOKIES)) + Buffer.byteLength(text('setCookie: the value', value, MAX_COOKIES, 0));
      if (size > MAX_COOKIES) refuse(`setCookie: the cookies of this answer have ${size} bytes; at most ${MAX_COOKIES} are allowed`);
      this.#cookies = size;
      return { name: 'setCookie', key, value };
    });
  }

  answer(): this { return this.#do('answer', () => ({ name: 'answer' })); }
  sendDtmf(value: string): this { return this.#do('sendDtmf', () => ({ name: 'sendDtmf', value: tones('sendDtmf: the tones', value) })); }
  startRecording(opts?: T.RecordingOptions): this { return this.#do('startRecording', () => ({ name: 'startRecording', ...(opts !== undefined && { options: actions.recording(opts) }) })); }
  stopRecording(): this { return this.#do('stopRecording', () => ({ name: 'stopRecording' })); }

  hangup(): this { return this.#end('hangup', () => ({ name: 'hangup' })); }
  continue(): this { return this.#end('continue', () => ({ name: 'continue' })); }
  connectPstn(number?: string, opts?: T.ConnectPstnOptions): this { return this.#end('connectPstn', () => actions.connectPstn(number, opts)); }
  connectSip(endpoint: string | { endpoint: string }, opts?: T.ConnectSipOptions): this { return this.#end('connectSip', () => actions.connectSip(endpoint, opts)); }
  connectMxp(username: string | { endpoint: string }, opts?: { callHeaders?: T.CallHeader[] }): this { return this.#end('connectMxp', () => actions.connectMxp(username, opts)); }
  connectConf(id: string, opts?: { conferenceDtmfOptions?: T.ConferenceDtmfOptions; moh?: T.MusicOnHold }): this { return this.#end('connectConf', () => actions.connectConf(id, opts)); }
  connectStream(url: string, opts?: T.ConnectStreamOptions): this { return this.#end('connectStream', () => actions.connectStream(url, opts)); }
  connectAgent(provider: T.AgentProvider, id: string, opts?: T.ConnectAgentOptions): this { return this.#end('connectAgent', () => actions.connectAgent(provider, id, opts)); }
  runMenu(menu: Menu | MenuBuilder, opts?: MenuOptions): this { return this.#end('runMenu', () => ({ name: 'runMenu', ...runnable(menu, opts) })); }
  park(opts?: T.ParkOptions): this { return this.#end('park', () => actions.park(opts)); }

  build(): T.Svaml {
    return structuredClone({ ...(this.#instructions.length > 0 && { instructions: this.#instructions }), ...(this.#action !== undefined && { action: this.#action }) });
  }

  toJSON(): T.Svaml { return this.build(); }

  #do(what: string, make: () => T.SvamlInstruction): this {
    this.#allowed(what);
    this.#instructions.push(make());
    return this;
  }

  #end(what: string, make: () => T.SvamlAction): this {
    this.#allowed(what);
    this.#action = make();
    return this;
  }

  #allowed(what: string): void {
    if (!takes[this.#event].has(what)) refuse(`an answer to ${this.#event} does not take ${what}; it takes ${[...takes[this.#event]].join(', ')}`);
  }
}

export type IceSvamlBuilder = T.IceSvamlBuilder;
export const IceSvamlBuilder: new () => T.IceSvamlBuilder = class IceSvamlBuilder extends Builder { constructor() { super('ICE'); } };
export type AceSvamlBuilder = T.AceSvamlBuilder;
export const AceSvamlBuilder: new () => T.AceSvamlBuilder = class AceSvamlBuilder extends Builder { constructor() { super('ACE'); } };
export type PieSvamlBuilder = T.PieSvamlBuilder;
export const PieSvamlBuilder: new () => T.PieSvamlBuilder = class PieSvamlBuilder extends Builder { constructor() { super('PIE'); } };

/** A new IceSvamlBuilder, PieSvamlBuilder, AceSvamlBuilder: for those who prefer functions. */
export const createIceBuilder = (): T.IceSvamlBuilder => new IceSvamlBuilder();
export const createAceBuilder = (): T.AceSvamlBuilder => new AceSvamlBuilder();
export const createPieBuilder = (): T.PieSvamlBuilder => new PieSvamlBuilder();
