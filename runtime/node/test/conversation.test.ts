// Callbacks of the Conversation API: which method gets which, what is refused, and what is sent.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as root from '../src/index.ts';
import { type ConversationEvent, ConversationController, type FunctionContext, type FunctionRequest, type MessageInboundEvent } from '../src/index.ts';

const settings = { CONVERSATION_APP_ID: 'app', FROM_NUMBER: '+15550100' };
const identity = { channel: 'SMS', identity: '+15550001' };
const inbound = (message: object, more: object = {}): MessageInboundEvent =>
  ({ trigger: 'MESSAGE_INBOUND', app_id: 'their-app', message: { id: 'm', contact_message: message, channel_identity: identity, contact_id: 'c', conversation_id: 'v', sender_id: '+15550999', ...more } }) as unknown as MessageInboundEvent;
const asked = (body: unknown): FunctionRequest => ({ body }) as FunctionRequest;

/** A controller that notes which of its methods ran. */
function recording(): { controller: ConversationController; ran: string[]; seen: ConversationEvent[] } {
  const ran: string[] = [];
  const seen: ConversationEvent[] = [];
  const controller = new ConversationController(null, settings);
  for (const name of Object.getOwnPropertyNames(ConversationController.prototype).filter((n) => n.startsWith('handle'))) {
    Object.assign(controller, { [name]: (event: ConversationEvent) => { ran.push(name); seen.push(event); } });
  }
  return { controller, ran, seen };
}

const members: [string, string, string][] = [
  ['message', 'MESSAGE_INBOUND', 'handleMessageInbound'],
  ['message_redaction', 'MESSAGE_INBOUND_SMART_CONVERSATION_REDACTION', 'handleMessageRedaction'],
  ['message_submit_notification', 'MESSAGE_SUBMIT', 'handleMessageSubmit'],
  ['message_delivery_report', 'MESSAGE_DELIVERY', 'handleMessageDelivery'],
  ['event', 'EVENT_INBOUND', 'handleEventInbound'],
  ['event_delivery_report', 'EVENT_DELIVERY', 'handleEventDelivery'],
  ['conversation_start_notification', 'CONVERSATION_START', 'handleConversationStart'],
  ['conversation_stop_notification', 'CONVERSATION_STOP', 'handleConversationStop'],
  ['conversation_delete_notification', 'CONVERSATION_DELETE', 'handleConversationDelete'],
  ['contact_create_notification', 'CONTACT_CREATE', 'handleContactCreate'],
  ['contact_delete_notification', 'CONTACT_DELETE', 'handleContactDelete'],
  ['contact_merge_notification', 'CONTACT_MERGE', 'handleContactMerge'],
  ['contact_update_notification', 'CONTACT_UPDATE', 'handleContactUpdate'],
  ['duplicated_identities', 'CONTACT_IDENTITIES_DUPLICATION', 'handleContactIdentitiesDuplication'],
  ['duplicated_contact_identities_notification', 'CONTACT_IDENTITIES_DUPLICATION', 'handleContactIdentitiesDuplication'],
  ['capability_notification', 'CAPABILITY', 'handleCapability'],
  ['opt_in_notification', 'OPT_IN', 'handleOptIn'],
  ['opt_out_notification', 'OPT_OUT', 'handleOptOut'],
  ['channel_event_notification', 'CHANNEL_EVENT', 'handleChannelEvent'],
  ['unsupported_callback', 'UNSUPPORTED', 'handleUnsupported'],
  ['smart_conversation_notification', 'SMART_CONVERSATIONS', 'handleSmartConversations'],
  ['record_notification', 'RECORD_NOTIFICATION', 'handleRecordNotification'],
];

test('each trigger has its method, and the first member in the documented order counts', async () => {
  for (const [i, [member, trigger, method]] of members.entries()) {
    const { controller, ran, seen } = recording();
    // All that come later are there too, in front of it.
    const body = Object.fromEntries([...members.slice(i).map(([m]) => m).reverse()].map((m) => [m, { of: m, contact_message: {} }]));
    assert.deepEqual(await controller.getWebhookHandler()({} as FunctionContext, asked({ app_id: 'a', trigger: 'FORGED', ...body })), { statusCode: 200 });
    assert.deepEqual([ran, seen[0]!.trigger, seen[0]![member].of, seen[0]!.app_id], [[method], trigger, member, 'a']);
  }
  assert.equal(Object.getOwnPropertyNames(ConversationController.prototype).filter((n) => n.startsWith('handle')).length, members.length - 1);
});

test('an event that nobody handles is taken with 200', async () => {
  const handler = new ConversationController().getWebhookHandler();
  for (const [member] of members) assert.deepEqual(await handler({} as FunctionContext, asked({ [member]: { contact_message: {} } })), { statusCode: 200 });
});

