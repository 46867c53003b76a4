// A server of node:http, and a WebSocket that says everything back, by hand: what
// a library would do, and no more (RFC 6455).
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';

let asked = 0; // requests that got here: one that the gateway refuses does not

const server = createServer((req, res) => {
  switch (req.url) {
    case '/count':
      return res.end(String(asked));
    case '/health':
      return res.end('healthy, says the program');
    case '/echo':
      asked++;
      res.setHeader('content-type', req.headers['content-type'] ?? 'application/octet-stream');
      return req.pipe(res); // as it comes
    default:
      res.statusCode = 404;
      res.end();
  }
});

server.on('upgrade', (req, socket, head) => {
  asked++;
  const accept = createHash('sha1').update(`${req.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`);
  socket.on('error', () => {});
  let pending = head;
  const read = (chunk) => {
    pending = Buffer.concat([pending, chunk]);
    for (let frame = take(); frame !== undefined; frame = take()) {
      if (frame.opcode === 8) return socket.end(pack(8, frame.data));
      if (frame.opcode === 9) socket.write(pack(10, frame.data));
      else if (frame.opcode < 3) socket.write(pack(frame.opcode, frame.data, frame.final));
    }
  };
  // take is the next whole frame of what has come; a client's are masked.
  const take = () => {
    if (pending.length < 2) return undefined;
    let length = pending[1] & 0x7f;
    let at = 2;
    if (length === 126 && pending.length >= 4) [length, at] = [pending.readUInt16BE(2), 4];
    else if (length === 127 && pending.length >= 10) [length, at] = [Number(pending.readBigUInt64BE(2)), 10];
    else if (length > 125) return undefined;
    if (pending.length < at + 4 + length) return undefined;
    const mask = pending.subarray(at, at + 4);
    const data = Buffer.from(pending.subarray(at + 4, at + 4 + length));
    for (let i = 0; i < length; i++) data[i] ^= mask[i & 3];
    const frame = { final: pending[0] >> 7, opcode: pending[0] & 15, data };
    pending = pending.subarray(at + 4 + length);
    return frame;
  };
  socket.on('data', read);
  read(Buffer.alloc(0));
});

// pack makes a server's frame, which has no mask.
function pack(opcode, data, final = 1) {
  const head = data.length < 126 ? Buffer.from([0, data.length]) : Buffer.alloc(data.length < 65536 ? 4 : 10);
  head[0] = (final << 7) | opcode;
  if (head.length === 4) head[1] = 126, head.writeUInt16BE(data.length, 2);
  if (head.length === 10) head[1] = 127, head.writeBigUInt64BE(BigInt(data.length), 2);
  return Buffer.concat([head, data]);
}

process.on('SIGTERM', () => server.close(() => process.exit(0)));
server.listen(process.env.POSTERN_SOCKET ?? Number(process.env.PORT ?? 8080));
