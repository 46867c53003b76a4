// The ends of a call of Voice 2: who is dialled, and as whom.
import { agentAddress } from './actions.ts';
import { address, callHeaders, flag, locale, members, oneOf, options, phone, refuse, sip, text, whole } from './check.ts';
import type { Endpoint, Header, StreamOptions } from './commands.ts';
import type { AgentProvider } from './svaml.ts';

export interface SipOptions { transport?: 'UDP' | 'TCP' | 'TLS' | undefined; callHeaders?: Header[] | undefined }
export interface StreamDialOptions { streamOptions?: StreamOptions | undefined; callHeaders?: Header[] | undefined }
export interface RelayOptions {
  /** The voice that speaks, Emma if it is left out. */
  ttsVoice?: string | undefined;
  /** What is listened for, en-US if it is left out. */
  sttLanguage?: string | undefined;
  /** Whether the caller may talk over it. */
  enableInterruptions?: boolean | undefined;
  callHeaders?: Header[] | undefined;
}

/** The voice that speaks where none was chosen. */
export const VOICE = 'Emma';

export const toPhone = (what: string, number: unknown): Endpoint => ({ type: 'PHONE', phone: { number: phone(`${what}: the number`, number) } });

const withScheme = (endpoint: string): string => (/^sips?:/.test(endpoint) ? endpoint : `sip:${endpoint}`);
const transports = ['UDP', 'TCP', 'TLS'] as const;

export function toSip(what: string, endpoint: unknown, opts: SipOptions): Endpoint {
  return { type: 'SIP', sip: { endpoint: withScheme(sip(`${what}: the endpoint`, endpoint)), ...members(what, { ...opts }, { transport: (w, v) => oneOf(w, v, transports), callHeaders }) } };
}

export function toStream(what: string, url: unknown, opts: StreamDialOptions): Endpoint {
  const streamOptions = (at: string, v: unknown): unknown => members(at, options(at, v, ['version', 'codec', 'sampleRate']), {
    version: (w, n) => whole(w, n, 1, 1), codec: (w, n) => oneOf(w, n, ['PCM']),
    sampleRate: (w, n) => ([8000, 16000, 24000, 44100, 48000, 96000].includes(n) ? n : refuse(`${w} must be 8000, 16000, 24000, 44100, 48000 or 96000`)),
  });
  return { type: 'STREAM', stream: { endpoint: address(`${what}: the address`, url, ['wss:', 'ws:']), ...members(what, { ...opts }, { streamOptions, callHeaders }) } };
}

export function toRelay(what: string, url: unknown, opts: RelayOptions): Endpoint {
  return {
    type: 'VOICE_RELAY',
    voiceRelay: {
      endpoint: address(`${what}: the address`, url, ['wss:', 'ws:']), ttsVoice: text(`${what}: ttsVoice`, opts.ttsVoice ?? VOICE, 64), sttLanguage: locale(`${what}: sttLanguage`, opts.sttLanguage ?? 'en-US'),
      ...members(what, { ...opts }, { enableInterruptions: flag, callHeaders }),
    },
  };
}

export function toAgent(what: string, provider: AgentProvider, id: unknown, host: unknown, opts: SipOptions): Endpoint {
  return toSip(what, agentAddress(what, provider, id, host), { transport: 'TLS', ...opts });
}

/** Whom a string means: a number, sip: or sips:, wss: or ws:. An object is taken as it goes over the wire, and checked. */
export function toAny(what: string, to: unknown): Endpoint {
  if (typeof to === 'string') {
    if (/^wss?:/.test(to)) return toStream(what, to, {});
    return to.includes('@') ? toSip(what, to, {}) : toPhone(what, to);
  }
  const { type, ...details } = options(`${what}: to`, to, ['type', 'phone', 'sip', 'stream', 'voiceRelay']);
  const inner = (member: string, names: readonly string[]): any => options(`${what}: ${member}`, details[member] ?? refuse(`${what}: to needs ${member}`), names);
  switch (type) {
    case 'PHONE': return toPhone(what, inner('phone', ['number'])['number']);
    case 'SIP': { const { endpoint, ...o } = inner('sip', ['endpoint', 'transport', 'callHeaders']); return toSip(what, endpoint, o); }
    case 'STREAM': { const { endpoint, ...o } = inner('stream', ['endpoint', 'streamOptions', 'callHeaders']); return toStream(what, endpoint, o); }
    case 'VOICE_RELAY': { const { endpoint, ...o } = inner('voiceRelay', ['endpoint', 'ttsVoice', 'sttLanguage', 'enableInterruptions', 'callHeaders']); return toRelay(what, endpoint, o); }
    default: return refuse(`${what}: the type of to must be one of PHONE, SIP, STREAM, VOICE_RELAY`);
  }
}

/** As whom: a number, a SIP address, or one of them as it goes over the wire. */
export function asFrom(what: string, from: unknown): Endpoint {
  if (typeof from === 'string') return from.includes('@') ? toSip(what, from, {}) : toPhone(what, from);
  const { type, phone: p, sip: s } = options(`${what}: from`, from, ['type', 'phone', 'sip']);
  if (type === 'PHONE') return toPhone(what, options(`${what}: from.phone`, p, ['number'])['number']);
  if (type !== 'SIP') refuse(`${what}: from must be a number or a SIP address`);
  const { endpoint, displayName } = options(`${what}: from.sip`, s, ['endpoint', 'displayName']);
  return { type: 'SIP', sip: { endpoint: withScheme(sip(`${what}: from`, endpoint)), ...(displayName !== undefined && { displayName: text(`${what}: displayName`, displayName, 128) }) } };
}
