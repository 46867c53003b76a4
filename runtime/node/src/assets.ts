// The files of assets/, which are in the artefact beside the code and have no address.
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Where the artefact is; whoever changes the working directory changes nothing here. */
const home = join(process.cwd(), 'assets');

export function assets(name: string, as?: 'text'): Promise<string>;
export function assets(name: string, as: 'buffer'): Promise<Buffer>;
export async function assets(name: string, as: 'text' | 'buffer' = 'text'): Promise<string | Buffer> {
  if (as !== 'text' && as !== 'buffer') throw new TypeError(`assets gives text or a buffer, not ${JSON.stringify(as)}`);
  if (typeof name !== 'string' || !plain(name)) throw new Error(`${JSON.stringify(name)} is no name of a file in assets/: write it as it lies there, such as "menus/main.json"`);
  try {
    const bytes = await readFile(join(home, name));
    return as === 'text' ? bytes.toString('utf8') : bytes;
  } catch (err) {
    const { code } = err as NodeJS.ErrnoException;
    if (code !== 'ENOENT' && code !== 'ENOTDIR' && code !== 'EISDIR') throw err;
    throw new Error(`there is no file assets/${name}${await near(name)}`); // the cause knows nothing more, but where the server keeps it
  }
}

/** The rule by which names come into an artefact. */
const plain = (name: string): boolean => name !== '' && !/[\\\x00-\x1f\x7f]/.test(name) && name.split('/').every((s) => s !== '' && (!s.startsWith('.') || s === '.well-known'));

/** The names that are most like one that is not there. */
async function near(name: string): Promise<string> {
  let names: string[];
  try {
    names = (await readdir(home, { recursive: true, withFileTypes: true })).filter((e) => e.isFile()).map((e) => join(e.parentPath ?? e.path, e.name).slice(home.length + 1));
  } catch {
    return ': the function has no assets/';
  }
  const last = (s: string): string => s.slice(s.lastIndexOf('/') + 1).toLowerCase();
  const score = (s: string): number => (last(s) === last(name) ? 0 : distance(s.toLowerCase(), name.toLowerCase()));
  const best = names.map((s) => ({ s, n: score(s) })).filter(({ n }) => n <= Math.max(2, name.length / 3)).sort((a, b) => a.n - b.n || (a.s < b.s ? -1 : 1)).slice(0, 3);
  return best.length === 0 ? `; there are ${names.length} others` : `; there is ${best.map(({ s }) => `assets/${s}`).join(', ')}`;
}

/** Levenshtein's, of two short names. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 0; i < Math.min(a.length, 256); i++) {
    const next = [i + 1];
    for (let j = 0; j < b.length; j++) next.push(Math.min(row[j]! + (a[i] === b[j] ? 0 : 1), row[j + 1]! + 1, next[j]! + 1));
    row = next;
  }
  return row[b.length]!;
}