test('what is no event is 400 with the reason, and no method runs', async () => {
  const cases: [string, unknown, RegExp][] = [
    ['nothing', undefined, /no JSON object/], ['null', null, /no JSON object/], ['a number', 1, /no JSON object/], ['an array', [{ message: {} }], /no JSON object/],
    ['bytes', Buffer.from('{"message":{}}'), /no JSON object/], ['text that is no JSON', '{"message":', /no JSON$/], ['text of an array', '[]', /no JSON object/], ['empty text', '', /no JSON$/],
    ['an empty object', {}, /no event that is known/], ['an unknown event', { new_notification: {} }, /no event that is known/], ['an inherited name', Object.create({ message: { contact_message: {} } }), /no event that is known/],
    ['a name of Object.prototype', JSON.parse('{"__proto__":{"message":{"contact_message":{}}}}'), /no event that is known/],
    ['null in it', { message: null }, /message is no object/], ['text in it', { message_delivery_report: 'DELIVERED' }, /message_delivery_report is no object/], ['a first member that is broken', { message: 1, event: {} }, /message is no object/],
    ['a message without content', { message: { id: 'm' } }, /message has no contact_message/], ['a message whose content is text', { message: { contact_message: 'hi' } }, /message has no contact_message/],
  ];
  for (const [name, body, why] of cases) {
    const { controller, ran } = recording();
    const answer = await controller.getWebhookHandler()({} as FunctionContext, asked(body)) as root.FunctionResponse;
    assert.equal(answer.statusCode, 400, name);
    assert.match((answer.body as { error: string }).error, why, name);
    assert.match((answer.body as { error: string }).error, /^this is no event of the Conversation API: /, name);
    assert.deepEqual(ran, [], name);
  }
});

test('JSON that was sent as text is read', async () => {
  const { controller, seen } = recording();
  await controller.getWebhookHandler()({} as FunctionContext, asked('{"opt_in_notification":{"identity":"x"}}'));
  assert.equal(seen[0]!['opt_in_notification'].identity, 'x');
});

test('what a method returns is the answer, and what it throws is the failure of its request', async () => {
  class Bot extends ConversationController {
    override handleMessageInbound(event: MessageInboundEvent): root.ConversationResult {
      if (root.getText(event) === 'fail') throw new Error('failed');
      return root.accepted({ id: event.message.id });
    }
  }
  const handler = new Bot(null, settings).getWebhookHandler();
  assert.deepEqual(await handler({} as FunctionContext, asked(inbound({ text_message: { text: 'hi' } }))), root.accepted({ id: 'm' }));
  await assert.rejects(handler({} as FunctionContext, asked(inbound({ text_message: { text: 'fail' } }))), { message: 'failed' });
});

test('the client is that of the context, unless one is given; without one only sending fails', async () => {
  const sent: string[] = [];
  const client = (name: string): any => ({ messages: { send: async () => { sent.push(name); return { message_id: name }; } } });
  class Bot extends ConversationController {
    override async handleMessageInbound(event: MessageInboundEvent): Promise<root.FunctionResult> { return { ...await this.reply(event, 'yes') }; }
  }
  const hi = asked(inbound({ text_message: { text: 'hi' } }));
  const given = new Bot(client('given'), settings).getWebhookHandler();
  assert.deepEqual(await given({ conversation: client('context') } as FunctionContext, hi), { message_id: 'given' });
  const taken = new Bot(undefined, settings).getWebhookHandler();
  assert.deepEqual(await taken({ conversation: client('context') } as FunctionContext, hi), { message_id: 'context' });
  assert.deepEqual(sent, ['given', 'context']);
  await assert.rejects(new Bot(null, settings).getWebhookHandler()({ conversation: null } as FunctionContext, hi), /no client of the Conversation API: set CONVERSATION_APP_ID/);
  const broken = { get conversation(): never { throw new Error('not installed'); } } as unknown as FunctionContext;
  const bot = new Bot(undefined, settings).getWebhookHandler();
  assert.deepEqual(await bot(broken, asked({ opt_in_notification: {} })), { statusCode: 200 });
  await assert.rejects(bot(broken, hi), { message: 'not installed' });
});

