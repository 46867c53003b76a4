import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AceSvamlBuilder, AgentProvider, createAceBuilder, createIceBuilder, createMenu, createPieBuilder, IceSvamlBuilder, MenuBuilder, MenuTemplates, PieSvamlBuilder, VoiceError } from '../src/index.ts';
import { inspect } from '../src/loader.ts';
import { toReply } from '../src/result.ts';
import { golden } from './golden.ts';

const ice = (): any => createIceBuilder();
const pie = (): any => createPieBuilder();
const ace = (): any => createAceBuilder();
const menu = (): any => createMenu().prompt('p');
const built = (b: { build(): unknown }): unknown => b.build();

/** Every one of them must throw a VoiceError whose message has the text. */
function refused(cases: Record<string, readonly [() => unknown, string]>): void {
  for (const [name, [run, text]] of Object.entries(cases)) {
    assert.throws(run, (e) => e instanceof VoiceError && e.message.includes(text) && e.message.length < 400, name);
  }
}

test('instructions of SVAML', () => golden('svaml-instructions', {
  'say': () => built(ice().say('Welcome!')),
  'say with a locale': () => built(pie().say('Bonjour !', 'fr-FR')),
  'say with 600 characters': () => built(ace().say('é'.repeat(600))),
  'play': () => built(ice().play('https://example.com/a.mp3?x=1')),
  'playFiles': () => built(ice().playFiles(['file1.wav', 'file2.wav'], 'en-US')),
  'playFiles with directives': () => built(pie().playFiles(['#href[https://example.com/a.wav]', '#tts[Hello]', '#ssml[<speak>a</speak>]'], 'en-GB')),
  'playFiles without a locale': () => built(ice().playFiles(['file1.wav'])),
  'setCookie': () => built(ice().setCookie('language', 'sv-SE').setCookie('empty', '')),
  'setCookie with 1024 bytes': () => built(ace().setCookie('kk', 'v'.repeat(1022))),
  'answer': () => built(ice().answer()),
  'sendDtmf': () => built(ice().sendDtmf('ww1234#w#')),
  'startRecording': () => built(ice().startRecording()),
  'startRecording with options': () => built(pie().startRecording({
    destinationUrl: 's3://bucket/calls', credentials: 'key:secret', format: 'mp3', notificationEvents: true, transcriptionOptions: { enabled: true, locale: 'en-US' } })),
  'stopRecording': () => built(ace().stopRecording()),
  'several, in the order of the calls': () => built(ice().answer().say('a').play('http://example.com/b').setCookie('c', 'd').sendDtmf('1').startRecording({}).stopRecording()),
}));

test('actions of SVAML', () => golden('svaml-actions', {
  'hangup': () => built(ice().hangup()),
  'continue': () => [built(ice().continue()), built(ace().continue()), built(pie().continue())],
  'connectPstn': () => built(ice().connectPstn('+15551234567')),
  'connectPstn to the number that was called': () => built(ice().connectPstn()),
  'connectPstn with every option': () => built(ice().connectPstn('+15551234567', {
    cli: '+15550000000', maxDuration: 14400, dialTimeout: 30, locale: 'en-US', enableAce: true, dtmf: 'w1#', indications: 'SE', amd: { enabled: true, async: false } })),
  'connectPstn with timeout, an empty cli and undefined options': () => built(pie().connectPstn('15551234567', { cli: '', timeout: 20, locale: undefined, enableAce: false })),
  'connectPstn with suppressCallbacks': () => built(pie().connectPstn('+15551234567', { cli: 'private', suppressCallbacks: true })),
  'connectSip': () => built(ice().connectSip('46708000000@sip.example.com')),
  'connectSip and connectMxp to a destination': () => [built(ice().connectSip({ type: 'Sip', endpoint: 'a@example.com' })), built(pie().connectMxp({ type: 'username', endpoint: 'johndoe' }))],
  'connectSip with every option': () => built(pie().connectSip('sip:a@sip.example.com:5061;transport=tls', {
    maxDuration: 1, cli: 'a', transport: 'tls', suppressCallbacks: false, callHeaders: [{ key: 'k', value: '' }], moh: 'music1' })),
  'connectMxp': () => [built(ice().connectMxp('johndoe')), built(pie().connectMxp('jane doe', { callHeaders: [{ key: 'k', value: 'v' }] }))],
  'connectConf': () => [built(ice().connectConf('r'.repeat(64))), built(ace().connectConf('room')),
    built(pie().connectConf('my room', { conferenceDtmfOptions: { mode: 'detect', maxDigits: 4, timeoutMills: 3000 }, moh: 'ring' }))],
  'connectStream': () => [built(ice().connectStream('wss://example.com/ws')),
    built(ice().connectStream('ws://example.com/ws', { streamingOptions: { version: 1, sampleRate: 44100 }, maxDuration: 3600, callHeaders: [] }))],
  'connectAgent': () => [built(ice().connectAgent(AgentProvider.ElevenLabs, 'agent_1')), built(pie().connectAgent('grok', '+15550001234')),
    built(ice().connectAgent('elevenlabs', 'agent_1', { host: 'sip-static.rtc.elevenlabs.io:5061', transport: 'TCP', callHeaders: [{ key: 'X-User', value: '1' }] }))],
  'park': () => [built(ice().park()), built(pie().park({ locale: 'en-US', introPrompt: 'Please hold.', holdPrompt: '#href[https://example.com/moh.mp3]', maxDuration: 180 }))],
  'runMenu': () => [built(ice().runMenu(menu().build())), built(pie().runMenu(menu())), built(ace().runMenu(menu().build(), { barge: false, locale: 'en-US', enableVoice: true }))],
  'of several actions the last one': () => built(ice().connectPstn('+15551234567').say('a').hangup()),
  'nothing': () => [built(ice()), built(ace()), built(pie())],
}));

