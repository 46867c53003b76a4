// setup(runtime): what a module does once, before its handlers are declared and when its worker ends.
import { Context, type Running } from './context.ts';
import { describe, LoadError, summary } from './errors.ts';
import type { Endpoint } from './socket.ts';
import type { FunctionContext, FunctionHandler, FunctionRuntime, SocketHandler, SocketOptions } from './types.ts';

const MAX_SOCKETS = 100;
const MAX_PATH = 256;
/** What is one segment of a path in every reading: nothing to decode, no dot segment. */
const socketPath = /^(\/|(\/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+)$/;
const token = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

type Hook = (context: FunctionContext) => unknown;

/** What happens outside of a request. */
const outside = (): Running => ({ id: '', hops: 0, startedAt: Date.now(), identity: null, header: () => undefined, whenOver: () => () => {}, fail: () => {} });

export class Lifecycle {
  readonly sockets = new Map<string, Endpoint>();
  /** What setup returned, if it is a function: the SMS guide's form. */
  returned: FunctionHandler | undefined;
  readonly #startup: Hook[] = [];
  readonly #shutdown: Hook[] = [];
  #through = false;

  /** Calls the module's setup, if it has one. */
  async setup(namespace: unknown): Promise<void> {
    const ns = namespace as Record<string, unknown>;
    const main = ns['default'];
    if (typeof main === 'object' && main !== null && Object.hasOwn(main, 'setup')) {
      throw new LoadError('setup_failed', 'setup stands inside the default export; write it beside: export function setup(runtime) { … }');
    }
    if (!Object.hasOwn(ns, 'setup')) return;
    const setup = ns['setup'];
    if (typeof setup !== 'function') throw new LoadError('setup_failed', 'the setup export is no function');
    const result: unknown = await failing('setup', () => (setup as (runtime: FunctionRuntime) => unknown)(new Runtime(this)));
    this.#through = true;
    if (typeof result === 'function') this.returned = result as FunctionHandler;
  }

  /** Runs the startup hooks, one after the other. */
  async start(): Promise<void> {
    for (const hook of this.#startup) await failing('a startup hook', () => hook(new Context(outside())));
  }

  /** Runs the shutdown hooks, the last first. One that fails is logged, and keeps none from running. */
  async shutdown(log: (text: string) => void): Promise<void> {
    for (const hook of this.#shutdown.splice(0).reverse()) {
      try {
        await hook(new Context(outside()));
      } catch (err) {
        log(`a shutdown hook failed: ${describe(err)}`);
      }
    }
  }

  get hasShutdown(): boolean { return this.#shutdown.length > 0; }

  addHook(when: 'onStartup' | 'onShutdown', hook: unknown): void {
    this.#open(when);
    if (typeof hook !== 'function') throw new TypeError(`runtime.${when} takes a function`);
    (when === 'onStartup' ? this.#startup : this.#shutdown).push(hook as Hook);
  }

  addSocket(path: unknown, handler: unknown, options: SocketOptions): void {
    this.#open('onWebSocket');
    if (typeof path !== 'string' || path.length > MAX_PATH || !socketPath.test(path)) {
      throw new TypeError(`runtime.onWebSocket: ${JSON.stringify(path)} is no path: it begins with a slash and has none at its end, and its segments consist of letters, digits, "-", "_", "~" and ".", which is not their first`);
    }
    if (typeof handler !== 'function') throw new TypeError(`runtime.onWebSocket('${path}') takes a function (ws, req)`);
    if (this.sockets.has(path)) throw new Error(`runtime.onWebSocket('${path}') was called twice`);
    if (this.sockets.size >= MAX_SOCKETS) throw new Error(`there are more than ${MAX_SOCKETS} WebSockets`);
    const { protocols } = options;
    if (protocols !== undefined && !(Array.isArray(protocols) && protocols.every((p) => typeof p === 'string' && token.test(p)))) {
      throw new TypeError(`runtime.onWebSocket('${path}'): protocols is a list of names`);
    }
    this.sockets.set(path, { handler: handler as SocketHandler, options: { ...(protocols !== undefined && { protocols: [...protocols] }) } });
  }

  #open(what: string): void {
    if (this.#through) throw new Error(`runtime.${what} was called after setup had returned: what a function has is decided before it is served`);
  }
}

/** What setup is given: the hooks, beside what a context has outside of a request. */
class Runtime extends Context implements FunctionRuntime {
  readonly #life: Lifecycle;

  constructor(life: Lifecycle) {
    super(outside());
    this.#life = life;
  }

  onStartup(hook: Hook): void { this.#life.addHook('onStartup', hook); }
  onShutdown(hook: Hook): void { this.#life.addHook('onShutdown', hook); }
  onWebSocket(path: string, handler: SocketHandler, options: SocketOptions = {}): void { this.#life.addSocket(path, handler, options); }
}

/** Runs f, and says what it was that threw. */
async function failing(what: string, f: () => unknown): Promise<unknown> {
  try {
    return await f();
  } catch (err) {
    const { message, stack } = summary(err);
    throw new LoadError('setup_failed', `${what} threw: ${message}`, `${what} threw: ${stack}`);
  }
}
