// Express 5 with a Basic middleware, as one finds it copied into services.
import { timingSafeEqual } from 'node:crypto';
import express from 'express';

const [port, user, password] = process.argv.slice(2);
const want = Buffer.from(`${user}:${password}`);

const app = express();
app.use((request, response, next) => {
  const [scheme, token] = (request.headers.authorization ?? '').split(' ');
  const shown = scheme?.toLowerCase() === 'basic' ? Buffer.from(token ?? '', 'base64') : Buffer.alloc(0);
  if (shown.length !== want.length || !timingSafeEqual(shown, want)) {
    response.set('www-authenticate', 'Basic realm="bench"').status(401).json({ error: 'unauthorized' });
    return;
  }
  next();
});
app.use(express.json(), express.raw({ limit: '1mb' }));
app.all('/webhook', ({ body }, response) => {
  response.json({ received: body === undefined ? null : Buffer.isBuffer(body) ? body.length : body.items.length });
});
app.listen(Number(port), '127.0.0.1');
