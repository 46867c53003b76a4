import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from '../src/loader.ts';
import { toReply } from '../src/result.ts';
import * as voice from '../src/voice/index.ts';
import { type Call, CommandBuilder, commands, onCall, VoiceError } from '../src/voice/index.ts';
import { golden } from './golden.ts';

const phone = (number: string) => ({ type: 'PHONE', phone: { number } });
const fields = { callId: 'call-1', sessionId: 's-1', direction: 'INBOUND', from: phone('+15551230000'), to: phone('+15559990000') };
const incoming = { ...fields, event: 'call.incoming' } as unknown as Call;
const pressed = { ...fields, event: 'call.menu', menu: { menuName: 'main', input: '1' } } as unknown as Call;
const outbound = { ...fields, event: 'call.answered', direction: 'OUTBOUND' } as unknown as Call;

const b = (call?: Call): any => new CommandBuilder(call);
const list = (x: { build(): { commands: unknown } }): unknown => x.build().commands;

function refused(cases: Record<string, readonly [() => unknown, string]>): void {
  for (const [name, [run, text]] of Object.entries(cases)) {
    assert.throws(run, (e) => e instanceof VoiceError && e.message.includes(text) && e.message.length < 400, name);
  }
}

test('commands of Voice 2', () => golden('commands', {
  'nothing': () => b(incoming).build(),
  'answer': () => list(b().answer()),
  'say': () => list(b().say('Hello')),
  'say with a voice': () => [list(b().say('Hej', 'Astrid')), list(b().say('<speak>a</speak>', { voice: 'Brian', format: 'SSML', name: 'greeting', onFinish: (c: any) => c.pause(1) }))],
  'play': () => [list(b().play('https://example.com/a.mp3')), list(b().play('https://example.com/a.mp3', { name: 'music', onFinish: commands().hangup() }))],
  'say and play in a row': () => list(b().say('a').play('https://example.com/b').say('c')),
  'say beside one with a name': () => list(b().say('a').say('b', { name: 'x' }).say('c')),
  'stopMessages': () => list(b().stopMessages('music')),
  'hangup': () => list(b().hangup()),
  'hangup of a leg': () => list(b().hangup('destination').say('gone')),
  'hangup after say': () => list(b().answer().say('Goodbye').hangup()),
  'hangup after say with pauses and stopRecording between': () => list(b().say('Goodbye').pause(500).stopRecording('r').hangup()),
  'hangup after say that has its own end': () => list(b().say('Goodbye', { onFinish: (c: any) => c.pause(10) }).hangup()),
  'hangup after a menu': () => list(b().say('a').menu('main', (m: any) => m.prompt('p')).hangup()),
  'dial': () => list(b(incoming).dial('+15551111111')),
  'dial with everything': () => list(b().dial({ type: 'SIP', sip: { endpoint: 'a@example.com', transport: 'TLS' } }, {
    legName: 'desk', from: { type: 'SIP', sip: { endpoint: 'sip:b@example.com', displayName: 'B' } }, timeout: 20, maxDuration: 3600,
    onAnswer: (c: any) => c.bridgeCall('room'), onBusy: (c: any) => c.pause(1), onNoAnswer: (c: any) => c.pause(2), onHangup: (c: any) => c.hangup('caller') })),
  'dialPhone': () => b(incoming).dialPhone('+15551111111').build(),
  'dialPhone with everything': () => b(incoming).dialPhone('+15551111111', { legName: 'sales', from: '+15550000000', timeout: 30, maxDuration: 600, bridgeName: 'room',
    onAnswer: (c: any) => c.say('A customer.'), onNoAnswer: (c: any) => c.say('Nobody is there.').hangup() }).build(),
  'dialPhone twice': () => b(incoming).dialPhone('+15551111111').dialPhone('+15552222222').build(),
  'dialPhone in an answer to another event': () => b(pressed).dialPhone('+15551111111').build(),
  'dialPhone of a call that was made': () => b(outbound).dialPhone('+15551111111').build(),
  'dialSip': () => list(b(incoming).dialSip('alice@example.com', { transport: 'TCP', callHeaders: [{ key: 'X-A', value: '1' }], from: 'bob@example.com' })),
  'dialStream': () => list(b(incoming).dialStream('wss://example.com/media', { streamOptions: { version: 1, codec: 'PCM', sampleRate: 8000 } })),
  'dialRelay': () => [list(b(incoming).dialRelay('wss://example.com/text')), list(b(incoming).dialRelay('wss://example.com/text', { ttsVoice: 'Brian', sttLanguage: 'sv-SE', enableInterruptions: true }))],
  'dialAgent': () => [list(b(incoming).dialAgent('elevenlabs', 'agent_1')), list(b(incoming).dialAgent('grok', '+15550001234', { host: 'sip.example.com' }))],
  'connectAgent': () => voice.connectAgent(voice.AgentProvider.ElevenLabs, 'agent_1', { call: incoming }).build(),
  'bridgeTo': () => ['+15551111111', 'sip:a@example.com', 'wss://example.com/a', phone('+15551111111')].map((to) => list(b(incoming).bridgeTo(to))),
  'bridgeCall': () => list(b().bridgeCall('room')),
  'menu': () => list(b().menu('main', (m: any) => m.prompt('Press 1.').maxLength(1).option('1', (c: any) => c.say('One')).option('*0', commands().hangup()).match('[2-9]', (c: any) => c.pause(1)).onFail((c: any) => c.say('Bye').hangup()))),
  'menu with everything': () => list(b().menu('main', (m: any) => m.prompt((p: any) => p.say('a', 'Brian').play('https://example.com/b').bargeIn(false)).repeatPrompt('again').minLength(2).maxLength(100).timeout(60).repeats(10).terminator('#').match(/^\d+#$/, (c: any) => c.pause(1)))),
  'menu that asks only': () => list(b().menu('pin', (m: any) => m.prompt('PIN?').maxLength(4))),
  'gotoMenu': () => list(b().menu('main', (m: any) => m.prompt('p').option('1', (c: any) => c.gotoMenu('sub')).menu('sub', (n: any) => n.prompt('q').option('0', (c: any) => c.gotoMenu('main'))))),
  'menu that dials': () => b(incoming).answer().menu('main', (m: any) => m.prompt('p').option('1', (c: any) => c.dialPhone('+15551111111')).option('2', (c: any) => c.dialPhone('+15552222222'))).build(),
  'pause': () => list(b().pause(1500)),
  'amd': () => [list(b().amd()), list(b().amd({ onHuman: (c: any) => c.say('Hi'), onMachine: commands().hangup(), onBeep: (c: any) => c.say('Message'), onUnknown: (c: any) => c.hangup() }))],
  'webhook': () => [list(b().webhook('lookup', 'https://example.com/hook')), list(b().webhook('lookup', 'https://example.com/hook', { fallbackUrl: 'https://example.org/hook' }))],
  'startRecording': () => [list(b().startRecording({ destination: 'AWS', url: 's3://bucket', credentials: 'c' })), list(b().startRecording({ name: 'r', destination: 'azure', destinationUrl: 'https://example.com/x', credentials: 'c',
    format: 'mp3', recordingType: 'COMBINED', transcriptionOptions: { enabled: true, locale: 'en-US' }, onFinish: (c: any) => c.say('Done'), onFailure: (c: any) => c.hangup() }))],
  'stopRecording': () => [list(b().stopRecording()), list(b().stopRecording('r'))],
  'add': () => list(b().add({ command: 'somethingNew', x: { y: 1 } })),
  'a name for the call': () => b(incoming).callName('alice').dialPhone('+15551111111').build(),
}));

test('each command begins a flow as a function', () => {
  const called: Record<string, () => unknown> = {
    answer: voice.answer, say: () => voice.say('a'), play: () => voice.play('https://example.com/a'), stopMessages: () => voice.stopMessages('m'), hangup: () => voice.hangup(),
    dial: () => voice.dial('+15551111111'), dialPhone: () => voice.dialPhone('+15551111111'), dialSip: () => voice.dialSip('a@example.com'), dialStream: () => voice.dialStream('wss://example.com'),
    dialRelay: () => voice.dialRelay('wss://example.com'), dialAgent: () => voice.dialAgent('grok', '1'), bridgeTo: () => voice.bridgeTo('+15551111111'), bridgeCall: () => voice.bridgeCall('b'),
    menu: () => voice.menu('m', (m) => m.prompt('p')), pause: () => voice.pause(1), amd: () => voice.amd(), webhook: () => voice.webhook('w', 'https://example.com'),
    startRecording: () => voice.startRecording({ destination: 'AWS', url: 'u', credentials: 'c' }), stopRecording: () => voice.stopRecording(),
  };
  for (const [name, run] of Object.entries(called)) {
    const flow = run();
    assert.ok(flow instanceof CommandBuilder && flow.build().commands.length > 0, name);
  }
  assert.throws(() => voice.gotoMenu('m').build(), VoiceError);
});

test('commands refuse at once what breaks a rule', () => refused({
  'nothing to say': [() => b().say(''), 'is empty'],
  'something else than a text': [() => b().say(null), 'not null'],
  'a text too long': [() => b().say('x'.repeat(10001)), 'at most 10000'],
  'a misspelt option of say': [() => b().say('a', { locale: 'en' }), 'no option "locale"'],
  'a format that is none': [() => b().say('a', { format: 'MARKDOWN' }), 'one of TEXT, SSML'],
  'a file that is no address': [() => b().play('a.mp3'), 'https:// or http://'],
  'answer twice': [() => b().answer().answer(), 'answer stands twice'],
  'something after hangup': [() => b().hangup().say('a'), 'cannot follow hangup'],
  'something after say and hangup': [() => b().say('a').hangup().say('b'), 'cannot follow hangup'],
  'hangup twice': [() => b().hangup().hangup('x'), 'cannot follow hangup'],
  'a leg of an odd name': [() => b().hangup('a b'), 'letters, digits'],
  'a number with letters': [() => b().dialPhone('call me'), 'E.164'],
  'a number that is missing': [() => b().dialPhone(), 'not nothing'],
  'a misspelt option of a dial': [() => b().dialPhone('+15551111111', { name: 'x' }), 'no option "name"'],
  'an option of another dial': [() => b().dialPhone('+15551111111', { transport: 'TCP' }), 'no option "transport"'],
  'two names of a leg': [() => b().dialPhone('+15551111111', { legName: 'a', callName: 'b' }), 'are the same'],
  'a timeout of no time': [() => b().dialPhone('+15551111111', { timeout: 0 }), 'from 1 to 600'],
  'a call too long': [() => b().dialPhone('+15551111111', { maxDuration: 14401 }), 'from 1 to 14400'],
  'a from that is a name': [() => b().dialPhone('+15551111111', { from: 'Alice' }), 'E.164'],
  'a from that is a stream': [() => b().dialPhone('+15551111111', { from: { type: 'STREAM' } }), 'a number or a SIP address'],
  'a flow that is a text': [() => b().dialPhone('+15551111111', { onNoAnswer: 'hangup' }), 'a function that is given one'],
  'a flow that returns something else': [() => b().dialPhone('+15551111111', { onNoAnswer: () => 7 }), 'must return a builder'],
  'a flow that takes its time': [() => b().dialPhone('+15551111111', { onNoAnswer: async (c: any) => c }), 'no promise'],
  'a SIP address without a host': [() => b().dialSip('alice'), 'SIP address'],
  'a transport that is none': [() => b().dialSip('a@example.com', { transport: 'tls' }), 'one of UDP, TCP, TLS'],
  'a stream over http': [() => b().dialStream('https://example.com'), 'wss:// or ws://'],
  'a stream of an odd rate': [() => b().dialStream('wss://example.com', { streamOptions: { sampleRate: 8001 } }), 'must be 8000'],
  'a relay without an address': [() => b().dialRelay(), 'not nothing'],
  'an agent of nobody': [() => b().dialAgent('hal', '1'), 'one of elevenlabs, grok'],
  'a destination of no type': [() => b().dial({ phone: { number: '+15551111111' } }), 'one of PHONE, SIP'],
  'a destination of half a type': [() => b().dial({ type: 'PHONE' }), 'to needs phone'],
  'a bridge of an odd name': [() => b().bridgeCall(''), 'is empty'],
  'a menu without a function': [() => b().menu('main'), 'needs a function'],
  'a menu with a name too long': [() => b().menu('x'.repeat(17), () => {}), 'at most 16'],
  'a menu twice': [() => b().menu('main', (m: any) => m.menu('main', () => {})), 'is there already'],
  'letters for keys': [() => b().menu('main', (m: any) => m.option('1a', commands())), 'match takes a pattern'],
  'a pattern for keys': [() => b().menu('main', (m: any) => m.option('[12]', commands())), 'match takes a pattern'],
  'no keys': [() => b().menu('main', (m: any) => m.option('', commands())), 'match takes a pattern'],
  'keys that are a number': [() => b().menu('main', (m: any) => m.option(1, commands())), 'match takes a pattern'],
  'the same keys twice': [() => b().menu('main', (m: any) => m.option('1', commands()).option('1', commands())), 'stand twice'],
  'keys and a pattern that are the same': [() => b().menu('main', (m: any) => m.option('1', commands()).match('1', commands())), 'stand twice'],
  'a pattern that is none': [() => b().menu('main', (m: any) => m.match('(', commands())), 'no regular expression'],
  'a pattern with flags': [() => b().menu('main', (m: any) => m.match(/a/i, commands())), 'cannot have flags'],
  'more than fifty keys': [() => b().menu('main', (m: any) => { for (let i = 0; i < 51; i++) m.option(`1${i}`, commands()); }), 'at most 50'],
  'onFail twice': [() => b().menu('main', (m: any) => m.onFail(commands()).onFail(commands())), 'onFail stands twice'],
  'a length too long': [() => b().menu('main', (m: any) => m.maxLength(101)), 'from 1 to 100'],
  'no length': [() => b().menu('main', (m: any) => m.minLength(0)), 'from 1 to 100'],
  'a menu that waits too long': [() => b().menu('main', (m: any) => m.timeout(61)), 'from 1 to 60'],
  'a menu that asks too often': [() => b().menu('main', (m: any) => m.repeats(11)), 'from 0 to 10'],
  'a terminator of letters': [() => b().menu('main', (m: any) => m.terminator('x')), 'terminator'],
  'a prompt that says nothing': [() => b().menu('main', (m: any) => m.prompt(() => {})), 'says nothing'],
  'a prompt of eleven': [() => b().menu('main', (m: any) => m.prompt((p: any) => { for (let i = 0; i < 11; i++) p.say('a'); })), 'at most 10'],
  'a pause of no time': [() => b().pause(0), 'from 1 to 3600000'],
  'a pause in a text': [() => b().pause('1s'), 'not a string'],
  'amd of something else': [() => b().amd({ onRobot: commands() }), 'no option "onRobot"'],
  'a webhook without an address': [() => b().webhook('w'), 'not nothing'],
  'a webhook of an odd name': [() => b().webhook('a/b', 'https://example.com'), 'letters, digits'],
  'a recording without a place': [() => b().startRecording({ credentials: 'c' }), 'needs destination'],
  'a recording without credentials': [() => b().startRecording({ destination: 'AWS', url: 'u' }), 'needs credentials'],
  'a recording in two places': [() => b().startRecording({ destination: 'AWS', url: 'u', destinationUrl: 'u', credentials: 'c' }), 'are the same'],
  'a recording elsewhere': [() => b().startRecording({ destination: 'FTP', url: 'u', credentials: 'c' }), 'one of AWS, GCP, AZURE'],
  'a command without a name': [() => b().add({}), 'needs an object with a command'],
}));

test('what breaks a rule of the whole is refused before anything is sent', () => {
  const own = b();
  own.menu('main', (m: any) => m.prompt('p').option('1', own));
  refused({
    'two legs of a name': [() => b().dialPhone('+15551111111', { legName: 'a' }).dialPhone('+15552222222', { legName: 'a' }).build(), 'the callName a is taken'],
    'a leg that is called as the caller': [() => b(incoming).dialPhone('+15551111111', { legName: 'caller' }).build(), 'the callName caller is taken'],
    'two legs of a name in different options': [() => b().menu('m', (m: any) => m.option('1', voice.dialPhone('+15551111111', { legName: 'a' })).option('2', voice.dialPhone('+15552222222', { legName: 'a' }))).build(), 'is taken'],
    'two webhooks of a name': [() => b().webhook('w', 'https://example.com').webhook('w', 'https://example.com').build(), 'the webhookName w is taken'],
    'two recordings of a name': [() => b().startRecording({ name: 'r', destination: 'AWS', url: 'u', credentials: 'c' }).startRecording({ name: 'r', destination: 'AWS', url: 'u', credentials: 'c' }).build(), 'the recordingName r is taken'],
    'two messages of a name': [() => b().say('a', { name: 'm' }).say('b', { name: 'm' }).build(), 'the messagesName m is taken'],
    'gotoMenu outside of a menu': [() => b().gotoMenu('main').build(), 'there is no menu main around it'],
    'gotoMenu to nowhere': [() => b().menu('main', (m: any) => m.option('1', (c: any) => c.gotoMenu('gone'))).build(), 'there is no menu gone'],
    'gotoMenu to a menu of another command': [() => b().menu('a', (m: any) => m.option('1', (c: any) => c.menu('b', (n: any) => n.option('1', (d: any) => d.gotoMenu('a'))))).build(), 'there is no menu a'],
    'a flow that holds itself': [() => own.build(), 'nested deeper'],
  });
});

test('unnamed legs and recordings are counted through the whole answer', () => {
  const flow = b(incoming).dialPhone('+15551111111', { onNoAnswer: (c: any) => c.dialPhone('+15552222222') }).dialSip('a@example.com').dialStream('wss://example.com').build();
  assert.deepEqual(flow.events.onHangup.map((h: any) => h.callName), ['destination', 'destination-2', 'destination-3', 'stream']);
  assert.deepEqual(flow.commands[0].events.onBusy, flow.commands[0].events.onTimeout);
  assert.equal(flow.commands[0].events.onReject[0].callName, 'destination-2');
  const record = { destination: 'AWS', url: 'u', credentials: 'c' };
  assert.deepEqual(b().startRecording(record).startRecording(record).build().commands.map((c: any) => c.recordingName), ['recording', 'recording-2']);
});

test('a dial never answers', () => {
  for (const dialled of [b(incoming).dialPhone('+15551111111'), b(incoming).dialSip('a@example.com'), b(incoming).dialStream('wss://example.com'), b(incoming).dialRelay('wss://example.com'),
    b(incoming).dialAgent('grok', '1'), b(incoming).bridgeTo('+15551111111'), b(incoming).dial('+15551111111')]) {
    assert.equal(JSON.stringify(dialled).includes('"answer"'), false);
  }
});

test('what was built of commands does not change when the builder goes on', () => {
  const flow = b(incoming).say('a');
  const first = flow.build();
  flow.say('b').dialPhone('+15551111111');
  assert.deepEqual(first.commands, [{ command: 'messages', messages: [{ type: 'SAY', say: { text: 'a', voiceName: 'Emma' } }] }]);
  assert.deepEqual(flow.build(), flow.build());
});

const request = (body: unknown): any => ({ method: 'POST', path: '/', headers: {}, body, rawBody: Buffer.isBuffer(body) ? body : Buffer.alloc(0) });
const send = (h: voice.CallHandlers, body: unknown): any => (onCall(h) as any)({ context: true }, request(body));

test('an event goes to the handler of its kind', () => {
  const went = (event: string): unknown => {
    let slot: unknown = 'nobody';
    const say = (name: string) => () => { slot = name; };
    send({ incoming: say('incoming'), answered: say('answered'), manage: say('manage'), completed: say('completed'), fallback: say('fallback'), webhooks: { lookup: say('webhooks.lookup') } }, { event, call: fields });
    return slot;
  };
  for (const [event, slot] of Object.entries({
    'call.incoming': 'incoming', 'call.answered': 'answered', 'call.menu': 'manage', 'call.webhook.lookup': 'webhooks.lookup', 'call.webhook.other': 'manage', 'call.webhook.toString': 'manage',
    'call.webhook.__proto__': 'manage', 'call.webhook.': 'manage', 'call.hangup': 'completed', 'call.failed': 'completed', 'call.busy': 'fallback', 'call.amd.human': 'fallback', 'call.recording.finished': 'fallback',
    'call.incoming.x': 'fallback', 'call.new': 'fallback', 'session.ended': 'fallback', 'CALL.INCOMING': 'fallback',
  })) assert.equal(went(event), slot, event);
});

test('what has no handler goes to fallback, and without one is 204', () => {
  for (const event of ['call.incoming', 'call.answered', 'call.menu', 'call.webhook.x', 'call.hangup', 'call.failed', 'call.busy']) {
    let got = '';
    send({ fallback: (call) => { got = call.event; } }, { event, call: fields });
    assert.equal(got, event);
    assert.equal(toReply(send({}, { event, call: fields })).status, 204);
  }
});

test('a handler is given the call, a builder, the context and the request', () => {
  let args: any[] = [];
  const body = { event: 'call.menu', call: fields, menu: { menuName: 'main', input: '1' } };
  send({ manage: (...a) => { args = a; } }, body);
  const [call, builder, context, req] = args;
  assert.deepEqual([call.event, call.callId, call.from, call.menu.input, context.context, req.body], ['call.menu', 'call-1', phone('+15551230000'), '1', true, body]);
  assert.ok(builder instanceof CommandBuilder);
  assert.equal(call.call, call);
  assert.equal(JSON.stringify(call).includes('"call":'), false);
  assert.throws(() => { call.event = 'forged'; }, TypeError);
});

test('a call cannot say what its event is', () => {
  let got: any;
  send({ incoming: (call) => { got = call; }, completed: () => assert.fail('ran') }, { event: 'call.incoming', call: { ...fields, event: 'call.hangup', call: 'forged', menu: 'forged' } });
  assert.deepEqual([got.event, got.call === got], ['call.incoming', true]);
});

test('what a handler returns is what is answered', async () => {
  const flow = { callName: 'caller', commands: [{ command: 'answer' }] };
  const cases: Record<string, [voice.CallHandler, unknown]> = {
    'the builder': [(_c, x) => x.answer(), flow],
    'what it built': [(_c, x) => x.answer().build(), flow],
    'a builder of its own': [() => commands().answer(), flow],
    'a flow by hand': [() => ({ commands: [{ command: 'answer' }] }), { commands: [{ command: 'answer' }] }],
    'commands by hand': [() => [{ command: 'answer' }], { commands: [{ command: 'answer' }] }],
    'no commands': [(_c, x) => x, { commands: [] }],
    'an empty array': [() => [], { commands: [] }],
    'a promise': [async (_c, x) => x.answer(), flow],
    'a status': [() => ({ statusCode: 503 }), { statusCode: 503 }],
    'nothing': [() => undefined, null],
    'null': [() => null, null],
    'a promise of nothing': [async () => {}, null],
  };
  for (const [name, [handler, want]] of Object.entries(cases)) assert.deepEqual(await send({ incoming: handler }, { event: 'call.incoming', call: fields }), want, name);
  assert.equal(toReply(send({ incoming: () => {} }, { event: 'call.incoming' })).status, 204);
});

test('what a handler cannot return is an error, and not an answer', async () => {
  for (const bad of [7, 'hangup', true, {}, { command: 'answer' }, () => commands()]) {
    assert.throws(() => send({ incoming: (() => bad) as any }, { event: 'call.incoming', call: fields }), VoiceError, String(bad));
    await assert.rejects(send({ incoming: (async () => bad) as any }, { event: 'call.incoming', call: fields }), VoiceError, String(bad));
  }
  await assert.rejects(send({ incoming: async () => { throw new Error('late'); } }, { event: 'call.incoming', call: fields }), /late/);
});

test('nothing is sent to a call that is over', async () => {
  for (const event of ['call.hangup', 'call.failed']) {
    for (const handler of [(_c: any, x: any) => x.say('a'), async (_c: any, x: any) => x.say('a'), () => 7]) assert.equal(await send({ completed: handler }, { event, call: fields }), null);
  }
});

test('a body that is no event is refused, and no handler runs', () => {
  const ran: string[] = [];
  const all = { incoming: () => { ran.push('incoming'); }, fallback: () => { ran.push('fallback'); } };
  for (const body of [undefined, null, '', 'call.incoming', 7, [], {}, { event: '' }, { event: 7 }, { event: ['call.incoming'] }, { event: 'call.incoming', call: 'x' }, { event: 'call.incoming', call: [] }, { event: 'call.incoming', call: null }, Buffer.from('{"event":'), Buffer.from('"call.incoming"')]) {
    assert.equal(send(all, body).statusCode, 400, JSON.stringify(body));
  }
  assert.deepEqual(ran, []);
  send(all, Buffer.from('{"event":"call.incoming"}')); // JSON that its sender calls nothing
  assert.deepEqual(ran, ['incoming']);
});

test('onCall refuses handlers that it does not know', () => refused({
  'a misspelt one': [() => onCall({ incomming: () => {} } as any), 'not incomming'],
  'one that is no function': [() => onCall({ incoming: commands() } as any), 'not incoming'],
  'webhooks that are a function': [() => onCall({ webhooks: () => {} } as any), 'not webhooks'],
  'a webhook that is no function': [() => onCall({ webhooks: { a: 1 } } as any), 'not webhooks'],
}));

test('voiceWebhook of onCall is a handler of a service, by name and in the default export', () => {
  const voiceWebhook = onCall({});
  assert.deepEqual(inspect({ voiceWebhook }).declared, [{ name: 'voiceWebhook', kind: 'service' }]);
  assert.deepEqual(inspect({ default: { voiceWebhook } }).declared, [{ name: 'voiceWebhook', kind: 'service' }]);
});