test('menus of Voice 1', () => golden('menus', {
  'defaults': () => menu().build(),
  'an option': () => menu().option('1', 'return(sales)').option('*', 'return(a b)').option('#', 'return(x)').build(),
  'every setting': () => menu().repeatPrompt('again').timeout(1000).repeats(5).maxDigits(20).barge(false).locale('sv-SE').enableVoice().build(),
  'the other ends of the limits': () => menu().timeout(30000).repeats(0).maxDigits(1).enableVoice(false).build(),
  'prompts that are directives': () => createMenu().prompt('#tts[Hello];#href[https://example.com/a.mp3]').repeatPrompt('#ssml[<speak>a</speak>]').build(),
  'several menus': () => menu().option('1', 'menu(sub)').menu('sub').prompt('PIN?').maxDigits(4).timeout(10000).option('0', 'menu(main)').menu('main').option('2', 'return(two)').build(),
  'a constructor': () => new MenuBuilder().prompt('p').build(),
}));

test('templates of menus', () => golden('menu-templates', {
  'business': () => MenuTemplates.business('Acme Corp'),
  'yesNo': () => MenuTemplates.yesNo('Are you well?'),
  'language': () => MenuTemplates.language(),
  'language of three': () => MenuTemplates.language([{ name: 'svenska', value: 'sv-SE' }, { name: 'English', value: 'en-GB' }, { name: 'suomi', value: 'fi' }]),
  'afterHours': () => MenuTemplates.afterHours('Acme Corp'),
  'recordingConsent': () => MenuTemplates.recordingConsent(),
  'numericInput': () => MenuTemplates.numericInput('Enter your account number.', 8),
  'callbackRequest': () => MenuTemplates.callbackRequest(),
  'customerService': () => MenuTemplates.customerService('Acme Corp'),
  'satisfactionSurvey': () => MenuTemplates.satisfactionSurvey(),
}));

test('an answer to one event refuses what only others take', () => {
  for (const name of ['connectPstn', 'connectSip', 'connectMxp', 'connectAgent', 'connectStream', 'park', 'answer']) {
    assert.throws(() => ace()[name](), (e) => e instanceof VoiceError && e.message.startsWith(`an answer to ACE does not take ${name}; it takes say, `), name);
  }
  for (const name of ['answer', 'connectStream']) assert.throws(() => pie()[name]('wss://example.com/'), /an answer to PIE does not take/, name);
  assert.throws(() => ice().connectIce(), TypeError);
});

