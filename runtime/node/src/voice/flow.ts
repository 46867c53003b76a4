// The builder of commands for Voice 2. It keeps steps, and writes them when all are known: names, legs and menus depend on each other.
import { address, members, name as named, options, refuse, whole } from './check.ts';
import type { Call, CallFlow, Command, Endpoint } from './commands.ts';
import { bridge, dialled, type DialOptions, type LegOptions, legNames, dialNames } from './dial.ts';
import { type RelayOptions, type SipOptions, type StreamDialOptions, toAgent, toAny, toPhone, toRelay, toSip, toStream } from './endpoints.ts';
import { MenuItemBuilder } from './menustep.ts';
import { messages, playing, type PlayOptions, recording, type RecordingStart, saying, type SayOptions } from './messages.ts';
import { CALLER, Session } from './session.ts';
import type { AgentProvider } from './svaml.ts';

/** A flow of commands inside of another: a builder, or a function that is given one. */
export type Flow = CommandBuilder | ((flow: CommandBuilder) => CommandBuilder | void);

/** One call of the builder. */
export interface Step {
  kind: Command['command'];
  make(s: Session): Command[];
}

export interface AmdFlows { onHuman?: Flow; onMachine?: Flow; onBeep?: Flow; onUnknown?: Flow }

/** Where the commands of a builder come from, for the other files here. */
export let emit: (b: CommandBuilder, s: Session) => Command[];

/**
 * Builds what voiceWebhook answers. onCall hands out one that knows the call. A builder from commands(), or a function such as say(),
 * begins a new flow. Arguments are checked where they are given; what depends on the whole (names, gotoMenu) in build, before anything
 * is sent.
 */
export class CommandBuilder {
  readonly #call: Call | undefined;
  readonly #steps: Step[] = [];
  #name = CALLER;
  #ended = false;

