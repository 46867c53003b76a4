// As a user's unit test: it runs under plain Node, with nothing of the platform.
import { testing } from '@postern/functions/testing';
import { onCall } from '@postern/functions/voice/v2';
import { createIceBuilder } from '@postern/functions/voice';
import * as module from './function.js';

const found = testing.load(module);
const context = { env: { COMPANY_NAME: 'Ours' } };
const taken = await found.call('order', { body: { item: 'tea' }, context });
const refused = await found.call('order', { body: {} });
const ice = await found.call('ice', { body: { event: 'ice', callid: 'c', cli: '+15550001' } });
const sent: unknown[] = [];
const conversation = { messages: { send: async (what: { sendMessageRequestBody: unknown }) => { sent.push(what.sendMessageRequestBody); return { message_id: 'm' }; } } };
const message = { app_id: 'app', message: { contact_message: { text_message: { text: 'hi' } }, channel_identity: { channel: 'SMS', identity: '+15550001' } } };
const hook = await found.call('conversationWebhook', { body: message, context: { conversation } });
const status: number = hook.status;
// @ts-expect-error a status is a number
const text: string = hook.status;
const sdk = await found.call('conversationWebhook', { body: message, context: { env: { CONVERSATION_APP_ID: 'a', SINCH_PROJECT_ID: 'p', SINCH_KEY_ID: 'k', SINCH_KEY_SECRET: 's' } } }).catch((err: Error) => err.message);
console.log(JSON.stringify({ taken: [taken.status, taken.json()], refused: refused.status, ice: ice.json().action, hook: status, sent, sdk, voice: [typeof onCall, typeof createIceBuilder] }));
