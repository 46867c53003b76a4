// Voice 2 as it goes over the wire: what comes to voiceWebhook, and the commands that answer it, with the names and limits of the platform's
// public SDKs. Declarations only.
import type { FunctionContext, FunctionRequest, FunctionResponse } from '../types.ts';
import type { CommandBuilder } from './flow.ts';

/** One end of a call. */
export type Endpoint =
  | { type: 'PHONE'; phone: { number: string } }
  | { type: 'SIP'; sip: { endpoint: string; transport?: 'UDP' | 'TCP' | 'TLS'; displayName?: string; callHeaders?: Header[] } }
  | { type: 'STREAM'; stream: { endpoint: string; streamOptions?: StreamOptions; callHeaders?: Header[] } }
  | { type: 'VOICE_RELAY'; voiceRelay: { endpoint: string; ttsVoice: string; sttLanguage: string; enableInterruptions?: boolean; callHeaders?: Header[] } };

export interface Header { key: string; value: string }
export interface StreamOptions { version?: number; codec?: 'PCM'; sampleRate?: number }

export type Message =
  | { type: 'SAY'; say: { text: string; voiceName: string; format?: 'TEXT' | 'SSML' } }
  | { type: 'PLAY'; play: { url: string } };

export interface Prompt { messages: Message[]; allowBargeIn?: boolean }

/** One menu of a menu command. Keys of matches are what may be pressed: digits, or patterns. */
export interface MenuStep {
  prompt?: Prompt;
  repeatPrompt?: Prompt;
  inputTimeoutDurationSeconds?: number;
  repeatCount?: number;
  minimumInputLength?: number;
  maximumInputLength?: number;
  terminatingSequence?: string;
  matches?: Record<string, Command[]>;
  onFail?: Command[];
}

export interface DialEvents { onAnswer?: Command[]; onBusy?: Command[]; onReject?: Command[]; onTimeout?: Command[]; onFailure?: Command[]; onHangup?: Command[] }

export type Command =
  | { command: 'answer' }
  | { command: 'messages'; messagesName?: string; messages: Message[]; events?: { onFinish: Command[] } }
  | { command: 'stopMessages'; messagesName: string }
  | { command: 'hangup'; callName?: string }
  | { command: 'dial'; callName?: string; from?: Endpoint; to: Endpoint; dialTimeoutDurationSeconds?: number; maxCallDurationSeconds?: number; events?: DialEvents }
  | { command: 'bridgeCall'; bridgeName: string }
  | { command: 'menu'; startMenu: string; menus: Record<string, MenuStep> }
  | { command: 'gotoMenu'; menuName: string }
  | { command: 'pause'; durationMilliseconds: number }
  | { command: 'amd'; events?: { onHuman?: Command[]; onMachine?: Command[]; onBeep?: Command[]; onUnknown?: Command[] } }
  | { command: 'webhook'; webhookName: string; url: string; fallbackUrl?: string }
  | { command: 'startRecording'; recordingName?: string; recordingOptions: Recording; events?: { onFinish?: Command[]; onFailure?: Command[] } }
  | { command: 'stopRecording'; recordingName: string };

export interface Recording {
  destination: 'AWS' | 'GCP' | 'AZURE';
  url: string;
  credentials: string;
  format?: 'MP3' | 'WAV';
  recordingType?: 'COMBINED' | 'INBOUND' | 'OUTBOUND';
  transcriptionOptions?: { enabled?: boolean; locale?: string };
}

/** What voiceWebhook answers. No commands: nothing is done. callName and events count in an answer to call.incoming alone. */
export interface CallFlow {
  callName?: string;
  commands: Command[];
  events?: { onHangup: Command[] };
}

/** A call as its event tells of it: the fields of the call, the event's name, and what was pressed, all in one object. */
export interface Call {
  /** Such as call.incoming, call.menu, call.webhook.<name>. */
  readonly event: string;
  readonly callId: string;
  readonly sessionId?: string;
  readonly projectId?: string;
  readonly serviceId?: string;
  readonly direction?: 'INBOUND' | 'OUTBOUND' | (string & {});
  readonly callType?: 'PHONE' | 'SIP' | 'STREAM' | 'VOICE_RELAY' | (string & {});
  readonly from?: Endpoint;
  readonly to?: Endpoint;
  readonly callResult?: string;
  readonly callReason?: string;
  readonly callDurationSeconds?: number;
  readonly bridgeName?: string;
  readonly startTime?: string;
  readonly answerTime?: string;
  readonly endTime?: string;
  /** Of call.menu. It comes from the caller: check it. */
  readonly menu?: MenuInput;
  /** The call itself, as it was read before its fields were flat. Not a part of its JSON. @deprecated */
  readonly call: Call;
  readonly [field: string]: unknown;
}

/** What manage is given: of call.menu, what was pressed is there. */
export type ManagedCall = (Call & { readonly event: 'call.menu'; readonly menu: MenuInput }) | (Call & { readonly event: `call.webhook.${string}` });

export interface MenuInput { readonly menuName: string; readonly input?: string; readonly [field: string]: unknown }

/** What a handler of onCall returns: a builder, its build(), commands, or nothing, which is 204. */
export type CallResult = CommandBuilder | CallFlow | readonly Command[] | FunctionResponse | null | undefined | void;

export type CallHandler<C extends Call = Call> = (call: C, builder: CommandBuilder, context: FunctionContext, request: FunctionRequest) => CallResult | Promise<CallResult>;

/** Handlers of onCall. What no other takes goes to fallback, and without one is answered with 204. */
export interface CallHandlers {
  /** call.incoming. */
  incoming?: CallHandler;
  /** call.answered, of a call that was made. */
  answered?: CallHandler;
  /** call.menu, and call.webhook.<name> that webhooks does not have. */
  manage?: CallHandler<ManagedCall>;
  /** call.hangup and call.failed. What it returns is not sent: the call is over. */
  completed?: (call: Call, builder: CommandBuilder, context: FunctionContext, request: FunctionRequest) => unknown;
  /** call.webhook.<name>, by that name. */
  webhooks?: Readonly<Record<string, CallHandler>>;
  /** Everything else: call.busy, call.amd.human, call.recording.finished, and what is not known yet. */
  fallback?: CallHandler;
}
