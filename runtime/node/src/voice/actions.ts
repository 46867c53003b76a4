// The actions of SVAML: each checks what it is given and returns what goes over the wire.
import { address, callHeaders, flag, locale, members, oneOf, options, phone, prompt, refuse, sip, text, tones, whole } from './check.ts';
import type { AgentProvider as Provider, SvamlAction } from './svaml.ts';

const MAX_DURATION = 14400; // seconds, which is four hours

const seconds = (what: string, v: unknown): number => whole(what, v, 1, MAX_DURATION);
const musics = ['ring', 'music1', 'music2', 'music3'] as const;
const moh = (what: string, v: unknown): string => oneOf(what, v, musics);
const transport = (what: string, v: unknown): string => oneOf(what, typeof v === 'string' ? v.toUpperCase() : v, ['UDP', 'TCP', 'TLS']);
const indications = (what: string, v: unknown): string => (typeof v === 'string' && /^[a-z]{2}$/i.test(v) ? v.toLowerCase() : refuse(`${what} must be a country's two letters`));
/** Whom the other side sees; it may be what the caller's network said, so any text will do. */
const cli = (what: string, v: unknown): string => text(what, v, 128);

const amd = (what: string, v: unknown): unknown => {
  const given = options(what, v, ['enabled', 'async']);
  if (given['enabled'] === undefined) refuse(`${what} needs enabled`);
  return members(what, given, { enabled: flag, async: flag });
};

/** enableAce says what suppressCallbacks says, the other way round; an empty cli is none. */
function legs(what: string, v: unknown, names: readonly string[]): Record<string, unknown> {
  const given = options(what, v, [...names, 'cli', 'enableAce', 'suppressCallbacks', 'maxDuration']);
  if (given['cli'] === '') delete given['cli'];
  if (given['enableAce'] !== undefined && flag(`${what}: enableAce`, given['enableAce'])) {
    if (given['suppressCallbacks'] === true) refuse(`${what}: enableAce and suppressCallbacks contradict each other`);
    given['suppressCallbacks'] = false;
  }
  return given;
}

export function connectPstn(number: unknown, opts: unknown): SvamlAction {
  const what = 'connectPstn';
  const given = legs(what, opts, ['locale', 'dialTimeout', 'timeout', 'dtmf', 'indications', 'amd']);
  if (given['timeout'] !== undefined) {
    if (given['dialTimeout'] !== undefined) refuse(`${what}: timeout and dialTimeout are the same`);
    given['dialTimeout'] = given['timeout'];
  }
  return {
    name: what, ...(number !== undefined && { number: phone(`${what}: the number`, number) }),
    ...members(what, given, { locale, maxDuration: seconds, dialTimeout: seconds, cli, suppressCallbacks: flag, dtmf: tones, indications, amd }),
  };
}

/** A destination as a string, or as it goes over the wire. */
const endpointOf = (what: string, v: unknown): unknown => (typeof v === 'object' && v !== null ? options(`${what}: the destination`, v, ['type', 'endpoint'])['endpoint'] : v);

export function connectSip(endpoint: unknown, opts: unknown): SvamlAction {
  const what = 'connectSip';
  const given = legs(what, opts, ['transport', 'callHeaders', 'moh']);
  return {
    name: what, destination: { type: 'sip', endpoint: sip(`${what}: the endpoint`, endpointOf(what, endpoint)) },
    ...members(what, given, { maxDuration: seconds, cli, transport, suppressCallbacks: flag, callHeaders, moh }),
  };
}

export function connectMxp(username: unknown, opts: unknown): SvamlAction {
  const what = 'connectMxp';
  return {
    name: what, destination: { type: 'username', endpoint: text(`${what}: the username`, endpointOf(what, username), 256) },
    ...members(what, options(what, opts, ['callHeaders']), { callHeaders }),
  };
}

