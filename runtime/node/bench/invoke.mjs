// Measures what one small call costs the worker: CPU microseconds, over a socket pair.
// Run `npm test` first, which builds the worker; then `node bench/invoke.mjs [bundle]`.
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';

const TICK_US = 10_000; // of /proc/<pid>/stat: 100 a second on Linux

const frame = (type, flags, stream, payload) => {
  const b = Buffer.alloc(10 + payload.length);
  b.writeUInt32BE(payload.length, 0);
  b[4] = type;
  b[5] = flags;
  b.writeUInt32BE(stream, 6);
  payload.copy(b, 10);
  return b;
};
const block = (handler) => {
  const strings = ['01jd0000000000000000000000', 'GET', handler, `/${handler}`, '', '127.0.0.1', 'pak_01', 'prj_01', 'basic', 'invoke', 'buffered',
    'host', 'localhost', 'user-agent', 'bench', 'accept', '*/*'];
  const head = Buffer.alloc(2 + 2 * strings.length);
  head.writeUInt16BE(strings.length, 0);
  strings.forEach((s, i) => head.writeUInt16BE(s.length, 2 + 2 * i));
  return Buffer.concat([head, Buffer.from(strings.join(''))]);
};

/** So many calls of a handler, so many at a time; the first quarter warms up. */
const measure = (handler, inFlight, calls) => new Promise((resolve) => {
  const request = block(handler);
  const child = spawn(process.execPath, [process.argv[2] ?? 'build/fixture/worker.mjs'], { stdio: ['ignore', 'inherit', 'inherit', 'pipe'], env: { POSTERN_WORKER_FD: '3' } });
  const socket = child.stdio[3];
  const cpu = () => {
    const f = readFileSync(`/proc/${child.pid}/stat`, 'latin1').split(') ')[1].split(' ');
    return (Number(f[11]) + Number(f[12])) * TICK_US;
  };
  let stream = 0;
  let answered = 0;
  let from = 0;
  let rest = Buffer.alloc(0);
  const send = (n) => { socket.write(Buffer.concat(Array.from({ length: n }, () => frame(16, 3, ++stream, request)))); };
  socket.on('data', (chunk) => {
    const b = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    let at = 0;
    let n = 0;
    while (b.length - at >= 10 && b.length - at >= 10 + b.readUInt32BE(at)) {
      if (b[at + 4] === 2) send(inFlight);
      else if (b[at + 4] === 17) n++;
      else if (b[at + 4] !== 1) throw new Error(`a frame of type ${b[at + 4]}`);
      at += 10 + b.readUInt32BE(at);
    }
    rest = b.subarray(at);
    if (answered < calls / 4 && answered + n >= calls / 4) from = cpu();
    answered += n;
    if (answered >= calls) {
      console.log(`${((cpu() - from) / (calls * 0.75)).toFixed(2)} µs CPU a call of ${handler}, ${inFlight} in flight`);
      child.once('exit', resolve).kill();
      socket.destroy();
    } else if (n > 0) send(n);
  });
  socket.write(frame(1, 0, 0, Buffer.from('PSTN\x00\x01{}', 'latin1')));
});

await measure('fine', 64, 400_000);
await measure('later', 64, 400_000); // async
await measure('fine', 8, 200_000);
await measure('fine', 1, 50_000);
