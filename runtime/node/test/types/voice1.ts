// Compiled, and never run: what the types of Voice 1 allow, and, in the lines marked so, what they forbid.
import { AceSvamlBuilder, AgentProvider, createAceBuilder, createIceBuilder, createMenu, createPieBuilder, type FunctionContext, IceSvamlBuilder, MenuBuilder, MenuTemplates, PieSvamlBuilder } from '../../src/index.ts';
import type { AceEvent, FunctionRequest, IceCallback, IceEvent, Menu, PieEvent, Svaml, VoiceFunction } from '../../src/index.ts';

/** As a package of the sender's types it, which is not ours. */
interface TheirIceRequest { event?: 'ice'; callid?: string; cli?: string; to?: { type: string; endpoint: string } }

export default {
  async ice(context: FunctionContext, data: IceEvent) {
    const svaml: Svaml = new IceSvamlBuilder().answer().say('Welcome!').connectPstn('+15551234567', { cli: data.cli, enableAce: true, amd: { enabled: true } }).build();
    context.log.info(data.callid, data.callId, data.to?.endpoint);
    return svaml;
  },
  ace: (context, data: AceEvent) => (data.amd?.status === 'machine' ? createAceBuilder().hangup() : new AceSvamlBuilder().continue().build()),
  async pie(context, data) {
    const event: PieEvent = data;
    switch (event.menuResult.value) {
      case 'sales': return createPieBuilder().say('Connecting you.').connectPstn('+15551110001').build();
      default: return new PieSvamlBuilder().hangup().build();
    }
  },
  async dice(context, data, request) {
    const r: FunctionRequest = request;
    context.log.info(data.reason, data.result, r.rawBody.length);
  },
  notify: (context, data) => ({ type: data.type }),
  async status() { return { statusCode: 200 }; },
} satisfies VoiceFunction;

export const other = { async ice(context: FunctionContext, event: TheirIceRequest) { return createIceBuilder().say(event.cli ?? '').build(); } } satisfies VoiceFunction;
export const named: VoiceFunction['ice'] = (_context, data: IceCallback) => { void data.callid; };

const menu: Menu = createMenu().prompt('p').option('1', 'return(sales)').option('2', 'menu(sub)').menu('sub').prompt('q').build();
createIceBuilder().runMenu(menu).build();
createIceBuilder().runMenu(new MenuBuilder().prompt('p'), { barge: false }).build();
createAceBuilder().runMenu(MenuTemplates.yesNo('Well?')).build();
createIceBuilder().connectAgent(AgentProvider.ElevenLabs, 'agent').build();
createIceBuilder().connectAgent('grok', '+15550001234', { transport: 'tls' }).build();

// @ts-expect-error ACE does not connect calls
createAceBuilder().connectPstn('+15551234567');
// @ts-expect-error ACE does not answer
new AceSvamlBuilder().answer();
// @ts-expect-error ACE does not park
new AceSvamlBuilder().park();
// @ts-expect-error PIE does not answer
createPieBuilder().answer();
// @ts-expect-error PIE does not stream
new PieSvamlBuilder().say('a').connectStream('wss://example.com');
// @ts-expect-error the text is missing
createIceBuilder().say();
// @ts-expect-error a number is a string
createIceBuilder().connectPstn(15551234567);
// @ts-expect-error a misspelt option
createIceBuilder().connectPstn('+15551234567', { maxduration: 1 });
// @ts-expect-error no such transport
createIceBuilder().connectSip('a@b.example', { transport: 'SCTP' });
// @ts-expect-error no such provider
createIceBuilder().connectAgent('hal', '1');
// @ts-expect-error no such format
createIceBuilder().startRecording({ format: 'ogg' });
// @ts-expect-error an action is return(value) or menu(id)
createMenu().option('1', 'sales');
// @ts-expect-error a digit is a string
createMenu().option(1, 'return(a)');
// @ts-expect-error a menu is not a builder of answers
createMenu().say('a');
// @ts-expect-error what is built has no methods
createIceBuilder().build().say('a');
// @ts-expect-error no such template
MenuTemplates.casino();
// @ts-expect-error a callback does not return a number
export const wrong = { ice: () => 7 } satisfies VoiceFunction;
// @ts-expect-error a callback is a function
export const value = { ice: 'hangup' } satisfies VoiceFunction;
