// Voice 2: what a function imports to answer voiceWebhook. Each function named after a command begins a new flow with it.
import type { Call } from './commands.ts';
import { CommandBuilder } from './flow.ts';
import type { AgentProvider } from './svaml.ts';

export { CommandBuilder } from './flow.ts';
export { MenuItemBuilder, PromptBuilder } from './menustep.ts';
export { onCall } from './oncall.ts';
export type { Call, CallFlow, CallHandler, CallHandlers, CallResult, Command, Endpoint, ManagedCall, MenuInput, MenuStep, Message, Prompt } from './commands.ts';
export type { DialOptions, LegOptions } from './dial.ts';
export type { RelayOptions, SipOptions, StreamDialOptions } from './endpoints.ts';
export type { AmdFlows, Flow } from './flow.ts';
export type { PlayOptions, RecordingStart, SayOptions } from './messages.ts';

/** A new flow of no commands. */
export const commands = (): CommandBuilder => new CommandBuilder();

type Args<K extends keyof CommandBuilder> = CommandBuilder[K] extends (...args: infer A) => unknown ? A : never;

export const answer = (): CommandBuilder => commands().answer();
export const say = (...a: Args<'say'>): CommandBuilder => commands().say(...a);
export const play = (...a: Args<'play'>): CommandBuilder => commands().play(...a);
export const stopMessages = (...a: Args<'stopMessages'>): CommandBuilder => commands().stopMessages(...a);
export const hangup = (...a: Args<'hangup'>): CommandBuilder => commands().hangup(...a);
export const dial = (...a: Args<'dial'>): CommandBuilder => commands().dial(...a);
export const dialPhone = (...a: Args<'dialPhone'>): CommandBuilder => commands().dialPhone(...a);
export const dialSip = (...a: Args<'dialSip'>): CommandBuilder => commands().dialSip(...a);
export const dialStream = (...a: Args<'dialStream'>): CommandBuilder => commands().dialStream(...a);
export const dialRelay = (...a: Args<'dialRelay'>): CommandBuilder => commands().dialRelay(...a);
export const dialAgent = (...a: Args<'dialAgent'>): CommandBuilder => commands().dialAgent(...a);
export const bridgeTo = (...a: Args<'bridgeTo'>): CommandBuilder => commands().bridgeTo(...a);
export const bridgeCall = (...a: Args<'bridgeCall'>): CommandBuilder => commands().bridgeCall(...a);
export const menu = (...a: Args<'menu'>): CommandBuilder => commands().menu(...a);
export const gotoMenu = (...a: Args<'gotoMenu'>): CommandBuilder => commands().gotoMenu(...a);
export const pause = (...a: Args<'pause'>): CommandBuilder => commands().pause(...a);
export const amd = (...a: Args<'amd'>): CommandBuilder => commands().amd(...a);
export const webhook = (...a: Args<'webhook'>): CommandBuilder => commands().webhook(...a);
export const startRecording = (...a: Args<'startRecording'>): CommandBuilder => commands().startRecording(...a);
export const stopRecording = (...a: Args<'stopRecording'>): CommandBuilder => commands().stopRecording(...a);

/** Puts an agent on an incoming call; dialAgent of a builder does the same anywhere. */
export function connectAgent(provider: AgentProvider, id: string, opts: { call?: Call } & NonNullable<Args<'dialAgent'>[2]> = {}): CommandBuilder {
  const { call, ...rest } = opts;
  return new CommandBuilder(call).dialAgent(provider, id, rest);
}
