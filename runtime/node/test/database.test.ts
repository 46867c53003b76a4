// The path of a function's own database.
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, realpathSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { databasePath } from '../src/state/database.ts';

test('the database lies in data/ without a platform', (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'postern-database-'));
  const before = process.cwd();
  const given = process.env['POSTERN_DATABASE'];
  delete process.env['POSTERN_DATABASE'];
  process.chdir(dir);
  t.after(() => { process.chdir(before); if (given !== undefined) process.env['POSTERN_DATABASE'] = given; });
  assert.equal(databasePath(), join(realpathSync(dir), 'data/function.db'));
  assert.ok(existsSync(join(dir, 'data')));
  process.env['POSTERN_DATABASE'] = '/elsewhere/function.db';
  assert.equal(databasePath(), '/elsewhere/function.db');
  delete process.env['POSTERN_DATABASE'];
});