  static { emit = (b, s) => s.deeper(() => b.#steps.flatMap((step) => step.make(s))); }

  constructor(call?: Call) {
    this.#call = call;
  }

  /** Takes an incoming call: from here it costs. Nothing else answers it, dialling neither. */
  answer(): this {
    if (this.#steps.some((s) => s.kind === 'answer')) refuse('answer stands twice');
    return this.#push({ kind: 'answer', make: () => [{ command: 'answer' }] });
  }

  /** Speaks. What is said and played in a row is one command, and plays in that order. The voice is Emma if it is left out. */
  say(words: string, opts?: SayOptions | string): this { return this.#play(saying(words, opts)); }

  /** Plays a file, http or https. */
  play(url: string, opts?: PlayOptions): this { return this.#play(playing(url, opts)); }

  /** Stops what say or play began under that name. */
  stopMessages(name: string): this {
    const messagesName = named('stopMessages: the name', name);
    return this.#push({ kind: 'stopMessages', make: () => [{ command: 'stopMessages', messagesName }] });
  }

  /** Ends this call, or the leg of that name. After say and play it waits until they are over, with the pauses and stopRecording between. */
  hangup(leg?: string): this {
    if (leg !== undefined) {
      const callName = named('hangup: the leg', leg);
      return this.#push({ kind: 'hangup', make: () => [{ command: 'hangup', callName }] });
    }
    const step: Step = { kind: 'hangup', make: () => [{ command: 'hangup' }] };
    let at = this.#steps.length;
    while (at > 0 && (this.#steps[at - 1]!.kind === 'pause' || this.#steps[at - 1]!.kind === 'stopRecording')) at--;
    const speech = at > 0 ? messages.get(this.#steps[at - 1]!) : undefined;
    if (speech === undefined) this.#push(step);
    else speech.after.push(...this.#steps.splice(at), step);
    this.#ended = true;
    return this;
  }

  /** Dials, and nothing else: no bridge, nothing that ends it. For all that a dial can say. */
  dial(to: string | Endpoint, opts?: DialOptions): this {
    return this.#push(dialled(toAny('dial', to), options('dial', opts, dialNames)));
  }

  /** Puts somebody on the call: a number, sip:, sips:, wss:, ws:, or an object. */
  bridgeTo(to: string | Endpoint, opts?: LegOptions): this { return this.#leg('bridgeTo', 'destination', toAny('bridgeTo', to), opts, []); }
  /** Puts a telephone on the call. The two are joined when it answers, and each ends when the other goes. */
  dialPhone(number: string, opts?: LegOptions): this { return this.#leg('dialPhone', 'destination', toPhone('dialPhone', number), opts, []); }
  /** Puts a SIP endpoint on the call. */
  dialSip(endpoint: string, opts?: LegOptions & SipOptions): this { return this.#leg('dialSip', 'destination', toSip('dialSip', endpoint, pick(opts, sipNames)), opts, sipNames); }
  /** Puts a WebSocket on the call, which takes and gives its audio. */
  dialStream(url: string, opts?: LegOptions & StreamDialOptions): this { return this.#leg('dialStream', 'stream', toStream('dialStream', url, pick(opts, streamNames)), opts, streamNames); }
  /** Puts a WebSocket on the call, which takes and gives text. */
  dialRelay(url: string, opts?: LegOptions & RelayOptions): this { return this.#leg('dialRelay', 'relay', toRelay('dialRelay', url, pick(opts, relayNames)), opts, relayNames); }
  /** Puts an agent on the call, by SIP: its ID or number at the provider. */
  dialAgent(provider: AgentProvider, id: string, opts?: LegOptions & SipOptions & { host?: string }): this {
    return this.#leg('dialAgent', 'agent', toAgent('dialAgent', provider, id, opts?.host, pick(opts, sipNames)), opts, [...sipNames, 'host']);
  }

  /** Joins this call to a bridge: all that are in it hear each other. */
  bridgeCall(name: string): this {
    const bridgeName = named('bridgeCall: the name', name);
    return this.#push({ kind: 'bridgeCall', make: () => [{ command: 'bridgeCall', bridgeName }] });
  }

  /** Asks, and waits for keys. What was pressed leads on; without option, match and onFail it comes to manage. */
  menu(name: string, describe: (menu: MenuItemBuilder) => unknown): this {
    const startMenu = named('menu: the name', name, 16);
    if (typeof describe !== 'function') refuse('menu needs a function that describes it');
    const item = new MenuItemBuilder(startMenu);
    describe(item);
    return this.#push({ kind: 'menu', make: (s) => [item.make(s)] });
  }

  /** Goes to another menu of the menu command that this stands in. */
  gotoMenu(name: string): this {
    const menuName = named('gotoMenu: the name', name, 16);
    return this.#push({ kind: 'gotoMenu', make: (s) => (s.knows(menuName) ? [{ command: 'gotoMenu', menuName }] : refuse(`gotoMenu: there is no menu ${menuName} around it`)) });
  }

  /** Waits, in milliseconds: 1 to 3600000. */
  pause(ms: number): this {
    const durationMilliseconds = whole('pause', ms, 1, 3600000);
    return this.#push({ kind: 'pause', make: () => [{ command: 'pause', durationMilliseconds }] });
  }

  /** Finds out who answered: a human, a machine, a machine's beep, or nobody knows. One answer for all of it. */
  amd(flows: AmdFlows = {}): this {
    const given = options('amd', flows, ['onHuman', 'onMachine', 'onBeep', 'onUnknown']);
    const made = Object.entries(given).map(([k, f]) => [k, flow(`amd: ${k}`, f as Flow)] as const);
    return this.#push({ kind: 'amd', make: (s) => [{ command: 'amd', ...(made.length > 0 && { events: Object.fromEntries(made.map(([k, b]) => [k, emit(b, s)])) }) }] });
  }

  /** Asks an address what to do, and waits for its answer: call.webhook.<name>, which webhooks or manage of onCall take. */
  webhook(name: string, url: string, opts?: { fallbackUrl?: string }): this {
    const webhookName = named('webhook: the name', name);
    const schemes = ['https:', 'http:'];
    const rest = { url: address('webhook: the address', url, schemes), ...members('webhook', options('webhook', opts, ['fallbackUrl']), { fallbackUrl: (w, v) => address(w, v, schemes) }) };
    return this.#push({ kind: 'webhook', make: (s) => [{ command: 'webhook', webhookName: s.take('webhookName', webhookName), ...rest }] });
  }

  /** Records into a place of yours. Unnamed it is called recording. */
  startRecording(opts: RecordingStart): this { return this.#push(recording(opts)); }

  /** Ends the recording of that name. */
  stopRecording(name = 'recording'): this {
    const recordingName = named('stopRecording: the name', name);
    return this.#push({ kind: 'stopRecording', make: () => [{ command: 'stopRecording', recordingName }] });
  }

  /** A command as it goes over the wire, which nobody here checks. */
  add(command: Command | { command: string; [member: string]: unknown }): this {
    if (typeof command?.command !== 'string' || command.command === '') refuse('add needs an object with a command');
    const copy = structuredClone(command) as Command;
    return this.#push({ kind: copy.command, make: () => [copy] });
  }

  /** The name of the incoming call's leg, for hangup(name) later; caller if it is left out. */
  callName(name: string): this {
    this.#name = named('callName', name);
    return this;
  }

  /** What is sent, as a new object. callName and what ends the dialled legs are in an answer to call.incoming alone, where they count. */
  build(): CallFlow { return this.buildFor(this.#call); }

  /** build, of a call that the builder was not given. */
  buildFor(call: Call | undefined): CallFlow {
    const s = new Session(call, this.#name);
    if (call?.event === 'call.incoming') s.take('callName', this.#name);
    const commands = structuredClone(emit(this, s));
    if (call?.event !== 'call.incoming' || commands.length === 0) return { commands };
    return { callName: this.#name, commands, ...(s.legs.length > 0 && { events: { onHangup: s.legs.map((callName) => ({ command: 'hangup', callName }) as const) } }) };
  }

  toJSON(): CallFlow { return this.build(); }

  #push(step: Step): this {
    if (this.#ended) refuse(`${step.kind} cannot follow hangup`);
    this.#steps.push(step);
    return this;
  }

  #play(step: Step): this {
    const before = this.#steps.at(-1);
    if (!this.#ended && before !== undefined && messages.get(before)?.join(step)) return this;
    return this.#push(step);
  }

  #leg(what: string, word: string, to: Endpoint, opts: LegOptions | undefined, more: readonly string[]): this {
    const given = options(what, opts, [...legNames, ...more]);
    for (const step of bridge(what, word, to, given)) this.#push(step);
    return this;
  }
}

const sipNames = ['transport', 'callHeaders'] as const;
const streamNames = ['streamOptions', 'callHeaders'] as const;
const relayNames = ['ttsVoice', 'sttLanguage', 'enableInterruptions', 'callHeaders'] as const;

const pick = (o: object | undefined, names: readonly string[]): Record<string, any> =>
  Object.fromEntries(Object.entries(o ?? {}).filter(([k, v]) => names.includes(k) && v !== undefined));

/** The builder of a flow: what a function returns, or the one that it was given. */
export function flow(what: string, f: Flow): CommandBuilder {
  if (f instanceof CommandBuilder) return f;
  if (typeof f !== 'function') refuse(`${what} must be a builder, or a function that is given one`);
  const given = new CommandBuilder();
  const made: unknown = f(given);
  if (made !== undefined && !(made instanceof CommandBuilder)) refuse(`${what} must return a builder at once, and no promise`);
  return made ?? given;
}
