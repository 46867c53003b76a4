// Bundles the tests, as functions are bundled, and runs them with Node's own runner.
import { buildSync } from 'esbuild';
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';

const tests = readdirSync('test').filter((f) => f.endsWith('.test.ts'));
if (tests.length === 0) throw new Error('there are no tests');
buildSync({
  entryPoints: ['test/fixture/worker.ts', ...tests.map((f) => `test/${f}`)], outbase: 'test', outdir: 'build', outExtension: { '.js': '.mjs' },
  bundle: true, platform: 'node', format: 'esm', target: 'node20', sourcemap: 'inline', external: ['esbuild'], logLevel: 'warning',
});
const files = tests.map((f) => `build/${f.replace(/\.ts$/, '.mjs')}`);
process.exit(spawnSync(process.execPath, ['--test', '--test-reporter=spec', '--enable-source-maps', ...files], { stdio: 'inherit' }).status ?? 1);
