// What a function is configured with, and the clients that variables unlock.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Clients } from '../src/clients.ts';
import { ConfigError, createConfig, createUniversalConfig } from '../src/index.ts';
import type { FunctionContext } from '../src/types.ts';

const SECRET = 'value-that-nobody-may-see';

const configOf = (env: Record<string, string>, environment = 'production'): ReturnType<typeof createConfig> =>
  createConfig({ env, config: { environment } as FunctionContext['config'] });

test('a secret that is missing or empty is an error that names it and says what to type', () => {
  const config = configOf({ THERE: SECRET, EMPTY: '' });
  assert.equal(config.requireSecret('THERE'), SECRET);
  for (const [key, why] of [['MISSING', 'not set'], ['EMPTY', 'empty'], ['toString', 'not set'], ['__proto__', 'not set']] as const) {
    assert.throws(() => config.requireSecret(key), (err: unknown) => err instanceof ConfigError && err.key === key
      && err.message === `the secret ${key} is ${why}: postern secrets add ${key}, and deploy again` && !String(err.stack).includes(SECRET));
  }
});

test('a variable has a default, which an empty one does not take', () => {
  const config = configOf({ NAME: 'Acme', EMPTY: '' });
  assert.deepEqual([config.getVariable('NAME', 'x'), config.getVariable('EMPTY', 'x'), config.getVariable('MISSING', 'x'), config.getVariable('MISSING'), config.getVariable('toString')],
    ['Acme', '', 'x', undefined, undefined]);
  assert.equal(config.requireVariable('NAME'), 'Acme');
  for (const key of ['EMPTY', 'MISSING', 'constructor']) assert.throws(() => config.requireVariable(key), new RegExp(`the variable ${key} is .*: add "${key}" to "variables" in postern.json, and deploy again`));
});

test('the credentials of the voice application are both there or null', () => {
  const both = { VOICE_APPLICATION_KEY: 'k', VOICE_APPLICATION_SECRET: SECRET };
  assert.deepEqual(configOf(both).getApplicationCredentials(), { applicationKey: 'k', applicationSecret: SECRET });
  for (const one of [{}, { VOICE_APPLICATION_KEY: 'k' }, { VOICE_APPLICATION_SECRET: SECRET }, { ...both, VOICE_APPLICATION_SECRET: '' }]) assert.equal(configOf(one).getApplicationCredentials(), null);
});

test('development and production are told by NODE_ENV', () => {
  const is = (environment: string): boolean[] => [configOf({}, environment).isDevelopment(), configOf({}, environment).isProduction()];
  assert.deepEqual([is('development'), is('production'), is('test')], [[true, false], [false, true], [false, false]]);
});

test('createUniversalConfig is createConfig', () => { assert.equal(createUniversalConfig, createConfig); });

const key = { SINCH_PROJECT_ID: 'p', SINCH_KEY_ID: 'k', SINCH_KEY_SECRET: SECRET };
const own = { PROJECT_ID: 'prj_1', PROJECT_ID_API_KEY: 'pak_1', PROJECT_ID_API_SECRET: SECRET };
const names = ['voice', 'conversation', 'sms', 'numbers'] as const;

test('a client is null where a variable is missing, empty, or not what unlocks it', () => {
  const cases: Record<string, Record<string, string>> = {
    nothing: {}, 'the key alone': key, 'voice without its secret': { ...key, VOICE_APPLICATION_KEY: 'k' }, 'voice, empty': { VOICE_APPLICATION_KEY: '', VOICE_APPLICATION_SECRET: SECRET },
    'no key': { CONVERSATION_APP_ID: 'a', SMS_SERVICE_PLAN_ID: 's', ENABLE_NUMBERS_API: 'true' }, 'half a key': { CONVERSATION_APP_ID: 'a', ...key, SINCH_KEY_SECRET: '' },
    'numbers off': { ...key, ENABLE_NUMBERS_API: 'false' }, 'numbers, 1': { ...key, ENABLE_NUMBERS_API: '1' }, 'a token without a plan': { ...key, SMS_API_TOKEN: 't' },
  };
  for (const [name, env] of Object.entries(cases)) for (const client of names) assert.equal(new Clients(env)[client], null, `${client}, ${name}`);
});

test('the key of the function itself is shown to no provider', (t) => {
  const said: string[] = [];
  t.mock.method(console, 'warn', (text: string) => { said.push(text); });
  const all = { ...own, CONVERSATION_APP_ID: 'a', SMS_SERVICE_PLAN_ID: 's', ENABLE_NUMBERS_API: 'true' };
  for (const hosts of [{}, { SINCH_AUTH_HOSTNAME: 'https://a.test' }, { SINCH_CONVERSATION_HOSTNAME: 'https://a.test', SINCH_SMS_HOSTNAME: 'https://a.test', SINCH_NUMBERS_HOSTNAME: 'https://a.test' }]) {
    const clients = new Clients({ ...all, ...hosts });
    assert.deepEqual([clients.conversation, clients.sms, clients.numbers, clients.numbers], [null, null, null, null]);
  }
  assert.equal(said.length, 9); // once for each client
  assert.match(said[0]!, /^context\.conversation is null: .*SINCH_KEY_SECRET, or SINCH_AUTH_HOSTNAME and SINCH_CONVERSATION_HOSTNAME$/);
  assert.ok(!said.join().includes(SECRET));
});

test('a package that is not installed is named, when a client is asked for and not before', () => {
  const clients = new Clients({ ...key, CONVERSATION_APP_ID: 'a', SMS_SERVICE_PLAN_ID: 's', SMS_API_TOKEN: SECRET, ENABLE_NUMBERS_API: 'TRUE', VOICE_APPLICATION_KEY: 'k', VOICE_APPLICATION_SECRET: SECRET });
  for (const name of names) {
    assert.throws(() => clients[name], (err: Error) => err.message === `context.${name} needs the package @sinch/sdk-core: npm install @sinch/sdk-core, and deploy again` && !err.message.includes(SECRET));
  }
});

test('a region that is none and a host that is no address are refused by the name of their variable', () => {
  const cases: [string, Record<string, string>][] = [
    ['CONVERSATION_REGION', { CONVERSATION_REGION: 'evil.test/' }], ['CONVERSATION_REGION', { CONVERSATION_REGION: 'EUR' }], ['SINCH_AUTH_HOSTNAME', { SINCH_AUTH_HOSTNAME: 'auth.test' }],
    ['SINCH_CONVERSATION_HOSTNAME', { SINCH_CONVERSATION_HOSTNAME: 'file:///etc' }], ['SINCH_CONVERSATION_HOSTNAME', { SINCH_CONVERSATION_HOSTNAME: 'http://[' }],
  ];
  for (const [name, env] of cases) {
    assert.throws(() => new Clients({ ...key, CONVERSATION_APP_ID: 'a', ...env }).conversation, (err: unknown) => err instanceof ConfigError && err.key === name && !err.message.includes(Object.values(env)[0]!));
  }
});
