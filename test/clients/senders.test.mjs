// The libraries of senders sign, and the gateway verifies; what the gateway
// takes the libraries take too. The function is examples/webhooks.
import assert from 'node:assert/strict';
import { createHmac, randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { sign, verify } from '@octokit/webhooks-methods';
import { Webhook } from 'standardwebhooks';
import Stripe from 'stripe';
import { basic, gateway, newKey } from './postern.mjs';

const stripe = new Stripe('sk_test_none');
const messages = 'whsec_Y2hhbmdlLW1lLXBsZWFzZQ==';
const hooks = `${gateway}/fn/webhooks`;

async function send(path, payload, headers) {
  const response = await fetch(hooks + path, { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body: payload });
  const body = await response.json();
  return { status: response.status, code: body.code };
}

let reader;

/** seen is what the handlers were given. */
async function seen() {
  reader ??= newKey();
  const key = await reader;
  return (await (await fetch(`${hooks}/events`, { headers: { authorization: basic(key.id, key.secret) } })).json()).events;
}

const event = (type) => JSON.stringify({ id: `evt_${randomUUID()}`, type });

/** refused sends what must not run, and looks whether it ran. */
async function refused(path, payload, headers) {
  const before = (await seen()).length;
  assert.deepEqual(await send(path, payload, headers), { status: 401, code: 'signature_required' });
  assert.equal((await seen()).length, before);
}

const stripeHeader = (payload, secret = 'change-me-stripe', timestamp = Math.floor(Date.now() / 1000)) =>
  stripe.webhooks.generateTestHeaderString({ payload, secret, timestamp });

test('Stripe signs', async () => {
  const payload = event('charge.succeeded');
  const headers = { 'stripe-signature': stripeHeader(payload) };
  assert.equal((await send('/payments', payload, headers)).status, 200);
  assert.equal((await seen()).at(-1).id, JSON.parse(payload).id);
  await refused('/payments', payload, headers); // again
  await refused('/payments', `${payload} `, { 'stripe-signature': stripeHeader(payload) });
  for (const [secret, age] of [['change-me-github', 0], ['', 0], ['change-me-stripe', 185], ['change-me-stripe', -200]]) {
    const other = event('charge.failed');
    await refused('/payments', other, { 'stripe-signature': stripeHeader(other, secret || 'x', Math.floor(Date.now() / 1000) - age) });
  }
});

test('what is signed as the gateway takes it, Stripe takes', async () => {
  const payload = event('charge.refunded');
  const t = Math.floor(Date.now() / 1000);
  const header = `t=${t},v1=${createHmac('sha256', 'change-me-stripe').update(`${t}.${payload}`).digest('hex')}`;
  assert.equal(stripe.webhooks.constructEvent(payload, header, 'change-me-stripe').type, 'charge.refunded');
  assert.equal((await send('/payments', payload, { 'stripe-signature': header })).status, 200);
});

test('GitHub signs', async () => {
  const payload = event('push');
  const headers = { 'x-hub-signature-256': await sign('change-me-github', payload), 'x-github-event': 'push' };
  assert.equal(await verify('change-me-github', payload, headers['x-hub-signature-256']), true);
  assert.equal((await send('/github', payload, headers)).status, 200);
  await refused('/github', payload, headers); // again
  const other = event('push');
  await refused('/github', other, headers);
  await refused('/github', other, { 'x-hub-signature-256': await sign('change-me-stripe', other) });
  await refused('/github', other, { 'x-hub-signature': (await sign('change-me-github', other)).replace('sha256', 'sha1') });
});

test('Standard Webhooks, in both directions', async () => {
  const hook = new Webhook(messages);
  const payload = event('message.sent');
  const at = new Date();
  const headers = { 'webhook-id': 'msg_1', 'webhook-timestamp': String(Math.floor(at / 1000)), 'webhook-signature': hook.sign('msg_1', at, payload) };
  assert.equal((await send('/messages', payload, headers)).status, 200);
  assert.deepEqual((await seen()).at(-1), { scheme: 'standard-webhooks', id: 'msg_1', type: 'message.sent' });
  await refused('/messages', payload, headers); // again
  await refused('/messages', payload, { ...headers, 'webhook-id': 'msg_2' });
  await refused('/messages', payload, { ...headers, 'webhook-signature': new Webhook('whsec_AAAA').sign('msg_1', at, payload) });

  const t = headers['webhook-timestamp'];
  const ours = { ...headers, 'webhook-id': 'msg_3', 'webhook-signature': `v1,${createHmac('sha256', Buffer.from('Y2hhbmdlLW1lLXBsZWFzZQ==', 'base64')).update(`msg_3.${t}.${payload}`).digest('base64')}` };
  assert.deepEqual(hook.verify(payload, ours), JSON.parse(payload));
  assert.equal((await send('/messages', payload, ours)).status, 200);
});

test('a signature opens the route of its sender, and no other', async () => {
  const payload = event('push');
  const headers = { 'x-hub-signature-256': await sign('change-me-github', payload), 'stripe-signature': stripeHeader(payload, 'change-me-github') };
  await refused('/payments', payload, headers);
  await refused('/messages', payload, headers);
  const response = await fetch(`${hooks}/events`, { headers });
  assert.equal(response.status, 401);
});
