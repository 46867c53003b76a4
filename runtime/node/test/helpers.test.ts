// What the root of the package has: its names, and results in a word.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Context, type Running } from '../src/context.ts';
import * as root from '../src/index.ts';
import { toReply } from '../src/result.ts';

test('each documented name is exported, and no other', () => {
  assert.deepEqual(Object.keys(root).sort(), [
    'ConfigError', 'ConversationController', 'createChannelMessage', 'createMessenger', 'createSms', 'createWhatsApp', 'textReply', 'getChannel', 'getContactId', 'getConversationId', 'getIdentity',
    'getLocation', 'getMedia', 'getPostbackData', 'getText', 'getTo', 'isMediaMessage', 'isPostback', 'isTextMessage',
    'accepted', 'badRequest', 'conflict', 'created', 'createConfig', 'createUniversalConfig', 'forbidden', 'html', 'json', 'noContent', 'notFound', 'ok',
    'redirect', 'serverError', 'text', 'tooManyRequests', 'unauthorized',
    'AceSvamlBuilder', 'AgentProvider', 'IceSvamlBuilder', 'MenuBuilder', 'MenuTemplates', 'PieSvamlBuilder', 'VoiceError', 'CommandBuilder', 'commands', 'onCall', 'createAceBuilder', 'createIceBuilder', 'createMenu', 'createPieBuilder',
  ].sort());
});

test('results in a word', () => {
  const cases: [root.FunctionResponse, number, string[], string | null][] = [
    [root.ok(), 204, [], null], [root.ok({ a: 1 }), 200, ['content-type', 'application/json'], '{"a":1}'], [root.ok('x'), 200, ['content-type', 'text/plain; charset=utf-8'], 'x'],
    [root.created({ id: 1 }, '/things/1'), 201, ['location', '/things/1', 'content-type', 'application/json'], '{"id":1}'], [root.created(), 201, [], null],
    [root.accepted(), 202, [], null], [root.noContent(), 204, [], null], [root.redirect('/x'), 302, ['location', '/x'], null], [root.redirect('/x', 308), 308, ['location', '/x'], null],
    [root.badRequest(), 400, ['content-type', 'application/json'], '{"error":"bad request"}'], [root.unauthorized('who?'), 401, ['content-type', 'application/json'], '{"error":"who?"}'],
    [root.forbidden(), 403, ['content-type', 'application/json'], '{"error":"forbidden"}'], [root.notFound(), 404, ['content-type', 'application/json'], '{"error":"not found"}'],
    [root.conflict(), 409, ['content-type', 'application/json'], '{"error":"conflict"}'],
    [root.tooManyRequests('slow down', 1.2), 429, ['retry-after', '2', 'content-type', 'application/json'], '{"error":"slow down"}'],
    [root.tooManyRequests(), 429, ['content-type', 'application/json'], '{"error":"too many requests"}'], [root.serverError(), 500, ['content-type', 'application/json'], '{"error":"internal error"}'],
    [root.json('x'), 200, ['content-type', 'application/json'], '"x"'], [root.json(undefined, 201), 201, ['content-type', 'application/json'], 'null'],
    [root.html('<p>', 404), 404, ['content-type', 'text/html; charset=utf-8'], '<p>'], [root.text('x'), 200, ['content-type', 'text/plain; charset=utf-8'], 'x'],
  ];
  for (const [result, status, headers, body] of cases) assert.deepEqual(toReply(result), { status, headers, body });
});

test('requireVariable of a context names what is missing', (t) => {
  process.env['POSTERN_TEST_THERE'] = 'yes';
  t.after(() => { delete process.env['POSTERN_TEST_THERE']; });
  const { config } = new Context({} as Running);
  assert.equal(config.requireVariable('POSTERN_TEST_THERE'), 'yes');
  assert.throws(() => config.requireVariable('POSTERN_TEST_MISSING'), { name: 'ConfigError', key: 'POSTERN_TEST_MISSING' });
});
