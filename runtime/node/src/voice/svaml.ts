// SVAML as it goes over the wire, and the builders that write it. Declarations only. Limits are those of the platform's reference of SVAML;
// what stands in no reference is told in docs/decisions/0028-voice.md.
import type { Menu, MenuBuilder, MenuOptions } from './menu.ts';

/** What a v1 callback is answered with. Members that are absent are left out. */
export interface Svaml {
  /** What is done before the action, in order. */
  instructions?: SvamlInstruction[];
  /** What becomes of the call; one only. */
  action?: SvamlAction;
}

export type SvamlInstruction =
  | { name: 'say'; text: string; locale: string }
  | { name: 'playFiles'; ids: string[]; locale?: string }
  | { name: 'setCookie'; key: string; value: string }
  | { name: 'answer' }
  | { name: 'sendDtmf'; value: string }
  | { name: 'startRecording'; options?: RecordingOptions }
  | { name: 'stopRecording' };

export interface CallHeader { key: string; value: string }

export type SvamlAction =
  | { name: 'hangup' }
  | { name: 'continue' }
  | { name: 'connectPstn'; number?: string; locale?: string; maxDuration?: number; dialTimeout?: number; cli?: string; suppressCallbacks?: boolean; dtmf?: string; indications?: string; amd?: { enabled: boolean; async?: boolean } }
  | { name: 'connectSip'; destination: { type: 'sip'; endpoint: string }; maxDuration?: number; cli?: string; transport?: SipTransport; suppressCallbacks?: boolean; callHeaders?: CallHeader[]; moh?: string }
  | { name: 'connectMxp'; destination: { type: 'username'; endpoint: string }; callHeaders?: CallHeader[] }
  | { name: 'connectConf'; conferenceId: string; conferenceDtmfOptions?: ConferenceDtmfOptions; moh?: MusicOnHold }
  | { name: 'connectStream'; destination: { type: 'websocket'; endpoint: string }; streamingOptions?: { version?: number; sampleRate?: number }; maxDuration?: number; callHeaders?: CallHeader[] }
  | ({ name: 'runMenu' } & Menu)
  | { name: 'park'; locale?: string; introPrompt?: string; holdPrompt?: string; maxDuration?: number };

export type SipTransport = 'UDP' | 'TCP' | 'TLS';
export type MusicOnHold = 'ring' | 'music1' | 'music2' | 'music3';

export interface ConferenceDtmfOptions {
  /** detect sends what participants press as prompt input events. */
  mode?: 'ignore' | 'forward' | 'detect';
  maxDigits?: number;
  timeoutMills?: number;
}

export interface RecordingOptions {
  /** Where the file goes, such as s3://bucket/folder. */
  destinationUrl?: string;
  /** For that place. Take it from a secret. */
  credentials?: string;
  format?: 'mp3' | 'wav';
  /** Whether notify is called when the file is there. */
  notificationEvents?: boolean;
  transcriptionOptions?: { enabled?: boolean; locale?: string };
}

export interface ConnectPstnOptions {
  /** Who is seen calling: a number of yours, or "private". An empty string is as if it were left out. */
  cli?: string | undefined;
  /** Seconds, 1 to 14400. */
  maxDuration?: number | undefined;
  /** Seconds to let it ring. */
  dialTimeout?: number | undefined;
  /** The same as dialTimeout. */
  timeout?: number | undefined;
  locale?: string | undefined;
  /** true: ace is called when the other side answers, which is suppressCallbacks: false. false leaves the platform's default. */
  enableAce?: boolean | undefined;
  /** true: neither ace nor dice is called. */
  suppressCallbacks?: boolean | undefined;
  /** Tones to play when the other side answers: 0-9, #, and w for half a second. */
  dtmf?: string | undefined;
  /** Country whose ringing tone the caller hears, two letters. */
  indications?: string | undefined;
  /** Whether a machine answers is told to ace as amd; with async, to notify. */
  amd?: { enabled: boolean; async?: boolean | undefined } | undefined;
}

