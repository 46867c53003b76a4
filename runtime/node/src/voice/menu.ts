// Menus of Voice 1: prompts, and what is done with what the caller presses. Limits and defaults are those that the source documents for its
// builder; the platform's own are wider.
import { flag, locale, members, name, options, prompt, refuse, text, whole } from './check.ts';

/** What runMenu needs: one menu is called main, and begins. */
export interface Menu {
  /** Whether a key stops the prompt; the platform's default is true. */
  barge?: boolean;
  locale?: string;
  mainMenu: string;
  /** Whether the caller may say it; needs a locale. */
  enableVoice?: boolean;
  menus: MenuItem[];
}

export interface MenuItem {
  id: string;
  mainPrompt: string;
  repeatPrompt?: string;
  repeats: number;
  maxDigits: number;
  timeoutMills: number;
  options?: { dtmf: string; action: string }[];
}

export interface MenuOptions {
  barge?: boolean | undefined;
  locale?: string | undefined;
  enableVoice?: boolean | undefined;
}

/** return(value): pie has the value. menu(id): another menu of the same builder. */
export type MenuAction = `return(${string})` | `menu(${string})`;

const MAIN = 'main';

interface Draft {
  id: string;
  mainPrompt?: string;
  repeatPrompt?: string;
  repeats: number;
  maxDigits: number;
  timeoutMills: number;
  options: Map<string, string>;
}

const draft = (id: string): Draft => ({ id, repeats: 2, maxDigits: 1, timeoutMills: 8000, options: new Map() });

/**
 * Builds the menu that runMenu takes. It begins with the menu called main; menu(id) begins another one, or goes on with it, and what
 * follows is said of that one. Whatever breaks a rule throws where it is called; what only the whole can tell throws in build.
 */
export class MenuBuilder {
  readonly #menus = new Map<string, Draft>([[MAIN, draft(MAIN)]]);
  #at = this.#menus.get(MAIN)!;
  #options: MenuOptions = {};

  /** What the caller hears: text of at most 4000 characters, or #tts[…], #ssml[…] and #href[…], joined with ";". */
  prompt(text: string): this {
    this.#at.mainPrompt = prompt('prompt', text);
    return this;
  }

  /** What the caller hears again after a wrong key or none; the prompt if it is left out. */
  repeatPrompt(text: string): this {
    this.#at.repeatPrompt = prompt('repeatPrompt', text);
    return this;
  }

  /** What a key does: 0-9, * or #, each once a menu. */
  option(digit: string, action: MenuAction): this {
    if (typeof digit !== 'string' || !/^[0-9*#]$/.test(digit)) refuse('option: the digit must be one of 0-9, * and #');
    if (this.#at.options.has(digit)) refuse(`option: ${digit} is taken in the menu ${this.#at.id}`);
    const [, verb, value] = /^(return|menu)\(([^()\u0000-\u001f]+)\)$/.exec(text('option: the action', action, 256)) ?? refuse('option: the action must be return(value) or menu(id)');
    if (verb === 'menu') name('option: the menu', value);
    this.#at.options.set(digit, action);
    return this;
  }

  /** Milliseconds to wait for a key: 1000 to 30000; 8000 if it is left out. */
  timeout(ms: number): this {
    this.#at.timeoutMills = whole('timeout', ms, 1000, 30000);
    return this;
  }

  /** How often it asks again: 0 to 5; 2 if it is left out. */
  repeats(n: number): this {
    this.#at.repeats = whole('repeats', n, 0, 5);
    return this;
  }

  /** How many keys make one input: 1 to 20; 1 if it is left out. */
  maxDigits(n: number): this {
    this.#at.maxDigits = whole('maxDigits', n, 1, 20);
    return this;
  }

  /** Begins another menu, which an option reaches with menu(id). */
  menu(id: string): this {
    const key = name('menu: the ID', id);
    this.#at = this.#menus.get(key) ?? draft(key);
    this.#menus.set(key, this.#at);
    return this;
  }

  /** Whether a key stops the prompt. */
  barge(allowed: boolean): this {
    this.#options = { ...this.#options, barge: flag('barge', allowed) };
    return this;
  }

  /** Of the prompts; enableVoice needs one. */
  locale(tag: string): this {
    this.#options = { ...this.#options, locale: locale('locale', tag) };
    return this;
  }

  /** Whether the caller may say it. */
  enableVoice(allowed = true): this {
    this.#options = { ...this.#options, enableVoice: flag('enableVoice', allowed) };
    return this;
  }

  /** The menu, as a new object: the builder may go on, and be built again. */
  build(): Menu {
    for (const m of this.#menus.values()) {
      for (const [digit, action] of m.options) {
        const to = /^menu\((.+)\)$/.exec(action)?.[1];
        if (to !== undefined && !this.#menus.has(to)) refuse(`the menu ${m.id} leads with ${digit} to a menu that is not there: ${to}`);
      }
    }
    return withOptions({ mainMenu: MAIN, menus: [...this.#menus.values()].map(finish) }, this.#options);
  }

  toJSON(): Menu { return this.build(); }
}

function finish(m: Draft): MenuItem {
  const mainPrompt = m.mainPrompt ?? refuse(`the menu ${m.id} has no prompt`);
  return {
    id: m.id, mainPrompt, ...(m.repeats > 0 && { repeatPrompt: m.repeatPrompt ?? mainPrompt }), repeats: m.repeats, maxDigits: m.maxDigits, timeoutMills: m.timeoutMills,
    ...(m.options.size > 0 && { options: [...m.options].map(([dtmf, action]) => ({ dtmf, action })) }),
  };
}

function withOptions(menu: Menu, more: MenuOptions): Menu {
  const { barge, locale, enableVoice } = { ...pick(menu), ...pick(more) };
  if (enableVoice === true && locale === undefined) refuse('enableVoice needs a locale');
  return {
    ...(barge !== undefined && { barge }), ...(locale !== undefined && { locale }), mainMenu: menu.mainMenu,
    ...(enableVoice !== undefined && { enableVoice }), menus: menu.menus,
  };
}

const pick = (o: MenuOptions): MenuOptions => Object.fromEntries(Object.entries({ barge: o.barge, locale: o.locale, enableVoice: o.enableVoice }).filter(([, v]) => v !== undefined));

/** A menu as runMenu sends it: of a builder, of build(), or written by hand. */
export function runnable(menu: unknown, opts: unknown): Menu {
  const given = members('runMenu', options('runMenu', opts, ['barge', 'locale', 'enableVoice']), { barge: flag, locale, enableVoice: flag }) as MenuOptions;
  const built = menu instanceof MenuBuilder ? menu.build() : (menu as Menu | null);
  if (typeof built !== 'object' || built === null || !Array.isArray(built.menus)) refuse('runMenu: the menu must be one of createMenu() or MenuTemplates');
  if (!built.menus.some((m) => m?.id === MAIN)) refuse('runMenu: one menu must have the ID main');
  return structuredClone(withOptions({ ...built, mainMenu: built.mainMenu ?? MAIN }, given));
}

/** A new MenuBuilder. */
export const createMenu = (): MenuBuilder => new MenuBuilder();