test('instructions of SVAML refuse what breaks a limit', () => refused({
  'no text': [() => ice().say(), 'must be a string, not nothing'],
  'an empty text': [() => ice().say(''), 'is empty'],
  'a text too long': [() => ice().say('x'.repeat(601)), '601 characters; at most 600'],
  'a number as a text': [() => pie().say(7), 'not a number'],
  'a locale with a space': [() => ice().say('a', 'en US'), 'locale'],
  'an empty locale': [() => ice().say('a', ''), 'is empty'],
  'a file': [() => ice().play('greeting.mp3'), 'https:// or http://'],
  'a script': [() => ice().play('javascript:alert(1)'), 'https:// or http://'],
  'an address that ends its directive': [() => ice().play('https://example.com/a];#tts[forged'), 'https:// or http://'],
  'an address with a line break': [() => ice().play('https://example.com/\n'), 'https:// or http://'],
  'no files': [() => ice().playFiles([]), 'one file or more'],
  'a file that is no array': [() => ice().playFiles('a.wav', 'en-US'), 'one file or more'],
  'an empty file': [() => ice().playFiles(['a', '']), 'file 1 is empty'],
  'a spoken file without a locale': [() => ice().playFiles(['#tts[a]']), 'needs a locale'],
  'a cookie without a name': [() => ice().setCookie('', 'a'), 'is empty'],
  'a cookie of a number': [() => ice().setCookie('a', 1), 'not a number'],
  'a cookie too long': [() => ice().setCookie('a', 'v'.repeat(1025)), 'at most 1024'],
  'cookies too long together': [() => ice().setCookie('a', 'v'.repeat(1000)).setCookie('b', 'v'.repeat(23)), '1025 bytes; at most 1024'],
  'cookies too long in bytes, not in characters': [() => ice().setCookie('a', 'é'.repeat(512)), '1025 bytes; at most 1024'],
  'no tones': [() => ice().sendDtmf(''), 'is empty'],
  'a tone that is none': [() => ice().sendDtmf('12a'), '0-9, # and w'],
  'a star, which cannot be sent': [() => ice().sendDtmf('*'), '0-9, # and w'],
  'a misspelt option of a recording': [() => ice().startRecording({ destinationURL: 's3://x' }), 'no option "destinationURL"; it takes destinationUrl'],
  'a recording of another format': [() => ice().startRecording({ format: 'ogg' }), 'one of mp3, wav'],
  'a recording with an option of another kind': [() => ice().startRecording({ notificationEvents: 'yes' }), 'true or false'],
  'a recording with options in a string': [() => ice().startRecording('s3://x'), 'must be an object'],
}));

test('actions of SVAML refuse what breaks a limit', () => refused({
  'a number with spaces': [() => ice().connectPstn('+1 555 123'), 'E.164'],
  'a name': [() => ice().connectPstn('mother'), 'E.164'],
  'a number that is a number': [() => ice().connectPstn(15551234567), 'not a number'],
  'a number too long': [() => ice().connectPstn('+1234567890123456'), 'at most 16'],
  'no number but null': [() => ice().connectPstn(null), 'not null'],
  'a call too long': [() => ice().connectPstn('+15551234567', { maxDuration: 14401 }), 'from 1 to 14400, not 14401'],
  'a call of no time': [() => ice().connectPstn('+15551234567', { maxDuration: 0 }), 'from 1 to 14400'],
  'half a second': [() => ice().connectPstn('+15551234567', { maxDuration: 0.5 }), 'whole number'],
  'a duration in a string': [() => ice().connectPstn('+15551234567', { maxDuration: '60' }), 'not a string'],
  'two timeouts': [() => ice().connectPstn('+15551234567', { timeout: 1, dialTimeout: 1 }), 'are the same'],
  'enableAce and suppressCallbacks': [() => ice().connectPstn('+15551234567', { enableAce: true, suppressCallbacks: true }), 'contradict'],
  'a misspelt option': [() => ice().connectPstn('+15551234567', { maxduration: 1 }), 'no option "maxduration"'],
  'an option called __proto__': [() => ice().connectPstn('+15551234567', JSON.parse('{"__proto__":{"cli":"x"}}')), 'no option "__proto__"'],
  'amd without enabled': [() => ice().connectPstn('+15551234567', { amd: {} }), 'needs enabled'],
  'amd true': [() => ice().connectPstn('+15551234567', { amd: true }), 'must be an object'],
  'indications of a word': [() => ice().connectPstn('+15551234567', { indications: 'Sweden' }), 'two letters'],
  'tones that are none': [() => ice().connectPstn('+15551234567', { dtmf: 'x' }), '0-9, # and w'],
  'a SIP address without a host': [() => ice().connectSip('alice'), 'SIP address'],
  'a SIP address with a second one': [() => ice().connectSip('alice@example.com, bob@example.com'), 'SIP address'],
  'a transport that is none': [() => ice().connectSip('a@example.com', { transport: 'SCTP' }), 'one of UDP, TCP, TLS'],
  'music that is none': [() => ice().connectSip('a@example.com', { moh: 'jazz' }), 'one of ring'],
  'headers in an object': [() => ice().connectMxp('a', { callHeaders: { k: 'v' } }), 'array of { key, value }'],
  'a header without a key': [() => ice().connectMxp('a', { callHeaders: [{ value: 'v' }] }), 'callHeaders[0].key'],
  'a destination without an endpoint': [() => ice().connectSip({ type: 'sip' }), 'not nothing'],
  'a destination with more': [() => ice().connectMxp({ endpoint: 'a', user: 'b' }), 'no option "user"'],
  'an empty user': [() => ice().connectMxp(''), 'is empty'],
  'a conference ID too long': [() => ice().connectConf('r'.repeat(65)), '65 characters; at most 64'],
  'a conference without an ID': [() => ice().connectConf(), 'not nothing'],
  'a mode that is none': [() => ice().connectConf('r', { conferenceDtmfOptions: { mode: 'drop' } }), 'one of ignore, forward, detect'],
  'a stream over http': [() => ice().connectStream('https://example.com/ws'), 'wss:// or ws://'],
  'an agent of nobody': [() => ice().connectAgent('hal', '1'), 'one of elevenlabs, grok'],
  'an agent of a prototype': [() => ice().connectAgent('toString', '1'), 'one of elevenlabs, grok'],
  'an agent with a host in its ID': [() => ice().connectAgent('elevenlabs', 'a@evil.example'), 'without a host'],
  'an agent at a host with a path': [() => ice().connectAgent('elevenlabs', 'a', { host: 'example.com/x' }), 'host must be a host'],
  'a queue with a misspelt option': [() => ice().park({ prompt: 'a' }), 'no option "prompt"'],
  'a queue whose prompt ends its directive': [() => ice().park({ holdPrompt: 'a];#href[https://evil.example/' }), 'cannot have a "]"'],
  'a menu that is none': [() => ice().runMenu({}), 'createMenu()'],
  'a menu that is null': [() => ice().runMenu(null), 'createMenu()'],
  'a menu without main': [() => ice().runMenu({ menus: [{ id: 'sub' }] }), 'the ID main'],
  'a voice without a locale': [() => ice().runMenu(menu(), { enableVoice: true }), 'needs a locale'],
}));

