// The clients of the official SDK, unlocked by variables: made when they are first asked for, and once for each worker.
import { applicationCredentials, ConfigError, type Environment, read } from './config.ts';
import { load } from './sdk.ts';
import type { ConversationClient, NumbersClient, SmsClient, VoiceClient } from './types.ts';

const PACKAGE = '@sinch/sdk-core';

type Name = 'voice' | 'conversation' | 'sms' | 'numbers';
type Options = Record<string, string | undefined>;
type Service = new (options: Options) => unknown;

/** The class of each in the package. */
const classes = { voice: 'VoiceService', conversation: 'ConversationService', sms: 'SmsService', numbers: 'NumbersService' } as const;

export class Clients {
  readonly #env: Environment;
  readonly #made = new Map<Name, unknown>();

  constructor(env: Environment) {
    this.#env = env;
  }

  get voice(): VoiceClient | null {
    return this.#one('voice', () => {
      const application = applicationCredentials(this.#env);
      return application && {
        ...application, voiceRegion: this.#region('VOICE_REGION', ['use1', 'euc1', 'sae1', 'apse1', 'apse2'], ''),
        voiceHostname: this.#host('SINCH_VOICE_HOSTNAME'), voiceApplicationManagementHostname: this.#host('SINCH_VOICE_APPLICATION_MANAGEMENT_HOSTNAME'),
      };
    }) as VoiceClient | null;
  }

  get conversation(): ConversationClient | null {
    return this.#one('conversation', () => read(this.#env, 'CONVERSATION_APP_ID') ? this.#withKey('conversation', ['SINCH_CONVERSATION_HOSTNAME'], {
      conversationRegion: this.#region('CONVERSATION_REGION', ['us', 'eu', 'br'], 'us'),
      conversationHostname: this.#host('SINCH_CONVERSATION_HOSTNAME'), conversationTemplatesHostname: this.#host('SINCH_CONVERSATION_TEMPLATES_HOSTNAME'),
    }) : null) as ConversationClient | null;
  }

  /** By the service plan's own token where there is one, else by the project's key. */
  get sms(): SmsClient | null {
    return this.#one('sms', () => {
      const servicePlanId = read(this.#env, 'SMS_SERVICE_PLAN_ID');
      if (!servicePlanId) return null;
      const apiToken = read(this.#env, 'SMS_API_TOKEN');
      const where = { smsRegion: this.#region('SMS_REGION', ['us', 'eu', 'br', 'ca', 'au'], 'us'), smsHostname: this.#host('SINCH_SMS_HOSTNAME') };
      return apiToken ? { servicePlanId, apiToken, ...where } : this.#withKey('sms', ['SINCH_SMS_HOSTNAME'], where);
    }) as SmsClient | null;
  }

  get numbers(): NumbersClient | null {
    return this.#one('numbers', () => read(this.#env, 'ENABLE_NUMBERS_API')?.toLowerCase() === 'true'
      ? this.#withKey('numbers', ['SINCH_NUMBERS_HOSTNAME'], { numbersHostname: this.#host('SINCH_NUMBERS_HOSTNAME') }) : null) as NumbersClient | null;
  }

  #one(name: Name, options: () => Options | null): unknown {
    let client = this.#made.get(name);
    if (client === undefined) {
      const said = options();
      client = said === null ? null : this.#make(name, said);
      this.#made.set(name, client);
    }
    return client;
  }

  #make(name: Name, options: Options): object {
    let sdk: Record<string, Service | undefined>;
    try {
      sdk = load() as typeof sdk;
    } catch (err) {
      if ((err as NodeJS.ErrnoException).code !== 'MODULE_NOT_FOUND') throw err;
      throw new Error(`context.${name} needs the package ${PACKAGE}: npm install ${PACKAGE}, and deploy again`, { cause: err });
    }
    const Service = sdk[classes[name]];
    if (typeof Service !== 'function') throw new Error(`context.${name} needs a newer ${PACKAGE}: this one has no ${classes[name]}`);
    // What is undefined must not be there: the package looks whether a name is.
    const client = new Service(Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))) as { v1?: unknown };
    if (name === 'voice') client.v1 = client; // as code for the second voice API finds it
    return client;
  }

  /**
   * Options with the project's key; null when there is none. A key of Postern's own, which every function has, is shown to nobody else: it
   * counts where the token endpoint and the API are both said to be elsewhere than with the provider.
   */
  #withKey(name: Name, hosts: string[], options: Options): Options | null {
    const authHostname = this.#host('SINCH_AUTH_HOSTNAME');
    const theirs = this.#key('SINCH_PROJECT_ID', 'SINCH_KEY_ID', 'SINCH_KEY_SECRET');
    if (theirs !== null) return { ...theirs, authHostname, ...options };
    const key = this.#key('PROJECT_ID', 'PROJECT_ID_API_KEY', 'PROJECT_ID_API_SECRET');
    if (key === null) return null;
    const missing = key.keyId.startsWith('pak_') ? ['SINCH_AUTH_HOSTNAME', ...hosts].filter((host) => !read(this.#env, host)) : [];
    if (missing.length === 0) return { ...key, authHostname, ...options };
    console.warn(`context.${name} is null: the function's own key is not for the provider. Set SINCH_PROJECT_ID, SINCH_KEY_ID and SINCH_KEY_SECRET, or ${missing.join(' and ')}`);
    return null;
  }

  #key(project: string, id: string, secret: string): { projectId: string; keyId: string; keySecret: string } | null {
    const [projectId, keyId, keySecret] = [read(this.#env, project), read(this.#env, id), read(this.#env, secret)];
    return projectId && keyId && keySecret ? { projectId, keyId, keySecret } : null;
  }

  #host(key: string): string | undefined {
    const value = read(this.#env, key);
    if (!value) return undefined;
    if (!/^https?:\/\//.test(value) || !URL.canParse(value)) throw new ConfigError(key, `${key} is no address such as https://api.example.com`);
    return value.replace(/\/+$/, '');
  }

  /** A region becomes a part of a host's name, so it must be one that there is. */
  #region(key: string, all: readonly string[], otherwise: string): string {
    const value = read(this.#env, key)?.toLowerCase();
    if (!value) return otherwise;
    if (!all.includes(value)) throw new ConfigError(key, `${key} is none of ${all.join(', ')}`);
    return value;
  }
}
