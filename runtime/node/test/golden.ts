// Golden files: what a builder writes, beside the call that wrote it. UPDATE_GOLDEN=1 npm test writes them anew; then read the diff.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';

/** Compares what each case makes with the file's member of that name; the file has no others. */
export function golden(name: string, cases: Record<string, () => unknown>): void {
  const file = `test/golden/${name}.json`;
  const got = Object.fromEntries(Object.entries(cases).map(([k, make]) => [k, JSON.parse(JSON.stringify(make())) as unknown]));
  if (process.env['UPDATE_GOLDEN'] === '1') {
    mkdirSync('test/golden', { recursive: true });
    writeFileSync(file, `{\n${Object.entries(got).map(([k, v]) => `  ${JSON.stringify(k)}: ${JSON.stringify(v)}`).join(',\n')}\n}\n`);
    return;
  }
  assert.ok(existsSync(file), `${file} is missing`);
  const want = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
  assert.deepEqual(Object.keys(got), Object.keys(want));
  // Text, and not values: the order of members is a part of it.
  for (const [k, v] of Object.entries(got)) assert.equal(JSON.stringify(v), JSON.stringify(want[k]), k);
}
