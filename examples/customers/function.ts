import { db } from './db.ts';

export async function handler(event) {
  // No API key validation needed — gateway already enforced auth
  // event.requestContext.identity.apiKeyId is available if you need key metadata
  const customerId = event.pathParameters?.customerId;
  if (!customerId) return { statusCode: 400, body: JSON.stringify({ error: 'customerId required' }) };
  const customer = await db.customers.findById(customerId);
  if (!customer) return { statusCode: 404, body: JSON.stringify({ error: 'not found' }) };
  return { statusCode: 200, body: JSON.stringify({ customer }) };
}
