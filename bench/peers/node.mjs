// Bare node:http: the same answer, nobody asked who is calling.
import { createServer } from 'node:http';

const [where] = process.argv.slice(2);
createServer((request, response) => {
  response.setHeader('content-type', 'application/json');
  response.end('{"received":null}');
}).listen(/^\d+$/.test(where) ? { port: Number(where), host: '127.0.0.1' } : where);
