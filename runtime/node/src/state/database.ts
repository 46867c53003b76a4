// Where a function's own SQLite file lies.
import { mkdirSync } from 'node:fs';
import { resolve } from 'node:path';

/** Without a platform that says so it is in data/, which is made. */
export function databasePath(): string {
  const path = process.env['POSTERN_DATABASE'];
  if (path !== undefined) return path;
  mkdirSync('data', { recursive: true });
  return resolve('data/function.db');
}
