// What belongs to one request and must be found again from anywhere below it.
import { AsyncLocalStorage } from 'node:async_hooks';
import { assets } from './assets.ts';
import { type Caller, Functions } from './calls.ts';
import { Clients } from './clients.ts';
import { requireVariable } from './config.ts';
import { hostCalls } from './hostcalls.ts';
import { Cache } from './state/cache.ts';
import { databasePath } from './state/database.ts';
import { HostCache } from './state/hostcache.ts';
import { HostStorage } from './state/hoststorage.ts';
import { Storage } from './state/storage.ts';
import type { ConversationClient, FunctionCache, FunctionContext, FunctionIdentity, FunctionLog, FunctionStorage, NumbersClient, SmsClient, VoiceClient } from './types.ts';

/** What may be asked of an invocation from anywhere below it. */
export interface Running extends Caller {
  /** Milliseconds since 1970. */
  readonly startedAt: number;
  /** Who called. */
  readonly identity: FunctionIdentity | null;
  /** Ends it with an error, if it is not over. */
  fail(code: string, err: unknown): void;
}

/** The invocation that is running. There is no "latest request": what runs outside of one has none. */
export const current = new AsyncLocalStorage<Running>();

const platformNames = /^(PROJECT_ID|PROJECT_ID_API_KEY|PROJECT_ID_API_SECRET|FUNCTION_ID|NODE_ENV|NODE_COMPILE_CACHE|PATH|HOME|TMPDIR|LANG|TZ|POSTERN_.*)$/;

const variables = (): Record<string, string> =>
  Object.fromEntries(Object.entries(process.env).filter(([k]) => !platformNames.test(k))) as Record<string, string>;

const log: FunctionLog = Object.freeze({
  debug: (...args: unknown[]) => console.debug(...args),
  info: (...args: unknown[]) => console.info(...args),
  warn: (...args: unknown[]) => console.warn(...args),
  error: (...args: unknown[]) => console.error(...args),
});

const config = Object.freeze({
  projectId: process.env['PROJECT_ID'] ?? '',
  functionName: process.env['POSTERN_FUNCTION_NAME'] ?? '',
  environment: process.env['NODE_ENV'] ?? 'production',
  variables: Object.freeze(variables()),
  requireVariable: (key: string) => requireVariable(process.env, key),
});

const clients = new Clients(process.env);
const cache = Object.freeze(new Cache(new HostCache(hostCalls)));
const storage = Object.freeze(new Storage(new HostStorage(hostCalls)));

export class Context implements FunctionContext {
  readonly #invocation: Running;
  #functions: Functions | undefined;

  constructor(invocation: Running) {
    this.#invocation = invocation;
  }

  get config(): FunctionContext['config'] { return config; }
  get env(): NodeJS.ProcessEnv { return process.env; }
  get log(): FunctionLog { return log; }
  get cache(): FunctionCache { return cache; }
  get storage(): FunctionStorage { return storage; }
  get database(): string { return databasePath(); }
  get assets(): FunctionContext['assets'] { return assets; }
  get functions(): Functions { return (this.#functions ??= new Functions(this.#invocation)); }
  get voice(): VoiceClient | null { return clients.voice; }
  get conversation(): ConversationClient | null { return clients.conversation; }
  get sms(): SmsClient | null { return clients.sms; }
  get numbers(): NumbersClient | null { return clients.numbers; }
  get identity(): FunctionIdentity | null { return this.#invocation.identity; }
  get requestId(): string { return this.#invocation.id; }
  get timestamp(): string { return new Date(this.#invocation.startedAt).toISOString(); }
}