test('getters read a message, its event, or what has an identity', () => {
  const text = inbound({ text_message: { text: 'hi' } });
  const getters = ['getText', 'getMedia', 'getPostbackData', 'getContactId', 'getConversationId', 'getChannel', 'getIdentity', 'getTo', 'getLocation', 'isTextMessage', 'isMediaMessage', 'isPostback'] as const;
  const all = (source: any): unknown[] => getters.map((name) => root[name](source));
  const place = { coordinates: { latitude: 1, longitude: 2 }, title: 't' };
  const media = { url: 'https://a.test/x.png' };
  const who = ['c', 'v', 'SMS', '+15550001', '+15550999'];
  assert.deepEqual(all(text), ['hi', undefined, undefined, ...who, undefined, true, false, false]);
  assert.deepEqual(all(text.message), all(text));
  assert.deepEqual(all(inbound({ media_message: media })), [undefined, media, undefined, ...who, undefined, false, true, false]);
  assert.deepEqual(all(inbound({ media_card_message: { ...media, caption: 'look' } })), ['look', { ...media, caption: 'look' }, undefined, ...who, undefined, false, true, false]);
  assert.deepEqual(all(inbound({ choice_response_message: { message_id: 'm', postback_data: 'yes' } })), [undefined, undefined, 'yes', ...who, undefined, false, false, true]);
  assert.deepEqual(all(inbound({ location_message: place })), [undefined, undefined, undefined, ...who, place, false, false, false]);
  assert.deepEqual(all({ trigger: 'MESSAGE_DELIVERY', message_delivery_report: { contact_id: 'c', conversation_id: '', channel_identity: identity } }), [undefined, undefined, undefined, 'c', undefined, 'SMS', '+15550001', undefined, undefined, false, false, false]);
  assert.deepEqual(all({ trigger: 'EVENT_INBOUND', event: { channel_identity: identity } }).slice(5, 7), ['SMS', '+15550001']);
  assert.deepEqual(all({ trigger: 'OPT_IN', opt_in_notification: {} }), [...Array(9).fill(undefined), false, false, false]);
});

test('messages are made as the API takes them', () => {
  const to = (channel: string, who: string): object => ({ identified_by: { channel_identities: [{ channel, identity: who }] } });
  const hi = { text_message: { text: 'hi' } };
  const body = (data: any): unknown => data.sendMessageRequestBody;
  assert.deepEqual(body(root.createSms('+15550001', 'hi', settings)), { app_id: 'app', recipient: to('SMS', '+15550001'), message: hi, channel_properties: { SMS_SENDER: '+15550100' } });
  assert.deepEqual(body(root.createSms('+15550001', 'hi', { CONVERSATION_APP_ID: 'app' })), { app_id: 'app', recipient: to('SMS', '+15550001'), message: hi });
  assert.deepEqual(body(root.createWhatsApp('+15550001', 'hi', settings)), { app_id: 'app', recipient: to('WHATSAPP', '+15550001'), message: hi });
  assert.deepEqual(body(root.createMessenger('psid', { media_message: { url: 'https://a.test/x' } }, settings)), { app_id: 'app', recipient: to('MESSENGER', 'psid'), message: { media_message: { url: 'https://a.test/x' } } });
  assert.deepEqual(body(root.createChannelMessage('MMS', { contact_id: 'c' }, 'hi', settings)), { app_id: 'app', recipient: { contact_id: 'c' }, message: hi, channel_properties: { MMS_SENDER: '+15550100' } });
  const controller = new ConversationController(null, settings);
  assert.deepEqual(controller.createMessage('+15550001', 'hi'), root.createSms('+15550001', 'hi', settings));
  assert.deepEqual(controller.createMessage('+15550001', 'hi', 'RCS'), root.createChannelMessage('RCS', '+15550001', 'hi', settings));
});

test('an answer goes to whom the message is from, on its channel', () => {
  const body = (data: any): unknown => data.sendMessageRequestBody;
  const hi = { text_message: { text: 'hi' } };
  const recipient = { identified_by: { channel_identities: [identity] } };
  const event = inbound({ text_message: { text: '?' } });
  const controller = new ConversationController(null, settings);
  assert.deepEqual(body(root.textReply(event, 'hi', settings)), { app_id: 'app', recipient, message: hi, channel_properties: { SMS_SENDER: '+15550100' } });
  assert.deepEqual(controller.createReply(event, 'hi'), root.textReply(event, 'hi', settings));
  assert.deepEqual(body(root.textReply(event, 'hi', {})), { app_id: 'their-app', recipient, message: hi, channel_properties: { SMS_SENDER: '+15550999' } });
  const elsewhere = inbound({}, { channel_identity: { channel: 'WHATSAPP', identity: '+15550001', app_id: 'x' } });
  assert.deepEqual(body(root.textReply(elsewhere, 'hi', settings)), { app_id: 'app', recipient: { identified_by: { channel_identities: [{ channel: 'WHATSAPP', identity: '+15550001' }] } }, message: hi });
  assert.deepEqual(body(root.textReply(inbound({}, { channel_identity: undefined }), 'hi', settings)), { app_id: 'app', recipient: { contact_id: 'c' }, message: hi });
  assert.throws(() => root.textReply(inbound({}, { channel_identity: {}, contact_id: '' }), 'hi', settings), /neither a channel identity nor a contact/);
  assert.throws(() => root.textReply(event.message, 'hi', {}), { name: 'ConfigError', key: 'CONVERSATION_APP_ID' });
  assert.throws(() => root.createSms('', 'hi', settings), /needs a recipient/);
  for (const nothing of [undefined, null, 5]) assert.throws(() => root.createSms('+1', nothing as unknown as string, settings), /a message is a text, or an object/);
});