test('menus refuse at once what breaks a limit', () => refused({
  'a prompt that is empty': [() => menu().prompt(''), 'is empty'],
  'a prompt too long': [() => menu().prompt('x'.repeat(4001)), 'at most 4000'],
  'a prompt that ends its directive': [() => menu().prompt('Acme];#href[https://evil.example/x'), 'cannot have a "]"'],
  'a directive with a tail': [() => menu().prompt('#tts[a] and more'), 'cannot have a "]"'],
  'a prompt with a line break': [() => menu().repeatPrompt('a\nb'), 'control character'],
  'no digit': [() => menu().option('', 'return(a)'), '0-9, * and #'],
  'two digits': [() => menu().option('12', 'return(a)'), '0-9, * and #'],
  'a letter': [() => menu().option('a', 'return(a)'), '0-9, * and #'],
  'a digit that is a number': [() => menu().option(1, 'return(a)'), '0-9, * and #'],
  'a digit twice': [() => menu().option('1', 'return(a)').option('1', 'return(b)'), '1 is taken in the menu main'],
  'an action that is a word': [() => menu().option('1', 'sales'), 'return(value) or menu(id)'],
  'an action of nothing': [() => menu().option('1', 'return()'), 'return(value) or menu(id)'],
  'an action with brackets in it': [() => menu().option('1', 'return(a)b)'), 'return(value) or menu(id)'],
  'an action that is neither': [() => menu().option('1', 'hangup(now)'), 'return(value) or menu(id)'],
  'a menu with a space': [() => menu().option('1', 'menu(a b)'), 'letters, digits'],
  'a timeout too short': [() => menu().timeout(999), 'from 1000 to 30000'],
  'a timeout too long': [() => menu().timeout(30001), 'from 1000 to 30000'],
  'a timeout of no number': [() => menu().timeout(NaN), 'from 1000 to 30000'],
  'repeats below zero': [() => menu().repeats(-1), 'from 0 to 5'],
  'repeats too many': [() => menu().repeats(6), 'from 0 to 5'],
  'no digits': [() => menu().maxDigits(0), 'from 1 to 20'],
  'too many digits': [() => menu().maxDigits(21), 'from 1 to 20'],
  'half a digit': [() => menu().maxDigits(1.5), 'from 1 to 20'],
  'barge of a word': [() => menu().barge('no'), 'true or false'],
  'a menu of an odd name': [() => menu().menu('a)b'), 'letters, digits'],
  'no prompt at all': [() => createMenu().option('1', 'return(a)').build(), 'the menu main has no prompt'],
  'a submenu without a prompt': [() => menu().menu('sub').build(), 'the menu sub has no prompt'],
  'a way to nowhere': [() => menu().option('1', 'menu(gone)').build(), 'leads with 1 to a menu that is not there: gone'],
  'a voice without a locale': [() => menu().enableVoice().build(), 'needs a locale'],
  'a template without a name': [() => (MenuTemplates as any).business(), 'not nothing'],
  'a template of nobody': [() => MenuTemplates.business(''), 'is empty'],
  'a template with a name too long': [() => MenuTemplates.afterHours('x'.repeat(4000)), 'at most 4000'],
  'a template with a forged name': [() => MenuTemplates.business('Acme];#href[https://evil.example/'), 'cannot have a "]"'],
  'too many digits in a template': [() => MenuTemplates.numericInput('PIN', 21), 'from 1 to 20'],
  'no languages': [() => MenuTemplates.language([]), 'one to nine'],
  'ten languages': [() => MenuTemplates.language(Array(10).fill({ name: 'a', value: 'b' })), 'one to nine'],
}));

