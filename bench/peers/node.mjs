// Bare node:http: the same answers, nobody asked who is calling. With a number behind the address, so many processes of it.
import cluster from 'node:cluster';
import { createServer } from 'node:http';

const [where, processes = '1'] = process.argv.slice(2);
if (cluster.isPrimary && processes !== '1') for (let i = 0; i < Number(processes); i++) cluster.fork();
else createServer(answer).listen(/^\d+$/.test(where) ? { port: Number(where), host: '127.0.0.1' } : where);

function answer(request, response) {
  if (request.method === 'GET') {
    reply(response, null);
    return;
  }
  const chunks = [];
  request.on('data', (chunk) => { chunks.push(chunk); });
  request.on('end', () => {
    const body = Buffer.concat(chunks);
    reply(response, request.headers['content-type'] === 'application/json' ? JSON.parse(body.toString('utf8')).items.length : body.length);
  });
}

function reply(response, received) {
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify({ received }));
}
