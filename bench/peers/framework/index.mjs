// Google's framework for functions: it reads and parses bodies by itself, and asks nobody who is calling.
import { http } from '@google-cloud/functions-framework';

http('webhook', (request, response) => {
  const { body } = request;
  response.json({ received: request.method === 'GET' ? null : Buffer.isBuffer(body) ? body.length : body.items.length });
});