test('a text in a prompt never becomes a directive', () => {
  let seed = 7;
  const pick = (list: readonly string[]): string => list[(seed = (seed * 1103515245 + 12345) % 2147483648) % list.length]!;
  const pieces = ['#tts[', '#href[', '#ssml[', ']', ';', '[', '#', 'https://evil.example/a.mp3', 'Acme', ' ', '\n', '\u0000', 'é', '\\'];
  let taken = 0;
  for (let i = 0; i < 5000; i++) {
    const company = Array.from({ length: 1 + (i % 6) }, () => pick(pieces)).join('');
    let sent: string;
    try {
      sent = MenuTemplates.business(company).menus[0]!.mainPrompt;
    } catch (err) {
      assert.ok(err instanceof VoiceError, company);
      continue;
    }
    taken++;
    assert.ok(sent.startsWith(`#tts[Thank you for calling ${company}. `) && sent.indexOf(']') === sent.length - 1, sent);
  }
  assert.ok(taken > 500 && taken < 4500, String(taken));
});

test('no refusal repeats a credential, a text or a number', () => {
  const secret = 'hunter2-secret';
  for (const run of [() => ice().startRecording({ credentials: secret.repeat(400) }), () => ice().say(secret.repeat(100)), () => ice().connectPstn(secret), () => ice().play(secret),
    () => ice().connectSip(secret), () => menu().option('1', secret), () => ice().connectPstn('+15551234567', { cli: secret.repeat(20) })]) {
    assert.throws(run, (e) => e instanceof VoiceError && !e.message.includes('hunter2'));
  }
});

test('what was built does not change when the builder goes on', () => {
  const headers = [{ key: 'k', value: 'v' }];
  const b = createIceBuilder().say('a').connectMxp('u', { callHeaders: headers });
  const first = b.build();
  const again = b.build();
  headers[0]!.value = 'changed';
  (first.instructions![0] as { text: string }).text = 'changed';
  assert.deepEqual(b.say('b').hangup().build(), { instructions: [{ name: 'say', text: 'a', locale: 'en-US' }, { name: 'say', text: 'b', locale: 'en-US' }], action: { name: 'hangup' } });
  assert.deepEqual(again, { instructions: [{ name: 'say', text: 'a', locale: 'en-US' }], action: { name: 'connectMxp', destination: { type: 'username', endpoint: 'u' }, callHeaders: [{ key: 'k', value: 'v' }] } });
  const m = createMenu().prompt('p');
  const one = m.build();
  m.option('1', 'return(a)').menu('x').prompt('q');
  assert.equal(one.menus.length, 1);
  assert.deepEqual(one.menus[0]!.options, undefined);
});

test('a refused call leaves a builder as it was', () => {
  const b = ice().say('a').setCookie('k', 'v'.repeat(1000));
  const before = JSON.stringify(b);
  for (const run of [() => b.say(''), () => b.connectPstn('x'), () => b.setCookie('k', 'v'.repeat(1000)), () => b.runMenu({})]) assert.throws(run, VoiceError);
  assert.equal(JSON.stringify(b), before);
});

