// Finds the handlers of a module and reads its auth export. What it reports is taken down when the function is deployed and
// compared at every later start, so it must depend on the module alone.
import { LoadError } from './errors.ts';
import type { EventFormat } from './event.ts';
import { Lifecycle } from './lifecycle.ts';
import type { Endpoint } from './socket.ts';
import type { FunctionHandler } from './types.ts';
import { asHandler, callbacks } from './voice/callback.ts';

export { LoadError };

export interface Module {
  readonly handlers: Map<string, FunctionHandler>;
  readonly sockets: ReadonlyMap<string, Endpoint>;
  readonly declared: { name: string; kind: string }[];
  readonly auth: null | '*' | string[];
  readonly style: Style;
  /** The shape of the events that handlers take; undefined: they take a context and a request. */
  readonly events: EventFormat | undefined;
}

/** The handler that a function becomes which setup returns. */
const RETURNED = 'conversationWebhook';

export type Style = 'event' | 'context';

/** Names that mean something else to the runtime or to JavaScript. */
const reserved = new Set(['auth', 'setup', 'default', 'constructor', 'prototype', '__proto__', 'toString', 'valueOf',
  'hasOwnProperty', 'isPrototypeOf', 'propertyIsEnumerable', 'toLocaleString', 'then']);

const identifier = /^[A-Za-z_$][A-Za-z0-9_$]{0,63}$/;

/** Reads a module. What the manifest says of style and format comes from the host; without it a lone export `handler` takes events. */
export function inspect(namespace: unknown, said: { style?: string | undefined; format?: string | undefined } = {}, life = new Lifecycle()): Module {
  const ns = namespace as Record<string, unknown>;
  const handlers = new Map<string, FunctionHandler>();
  collect(handlers, ns, 'the module');
  const main = read(ns, 'default', 'the module');
  if (typeof main === 'function') {
    if (!isClass(main)) handlers.set('default', main as FunctionHandler);
  } else if (typeof main === 'object' && main !== null && !Array.isArray(main)) {
    if (Object.hasOwn(main, 'auth')) {
      throw new LoadError('auth_malformed', 'auth stands inside the default export; write it beside: export const auth = […]');
    }
    collect(handlers, main as Record<string, unknown>, 'the default export', main);
  }
  if (life.returned !== undefined && !handlers.has(RETURNED)) handlers.set(RETURNED, life.returned);
  const auth = readAuth(ns);
  if (handlers.size === 0 && life.sockets.size === 0) throw new LoadError('no_handlers', 'the module exports no function that can be a handler');
  const names = [...handlers.keys()].sort((a, b) => (a < b ? -1 : 1));
  const style: Style = said.style === 'event' || said.style !== 'context' && handlers.size === 1 && handlers.has('handler') ? 'event' : 'context';
  const events = style === 'context' ? undefined : said.format === 'v2' ? 'v2' : 'simple';
  if (events === undefined) for (const name of callbacks) if (handlers.has(name)) handlers.set(name, asHandler(handlers.get(name)!));
  return { handlers, sockets: life.sockets, auth, style, events, declared: names.map((name) => ({ name, kind: kindOf(name) })) };
}

/** Own, enumerable, plain functions with a routable name; nothing that is inherited. With an owner they are its methods. */
function collect(into: Map<string, FunctionHandler>, from: Record<string, unknown>, where: string, owner?: object): void {
  for (const name of Object.keys(from)) {
    if (reserved.has(name) || name.startsWith('__') || !identifier.test(name)) continue;
    const value = read(from, name, where);
    if (typeof value !== 'function' || isClass(value)) continue;
    const before = into.get(name);
    if (before !== undefined && before !== value) {
      throw new LoadError('module_failed', `the handler ${name} is exported twice: by name and in the default export`);
    }
    into.set(name, before ?? ((owner === undefined ? value : value.bind(owner)) as FunctionHandler));
  }
}

function read(from: Record<string, unknown>, name: string, where: string): unknown {
  try {
    return from[name];
  } catch (err) {
    throw new LoadError('module_failed', `reading ${name} of ${where} throws: ${String(err)}`);
  }
}

const isClass = (f: Function): boolean => /^class[\s{]/.test(Function.prototype.toString.call(f));

function kindOf(name: string): string {
  if (callbacks.has(name)) return 'callback';
  if (name === 'home' || name === 'default') return 'root';
  return name.length > 'Webhook'.length && name.endsWith('Webhook') ? 'service' : 'custom';
}

function readAuth(ns: Record<string, unknown>): Module['auth'] {
  if (!Object.hasOwn(ns, 'auth')) return null;
  const auth = read(ns, 'auth', 'the module');
  if (auth === '*') return '*';
  if (Array.isArray(auth) && auth.every((n) => typeof n === 'string')) return [...auth] as string[];
  throw new LoadError('auth_malformed', "the auth export must be '*' or an array of handler names");
}