export function connectConf(id: unknown, opts: unknown): SvamlAction {
  const what = 'connectConf';
  const conferenceDtmfOptions = (at: string, v: unknown): unknown => members(at, options(at, v, ['mode', 'maxDigits', 'timeoutMills']), {
    mode: (w, m) => oneOf(w, m, ['ignore', 'forward', 'detect']), maxDigits: (w, n) => whole(w, n, 1, 20), timeoutMills: (w, n) => whole(w, n, 1, 60000),
  });
  return {
    name: what, conferenceId: text(`${what}: conferenceId`, id, 64),
    ...members(what, options(what, opts, ['conferenceDtmfOptions', 'moh']), { conferenceDtmfOptions, moh }),
  };
}

export function connectStream(url: unknown, opts: unknown): SvamlAction {
  const what = 'connectStream';
  const streamingOptions = (at: string, v: unknown): unknown => members(at, options(at, v, ['version', 'sampleRate']), {
    version: (w, n) => whole(w, n, 1, 1), sampleRate: (w, n) => whole(w, n, 8000, 96000),
  });
  return {
    name: what, destination: { type: 'websocket', endpoint: address(`${what}: the address`, url, ['wss:', 'ws:']) },
    ...members(what, options(what, opts, ['streamingOptions', 'maxDuration', 'callHeaders']), { streamingOptions, maxDuration: seconds, callHeaders }),
  };
}

/** Where the providers' agents take SIP calls; both want TLS. */
const agents: Readonly<Record<Provider, string>> = { elevenlabs: 'sip.rtc.elevenlabs.io:5061', grok: 'sip.voice.x.ai' };

/** The providers whose agents can be called by SIP. */
export type AgentProvider = Provider;
export const AgentProvider: { readonly ElevenLabs: 'elevenlabs'; readonly Grok: 'grok' } = Object.freeze({ ElevenLabs: 'elevenlabs', Grok: 'grok' });

/** The SIP address of an agent: its ID, or its number, at the provider's host. */
export function agentAddress(what: string, provider: unknown, id: unknown, host?: unknown): string {
  const known = agents[oneOf(`${what}: the provider`, provider, Object.values(AgentProvider))];
  const user = text(`${what}: the agent`, id, 128);
  if (!/^[+A-Za-z0-9._-]+$/.test(user)) refuse(`${what}: the agent must be an ID or a number, without a host`);
  if (host !== undefined && !/^[A-Za-z0-9.-]+(:[0-9]{1,5})?$/.test(text(`${what}: host`, host, 255))) refuse(`${what}: host must be a host, with or without a port`);
  return `${user}@${(host as string | undefined) ?? known}`;
}

export function connectAgent(provider: unknown, id: unknown, opts: unknown): SvamlAction {
  const { host, ...rest } = options('connectAgent', opts, ['host', 'transport', 'callHeaders', 'moh', 'cli', 'enableAce', 'suppressCallbacks', 'maxDuration']);
  return connectSip(agentAddress('connectAgent', provider, id, host), { transport: 'TLS', ...rest });
}

export function park(opts: unknown): SvamlAction {
  const what = 'park';
  return { name: what, ...members(what, options(what, opts, ['locale', 'introPrompt', 'holdPrompt', 'maxDuration']), { locale, introPrompt: prompt, holdPrompt: prompt, maxDuration: seconds }) };
}

export function recording(opts: unknown): Record<string, unknown> {
  const what = 'startRecording';
  const transcriptionOptions = (at: string, v: unknown): unknown => members(at, options(at, v, ['enabled', 'locale']), { enabled: flag, locale });
  return members(what, options(what, opts, ['destinationUrl', 'credentials', 'format', 'notificationEvents', 'transcriptionOptions']), {
    destinationUrl: (w, v) => text(w, v, 2048), credentials: (w, v) => text(w, v, 4096), format: (w, v) => oneOf(w, v, ['mp3', 'wav']),
    notificationEvents: flag, transcriptionOptions,
  });
}