export interface ConnectSipOptions {
  maxDuration?: number | undefined;
  cli?: string | undefined;
  transport?: SipTransport | Lowercase<SipTransport> | undefined;
  enableAce?: boolean | undefined;
  suppressCallbacks?: boolean | undefined;
  callHeaders?: CallHeader[] | undefined;
  moh?: MusicOnHold | undefined;
}

export interface ConnectAgentOptions extends ConnectSipOptions {
  /** The agent's SIP host, with its port, instead of the provider's public one. */
  host?: string | undefined;
}

export interface ConnectStreamOptions {
  streamingOptions?: { version?: number; sampleRate?: number } | undefined;
  maxDuration?: number | undefined;
  callHeaders?: CallHeader[] | undefined;
}

export interface ParkOptions {
  locale?: string | undefined;
  /** Said or played once. Plain text is spoken. */
  introPrompt?: string | undefined;
  /** Said or played again and again. */
  holdPrompt?: string | undefined;
  /** Seconds, 1 to 14400. */
  maxDuration?: number | undefined;
}

/** What every builder has. Instructions are done in the order in which they were called. */
export interface SvamlBuilder<Self> {
  /** Speaks a text of at most 600 characters. The locale may be a voice; en-US if it is left out. */
  say(text: string, locale?: string): Self;
  /** Plays one file, http or https: playFiles with #href[url]. */
  play(url: string): Self;
  /** Plays files, or #tts[…], #ssml[…], #href[…], which need the locale. */
  playFiles(ids: readonly string[], locale?: string): Self;
  /** Keeps a value until the call ends: later callbacks have it. Keys and values of one answer are at most 1024 bytes together. */
  setCookie(key: string, value: string): Self;
  /** Plays tones: 0-9, #, and w for half a second. */
  sendDtmf(value: string): Self;
  startRecording(options?: RecordingOptions): Self;
  stopRecording(): Self;
  /** Ends the call. Of several actions the last one counts. */
  hangup(): Self;
  /** Lets the call go on. */
  continue(): Self;
  /** At the caller's: a menu of MenuBuilder or MenuTemplates; what is pressed comes to pie. */
  runMenu(menu: Menu | MenuBuilder, options?: MenuOptions): Self;
  /** Into a conference, whose ID is at most 64 characters. */
  connectConf(conferenceId: string, options?: { conferenceDtmfOptions?: ConferenceDtmfOptions; moh?: MusicOnHold }): Self;
  /** What was called so far, as a new object: the builder may go on, and be built again. */
  build(): Svaml;
  /** build, for JSON.stringify: a handler may return the builder itself. */
  toJSON(): Svaml;
}

interface Connects<Self> {
  /** To a telephone number as E.164 has it; without one, to the number that was called. */
  connectPstn(number?: string, options?: ConnectPstnOptions): Self;
  /** To a SIP address, with or without its scheme. */
  connectSip(endpoint: string | { endpoint: string; type?: string }, options?: ConnectSipOptions): Self;
  /** To a user of an app. */
  connectMxp(username: string | { endpoint: string; type?: string }, options?: { callHeaders?: CallHeader[] }): Self;
  /** To an agent by SIP: its ID or number at the provider. */
  connectAgent(provider: AgentProvider, id: string, options?: ConnectAgentOptions): Self;
  park(options?: ParkOptions): Self;
}

/** Answers an incoming call (ice). */
export interface IceSvamlBuilder extends SvamlBuilder<IceSvamlBuilder>, Connects<IceSvamlBuilder> {
  /** Takes the call, before it is connected: from here it costs. */
  answer(): IceSvamlBuilder;
  /** To a WebSocket, wss or ws, for its audio. */
  connectStream(url: string, options?: ConnectStreamOptions): IceSvamlBuilder;
}

/** Answers prompt input (pie): everything of ice but answer and connectStream. */
export interface PieSvamlBuilder extends SvamlBuilder<PieSvamlBuilder>, Connects<PieSvamlBuilder> {}

/** Answers an answered call (ace): hangup, continue, runMenu and connectConf. */
export interface AceSvamlBuilder extends SvamlBuilder<AceSvamlBuilder> {}

export type AgentProvider = 'elevenlabs' | 'grok';
