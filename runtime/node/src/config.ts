// What a function is configured with: variables and secrets alike are in its environment. No value ever gets into a message.
import type { ApplicationCredentials, Config, FunctionContext } from './types.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

/** A variable or secret is missing, or cannot be what it is. */
export class ConfigError extends Error {
  readonly code = 'config_invalid';
  /** The name of the variable. */
  readonly key: string;
  constructor(key: string, message: string) {
    super(message);
    this.name = 'ConfigError';
    this.key = key;
  }
}

/** A variable as it stands. What an environment inherits from Object.prototype is none. */
export function read(env: Environment, key: string): string | undefined {
  const value: unknown = env[key];
  return typeof value === 'string' ? value : undefined;
}

export function requireVariable(env: Environment, key: string): string {
  return required('variable', env, key);
}

function required(what: 'secret' | 'variable', env: Environment, key: string): string {
  const value = read(env, key);
  if (value) return value;
  const how = what === 'secret' ? `postern secrets add ${key}` : `add "${key}" to "variables" in postern.json`;
  throw new ConfigError(key, `the ${what} ${key} is ${value === '' ? 'empty' : 'not set'}: ${how}, and deploy again`);
}

/** Reads the function's configuration, of the context of a request or of a start. */
export function createConfig(context: Pick<FunctionContext, 'env' | 'config'>): Config {
  const { env } = context;
  const { environment } = context.config;
  return Object.freeze({
    requireSecret: (key: string) => required('secret', env, key),
    getVariable: ((key: string, otherwise?: string) => read(env, key) ?? otherwise) as Config['getVariable'],
    requireVariable: (key: string) => requireVariable(env, key),
    getApplicationCredentials: () => applicationCredentials(env),
    isDevelopment: () => environment === 'development',
    isProduction: () => environment === 'production',
  });
}

/** The same as createConfig. */
export const createUniversalConfig = createConfig;

/** The key and secret of the voice application; null unless there are both. */
export function applicationCredentials(env: Environment): ApplicationCredentials | null {
  const applicationKey = read(env, 'VOICE_APPLICATION_KEY');
  const applicationSecret = read(env, 'VOICE_APPLICATION_SECRET');
  return applicationKey && applicationSecret ? { applicationKey, applicationSecret } : null;
}
