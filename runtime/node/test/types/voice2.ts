// Compiled, and never run: what the types of Voice 2 allow, and, in the lines marked so, what they forbid.
import type { FunctionHandler } from '../../src/index.ts';
import { AgentProvider, type Call, type CallFlow, CommandBuilder, commands, dialPhone, hangup, onCall, say } from '../../src/voice/index.ts';

export const voiceWebhook: FunctionHandler = onCall({
  incoming: (call, builder) => builder.answer().say(`You called ${call.to?.type === 'PHONE' ? call.to.phone.number : 'us'}.`).menu('main', (m) => m
    .prompt('Press 1 for sales.').maxLength(1)
    .option('1', (c) => c.say('Connecting.').dialPhone('+15551111111', { onNoAnswer: (n) => n.say('Nobody is there.').hangup() }))
    .option('2', dialPhone('+15552222222'))
    .match(/[3-9]/, (c) => c.gotoMenu('main'))
    .onFail(say('Goodbye!').hangup())),
  answered: async (_call, builder, context) => { context.log.info('answered'); return builder.amd({ onHuman: (c) => c.say('Hello'), onMachine: hangup() }); },
  manage: (call, builder) => {
    if (call.event === 'call.menu') return builder.say(call.menu.menuName);
    return [{ command: 'pause', durationMilliseconds: 10 }];
  },
  completed: (call, _builder, context) => { context.log.info(call.callId, call.call.callId, call['anything']); },
  webhooks: { lookup: (_call, builder, _context, request) => builder.say(request.requestId) },
  fallback: () => null,
});

export const flow: CallFlow = commands().build();
export const agent = (call: Call) => new CommandBuilder(call).answer().dialAgent(AgentProvider.Grok, '+15550001234', { transport: 'TLS' }).build();
commands().dial({ type: 'SIP', sip: { endpoint: 'sip:a@example.com' } }, { onBusy: hangup() }).startRecording({ destination: 'AWS', url: 's3://b', credentials: 'c' });
commands().add({ command: 'somethingNew', option: 1 });

// @ts-expect-error no such handler
onCall({ incomming: () => null });
// @ts-expect-error a handler does not return a number
onCall({ incoming: () => 7 });
// @ts-expect-error a handler does not return SVAML of Voice 1
onCall({ incoming: () => ({ action: { name: 'hangup' } }) });
// @ts-expect-error an event cannot be changed
onCall({ incoming: (call) => { call.event = 'call.menu'; } });
// @ts-expect-error what was pressed is there for call.menu alone
onCall({ manage: (call, b) => b.say(call.menu.menuName) });
// @ts-expect-error the text is missing
commands().say();
// @ts-expect-error a misspelt option
commands().dialPhone('+15551111111', { onNoAnwser: hangup() });
// @ts-expect-error a telephone has no transport
commands().dialPhone('+15551111111', { transport: 'TLS' });
// @ts-expect-error a flow is no text
commands().dialPhone('+15551111111', { onNoAnswer: 'hangup' });
// @ts-expect-error a flow takes no time
commands().dialPhone('+15551111111', { onNoAnswer: async (c) => c });
// @ts-expect-error no such provider
commands().dialAgent('relay', '1');
// @ts-expect-error a webhook needs an address
commands().webhook('lookup');
// @ts-expect-error a recording needs credentials
commands().startRecording({ destination: 'AWS', url: 's3://b' });
// @ts-expect-error keys are a string
commands().menu('main', (m) => m.option(1, hangup()));
// @ts-expect-error an option leads to commands
commands().menu('main', (m) => m.option('1', 'return(sales)'));
// @ts-expect-error what is built has no methods
commands().build().say('a');
