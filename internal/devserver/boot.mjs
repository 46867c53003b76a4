// A process that boots before its module is known: it loads what every worker needs of Node, then waits to be told what it runs.
import { closeSync, readSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { join } from 'node:path';
import 'node:async_hooks';
import 'node:fs/promises';
import 'node:net';
import 'node:stream/web';

const fd = Number(process.env.POSTERN_AHEAD_FD);
delete process.env.POSTERN_AHEAD_FD;
const chunk = Buffer.alloc(65536);
let text = '';
while (!text.endsWith('\n')) {
  const n = readSync(fd, chunk); // nothing else happens in this process, and waiting costs nothing
  if (n === 0) process.exit(0); // the host has gone
  text += chunk.toString('utf8', 0, n);
}
closeSync(fd);
const { dir, entry, env } = JSON.parse(text);
process.chdir(dir);
Object.assign(process.env, env);
const file = join(dir, entry);
process.argv[1] = file;
await import(pathToFileURL(file).href);