test('classes and factories make the same builders', () => {
  assert.ok(createIceBuilder() instanceof (IceSvamlBuilder as any) && createAceBuilder() instanceof (AceSvamlBuilder as any) && createPieBuilder() instanceof (PieSvamlBuilder as any));
  class Ours extends (IceSvamlBuilder as any) { greet(): any { return (this as any).say('hi'); } }
  assert.deepEqual((new Ours() as any).greet().hangup().build(), { instructions: [{ name: 'say', text: 'hi', locale: 'en-US' }], action: { name: 'hangup' } });
  assert.equal(toReply(createIceBuilder().hangup()).body, '{"action":{"name":"hangup"}}');
});

/** Calls a callback of a module as the runtime would. */
function callback(name: string, f: (...args: any[]) => unknown, body: string, type = 'application/json', style?: string): { run: () => any; request: any } {
  const request = { headers: { 'content-type': type }, rawBody: Buffer.from(body), body: body === '' ? undefined : type.startsWith('application/json') ? JSON.parse(body) : Buffer.from(body), method: 'POST' };
  const handler = inspect({ default: { [name]: f, other: f } }, { style }).handlers.get(name)!;
  return { run: () => handler({} as any, request as any), request };
}

test('a callback is given its data, and the request behind it', () => {
  let got: unknown[] = [];
  const { run, request } = callback('ice', (...args) => { got = args; return { action: { name: 'hangup' } }; }, '{"event":"ice","callid":"c-1","cli":"+15551230000"}');
  assert.deepEqual(run(), { action: { name: 'hangup' } });
  assert.equal(got.length, 3);
  assert.equal(got[2], request);
  const data = got[1] as any;
  assert.deepEqual([data.callid, data.callId, data.CallId, data.cli], ['c-1', 'c-1', 'c-1', '+15551230000']);
  assert.equal(JSON.stringify(data), '{"event":"ice","callid":"c-1","cli":"+15551230000"}');
});

test('however the sender spells the ID of a call, each spelling reads it', () => {
  for (const spelt of ['callid', 'callId', 'CallId']) {
    let data: any;
    callback('pie', (_, d) => { data = d; }, JSON.stringify({ event: 'pie', [spelt]: 'c-2' })).run();
    assert.deepEqual([data.callid, data.callId, data.CallId, Object.keys(data)], ['c-2', 'c-2', 'c-2', ['event', spelt]]);
  }
  let none: any;
  callback('notify', (_, d) => { none = d; }, '{"event":"notify"}').run();
  assert.equal('callid' in none, false);
});

test('a callback reads JSON whatever its content-type calls it', () => {
  let data: any;
  callback('ice', (_, d) => { data = d; }, '{"event":"ice"}', 'application/x-www-form-urlencoded').run();
  assert.equal(data.event, 'ice');
});

test('a callback without a JSON object does not run', () => {
  for (const [body, type] of [['', 'application/json'], ['null', 'application/json'], ['[1]', 'application/json'], ['"ice"', 'application/json'], ['7', 'application/json'], ['', 'text/plain'], ['event=ice', 'application/x-www-form-urlencoded'], ['{"event":', 'text/plain']] as const) {
    let ran = false;
    const result = callback('ice', () => { ran = true; }, body, type).run();
    assert.deepEqual([ran, result.statusCode], [false, 400], `${type} ${body}`);
  }
});

test('a callback that returns nothing answers with empty SVAML', async () => {
  for (const nothing of [() => undefined, () => null, async () => undefined, async () => null]) {
    for (const name of ['ice', 'ace', 'pie', 'dice', 'notify']) {
      const reply = toReply(await callback(name, nothing, '{}').run());
      assert.deepEqual([reply.status, reply.body, reply.headers], [200, '{}', ['content-type', 'application/json']]);
    }
  }
});

test('a callback that throws throws, and a result with a status stays', async () => {
  assert.throws(() => callback('ice', () => { throw new Error('x'); }, '{}').run(), /x/);
  await assert.rejects(callback('ice', async () => { throw new Error('y'); }, '{}').run(), /y/);
  assert.deepEqual(callback('ice', () => ({ statusCode: 503 }), '{}').run(), { statusCode: 503 });
});

test('only callbacks are called so', () => {
  const f = (...args: unknown[]): unknown => args.length;
  const m = inspect({ ice: f, custom: f, voiceWebhook: f });
  assert.equal(m.handlers.get('custom'), f);
  assert.equal(m.handlers.get('voiceWebhook'), f);
  assert.notEqual(m.handlers.get('ice'), f);
  assert.equal(inspect({ ice: f, custom: f }, { style: 'event' }).handlers.get('ice'), f);
});
