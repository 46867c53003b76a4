// What the platform sends to v1 callbacks, and the type of a function that takes them. Declarations only.
import type { FunctionContext, FunctionRequest } from '../types.ts';
import type { CallHeader, Svaml, SvamlBuilder } from './svaml.ts';

/** What all callbacks have. The platform writes callid; callId is there to be read as well, and is not written into JSON. */
export interface VoiceEvent {
  event: string;
  callid: string;
  readonly callId: string;
  timestamp: string;
  version: number;
  /** What was given when the call was made, or the cookies. */
  custom?: string;
  applicationKey?: string;
}

export interface Money { currencyId: string; amount: number }

export interface VoiceDestination {
  type: 'number' | 'username' | 'sip' | 'did' | (string & {});
  endpoint: string;
}

/** A call comes in. Answer within the platform's time, or the caller hears an error. */
export interface IceEvent extends VoiceEvent {
  event: 'ice';
  callResourceUrl?: string;
  user?: string;
  userRate?: Money;
  /** Who calls. */
  cli?: string;
  to?: VoiceDestination;
  domain?: 'pstn' | 'mxp' | 'conference' | 'sip' | (string & {});
  originationType?: string;
  duration?: number;
  rdnis?: string;
  callHeaders?: CallHeader[];
}

/** A call was answered. */
export interface AceEvent extends VoiceEvent {
  event: 'ace';
  callResourceUrl?: string;
  amd?: Amd;
}

export interface Amd {
  status: 'human' | 'machine' | 'notsure' | 'hangup' | 'inprogress' | (string & {});
  reason?: 'longgreeting' | 'initialsilence' | 'greeting' | 'beep' | 'n/a' | (string & {});
  /** Milliseconds until it was known. */
  duration?: number;
}

/** The caller pressed or said something in a menu. It comes from the caller: check it. */
export interface PieEvent extends VoiceEvent {
  event: 'pie';
  menuResult: MenuResult;
}

export interface MenuResult {
  menuId: string;
  type: 'error' | 'return' | 'sequence' | 'timeout' | 'hangup' | 'invalidinput' | (string & {});
  /** Of return(value), or the digits of a sequence. */
  value?: string;
  inputMethod?: 'dtmf' | 'voice' | (string & {});
}

/** A call is over. The answer is not looked at. */
export interface DiceEvent extends VoiceEvent {
  event: 'dice';
  reason?: 'N/A' | 'TIMEOUT' | 'CALLERHANGUP' | 'CALLEEHANGUP' | 'BLOCKED' | 'MANAGERHANGUP' | 'NOCREDITPARTNER' | 'GENERALERROR' | 'CANCEL' | 'USERNOTFOUND' | 'CALLBACKERROR' | (string & {});
  result?: 'N/A' | 'ANSWERED' | 'BUSY' | 'NOANSWER' | 'FAILED' | (string & {});
  debit?: Money;
  userRate?: Money;
  to?: VoiceDestination;
  /** Seconds. */
  duration?: number;
  from?: string;
  callHeaders?: CallHeader[];
}

/** Something about a call is known: a recording is there, a machine was heard, a callback failed. The answer is not looked at. */
export interface NotifyEvent extends Omit<VoiceEvent, 'timestamp'> {
  event: 'notify';
  timestamp?: string;
  type: 'recording_finished' | 'recording_available' | 'transcription_available' | 'amd' | 'amd_beep' | 'callingerror' | (string & {});
  conferenceId?: string;
  destination?: string;
  amd?: Amd;
  /** Of callingerror. */
  errorCode?: number;
  errorMsg?: string;
  user?: string;
}

/** What a callback may return: SVAML, a builder, or nothing, which is an empty answer. */
export type SvamlResult = Svaml | SvamlBuilder<any> | null | undefined | void;

type Answer<T> = T | Promise<T>;

/** The default export of a function that takes v1 callbacks: `export default { … } satisfies VoiceFunction`. */
export interface VoiceFunction {
  ice?(context: FunctionContext, data: IceEvent, request: FunctionRequest): Answer<SvamlResult>;
  ace?(context: FunctionContext, data: AceEvent, request: FunctionRequest): Answer<SvamlResult>;
  pie?(context: FunctionContext, data: PieEvent, request: FunctionRequest): Answer<SvamlResult>;
  dice?(context: FunctionContext, data: DiceEvent, request: FunctionRequest): Answer<unknown>;
  notify?(context: FunctionContext, data: NotifyEvent, request: FunctionRequest): Answer<unknown>;
  /** Whatever else the object has: custom endpoints, webhooks. */
  [name: string]: unknown;
}

/** The names that some functions use for the same. */
export type IceCallback = IceEvent;
export type AceCallback = AceEvent;
export type PieCallback = PieEvent;
export type DiceCallback = DiceEvent;
export type NotifyCallback = NotifyEvent;
